"""The package's model against the method written down plainly (`plain`): the same numbers, term by term."""

import functools

import pytest
import torch
from conftest import marker_dataset, tiny
from plain import ONLY, PlainSymSpectra, flat, plain_copy, plain_names

from symspectra.groups.orders import label_order
from symspectra.modalities import MODALITIES
from symspectra.models.registry import build_model

ORDER = label_order("iupac")
OTHER_RATES = {  # than the defaults, so that none of them is forgotten
    **{"dropout": 0.0, "decoder_dropout": 0.0, "beta": 1e-3, "temperature": 0.7, "sigma_floor": 0.3},
    **{"s1": 0.2, "s2": 0.5, "weight_ramp": 3, "teacher_forcing": 0.7, "teacher_forcing_decay": 0.8, "beta2": 0.9},
}


def settings(n):
    return tiny(modalities=MODALITIES[:n], heads=2, **OTHER_RATES)


@functools.cache
def weights(n):
    """Of a model that was trained for some steps, save its gates: they would open or shut wholly."""
    torch.manual_seed(n)
    model = without_dropout(build_model(settings(n)))
    with torch.no_grad():
        model.gate.position.normal_()
        model.gate.modality.normal_()
        model.auxiliary.bias.normal_()
    trained = [p for name, p in model.named_parameters() if not name.startswith("gate.")]
    optimizer = torch.optim.Adam(trained, 1e-2)
    for _ in range(20):
        step(model, optimizer, *inputs(n))
    return model.state_dict()


def build(n):
    """The model of `weights`, without dropout."""
    model = without_dropout(build_model(settings(n)))
    model.load_state_dict(weights(n))
    return model


def without_dropout(model):
    """That of the auxiliary predictor is not in the configuration."""
    for layer in model.auxiliary.head:
        if hasattr(layer, "p"):
            layer.p = 0.0
    return model


def in_float64(*encoders):
    """Which of two nearly equal points the maximum takes is a matter of rounding, and changes gradients by percents."""
    for encoder in encoders:
        encoder.double()
        encoder.register_forward_pre_hook(lambda _, args: (args[0].double(),))
        encoder.register_forward_hook(lambda _, args, out: out.float())


def pair(n):
    """A model and its plain copy, whose numbers differ by rounding after the encoders alone."""
    model = build(n)
    plain = without_dropout(plain_copy(model, settings(n), ORDER))
    in_float64(model.encoder, *plain.encoders)
    return model, plain


def inputs(n, batch=16, missing=False):
    """Spectra, of which some are absent: of one molecule none, of one all."""
    data = marker_dataset(batch, MODALITIES[:n], seed=n)
    present = data.present.clone()
    if missing:
        present = torch.rand(batch, n, generator=torch.Generator().manual_seed(1)) > 0.4
        present[0], present[1] = True, False
    return torch.where(present.unsqueeze(-1), data.x, 0.0), present, data.y.float()


def terms_of(model, x, present, y):
    """The loss and its terms in epoch 2."""
    if isinstance(model, PlainSymSpectra):
        total, terms = model.loss(x, present, y, 2)
        return {"loss": total, **terms}
    model.begin_epoch(2)
    losses = model.loss(x, present, y)
    return {"loss": losses.total, **losses.terms, "element_weight": losses.element_weight}


def step(model, optimizer, x, present, y):
    optimizer.zero_grad()
    terms_of(model, x, present, y)["loss"].backward()
    optimizer.step()


@pytest.mark.parametrize("n", [1, 2, 3, 5])
@pytest.mark.parametrize("missing", [False, True])
def test_predictions_are_those_of_symspectra(n, missing):
    model = build(n).eval()
    plain = plain_copy(model, settings(n), ORDER)
    assert not plain.training
    x, present, _ = inputs(n, missing=missing)
    expected = model.predict(x, present)
    assert expected.std() > 0.1
    torch.testing.assert_close(plain.predict(x, present), expected, rtol=0, atol=1e-5)
    torch.testing.assert_close(plain(x, present).sigmoid(), model(x, present).sigmoid(), rtol=0, atol=1e-5)


def terms_and_gradients(model, n, batch):
    torch.manual_seed(5)
    terms = terms_of(model, *inputs(n, batch, missing=True))
    terms["loss"].backward()
    return {name: value.detach() for name, value in terms.items()}, {
        name: p.grad for name, p in model.named_parameters()
    }


@pytest.mark.parametrize("n", [1, 2, 3, 5])
@pytest.mark.parametrize("batch", [16, 40])  # CMI is compared with running statistics, or with those of the batch
def test_loss_terms_and_gradients_are_those_of_symspectra(n, batch):
    model, plain = pair(n)
    model.zero_grad()
    expected, gradients = terms_and_gradients(model, n, batch)
    terms, plain_gradients = terms_and_gradients(plain, n, batch)
    assert terms.keys() == expected.keys() and terms["bound"] > 0.05 and terms["element_weight"].std() > 0.05
    for name, value in expected.items():
        torch.testing.assert_close(terms[name], value, rtol=1e-4, atol=1e-5, msg=lambda text, n=name: f"{n}: {text}")
    gradients = plain_names(gradients, n)
    assert gradients.keys() == plain_gradients.keys()
    for name, gradient in gradients.items():
        scale = float(gradient.abs().max())
        assert scale > 1e-5 or name == "gate.key.bias" or (n == 1 and name == "auxiliary.conv.weight"), name  # those: 0
        torch.testing.assert_close(
            plain_gradients[name],
            gradient,
            rtol=1e-4,
            atol=1e-4 * scale + 1e-8,
            msg=lambda text, n=name: f"{n}: {text}",
        )


def test_what_is_written_down_is_the_default():
    assert {name: getattr(flat(tiny()), name) for name in ONLY} == ONLY


def test_dropout_and_the_first_forget_gates_are_those_of_symspectra():
    config = tiny(dropout=0.4, decoder_dropout=0.2)
    plain, model = PlainSymSpectra(config, ORDER), build_model(config)
    for network in (plain, model):
        assert (network.fuse[-1].p, network.decoder.dropout.p, network.auxiliary.head[3].p) == (0.4, 0.2, 0.1)
    assert torch.equal(plain.decoder.cell.bias_ih, model.decoder.cell.steps.bias_ih_l0)
    assert torch.equal(plain.decoder.cell.bias_hh, model.decoder.cell.steps.bias_hh_l0)
    fused, main = torch.rand(4, config.model.hidden), torch.zeros(4, 37)
    assert not torch.equal(plain.decoder(fused, main, main), plain.decoder(fused, main, main))
    plain.eval()
    assert torch.equal(plain.decoder(fused, main, main), plain.decoder(fused, main, main))

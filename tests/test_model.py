import pytest
import torch
from conftest import marker_dataset, tiny
from torch import nn

from symspectra.groups.orders import label_order
from symspectra.modalities import MODALITIES
from symspectra.models.registry import build_model, load_model, save_model
from symspectra.training.metrics import multilabel_metrics

THREE = ("ir", "c13", "h1")


def build(**settings):
    return build_model(tiny(**settings))


def inputs(n, batch=6):
    torch.manual_seed(n)
    return torch.rand(batch, n, 600), torch.ones(batch, n, dtype=torch.bool), (torch.rand(batch, 37) > 0.7).float()


@pytest.fixture(scope="module")
def fitted():
    """A model whose normalisation, gates and heads are not those of the start; tests leave it as it is."""
    model = build(modalities=THREE)
    optimizer = torch.optim.Adam(model.parameters(), 5e-3)
    for _ in range(10):
        optimizer.zero_grad()
        model.loss(*inputs(3, 16)).total.backward()
        optimizer.step()
    return model.eval()


@pytest.fixture
def options(fitted, monkeypatch):
    """Change options of the fitted model for one test."""
    return lambda **changed: monkeypatch.setattr(fitted, "options", fitted.options.model_copy(update=changed))


@pytest.mark.parametrize(("n", "pools", "tokens"), [(1, (2, 2), 150), (2, (4, 4), 37), (5, (10, 5), 12)])
def test_shapes(n, pools, tokens):
    model = build(modalities=MODALITIES[:n], pools=pools)
    x, present, y = inputs(n, 2)
    r = model.represent(x, present)
    assert r.tokens.shape == r.t.shape == (2, n, tokens, 16)
    assert r.gate.shape == (2, n, tokens) and r.mean.shape == r.std.shape == (2, n, 16)
    losses = model.loss(x, present, y)
    assert losses.total.shape == () and losses.total.isfinite() and losses.element_weight.shape == (2, 37)
    model.eval()
    assert model(x, present).shape == model.predict(x, present).shape == (2, 37)
    gates = model.gates(x, present)
    assert gates.shape == (2, n, tokens) and (gates >= 0).all() and (gates <= 1).all()


def with_garbage(x, present):
    """The same spectra with other numbers in the place of what was not measured."""
    return torch.where(present.unsqueeze(-1), x, 1e3 * torch.randn_like(x))


@pytest.mark.parametrize("prediction", ["decoder", "main", "ensemble"])
def test_absent_content_never_reaches_the_prediction(fitted, options, prediction):
    """In evaluation the mask is enough: what stands in the place of an absent spectrum has no influence."""
    x, present, _ = inputs(3)
    present[:3, 1] = False
    present[2, 2] = False
    garbage = with_garbage(x, present)
    options(prediction=prediction)
    assert torch.equal(fitted.predict(x, present), fitted.predict(garbage, present))
    assert torch.equal(fitted(x, present), fitted(garbage, present))
    assert torch.equal(fitted.gates(x, present)[present], fitted.gates(garbage, present)[present])
    # The mask does something: the prediction is not that with the spectrum there.
    everything = torch.ones_like(present)
    assert not torch.allclose(fitted(x, everything)[:3], fitted(x, present)[:3])
    assert torch.equal(fitted(x, everything)[3:], fitted(x, present)[3:])


def test_absent_content_reaches_the_training_through_batch_normalisation_only():
    """Batch statistics are over all rows, so a data set must hold zeros where nothing was measured (`ArrayDataset`)."""
    model = build(modalities=THREE, weighting="none")
    x, present, y = inputs(3)
    present[:3, 1] = False
    garbage = with_garbage(x, present)
    assert not torch.allclose(model.encoder(x)[3:, 1], model.encoder(garbage)[3:, 1])
    model.encoder.eval()
    model.auxiliary.eval()
    terms = []
    for spectra in (x, garbage):
        torch.manual_seed(0)
        terms.append(model.loss(spectra, present, y).terms)
    assert all(torch.equal(terms[0][name], terms[1][name]) for name in ("main", "decoder", "auxiliary", "bound"))


def test_a_molecule_without_any_spectrum_trains_and_predicts():
    model = build(weight_ramp=0)
    x, present, y = inputs(2)
    present[0] = False
    losses = model.loss(x, present, y)
    assert losses.total.isfinite() and losses.element_weight.isfinite().all()
    losses.total.backward()
    assert all(p.grad.isfinite().all() for p in model.parameters() if p.grad is not None)
    assert model.eval().predict(x, present).isfinite().all()


def test_auxiliary_loss_trains_the_auxiliary_alone():
    model = build(beta=0.0, weighting="none")
    gradients = []
    for _ in range(2):
        batch = inputs(2)
        model.zero_grad()
        model.loss(*batch).total.backward()
        gradients.append({name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None})
        with torch.no_grad():  # another auxiliary: its loss and gradient are others, nobody else's are
            for p in model.auxiliary.parameters():
                p.add_(0.1)
    changed = {name.split(".")[0] for name in gradients[0] if not torch.equal(gradients[0][name], gradients[1][name])}
    assert changed == {"auxiliary"}
    assert gradients[0].keys() == {name for name, _ in model.named_parameters()}  # nothing is dead


@pytest.mark.parametrize("cross_term", ["printed", "none"])
def test_loss_is_the_sum_of_its_terms(cross_term):
    losses = build(beta=0.01, cross_term=cross_term, penalty=0.3).loss(*inputs(2))
    terms = losses.terms
    assert set(terms) == {"main", "decoder", "auxiliary", "bound", "gate", "context_information"}
    assert not any(value.requires_grad for value in (*terms.values(), losses.element_weight))
    expected = terms["main"] + terms["decoder"] + terms["auxiliary"] + 0.01 * terms["bound"]
    torch.testing.assert_close(losses.total.detach(), expected + 0.3 * terms["context_information"])
    assert 0 < terms["gate"] < 1 and terms["bound"] > 0


def test_an_epoch_sets_teacher_forcing_and_the_growth_of_the_weights():
    model = build(weight_ramp=4, teacher_forcing=0.6, teacher_forcing_decay=0.5)
    for epoch, truth, share in ((0, 0.6, 0.0), (1, 0.3, 0.25), (3, 0.075, 0.75), (9, 0.6 * 0.5**9, 1.0)):
        model.begin_epoch(epoch)
        assert float(model.truth) == pytest.approx(truth) and float(model.weighting.share) == share
    assert not {"truth", "weighting.share"} & set(model.state_dict())  # they belong to the epoch, not to the weights
    model.begin_epoch(0)
    batch = inputs(2, 40)
    assert (model.loss(*batch).element_weight == 1).all()
    model.begin_epoch(4)
    assert model.loss(*batch).element_weight.std() > 0.01


def test_predict_options(fitted, options):
    x, present, _ = inputs(3)
    p = {}
    for prediction in ("decoder", "main", "ensemble"):
        options(prediction=prediction)
        p[prediction] = fitted.predict(x, present)
        assert not p[prediction].requires_grad and (p[prediction] >= 0).all() and (p[prediction] <= 1).all()
    torch.testing.assert_close(p["main"], fitted(x, present).sigmoid().detach())
    torch.testing.assert_close(p["ensemble"], (p["main"] + p["decoder"]) / 2)
    assert not torch.allclose(p["main"], p["decoder"])


def test_evaluation_is_deterministic_and_training_is_not(fitted):
    x, present, _ = inputs(3)
    assert torch.equal(fitted.predict(x, present), fitted.predict(x, present))
    torch.testing.assert_close(fitted.predict(x, present)[:2], fitted.predict(x[:2], present[:2]))
    model = build(modalities=THREE).train()
    assert not torch.equal(model(x, present), model(x, present))


def test_evaluation_takes_the_mean_representation_or_the_tokens(fitted, options):
    x, present, _ = inputs(3)
    for how in ("mean", "expected"):
        options(eval_gate=how)
        r = fitted.represent(x, present)
        gate = r.gate.unsqueeze(-1)
        torch.testing.assert_close(r.t, gate * r.tokens + (1 - gate) * r.tokens.mean(dim=2, keepdim=True))
        assert torch.equal(r.gate, fitted.gates(x, present)) == (how == "expected")
    options(eval_gate="mean")
    drawn = torch.stack([fitted.represent(x, present, sample=True).t for _ in range(400)])
    error = (drawn.mean(dim=0) - fitted.represent(x, present).t).abs() / (drawn.std(dim=0) / 20 + 1e-6)
    assert error.mean() < 1.5
    options(eval_gate="clean")
    r = fitted.represent(x, present)
    assert torch.equal(r.t, r.tokens)


def overfit(model, steps, lr):
    """Micro-F1 on 64 molecules after training on them."""
    data = marker_dataset(64)
    (x, present), y = data.spectra(torch.arange(64)), data.y.float()
    optimizer = torch.optim.Adam(model.parameters(), lr)
    model.train()
    for step in range(steps):
        model.begin_epoch(10 * step // steps)
        optimizer.zero_grad()
        model.loss(x, present, y).total.backward()
        optimizer.step()
    return multilabel_metrics(data.y, model.eval().predict(x, present))["micro_f1"]


@pytest.mark.parametrize("weighting", ["paper", pytest.param("none", marks=pytest.mark.slow)])
def test_overfits_64_molecules(weighting):
    assert overfit(build(hidden=64, dropout=0.0, weighting=weighting), 80, 5e-3) > 0.97


def test_without_bottleneck_the_representation_is_the_tokens_and_there_is_no_bound():
    model = build(bottleneck=False).train()
    x, present, y = inputs(2)
    present[0, 1] = False
    r = model.represent(x, present)
    assert torch.equal(r.t, r.tokens * present[:, :, None, None]) and (r.gate == 1).all()
    losses = model.loss(x, present, y)
    losses.total.backward()
    assert "bound" not in losses.terms and all(p.grad is None for p in model.gate.parameters())


def test_without_decoder_the_main_predictor_answers_and_is_trained_alone():
    model = build(decoder="none", prediction="main", beta=0.0)
    x, present, y = inputs(2)
    losses = model.loss(x, present, y)
    assert model.decoder is None and "decoder" not in losses.terms
    torch.testing.assert_close(losses.total.detach(), losses.terms["main"] + losses.terms["auxiliary"])
    model.eval()
    assert torch.equal(model.predict(x, present), model(x, present).sigmoid())


@pytest.mark.parametrize(
    "settings",
    [
        {"decoder": "gru", "prior": "gaussian", "penalty": 0.1},
        {"decoder": "transformer", "prior": "laplace", "order": "gnn"},
        {"conditioning": "input", "prior": "gamma", "order": "alphabetical"},
        {"conditioning": "h0", "weighting": "label_ema", "cmi_reduce": "mean", "cross_term": "negated"},
    ],
    ids=str,
)
def test_every_option_trains(settings):
    model = build(**settings)
    losses = model.loss(*inputs(2))
    losses.total.backward()
    assert losses.total.isfinite() and losses.terms.get("context_information", 0) >= 0
    assert all(p.grad is None or p.grad.isfinite().all() for p in model.parameters())


def test_the_penalty_trains_the_representation_and_not_the_auxiliary_predictor():
    model = build().eval()  # no dropout
    x, present, y = inputs(2, 64)
    t = model.represent(x, present).t.detach().requires_grad_()
    with torch.no_grad():  # an auxiliary predictor that knows the labels' frequencies, and a little more
        model.auxiliary.head[-1].bias.copy_(torch.logit(y.mean(dim=0).clamp(0.02, 0.98)))
        model.auxiliary.head[-1].weight.mul_(1e-3)
    optimizer = torch.optim.Adam(model.auxiliary.parameters(), 1e-2)
    for _ in range(40):
        optimizer.zero_grad()
        logits = model.auxiliary(t.detach())
        nn.functional.binary_cross_entropy_with_logits(logits, y.unsqueeze(1).expand_as(logits)).backward()
        optimizer.step()
    optimizer.zero_grad()
    information = model.context_information(t, present, y)
    information.backward()
    assert information > 0 and t.grad.abs().sum() > 0
    assert all(p.grad is None or (p.grad == 0).all() for p in model.auxiliary.parameters())
    with torch.no_grad():
        logits, frequency = model.auxiliary(t), y.mean(dim=0)
        entropy = nn.functional.binary_cross_entropy(frequency, frequency)
        unknown = [nn.functional.binary_cross_entropy_with_logits(logits[:, i], y) for i in range(2)]
    by_hand = sum(max(0.0, float(entropy - own)) for own in unknown) / 2
    assert float(information.detach()) == pytest.approx(by_hand, rel=1e-4)
    with torch.no_grad():
        model.auxiliary.head[-1].bias.fill_(30.0)  # surely wrong
    assert model.context_information(t, present, y) == 0  # never negative


def test_a_learned_order_comes_from_the_training_labels_and_travels_with_the_weights(tmp_path):
    y = torch.rand(200, 37, generator=torch.Generator().manual_seed(0)) < torch.linspace(0.02, 0.6, 37)
    config = tiny(order="mutual_information")
    model = build_model(config)
    model.prepare(y)
    assert tuple(model.decoder.order.tolist()) == label_order("mutual_information", y) != label_order("alphabetical")
    save_model(tmp_path / "model.safetensors", model.eval(), config)
    again, _ = load_model(tmp_path / "model.safetensors")
    x, present, _ = inputs(2)
    assert torch.equal(again.predict(x, present), model.predict(x, present))

import dataclasses

import pytest
import torch
from conftest import marker_dataset, tiny
from torch import nn

from symspectra.groups.orders import label_order
from symspectra.modalities import MODALITIES
from symspectra.models.symspectra import AuxiliaryPredictor, SpectralEncoder, SymSpectra
from symspectra.training.metrics import multilabel_metrics


def build(**settings):
    torch.manual_seed(0)
    return SymSpectra(tiny(**settings), label_order("iupac"))


def inputs(n, batch=6):
    torch.manual_seed(n)
    return torch.rand(batch, n, 600), torch.ones(batch, n, dtype=torch.bool), (torch.rand(batch, 37) > 0.7).float()


@pytest.fixture(scope="module")
def fitted():
    """A model whose normalisation, gates and heads are not those of the start."""
    model = build(modalities=("ir", "c13", "h1"))
    x, present, y = inputs(3, 16)
    optimizer = torch.optim.Adam(model.parameters(), 5e-3)
    for _ in range(10):
        optimizer.zero_grad()
        model.loss(x, present, y, 5)[0].backward()
        optimizer.step()
    return model.eval()


@pytest.mark.parametrize("n", range(1, 6))
@pytest.mark.parametrize(("pools", "tokens"), [((2, 2), 150), ((4, 4), 37)])
def test_shapes(n, pools, tokens):
    model = build(modalities=MODALITIES[:n], pools=pools)
    x, present, y = inputs(n, 2)
    r = model.represent(x, present)
    assert r.tokens.shape == r.t.shape == (2, n, tokens, 16)
    assert r.gate.shape == (2, n, tokens) and r.mean.shape == r.std.shape == (2, n, 16)
    loss, logs = model.loss(x, present, y, 0)
    assert loss.shape == () and loss.isfinite() and logs["element_weight"].shape == (2, 37)
    model.eval()
    assert model(x, present).shape == model.predict(x, present).shape == (2, 37)
    gates = model.gates(x, present)
    assert gates.shape == (2, n, tokens) and (gates >= 0).all() and (gates <= 1).all()


def test_encoder_is_two_conv1d_blocks_a_modality_in_the_order_of_equation_2():
    torch.manual_seed(0)
    encoder = SpectralEncoder(2, 4, 16, 11, (4, 4))
    with torch.no_grad():
        for norm in (encoder.norm1, encoder.norm2):
            norm.weight.uniform_(-1, 1)  # ReLU and pooling commute whatever the sign
            norm.bias.normal_()
    x = torch.rand(5, 2, 600)
    tokens = encoder(x)
    for i in range(2):
        y = x[:, i : i + 1]
        for conv, norm, width in ((encoder.conv1, encoder.norm1, 4), (encoder.conv2, encoder.norm2, 16)):
            part = slice(i * width, (i + 1) * width)
            y = nn.functional.conv1d(y, conv.weight[part].squeeze(2), padding=5)
            y = nn.functional.batch_norm(y, None, None, norm.weight[part], norm.bias[part], training=True)
            y = nn.functional.max_pool1d(y.relu(), 4)
        torch.testing.assert_close(tokens[:, i], y.transpose(1, 2), rtol=1e-4, atol=1e-5)


def test_gate_is_multi_head_attention_over_the_tokens_of_all_present_modalities():
    """Against `torch.nn.MultiheadAttention` with the same weights, one modality's queries at a time."""
    torch.manual_seed(4)
    gate, c = build(modalities=("ir", "c13", "h1"), channels=32, heads=2).gate, 32
    with torch.no_grad():
        gate.position.normal_()
        gate.modality.normal_()
    tokens = torch.randn(3, 3, 12, c)
    present = torch.tensor([[1, 1, 1], [1, 0, 1], [0, 1, 0]], dtype=torch.bool)
    attention = nn.MultiheadAttention(c, 2, batch_first=True)
    with torch.no_grad():
        attention.in_proj_weight.copy_(torch.cat([gate.query.weight, gate.key_value.weight]))
        attention.in_proj_bias.copy_(torch.cat([gate.query.bias, gate.key_value.bias]))
        attention.out_proj.load_state_dict(gate.attended.state_dict())
        o_cat = gate.joint(torch.cat([tokens[:, i] + gate.modality[i] + gate.position for i in range(3)], dim=1))
        absent = (~present).repeat_interleave(12, dim=1)
        for i in range(3):
            o_attn, _ = attention(tokens[:, i], o_cat, o_cat, key_padding_mask=absent)
            expected = gate.mlp(o_attn).squeeze(-1)
            torch.testing.assert_close(gate(tokens, present)[:, i], expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("prediction", ["decoder", "main", "ensemble"])
def test_absent_content_never_reaches_the_prediction(fitted, prediction):
    """In evaluation the mask is enough: what stands in the place of an absent spectrum has no influence."""
    model = fitted
    x, present, _ = inputs(3)
    present[:3, 1] = False
    present[2, 2] = False
    garbage = torch.where(present.unsqueeze(-1), x, 1e3 * torch.randn_like(x))
    model.config = dataclasses.replace(model.config, prediction=prediction)
    assert torch.equal(model.predict(x, present), model.predict(garbage, present))
    assert torch.equal(model(x, present), model(garbage, present))
    gates, gates_garbage = model.gates(x, present), model.gates(garbage, present)
    assert torch.equal(gates[present], gates_garbage[present])
    # The mask does something: the prediction is not that with the spectrum there.
    assert not torch.allclose(model(x, torch.ones_like(present))[:3], model(x, present)[:3])
    assert torch.equal(model(x, torch.ones_like(present))[3:], model(x, present)[3:])


def test_absent_content_reaches_the_training_through_batch_normalisation_only():
    """Batch statistics are over all rows, so a data set must hold zeros where nothing was measured (`ArrayDataset`)."""
    model = build(modalities=("ir", "c13", "h1"))
    x, present, _ = inputs(3)
    present[:3, 1] = False
    garbage = torch.where(present.unsqueeze(-1), x, 1e3 * torch.randn_like(x))
    assert not torch.allclose(model.encoder(x)[3:, 1], model.encoder(garbage)[3:, 1])
    model.encoder.eval()

    def logits(spectra):
        torch.manual_seed(0)
        return model(spectra, present)

    assert torch.equal(logits(x), logits(garbage))


def test_a_molecule_without_any_spectrum_trains_and_predicts():
    model = build()
    x, present, y = inputs(2)
    present[0] = False
    loss, logs = model.loss(x, present, y, 9)
    assert loss.isfinite() and logs["element_weight"].isfinite().all()
    loss.backward()
    assert all(p.grad.isfinite().all() for p in model.parameters() if p.grad is not None)
    assert model.eval().predict(x, present).isfinite().all()


def test_auxiliary_leave_one_out_is_zeroing_the_modality():
    torch.manual_seed(0)
    auxiliary = AuxiliaryPredictor(3, 12, 16, 37).eval()
    with torch.no_grad():
        auxiliary.bias.normal_()
    t = torch.randn(4, 3, 12, 16)
    left_out = auxiliary(t)
    for i in range(3):
        zeroed = t.clone()
        zeroed[:, i] = 0
        torch.testing.assert_close(auxiliary(zeroed)[:, i], left_out[:, i], rtol=1e-4, atol=1e-5)
        own = auxiliary.conv(zeroed.transpose(2, 3).flatten(1, 2)).unflatten(1, (3, -1)).sum(dim=1) + auxiliary.bias
        plain = auxiliary.head(nn.functional.max_pool1d(own.relu(), 2))
        torch.testing.assert_close(plain, left_out[:, i], rtol=1e-4, atol=1e-5)


def test_auxiliary_loss_trains_the_auxiliary_alone():
    model = build(beta=0.0, weighting="none")
    x, present, y = inputs(2)
    gradients = []
    for _ in range(2):
        torch.manual_seed(0)
        model.zero_grad()
        model.loss(x, present, y, 0)[0].backward()
        gradients.append({name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None})
        with torch.no_grad():  # another auxiliary: its loss and gradient are others, nobody else's are
            for p in model.auxiliary.parameters():
                p.add_(0.1)
    changed = {name.split(".")[0] for name in gradients[0] if not torch.equal(gradients[0][name], gradients[1][name])}
    assert changed == {"auxiliary"}
    assert gradients[0].keys() == {name for name, _ in model.named_parameters()}  # nothing is dead


@pytest.mark.parametrize("cross_term", ["printed", "none"])
def test_loss_is_the_sum_of_its_terms(cross_term):
    model = build(beta=0.01, cross_term=cross_term)
    loss, logs = model.loss(*inputs(2), 7)
    assert set(logs) == {"main", "decoder", "auxiliary", "bound", "gate", "element_weight"}
    assert not any(value.requires_grad for value in logs.values())
    total = logs["main"] + logs["decoder"] + logs["auxiliary"] + 0.01 * logs["bound"]
    torch.testing.assert_close(loss.detach(), total)
    assert 0 < logs["gate"] < 1 and logs["bound"] > 0


def test_bound_reaches_the_gates():
    model = build(beta=1.0)
    x, present, _ = inputs(2)
    _, logs = model.loss(x, present, torch.zeros(6, 37), 0)
    optimizer = torch.optim.Adam(model.gate.parameters(), 1e-2)
    for _ in range(15):
        loss, last = model.loss(x, present, torch.zeros(6, 37), 0)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert last["bound"] < 0.7 * logs["bound"] and last["gate"] < logs["gate"]


def test_predict_options(fitted):
    model = fitted
    x, present, _ = inputs(3)
    p = {}
    for prediction in ("decoder", "main", "ensemble"):
        model.config = dataclasses.replace(model.config, prediction=prediction)
        p[prediction] = model.predict(x, present)
        assert not p[prediction].requires_grad and (p[prediction] >= 0).all() and (p[prediction] <= 1).all()
    torch.testing.assert_close(p["main"], model(x, present).sigmoid().detach())
    torch.testing.assert_close(p["ensemble"], (p["main"] + p["decoder"]) / 2)
    assert not torch.allclose(p["main"], p["decoder"])


def test_evaluation_is_deterministic_and_training_is_not(fitted):
    model = fitted
    x, present, _ = inputs(3)
    assert torch.equal(model.predict(x, present), model.predict(x, present))
    torch.testing.assert_close(model.predict(x, present)[:2], model.predict(x[:2], present[:2]))
    model.train()
    assert not torch.equal(model(x, present), model(x, present))
    model.eval()


def test_clean_evaluation_leaves_the_tokens_alone(fitted):
    model = fitted
    x, present, _ = inputs(3)
    model.config = dataclasses.replace(model.config, eval_gate="clean")
    r = model.represent(x, present)
    assert torch.equal(r.t, r.tokens)
    model.config = dataclasses.replace(model.config, eval_gate="expected")
    r = model.represent(x, present)
    gate = r.gate.unsqueeze(-1)
    torch.testing.assert_close(r.t, gate * r.tokens + (1 - gate) * r.tokens.mean(dim=2, keepdim=True))
    assert torch.equal(r.gate, model.gates(x, present))


def test_every_group_order_and_conditioning_trains():
    for order in ("iupac", "alphabetical"):
        for conditioning in ("residual", "input", "h0"):
            torch.manual_seed(0)
            model = SymSpectra(tiny(order=order, conditioning=conditioning), label_order(order))
            loss, _ = model.loss(*inputs(2), 0)
            assert loss.isfinite()


def overfit(model, steps, lr):
    """Micro-F1 on 64 molecules after training on them."""
    data = marker_dataset(64)
    rows = torch.arange(64)
    (x, present), y = data.spectra(rows), data.y.float()
    optimizer = torch.optim.Adam(model.parameters(), lr)
    model.train()
    for step in range(steps):
        loss, _ = model.loss(x, present, y, 10 * step // steps)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return multilabel_metrics(data.y, model.eval().predict(x, present))["micro_f1"]


@pytest.mark.parametrize("weighting", ["paper", "none"])
def test_overfits_64_molecules(weighting):
    assert overfit(build(hidden=64, dropout=0.0, weighting=weighting), 80, 5e-3) > 0.97


def test_without_bottleneck_the_representation_is_the_tokens_and_there_is_no_bound():
    model = build(bottleneck=False).train()
    x, present, y = inputs(2)
    present[0, 1] = False
    r = model.represent(x, present)
    assert torch.equal(r.t, r.tokens * present[:, :, None, None]) and (r.gate == 1).all()
    loss, logs = model.loss(x, present, y, 3)
    loss.backward()
    assert "bound" not in logs and all(p.grad is None for p in model.gate.parameters())


def test_without_decoder_the_main_predictor_answers_and_is_trained_alone():
    model = build(decoder="none", prediction="main")
    x, present, y = inputs(2)
    loss, logs = model.loss(x, present, y, 0)
    assert model.decoder is None and "decoder" not in logs
    assert float(loss.detach()) == pytest.approx(float(logs["main"] + logs["auxiliary"]), rel=1e-4)
    model.eval()
    assert torch.equal(model.predict(x, present), model(x, present).sigmoid())


@pytest.mark.parametrize("kind", ["gru", "transformer"])
@pytest.mark.parametrize("prior", ["gaussian", "laplace", "gamma"])
def test_every_option_trains(kind, prior):
    model = build(decoder=kind, prior=prior, penalty=0.1, order="gnn")
    x, present, y = inputs(2)
    loss, logs = model.loss(x, present, y, 5)
    loss.backward()
    assert loss.isfinite() and logs["context_information"] >= 0
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
        logits = model.auxiliary(t)
        frequency = y.mean(dim=0)
        entropy = nn.functional.binary_cross_entropy(frequency, frequency)
        by_hand = [
            max(0.0, float(entropy - nn.functional.binary_cross_entropy_with_logits(logits[:, i], y))) for i in range(2)
        ]
    assert float(information.detach()) == pytest.approx(sum(by_hand) / 2, rel=1e-4)


def test_context_information_is_never_negative():
    model = build()
    x, present, y = inputs(2)
    with torch.no_grad():
        model.auxiliary.head[-1].bias.fill_(30.0)  # surely wrong
    assert model.context_information(model.represent(x, present).t, present, y) == 0


def test_a_learned_order_comes_from_the_training_labels_and_travels_with_the_weights(tmp_path):
    from symspectra.models.registry import build_model, load_model, save_model

    y = torch.rand(200, 37, generator=torch.Generator().manual_seed(0)) < torch.linspace(0.02, 0.6, 37)
    config = tiny(order="mutual_information")
    model = build_model(config)
    model.prepare(y)
    assert tuple(model.decoder.order.tolist()) == label_order("mutual_information", y) != label_order("alphabetical")
    save_model(tmp_path / "model.safetensors", model.eval(), config)
    again, _ = load_model(tmp_path / "model.safetensors")
    x, present, _ = inputs(2)
    assert torch.equal(again.predict(x, present), model.predict(x, present))

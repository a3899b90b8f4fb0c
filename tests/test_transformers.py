import math

import pytest
import torch
from test_model import overfit

from symspectra.models.transformers import PatchEmbeddingTransformer, PatchTransformer, TokenTransformer, attend

SMALL = {"width": 32, "layers": 2, "attention_heads": 2, "feedforward": 64}


def token(n, **settings):
    return TokenTransformer(n, **{**SMALL, "points": 60, **settings})


def patch(n, **settings):
    return PatchTransformer(n, **{**SMALL, "inner": 16, **settings})


def embedding(n, **settings):
    return PatchEmbeddingTransformer(n, **{**SMALL, **settings})


every = pytest.mark.parametrize("build", [token, patch, embedding])


def inputs(n, batch=6):
    """Spectra with empty stretches, all measured."""
    torch.manual_seed(n)
    x = torch.rand(batch, n, 600) * (torch.rand(batch, n, 30) < 0.5).repeat_interleave(20, dim=-1)
    return x, torch.ones(batch, n, dtype=torch.bool)


def seen(build, n, **settings):
    """A model that has seen some training spectra, in evaluation mode."""
    torch.manual_seed(0)
    model = build(n, **settings)
    model(*inputs(n, 16))
    return model.eval()


@every
@pytest.mark.parametrize("n", [1, 3, 5])
def test_shapes(build, n):
    model = seen(build, n)
    x, present = inputs(n)
    length = {token: 61, patch: 30, embedding: 24}[build]
    assert model.embed(x).shape == (6, n, length, 32)
    p = model.predict(x, present)
    assert p.shape == (6, 37) and p.isfinite().all()
    torch.testing.assert_close(p, model(x, present).sigmoid())


@pytest.mark.parametrize(
    ("model", "one", "three"),
    [
        (TokenTransformer, 12_681_765, 12_682_789),
        (PatchTransformer, 18_975_269, 18_976_293),
        (PatchEmbeddingTransformer, 25_265_701, 25_318_949),
    ],
)
def test_published_sizes(model, one, three):
    with torch.device("meta"):  # shapes without memory
        assert [sum(p.numel() for p in model(n).parameters()) for n in (1, 3)] == [one, three]


@every
def test_absent_modality_has_no_influence(build):
    model = seen(build, 3)
    x, present = inputs(3)
    full = model(x, present)
    present[:3, 1] = False
    logits = model(x, present)
    garbage = torch.where(present.unsqueeze(-1), x, torch.nan)
    assert torch.equal(model(garbage, present), logits)
    assert not torch.allclose(logits[:3], full[:3])
    torch.testing.assert_close(logits[3:], full[3:])
    swap = torch.tensor([0, 4, 2, 3, 1, 5])  # every row is on its own
    torch.testing.assert_close(model(x[swap], present[swap]), logits[swap])
    # Nor have its tokens: neither attention nor pooling sees them, whatever they are.
    embed = model.embed

    def other(x):
        tokens = embed(x).clone()
        tokens[:, 1] = torch.randn_like(tokens[:, 1])
        return tokens

    model.embed = other
    torch.testing.assert_close(model(x, present)[:3], logits[:3])
    assert not torch.allclose(model(x, present)[3:], logits[3:])


@every
def test_absent_modality_does_not_touch_the_training(build):
    torch.manual_seed(0)
    model = build(2, dropout=0.0)
    x, present = inputs(2)
    present[:3, 1] = False
    state = {name: value.clone() for name, value in model.state_dict().items()}
    logits = model(x, present)
    model.load_state_dict(state)
    assert torch.equal(model(torch.where(present.unsqueeze(-1), x, 1e3), present), logits)


@every
def test_a_molecule_without_any_spectrum_trains_and_predicts(build):
    torch.manual_seed(0)
    model = build(2)
    x, present = inputs(2)
    present[0] = False
    model.loss(x, present, torch.zeros(6, 37)).total.backward()
    assert all(p.grad.isfinite().all() for p in model.parameters())
    logits = model.eval()(x, present)
    assert logits.isfinite().all() and torch.equal(logits[0], model.head.bias)


@every
def test_gradient_reaches_every_parameter(build):
    torch.manual_seed(0)
    model = build(3)
    model.loss(*inputs(3), torch.rand(6, 37).round()).total.backward()
    dead = [name for name, p in model.named_parameters() if p.grad is None or not p.grad.any()]
    assert dead == []


@every
def test_matrices_start_within_xavier_bounds(build):
    torch.manual_seed(0)
    model = build(2)
    layer = model.layers[0]
    bound = math.sqrt(6 / 64)  # query, key and value are 32 by 32 each
    assert 0.95 * bound < layer.qkv.weight.abs().max() <= bound
    assert 0.95 * math.sqrt(6 / 96) < layer.expand.weight.abs().max() <= math.sqrt(6 / 96)


def test_attention_is_multi_head_attention():
    torch.manual_seed(0)
    x, mask = torch.randn(3, 7, 16), torch.rand(3, 7) < 0.6
    mask[:, 0] = True
    attention = torch.nn.MultiheadAttention(16, 4, batch_first=True)
    expected, _ = attention(x, x, x, key_padding_mask=~mask)
    qkv = torch.nn.functional.linear(x, attention.in_proj_weight, attention.in_proj_bias)
    torch.testing.assert_close(attention.out_proj(attend(qkv, 4, mask[:, None, None, :])), expected)


def test_words_are_the_maxima_of_blocks_from_0_to_100():
    model = token(2, points=4)
    x = torch.zeros(1, 2, 600)
    x[0, 0, 100], x[0, 0, 149], x[0, 0, 150], x[0, 0, 599] = 0.5, 2.0, 1.01, 0.009
    assert model.tokens(x).tolist() == [[[101, 100, 50, 0, 0], [102, 0, 0, 0, 0]]]
    x[0, 0, 599], x[0, 1, 300] = 0.011, -3.0  # 0.55 of 100; nothing is below zero
    assert model.tokens(x).tolist() == [[[101, 100, 50, 0, 1], [102, 0, 0, 0, 0]]]


def levels_of(model, x):
    """What the patch attention gets."""
    caught = []
    hook = model.patches.register_forward_pre_hook(lambda _, arguments: caught.append(arguments[0]))
    model.embed(x)
    hook.remove()
    return caught[0]


def test_points_are_truncated_to_0_to_99():
    model = patch(2, patch=300)
    x = torch.zeros(1, 2, 600)
    x[0, 0, :5] = torch.tensor([2.0, 1.99, 0.021, 0.020, -1.0])
    levels = levels_of(model, x)
    assert levels.shape == (1, 2, 2, 300) and levels[0, 0, 0, :5].tolist() == [99, 98, 1, 0, 0]
    assert levels.sum() == 99 + 98 + 1


def test_patch_attention_is_attention_over_embedded_points():
    """Against `torch.nn.MultiheadAttention` on every patch, the empty ones too."""
    torch.manual_seed(0)
    block = patch(1).patches
    levels = torch.randint(0, 100, (2, 3, 5, 20)) * (torch.rand(2, 3, 5, 1) < 0.5)
    attention = torch.nn.MultiheadAttention(16, 2, batch_first=True)
    with torch.no_grad():
        attention.in_proj_weight.copy_(block.qkv.weight)
        attention.in_proj_bias.copy_(block.qkv.bias)
        attention.out_proj.load_state_dict(block.attended.state_dict())
    points = block.values(levels.flatten(0, 2)) * 4
    expected = block.join(attention(points, points, points)[0].flatten(1)).view(2, 3, 5, 32)
    torch.testing.assert_close(block(levels), expected)
    filled = levels.any(dim=-1)
    assert filled.any() and not filled.all()


def test_spectra_are_standardised_by_the_non_zero_training_values():
    torch.manual_seed(0)
    model = embedding(2)
    batches = [inputs(2, size)[0] * scale + 0.0 for size, scale in ((4, 1.0), (9, 3.0), (2, 0.1))]
    batches[0][:, 1] = 0  # nothing measured yet
    for x in batches:
        model(x, torch.ones(x.shape[:2], dtype=torch.bool))
    model.eval()
    x = torch.cat(batches)
    z = model.standardise(x)
    for i in range(2):
        values = x[:, i][x[:, i] != 0]
        expected = (x[:, i] - values.mean()) / values.std(correction=0)
        torch.testing.assert_close(z[:, i], expected, rtol=1e-4, atol=1e-4)
    before = model.seen.clone()
    model(x, torch.ones(15, 2, dtype=torch.bool))
    assert torch.equal(model.seen, before)  # evaluation does not move them


def test_modalities_have_their_own_patch_embedding():
    model = seen(embedding, 2)
    x, _ = inputs(2, 3)
    patches = model.standardise(x).unflatten(-1, (24, 25))
    position = model.position_norm(model.positions.weight).view(2, 24, 32)
    for i in range(2):
        tokens = patches[:, i] @ model.weight[i] + model.bias[i]
        expected = torch.nn.functional.layer_norm(tokens, (32,), model.scale[i, 0], model.shift[i, 0])
        torch.testing.assert_close(model.embed(x)[:, i], expected + position[i])


@pytest.mark.parametrize(
    ("build", "settings", "steps", "lr"),
    [
        pytest.param(token, {"points": 75, "layers": 1, "attention_heads": 1}, 400, 5e-3, marks=pytest.mark.slow),
        pytest.param(
            patch,
            {"patch": 25, "width": 64, "attention_heads": 1, "feedforward": 128},
            250,
            5e-3,
            marks=pytest.mark.slow,
        ),
        (embedding, {"layers": 1, "attention_heads": 1}, 100, 1e-2),
    ],
)
def test_overfits_64_molecules(build, settings, steps, lr):
    torch.manual_seed(0)
    assert overfit(build(2, dropout=0.0, **settings), steps, lr) > 0.97

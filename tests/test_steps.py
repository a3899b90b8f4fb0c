"""The fast paths of a training step give what the plain path gives."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import marker_dataset, tiny
from hypothesis import given, settings
from hypothesis import strategies as st
from symspectra.models.products import (
    SpectrumConv,
    SpectrumNorm,
    attention,
    convolve,
    gru,
    lstm,
    several_seeds,
    use_products,
)
from symspectra.models.randomness import Dropout, Recorder, Replay, drawn_by, exponential, normal, uniform
from torch import nn

from symspectra.models.registry import build_model
from symspectra.training.fit import train
from symspectra.training.metrics import multilabel_metrics, validation_scores
from symspectra.training.steps import WARM_UP, Captured, Step, make_optimizer
from symspectra.training.trainer import Trainer, is_fast

ROOT = Path(__file__).parent.parent
MODELS = {
    "symspectra": tiny(),
    "symspectra, gru": tiny(decoder="gru", cross_term="negated"),
    "symspectra, transformer decoder": tiny(decoder="transformer", prior="gamma", cmi_reduce="mean"),
    "1D-CNN": tiny(model="jung_cnn", dense=(40, 30, 20), filters=(5, 6)),
    "Transformer": tiny(model="token_transformer", width=32, layers=2, feedforward=64, attention_heads=2, points=40),
    "Wu et al.": tiny(model="patch_transformer", width=32, layers=2, feedforward=64, attention_heads=2, inner=16),
    "Alberts et al.": tiny(model="patch_embedding", width=32, layers=2, feedforward=64, attention_heads=2, patch=25),
}


def batch(n=12, modalities=2, seed=0):
    generator = torch.Generator().manual_seed(seed)
    x = torch.rand(n, modalities, 600, generator=generator)
    x = x * (torch.rand(x.shape, generator=generator) < 0.1)
    present = torch.rand(n, modalities, generator=generator) < 0.8
    y = (torch.rand(n, 37, generator=generator) < 0.2).float()
    return x * present.unsqueeze(-1), present, y


@pytest.mark.parametrize("name", MODELS)
def test_products_give_the_loss_the_gradients_and_the_predictions_of_the_layers(name):
    x, present, y = batch()
    found = []
    for products in (False, True):
        model = build_model(MODELS[name]).train()
        use_products(model, products)
        torch.manual_seed(3)
        loss, logs = model.loss(x, present, y, torch.tensor(2) if products else 2)
        loss.backward()
        found.append((model, loss, logs))
    (plain, loss, logs), (fast, loss_fast, logs_fast) = found
    torch.testing.assert_close(loss_fast, loss, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(logs_fast, logs, rtol=1e-4, atol=1e-5)
    largest = max(float(p.grad.abs().max()) for p in plain.parameters() if p.grad is not None)
    for one, two in zip(plain.parameters(), fast.parameters(), strict=True):
        torch.testing.assert_close(two.grad, one.grad, rtol=1e-3, atol=1e-4 * largest)
    torch.testing.assert_close(list(fast.buffers()), list(plain.buffers()), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(fast.eval().predict(x, present), plain.eval().predict(x, present), rtol=0, atol=1e-5)


@given(st.integers(1, 3), st.integers(1, 3), st.integers(1, 3), st.integers(1, 12), st.integers(1, 30))
@settings(max_examples=40, deadline=None)
def test_a_convolution_as_a_product(groups, channels, out, kernel, points):
    x = torch.randn(2, groups * channels, points)
    weight = torch.randn(groups * out, channels, kernel)
    theirs = nn.functional.conv1d(x, weight, padding="same", groups=groups)
    torch.testing.assert_close(convolve(x, weight, groups), theirs, rtol=1e-4, atol=1e-4)


def test_the_two_forms_of_a_spectrum_convolution_have_the_same_bias_and_layout():
    conv, x = SpectrumConv(4, 6, 11), torch.randn(3, 4, 1, 50)
    plain = conv(x)
    use_products(conv)
    assert conv(x).is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(conv(x), plain, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("kind", "steps"), [(nn.LSTM, lstm), (nn.GRU, gru)])
def test_recurrent_layers_step_by_step(kind, steps):
    layer, x, h = kind(5, 7, batch_first=True), torch.randn(3, 9, 5), torch.randn(1, 3, 7)
    state = (h, torch.randn(1, 3, 7)) if kind is nn.LSTM else h
    torch.testing.assert_close(steps(x, state, layer), layer(x, state))
    assert steps(x, state, layer)[0].stride() == layer(x, state)[0].stride()  # dropout is drawn in this layout


@pytest.mark.parametrize("form", ["folded", "by hand"])
@pytest.mark.parametrize("training", [True, False])
def test_batch_normalisation_and_attention_of_several_seeds(form, training):
    norms = [SpectrumNorm(4).train(training) for _ in range(3)]
    x, qkv = torch.randn(3, 5, 4, 1, 20), torch.randn(3, 3, 5, 2, 6, 4)
    mask = torch.rand(3, 5, 1, 1, 6) < 0.7
    mask[..., 0] = True
    expected = torch.stack([norm(own) for norm, own in zip(norms, x.bfloat16(), strict=True)])
    attended = [attention(*own, seen) for own, seen in zip(qkv, mask, strict=True)]
    model = SpectrumNorm(4).train(training)
    weights, buffers = torch.func.stack_module_state([SpectrumNorm(4) for _ in range(3)])

    def one(weights, buffers, x, qkv, mask):
        return torch.func.functional_call(model, (weights, buffers), (x,)), attention(*qkv, mask)

    with several_seeds(form):
        y, z = torch.vmap(one)(weights, buffers, x.bfloat16(), qkv, mask)
    torch.testing.assert_close(y, expected, rtol=0, atol=0.02)
    torch.testing.assert_close(z, torch.stack(attended))
    running = torch.stack([norm.running_var for norm in norms])
    torch.testing.assert_close(buffers["running_var"], running, rtol=2e-3, atol=2e-3)
    assert y.dtype == torch.bfloat16 and buffers["num_batches_tracked"].tolist() == [int(training)] * 3


def test_numbers_from_a_source_are_those_of_torch():
    device, x = torch.device("cpu"), torch.randn(6, 5, 4).transpose(0, 1)
    dropout = Dropout(0.4)

    def draw():
        torch.manual_seed(1)
        return [uniform((3, 2), device), normal((4,), device), exponential((2, 2), device), dropout(x)]

    plain, recorder = draw(), Recorder()
    with drawn_by(recorder):
        recorded = draw()
    assert [request.kind for request in recorder.requests] == ["uniform", "normal", "exponential", "kept"]
    torch.testing.assert_close(recorded, plain)
    torch.manual_seed(1)
    numbers = [request.draw(device) for request in recorder.requests]
    torch.manual_seed(2)
    with drawn_by(Replay(numbers)):
        torch.testing.assert_close(
            [
                f()
                for f in (
                    lambda: uniform((3, 2), device),
                    lambda: normal((4,), device),
                    lambda: exponential((2, 2), device),
                    lambda: dropout(x),
                )
            ],
            plain,
        )
    dropout.eval()
    with drawn_by(Replay([])):
        assert dropout(x) is not None and torch.equal(dropout(x), x)


class Recording:
    """In the place of `symspectra.training.steps.CudaGraph`: a replay calls the function again."""

    def __init__(self):
        self.calls = {"warm up": 0, "capture": 0, "replay": 0}

    def warm_up(self, function):
        self.calls["warm up"] += 1
        function()

    def capture(self, function):
        self.calls["capture"] += 1

        def replay():
            self.calls["replay"] += 1
            function()

        return replay


@pytest.mark.parametrize("name", ["symspectra", "Alberts et al."])
def test_a_captured_step_trains_as_the_step_does(name, monkeypatch):
    """Buffers, the batch that is left over, the learning rate and the epoch: all but the recording by CUDA itself."""
    graphs = []

    class Fast(Trainer):
        def __init__(self, config, dataset, device, n_train, start=None, fast=None):
            super().__init__(config, dataset, device, n_train, start, fast=True)
            self.take = Captured(self.step, lambda: graphs.append(Recording()) or graphs[-1])

    config, data = MODELS[name].replace(epochs=4, batch=11), marker_dataset(n=120)
    plain = train(config, data)
    monkeypatch.setattr("symspectra.training.fit.Trainer", Fast)
    fast = train(config, data)
    whole, left = divmod(len(data.rows("train")), 11)
    assert left > 1 and graphs[0].calls == {"warm up": WARM_UP, "capture": 1, "replay": 4 * whole - WARM_UP}
    assert graphs[1].calls == {"warm up": WARM_UP, "capture": 1, "replay": 4 - WARM_UP}
    for one, two in zip(plain.state.history, fast.state.history, strict=True):
        assert two == pytest.approx(one, rel=2e-3, abs=2e-3)
    weights = zip(plain.model.state_dict().values(), fast.model.state_dict().values(), strict=True)
    for one, two in weights:
        torch.testing.assert_close(two, one, rtol=0, atol=2e-3)
    if plain.sample_weight is not None:
        torch.testing.assert_close(fast.sample_weight, plain.sample_weight, rtol=1e-3, atol=1e-3)


COMPILED = """
import sys

sys.path.insert(0, "tests")
import jaxtyping

jaxtyping.install_import_hook = lambda *ignored: None  # the shape checks cannot be compiled
import torch
from conftest import marker_dataset
from test_steps import MODELS, batch

from symspectra.models import build_model
from symspectra.products import use_products
from symspectra.training import train_together

torch._dynamo.config.allow_rnn = True
for name, config in MODELS.items():
    found = []
    for compiled in (False, True):
        model = build_model(config).train()
        use_products(model)
        loss = torch.compile(model.loss, fullgraph=True, backend="eager") if compiled else model.loss
        torch.manual_seed(0)
        found.append(loss(*batch(), torch.tensor(1))[0])
    torch.testing.assert_close(*found, rtol=1e-5, atol=1e-6)

import symspectra.training.stacked

symspectra.training.stacked.compiled = lambda loss: torch.compile(loss, backend="eager", fullgraph=True)
config, data = MODELS["symspectra"].replace(epochs=1, batch=40), marker_dataset(n=100)
configs = [config.replace(seed=seed) for seed in range(2)]
plain = train_together(configs, data)
compiled = train_together([config.replace(compile=True) for config in configs], data)
for one, two in zip(plain, compiled, strict=True):
    assert abs(one.state.history[0]["loss"] / two.state.history[0]["loss"] - 1) < 1e-4
"""


def test_the_losses_can_be_compiled_in_one_piece():
    """Of every model, and of stacked seeds; by the compiler that only traces, which takes seconds and not minutes."""
    done = subprocess.run([sys.executable, "-c", COMPILED], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]


def test_a_step_in_half_precision_keeps_the_bound_in_single():
    config, (x, present, y) = tiny(precision="bf16"), batch(16)
    model = build_model(config).train()
    optimizer = make_optimizer(config, list(model.parameters()), torch.device("cpu"))
    seen = {}

    def loss(*arguments):
        value, logs = model.loss(*arguments)
        seen.update({name: tensor.dtype for name, tensor in logs.items()})
        return value, logs

    step = Step(config, model, optimizer, loss, 16, 37, torch.device("cpu"))
    step.begin(0)
    step(x, present, y, torch.arange(16))
    assert seen["bound"] == torch.float32 and step.totals["loss"].dtype == torch.float32
    assert all(p.dtype == torch.float32 for p in model.parameters())


def test_the_fast_path_is_for_gpus_and_models_of_this_package():
    assert not is_fast(tiny(), torch.device("cpu")) and is_fast(tiny(), torch.device("cuda"))
    assert is_fast(tiny(compile=True), torch.device("cpu"))


@given(st.integers(1, 40), st.integers(0, 2**20))
@settings(max_examples=40, deadline=None)
def test_validation_scores_are_those_of_the_metrics(n, seed):
    rng = np.random.default_rng(seed)
    y, p, groups = rng.random((n, 37)) < 0.3, rng.random((n, 37)).astype(np.float32), rng.random(37) < 0.8
    if not y[:, groups].any():
        return
    theirs = multilabel_metrics(y, p, groups=groups)
    ours = validation_scores(*(torch.from_numpy(values) for values in (y, p, groups)))
    assert ours == {name: theirs[name] for name in ("micro_f1", "macro_f1", "exact_match")}


def test_a_probability_that_is_not_a_number_is_refused():
    p = torch.rand(3, 37)
    p[1, 2] = torch.nan
    with pytest.raises(FloatingPointError, match="1 of the probabilities"):
        validation_scores(torch.ones(3, 37, dtype=torch.bool), p, torch.ones(37, dtype=torch.bool))

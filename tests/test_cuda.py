"""On a GPU: captured steps, stacked seeds, spectra and scores are what the plain path and the CPU give."""

from __future__ import annotations

import pytest
import torch
from conftest import marker_dataset, tiny
from symspectra.training.stacked import StackedTrainer
from symspectra.training.streams import StreamedTrainer
from test_steps import MODELS

from symspectra.config import Config
from symspectra.datasets.base import load_dataset
from symspectra.modalities import MODALITIES
from symspectra.training.fit import fit, member_of, train
from symspectra.training.runs import run
from symspectra.training.trainer import RENDERED, Trainer

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
CUDA = torch.device("cuda")


def trained(config, fast, epochs=3):
    """A run with deterministic float32 products, and its spectra."""
    data = marker_dataset()
    result = train(config.replace(epochs=epochs), data, CUDA, fast=fast)
    on_gpu = data.to(CUDA)
    return result, result.model.predict(*on_gpu.spectra(on_gpu.rows("test"))).cpu()


@pytest.mark.parametrize("name", MODELS)
def test_a_captured_step_trains_as_the_plain_one(name):
    config = MODELS[name].replace(batch=24, dropout=0.2, clip=0.5)
    (plain, p), (fast, q) = trained(config, False), trained(config, True)
    for one, two in zip(plain.state.history, fast.state.history, strict=True):
        assert two["loss"] == pytest.approx(one["loss"], rel=0.02)
    torch.testing.assert_close(q, p, rtol=0, atol=0.05)


@pytest.mark.parametrize("name", ["symspectra", "Alberts et al."])
def test_one_step_of_the_two_paths_without_random_numbers(name):
    """Rounding has no time to grow: a tight tolerance."""
    config = MODELS[name].replace(dropout=0.0, decoder_dropout=0.0, bottleneck=False, epochs=1, batch=400, lr=1e-4)
    (plain, p), (fast, q) = trained(config, False, 1), trained(config, True, 1)
    assert fast.state.history[0]["loss"] == pytest.approx(plain.state.history[0]["loss"], rel=0.02)
    torch.testing.assert_close(q, p, rtol=0, atol=5e-3)


def at_once(learner, configs, data):
    """Histories of several seeds that were trained at once."""
    on_gpu = data.to(CUDA)
    members = [member_of(learner, config, on_gpu, CUDA) for config in configs]
    fit(learner(members), on_gpu, [None] * len(configs), 0.0, [None] * len(configs))
    return [member.state.history for member in members]


@pytest.mark.parametrize("learner", [StreamedTrainer, StackedTrainer])
@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("precision", ["float32", "bf16"])
def test_seeds_at_once_are_each_alone(name, precision, learner):
    """Beside single seeds with a generator of their own: dropout of torch on a GPU draws in another way."""
    config, data = MODELS[name].replace(epochs=6, batch=24, precision=precision), marker_dataset()
    configs = [config.replace(seed=seed) for seed in range(3)]
    alone = [at_once(learner, [own], data)[0] for own in configs]
    tolerance = 0.02 if precision == "float32" else 0.1
    for one, two in zip(alone, at_once(learner, configs, data), strict=True):
        assert two[-1]["loss"] == pytest.approx(one[-1]["loss"], rel=tolerance)


def test_streams_and_stacks_train_the_same():
    data, configs = marker_dataset(), [tiny(epochs=6, batch=24, seed=seed) for seed in range(2)]
    found = [at_once(learner, configs, data) for learner in (StreamedTrainer, StackedTrainer)]
    for one, two in zip(*found, strict=True):
        assert two[-1]["loss"] == pytest.approx(one[-1]["loss"], rel=0.02)


def test_a_step_does_not_wait_for_the_gpu():
    config = tiny(batch=24, epochs=1)
    data = marker_dataset().to(CUDA)
    rows = data.rows("train")
    trainer = Trainer(config, data, CUDA, len(rows), fast=False)
    trainer.train_epoch(rows)  # libraries are loaded
    batches = list(trainer.batches(rows))
    trainer.model.train()
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode("error")
    try:
        for batch in batches:
            trainer.take(*batch)
    finally:
        torch.cuda.set_sync_debug_mode("default")


@pytest.mark.parametrize("precision", ["float32", "bf16"])
def test_a_compiled_and_captured_step(precision):
    config = tiny(batch=24, precision=precision)
    plain, fast = trained(config, False)[0], trained(config.replace(compile=True), True)[0]
    assert fast.state.history[-1]["loss"] == pytest.approx(plain.state.history[-1]["loss"], rel=0.1)


def test_spectra_of_a_gpu_are_those_of_a_cpu():
    config = Config(molecules=300, modalities=MODALITIES)
    here = load_dataset(config)
    there, rows = here.to(CUDA), torch.arange(300)
    for draw in (0, 3):
        x, y = here.spectra(rows, draw)[0], there.spectra(rows.to(CUDA), draw)[0].cpu()
        torch.testing.assert_close(y, x, rtol=1e-3, atol=2e-3)
    assert RENDERED["cuda"] > RENDERED["cpu"]


def test_a_run_on_a_gpu_is_interrupted_and_goes_on(tmp_path):
    config = tiny(molecules=200, epochs=4)

    def stop(epoch):
        if epoch["epoch"] == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(config, tmp_path / "b", "cuda", report=stop, checkpoint_seconds=0)
    whole, resumed = run(config, tmp_path / "a", "cuda"), run(config, tmp_path / "b", "cuda")
    assert resumed.history[-1]["loss"] == pytest.approx(whole.history[-1]["loss"], rel=0.02)
    assert resumed.metrics["peak_gpu_memory_mb"] > 0

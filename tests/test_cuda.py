"""On a GPU: captured steps, spectra and scores are what the plain path and the CPU give."""

import pytest
import torch
from conftest import marker_dataset, tiny
from test_steps import MODELS

from symspectra.config import Config
from symspectra.datasets.base import load_dataset
from symspectra.modalities import MODALITIES
from symspectra.models import registry
from symspectra.training.fit import train
from symspectra.training.runs import run
from symspectra.training.steps import Captured
from symspectra.training.trainer import RENDERED, Trainer

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
CUDA = torch.device("cuda")


def trained(config, capture):
    """A run, and what it says of its test spectra."""
    data = marker_dataset()
    result = train(config, data, CUDA, capture=capture)
    on_gpu = data.to(CUDA)
    return result, result.model.predict(*on_gpu.spectra(on_gpu.rows("test"))).cpu()


@pytest.mark.parametrize("precision", ["float32", "bf16"])
@pytest.mark.parametrize("name", MODELS)
def test_a_captured_step_trains_as_the_plain_one(name, precision):
    config = MODELS[name].replace(batch=24, clip=0.5, precision=precision)
    (plain, p), (fast, q) = trained(config, False), trained(config, True)
    rel, atol = (0.02, 0.05) if precision == "float32" else (0.1, 0.15)
    for one, two in zip(plain.state.history, fast.state.history, strict=True):
        assert two["loss"] == pytest.approx(one["loss"], rel=rel)
    torch.testing.assert_close(q, p, rtol=0, atol=atol)


@pytest.mark.parametrize("name", ["symspectra", "Alberts et al."])
def test_one_step_of_the_two_paths_without_random_numbers(name):
    """Rounding has no time to grow: a tight tolerance."""
    quiet = {"decoder_dropout": 0.0, "bottleneck": False} if name == "symspectra" else {}
    config = MODELS[name].replace(dropout=0.0, epochs=1, batch=400, lr=1e-4, **quiet)
    (plain, p), (fast, q) = trained(config, False), trained(config, True)
    assert fast.state.history[0]["loss"] == pytest.approx(plain.state.history[0]["loss"], rel=0.02)
    torch.testing.assert_close(q, p, rtol=0, atol=5e-3)


def test_what_an_epoch_changes_reaches_a_captured_step():
    """Teacher forcing, the growth of the weights and the learning rate are read anew at every replay."""
    config, data = tiny(batch=16, epochs=12, weight_ramp=8), marker_dataset(120).to(CUDA)
    trainer, rows = Trainer(config, data, CUDA, capture=True), data.rows("train")
    spread = []
    for _ in range(12):
        before = trainer.step.sample_weight.clone()
        trainer.train_epoch(rows)
        spread.append(float((trainer.step.sample_weight - before).std()))
        trainer.state.epoch += 1
    assert spread[0] == 0 and spread[-1] > 2 * spread[1] > 0
    assert float(trainer.model.truth) == pytest.approx(0.5 * 0.95**11)
    weight = trainer.model.main.weight.clone()
    trainer.state.epoch = config.training.epochs  # where the cosine is at zero
    trainer.train_epoch(rows)
    torch.testing.assert_close(trainer.model.main.weight, weight, rtol=0, atol=1e-7)


def test_a_step_does_not_wait_for_the_gpu():
    data = marker_dataset().to(CUDA)
    rows = data.rows("train")
    trainer = Trainer(tiny(batch=24, epochs=1), data, CUDA, capture=False)
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


def test_models_of_this_package_are_captured_and_ones_own_are_not(monkeypatch):
    data = marker_dataset().to(CUDA)
    assert isinstance(Trainer(tiny(), data, CUDA).take, Captured)
    monkeypatch.setitem(registry._OWN, "symspectra", "source")
    assert not isinstance(Trainer(tiny(), data, CUDA).take, Captured)


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

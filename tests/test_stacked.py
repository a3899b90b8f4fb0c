"""Several seeds trained at once give the results of each alone."""

from __future__ import annotations

import pytest
import torch
from conftest import marker_dataset, tiny
from test_steps import MODELS

from symspectra.errors import ConfigError
from symspectra.experiments.workers import train as train_in_worker
from symspectra.training.runs import find_run, run, run_together
from symspectra.training.stacked import StackedTrainer, stackable
from symspectra.training.streams import StreamedTrainer
from symspectra.training.fit import fit, member_of, seeds_at_once, train, train_together

ATOL = 2e-3  # of probabilities, after a few dozen steps


def close(one, two, atol=ATOL):
    """Whether two results are the same up to rounding."""
    assert len(one.state.history) == len(two.state.history) and one.state.best_epoch == two.state.best_epoch
    for a, b in zip(one.state.history, two.state.history, strict=True):
        assert b["loss"] == pytest.approx(a["loss"], rel=atol) and b["lr"] == a["lr"]
    data = marker_dataset()
    spectra = data.spectra(data.rows("test"))
    torch.testing.assert_close(two.model.predict(*spectra), one.model.predict(*spectra), rtol=0, atol=atol)
    if one.sample_weight is not None:
        torch.testing.assert_close(two.sample_weight, one.sample_weight, rtol=atol, atol=atol)
        torch.testing.assert_close(two.group_weight, one.group_weight, rtol=atol, atol=atol)


@pytest.mark.parametrize("name", MODELS)
def test_each_seed_equals_its_single_run(name):
    config = MODELS[name].replace(epochs=3, batch=50, dropout=0.2, decoder_dropout=0.1, clip=0.5, withhold=0.2)
    configs, data = [config.replace(seed=seed) for seed in range(3)], marker_dataset()
    together = train_together(configs, data)
    alone = [train(own, data) for own in configs]
    for one, two in zip(alone, together, strict=True):
        # The 1D-CNN's biases before batch normalisation follow rounding errors (tests/test_distributed.py).
        close(one, two, 0.03 if config.model.name == "jung_cnn" else ATOL)
    assert not torch.equal(*(result.model.predict(*data.spectra(data.rows("test"))) for result in together[:2]))


@pytest.mark.parametrize("name", MODELS)
def test_each_of_several_seeds_with_a_step_of_its_own_equals_its_single_run(name):
    """What a GPU does on streams of their own, one after the other."""
    config, cpu = MODELS[name].replace(epochs=2, batch=50, dropout=0.2, decoder_dropout=0.1), torch.device("cpu")
    configs, data = [config.replace(seed=seed) for seed in range(2)], marker_dataset()
    members = [member_of(StreamedTrainer, own, data, cpu) for own in configs]
    fit(StreamedTrainer(members), data, [None] * 2, 0.0, [None] * 2)
    for own, member in zip(configs, members, strict=True):
        close(train(own, data), member.result(), 0.03 if config.model.name == "jung_cnn" else ATOL)


def test_how_seeds_are_trained_at_once():
    gpu, config = torch.device("cuda"), tiny()
    assert seeds_at_once(config, gpu) is StreamedTrainer
    assert seeds_at_once(config, torch.device("cpu")) is StackedTrainer
    assert seeds_at_once(config.replace(compile=True), gpu) is StackedTrainer


def test_interrupted_together_and_gone_on_with_alone_and_the_other_way_round(tmp_path):
    configs, data = [tiny(epochs=4, seed=seed) for seed in range(2)], marker_dataset()
    checkpoints = [tmp_path / f"{seed}.safetensors" for seed in range(2)]
    expected = train_together(configs, data)

    def stop(epoch):
        if epoch["epoch"] == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_together(configs, data, "cpu", checkpoints, 0.0, [stop, None])
    alone = train(configs[0], data, "cpu", checkpoints[0])
    close(expected[0], alone)
    with pytest.raises(KeyboardInterrupt):
        train(configs[0], data, "cpu", checkpoints[0], 0.0, stop)
    for one, two in zip(expected, train_together(configs, data, "cpu", checkpoints), strict=True):
        close(one, two)  # the first goes on from epoch 2, the second from epoch 2 of the stack


def test_checkpoints_of_different_epochs(tmp_path):
    configs, data = [tiny(epochs=4, seed=seed) for seed in range(2)], marker_dataset()

    def stop(epoch):
        if epoch["epoch"] == 1:
            raise KeyboardInterrupt

    checkpoints = [tmp_path / f"{seed}.safetensors" for seed in range(2)]
    with pytest.raises(KeyboardInterrupt):
        train(configs[1], data, "cpu", checkpoints[1], 0.0, stop)
    for config, result in zip(configs, train_together(configs, data, "cpu", checkpoints), strict=True):
        close(train(config, data), result)


def test_runs_in_the_store_are_those_of_single_seeds(tmp_path):
    configs = [tiny(molecules=150, epochs=2, seed=seed) for seed in range(3)]
    kept = run(configs[1], tmp_path, "cpu")
    written = (kept.path / "metrics.json").stat().st_mtime_ns
    train_in_worker([config.to_dict() for config in configs], str(tmp_path), "cpu")
    runs = run_together(configs, tmp_path, "cpu")
    assert [r.path for r in runs] == [find_run(config, tmp_path).path for config in configs]
    assert (kept.path / "metrics.json").stat().st_mtime_ns == written
    assert [r.metrics["trained_together"] for r in runs] == [2, 1, 2]
    assert not list(tmp_path.glob("*.partial"))
    alone = run(configs[2], tmp_path / "alone", "cpu")
    torch.testing.assert_close(*(torch.from_numpy(r.predictions()[2]) for r in (runs[2], alone)), rtol=0, atol=ATOL)


def test_what_cannot_be_trained_together():
    config = tiny()
    assert stackable([config, config.replace(seed=5)])
    assert not stackable([config, config.replace(lr=0.1, seed=1)])
    assert not stackable([tiny(imbalance="mlsmote"), tiny(imbalance="mlsmote", seed=1)])
    assert not stackable([tiny(model="xgboost", epochs=1)] * 2)

    with pytest.raises(ConfigError, match="differ in the seed alone"):
        train_together([config, config.replace(lr=0.1)], marker_dataset())


def test_a_loss_that_is_not_finite_names_its_epoch():
    configs = [tiny(lr=10.0, epochs=30, seed=seed, beta=1e6) for seed in range(2)]
    with pytest.raises(FloatingPointError, match="in epoch"):
        data = marker_dataset()
        data.x[data.rows("train")[0]] = float("inf")
        train_together(configs, data)

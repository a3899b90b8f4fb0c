"""Time and memory: where a number comes from, and what may be concluded from it."""

from types import SimpleNamespace

import pytest
from torch import nn

from symspectra.config import Config
from symspectra.exhibits.cost import (
    GPU,
    MODEL,
    _step_mb,
    costs_beside,
    duration,
    late_gain,
    memory_gb,
    memory_kind,
    model_mb,
    published_step,
    seconds,
)
from symspectra.exhibits.scores import summarise
from symspectra.models.base import SpectrumClassifier
from symspectra.models.registry import build_model


class Finished:
    """As much of a run as its cost is read from."""

    def __init__(self, time, memory=None, gpu=None, device="CPU, 1 threads", model="symspectra", history=()):
        self.config = Config(model=model)
        self.metrics = {"seconds": time, "peak_memory_mb": memory, "peak_gpu_memory_mb": gpu, "test": {"micro_f1": 0.9}}
        self.id = "0123"
        self.environment = {"device": device}
        self.history = [{"validation_micro_f1": f1} for f1 in history]


def test_time():
    runs = [Finished(3600.0), Finished(7200.0)]
    assert seconds(runs).values == (3600, 7200)
    assert [duration(summarise([s])) for s in (4.21, 720, 9720)] == ["4.2 s", "12 min", "2.7 h"]


def test_memory_is_of_the_gpu_where_the_model_is_trained_on_one():
    assert memory_gb([Finished(1, 2048, 1024)]).mean == 1 and memory_kind(Finished(1, 2048, 1024)) == GPU
    assert memory_kind(Finished(1, 2048)) == MODEL
    assert memory_gb([Finished(1, 2048, 10, model="xgboost")]).mean == 2  # trees grow on the CPU
    assert memory_gb([Finished(1, model="xgboost")]) == summarise([])


class Linear(SpectrumClassifier):
    """One layer: its input, its logits and the labels stay for the backward pass."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(3 * 600, 37)

    def forward(self, x, present):
        return self.layer(x.flatten(1))


def test_memory_of_a_model_is_that_of_its_weights_and_of_its_batch(monkeypatch):
    run = Finished(1)
    monkeypatch.setattr("symspectra.exhibits.cost.build_model", lambda config: Linear())
    batch = run.config.training.batch
    weights, kept = 1800 * 37 + 37, batch * (1800 + 2 * 37)
    assert model_mb(run) == memory_gb([run]).mean * 1024 == pytest.approx(4 * (4 * weights + kept) / 2**20)


def test_late_gain_is_of_the_best_epoch():
    run = Finished(1, history=[0.1, 0.5, 0.4, 0.45, 0.6, 0.55])
    assert late_gain([run]).mean == pytest.approx(0.1)
    assert late_gain([Finished(1, history=[0.1, 0.5, 0.4, 0.3, 0.2, 0.1])]).mean == 0
    assert late_gain([Finished(1, history=[0.7])]).mean is None


def test_costs_stand_beside_the_papers(monkeypatch):
    monkeypatch.setattr("symspectra.exhibits.cost.score", lambda runs: summarise([0.9]))
    table, cells = costs_beside("table11", {"1": [Finished(3600.0, 0, 2048)], "3": [Finished(90.0, model="xgboost")]})
    assert table.loc["1"].tolist() == ["3.5", "2", "2 h", "60 min", "0.914", cells[0].here]
    assert table.loc["3", "memory, here (GB)"] == "not measured"
    assert [(c.row, c.column) for c in cells] == [
        ("1", "F1"),
        ("1", "Time (h)"),
        ("1", "Memory (GB)"),
        ("3", "F1"),
        ("3", "Time (h)"),
    ]
    assert cells[1].here.values == (1.0,) and cells[2].metric == f"{GPU} (GB)"


def test_a_step_at_published_size(tmp_path):
    """Memory is linear in the batch, so that few molecules tell what a published batch takes; time is per molecule."""
    config = Config("jung_cnn", modalities=("ir",))
    run = SimpleNamespace(config=config.replace(epochs=1), id="one", path=tmp_path / "one")
    took, gb = published_step(run, 2)
    assert published_step(run, 2) == (took, gb)  # measured once
    assert 0 < took < 10
    assert gb * 1024 == pytest.approx(sum(_step_mb(build_model(config), config, config.training.batch)), rel=0.01)

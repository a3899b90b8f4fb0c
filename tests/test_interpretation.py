"""What a trained model attends to: gates and weights are read as they are, and judged by the stated rules."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from conftest import tiny

from symspectra.exhibits.interpretation import (
    Importance,
    by_group_count,
    compression_of,
    extremes,
    group_f1,
    group_weights,
    importance,
    importance_maps,
    molecule_weights,
    weights_by_f1,
)
from symspectra.exhibits.scores import summarise
from symspectra.groups.table8 import NAMES
from symspectra.training.runs import run

GATES, GROUPS = np.random.default_rng(0).random((10, 3, 37)), [12, 11, 9, 9, 9, 1, 1, 1, 0, 0]


def made(importances, groups):
    gates = np.broadcast_to(np.array(importances)[None, :, None, None], (2, len(groups), 3, 4))
    return Importance(tuple(map(str, groups)), np.array(groups), gates)


def test_gates_are_those_of_the_models(trained):
    data, runs = trained
    found = importance(runs, data, most=10, device="cpu")
    rows = torch.tensor([data.ids.index(name) for name in found.molecules])
    assert len(set(rows.tolist())) == 10 and set(rows.tolist()) < set(data.rows("test").tolist())
    assert found.groups.tolist() == data.y[rows].sum(1).tolist()
    x, present = data.spectra(rows)
    for gates, one in zip(found.gates, runs, strict=True):
        expected = one.load().gates(x, present).numpy()
        np.testing.assert_allclose(gates[present.numpy()], expected[present.numpy()], atol=1e-6)
        assert np.isnan(gates[~present.numpy()]).all() and not present.all()
    first = found.gates[:, 0][:, present[0].numpy()]
    assert found.average[0] == pytest.approx(first.mean(), abs=1e-6)
    assert importance(runs[:1], data, most=10, device="cpu").molecules == found.molecules
    assert len(importance(runs[:1], data, device="cpu").molecules) == len(data.rows("test"))


def test_an_empty_test_split_is_refused(trained):
    class Empty:
        rows = staticmethod(lambda split: torch.zeros(0, dtype=torch.long))

        def to(self, device):
            return self

    with pytest.raises(ValueError, match="the test split is empty"):
        importance(trained[1], Empty(), device="cpu")


def test_extremes():
    easiest, hardest = extremes(np.array([3, 1, 7, 1, 9, 4]), 2)
    assert easiest == [1, 3] and hardest == [4, 2]
    assert extremes(np.array([3, 1, 7]), 5) == ([1], [2])


def test_variation_of_the_gates_and_their_mean_by_spectrum():
    found = made(np.tile([0.4, 0.6], 6), list(range(12)))
    assert found.variation == pytest.approx(0.1) and found.by_modality.tolist() == pytest.approx([0.5] * 3)


def test_weights_of_molecules(trained):
    data, runs = trained
    groups, weights = molecule_weights(runs, data)
    train = data.rows("train")
    assert weights.shape == (2, len(train)) and np.ptp(weights) > 0
    assert sorted(groups.tolist()) == sorted(data.y[train].sum(1).tolist())
    stored = runs[1].training_weights()[0]
    assert weights[1].tolist() == list(stored.values())
    means = by_group_count(groups, weights, least=4)
    assert set(means) == {n for n in groups if (groups == n).sum() >= 4} != set(groups.tolist())
    n = next(iter(means))
    assert means[n][0].values == pytest.approx(weights[:, groups == n].mean(axis=1).tolist())
    assert means[n][1] == (groups == n).sum()


def test_weights_and_f1_of_groups(trained):
    _, runs = trained
    weights, f1 = group_weights(runs), group_f1(runs)
    assert list(weights) == list(NAMES) and weights[NAMES[3]].values[0] == runs[0].training_weights()[1][NAMES[3]]
    values = [score.mean for score in f1.values()]
    assert values == sorted(values) and set(f1) <= set(NAMES)
    support = runs[0].metrics["test"]["per_group_support"]
    assert len(f1) == sum(n > 0 for n in support)


def test_a_model_without_weights_is_named(trained, tmp_path):
    plain = run(tiny(model="jung_cnn", dense=(16, 8, 8), epochs=1), tmp_path, "cpu", trained[0])
    with pytest.raises(ValueError, match=f"run {plain.id} of model 'jung_cnn' has no weights"):
        group_weights([plain])


def test_maps_hold_the_gates_with_a_gap_between_hardest_and_easiest():
    blocks = {"beta = 1e-6 (the paper's)": GATES, "b": np.ones_like(GATES)}
    figure = importance_maps(blocks, GROUPS, ("ir", "h1", "c13"), 16, 5)
    ax = figure.axes[1]
    image = np.ma.filled(ax.collections[0].get_array(), np.nan).reshape(11, 37)
    np.testing.assert_array_equal(np.delete(image, 5, axis=0), GATES[:, 1])
    assert np.isnan(image[5]).all() and ax.get_xlim() == (10, -2)
    labels = [label.get_text().split() for label in figure.axes[0].get_yticklabels()]
    assert [int(number) for number, _ in labels] == GROUPS
    assert [float(mean) for _, mean in labels] == pytest.approx(GATES.mean((1, 2)), abs=6e-4)
    left, centre = figure.axes[0]._left_title.get_window_extent(), figure.axes[0].title.get_window_extent()
    assert left.height > 1.5 * centre.height  # the title of the block stands over the name of the spectrum


def test_weights_stand_beside_the_f1_of_their_group():
    f1 = {name: summarise([k / 37]) for k, name in enumerate(NAMES)}
    figure = weights_by_f1(f1, dict.fromkeys(("all", "positives"), {name: summarise([0.9, 1.1]) for name in NAMES}))
    left, right = figure.axes
    assert [bar.get_width() for bar in left.patches] == pytest.approx([k / 37 for k in range(37)])
    assert right.lines[0].get_xdata().tolist() == pytest.approx([1.0] * 37)
    assert [label.get_text() for label in left.get_yticklabels()] == list(NAMES)


def swept(f1, history):
    return SimpleNamespace(id="made-up", config=tiny(beta=1e-2), history=history, metrics={"test": {"micro_f1": f1}})


def test_the_bound_is_read_at_the_last_epoch(monkeypatch):
    monkeypatch.setattr("symspectra.exhibits.interpretation.score", lambda runs: summarise([0.7, 0.8]))
    history = [{"loss": 2.0, "gate": 0.5, "bound": 3.0}, {"loss": 1.0, "gate": 0.8, "bound": 5.0}]
    found = compression_of([swept(0.7, history), swept(0.8, history)])
    assert found["gate"].values == (0.8, 0.8)
    assert found["share"].values == pytest.approx((0.05, 0.05)) and found["micro_f1"].mean == pytest.approx(0.75)
    with pytest.raises(ValueError, match="made-up .symspectra. has no bottleneck"):
        compression_of([swept(0.7, [{"loss": 1.0}] * 2)])

"""What a trained model attends to: gates and weights are read as they are, and judged by the stated rules."""

import numpy as np
import pytest
import torch
from conftest import marker_dataset, tiny
from scipy.stats import spearmanr

from symspectra.exhibits.comparison import summarise
from symspectra.exhibits.interpretation import (
    Importance,
    associated,
    by_group_count,
    extremes,
    group_f1,
    group_weights,
    importance,
    maps_differ,
    molecule_weights,
    named_are_heavier,
    richer_is_more_important,
)
from symspectra.groups.table8 import NAMES
from symspectra.training.runs import run


@pytest.fixture(scope="module")
def data():
    return marker_dataset(90, missing=0.2)


@pytest.fixture(scope="module")
def runs(data, tmp_path_factory):
    store = tmp_path_factory.mktemp("store")
    return [run(tiny(seed=seed, weight_ramp=1), store, "cpu", data) for seed in (0, 1)]


def made(importances, groups):
    gates = np.broadcast_to(np.array(importances)[None, :, None, None], (2, len(groups), 3, 4))
    return Importance(tuple(map(str, groups)), np.array(groups), gates)


def test_gates_are_those_of_the_models(runs, data):
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


def test_an_empty_test_split_is_refused(runs, data):
    class Empty:
        rows = staticmethod(lambda split: torch.zeros(0, dtype=torch.long))

        def to(self, device):
            return self

    with pytest.raises(ValueError, match="the test split is empty"):
        importance(runs, Empty(), device="cpu")


def test_extremes():
    easiest, hardest = extremes(np.array([3, 1, 7, 1, 9, 4]), 2)
    assert easiest == [1, 3] and hardest == [4, 2]
    assert extremes(np.array([3, 1, 7]), 5) == ([1], [2])


def test_richer_molecules_and_the_gates_that_are_not_at_work():
    groups = list(range(12))
    assert richer_is_more_important("M", "x", made(np.linspace(0.2, 0.9, 12), groups)).verdict == "holds"
    assert richer_is_more_important("M", "x", made(np.linspace(0.9, 0.2, 12), groups)).verdict == "does not hold"
    flat = richer_is_more_important("M", "x", made(1 - 4e-5 * np.arange(12), groups))
    assert flat.verdict == "cannot be tested here" and "the same for all 12 molecules (1.000 to 1.000)" in flat.why


def test_maps_differ():
    found = made(np.tile([0.4, 0.6], 6), list(range(12)))
    assert found.variation == pytest.approx(0.1) and maps_differ("M", "x", found).verdict == "holds"
    assert maps_differ("M", "x", made(np.tile([0.49, 0.51], 6), list(range(12)))).verdict == "does not hold"
    assert found.by_modality.tolist() == pytest.approx([0.5] * 3)


def test_associated_asks_for_strength_and_significance():
    rng = np.random.default_rng(0)
    x = np.arange(400)
    weak = x + rng.normal(0, 600, 400)
    rho = spearmanr(x, weak).statistic
    assert 0.08 < rho < 0.3 and spearmanr(x, weak, alternative="greater").pvalue < 0.05
    claim = associated("N", "x", x, weak, "molecules")
    assert claim.verdict == "does not hold" and f"over 400 molecules is {rho:+.2f}" in claim.why
    assert associated("N", "x", x, x + rng.normal(0, 50, 400), "molecules").verdict == "holds"
    few = associated("N", "x", np.arange(5), np.array([1, 3, 2, 5, 4.0]), "groups")
    assert few.verdict == "does not hold" and "p = 0.067" in few.why  # 0.8, but of five groups
    falling = associated("N", "x", x, -x, "groups", "falls")
    assert falling.verdict == "holds" and "is -1.00" in falling.why
    for points in (x[:3], np.ones(9)):
        assert associated("N", "x", points, points, "groups").verdict == "cannot be tested here"


def test_weights_of_molecules(runs, data):
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


def test_weights_and_f1_of_groups(runs):
    weights, f1 = group_weights(runs), group_f1(runs)
    assert list(weights) == list(NAMES) and weights[NAMES[3]].values[0] == runs[0].training_weights()[1][NAMES[3]]
    values = [score.mean for score in f1.values()]
    assert values == sorted(values) and set(f1) <= set(NAMES)
    support = runs[0].metrics["test"]["per_group_support"]
    assert len(f1) == sum(n > 0 for n in support)


def test_a_model_without_weights_is_named(data, tmp_path):
    plain = run(tiny(model="jung_cnn", dense=(16, 8, 8), epochs=1), tmp_path, "cpu", data)
    with pytest.raises(ValueError, match=f"run {plain.id} of model 'jung_cnn' has no weights"):
        group_weights([plain])


def test_named_groups_are_heavier():
    weights = {name: summarise([w]) for name, w in zip("abcde", (0.8, 0.9, 1.0, 1.1, 1.2), strict=True)}
    positives = {**dict.fromkeys("bcde", 3), "a": 0}
    assert named_are_heavier("N", "x", "de", weights, positives).verdict == "holds"
    claim = named_are_heavier("N", "x", "ce", weights, positives)
    assert claim.verdict == "does not hold" and claim.why == "c 1.000, e 1.200; median 1.000."
    rest = named_are_heavier("N", "x", "ae", weights, positives)
    assert rest.verdict == "holds" and rest.why == "e 1.200; median 1.000. No training molecule has a."
    assert named_are_heavier("N", "x", "a", weights, positives).verdict == "cannot be tested here"

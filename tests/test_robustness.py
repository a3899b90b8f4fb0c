"""Models on spoiled spectra: the score is that of the model on those spectra, and the rules are the stated ones."""

import numpy as np
import pytest
import torch
from conftest import marker_dataset, tiny

from symspectra.datasets.base import ArrayDataset
from symspectra.datasets.views import Corrupted
from symspectra.exhibits.comparison import score, summarise
from symspectra.exhibits.robustness import (
    Drop,
    blind_score,
    corrupted_score,
    declines,
    micro_f1_drop,
    no_collapse,
    no_sharp_drop,
)
from symspectra.training.fit import predict
from symspectra.training.metrics import multilabel_metrics
from symspectra.training.runs import run


@pytest.fixture(scope="module")
def data():
    return marker_dataset(90)


@pytest.fixture(scope="module")
def runs(data, tmp_path_factory):
    store = tmp_path_factory.mktemp("store")
    return [run(tiny(seed=seed), store, "cpu", data) for seed in (0, 1)]


def test_score_is_that_of_each_model_on_the_spoiled_spectra(runs, data):
    assert corrupted_score(runs, data, device="cpu").values == pytest.approx(score(runs).values)
    view, rows = Corrupted(data, 1.0, ("c13",)), data.rows("test")
    expected = [multilabel_metrics(data.y[rows], predict(r.load(), view, rows))["micro_f1"] for r in runs]
    spoiled = corrupted_score(runs, data, 1.0, ["c13"], "cpu")
    assert spoiled.values == pytest.approx(expected) and spoiled.values != score(runs).values


def test_data_of_other_spectra_are_refused(runs):
    other = marker_dataset(12, ("ir", "h1"))
    with pytest.raises(ValueError, match=r"reads \('ir', 'c13'\), the data set has \('ir', 'h1'\)"):
        corrupted_score(runs, other, device="cpu")


def test_blind_score_names_the_groups_that_most_training_molecules_have():
    y = torch.zeros(4, 37, dtype=torch.bool)
    y[:, 0], y[0, 1], y[2, 2] = True, True, True  # group 1 in half of the training molecules, group 2 in none
    x, present = torch.rand(4, 1, 600), torch.ones(4, 1, dtype=torch.bool)
    split = ["train", "train", "test", "test"]
    assert blind_score(ArrayDataset(x, present, y, "abcd", split, ["ir"])) == pytest.approx(2 * 2 / (3 + 4))


@pytest.mark.parametrize(
    ("without", "blind", "verdict", "words"),
    [
        ({"IR": 0.71, "1H": 0.75}, 0.3, "holds", "89% without IR, 94% without 1H"),
        ({"IR": 0.48, "1H": 0.75}, 0.3, "does not hold", "60% without IR"),
        ({"IR": 0.71, "1H": 0.75}, 0.72, "does not hold", "89% without IR"),
        ({"IR": 0.71, "1H": 0.75}, 0.8, "cannot be tested here", "has not learned enough"),
    ],
)
def test_no_collapse(without, blind, verdict, words):
    claim = no_collapse("J", "x", summarise([0.8]), {k: summarise([v]) for k, v in without.items()}, blind)
    assert claim.verdict == verdict and words in claim.why


@pytest.mark.parametrize(
    ("values", "blind", "verdict", "words"),
    [
        ([0.9, 0.85, 0.8, 0.75], 0.3, "holds", "From 0.900 to 0.750, 0.050 a step on average"),
        ([0.9, 0.88, 0.5, 0.48], 0.3, "does not hold", "from noise 0.1 to 0.2, loses 0.380"),
        ([0.9, 0.895, 0.885, 0.885], 0.3, "holds", "loses 0.010"),  # little is lost in all
        ([0.9, 0.88, 0.5, 0.48], 0.9, "cannot be tested here", "has not learned enough"),
    ],
)
def test_no_sharp_drop(values, blind, verdict, words):
    claim = no_sharp_drop("J", "x", {k / 10: summarise([v]) for k, v in enumerate(values)}, blind)
    assert claim.verdict == verdict and words in claim.why


def test_uneven_levels_are_refused():
    with pytest.raises(ValueError, match=r"levels of noise \[0.0, 0.1, 0.4\]; expected three or more, evenly spaced"):
        no_sharp_drop("J", "x", {x: summarise([0.5]) for x in (0.0, 0.1, 0.4)}, 0.1)


def test_declines_only_where_there_is_something_to_lose():
    falling = {k / 10: summarise([0.9 - k / 20]) for k in range(5)}
    assert declines("J", "x", falling, 0.4).verdict == "holds"
    assert declines("J", "x", {-x: score for x, score in falling.items()}, 0.4).verdict == "does not hold"
    assert declines("J", "x", falling, 0.95).verdict == "cannot be tested here"


class Predicted:
    """As much of a run as the drop reads: test labels, some of which are predicted wrongly."""

    def __init__(self, wrong, n=200, seed=0, ids="molecule"):
        random = np.random.default_rng(seed)
        self.y = random.random((n, 37)) < 0.2
        self.p = np.where(random.random((n, 37)) < wrong, ~self.y, self.y).astype(float)
        self.ids = tuple(f"{ids} {i}" for i in range(n))

    def predictions(self, split):
        assert split == "test"
        return self.ids, self.y, self.p

    @property
    def f1(self):
        return multilabel_metrics(self.y, self.p)["micro_f1"]


def test_the_loss_is_the_difference_of_the_mean_scores():
    ordinary, harder = [Predicted(0.02), Predicted(0.03, seed=1)], [Predicted(0.1, 80, seed=2, ids="other")]
    drop = micro_f1_drop(ordinary, harder)
    assert drop.lost == pytest.approx((ordinary[0].f1 + ordinary[1].f1) / 2 - harder[0].f1)
    assert 0 < drop.low < drop.lost < drop.high and drop.shown
    assert micro_f1_drop(ordinary, harder) == drop


def test_the_interval_narrows_with_the_molecules_and_holds_zero_without_a_loss():
    few, many = (micro_f1_drop([Predicted(0.1, n)], [Predicted(0.1, n, seed=3)]) for n in (50, 800))
    assert few.low < 0 < few.high and not few.shown
    assert (few.high - few.low) / (many.high - many.low) == pytest.approx(4, abs=1)


def test_the_interval_holds_what_other_molecules_give():
    """Of 100 pairs of test sets without a true loss, about 95 intervals hold zero."""
    holds = 0
    for i in range(100):
        drop = micro_f1_drop([Predicted(0.1, 60, seed=2 * i)], [Predicted(0.1, 60, seed=2 * i + 1)], draws=200)
        holds += drop.low <= 0 <= drop.high
    assert 87 <= holds <= 100


def test_the_words_and_what_is_refused():
    assert str(Drop(0.1, 0.05, 0.151)) == "0.100 (0.050 to 0.151)"
    with pytest.raises(ValueError, match="2 runs have not one and the same set of test molecules"):
        micro_f1_drop([Predicted(0.1), Predicted(0.1, ids="other")], [Predicted(0.1)])
    with pytest.raises(ValueError, match="0 runs have not one"):
        micro_f1_drop([], [Predicted(0.1)])

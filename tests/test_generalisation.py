"""The loss between two test sets, on predictions made for it."""

import numpy as np
import pytest

from symspectra.exhibits.generalisation import Drop, micro_f1_drop
from symspectra.training.metrics import multilabel_metrics


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

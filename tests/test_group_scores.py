"""Scores of chosen groups, by hand."""

import pytest

from symspectra.comparison import summarise, tier_scores
from symspectra.group_scores import lead, score_of_groups
from symspectra.metrics import Tier


class Outcome:
    """As much of a run as the scores of groups read: four groups, the last of which no test molecule has."""

    def __init__(self, f1, recall=(0, 0, 0, 0)):
        test = {"per_group_f1": f1, "per_group_precision": f1[::-1], "per_group_recall": recall}
        self.metrics = {"test": {**test, "per_group_support": [3, 1, 7, 0]}}


RUNS = [Outcome([0.2, 0.4, 0.9, 0.0], [0.5, 0.7, 0.0, 0.0]), Outcome([0.4, 0.8, 0.5, 0.0], [0.1, 0.3, 0.0, 0.0])]


def test_mean_over_the_groups_that_can_be_tested():
    assert score_of_groups(RUNS, [0, 1]).values == pytest.approx((0.3, 0.6))
    assert score_of_groups(RUNS, [2]).values == (0.9, 0.5)
    assert score_of_groups(RUNS, [0, 3]).values == (0.2, 0.4)  # not halved by the group without positives
    assert score_of_groups(RUNS, [0, 1], "recall").values == pytest.approx((0.6, 0.2))
    assert score_of_groups(RUNS, [2], "precision").values == (0.4, 0.8)
    for groups in ([3], []):
        assert score_of_groups(RUNS, groups) == summarise([])


def test_a_tier_is_a_choice_of_groups():
    tiers = {"low": Tier((3, 0), (0, 1)), "high": Tier((2, 1), (5, 9))}
    assert tier_scores(RUNS, tiers) == {name: score_of_groups(RUNS, tier.groups) for name, tier in tiers.items()}


def test_unknown_measures_are_refused():
    with pytest.raises(ValueError, match="there is no measure 'micro_f1' of a group; expected one of f1, precision"):
        score_of_groups(RUNS, [0], "micro_f1")


def test_a_lead_is_taken_seed_by_seed():
    ours, one, other = summarise([0.5, 0.9]), summarise([0.4, 0.6]), summarise([0.2, 1.0])
    assert lead(ours, one).values == pytest.approx((0.1, 0.3))
    assert lead(ours, one, other).values == pytest.approx((0.2, 0.1))
    assert lead(ours, one).sd == pytest.approx(0.2 / 2**0.5)
    assert lead(ours, one, summarise([])) == lead(summarise([]), ours) == summarise([])


def test_a_lead_needs_scores_of_as_many_seeds():
    with pytest.raises(ValueError, match="scores of 2, 1 seeds; a lead is taken seed by seed"):
        lead(summarise([0.5, 0.9]), summarise([0.4]))
    with pytest.raises(ValueError, match="a lead needs at least one score"):
        lead(summarise([0.5]))

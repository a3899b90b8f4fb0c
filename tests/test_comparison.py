"""What may be concluded from scores over seeds, and how the paper's numbers stand beside them."""

import numpy as np
import pytest
from scipy.stats import t as t_distribution
from scipy.stats import ttest_ind

from symspectra.config import Config
from symspectra.exhibits.comparison import (
    Score,
    as_json,
    compare,
    lead,
    paper_cell,
    score_of_groups,
    summarise,
    tier_scores,
    with_spread,
)
from symspectra.experiments.plan import MODELS, TABLE_1_SIMULATED
from symspectra.training.metrics import Tier, holm


def test_verdicts_follow_the_rule():
    better, worse = summarise([0.90, 0.91, 0.92]), summarise([0.80, 0.81, 0.82])
    noisy, one, none = summarise([0.7, 0.9, 1.0]), summarise([0.9]), summarise([])
    pairs = {"a": (better, worse), "b": (worse, better), "c": (better, noisy), "d": (one, better), "e": (none, better)}
    pairs["f"] = (summarise([0.5, 0.5]), summarise([0.4, 0.4]))  # Welch's test has no meaning
    pairs["g"] = (better, summarise([0.5, 0.5, 0.5]))  # here it has, though one side has no spread
    verdicts = compare(pairs)
    assert [v.verdict for v in verdicts.values()] == [
        "holds",
        "reversed",
        "noise",
        "untested",
        "empty",
        "no spread",
        "holds",
    ]
    p = [ttest_ind(pairs[k][0].values, pairs[k][1].values, equal_var=False).pvalue for k in "abc"]
    p.append(2 * t_distribution.sf((0.91 - 0.5) / (0.01 / 3**0.5), 2))
    assert [verdicts[k].p_holm for k in "abcg"] == pytest.approx(holm(p))
    assert "one seed" in str(verdicts["d"]) and "+0.100" in str(verdicts["a"])
    assert summarise([0.5, 0.7]).sd == pytest.approx(np.std([0.5, 0.7], ddof=1)) and one.sd is None


def test_every_cell_of_table_1_stands_beside_the_papers():
    for row in TABLE_1_SIMULATED:
        for name in MODELS.values():
            assert 0 < paper_cell(row, name).value < 1
    assert with_spread(paper_cell("IR, MS/MS+, MS/MS-", "SymSpectra")) == "0.949 (0.008)"


def test_as_json_is_plain():
    assert as_json({1: (np.int64(2), Score(1.0, None, (1.0,)))}) == {
        "1": [2, {"mean": 1.0, "sd": None, "values": [1.0]}]
    }


class Outcome:
    """As much of a run as the scores of groups read: four groups, the last of which no test molecule has."""

    id, config = "0123", Config()

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
        assert score_of_groups(RUNS, groups) == summarise([], "group_f1")


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

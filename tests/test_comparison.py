"""What may be concluded from scores over seeds, and how the paper's numbers stand beside them."""

import numpy as np
import pytest
from scipy.stats import t as t_distribution

from symspectra.comparison import (
    Score,
    as_json,
    compare,
    groups_of_molecule,
    paper_cell,
    summarise,
    with_spread,
)
from symspectra.experiments import MODELS, TABLE_1_SIMULATED
from symspectra.functional_groups import NAMES
from symspectra.metrics import holm, welch_holm


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
    p = [welch_holm(pairs[k][0].values, {k: pairs[k][1].values})[k]["p"] for k in "abc"]
    p.append(2 * t_distribution.sf((0.91 - 0.5) / (0.01 / 3**0.5), 2))
    assert [verdicts[k].p_holm for k in "abcg"] == pytest.approx(holm(p))
    assert "one seed" in str(verdicts["d"]) and "+0.100" in str(verdicts["a"])
    assert summarise([0.5, 0.7]).sd == pytest.approx(np.std([0.5, 0.7], ddof=1)) and one.sd is None


def test_every_cell_of_table_1_stands_beside_the_papers():
    for row in TABLE_1_SIMULATED:
        for name in MODELS.values():
            assert 0 < paper_cell(row, name).value < 1
    assert with_spread(paper_cell("IR, MS/MS+, MS/MS-", "SymSpectra")) == "0.949 (0.008)"


def test_groups_of_molecule_keeps_what_is_there_or_likely():
    probability, there = np.full(37, 0.01), np.zeros(37, dtype=bool)
    probability[3], probability[4], there[5] = 0.9, 0.2, True
    table = groups_of_molecule(probability, there)
    assert table["group"].tolist() == [NAMES[3], NAMES[4], NAMES[5]]
    assert table["predicted"].tolist() == ["yes", "no", "no"] and table["in the structure"].tolist() == [
        "no",
        "no",
        "yes",
    ]


def test_as_json_is_plain():
    assert as_json({1: (np.int64(2), Score(1.0, None, (1.0,)))}) == {
        "1": [2, {"mean": 1.0, "sd": None, "values": [1.0]}]
    }

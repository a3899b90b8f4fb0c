"""How claims are judged: the stated rules, on scores made for them."""

import numpy as np
import pytest
from scipy.stats import permutation_test, spearmanr

from symspectra.exhibits.claims import (
    OUTCOMES,
    RULES,
    cell,
    count_outcomes,
    decided,
    optimum,
    ordering,
    rank_correlation,
    show_claims,
    trend,
    untestable,
)
from symspectra.exhibits.comparison import Score, compare, summarise
from symspectra.exhibits.paper import exhibits, paper_table

HIGH, LOW = summarise([0.90, 0.91, 0.92]), summarise([0.80, 0.81, 0.82])
NOISY, NOISY_TWO = summarise([0.7, 0.9, 1.0]), summarise([0.7, 1.0])
ONE, TWO, NONE = summarise([0.9]), summarise([0.9, 0.91]), Score(None, None, ())
FLAT_HIGH, FLAT_LOW = summarise([0.5] * 3), summarise([0.4] * 3)


@pytest.mark.parametrize(
    ("pairs", "verdict", "words"),
    [
        ({"a": (HIGH, LOW), "b": (HIGH, LOW)}, "holds", "Passes in 2 of 2 rows"),
        ({"a": (HIGH, LOW), "b": (LOW, HIGH)}, "does not hold", "reversed in 1"),
        ({"a": (HIGH, LOW), "b": (HIGH, NOISY)}, "does not hold", "below the noise in 1"),
        (
            {"a": (HIGH, LOW), "b": (TWO, NOISY_TWO)},
            "cannot be tested here",
            "Passes in 1 of 2 rows, below the noise in 1",
        ),
        ({"a": (HIGH, LOW), "b": (HIGH, NOISY_TWO)}, "cannot be tested here", "2 to 3 seeds"),
        ({"a": (ONE, ONE)}, "cannot be tested here", "Not testable with one seed; difference +0.000; 1 seed."),
        ({"a": (HIGH, LOW), "b": (NONE, LOW)}, "cannot be tested here", "without such a molecule or group"),
        ({"a": (FLAT_HIGH, FLAT_LOW)}, "cannot be tested here", "without spread"),
        ({"a": (LOW, HIGH), "b": (ONE, ONE)}, "does not hold", "not testable with one seed in 1"),
    ],
)
def test_ordering(pairs, verdict, words):
    claim = ordering("Observation 2, Table 2", "A is better than B", pairs)
    assert claim.verdict == verdict and words in claim.why, claim.why
    assert claim.rule == "ordering" and claim.source == "Observation 2, Table 2"


def test_ordering_names_the_largest_and_smallest_difference():
    claim = ordering("s", "t", {"first\nrow": (HIGH, LOW), "second": (LOW, HIGH), "third": (HIGH, NOISY)})
    assert "differences from -0.100 (second) to +0.100 (first row)" in claim.why
    with pytest.raises(ValueError, match="Table 9: an ordering needs at least one row"):
        ordering("Table 9", "t", {})


def points(*means):
    return {float(x): summarise([mean]) for x, mean in enumerate(means)}


@pytest.mark.parametrize(
    ("means", "direction", "verdict"),
    [
        ((0.1, 0.2, 0.3, 0.4), "rises", "holds"),
        ((0.1, 0.2, 0.3, 0.4), "falls", "does not hold"),
        ((0.4, 0.3, 0.2, 0.1), "falls", "holds"),
        ((0.1, 0.2, 0.4, 0.3), "rises", "does not hold"),
        ((0.1, 0.2, 0.3), "rises", "cannot be tested here"),
        ((0.2, 0.2, 0.2, 0.2), "rises", "does not hold"),
        ((), "rises", "cannot be tested here"),
    ],
)
def test_trend(means, direction, verdict):
    claim = trend("Figure 4", "F1 rises", points(*means), direction)
    assert (claim.verdict, claim.rule) == (verdict, "trend"), claim.why


def test_trend_leaves_out_points_without_a_number_and_knows_two_directions():
    claim = trend("s", "t", points(0.1, 0.2, 0.3, 0.4) | {9.0: NONE})
    assert claim.verdict == "holds" and "4 points" in claim.why
    assert (
        "Only 3 points with a score: even a perfect order has a chance of 1 in 6."
        in trend("s", "t", points(1, 2, 3)).why
    )
    with pytest.raises(ValueError, match="Figure 4: direction 'up', expected 'rises' or 'falls'"):
        trend("Figure 4", "t", points(1, 2, 3, 4), "up")


@pytest.mark.parametrize("y", [[1, 2, 3, 4], [2, 1, 3, 5, 4], [1, 1, 2, 3, 3], [5, 3, 4, 1, 2, 0]])
def test_rank_correlation_is_exact_for_few_points(y):
    x, y = np.arange(len(y), dtype=float), np.array(y, dtype=float)
    expected = permutation_test(
        (x,), lambda x: spearmanr(x, y).statistic, permutation_type="pairings", alternative="greater", n_resamples=1000
    )
    assert rank_correlation(x, y) == pytest.approx((spearmanr(x, y).statistic, expected.pvalue))


def test_rank_correlation_of_many_points_is_that_of_scipy():
    rng = np.random.default_rng(0)
    x, y = rng.random((2, 30))
    expected = spearmanr(x, y, alternative="greater")
    assert rank_correlation(x, y) == pytest.approx((expected.statistic, expected.pvalue))


def test_optimum():
    others = {(0.1, 0.1): LOW, (0.6, 0.6): LOW}
    best = optimum("Figure 11a", "best at 0.3", {(0.3, 0.3): HIGH} | others, (0.3, 0.3))
    assert best.verdict == "holds" and best.why.startswith("0.3, 0.3 has 0.910")
    other = optimum("Figure 11a", "best at 0.1", {(0.3, 0.3): HIGH} | others, (0.1, 0.1))
    assert other.verdict == "does not hold" and other.why.startswith("Highest at 0.3, 0.3 with 0.910 (0.010)")
    single = optimum("Figure 11a", "best", {1: summarise([0.9]), 2: summarise([0.8])}, 1)
    assert single.verdict == "cannot be tested here"
    with pytest.raises(ValueError, match=r"Figure 11a: the optimum 7 needs a score there .* scores at 1, 2"):
        optimum("Figure 11a", "t", {1: HIGH, 2: LOW}, 7)


def test_other_claims_and_their_count():
    claims = [
        decided("Fig 1a", "skewed", True, "A factor of 120.", "A factor of 100 or more."),
        decided("Fig 1a", "skewed", False, "A factor of 20.", "A factor of 100 or more."),
        untestable("Observation 3", "robust on measured spectra", "There are no measured spectra."),
    ]
    assert count_outcomes(claims) == {"holds": 1, "does not hold": 1, "cannot be tested here": 1}
    assert tuple(count_outcomes([])) == OUTCOMES
    assert {"ordering", "trend", "optimum", claims[-1].rule} == set(RULES)


def test_claims_as_a_table():
    table = show_claims([untestable("Fig 1|2", "two\nlines", "why")]).splitlines()
    assert table[2] == "| Fig 1\\|2 | two lines | **cannot be tested here** | why |"
    assert len(table) == 3
    own = decided("Fig 1a", "skewed", True, "A factor of 120.", "a factor of 100 or more.")
    assert show_claims([own]).endswith("| **holds** | A factor of 120. Rule: a factor of 100 or more. |")


def test_cell_has_the_number_of_the_paper():
    ours = summarise([0.9, 0.92])
    table_1 = cell("table1", "Simulated: IR", "SymSpectra", ours)
    assert table_1[:6] == ("table1", "Simulated: IR", "SymSpectra", "micro-F1", 0.924, 0.013) and table_1.here is ours
    assert "0.911" in cell("table10", "Transformer", "F1", ours).note
    metrics = {("table9", "LSTM", "Accuracy"): "exact match", ("table10", "XGBoost", "Time (h)"): "Time (h)"}
    metrics |= {("table3", "SymSpectra", "Low"): "mean F1 of the tier", ("table5", "F1", "0"): "micro-F1"}
    for place, metric in metrics.items():
        assert cell(*place, ours).metric == metric
    assert cell("table9", "LSTM", "F1", ours, metric="macro-F1").metric == "macro-F1"
    with pytest.raises(ValueError, match="did you mean 'Simulated: IR'"):
        cell("table1", "Simulated: ir", "SymSpectra", ours)


def test_every_printed_number_can_be_a_cell():
    for exhibit in exhibits():
        for (row, column), value in paper_table(exhibit).stack().dropna().items():
            assert cell(exhibit, row, column, HIGH).paper == value


def test_comparison_and_ordering_agree():
    pairs = {"a": (HIGH, LOW), "b": (HIGH, NOISY), "c": (HIGH, FLAT_HIGH)}
    rows = compare(pairs)
    for name, pair in pairs.items():
        assert (ordering("s", "t", {name: pair}).verdict == "holds") == (compare({name: pair})[name].verdict == "holds")
    assert rows["b"].p_holm > rows["a"].p_holm

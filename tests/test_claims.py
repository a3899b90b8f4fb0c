"""What notebooks ask of the verdicts, on runs made for the purpose."""

import numpy as np
import pytest
from scipy import stats
from test_verdicts import predictions

from symspectra.exhibits import claims
from symspectra.exhibits.claims import Judge, associated, cell, count_outcomes, decided, show_claims, untestable
from symspectra.exhibits.paper import printed_numbers
from symspectra.exhibits.scores import Score, score, summarise
from symspectra.exhibits.verdicts import FAILS, HOLDS, OUTCOMES, UNDECIDED, UNTESTED
from symspectra.experiments.profiles import load_profile


@pytest.fixture(scope="module")
def judge(tmp_path_factory):
    return Judge(load_profile("smoke"), tmp_path_factory.mktemp("store"))


@pytest.fixture(scope="module")
def levels():
    """Four settings, each better than the one before, and a fifth like the last."""
    return [score(p) for p in predictions(np.random.default_rng(0), [0, 0.3, 0.6, 0.9, 0.9], 2000, 8)]


def test_ordering(judge, levels):
    low, _, _, high, same = levels
    claim = judge.ordering("Table 1", "A is better than B", {"a": (high, low), "b": (levels[2], levels[1])})
    assert (claim.outcome, claim.source, [row.text for row in claim.rows]) == (HOLDS, "Table 1", ["a", "b"])
    assert judge.ordering("s", "t", {"a": (high, low), "b": (low, high)}).outcome == FAILS
    assert judge.ordering("s", "t", {"a": (high, same)}, margin=0.2).outcome == FAILS
    assert judge.ordering("s", "t", {"a": (high, summarise([0.5]))}).outcome == UNTESTED


def test_a_larger_difference(judge, levels):
    low, second, third, high, same = levels
    assert judge.largest("s", "t", {"a": ((high, low), (third, second))}).outcome == HOLDS
    assert judge.largest("s", "t", {"a": ((high, same), (third, low))}).outcome == FAILS


def test_trend(judge, levels):
    points = dict(zip((1, 5, 2, 3), (levels[k] for k in (0, 3, 1, 2)), strict=True))
    assert judge.trend("s", "t", points).outcome == HOLDS
    assert judge.trend("s", "t", points, "falls").outcome == FAILS
    assert judge.trend("s", "t", {1: levels[0], 2: levels[1]}).outcome == UNTESTED
    assert judge.trend("s", "t", {}).outcome == UNTESTED


def test_trend_of_a_difference(judge, levels):
    low, second, third, high, same = levels
    growing = {300: (second, third), 1000: (high, same), 5000: (high, low)}
    rises = judge.trend("s", "t", growing)
    assert rises.outcome == HOLDS and judge.trend("s", "t", growing, "falls").outcome == FAILS
    assert rises.difference == pytest.approx(high.mean - low.mean - second.mean + third.mean)  # end to end of a line
    assert judge.trend("s", "t", {**growing, 20_000: (high, summarise([0.5]))}).outcome == UNTESTED


def test_optimum(judge, levels):
    points = dict(zip("abcd", levels, strict=False))
    assert judge.optimum("s", "t", points, "d").outcome == HOLDS
    assert judge.optimum("s", "t", points, "c").outcome == FAILS


def test_spread_of_seeds_is_that_of_all_settings_in_the_store(monkeypatch, tmp_path):
    """With peers of other settings, one seed of a setting is enough, and the verdict says how many there were."""
    made = dict(enumerate(predictions(np.random.default_rng(1), [0.5, 0, 0, 0], 1500, 8)))
    judge = Judge(load_profile("smoke"), tmp_path)
    judge._configs = {"ours": {k: [(k, 0), (k, 1)] for k in made}}
    monkeypatch.setattr(claims, "find_run", lambda config, store: config)
    monkeypatch.setattr(claims, "predictions", lambda runs, tuned: made[runs[0][0]])
    first, second = (score(made[k]) for k in (0, 1))
    claim = judge.ordering("s", "t", {"a": (first, second)})
    assert claim.outcome == HOLDS and "SD over 4 settings" in claim.sentence


def test_association():
    rng, x = np.random.default_rng(0), np.arange(60)
    y = np.array([x + rng.normal(0, 20, 60) for _ in range(3)])
    claim = associated("s", "t", x, y, "groups")
    rho = stats.spearmanr(x, y.mean(0)).statistic
    assert claim.outcome == HOLDS and claim.difference == pytest.approx(rho) and claim.low < rho < claim.high
    assert associated("s", "t", x, y, "groups", "falls").outcome == FAILS
    assert associated("s", "t", x, rng.normal(size=60), "groups").outcome in (UNDECIDED, FAILS)
    assert associated("s", "t", x, y, "groups", least=0.99).outcome == FAILS
    assert associated("s", "t", x, np.ones(60), "groups").outcome == UNTESTED


def test_interval_of_an_association_holds_the_truth():
    rng, found = np.random.default_rng(0), []
    for _ in range(300):
        x = rng.normal(size=40)
        claim = associated("s", "t", x, 0.5 * x + np.sqrt(0.75) * rng.normal(size=40), "groups")
        found.append(claim.low < 6 / np.pi * np.arcsin(0.25) < claim.high)
    assert np.mean(found) == pytest.approx(0.95, abs=0.03)


def test_every_printed_number_has_a_cell():
    for place, printed in printed_numbers().items():
        ours = cell(*place, summarise([0.5]))
        assert ours.paper == printed.value and ours.metric


def test_words():
    found = [decided("s", "t | u", True, "Because.", "a rule"), untestable("s", "t", "None here.")]
    assert count_outcomes(found) == dict(zip(OUTCOMES, (1, 0, 0, 1), strict=True))
    table = show_claims(found)
    assert "| s | t \\| u | **holds** | Because. Rule: a rule |" in table and "**not testable here**" in table
    assert [str(Score()), str(summarise([0.5])), str(summarise([0.4, 0.6]))] == ["none", "0.500", "0.500 (0.141)"]

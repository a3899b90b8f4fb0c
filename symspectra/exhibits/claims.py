"""Claims of the paper, judged: what notebooks ask of `symspectra.exhibits.verdicts`, and what they tell the report."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from jaxtyping import Float
from scipy import stats

from symspectra.exhibits.paper import paper_value
from symspectra.exhibits.scores import Predictions, Score, Scored, predictions, scored
from symspectra.exhibits.tables import markdown
from symspectra.exhibits.verdicts import (
    FAILS,
    HOLDS,
    LEVEL,
    MARGIN,
    OUTCOMES,
    UNDECIDED,
    UNTESTED,
    Terms,
    Verdict,
    difference,
    judge,
    rise,
)
from symspectra.experiments.plan import planned_runs, title_of
from symspectra.experiments.profiles import Profile
from symspectra.training.runs import find_run

METRICS = {"F1": "micro-F1", "Accuracy": "exact match"}  # column of a table -> metric
EXHIBIT_METRICS = {"table1": "micro-F1", "table3": "mean F1 of the tier", "table4": "F1 of the group"}
EXHIBIT_METRICS |= {"table5": "micro-F1", "table7": "p-value"}
MARGINS = {"micro_f1": MARGIN}  # differences below it do not count; other scores are less certain, and larger
OTHER_MARGIN = 0.02
NEGLIGIBLE = 0.1  # a rank correlation nearer to zero than this is none
RULES = f"""\
A claim is tested on all molecules that the runs have not seen. A difference is that of the means over seeds; its
interval allows for other seeds and for other molecules of the same kind, at the {1 - LEVEL:.0%} level, corrected over
the rows of a claim (Holm); `symspectra.exhibits.verdicts` has the formulas and their sources.

- **holds**: the interval of every row lies on the paper's side of zero.
- **does not hold**: that of one row lies on the other side, or the difference is shown to be smaller than the margin,
  {MARGIN} of micro-F1 and {OTHER_MARGIN} of other scores where nothing else is said.
- **undecided**: neither is shown; the seeds and molecules that would decide it are named.
- **not testable here**: what it speaks of is not part of the data or the runs; the reason is given.
"""
Pair = tuple[Score, Score]


class Cell(NamedTuple):
    """One number of the paper, and ours. ``paper`` is None where the paper prints none."""

    exhibit: str
    row: str
    column: str
    metric: str
    paper: float | None
    paper_spread: float | None
    here: Score
    note: str


def cell(exhibit: str, row: str, column: str, score: Score, metric: str | None = None) -> Cell:
    """Our score beside the number that the paper prints.

    Parameters
    ----------
    exhibit, row, column : as in `symspectra.exhibits.paper.paper_value`
    metric : what is measured; by default what the table prints, micro-F1 for "F1"

    Raises
    ------
    ValueError : the paper prints no such number.
    """
    printed = paper_value(exhibit, row, column)
    metric = metric or EXHIBIT_METRICS.get(exhibit) or METRICS.get(column, column)
    return Cell(exhibit, row, column, metric, printed.value, printed.spread, score, printed.note)


class Judge:
    """Judges differences between scores of a profile's runs.

    How far seeds lie apart is taken from all settings of a model of which the store holds two seeds or more, not only
    from those that a claim compares: with two seeds, one setting alone says next to nothing.

    Parameters
    ----------
    store : folder of the runs
    """

    def __init__(self, profile: Profile, store: str | Path = "runs"):
        self.store = store
        self._configs: dict[str, dict] = {}
        for config in planned_runs(profile) if len(profile.seeds) > 1 else ():
            if config.data.dataset != "experimental":
                alike = self._configs.setdefault(title_of(config), {})
                alike.setdefault(config.replace(seed=0), []).append(config)
        self._runs: dict = {}
        self._known: dict = {}
        self.others: list[Predictions] = []  # of other settings, from spoiled spectra, say, to take the spread from

    def ordering(
        self,
        source: str,
        text: str,
        pairs: Mapping[str, Pair],
        margin: float | None = None,
        across: bool = False,
    ) -> Verdict:
        """Is the first score of every row better than the second?

        Parameters
        ----------
        source, text : where the paper says it, and what
        pairs : row -> (the score that the paper finds better, the other)
        margin : differences below it do not count; by default 0.01 of micro-F1, 0.02 of other scores
        across : the scores may be of different test molecules, such as those of two splits
        """
        rows = {name: _terms(pair, lambda a: difference(*a)) for name, pair in pairs.items()}
        return self.rows(source, text, rows, margin, across)

    def largest(self, source: str, text: str, rows: Mapping[str, tuple[Pair, Pair]], across: bool = False) -> Verdict:
        """Is the difference of the first pair of each row larger than that of the second?"""
        weights = 1.0, -1.0, -1.0, 1.0
        found = {name: _terms((*a, *b), lambda s: [*zip(weights, s, strict=True)]) for name, (a, b) in rows.items()}
        return self.rows(source, text, found, across=across)

    def trend(self, source: str, text: str, points: Mapping[float, Score | Pair], direction: str = "rises") -> Verdict:
        """Does the score, or the difference of two, rise (or fall) along a setting?"""
        sign, weights = {"rises": 1, "falls": -1}[direction], (1.0, -1.0)
        scores = [point if isinstance(point, tuple) else (point,) for point in points.values()]
        parts = [_terms(pair, lambda found: [*zip(weights, found, strict=False)]) for pair in scores]
        lacking = next((part for part in parts if isinstance(part, str)), "")
        terms = lacking or rise(dict(zip((sign * x for x in points), parts, strict=True)))
        return self.rows(source, text, {"from end to end": terms})

    def optimum(self, source: str, text: str, points: Mapping[Hashable, Score], place: Hashable) -> Verdict:
        """Is one setting better than each of the others?"""
        others = {str(other): (points[place], score) for other, score in points.items() if other != place}
        return self.ordering(source, text, others)

    def rows(
        self,
        source: str,
        text: str,
        rows: Mapping[str, Terms | str],
        margin: float | None = None,
        across: bool = False,
    ) -> Verdict:
        """The verdict on rows of weighted scores (`symspectra.exhibits.verdicts.judge`)."""
        found = [scored for terms in rows.values() if not isinstance(terms, str) for _, scored in terms]
        known = {}
        for one in found:
            for other in self._alike(one):
                known[other[:4]] = other
        if margin is None:
            margin = min((MARGINS.get(one.metric[0], OTHER_MARGIN) for one in found), default=MARGIN)
        return judge(source, text, rows, list(known.values()), margin, across)

    def _alike(self, one: Scored) -> list[Scored]:
        """The same score of all other settings of the model with several seeds, on the same molecules."""
        condition = one.metric[1]
        alike = [other for other in self.others if (other.model, other.condition) == (one.model, condition)]
        found = [self._scored(other, other, one) for other in alike if len(other.molecules) == one.molecules]
        by_run = condition in ("", "tuned thresholds")
        for first, configs in self._configs.get(one.model, {}).items() if by_run else ():
            if first not in self._runs:
                self._runs[first] = [run for run in (find_run(c, self.store) for c in configs) if run is not None]
            if len(self._runs[first]) > 1:
                of = predictions(self._runs[first], bool(condition))
                if len(of.molecules) == one.molecules:
                    found.append(self._scored(first, of, one))
        return [other for other in found if other.test_set == one.test_set]

    def _scored(self, name: Hashable, of: Predictions, one: Scored) -> Scored:
        """The score that ``one`` is, of other predictions; each is needed by many claims."""
        metric, _, groups, _ = one.metric
        key = name, one.metric
        if key not in self._known:
            self._known[key] = scored(of, metric, groups, one.where)
        return self._known[key]


def _terms(scores, make) -> Terms | str:
    """What ``make`` builds of what verdicts rest on; a sentence where a score has no predictions behind it."""
    found = [score.basis for score in scores]
    return "there are no predictions behind a score: score the runs" if None in found else make(found)


def decided(source: str, text: str, holds: bool, why: str, rule: str) -> Verdict:
    """A claim with a rule of its own, such as "a factor of 100 or more"; ``rule`` states it in a sentence."""
    return Verdict(source, text, HOLDS if holds else FAILS, f"{why} Rule: {rule}")


def untestable(source: str, text: str, why: str) -> Verdict:
    """A claim on what is not part of the data or the runs."""
    return Verdict(source, text, UNTESTED, why)


def associated(
    source: str,
    text: str,
    x: Float[np.ndarray, " point"],
    y: Float[np.ndarray, "seed point"],
    points: str,
    direction: str = "rises",
    least: float = 0.0,
) -> Verdict:
    """Does y, averaged over seeds, rise (or fall) with x, over molecules or groups?

    Spearman's rank correlation with its interval (Bonett and Wright, Psychometrika 65 (2000) 23), widened by the spread
    over seeds. Holds where it lies above ``least`` in the paper's direction; does not hold where it lies below, or
    below a correlation that is none (0.1).

    Parameters
    ----------
    points : what a point is, ``"molecules"`` or ``"groups"``
    direction : ``"rises"`` or ``"falls"``
    """
    sign, y = {"rises": 1, "falls": -1}[direction], np.atleast_2d(y)
    if len(x) < 5 or np.ptp(x) == 0 or np.ptp(y.mean(0)) == 0:
        return untestable(source, text, f"{len(x)} {points}, without a difference that could be ranked.")
    rho = sign * stats.spearmanr(x, y.mean(0)).statistic
    variance = (1 + rho**2 / 2) / (len(x) - 3)
    if len(y) > 1:
        z = np.arctanh(np.clip([stats.spearmanr(x, one).statistic for one in y], -0.999, 0.999))
        variance += z.var(ddof=1) / len(y)
    reach = stats.norm.isf(LEVEL / 2) * np.sqrt(variance)
    low, high = np.tanh(np.arctanh(np.clip(rho, -0.999, 0.999)) + np.array([-reach, reach]))
    outcome = HOLDS if low > least else FAILS if high < max(least, NEGLIGIBLE) else UNDECIDED
    why = f"Spearman's rank correlation in the paper's direction {rho:+.2f}, 95 % interval [{low:+.2f}, {high:+.2f}], "
    why += f"over {len(x):,} {points}" + (f"; it holds above {least:g}." if least else ".")
    return Verdict(source, text, outcome, why, float(rho), float(low), float(high))


def count_outcomes(claims: Sequence[Verdict]) -> dict[str, int]:
    """How many claims have each of the outcomes."""
    return {outcome: sum(claim.outcome == outcome for claim in claims) for outcome in OUTCOMES}


def show_claims(claims: Sequence[Verdict]) -> str:
    """Claims as a Markdown table, for notebooks and the report."""
    rows = [(claim.source, claim.text, f"**{claim.outcome}**", claim.sentence) for claim in claims]
    return markdown(pd.DataFrame(rows, columns=["source", "claim of the paper", "verdict", "why"]))

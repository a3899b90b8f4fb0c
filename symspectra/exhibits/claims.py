"""How a claim of the paper is judged: one rule for each kind of claim, used by every notebook and by the report.

A claim holds, does not hold, or cannot be tested here; `RULES` states when. "Does not hold" includes "is not shown by
a test that could have shown it": a difference below the noise of three or more seeds is no support for an ordering.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from itertools import permutations
from math import factorial
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from symspectra.exhibits.comparison import LEVEL, Comparison, Score, compare
from symspectra.exhibits.paper import paper_value

HOLDS, FAILS, UNTESTED = OUTCOMES = "holds", "does not hold", "cannot be tested here"
RULES = {
    "ordering": "A is better than B: Welch's t-test over the seeds, Holm-corrected over the rows of the claim, at the "
    "5 % level. Holds when every row passes in the paper's direction. Does not hold when a row passes in the reverse "
    "direction, or stays below the noise with at least three seeds on both sides. Cannot be tested here otherwise: "
    "one seed, two seeds and below the noise, seeds without spread, or no such molecules.",
    "trend": "A score rises or falls along a setting: Spearman's rank correlation of the means over the points, "
    "one-sided in the paper's direction, at the 5 % level (exact over all permutations up to eight points). Does not "
    "hold when the test does not pass. Cannot be tested here with fewer than four points, since 1 / 3! is above 5 %.",
    "optimum": "A setting is the best: the rule of an ordering, with one row for every other setting. It holds only "
    "where the setting is better than each of the others beyond the noise.",
    "untestable": "What the claim speaks of is not part of this package's data or runs; the reason is given.",
}
ROW_WORDS = {
    "holds": "passes",
    "reversed": "reversed",
    "noise": "below the noise",
    "untested": "not testable with one seed",
    "no spread": "not testable without spread over the seeds",
    "empty": "without such a molecule or group in the test set",
}
METRICS = {"F1": "micro-F1", "Accuracy": "exact match"}  # column of a table -> metric
EXHIBIT_METRICS = {"table1": "micro-F1", "table3": "mean F1 of the tier", "table4": "F1 of the group"}
EXHIBIT_METRICS |= {"table5": "micro-F1", "table7": "p-value"}


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


class Claim(NamedTuple):
    """A claim of the paper, judged: one of `OUTCOMES`, one sentence with the numbers, and the rule behind it."""

    source: str
    text: str
    verdict: str
    why: str
    rule: str


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


def ordering(source: str, text: str, pairs: Mapping[str, tuple[Score, Score]]) -> Claim:
    """Is the first score of every row better than the second? ``RULES["ordering"]``.

    Parameters
    ----------
    source, text : where the paper says it, and what
    pairs : row -> (the score that the paper finds better, the other)

    Raises
    ------
    ValueError : there are no rows.
    """
    verdict, why = _ordered(source, pairs)
    return Claim(source, text, verdict, why, "ordering")


def _ordered(source: str, pairs: Mapping[str, tuple[Score, Score]]) -> tuple[str, str]:
    if not pairs:
        raise ValueError(f"{source}: an ordering needs at least one row")
    rows = compare(pairs)
    enough = {name for name, pair in pairs.items() if min(len(score.values) for score in pair) >= 3}
    found = {row.verdict for row in rows.values()}
    if found == {"holds"}:
        verdict = HOLDS
    elif "reversed" in found or any(row.verdict == "noise" and name in enough for name, row in rows.items()):
        verdict = FAILS
    else:
        verdict = UNTESTED
    return verdict, f"{_counts(rows)}{_range(rows)}; {_seeds(pairs)}."


def _counts(rows: Mapping[str, Comparison]) -> str:
    """``Passes in 3 of 5 rows, reversed in 1, below the noise in 1``."""
    count = Counter(row.verdict for row in rows.values())
    if len(rows) == 1:
        return ROW_WORDS[next(iter(count))].capitalize()
    first = f"Passes in {count.pop('holds', 0) or 'none'} of {len(rows)} rows"
    return ", ".join([first, *(f"{words} in {count[v]}" for v, words in ROW_WORDS.items() if v in count)])


def _range(rows: Mapping[str, Comparison]) -> str:
    known = {name: row.difference for name, row in rows.items() if row.difference is not None}
    if not known:
        return ""
    least, most = min(known, key=known.__getitem__), max(known, key=known.__getitem__)
    if least == most:
        p = rows[least].p_holm
        return f"; difference {known[least]:+.3f}" + ("" if p is None else f" (p = {p:.2g})")
    return f"; differences from {known[least]:+.3f} ({_flat(least)}) to {known[most]:+.3f} ({_flat(most)})"


def _flat(name: str) -> str:
    return " ".join(str(name).split())


def _seeds(pairs: Mapping[str, tuple[Score, Score]]) -> str:
    numbers = sorted({len(score.values) for pair in pairs.values() for score in pair})
    return f"{numbers[0]} seed{'s' * (numbers != [1])}" if len(numbers) == 1 else f"{numbers[0]} to {numbers[-1]} seeds"


def trend(source: str, text: str, points: Mapping[float, Score], direction: str = "rises") -> Claim:
    """Does the score rise (or fall) along a setting? ``RULES["trend"]``. Points without a number are left out.

    Parameters
    ----------
    points : setting -> score
    direction : ``"rises"`` or ``"falls"``

    Raises
    ------
    ValueError : unknown direction.
    """
    if direction not in ("rises", "falls"):
        raise ValueError(f"{source}: direction {direction!r}, expected 'rises' or 'falls'")
    known = [(x, score.mean) for x, score in sorted(points.items()) if score.mean is not None]
    n = len(known)
    if 1 / factorial(n) >= LEVEL:
        why = f"Only {n} point{'s' * (n != 1)} with a score: even a perfect order has a chance of 1 in {factorial(n)}."
        return Claim(source, text, UNTESTED, why, "trend")
    x, y = np.array(known, dtype=np.float64).T
    rho, p = rank_correlation(x, y if direction == "rises" else -y)
    sign = 1 if direction == "rises" else -1
    why = (
        f"Spearman's rank correlation over {n} points is {sign * rho:+.2f}, one-sided p = {p:.2g}; "
        f"{y[0]:.3f} at {x[0]:g}, {y[-1]:.3f} at {x[-1]:g}."
    )
    return Claim(source, text, HOLDS if p < LEVEL else FAILS, why, "trend")


def rank_correlation(x: Float[np.ndarray, " point"], y: Float[np.ndarray, " point"]) -> tuple[float, float]:
    """Spearman's rho and the one-sided p-value of a positive one: exact up to eight points, by Student's t above.

    Without any spread on one side, rho is 0 and p is 1.
    """
    from scipy.stats import rankdata, spearmanr

    if np.ptp(x) == 0 or np.ptp(y) == 0:
        return 0.0, 1.0
    if len(x) > 8:
        result = spearmanr(x, y, alternative="greater")
        return float(result.statistic), float(result.pvalue)
    a, b = (rankdata(values) - (len(values) + 1) / 2 for values in (x, y))
    chance = np.array(list(permutations(b))) @ a
    return float(a @ b / np.sqrt((a @ a) * (b @ b))), float((chance >= a @ b - 1e-9).mean())


def optimum(source: str, text: str, points: Mapping[Hashable, Score], place: Hashable) -> Claim:
    """Is one setting better than each of the others? ``RULES["optimum"]``.

    Raises
    ------
    ValueError : ``place`` is not among the points, or is the only one.
    """
    if place not in points or len(points) < 2:
        known = ", ".join(map(str, points))
        raise ValueError(f"{source}: the optimum {place} needs a score there and at another place; scores at {known}")
    pairs = {_place(other): (points[place], score) for other, score in points.items() if other != place}
    verdict, why = _ordered(source, pairs)
    scored = {p: score for p, score in points.items() if score.mean is not None}
    best = max(scored, key=lambda p: scored[p].mean, default=None)
    at = f"{_place(place)} has {points[place]}"
    high = at if best in (place, None) else f"highest at {_place(best)} with {scored[best]}, {at}"
    return Claim(
        source, text, verdict, f"{high[0].upper()}{high[1:]}. Against the others: {why[0].lower()}{why[1:]}", "optimum"
    )


def _place(place: Hashable) -> str:
    """``(0.3, 0.3)`` as ``0.3, 0.3``."""
    return ", ".join(map(str, place)) if isinstance(place, tuple) else str(place)


def decided(source: str, text: str, holds: bool, why: str, rule: str) -> Claim:
    """A claim with a rule of its own, such as "a factor of 100 or more"; ``rule`` states it in a sentence."""
    return Claim(source, text, HOLDS if holds else FAILS, why, rule)


def untestable(source: str, text: str, why: str) -> Claim:
    """A claim on what is not part of the data or the runs."""
    return Claim(source, text, UNTESTED, why, "untestable")


def count_outcomes(claims: Sequence[Claim]) -> dict[str, int]:
    """How many claims hold, do not hold, and cannot be tested here."""
    return {outcome: sum(claim.verdict == outcome for claim in claims) for outcome in OUTCOMES}


def reason(claim: Claim) -> str:
    """Why the verdict is what it is; a rule of the claim's own stands behind it."""
    return claim.why if claim.rule in RULES else f"{claim.why} Rule: {claim.rule}"


def show_claims(claims: Sequence[Claim]) -> str:
    """Claims as a Markdown table, for notebooks and the report."""
    lines = ["| source | claim of the paper | verdict | why |", "| --- | --- | --- | --- |"]
    for claim in claims:
        words = claim.source, claim.text, f"**{claim.verdict}**", reason(claim)
        lines.append("| " + " | ".join(_flat(word).replace("|", "\\|") for word in words) + " |")
    return "\n".join(lines)

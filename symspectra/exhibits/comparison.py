"""Runs side by side: scores over seeds, differences between models, and what may be concluded from them.

The rule for a claim "A is better than B": Welch's t-test over the seeds, Holm-corrected over the rows of the table,
at the 5 % level. A difference that does not pass is called below the noise; with one seed nothing can be tested.
The seeds measure the noise of training on one fixed split, not that of another choice of molecules.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from symspectra.exhibits.paper import PaperValue, paper_value
from symspectra.training.metrics import Tier, exact_match_by_group_count, holm
from symspectra.training.store import Run

LEVEL = 0.05
MEASURES = ("f1", "precision", "recall")  # of a group
VERDICTS = {
    "holds": "holds",
    "reversed": "does not hold, the order is the reverse",
    "noise": "is not shown, the difference is below the noise",
    "untested": "cannot be tested with one seed",
    "no spread": "cannot be tested, the seeds have no spread",
    "empty": "cannot be tested, the test set has no such molecule or group",
}


class Seed(NamedTuple):
    """One of the runs behind a score."""

    seed: int
    id: str


class Score(NamedTuple):
    """A score over seeds: mean, standard deviation (None with one seed), the values, and the runs they are of."""

    mean: float | None
    sd: float | None
    values: tuple[float, ...]
    metric: str = ""
    runs: tuple[Seed, ...] = ()

    def __str__(self) -> str:
        if self.mean is None:
            return "none"
        return f"{self.mean:.3f}" if self.sd is None else f"{self.mean:.3f} ({self.sd:.3f})"


class Comparison(NamedTuple):
    """Ours against theirs: difference of the means, corrected p-value where there is one, and a key of `VERDICTS`."""

    difference: float | None
    p_holm: float | None
    verdict: str

    def __str__(self) -> str:
        if self.difference is None:
            return VERDICTS[self.verdict]
        p = "" if self.p_holm is None else f", p = {self.p_holm:.2g}"
        return f"{VERDICTS[self.verdict]} (difference {self.difference:+.3f}{p})"


def summarise(values: Sequence[float], metric: str = "", runs: Sequence[Run] = ()) -> Score:
    """Mean and standard deviation (n - 1) of one score per seed; a `Score` without numbers where there is no value.

    ``runs`` are those of the values, in their order.
    """
    values = tuple(float(v) for v in values)
    sd = float(np.std(values, ddof=1)) if len(values) > 1 else None
    seeds = tuple(Seed(run.config.training.seed, run.id) for run in runs)
    return Score(float(np.mean(values)) if values else None, sd, values, metric, seeds)


def score(runs: Sequence[Run], metric: str = "micro_f1") -> Score:
    """A test metric of the runs of one configuration, one a seed: ``micro_f1``, ``macro_f1`` or ``exact_match``."""
    return summarise([run.metrics["test"][metric] for run in runs], metric, runs)


def score_of_groups(runs: Sequence[Run], groups: Sequence[int], measure: str = "f1") -> Score:
    """Mean over some groups of their F1, precision or recall on the test set, one value a seed.

    Groups without a positive in the test set are left out; with no other group the `Score` has no numbers.

    Parameters
    ----------
    runs : of one configuration, one a seed
    groups : indices, from 0; one alone gives its own score
    measure : one of `MEASURES`

    Raises
    ------
    ValueError : an unknown measure.
    """
    if measure not in MEASURES:
        raise ValueError(f"there is no measure {measure!r} of a group; expected one of {', '.join(MEASURES)}")
    values = {}
    for run in runs:
        test = run.metrics["test"]
        known = [test[f"per_group_{measure}"][g] for g in groups if test["per_group_support"][g]]
        if known:
            values[run] = float(np.mean(known))
    return summarise(list(values.values()), f"group_{measure}", list(values))


def tier_scores(runs: Sequence[Run], tiers: Mapping[str, Tier]) -> dict[str, Score]:
    """Mean F1 of the groups of each tier (`symspectra.training.metrics.frequency_tiers`).

    Groups without a positive in the test set are left out; a tier of only such groups has a `Score` without numbers.
    """
    return {name: score_of_groups(runs, tier.groups) for name, tier in tiers.items()}


def tested_groups(run: Run, tiers: Mapping[str, Tier]) -> dict[str, int]:
    """How many groups of each tier have a positive in the test set."""
    support = run.metrics["test"]["per_group_support"]
    return {name: sum(support[g] > 0 for g in tier.groups) for name, tier in tiers.items()}


def exact_match_by_groups(runs: Sequence[Run]) -> dict[int, tuple[Score, int]]:
    """Exact match over seeds, and the number of test molecules, by the number of groups in the molecule."""
    by_seed = [exact_match_by_group_count(*run.predictions("test")[1:]) for run in runs]
    return {n: (summarise([s[n][0] for s in by_seed], "exact_match", runs), by_seed[0][n][1]) for n in by_seed[0]}


def exact_match_of_rich(runs: Sequence[Run], more_than: float) -> Score:
    """Exact match over seeds among the test molecules with more than so many groups."""
    values = []
    for run in runs:
        _, y, p = run.predictions("test")
        rich = y.sum(1) > more_than
        values += [float((y == (p >= 0.5)).all(1)[rich].mean())] if rich.any() else []
    return summarise(values)


def lead(ours: Score, *others: Score) -> Score:
    """Our score minus the mean of the others', seed by seed; without numbers where a score has none.

    Raises
    ------
    ValueError : there is nothing to compare with, or the scores are of different numbers of seeds.
    """
    if not others:
        raise ValueError("a lead needs at least one score to be ahead of")
    if ours.mean is None or any(other.mean is None for other in others):
        return summarise([])
    seeds = [len(score.values) for score in (ours, *others)]
    if len(set(seeds)) > 1:
        raise ValueError(f"scores of {', '.join(map(str, seeds))} seeds; a lead is taken seed by seed")
    return summarise(np.array(ours.values) - np.mean([other.values for other in others], axis=0))


def compare(pairs: Mapping[str, tuple[Score, Score]]) -> dict[str, Comparison]:
    """Is the first score of each row better than the second? Holm's correction runs over the rows."""
    from scipy.stats import ttest_ind_from_stats

    p_values: dict[str, float] = {}
    for name, (ours, theirs) in pairs.items():
        enough = min(len(ours.values), len(theirs.values)) > 1
        if enough and max(np.ptp(ours.values), np.ptp(theirs.values)) > 0:
            stats = (v for s in (ours, theirs) for v in (s.mean, s.sd, len(s.values)))
            p_values[name] = float(ttest_ind_from_stats(*stats, equal_var=False).pvalue)
    corrected = dict(zip(p_values, holm(list(p_values.values())), strict=True))
    result = {}
    for name, (ours, theirs) in pairs.items():
        if ours.mean is None or theirs.mean is None:
            result[name] = Comparison(None, None, "empty")
            continue
        difference, p = ours.mean - theirs.mean, corrected.get(name)
        if p is None:
            one_seed = min(len(ours.values), len(theirs.values)) == 1
            verdict = "untested" if one_seed else "no spread"
        else:
            verdict = "noise" if p >= LEVEL else "holds" if difference > 0 else "reversed"
        result[name] = Comparison(difference, p, verdict)
    return result


def paper_cell(row: str, model: str) -> PaperValue:
    """Table 1, simulated half: the paper's number for a row of `symspectra.experiments.plan.TABLE_1_SIMULATED`."""
    row = row.replace("MS/MS+", "MS/MS pos").replace("MS/MS-", "MS/MS neg")
    return paper_value("table1", f"Simulated: {row}", model)


def with_spread(value: PaperValue) -> str:
    """A number of the paper as printed there, ``0.970 (0.018)``."""
    return f"{value.value:.3f}" + ("" if value.spread is None else f" ({value.spread:.3f})")


def as_json(content: Any) -> Any:
    """Scores, comparisons, cells and claims as plain dictionaries and lists, ready for JSON."""
    if isinstance(content, Score):  # the runs behind it stand in the tidy table
        return {"mean": content.mean, "sd": content.sd, "values": list(content.values)}
    if isinstance(content, tuple) and hasattr(content, "_asdict"):
        return {name: as_json(value) for name, value in content._asdict().items()}
    if isinstance(content, Mapping):
        return {str(name): as_json(value) for name, value in content.items()}
    if isinstance(content, list | tuple):
        return [as_json(value) for value in content]
    return content.item() if isinstance(content, np.generic) else content

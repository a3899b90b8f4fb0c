"""Scores of chosen functional groups over seeds, and by how much one model is ahead of others."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from symspectra.comparison import Score, summarise
from symspectra.runs import Run

MEASURES = ("f1", "precision", "recall")


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
    values = []
    for run in runs:
        test = run.metrics["test"]
        known = [test[f"per_group_{measure}"][g] for g in groups if test["per_group_support"][g]]
        values += [float(np.mean(known))] if known else []
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

"""What a model loses on a harder test set, and how sure that is (Figure 3c)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Int

from symspectra.training.store import Run


class Drop(NamedTuple):
    """Micro-F1 lost, and the interval that holds 95 % of what other test molecules would give."""

    lost: float
    low: float
    high: float

    @property
    def shown(self) -> bool:
        """Is there a loss whatever the test molecules are: the whole interval above zero?"""
        return self.low > 0

    def __str__(self) -> str:
        return f"{self.lost:.3f} ({self.low:.3f} to {self.high:.3f})"


def micro_f1_drop(ordinary: Sequence[Run], harder: Sequence[Run], draws: int = 1000, seed: int = 0) -> Drop:
    """Micro-F1 on the test set of ``ordinary`` minus that of ``harder``, each the mean over its runs.

    The two test sets hold different molecules, so that the noise is not only that of training: the interval comes from
    drawing the molecules of both again with replacement (bootstrap), all runs of a side seeing the same draw.

    Parameters
    ----------
    ordinary, harder : runs of one model on two splits, one a seed; those of a side share their test molecules

    Raises
    ------
    ValueError : one side has no runs, or its runs have different test molecules.
    """
    random = np.random.default_rng(seed)
    sides = [_counts(runs) for runs in (ordinary, harder)]
    lost = _micro_f1(*sides[0]) - _micro_f1(*sides[1])
    again = []
    for _ in range(draws):
        scores = []
        for right, named in sides:
            rows = random.integers(right.shape[1], size=right.shape[1])
            scores.append(_micro_f1(right[:, rows], named[:, rows]))
        again.append(scores[0] - scores[1])
    low, high = np.quantile(again, [0.025, 0.975])
    return Drop(float(lost), float(low), float(high))


def _counts(runs: Sequence[Run]) -> tuple[Int[np.ndarray, "run molecule"], Int[np.ndarray, "run molecule"]]:
    """Groups of each molecule that are rightly predicted, and groups predicted plus groups there."""
    predictions = [run.predictions("test") for run in runs]
    if len({molecules for molecules, _, _ in predictions}) != 1:
        raise ValueError(f"{len(runs)} runs have not one and the same set of test molecules")
    there = [(y, p >= 0.5) for _, y, p in predictions]
    right = np.array([(y & found).sum(axis=1) for y, found in there])
    return right, np.array([y.sum(axis=1) + found.sum(axis=1) for y, found in there])


def _micro_f1(right: Int[np.ndarray, "run molecule"], named: Int[np.ndarray, "run molecule"]) -> float:
    """2 TP / (2 TP + FP + FN) of each run, averaged; 0 where nothing is there and nothing predicted."""
    return float(np.mean(2 * right.sum(axis=1) / np.maximum(named.sum(axis=1), 1)))

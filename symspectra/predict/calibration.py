"""Probabilities that mean what they say: of the predictions of 0.8, eight in ten should be right."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float

EPSILON = 1e-6


class Scaling(NamedTuple):
    """``sigmoid(slope * logit(p) + shift)``; a slope below 1 takes back overconfidence (1 / slope is the temperature).

    References
    ----------
    Platt 1999; Guo et al., On calibration of modern neural networks, ICML 2017.
    """

    slope: float = 1.0
    shift: float = 0.0

    def __call__(self, p: Float[np.ndarray, "*shape"]) -> Float[np.ndarray, "*shape"]:
        """Calibrated probabilities."""
        return 1 / (1 + np.exp(-(self.slope * logit(p) + self.shift)))


def logit(p: Float[np.ndarray, "*shape"]) -> Float[np.ndarray, "*shape"]:
    """log(p / (1 - p)), with p kept one in a million from 0 and 1."""
    p = np.clip(np.asarray(p, dtype=np.float64), EPSILON, 1 - EPSILON)
    return np.log(p) - np.log1p(-p)


def fit_scaling(p: Float[np.ndarray, "*shape"], y: Bool[np.ndarray, "*shape"]) -> Scaling:
    """Slope and shift of the greatest likelihood, one pair for all molecules and groups.

    Raises
    ------
    ValueError : shapes differ, or the labels are all the same.
    """
    from sklearn.linear_model import LogisticRegression

    z, t = logit(p).reshape(-1, 1), np.asarray(y, dtype=bool).ravel()
    if len(z) != len(t):
        raise ValueError(f"{len(z)} probabilities and {len(t)} labels")
    if t.min() == t.max():
        raise ValueError("calibration needs labels of both kinds")
    fitted = LogisticRegression(C=np.inf, solver="newton-cholesky", tol=1e-9).fit(z, t)
    return Scaling(float(fitted.coef_[0, 0]), float(fitted.intercept_[0]))


class Bin(NamedTuple):
    """Predictions of similar probability: their mean, the share of them that is true, and how many they are."""

    probability: float
    frequency: float
    count: int


def reliability(p: Float[np.ndarray, "*shape"], y: Bool[np.ndarray, "*shape"], bins: int = 15) -> list[Bin]:
    """Predictions in ``bins`` equal intervals of probability; empty ones are left out."""
    p, y = np.asarray(p, dtype=np.float64).ravel(), np.asarray(y, dtype=np.float64).ravel()
    which = np.minimum((p * bins).astype(int), bins - 1)
    count = np.bincount(which, minlength=bins)
    sums = np.bincount(which, weights=p, minlength=bins), np.bincount(which, weights=y, minlength=bins)
    return [Bin(*(float(s[k] / count[k]) for s in sums), int(count[k])) for k in np.flatnonzero(count)]


def calibration_error(p: Float[np.ndarray, "*shape"], y: Bool[np.ndarray, "*shape"]) -> float:
    """Expected calibration error: mean distance of probability and frequency over the bins, weighted by their counts.

    Four in five pairs of molecule and group are near 0 and easy; ``p >= 0.05`` alone is the harder question.

    References
    ----------
    Naeini et al., AAAI 2015.
    """
    table = reliability(p, y)
    return sum(b.count * abs(b.probability - b.frequency) for b in table) / sum(b.count for b in table)

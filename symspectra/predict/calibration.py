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
    """Slope and shift of the greatest likelihood, by Newton's method; one pair for all molecules and groups.

    Raises
    ------
    ValueError : shapes differ, or the labels are all the same.
    """
    z, t = logit(p).ravel(), np.asarray(y, dtype=np.float64).ravel()
    if z.shape != t.shape:
        raise ValueError(f"{z.size} probabilities and {t.size} labels")
    if t.min() == t.max():
        raise ValueError("calibration needs labels of both kinds")
    a, b = 1.0, 0.0
    for _ in range(100):
        q = 1 / (1 + np.exp(-(a * z + b)))
        w, r = q * (1 - q), q - t
        gradient = np.array([(r * z).sum(), r.sum()])
        hessian = np.array([[(w * z * z).sum(), (w * z).sum()], [(w * z).sum(), w.sum()]]) + 1e-9 * np.eye(2)
        step = np.linalg.solve(hessian, gradient)
        step /= max(1.0, float(np.abs(step).max()))  # at most 1 at a time: the start may be far off
        a, b = a - step[0], b - step[1]
        if np.abs(step).max() < 1e-9:
            break
    return Scaling(float(a), float(b))


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


def calibration_error(p: Float[np.ndarray, "*shape"], y: Bool[np.ndarray, "*shape"], bins: int = 15) -> float:
    """Expected calibration error: mean distance of probability and frequency over the bins, weighted by their counts.

    Four in five pairs of molecule and group are near 0 and easy; ``p >= 0.05`` alone is the harder question.

    References
    ----------
    Naeini et al., AAAI 2015.
    """
    table = reliability(p, y, bins)
    return sum(b.count * abs(b.probability - b.frequency) for b in table) / sum(b.count for b in table)

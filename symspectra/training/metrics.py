"""How good a prediction of functional groups is: F1, exact match, frequency tiers and significance.

The paper's headline "F1" is micro-F1: the macro-F1 that follows from the tiers of its Table 3,
(14 * 0.967 + 9 * 0.942 + 14 * 0.866) / 37 = 0.923, is not the 0.970 of its Table 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Shaped
from torch import Tensor

from symspectra.groups.table8 import NAMES

Array = np.ndarray | Tensor
Labels, Probabilities = Shaped[Array, "molecule group"], Float[Array, "molecule group"]


class Tier(NamedTuple):
    """Functional groups of similar frequency: their indices, and their positives in the training set."""

    groups: tuple[int, ...]
    counts: tuple[int, ...]


def _numpy(values: Array | float) -> np.ndarray:
    return values.detach().cpu().numpy() if isinstance(values, Tensor) else np.asarray(values)


def _labels(y: Array) -> Bool[np.ndarray, "molecule group"]:
    y = _numpy(y)
    if y.ndim != 2 or y.shape[0] == 0:
        raise ValueError(f"labels have shape {y.shape}, expected (molecules, groups) with at least one molecule")
    if y.dtype != bool:
        bad = np.argwhere(~np.isin(y, (0, 1)))
        if bad.size:
            raise ValueError(f"row {bad[0, 0]}: label {y[tuple(bad[0])]} is neither 0 nor 1")
    return y.astype(bool)


def _checked(y_true: Array, probability: Array) -> tuple[np.ndarray, np.ndarray]:
    y, p = _labels(y_true), _numpy(probability)
    if p.shape != y.shape:
        raise ValueError(f"probabilities have shape {p.shape}, the labels {y.shape}")
    bad = np.argwhere(~((p >= 0) & (p <= 1)))  # also true for NaN
    if bad.size:
        raise ValueError(f"row {bad[0, 0]}: probability {p[tuple(bad[0])]} is not a number in [0, 1]")
    return y, p


def _predicted(p: np.ndarray, threshold: float | Array) -> np.ndarray:
    threshold = _numpy(threshold)
    if threshold.shape not in ((), p.shape[1:]):
        raise ValueError(f"threshold has shape {threshold.shape}, expected one number or {p.shape[1]} numbers")
    if not ((threshold >= 0) & (threshold <= 1)).all():
        raise ValueError(f"threshold {threshold} is not in [0, 1]")
    return p >= threshold


def _ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """part / whole, and 0 where whole is 0 (scikit-learn's zero_division=0)."""
    return np.divide(part, whole, out=np.zeros(np.shape(whole)), where=whole > 0)


def _f1_scores(hits: np.ndarray, claims: np.ndarray, support: np.ndarray, counted: np.ndarray) -> dict[str, float]:
    """Micro-F1 and macro-F1 over the groups that count, from the counts of each group."""
    f1 = _ratio(2 * hits, support + claims)
    return {
        "micro_f1": float(2 * hits[counted].sum() / (support[counted].sum() + claims[counted].sum())),
        "macro_f1": float(f1[(support > 0) & counted].mean()),
    }


def multilabel_metrics(
    y_true: Labels,
    probability: Probabilities,
    threshold: float | Float[Array, " group"] = 0.5,
    groups: Bool[Array, " group"] | None = None,
    names: Sequence[str] | None = None,
) -> dict[str, Any]:
    """Micro-F1, macro-F1, exact match and the scores of every group (section 3.1).

    Parameters
    ----------
    y_true : 0 and 1
    threshold : a group is predicted where its probability is >= this: one number, or one per group
    groups : which count in micro-F1, macro-F1 and exact match; all by default
    names : of the groups; by default those of Table 8 where there are as many, else numbers

    Returns
    -------
    ``micro_f1``, ``macro_f1``, ``exact_match`` (the paper's sample-level accuracy), ``per_group_f1``,
    ``per_group_precision``, ``per_group_recall``, ``per_group_support`` (lists in the order of the groups; 0 where they
    are undefined) and ``groups_without_positives``: names of the groups that no molecule has, which are left out of
    ``macro_f1``. All values are ready for JSON.

    Raises
    ------
    ValueError : shapes differ, a label is not 0 / 1, a probability is NaN or outside [0, 1] (the row is named), or
        there is no positive label at all (F1 is undefined).
    """
    y, p = _checked(y_true, probability)
    predicted = _predicted(p, threshold)
    support = y.sum(0)
    counted = np.ones(y.shape[1], dtype=bool) if groups is None else _numpy(groups).astype(bool)
    if counted.shape != y.shape[1:]:
        raise ValueError(f"the choice of groups has shape {counted.shape}, expected {y.shape[1:]}")
    present = (support > 0) & counted
    if not present.any():
        raise ValueError("no molecule has any functional group: F1 is undefined")
    hits, claims = (y & predicted).sum(0), predicted.sum(0)
    f1 = _ratio(2 * hits, support + claims)
    names = names or (NAMES if y.shape[1] == len(NAMES) else [str(k) for k in range(y.shape[1])])
    return {
        **_f1_scores(hits, claims, support, counted),
        "exact_match": float((y == predicted)[:, counted].all(1).mean()),
        "per_group_f1": f1.tolist(),
        "per_group_precision": _ratio(hits, claims).tolist(),
        "per_group_recall": _ratio(hits, support).tolist(),
        "per_group_support": support.tolist(),
        "groups_without_positives": [name for name, there in zip(names, support > 0, strict=True) if not there],
    }


def validation_scores(
    y_true: Bool[Tensor, "molecule group"], probability: Float[Tensor, "molecule group"], groups: Bool[Tensor, " group"]
) -> dict[str, float]:
    """``micro_f1``, ``macro_f1`` and ``exact_match`` of `multilabel_metrics`, counted where the tensors are.

    A GPU is waited for once, for a handful of counts. Raises FloatingPointError where a probability is not a number.
    """
    predicted = probability >= 0.5
    exact = ((y_true == predicted) | ~groups).all(dim=1).sum()
    undefined = probability.isnan().sum()
    columns = torch.stack([(y_true & predicted).sum(dim=0), predicted.sum(dim=0), y_true.sum(dim=0)])
    *counts, right, bad = torch.cat([columns.flatten(), exact[None], undefined[None]]).tolist()
    if bad:
        raise FloatingPointError(f"{bad} of the probabilities on validation are not numbers")
    hits, claims, support = np.array(counts).reshape(3, -1)
    return {**_f1_scores(hits, claims, support, _numpy(groups)), "exact_match": right / len(y_true)}


def tune_thresholds(y_val: Labels, p_val: Probabilities, min_positives: int = 20) -> Float[np.ndarray, " group"]:
    """The threshold of each group with the best F1 on validation, or 0.5 where that rests on few positives.

    Candidates are the midpoints between neighbouring probabilities; of several equally good ones the nearest to 0.5
    is taken. A group with fewer than `min_positives` positives keeps 0.5: on so few, a tuned threshold follows noise.
    Bad input raises ValueError, as in `multilabel_metrics`.
    """
    y, p = _checked(y_val, p_val)
    thresholds = np.full(y.shape[1], 0.5)
    for group in np.flatnonzero(y.sum(0) >= min_positives):
        descending = np.argsort(-p[:, group], kind="stable")
        score = p[descending, group].astype(np.float64)
        hits = np.cumsum(y[descending, group])
        f1 = 2 * hits / (np.arange(1, len(y) + 1) + hits[-1])  # of calling the k highest positive
        cut = (score + np.append(score[1:], 0.0)) / 2
        possible = np.append(score[:-1] > score[1:], True)  # equal scores cannot be separated
        best = possible & (f1 >= f1[possible].max() - 1e-12)
        thresholds[group] = min(cut[best], key=lambda value: abs(value - 0.5))
    return thresholds


def tune_threshold(y_val: Labels, p_val: Probabilities) -> float:
    """The one threshold for all groups with the best micro-F1 on validation; bad input as in `multilabel_metrics`.

    Of calibrated probabilities it is half of that micro-F1 (Lipton et al., ECML 2014). Thresholds of each group for
    itself are best for macro-F1, and follow the noise of rare groups.
    """
    y, p = _checked(y_val, p_val)
    return float(tune_thresholds(y.reshape(-1, 1), p.reshape(-1, 1))[0])


def frequency_tiers(y_train: Labels, sizes: tuple[int, int, int] = (14, 9, 14)) -> dict[str, Tier]:
    """Low, medium and high frequency groups by rank of their positives in the training set (Fig. 10, App. O).

    The paper's tiers (low: up to 600 positives, medium: up to 5000, high: above) hold 14, 9 and 14 groups. The counts
    depend on the size of the set and the ranks do not, so the sizes are kept and the counts returned. Sizes that do not
    add up to the number of groups raise ValueError.
    """
    counts = _labels(y_train).sum(0)
    if sum(sizes) != len(counts):
        raise ValueError(f"tier sizes {sizes} add up to {sum(sizes)}, but there are {len(counts)} groups")
    rank = np.argsort(counts, kind="stable")  # equal counts: Table 8 order
    parts = np.split(rank, np.cumsum(sizes)[:-1])
    return {
        tier: Tier(tuple(part.tolist()), tuple(counts[part].tolist()))
        for tier, part in zip(("low", "medium", "high"), parts, strict=True)
    }


def exact_match_by_group_count(
    y_true: Labels, probability: Probabilities, threshold: float | Float[Array, " group"] = 0.5
) -> dict[int, tuple[float, int]]:
    """Exact match among molecules with the same number of functional groups (Fig. 3b).

    Number of groups -> (exact match, number of molecules), ascending; numbers that no molecule has are left out.
    Bad input raises ValueError, as in `multilabel_metrics`.
    """
    y, p = _checked(y_true, probability)
    right = (y == _predicted(p, threshold)).all(1)
    size = y.sum(1)
    return {int(n): (float(right[size == n].mean()), int((size == n).sum())) for n in np.unique(size)}


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's step-down correction of m p-values: the k-th smallest times m - k + 1, made monotone, at most 1."""
    p = np.asarray(p_values, dtype=np.float64)
    order = np.argsort(p, kind="stable")
    corrected = np.empty_like(p)
    corrected[order] = np.minimum(np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1)), 1.0)
    return corrected.tolist()


def welch_from_printed(ours: tuple[float, float], other: tuple[float, float], seeds: int = 8) -> float:
    """Two-sided Welch p-value from printed (mean, standard deviation) pairs of `seeds` runs each.

    Raises ValueError for a standard deviation that is not positive.
    """
    from scipy.stats import ttest_ind_from_stats

    if min(ours[1], other[1]) <= 0:
        raise ValueError(f"expected positive deviations, got {ours} and {other}")
    return float(ttest_ind_from_stats(*ours, seeds, *other, seeds, equal_var=False).pvalue)

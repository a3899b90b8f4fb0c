"""What a folder of prepared spectra holds, in numbers."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations
from typing import Any

import numpy as np
from jaxtyping import Bool

from symspectra.datasets.measured.records import MODALITIES
from symspectra.datasets.prepared import LEAST_TESTED, LEAST_TRAINED, MASS
from symspectra.datasets.splits import SPLITS
from symspectra.groups.table8 import NAMES


def intersections(present: Bool[np.ndarray, "molecule 5"]) -> dict[str, int]:
    """Molecules that have all spectra of each set of modalities; those with none are left out."""
    counts = {}
    for size in range(1, len(MODALITIES) + 1):
        for columns in combinations(range(len(MODALITIES)), size):
            name = "+".join(MODALITIES[c] for c in columns)
            counts[name] = int(present[:, columns].all(axis=1).sum())
    counts["c13+h1+any mass spectrum"] = int(in_evaluation(present).sum())
    return {name: count for name, count in counts.items() if count}


def in_evaluation(present: Bool[np.ndarray, "molecule 5"]) -> Bool[np.ndarray, " molecule"]:
    """Molecules with 13C, 1H and a mass spectrum of any kind."""
    has = dict(zip(MODALITIES, present.T, strict=True))
    return has["c13"] & has["h1"] & np.logical_or.reduce([has[name] for name in MASS])


def group_counts(
    present: Bool[np.ndarray, "molecule 5"], groups: Bool[np.ndarray, "molecule 37"], split: np.ndarray
) -> dict[str, dict[str, int]]:
    """Molecules with each functional group by split, among those of `in_evaluation`."""
    used = in_evaluation(present)
    counts = {name: groups[used & (split == name)].sum(axis=0) for name in SPLITS}
    return {group: {name: int(counts[name][i]) for name in SPLITS} for i, group in enumerate(NAMES)}


def evaluated(counts: Mapping[str, Mapping[str, int]], split: str = "test") -> list[str]:
    """Groups with enough positives: `LEAST_TRAINED` in training and `LEAST_TESTED` in ``split``."""
    return [group for group, n in counts.items() if n["train"] >= LEAST_TRAINED and n[split] >= LEAST_TESTED]


def described(summary: Mapping[str, Any]) -> str:
    """A summary as text of several lines."""
    lines = [f"molecules: {summary['molecules']} ({_listed(summary['splits'])})"]
    lines.append(f"{'':10}{'molecules':>10}{'spectra':>10}  licences")
    for name in MODALITIES:
        licences = summary["licences"].get(name, {})
        lines.append(
            f"{name:10}{summary['intersections'].get(name, 0):10}{sum(licences.values()):10}  {_listed(licences)}"
        )
    several = {name: n for name, n in summary["intersections"].items() if "+" in name}
    lines += ["molecules with several kinds of spectra:", *(f"{n:8}  {name}" for name, n in several.items())]
    for name in ("test", "validation"):
        groups = summary[f"groups_evaluated_{name}"]
        lines.append(
            f"groups with {LEAST_TRAINED} positives in training and {LEAST_TESTED} in {name}, among molecules with "
            f"13C, 1H and a mass spectrum: {len(groups)} of {len(NAMES)}{': ' if groups else ''}{', '.join(groups)}"
        )
    lines += ["spectra left out:", *(f"{n:8}  {reason}" for reason, n in summary["rejects"].items())]
    if summary["licences_left_out"]:
        lines.append(f"licences not allowed: {_listed(summary['licences_left_out'])}")
    return "\n".join(lines)


def _listed(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {count}" for name, count in counts.items())

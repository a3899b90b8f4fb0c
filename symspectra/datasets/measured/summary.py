"""What a folder of prepared spectra holds, in numbers."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations
from typing import Any

import numpy as np
from jaxtyping import Bool

from symspectra.datasets.measured.records import MODALITIES
from symspectra.datasets.prepared import LEAST_TESTED, LEAST_TRAINED, MASS
from symspectra.datasets.writer import listed
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


def described(summary: Mapping[str, Any]) -> str:
    """A summary as text of several lines."""
    lines = [f"molecules: {summary['molecules']} ({listed(summary['splits'])})"]
    lines.append(f"{'':10}{'molecules':>10}{'spectra':>10}  licences")
    for name in MODALITIES:
        licences = summary["licences"].get(name, {})
        lines.append(
            f"{name:10}{summary['intersections'].get(name, 0):10}{sum(licences.values()):10}  {listed(licences)}"
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
        lines.append(f"licences not allowed: {listed(summary['licences_left_out'])}")
    return "\n".join(lines)

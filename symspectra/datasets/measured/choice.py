"""Which spectra may be used, and which one of several of a molecule is."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from symspectra.datasets.measured.records import Measurement
from symspectra.spectra.preprocessing import AXES, MZ_MAX

#: In words, for the manifest.
RULE = {
    "c13": "the most peaks, then the first",
    "h1": "the most peaks, then the first",
    "msms_pos": "[M+H]+ before other adducts; then the middle one by collision energy, those without one last",
    "msms_neg": "[M-H]- before other adducts; then the middle one by collision energy, those without one last",
    "ms": "the most peaks, then the first",
}
_ADDUCT = {"msms_pos": "[M+H]+", "msms_neg": "[M-H]-"}
_RESTRICTED = re.compile(r"\b(NC|ND)\b|non-?commercial|no-?deriv", re.IGNORECASE)


def allowed(licence: str | None, patterns: Sequence[str] | None) -> bool:
    """Whether a licence is one of those wanted.

    Parameters
    ----------
    licence : as the record states it
    patterns : such as ``CC BY*``, whatever the case; ``all`` for every licence. None: every licence but those for
        non-commercial use and those without derivatives (``CC BY-NC-SA``, ``CC BY-ND``).
    """
    if patterns is None:
        return not _RESTRICTED.search(licence or "")
    return any(p.lower() == "all" or fnmatchcase((licence or "").lower(), p.lower()) for p in patterns)


def on_axis(spectrum: Measurement) -> bool:
    """Whether a peak lies in the range that the models read."""
    if spectrum.modality in AXES:
        high, low = AXES[spectrum.modality][0], AXES[spectrum.modality][-1]
        inside = (spectrum.x >= low) & (spectrum.x <= high)
    else:
        inside = spectrum.x < MZ_MAX
    return bool(spectrum.y[inside].any())


@dataclass(frozen=True, slots=True)
class Candidate:
    """What the choice needs of a spectrum; ``row`` is its place in the table."""

    row: int
    record: str | None
    peaks: int
    other_adduct: bool
    energy: float | None


def candidate(row: int, spectrum: Measurement) -> Candidate:
    """A spectrum of the table as a candidate."""
    number = re.search(r"\d+(?:\.\d+)?", spectrum.collision_energy or "")
    return Candidate(
        row,
        spectrum.record,
        len(spectrum.x),
        spectrum.adduct != _ADDUCT.get(spectrum.modality),
        float(number[0]) if number else None,
    )


def choose(candidates: Sequence[Candidate], modality: str) -> Candidate:
    """One of the spectra of a molecule, by `RULE`."""
    if modality not in _ADDUCT:
        return min(candidates, key=lambda c: (-c.peaks, c.row))
    best = min((c.other_adduct, c.energy is None) for c in candidates)
    equal = [c for c in candidates if (c.other_adduct, c.energy is None) == best]
    return sorted(equal, key=lambda c: (c.energy or 0.0, c.row))[(len(equal) - 1) // 2]

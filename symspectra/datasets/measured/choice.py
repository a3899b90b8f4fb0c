"""Which spectra may be used, and which one of several of a molecule is."""

from __future__ import annotations

import re
from collections.abc import Sequence
from fnmatch import fnmatchcase

import pandas as pd

from symspectra.datasets.measured.records import Measurement, kind_of

_ADDUCT = {"msms_pos": "[M+H]+", "msms_neg": "[M-H]-"}
RULE = dict.fromkeys(("ir", "c13", "h1", "ms"), "the most peaks, then the first") | {
    name: f"{adduct} before other adducts; then the middle one by collision energy, those without one last"
    for name, adduct in _ADDUCT.items()
}
_RESTRICTED = re.compile(r"(?<![a-z])(NC|ND)(?![a-z])|non[-_ ]?commercial|no[-_ ]?deriv", re.IGNORECASE)


def restricted(licence: str | None) -> bool:
    """Whether a licence is for non-commercial use only, or without derivatives (``CC BY-NC-SA``, ``CC BY-ND``)."""
    return bool(_RESTRICTED.search(licence or ""))


def allowed(licence: str | None, patterns: Sequence[str] | None) -> bool:
    """Whether a licence is one of those wanted.

    Parameters
    ----------
    licence : as the record states it
    patterns : such as ``CC BY*``, whatever the case; ``all`` for every licence. None: every licence that is not
        `restricted`.
    """
    if patterns is None:
        return not restricted(licence)
    return any(p.lower() == "all" or fnmatchcase((licence or "").lower(), p.lower()) for p in patterns)


def on_axis(spectrum: Measurement) -> bool:
    """Whether a peak lies in the range that the models read."""
    kind = kind_of(spectrum.modality)
    low, high = sorted(kind.axis)
    inside = (spectrum.x >= low) & ((spectrum.x <= high) if kind.nucleus else (spectrum.x < high))
    return bool(spectrum.y[inside].any())


def choose(spectra: pd.DataFrame) -> pd.DataFrame:
    """The rows of one spectrum of each molecule and modality, by `RULE`.

    ``spectra`` has the columns inchikey, modality, peaks (their number), adduct and collision_energy.
    """
    spectra = spectra.assign(
        energy=spectra["collision_energy"].astype(object).str.extract(r"(\d+(?:\.\d+)?)", expand=False).astype(float),
        fragments=spectra["modality"].isin(list(_ADDUCT)),
    )
    other_adduct = spectra["adduct"] != spectra["modality"].map(_ADDUCT)
    rank = (2 * other_adduct + spectra["energy"].isna()).where(spectra["fragments"], 0)
    of_molecule = ["inchikey", "modality"]
    best = spectra[rank == rank.groupby([spectra[name] for name in of_molecule]).transform("min")]
    order = best["energy"].fillna(0.0).where(best["fragments"], -best["peaks"])
    best = best.loc[order.sort_values(kind="stable").index]
    groups = best.groupby(of_molecule, sort=False)
    middle = ((groups["peaks"].transform("size") - 1) // 2).where(best["fragments"], 0)
    return best[groups.cumcount() == middle].sort_index()

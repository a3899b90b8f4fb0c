"""One scan of a mass spectrometry file, and the `Spectrum` it makes: level and polarity give the modality.

The formats (`mass` and `mzml` beside this module) only collect; every decision is here.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np
from jaxtyping import Float, Int
from numpy.typing import ArrayLike

from symspectra.errors import ReadError
from symspectra.spectra.spectrum import Spectrum

Peaks = tuple[ArrayLike, ArrayLike]  # m/z and intensity

ISOTOPES = 4.5  # m/z by which isotopes of a precursor (two Cl or Br) lie above it
STRONG = 0.05  # of the base peak: such a peak is no noise
PROFILE_FLOOR = 0.005  # of the base peak: maxima of a profile below it are noise

#: What is kept of a scan, and the names that files give to it (`key`).
NAMES: dict[str, tuple[str, ...]] = {
    "title": ("title", "name", "compoundname", "spectrumtitle"),
    "precursor_mz": ("pepmass", "precursormz"),
    "charge": ("charge",),
    "adduct": ("adduct", "precursortype"),
    "collision_energy": ("collisionenergy",),
    "smiles": ("smiles", "computedsmiles"),
    "inchikey": ("inchikey", "inchiaux"),
    "ion_mode": ("ionmode", "polarity", "ionizationmode", "ionisationmode"),
    "ms_level": ("mslevel", "spectrumtype"),
}
_IONISATION = ("ionization", "ionisation", "ionsource", "ionizationmethod", "instrumenttype", "sourceinstrument")
_ABSENT = ("", "n/a", "na", "none", "nan", "null", "unknown")


@dataclass
class Scan:
    """One scan or library entry."""

    fields: Mapping[str, str]  #: what the file says of it, by `key`
    peaks: Callable[[], Peaks]  #: m/z and intensities; called only for the scans that are wanted
    profile: bool | None = False  #: whether a curve rather than peaks, None where the file does not say but should
    steps: list[str] = field(default_factory=list)  #: what the format had to do

    def said(self, what: str) -> str:
        """What the file says under the first of the names of ``what`` that has a value, else nothing."""
        values = (self.fields.get(name, "").strip() for name in NAMES[what])
        return next((value for value in values if value.lower() not in _ABSENT), "")

    @property
    def level(self) -> int | None:
        """1 for MS, 2 for MS/MS; an entry with a precursor and no stated level is MS/MS."""
        for name in NAMES["ms_level"]:
            text = self.fields.get(name, "").strip().lower().replace("ms/ms", "2")
            if match := re.fullmatch(r"(?:ms)?\s*([1-9])", text):
                return int(match[1])
        return 2 if self.precursor else None

    @property
    def precursor(self) -> float | None:
        """In m/z; libraries write 0 where there is none."""
        try:
            value = float((self.said("precursor_mz").split() or [""])[0])
        except ValueError:
            return None
        return value if 0 < value < np.inf else None

    @property
    def ionisation(self) -> str | None:
        """``"EI"``, ``"ESI"`` and the like."""
        text = " ".join(self.fields.get(name, "") for name in _IONISATION)
        energy = re.match(r"\s*70(\.0*)?\s*ev", self.fields.get("ionizationenergy", ""), re.I)
        if energy or re.search(r"\bEI\b|electron (impact|ioni[sz]ation)", text, re.I):
            return "EI"
        match = re.search(r"\b(ESI|APCI|APPI|CI|MALDI|FAB)\b", text, re.I)
        return match[1].upper() if match else None

    @property
    def polarities(self) -> dict[str, str]:
        """``"+"`` or ``"-"`` by each of the places that state it."""
        mode, found = self.said("ion_mode").lower(), {}
        if mode in ("+", "-", "p", "n") or mode.startswith(("pos", "neg")):
            found["ion mode"] = "+" if mode[0] in "+p" else "-"
        if match := re.search(r"\]\d*([+-])", self.said("adduct")[:100]):
            found["adduct"] = match[1]
        signs = {a or b for a, b in re.findall(r"([+-])0*[1-9]|0*[1-9]\d*([+-])", self.said("charge")[:100])}
        if len(signs) == 1:
            found["charge"] = signs.pop()
        if match := re.search(r"\b(?:ESI|APCI|APPI|MALDI)\s*([+-])$", self.fields.get("ionization", "").strip(), re.I):
            found["ionisation"] = match[1]
        return found

    def modality(self) -> tuple[str | None, list[str]]:
        """The modality, and why there is none."""
        if self.ionisation == "EI":
            return (None, ["negative electron ionisation"]) if "-" in self.polarities.values() else ("ei", [])
        said, reason = self.polarities, []
        if self.level != 2:
            reason.append("MS level not stated" if self.level is None else f"MS level {self.level}, not MS/MS")
        if len(set(said.values())) != 1:
            places = ", ".join(f"{sign} by the {place}" for place, sign in said.items())
            reason.append(f"polarity contradictory: {places}" if said else "polarity not stated")
        if reason:
            return None, reason
        return ("msms_pos" if "+" in said.values() else "msms_neg"), []

    def spectrum(self) -> Spectrum:
        """Peaks above zero, with what the file says of them.

        Raises
        ------
        ReadError : there are none, or values that are no m/z and intensities.
        """
        mz, intensity = (np.asarray(values, dtype=np.float64) for values in self.peaks())
        if len(mz) != len(intensity):
            raise ReadError(f"has {len(mz)} m/z values and {len(intensity)} intensities; expected as many of both")
        for what, values in (("m/z", mz), ("intensity", intensity)):
            if len(bad := np.flatnonzero(~(np.isfinite(values) & (values >= 0)))):
                value = f"{values[bad[0]]:g}"
                raise ReadError(f"peak {bad[0] + 1} has {what} {value}; expected a finite number, not negative")
        if not intensity.any():
            raise ReadError("has no peaks")
        steps = list(self.steps)
        if self.profile is None:
            steps.append("neither centroid nor profile stated; read as centroids")
        keep = _maxima(intensity) if self.profile else np.flatnonzero(intensity)
        if self.profile:
            above = f"local maxima above {PROFILE_FLOOR:.1%} of the base peak"
            steps.append(f"peaks picked from a profile of {len(mz)} points: {len(keep)}, {above}")
        elif len(keep) < len(mz):
            steps.append(f"peaks of zero intensity left out: {len(mz) - len(keep)}")
        modality, reason = self.modality()
        names = ("title", "adduct", "collision_energy", "smiles", "inchikey")
        meta: dict[str, Any] = {name: self.said(name) for name in names}
        meta |= {"precursor_mz": self.precursor, "ms_level": self.level, "ionisation": self.ionisation}
        charge = max([1, *map(int, re.findall(r"\d", self.said("charge")[:20]))])
        strong = mz[keep][intensity[keep] >= STRONG * intensity.max()]
        if self.precursor and strong.max() > self.precursor * charge + ISOTOPES:
            meta["above_precursor"] = float(strong.max())
            steps.append(f"a strong peak at m/z {strong.max():g} lies above the precursor, m/z {self.precursor:g}")
        meta = {name: value for name, value in meta.items() if value not in ("", None)}
        return Spectrum(mz[keep], intensity[keep], "m/z", "intensity", modality, meta, True, (*steps, *reason))


@lru_cache(maxsize=1000)
def key(name: str) -> str:
    """A field's name without case, spaces and signs: ``Precursor_MZ`` is ``precursormz``."""
    return re.sub(r"[^a-z0-9]", "", name.lower())


def _maxima(intensity: Float[np.ndarray, " point"]) -> Int[np.ndarray, " maximum"]:
    """Indices of the local maxima of a profile above the floor; of a flat top, its middle."""
    first = np.flatnonzero(np.diff(intensity, prepend=np.nan) != 0)  # of each run of equal values
    last = np.append(first[1:], len(intensity)) - 1
    height = intensity[first]
    left, right = np.append(0.0, height[:-1]), np.append(height[1:], 0.0)
    top = (height > left) & (height > right) & (height > PROFILE_FLOOR * intensity.max())
    return (first[top] + last[top]) // 2

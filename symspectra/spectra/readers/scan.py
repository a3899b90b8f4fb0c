"""One scan of a mass spectrometry file, and the `Spectrum` it makes: level and polarity give the modality.

The formats (`mass` and `mzml` beside this module) only collect; every decision is here.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
from jaxtyping import Float, Int
from numpy.typing import ArrayLike

from symspectra.errors import ReadError
from symspectra.spectra.spectrum import Spectrum

Peaks = tuple[ArrayLike, ArrayLike]  # m/z and intensity

SCAN_BYTES = 100  # a spectrum with its names takes more
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

    number: int  #: its place in the file, from 1
    fields: Mapping[str, str]  #: what the file says of it, by `key`
    peaks: Callable[[], Peaks]  #: m/z and intensities; called only for the scans that are wanted
    profile: bool | None = False  #: whether a curve rather than peaks, None where the file does not say but should
    steps: list[str] = field(default_factory=list)  #: what the format had to do

    @property
    def name(self) -> str:
        """For messages."""
        title = " ".join(self.said("title")[:60].split())
        return f"spectrum {self.number} ({title})" if title else f"spectrum {self.number}"

    def said(self, what: str) -> str:
        """What the file says under the first of the names of ``what`` that has a value, else nothing."""
        for name in NAMES[what]:
            value = self.fields.get(name, "").strip()
            if value.lower() not in _ABSENT:
                return value
        return ""

    @cached_property
    def level(self) -> int | None:
        """1 for MS, 2 for MS/MS; an entry with a precursor and no stated level is MS/MS."""
        for name in NAMES["ms_level"]:
            text = self.fields.get(name, "").strip().lower()
            if text == "ms/ms":
                return 2
            if match := re.fullmatch(r"(?:ms)?\s*([1-9])", text):
                return int(match[1])
        return 2 if self.precursor else None

    @cached_property
    def precursor(self) -> float | None:
        """In m/z; libraries write 0 where there is none."""
        try:
            value = float((self.said("precursor_mz").split() or [""])[0])
        except ValueError:
            return None
        return value if 0 < value < np.inf else None

    @cached_property
    def ionisation(self) -> str | None:
        """``"EI"``, ``"ESI"`` and the like."""
        text = " ".join(self.fields.get(name, "") for name in _IONISATION)
        energy = re.match(r"\s*70(\.0*)?\s*ev", self.fields.get("ionizationenergy", ""), re.I)
        if energy or re.search(r"\bEI\b|electron (impact|ioni[sz]ation)", text, re.I):
            return "EI"
        match = re.search(r"\b(ESI|APCI|APPI|CI|MALDI|FAB)\b", text, re.I)
        return match[1].upper() if match else None

    @cached_property
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


@lru_cache(maxsize=1000)
def key(name: str) -> str:
    """A field's name without case, spaces and signs: ``Precursor_MZ`` is ``precursormz``."""
    return re.sub(r"[^a-z0-9]", "", name.lower())


def spectra(
    scans: list[Scan], format: str, size: int, block: int | None = None, skip_ms1: bool = False
) -> list[Spectrum]:
    """The spectra of a file of ``size`` bytes, or the one at ``block`` (from 1).

    Scans without peaks are left out, and those of level 1 with ``skip_ms1`` where there are others; the steps of the
    spectra say so.
    """
    if not scans:
        raise ReadError(f"holds no spectrum; expected {format}")
    if len(scans) > 1000 + size // SCAN_BYTES:
        raise ReadError(f"has {len(scans)} spectra in {size} bytes, too many for its size; expected {format}")
    if block is not None:
        if not 1 <= block <= len(scans):
            raise ReadError(f"has no spectrum {block}; there are {len(scans)}")
        spectrum = _spectrum(scans[block - 1], format)
        if spectrum is None:
            raise ReadError(f"{scans[block - 1].name} has no peaks")
        return [spectrum]
    wanted = [scan for scan in scans if not (skip_ms1 and scan.level == 1)] or scans
    survey = (f"{_count(len(scans) - len(wanted), 'MS1 scan')} left out",) * (len(wanted) < len(scans))
    found: list[Spectrum] = []
    empty: list[Scan] = []
    for scan in wanted:
        spectrum = _spectrum(scan, format, (*survey, *_left_out(empty)))
        if spectrum is None:
            empty.append(scan)
        else:
            found.append(spectrum)
            empty = []
    if not found:
        raise ReadError(f"has no peaks in any of its {len(wanted)} spectra" if len(wanted) > 1 else "has no peaks")
    for step in _left_out(empty):
        found[-1] = found[-1].then(step)
    return found


def _left_out(empty: list[Scan]) -> list[str]:
    return [f"{_count(len(empty), 'spectrum')} without m/z peaks left out, from {empty[0].name}"] if empty else []


def _count(number: int, noun: str) -> str:
    plural = "spectra" if noun == "spectrum" else noun + "s"
    return f"{number} {noun if number == 1 else plural}"


def _spectrum(scan: Scan, format: str, before: tuple[str, ...] = ()) -> Spectrum | None:
    """None where it has no peaks."""
    mz, intensity = (np.asarray(values, dtype=np.float64) for values in scan.peaks())
    if len(mz) != len(intensity):
        raise ReadError(f"{scan.name} has {len(mz)} m/z values and {len(intensity)} intensities; expected as many")
    for what, values in (("m/z", mz), ("intensity", intensity)):
        if len(bad := np.flatnonzero(~(np.isfinite(values) & (values >= 0)))):
            raise ReadError(
                f"{scan.name}: peak {bad[0] + 1} has {what} {values[bad[0]]:g}; expected a finite number, not negative"
            )
    steps = [*before, *scan.steps]
    if scan.profile is None:
        steps.append("neither centroid nor profile stated; read as centroids")
    keep = intensity > 0
    if scan.profile and keep.any():
        keep = _maxima(intensity)
        steps.append(
            f"{_count(len(keep), 'peak')} picked from a profile of {len(mz)} points: local maxima above "
            f"{PROFILE_FLOOR:.1%} of the base peak"
        )
    elif not keep.all() and keep.any():
        steps.append(f"{_count(int((~keep).sum()), 'peak')} of zero intensity left out")
    mz, intensity = mz[keep], intensity[keep]
    if len(mz) == 0:
        return None
    modality, reason = _modality(scan)
    said = scan.said("precursor_mz")
    if said and scan.precursor is None and not re.fullmatch(r"[0.]+", said):
        reason.append(f"precursor m/z {said[:30]!r} not understood")
    return Spectrum(mz, intensity, "m/z", "intensity", modality, _meta(scan, format), True, (*steps, *reason))


def _maxima(intensity: Float[np.ndarray, " point"]) -> Int[np.ndarray, " maximum"]:
    """Indices of the local maxima of a profile above the floor; of a flat top, its middle."""
    first = np.flatnonzero(np.diff(intensity, prepend=np.nan) != 0)  # of each run of equal values
    last = np.append(first[1:], len(intensity)) - 1
    height = intensity[first]
    left, right = np.append(0.0, height[:-1]), np.append(height[1:], 0.0)
    top = (height > left) & (height > right) & (height > PROFILE_FLOOR * intensity.max())
    return (first[top] + last[top]) // 2


def _modality(scan: Scan) -> tuple[str | None, list[str]]:
    """The modality, and why there is none."""
    if scan.ionisation == "EI":
        return None, ["electron ionisation (EI), not MS/MS"]
    said, reason = scan.polarities, []
    if scan.level != 2:
        reason.append("MS level not stated" if scan.level is None else f"MS level {scan.level}, not MS/MS")
    if not said:
        reason.append("polarity not stated")
    elif len(set(said.values())) > 1:
        reason.append("polarity contradictory: " + ", ".join(f"{sign} by the {place}" for place, sign in said.items()))
    if reason:
        return None, reason
    return ("msms_pos" if "+" in said.values() else "msms_neg"), []


def _meta(scan: Scan, format: str) -> dict[str, Any]:
    names = ("title", "adduct", "collision_energy", "smiles", "inchikey")
    meta: dict[str, Any] = {"format": format, "block": scan.number, **{name: scan.said(name) for name in names}}
    if not re.fullmatch(r"[A-Z]{14}-[A-Z]{10}-[A-Z]", meta["inchikey"]):
        del meta["inchikey"]
    meta |= {"precursor_mz": scan.precursor, "ms_level": scan.level, "ionisation": scan.ionisation}
    if match := re.fullmatch(r"([+-]?)0*([1-9]\d?)([+-]?)", scan.said("charge")):
        meta["charge"] = int(match[2]) * (-1 if "-" in (match[1], match[3]) else 1)
    return {name: value for name, value in meta.items() if value not in ("", None)}

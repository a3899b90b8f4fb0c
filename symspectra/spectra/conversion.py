"""From a spectrum in a chemist's units to the 600 points that a model reads, every step told in words."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import compress
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from symspectra.errors import ReadError, suggest
from symspectra.modalities import KINDS
from symspectra.spectra.formula import formula_vectors
from symspectra.spectra.lines import LINES, LineTable
from symspectra.spectra.preprocessing import AXES, MZ_MAX, POINTS, ir_vector, nmr_vector
from symspectra.spectra.rendering import draw_bands, render
from symspectra.spectra.spectrum import Spectrum

MOST_ABSORBANCE = 3.0  # a transmittance below 0.1 % says no more
MOST_PLAUSIBLE = 10.0  # absorbance; above it no spectrometer measures
LEAST_TRANSMITTED = 2.0  # percent, somewhere in a spectrum; with less, the values are no percentages
PEAKS = 50  # a mass spectrum in training has at most so many,
LEAST_PERCENT = 1.0  # none below this share of the base peak
INVERTED = 0.25  # of the highest line of an NMR curve: deeper ones are lines that point down
NOISE = 4.0  # standard deviations; NMR points below are baseline
LEAST_COVERED = 0.25  # of the axis; with less, a spectrum says nothing of most groups

# Residual solvent, water and 13C, ppm: Fulmer et al., Organometallics 29 (2010) 2176, Tables 1 and 2. Names as files
# write them, without blanks, hyphens and brackets.
_SOLVENTS = (
    ("cdcl3 chloroform chloroformd chloroformd1", (7.26, 1.56), (77.16,)),
    ("dmso dmsod6 cd32so dimethylsulfoxided6", (2.50, 3.33), (39.52,)),
    ("cd3od cd3odspe methanol methanold4 meod", (3.31, 4.87), (49.00,)),
    ("d2o h2o+d2o water deuteriumoxide", (4.79,), ()),
    ("acetone acetoned6 cd32co", (2.05, 2.84), (29.84, 206.26)),
    ("c6d6 benzene benzened6", (7.16, 0.40), (128.06,)),
    ("cd2cl2 dichloromethaned2", (5.32, 1.52), (53.84,)),
    ("cd3cn acetonitriled3", (1.94, 2.13), (1.32, 118.26)),
)
SOLVENTS = {name: {"h1": h1, "c13": c13} for names, h1, c13 in _SOLVENTS for name in names.split()}
SOLVENT_WIDTH = {"h1": 0.04, "c13": 0.9}  # ppm on either side: 13C lines of deuterated solvents are multiplets


_EDITED = re.compile(r"\b(?:DEPT[ -]?(?:45|90|135|Q)|INEPT)\b")  # in a title: "Chem. Dept." is none

#: What a list of peaks may say of each in ``meta``, and what holds where it does not: attached hydrogen atoms of a
#: carbon; couplings (`symspectra.spectra.lines.multiplet`) and whether the line of an exchangeable hydrogen is broad.
SAID: dict[str, dict[str, Any]] = {"c13": {"attached": None}, "h1": {"couplings": "", "broad": False}}


@dataclass(frozen=True)
class Prepared:
    """A spectrum as the model reads it, and how it came to be."""

    modality: str  #: one of `symspectra.modalities.KINDS`
    vector: Float[np.ndarray, " 600"]  #: what the model reads
    spectrum: Spectrum  #: in the modality's own units, before it was resampled; its ``steps`` tell everything

    @property
    def steps(self) -> tuple[str, ...]:
        """What was done, in words, from the file to the 600 points."""
        return self.spectrum.steps


def prepare(spectrum: Spectrum, modality: str | None = None) -> Prepared:
    """Convert one spectrum. See `prepare_all`."""
    return prepare_all([spectrum], [modality])[0]


def prepare_all(spectra: Sequence[Spectrum], modalities: Sequence[str | None] | None = None) -> list[Prepared]:
    """Convert spectra; those that are lists of peaks are drawn together, which is fast.

    Infrared: wavelength to wavenumber, transmittance to absorbance, baseline to zero, maximum to 1. NMR: peaks of a
    known solvent and of TMS masked, noise to zero, the strongest point to 1; lists of peaks are drawn with the line
    shapes of the training data. Mass spectra: the strongest 50 peaks of at least 1 %. What lies off the model's axis is
    left out.

    Parameters
    ----------
    modalities : one per spectrum; None where the spectrum itself says

    Raises
    ------
    ReadError : the modality is neither given nor stated, or not that of the spectrum; units do not fit it; no overlap
        with the axis, or too little; nothing but a constant. The message begins with the file's name.
    """
    wanted = modalities or [None] * len(spectra)
    ready: list[Spectrum] = []
    for spectrum, modality in zip(spectra, wanted, strict=True):
        try:
            modality = _modality(spectrum, modality)
            ready.append(_CONVERT[modality](replace(spectrum, modality=modality)))
        except ReadError as error:
            raise _named(spectrum, str(error)) from None
    vectors = np.zeros((len(ready), POINTS), dtype=np.float32)
    for modality in KINDS:
        lists = [i for i, s in enumerate(ready) if s.modality == modality and s.peaks]
        if lists:
            vectors[lists] = peak_vectors([ready[i] for i in lists], modality).numpy()
    prepared = []
    for s, vector in zip(ready, vectors, strict=True):
        if not s.peaks:
            vector[:] = _curve_vector(s)
        if not vector.any():
            raise _named(s, "nothing is left of the spectrum but its baseline")
        drawn = "drawn" if s.peaks else "resampled"
        prepared.append(Prepared(s.modality, vector, s.then(f"{drawn} on the model's {POINTS} points")))
    return prepared


def _named(spectrum: Spectrum, message: str) -> ReadError:
    source = spectrum.meta.get("source", "")
    return ReadError(f"{source}: {message}" if source else message)


def _modality(spectrum: Spectrum, modality: str | None) -> str:
    found = modality or spectrum.modality
    if found is None:
        raise ReadError(f"what kind of spectrum it is is not stated; say which of {', '.join(KINDS)}")
    if found not in KINDS:
        raise ReadError(f"there is no modality {found!r}; {suggest(found, KINDS)}")
    if spectrum.modality not in (None, found):
        raise ReadError(f"is a spectrum of {spectrum.modality}; {found} was asked for")
    return found


# ---- infrared


def _infrared(s: Spectrum) -> Spectrum:
    if s.peaks:
        return _listed(s, *KINDS["ir"].axis)
    if s.x_unit != "1/cm":
        factor = {"um": 1e4, "nm": 1e7}.get(s.x_unit)
        if factor is None:
            raise ReadError(f"the axis is in {s.x_unit}; expected 1/cm, um or nm for infrared")
        if not (s.x > 0).all():
            raise ReadError(f"the axis holds {s.x.min():g} {s.x_unit}; expected wavelengths above zero")
        s = s.then(f"axis converted from {s.x_unit} to 1/cm", x=factor / s.x, x_unit="1/cm")
    s = _on_the_axis(_absorbance(s))
    low, high = np.percentile(s.y, 1), s.y.max()
    if not high > low:
        raise ReadError("the spectrum is constant")
    words = f"baseline set to zero (1st percentile, {low:.3g}), maximum to 1"
    return s.then(words, y=np.clip((s.y - low) / (high - low), 0, None))


def _absorbance(s: Spectrum) -> Spectrum:
    low, middle, high = np.percentile(s.y, (0, 50, 100))
    if s.y_unit == "absorbance" and high > MOST_PLAUSIBLE and middle > (low + high) / 2:
        raise ReadError(
            f"the values are said to be absorbance, lie near {middle:.3g} and have bands that point down; expected "
            "absorbance: they seem to be percent transmittance, which the file has to say"
        )
    if s.y_unit in ("absorbance", "absorption coefficient"):
        return s
    if s.y_unit not in ("transmittance", "percent transmittance"):
        expected = "absorbance or transmittance, as in y_unit='absorbance' (--y-unit)"
        raise ReadError(f"the values are {s.y_unit}; expected {expected}")
    t = s.y / 100 if s.y_unit == "percent transmittance" else s.y
    if s.y_unit == "transmittance" and np.percentile(t, 95) > 2:
        raise ReadError(
            f"the values are said to be transmittance and reach {t.max():g}; if they are percent, say "
            "y_unit='percent transmittance' (--y-unit)"
        )
    if s.y_unit == "percent transmittance" and high < LEAST_TRANSMITTED:
        raise ReadError(
            f"the values are said to be percent transmittance and reach only {high:g}; if they are not percent, say "
            "y_unit='transmittance' (--y-unit)"
        )
    floor = 10**-MOST_ABSORBANCE
    words = f"{s.y_unit} converted to absorbance, A = -log10 T"
    if dark := int((t < floor).sum()):
        words += f"; {dark} points below T = {floor:g} set to A = {MOST_ABSORBANCE:g}"
    return s.then(words, y=-np.log10(np.clip(t, floor, None)), y_unit="absorbance")


def _on_the_axis(s: Spectrum) -> Spectrum:
    """The points of a curve on the model's axis, which must be covered well enough; ascending, each position once."""
    if not (np.diff(s.x) > 0).all():
        x, where = np.unique(s.x, return_inverse=True)
        y = np.bincount(where, weights=s.y) / np.bincount(where)
        if len(x) < len(s.x):
            s = s.then(f"{len(s.x) - len(x)} points at positions that occur twice averaged")
        s = s.then("axis put into ascending order", x=x, y=y)
    low, high = sorted(KINDS[s.modality].axis)
    inside = (s.x >= low) & (s.x <= high)
    span = f"{s.x.min():g} to {s.x.max():g} {s.x_unit}"
    if inside.sum() < 2:
        raise ReadError(f"the axis runs from {span}; nothing lies in the model's range, {low:g} to {high:g} {s.x_unit}")
    x = s.x[inside]
    start, end = _gaps(x)
    covered = (x.max() - x.min() - (end - start).sum()) / (high - low)
    if covered < LEAST_COVERED:
        raise ReadError(
            f"the axis runs from {span} and covers {covered:.0%} of the model's range, {low:g} to {high:g} "
            f"{s.x_unit}; expected at least {LEAST_COVERED:.0%}"
        )
    if not inside.all():
        words = f"{int((~inside).sum())} points outside {low:g} to {high:g} {s.x_unit} left out"
        s = s.then(words, x=x, y=s.y[inside])
    if covered < 0.97:
        s = s.then(f"measured from {x.min():g} to {x.max():g} {s.x_unit} only; zero elsewhere")
    if len(start):
        between = ", ".join(f"{a:g} to {b:g}" for a, b in zip(start[:8], end[:8], strict=True))
        s = s.then(f"no points from {between} {s.x_unit}: zero there")
    return s


def _gaps(x: Float[np.ndarray, " point"]) -> tuple[Float[np.ndarray, " gap"], Float[np.ndarray, " gap"]]:
    """Where an ascending axis leaves a region out, and goes on: steps ten times as long as those beside them."""
    step = np.diff(x)
    beside = np.maximum(np.append(0.0, step[:-1]), np.append(step[1:], 0.0))
    wide = np.flatnonzero((step > 10 * beside) & (beside > 0))
    return x[wide], x[wide + 1]


# ---- NMR


def _nmr(s: Spectrum) -> Spectrum:
    if s.x_unit != "ppm":
        raise ReadError(f"the axis is in {s.x_unit}; expected ppm for an NMR spectrum")
    if found := s.modality == "c13" and (
        _EDITED.search(str(s.meta.get("title", "")))
        or re.search("DEPT|INEPT|APT|JMOD", str(s.meta.get("pulse_sequence", "")), re.I)
    ):
        raise ReadError(
            f"is a {found[0].upper()} spectrum, in which carbons without hydrogen are absent or lines point down by "
            "their number of hydrogens; expected a plain 13C spectrum"
        )
    if s.peaks:
        return _listed(s, *sorted(KINDS[s.modality].axis))
    s = _on_the_axis(s)
    s = _without_solvent(s.then("baseline (median) set to zero", y=s.y - np.median(s.y)))
    noise = 1.4826 * np.median(np.abs(s.y))
    if -s.y.min() > max(NOISE * noise, INVERTED * s.y.max()):
        at = f"the strongest at {s.x[s.y.argmin()]:.4g} ppm"
        raise ReadError(f"has negative lines, {at}, as DEPT and APT spectra do; expected lines that all point up")
    y = np.where(s.y > NOISE * noise, s.y, 0.0)
    if not y.max() > 0:
        raise ReadError("no peak rises above the noise")
    return s.then(f"points below {NOISE:g} times the noise set to zero, the highest to 1", y=y / y.max())


def _without_solvent(s: Spectrum) -> Spectrum:
    """Mask what is not the compound: the peaks of the stated solvent, and TMS."""
    stated = str(s.meta.get("solvent") or "")
    solvent = SOLVENTS.get("".join(c for c in stated.lower() if c.isalnum() or c == "+"))
    if solvent is None:
        what = f"solvent {stated!r} is not known here" if stated else "solvent not stated"
        return s.then(f"{what}: its peaks, if any, are left in")
    peaks, width = (*solvent[s.modality], 0.0), SOLVENT_WIDTH[s.modality]
    masked = (np.abs(s.x[:, None] - peaks) <= width).any(axis=1)
    at = ", ".join(f"{ppm:g}" for ppm in peaks)
    return s.then(f"masked within {width:g} ppm of {at} ppm ({stated} and TMS)", y=np.where(masked, 0.0, s.y))


def _listed(s: Spectrum, low: float, high: float) -> Spectrum:
    """Peaks on the model's axis, with what a 1H list says of each."""
    if (s.y < 0).any():
        why = ", as DEPT and APT spectra have; expected a plain 13C spectrum" * (s.modality == "c13")
        raise ReadError(f"the peak at {s.x[s.y < 0][0]:g} {s.x_unit} has a negative intensity{why}")
    inside = (s.x >= low) & (s.x <= high)
    if not inside.any():
        raise ReadError(f"none of the {len(s)} peaks lies in the model's range, {low:g} to {high:g} {s.x_unit}")
    if inside.all():
        return s
    kept = {name: list(compress(s.meta[name], inside)) for name in SAID.get(s.modality, {}) if name in s.meta}
    words = f"{int((~inside).sum())} peaks outside {low:g} to {high:g} {s.x_unit} left out"
    return s.then(words, x=s.x[inside], y=s.y[inside], meta={**s.meta, **kept})


# ---- mass spectra


def _mass(s: Spectrum) -> Spectrum:
    if s.x_unit != "m/z":
        raise ReadError(f"the axis is in {s.x_unit}; expected m/z for a mass spectrum")
    s = _listed(s, 0.0, np.nextafter(MZ_MAX, 0.0))
    if not s.y.max() > 0:
        raise ReadError("all peaks have the intensity zero")
    percent = 100 * s.y / s.y.max()
    strongest = np.sort(np.argsort(-percent, kind="stable")[:PEAKS])
    kept = strongest[percent[strongest] >= LEAST_PERCENT]
    words = "intensities in percent of the base peak"
    if len(kept) < len(s):
        words += f"; {len(s) - len(kept)} peaks below {LEAST_PERCENT:g} % or beyond the strongest {PEAKS} left out"
    return s.then(words, x=s.x[kept], y=percent[kept], y_unit="intensity", peaks=True)


_CONVERT = dict.fromkeys(("msms_pos", "msms_neg", "ei"), _mass)
_CONVERT |= {"ir": _infrared, "c13": _nmr, "h1": _nmr, "formula": lambda s: s}


# ---- to 600 points


def _curve_vector(s: Spectrum) -> Float[np.ndarray, " 600"]:
    """A curve on the standard axis of its kind, then on the model's points.

    A point of the axis takes the mean (infrared) or the maximum (NMR) of the measured points nearest to it, and is
    interpolated where there is none; zero where nothing was measured.
    """
    axis, infrared = AXES[s.modality], s.modality == "ir"
    grid = np.sort(axis)
    y = np.interp(grid, s.x, s.y, left=0.0, right=0.0)  # Eq. 32
    for start, end in zip(*_gaps(s.x), strict=True):
        y[(grid > start) & (grid < end)] = 0.0
    nearest = np.rint((s.x - grid[0]) / (grid[-1] - grid[0]) * (len(grid) - 1)).astype(int)
    if infrared:
        count, total = (np.bincount(nearest, weights, len(grid)) for weights in (None, s.y))
        y = np.where(count > 0, total / np.maximum(count, 1), y)
    else:
        y[nearest] = -np.inf
        np.maximum.at(y, nearest, s.y)
    on_axis = torch.from_numpy((y if infrared else y[::-1]).astype(np.float32))[None]
    vector = (ir_vector(on_axis) if infrared else nmr_vector(on_axis))[0].numpy()
    return vector / max(float(vector.max()), 1e-9)


def peak_vectors(spectra: Sequence[Spectrum], modality: str) -> Float[Tensor, "spectrum 600"]:
    """Lists of peaks as the model reads them: drawn as the lines of the training data are, without their noise."""
    n = len(spectra)
    if modality == "formula":
        return torch.from_numpy(formula_vectors(np.stack([s.y for s in spectra])))
    offsets = np.cumsum([0, *map(len, spectra)])
    columns = [np.concatenate([getattr(s, name) for s in spectra]) for name in ("x", "y")]
    if modality == "ir":
        row = np.repeat(np.arange(n), np.diff(offsets))
        low, high = KINDS["ir"].axis
        point = np.rint((columns[0] - low) / (high - low) * (POINTS - 1)).astype(int)
        heights = np.zeros((n, POINTS), dtype=np.float32)
        np.maximum.at(heights, (row, point), columns[1])
        return draw_bands(torch.from_numpy(heights))
    for name, otherwise in SAID.get(modality, {}).items():
        values = np.array([value for s in spectra for value in s.meta.get(name) or [otherwise] * len(s)])
        columns.append(values if values.dtype.kind != "U" else np.unique(values, return_inverse=True))
    nothing = torch.zeros(n, dtype=torch.int32)
    lines = {modality: LINES[modality](offsets, *columns)}
    table = LineTable(("",) * n, ("",) * n, torch.zeros(n, 37), nothing, lines, "")
    return render(table, torch.arange(n), (modality,))[:, 0]

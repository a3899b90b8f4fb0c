"""Infrared, NMR and mass spectra from JCAMP-DX files (IUPAC; versions 4.24, 5.00, 5.01 and 6.0)."""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Float

from symspectra.errors import ReadError
from symspectra.modalities import OF_NUCLEUS
from symspectra.spectra.readers.jcamp_blocks import Block, Table, blocks, finite, tables, values
from symspectra.spectra.spectrum import X_UNITS, Y_UNITS, Spectrum, unit

_POINTS = 2**22  # of all tables of a file together; more only where they are hardly compressed
_TABLES = 2000
_REFUSED = {
    "RAMAN": "a Raman spectrum; the model knows infrared spectra only",
    "FID": "a free induction decay; export the processed spectrum",
    "INTERFEROGRAM": "an interferogram; export the transformed spectrum",
    "ND": "a spectrum of several dimensions; expected a 1D spectrum",
    "2D": "a spectrum of several dimensions; expected a 1D spectrum",
    "CONTINUOUS": "a mass spectrum in profile mode; expected its peaks (centroids)",
}
_INFRARED = (
    *("INFRARED SPECTRUM", "INFRARED PEAK TABLE", "INFRARED", "IR SPECTRUM"),
    *("FTIR", "FT-IR", "FTIR SPECTRUM", "FT-IR SPECTRUM"),
)
_NMR = ("NMR SPECTRUM", "NMR PEAK TABLE", "NMR PEAK ASSIGNMENTS")
_META = {
    "solvent": ".SOLVENTNAME",
    "state": "STATE",
    "sampling": "SAMPLINGPROCEDURE",
    "cas": "CASREGISTRYNO",
    "ionisation": ".IONIZATIONMODE",
}


def read_jcamp(data: bytes, block: int | None = None) -> list[Spectrum]:
    """All spectra of a JCAMP-DX file.

    Parameters
    ----------
    data : the content of the file
    block : only this one of the blocks that hold data, from 1; all by default

    Returns
    -------
    The spectra, one a block (one a page in a block of several mass spectra), in the units of the file, except that an
    NMR axis in Hz is converted to ppm. ``meta["block"]`` counts the blocks that hold data from 1.

    Raises
    ------
    ReadError : the file is not JCAMP-DX, it has no such block, or none of its blocks can be read (the reason is that
        of the first). A block that cannot be read beside others that can is named in their ``steps``.
    """
    everything = blocks(_text(data))
    found = [candidate for candidate in everything if candidate.tables]
    if not found:
        raise ReadError("there is no JCAMP-DX data table; expected ##TITLE= and a table such as ##XYDATA=")
    if block is not None and not 1 <= block <= len(found):
        raise ReadError(f"there is no block {block}; expected 1 to {len(found)}, the blocks that hold data")
    wanted = range(1, len(found) + 1) if block is None else [block]
    count = sum(found[number - 1].tables for number in wanted)
    if count > _TABLES:
        _modality(found[wanted[0] - 1])  # a spectrum of two dimensions is refused as such
        raise ReadError(f"the file holds {count} data tables; expected at most {_TABLES}, or the number of one block")
    most = _POINTS // count
    spectra: list[Spectrum] = []
    refused: dict[str, list[int]] = {}
    for number in wanted:
        try:
            spectra += _spectra(found[number - 1], number, most)
        except ReadError as error:
            refused.setdefault(str(error), []).append(number)
    if not spectra:
        reason, numbers = next(iter(refused.items()))
        raise ReadError(reason if len(found) == 1 else f"block {numbers[0]} of {len(found)} cannot be read: {reason}")
    steps = [f"left out block {', '.join(map(str, numbers))}: {reason}" for reason, numbers in refused.items()]
    bare = sum(not other.tables and other["DATATYPE"].upper() != "LINK" for other in everything)
    if bare and block is None:
        steps.append(f"left out {bare} block{'s' * (bare > 1)} without a data table")
    return [_then(spectrum, steps) for spectrum in spectra]


def _text(data: bytes) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode("latin-1")


def _then(spectrum: Spectrum, steps: list[str]) -> Spectrum:
    for step in steps:
        spectrum = spectrum.then(step)
    return spectrum


def _spectra(block: Block, number: int, most: int) -> list[Spectrum]:
    modality, meta = _modality(block)
    meta |= {"title": block["TITLE"].partition("\n")[0].strip(), "format": "JCAMP-DX", "block": number}
    meta |= {key: " ".join(block[label].split()) for key, label in _META.items() if block[label]}
    found, steps = tables(block, real_only=modality is not None)
    return [_spectrum(table, block, modality, meta, steps, most) for table in found]


def _modality(block: Block) -> tuple[str | None, dict[str, Any]]:
    """The modality, and what belongs to it in ``meta``."""
    kind = " ".join((block["DATATYPE"] or block["NTUPLES"]).upper().split())
    meta: dict[str, Any] = {"data_type": kind}
    if not kind:
        raise ReadError("there is no ##DATA TYPE=; expected INFRARED SPECTRUM, NMR SPECTRUM or MASS SPECTRUM")
    for word in kind.split():
        if word in _REFUSED:
            raise ReadError(f"##DATA TYPE= is {kind[:60]!r}: {_REFUSED[word]}")
    if kind in _INFRARED:
        return "ir", meta
    if kind == "MASS SPECTRUM":
        return None, meta
    if kind not in _NMR:
        raise ReadError(f"##DATA TYPE= is {kind[:60]!r}; expected an infrared, NMR or mass spectrum")
    nucleus = block[".OBSERVENUCLEUS"].strip("^<> ").upper()
    if nucleus not in OF_NUCLEUS:
        raise ReadError(f"##.OBSERVE NUCLEUS= is {nucleus[:20]!r}; expected ^1H or ^13C")
    meta["nucleus"] = nucleus
    if (frequency := block.number(".OBSERVEFREQUENCY")) is not None:
        meta["frequency_mhz"] = frequency
    return OF_NUCLEUS[nucleus], meta


def _spectrum(
    table: Table, block: Block, modality: str | None, meta: dict[str, Any], steps: tuple[str, ...], most: int
) -> Spectrum:
    """One table with its units and referencing."""
    peaks = table.peaks or (modality is None and table.form != "X++YY")
    if modality is None and peaks and table.units == ("", ""):
        x_unit, y_unit = "m/z", "intensity"
        steps += ("the file names no units; peaks of a mass spectrum are m/z and intensity",)
    else:
        x_unit, y_unit = _units(table, modality)
    with np.errstate(over="ignore", invalid="ignore"):  # Spectrum refuses what is not finite
        x, y, more = values(table, most)
        steps += more
        if x_unit == "Hz":
            x, step = _ppm(x, block, peaks)
            x_unit, steps = "ppm", (*steps, step)
    page = {"page": table.page} if table.page and modality is None else {}
    return Spectrum(x, y, x_unit, y_unit, modality, meta | page, peaks, steps)


def _units(table: Table, modality: str | None) -> tuple[str, str]:
    if modality == "ir":
        expected = ("1/cm", "um", "nm"), tuple(name for name in Y_UNITS if name != "intensity")
    elif modality is None:
        expected = ("m/z",), ("intensity",)
    else:
        expected = ("ppm", "Hz"), ("intensity",)
    found = unit(table.units[0], X_UNITS), unit(table.units[1], Y_UNITS)
    for label, text, name, names in zip(("XUNITS", "YUNITS"), table.units, found, expected, strict=True):
        if name not in names:
            raise ReadError(f"##{label}= is {text[:40]!r}; expected {', '.join(names)}")
    return found


def _ppm(x: Float[np.ndarray, " point"], block: Block, peaks: bool) -> tuple[Float[np.ndarray, " point"], str]:
    """An axis in Hz in ppm, and how it was referenced."""
    if peaks:
        raise ReadError("the peaks are in Hz; expected ppm, for a list of peaks does not tell its reference")
    offset, basic = block.number("$OFFSET"), block.number("$SF")
    bruker = offset is not None and basic is not None
    frequency = basic if bruker else block.number(".OBSERVEFREQUENCY")
    if frequency is None or not 1 < frequency < 5000:
        raise ReadError("the axis is in Hz and ##.OBSERVE FREQUENCY= is no number of MHz; expected it, or a ppm axis")
    converted = f"axis converted from Hz to ppm by {frequency:.10g} MHz"
    if bruker:
        return offset + (x - x.max()) / frequency, f"{converted}, its left end at {offset:.8g} ppm (##$OFFSET=)"
    reference = block[".SHIFTREFERENCE"].strip("() \n").split(",")
    if len(reference) == 4:
        point, shift = finite(reference[2]), finite(reference[3])
        if point is not None and shift is not None and 1 <= point <= len(x):  # point 0 says that there is none
            zero = np.interp(point, np.arange(1, len(x) + 1), x)
            step = f"{converted}, point {point:g} at {shift:.8g} ppm (##.SHIFT REFERENCE=)"
            return shift + (x - zero) / frequency, step
    if min(abs(x[0]), abs(x[-1])) <= 1.5 * abs(x[-1] - x[0]) / max(len(x) - 1, 1):
        raise ReadError(
            "the axis is in Hz from one end of the spectrum, and neither ##.SHIFT REFERENCE= nor ##$OFFSET= and ##$SF= "
            "say where 0 ppm is; expected one of these, or a ppm axis"
        )
    return x / frequency, f"{converted}, 0 Hz taken as 0 ppm"

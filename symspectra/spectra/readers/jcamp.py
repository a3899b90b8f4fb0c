"""Infrared, NMR and mass spectra from JCAMP-DX files (IUPAC; versions 4.24, 5.00, 5.01 and 6.0)."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from jaxtyping import Float

from symspectra.errors import ReadError
from symspectra.modalities import KINDS, OF_NUCLEUS
from symspectra.spectra.readers.jcamp_data import Table, finite
from symspectra.spectra.readers.signatures import decoded
from symspectra.spectra.spectrum import X_UNITS, Y_UNITS, Spectrum, unit

_POINTS = 2**22  # of all tables of a file together; more only where they are hardly compressed
_MOST_TABLES = 2000
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
    """All spectra of a JCAMP-DX file, or of the block ``block`` (from 1) of those that hold data.

    One per block, or per page in a block of several mass spectra, in the units of the file; only an NMR axis in Hz
    becomes ppm. A block that cannot be read beside others that can is named in the ``steps`` of these.
    """
    everything = _blocks(decoded(data))
    found = [candidate for candidate in everything if candidate.tables]
    if not found:
        raise ReadError("there is no JCAMP-DX data table; expected ##TITLE= and a table such as ##XYDATA=")
    if block is not None and not 1 <= block <= len(found):
        raise ReadError(f"there is no block {block}; expected 1 to {len(found)}, the blocks that hold data")
    wanted = range(1, len(found) + 1) if block is None else [block]
    count = sum(found[number - 1].tables for number in wanted)
    if count > _MOST_TABLES:
        _modality(found[wanted[0] - 1])  # a spectrum of two dimensions is refused as such
        raise ReadError(f"the file holds {count} data tables; expected at most {_MOST_TABLES}, or a block")
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
    return [replace(spectrum, steps=(*spectrum.steps, *steps)) for spectrum in spectra]


def _spectra(block: Block, number: int, most: int) -> list[Spectrum]:
    """One per table, with its units and referencing."""
    modality, meta = _modality(block)
    meta |= {"title": block["TITLE"].partition("\n")[0].strip(), "format": "JCAMP-DX", "block": number}
    meta |= {key: " ".join(block[label].split()) for key, label in _META.items() if block[label]}
    found, left_out = _tables(block, real_only=modality is not None)
    spectra = []
    for table in found:
        steps = list(left_out)
        peaks = table.peaks or (modality is None and table.form != "X++YY")
        if modality is None and peaks and not (table.head.get("XUNITS") or table.head.get("YUNITS")):
            x_unit, y_unit = "m/z", "intensity"
            steps.append("the file names no units; peaks of a mass spectrum are m/z and intensity")
        else:
            x_unit, y_unit = _units(table, modality)
        with np.errstate(over="ignore", invalid="ignore"):  # Spectrum refuses what is not finite
            x, y, more = table.values(most)
            steps += more
            if x_unit == "Hz":
                x, step = _ppm(x, block, peaks)
                x_unit, steps = "ppm", [*steps, step]
        page = {"page": table.page} if table.page and modality is None else {}
        spectra.append(Spectrum(x, y, x_unit, y_unit, modality, meta | page, peaks, tuple(steps)))
    return spectra


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
    if (frequency := finite(block[".OBSERVEFREQUENCY"])) is not None:
        meta["frequency_mhz"] = frequency
    return OF_NUCLEUS[nucleus], meta


def _units(table: Table, modality: str | None) -> list[str]:
    """Of the axis and of the values."""
    kind = KINDS.get(modality)
    x_units = (kind.unit, *kind.other_units) if kind else ("m/z",)
    y_units = [name for name in Y_UNITS if name != "intensity"] if modality == "ir" else ["intensity"]
    found = []
    for label, units, names in zip(("XUNITS", "YUNITS"), (X_UNITS, Y_UNITS), (x_units, y_units), strict=True):
        text = table.head.get(label, "")
        found.append(unit(text, units))
        if found[-1] not in names:
            raise ReadError(f"##{label}= is {text[:40]!r}; expected {', '.join(names)}")
    return found


def _ppm(x: Float[np.ndarray, " point"], block: Block, peaks: bool) -> tuple[Float[np.ndarray, " point"], str]:
    """An axis in Hz in ppm, and how it was referenced."""
    if peaks:
        raise ReadError("the peaks are in Hz; expected ppm, for a list of peaks does not tell its reference")
    offset, basic = finite(block["$OFFSET"]), finite(block["$SF"])
    bruker = offset is not None and basic is not None
    frequency = basic if bruker else finite(block[".OBSERVEFREQUENCY"])
    if frequency is None or not 1 < frequency < 5000:
        raise ReadError("the axis is in Hz and ##.OBSERVE FREQUENCY= is no number of MHz; expected it, or a ppm axis")
    converted = f"axis converted from Hz to ppm by {frequency:.10g} MHz"
    if bruker:
        return offset + (x - x.max()) / frequency, f"{converted}, its left end at {offset:.8g} ppm (##$OFFSET=)"
    reference = block[".SHIFTREFERENCE"].strip("() \n").split(",")
    point, shift = map(finite, reference[2:]) if len(reference) == 4 else (None, None)
    if None not in (point, shift) and 1 <= point <= len(x):  # point 0 says that there is none
        zero = np.interp(point, np.arange(1, len(x) + 1), x)
        step = f"{converted}, point {point:g} at {shift:.8g} ppm (##.SHIFT REFERENCE=)"
        return shift + (x - zero) / frequency, step
    if min(abs(x[0]), abs(x[-1])) <= 1.5 * abs(x[-1] - x[0]) / max(len(x) - 1, 1):
        raise ReadError(
            "the axis is in Hz from one end of the spectrum, and neither ##.SHIFT REFERENCE= nor ##$OFFSET= and ##$SF= "
            "say where 0 ppm is; expected one of these, or a ppm axis"
        )
    return x / frequency, f"{converted}, 0 Hz taken as 0 ppm"


# ---- blocks, labelled records and data tables, as text

_TABLES = {"XYDATA": "further XYDATA table", "XYPOINTS": "XYPOINTS table", "PEAKTABLE": "peak table"}
_TABLES["PEAKASSIGNMENTS"] = "table of assigned peaks"
_COLUMNS = ("VARNAME", "VARDIM", "UNITS", "FACTOR", "FIRST", "LAST", "MIN", "MAX")


@dataclass
class Block:
    """The labelled records of one block, in order; labels are upper case without spaces, ``-``, ``/`` and ``_``."""

    records: list[tuple[str, str]] = field(default_factory=list)
    first: dict[str, str] = field(default_factory=dict)  #: of each label
    ended: bool = False  #: by ##END= or the next ##TITLE=

    def __getitem__(self, label: str) -> str:
        """The value of the first record of that label, empty where there is none."""
        return self.first.get(label, "")

    @property
    def tables(self) -> int:
        """How many data tables it holds."""
        return sum(label in _TABLES or label == "DATATABLE" for label, _ in self.records)


def _blocks(text: str) -> list[Block]:
    """The blocks of a file, those inside a LINK block like any other, without comments."""
    text = re.sub(r"\$\$[^\n]*", "", re.sub(r"\r\n?", "\n", text))
    labels = list(re.finditer(r"^[^\S\n]*##([^=\n]*)=", text, re.MULTILINE))
    ends = [*(label.start() for label in labels[1:]), len(text)] if labels else []
    found: list[Block] = []
    for label, end in zip(labels, ends, strict=True):
        name = re.sub(r"[\s/_-]", "", label[1]).upper()
        if name in ("TITLE", "END") and found:
            found[-1].ended = True
        if name == "TITLE":
            found.append(Block())
        if found and not found[-1].ended:
            value = text[label.end() : end]
            found[-1].records.append((name, value))
            found[-1].first.setdefault(name, value.strip())
    return found


def _tables(block: Block, real_only: bool) -> tuple[list[Table], tuple[str, ...]]:
    """The data tables of a block that are read (``real_only``: no imaginary parts), and what is said of the others."""
    if any(label == "DATATABLE" for label, _ in block.records):
        return _pages(block, real_only)
    present = [(label, value) for name in _TABLES for label, value in block.records if label == name and value.strip()]
    if not present:
        raise ReadError("the data table is empty")
    (label, value), *others = present
    head, _, text = value.partition("\n")
    table = Table(text, _form(head), label.startswith("PEAK"), block.first, block.ended)
    return [table], tuple(f"left out the {_TABLES[label]} of the same block" for label, _ in others)


def _pages(block: Block, real_only: bool) -> tuple[list[Table], tuple[str, ...]]:
    """The pages of an NTUPLES block."""

    def cells(label: str) -> list[str]:
        return [cell.strip() for cell in block[label].split(",")]

    symbols = cells("SYMBOL")
    columns = {label: dict(zip(symbols, cells(label), strict=False)) for label in _COLUMNS}
    found, left_out = [], 0
    page, points = "", block["NPOINTS"]
    for label, value in block.records:
        if label == "PAGE":
            page = " ".join(value.split())
        elif label == "NPOINTS":
            points = value.strip()
        elif label == "DATATABLE":
            form, _, text = value.partition("\n")
            match = re.match(r"\s*\(\s*(\w)\s*(?:\+\+\s*\(\s*)?(\w)\s*\.\.", form)
            if not match or not set(match.groups()) <= set(symbols):
                raise ReadError(f"the form {form.strip()[:40]!r} of the data table does not match ##SYMBOL=")
            x, y = match.groups()
            if real_only and ("IMAG" in columns["VARNAME"].get(y, "").upper() or y == "I"):
                left_out += 1
                continue
            dimension = columns["VARDIM"].get(y, "")
            head = {"NPOINTS": dimension if finite(dimension) else points}
            for axis, symbol in (("X", x), ("Y", y)):
                head |= {f"{axis}{label}": columns[label].get(symbol, "") for label in ("UNITS", "FACTOR")}
                head |= {f"{label}{axis}": columns[label].get(symbol, "") for label in ("FIRST", "LAST", "MIN", "MAX")}
            form_of = _form(form.replace(y, "Y").replace(x, "X"))
            found.append(Table(text, form_of, "PEAK" in form.upper(), head, block.ended, page))
    if not found:
        raise ReadError("the NTUPLES block holds only imaginary parts; expected the real part of the spectrum")
    return found, ("left out the imaginary part",) * bool(left_out)


def _form(head: str) -> str:
    match = re.match(r"\((?:(X)\+\+\(Y\.\.Y\)?\)?|(X\w*)\.\.X\w*\)|(X\w*A)\))", re.sub(r"\s", "", head).upper())
    if not match:
        raise ReadError(f"the data table has the form {head.strip()[:40]!r}; expected (X++(Y..Y)), (XY..XY) or (XYMA)")
    return "X++YY" if match[1] else match[2] or match[3]

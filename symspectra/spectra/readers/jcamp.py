"""Infrared, NMR and mass spectra from JCAMP-DX files (IUPAC; versions 4.24, 5.00, 5.01 and 6.0)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
from jaxtyping import Float

from symspectra.errors import ReadError
from symspectra.modalities import KINDS, OF_NUCLEUS
from symspectra.spectra.readers.entries import Entry
from symspectra.spectra.readers.jcamp_data import Table, finite
from symspectra.spectra.readers.peak_lists import parse_peaks
from symspectra.spectra.readers.signatures import decoded
from symspectra.spectra.spectrum import X_UNITS, Y_UNITS, Spectrum, unit

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
_META = {"solvent": ".SOLVENTNAME", "ionisation": ".IONIZATIONMODE", "pulse_sequence": ".PULSESEQUENCE"}


def read_jcamp(data: bytes) -> list[Entry]:
    """The spectra of a JCAMP-DX file: one per block that holds data, and per page of a block of several.

    They are in the units of the file; only an NMR axis in Hz becomes ppm.
    """
    found = [partial(_spectrum, block, table) for block in _blocks(decoded(data)) for table in _tables(block)]
    if not found:
        raise ReadError("there is no JCAMP-DX data table; expected ##TITLE= and a table such as ##XYDATA=")
    return [Entry(number, read) for number, read in enumerate(found, 1)]


def _spectrum(block: Block, table: Table) -> Spectrum:
    """A table with its units and referencing."""
    modality = _modality(block)
    meta: dict[str, Any] = {"title": block["TITLE"].partition("\n")[0].strip()}
    meta |= {key: " ".join(block[label].split()) for key, label in _META.items() if block[label]}
    if block["$PULPROG"] and "pulse_sequence" not in meta:
        meta["pulse_sequence"] = block["$PULPROG"].strip("<> ")
    if modality != "ir" and (frequency := finite(block[".OBSERVEFREQUENCY"])) is not None:
        meta["frequency_mhz"] = frequency
    if modality and table.imaginary:
        raise ReadError("it is the imaginary part; expected the real part of the spectrum")
    if not block.ended:
        raise ReadError("##END= is missing, so the last number may be cut off; expected the whole file")
    steps = [f"left out the {_TABLES[label]} of the same block" for label in table.others]
    peaks = table.peaks or (modality is None and table.form != "X++YY")
    if modality is None and peaks and not (table.head.get("XUNITS") or table.head.get("YUNITS")):
        x_unit, y_unit = "m/z", "intensity"
        steps.append("the file names no units; peaks of a mass spectrum are m/z and intensity")
    else:
        x_unit, y_unit = _units(table, modality)
    with np.errstate(over="ignore", invalid="ignore"):  # Spectrum refuses what is not finite
        x, y, more = table.values()
        steps += more
        if x_unit == "Hz":
            x, step = _ppm(x, block, peaks)
            x_unit, steps = "ppm", [*steps, step]
    if modality in OF_NUCLEUS.values():
        x, y, said, more = _observed(block, table, x, y, modality) if peaks else (x, y, {}, _unused(block))
        meta, steps = meta | said, [*steps, *more]
    if table.page and modality is None:
        meta["page"] = table.page
    if str(meta.get("ionisation")).upper().startswith("EI") and modality is None:
        modality = "ei"
    return Spectrum(x, y, x_unit, y_unit, modality, meta, peaks, tuple(steps))


def _modality(block: Block) -> str | None:
    kind = " ".join((block["DATATYPE"] or block["NTUPLES"]).upper().split())
    for word in kind.split():
        if word in _REFUSED:
            raise ReadError(f"##DATA TYPE= is {kind[:60]!r}: {_REFUSED[word]}")
    if kind in _INFRARED:
        return "ir"
    if kind == "MASS SPECTRUM":
        return None
    if kind not in _NMR:
        raise ReadError(f"##DATA TYPE= is {kind[:60]!r}; expected INFRARED SPECTRUM, NMR SPECTRUM or MASS SPECTRUM")
    nucleus = block[".OBSERVENUCLEUS"].strip("^<> ").upper()
    if nucleus not in OF_NUCLEUS:
        raise ReadError(f"##.OBSERVE NUCLEUS= is {nucleus[:20]!r}; expected ^1H or ^13C")
    return OF_NUCLEUS[nucleus]


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
        raise ReadError("##.SHIFT REFERENCE= or ##$OFFSET= and ##$SF= do not say where 0 ppm is; expected a ppm axis")
    return x / frequency, f"{converted}, 0 Hz taken as 0 ppm"


# ---- integrals and multiplicities of a list of NMR peaks; $OBSERVED.. are labels of ChemSpectra (Chemotion)

_OBSERVED = {"$OBSERVEDMULTIPLETS": "multiplets", "$OBSERVEDINTEGRALS": "integrals"}
_ATTACHED = {"S": 0, "D": 1, "T": 2, "Q": 3}

Observed = tuple[Float[np.ndarray, " peak"], Float[np.ndarray, " peak"], dict[str, Any], list[str]]


def _rows(block: Block, label: str, least: int) -> list[list[str]]:
    """The rows ``(1, 3.8, 3.6, 3.7, 2.0, 1, q, A, 7.0)`` of an observed table, without its heading ``(X Y Z)``."""
    rows = [row.split(",") for row in re.findall(r"\(([^()]*)\)", block[label]) if "," in row]
    for row in rows:
        if len(row) < least or None in map(finite, row[:3]):
            raise ReadError(f"##{label}= holds {','.join(row)[:60]!r}; expected at least {least} values, numbers first")
    return [[value.strip() for value in row] for row in rows]


def _unused(block: Block) -> list[str]:
    """What to say of the observed tables beside a curve, and of those of 13C."""
    return [f"left out the observed {name}" for label, name in _OBSERVED.items() if _rows(block, label, 3)]


def _observed(
    block: Block, table: Table, x: Float[np.ndarray, " peak"], y: Float[np.ndarray, " peak"], modality: str
) -> Observed:
    """Positions and values of a list of peaks, what is said of each in ``meta``, and the steps to tell.

    1H: the multiplets that somebody marked take the place of their lines; else lines within an integral share it, and
    those outside all integrals are left out; multiplicities of the table give the splitting. 13C: multiplicities S, D,
    T and Q are 0 to 3 attached hydrogen atoms, if there is any but S: of a decoupled spectrum every line is a singlet.
    """
    letters = table.multiplicities()
    if modality == "c13":
        attached = [_ATTACHED.get(letter.upper()) for letter in letters]
        return x, y, {"attached": attached} if any(attached) else {}, _unused(block)
    if rows := _rows(block, "$OBSERVEDMULTIPLETS", 7):
        low, high, centre, area = ([finite(row[place]) for row in rows] for place in (1, 2, 3, 4))
        if None in area:
            raise ReadError(
                f"##$OBSERVEDMULTIPLETS= holds the area {rows[area.index(None)][4][:20]!r}; expected a number"
            )
        middle = [(a + b) / 2 if c is None else c for a, b, c in zip(low, high, centre, strict=True)]
        words = [", ".join([row[6], *[f"J = {' '.join(row[8:])} Hz"] * (len(row) > 8)]) for row in rows]
        step = f"{len(rows)} observed multiplets taken in place of {len(x)} lines"
        return _signals(np.array(middle), np.array(area), words, step)
    steps = []
    if rows := _rows(block, "$OBSERVEDINTEGRALS", 3):
        shared = np.zeros(len(x))
        for row in rows:
            first, last, area = map(float, row[:3])
            inside = (x >= min(first, last)) & (x <= max(first, last))
            if shared[inside].any() or not y[inside].sum() > 0:
                raise ReadError(f"the observed integral from {first:g} to {last:g} has no lines of its own")
            shared[inside] = area * y[inside] / y[inside].sum()
        kept = shared != 0
        steps = [f"lines share the {len(rows)} observed integrals; left out {int((~kept).sum())} outside them"]
        x, y, letters = x[kept], shared[kept], [letter for letter, one in zip(letters, kept, strict=False) if one]
    if any(letters) and (y > 0).all():
        return _signals(x, y, letters, *steps, "multiplicities of the peaks read")
    return x, y, {}, steps


def _signals(
    x: Float[np.ndarray, " signal"], area: Float[np.ndarray, " signal"], words: list[str], *steps: str
) -> Observed:
    """1H signals as a typed list has them, the largest area 1."""
    if not (area > 0).all():
        raise ReadError(f"the area of the signal at {x[area <= 0][0]:g} is {area[area <= 0][0]:g}; expected above zero")
    counted = [f"{value:.6f}H" for value in area / area.max()]
    said = [", ".join(filter(str.strip, pair)) for pair in zip(words, counted, strict=True)]
    signals = parse_peaks(", ".join(f"{at:.5f} ({one})" for at, one in zip(x, said, strict=True)), "h1")
    kept = {name: signals.meta[name] for name in ("couplings", "broad")}
    return signals.x, signals.y, kept, [*steps, *signals.steps[1:]]


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


def _tables(block: Block) -> list[Table]:
    """The data tables of a block: the first by the order of `_TABLES`, or all pages of an NTUPLES block."""
    if any(label == "DATATABLE" for label, _ in block.records):
        return list(_pages(block))
    there = [(label, value) for name in _TABLES for label, value in block.records if label == name]
    if not there:
        return []
    (label, value), *others = sorted(there, key=lambda table: not table[1].strip())  # empty ones last
    form, _, text = value.partition("\n")
    others = [other for other, rest in others if rest.strip()]
    return [Table(text, form, label.startswith("PEAK"), block.first, others=tuple(others))]


def _pages(block: Block) -> Iterator[Table]:
    """The tables of an NTUPLES block, each with the columns of its two symbols as its head."""

    def cells(label: str) -> list[str]:
        return [cell.strip() for cell in block[label].split(",")]

    symbols = cells("SYMBOL")
    columns = {label: dict(zip(symbols, cells(label), strict=False)) for label in _COLUMNS}
    page, points = "", block["NPOINTS"]
    for label, value in block.records:
        if label == "PAGE":
            page = " ".join(value.split())
        elif label == "NPOINTS":
            points = value.strip()
        elif label == "DATATABLE":
            form, _, text = value.partition("\n")
            match = re.match(r"\s*\(\s*(\w)\s*(?:\+\+\s*\(\s*)?(\w)\s*\.\.", form)
            x, y = match.groups() if match else ("", "")
            dimension = columns["VARDIM"].get(y, "")
            head = {"NPOINTS": dimension if finite(dimension) else points}
            for axis, symbol in (("X", x), ("Y", y)):
                head |= {f"{axis}{name}": columns[name].get(symbol, "") for name in ("UNITS", "FACTOR")}
                head |= {f"{name}{axis}": columns[name].get(symbol, "") for name in ("FIRST", "LAST", "MIN", "MAX")}
            imaginary = "IMAG" in columns["VARNAME"].get(y, "").upper() or y == "I"
            known = {x, y} <= set(symbols)
            form = form.replace(y, "Y").replace(x, "X") if known else f"not of ##SYMBOL=: {form}"
            yield Table(text, form, "PEAK" in form.upper(), head, page, imaginary)

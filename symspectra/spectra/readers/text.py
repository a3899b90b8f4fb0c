"""Two columns of text, a position and a value per line; or a list of peaks as it is typed (`peak_lists`)."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np

from symspectra.errors import ReadError
from symspectra.modalities import KINDS
from symspectra.spectra.readers.peak_lists import looks_like_peaks, parse_peaks
from symspectra.spectra.readers.signatures import decoded
from symspectra.spectra.spectrum import X_UNITS, Y_UNITS, Spectrum, unit

_NUMBER = re.compile(r"[+-]?(?:\d+(?:\.\d*|,\d+)?|[.,]\d+)(?:[eEdD][+-]?\d+)?")
_COMMENT = ("#", "//", ";", "%", "!", "$$")
_SEPARATORS = {"\t": "tabs", ";": "semicolons", ",": "commas", " ": "blanks"}
_CURVE_POINTS = 16  # fewer rows than this are no curve
_HEADER_LINES = 100  # before the numbers, searched for units
_SHOWN = 60  # characters of a line in a message


@dataclass
class _Table:
    """Rows of fields with their line numbers, and the lines before them."""

    separator: str
    rows: list[tuple[int, list[str]]]
    header: list[str]
    after: int  #: lines behind them, of no table


def read_table(data: bytes, modality: str | None, x_unit: str | None = None, y_unit: str | None = None) -> Spectrum:
    """The spectrum of a table of two columns, separated by tabs, semicolons, commas or blanks; or of a typed list.

    Parameters
    ----------
    modality : what the spectrum is, if known; of NMR and mass spectra the axis is then ppm or m/z
    x_unit, y_unit : units where the header does not name them, keys of `X_UNITS` and `Y_UNITS`
    """
    text = decoded(data).replace("\N{MINUS SIGN}", "-").replace("\N{NO-BREAK SPACE}", " ")
    try:
        table = _split(text)
    except ReadError:
        if modality is None or not looks_like_peaks(text):
            raise
        return parse_peaks(text, modality)
    header = "\n".join(table.header).strip()
    listed = looks_like_peaks(header) if header else len(table.rows) == 1 and x_unit is None
    if modality and len(table.rows) < _CURVE_POINTS and listed:
        return parse_peaks(text, modality)
    whole = all(field.isdigit() for _, row in table.rows for field in row)
    if whole and table.separator == "," and not header and x_unit is None and len(table.rows) < _CURVE_POINTS:
        raise ReadError(f"the comma in {text.strip()[:9]!r} may be a decimal mark; expected points, or a header")
    names = _names(table)
    at, header_x, header_y = _columns(table, names)
    x_unit = _agreed("x_unit", header_x, x_unit, X_UNITS)
    y_unit = _agreed("y_unit", header_y, y_unit, Y_UNITS)
    steps = [f"table read, rows: {len(table.rows):,}, separated by {_SEPARATORS[table.separator]}"]
    if x_unit is None and modality not in (None, "ir"):
        x_unit = KINDS[modality].unit
        steps.append(f"axis taken as {x_unit}, as the header names no unit")
    if y_unit is None and x_unit in ("ppm", "m/z"):
        y_unit = "intensity"
        steps.append("values taken as intensity, as the header names no unit")
    if x_unit is None or y_unit is None:
        raise ReadError(_ask(x_unit, y_unit, names))
    values, decimal_commas = _values(table, at)
    if decimal_commas:
        steps.append("decimal commas read as points")
    if table.after:
        steps.append(f"lines after the table not read: {table.after}")
    if others := len(names) - 2:
        steps.append(f"columns {names[at[0]]!r} and {names[at[1]]!r} taken, {others} not read")
    few = x_unit in ("ppm", "1/cm") and _unconnected(values[0])
    if few and x_unit == "ppm":
        _check_numbering(values)
    if few:
        steps.append("taken as a list of peaks, because the rows are few or unevenly spaced")
    return Spectrum(*values, x_unit, y_unit, modality, {}, few or x_unit == "m/z", tuple(steps))


def _separator(line: str) -> str:
    for separator in "\t;":
        if separator in line.rstrip(separator):
            return separator
    if "," in line and not all(map(_is_number, line.split())):
        return ","
    return "," if "," in line and len(line.split()) == 1 else " "


def _fields(line: str, separator: str) -> list[str]:
    parts = [part.strip(" \t\"'") for part in (line.split() if separator == " " else line.split(separator))]
    while len(parts) > 2 and not parts[-1]:
        parts.pop()
    return parts


def _is_number(text: str) -> bool:
    return _NUMBER.fullmatch(text) is not None


def _begins(line: str) -> bool:
    return _NUMBER.match(line.strip()) is not None


def _is_row(line: str) -> bool:
    fields = _fields(line, _separator(line.strip()))
    return len(fields) > 1 and all(map(_is_number, fields))


def _split(text: str) -> _Table:
    lines = text.splitlines()
    first = next((i for i, line in enumerate(lines) if line and _is_row(line)), None)
    if first is None:
        shown = next((line.strip() for line in lines if line.strip()), "")[:_SHOWN]
        raise ReadError(f"no line holds two numbers; expected a position and a value per line, found {shown!r}")
    separator = _separator(lines[first].strip())
    fields = _fields(lines[first], separator)
    before = _fields(lines[first - 1], separator) if first else []
    if len(before) == len(fields) and _is_number(before[0]):
        raise ReadError(f"line {first} holds {lines[first - 1].strip()[:_SHOWN]!r}; expected numbers or a header")
    last = next(i for i in range(len(lines), 0, -1) if lines[i - 1] and _is_row(lines[i - 1]))
    if last < len(lines) and not re.match(r"\s*[^\s#/;%!$]", lines[last]) and not any(map(_begins, lines[last:])):
        lines, after = lines[:last], sum(bool(line.strip()) for line in lines[last:] if not line.startswith(_COMMENT))
    else:
        after = 0
    table = _Table(separator, [], lines[:first], after)
    for number, line in enumerate(lines[first:], first + 1):
        stripped = line.strip()
        if stripped and not stripped.startswith(_COMMENT):
            row = _fields(line, separator)
            if len(row) != len(fields):
                expected = f"expected {len(fields)} as in line {first + 1}"
                raise ReadError(f"line {number} has {len(row)} columns ({stripped[:_SHOWN]!r}); {expected}")
            table.rows.append((number, row))
    return table


def _values(table: _Table, at: tuple[int, int]) -> tuple[np.ndarray, bool]:
    """The two columns as numbers, and whether they have decimal commas."""
    pairs = [[row[i] for i in at] for _, row in table.rows]
    for (number, _), pair in zip(table.rows, pairs, strict=True):
        if wrong := [text for text in pair if not _is_number(text)]:
            raise ReadError(f"line {number} holds {wrong[0][:_SHOWN]!r}; expected a number")
    commas = any("," in text for pair in pairs for text in pair)
    if commas and any("." in text for pair in pairs for text in pair):
        raise ReadError("both commas and points are used as decimal marks; expected one of them")
    values = np.array([[float(text.lower().replace(",", ".").replace("d", "e")) for text in pair] for pair in pairs])
    return values.T, commas


def _unconnected(x: np.ndarray) -> bool:
    """Whether positions are those of peaks: few, or most steps unlike the next one, as they are not along a curve."""
    with np.errstate(over="ignore", invalid="ignore"):
        steps = np.diff(np.unique(x))
        alike = (steps[1:] < 2 * steps[:-1]) & (steps[:-1] < 2 * steps[1:])
    return len(x) < _CURVE_POINTS or len(alike) == 0 or bool(alike.mean() < 0.8)


def _check_numbering(values: np.ndarray) -> None:
    for column, name in zip(values, ("first", "second"), strict=True):
        if len(column) > 2 and (column == np.arange(1, len(column) + 1)).all():
            raise ReadError(
                f"the {name} column counts 1, 2, 3, as numbers of atoms do; expected shifts and intensities"
            )


def _names(table: _Table) -> list[str]:
    """Names of the columns from the last line of the header that has as many; else their numbers."""
    count = len(table.rows[0][1])
    for line in table.header[: -_HEADER_LINES - 1 : -1]:
        fields = _fields(line.strip().lstrip("#/%!;").strip(), table.separator)
        if len(fields) == count and any(fields):
            return fields
    return [f"column {i + 1}" for i in range(count)]


def _columns(table: _Table, names: list[str]) -> tuple[tuple[int, int], str | None, str | None]:
    """Which columns are read, and the units that the header names."""
    said = re.search(r"\braman[ _](shift|spectrum|intensity)", "\n".join([*table.header, *names]), re.I)
    if said:
        raise ReadError(f"is a Raman spectrum (the header says {said[0]!r}); the model knows infrared spectra only")
    if len(names) == 2:
        if x_unit_of(names[1]) and not x_unit_of(names[0]):
            raise ReadError(f"the second column is {names[1][:_SHOWN]!r}; expected positions first, then their values")
        pairs = [pair for line in table.header[: -_HEADER_LINES - 1 : -1] for pair in _pairs_of(line)]
        units = [(x_unit_of(left), y_unit_of(right)) for left, right in pairs]
        said = {left.upper(): right for left, right in pairs}  # JASCO
        units.append((x_unit_of(said.get("XUNITS", "")), y_unit_of(said.get("YUNITS", ""))))
        return (0, 1), *max(units, key=lambda pair: 2 - pair.count(None), default=(None, None))
    x = [i for i, name in enumerate(names) if x_unit_of(name)]
    y = [i for i, name in enumerate(names) if y_unit_of(name) and i not in x]
    if len(x) != 1 or len(y) != 1:
        listed = ", ".join(repr(name[:_SHOWN]) for name in names[:12])
        raise ReadError(
            f"there are {len(names)} columns ({listed}); expected two, or a header naming one position and one value"
        )
    return (x[0], y[0]), x_unit_of(names[x[0]]), y_unit_of(names[y[0]])


def _agreed(name: str, header: str | None, given: str | None, units: dict[str, tuple[str, ...]]) -> str | None:
    if given is None:
        return header
    known = unit(given, units)
    if known is None:
        raise ReadError(f"{name} is {given!r}; expected one of {', '.join(units)}")
    if header is not None and header != known and not {header, known} <= {"transmittance", "percent transmittance"}:
        raise ReadError(f"the header says {header}, but {name} says {known}; expected them to agree")
    return known


def _ask(x_unit: str | None, y_unit: str | None, names: list[str]) -> str:
    examples = {"x_unit": (x_unit, "1/cm"), "y_unit": (y_unit, "absorbance")}
    wanted = {name: example for name, (known, example) in examples.items() if known is None}
    said = ", ".join(repr(name[:_SHOWN]) for name in names)
    arguments = ", ".join(f'{name}="{example}"' for name, example in wanted.items())
    options = " ".join(f"--{name.replace('_', '-')} {example}" for name, example in wanted.items())
    return f"the header ({said}) does not name {' and '.join(wanted)}; give for example {arguments} ({options})"


def _parts(name: str) -> tuple[str, str, str]:
    """The name of a column in plain letters; what it is called; what stands in brackets, after a slash or last."""
    name = name.replace("⁻¹", "-1").translate(str.maketrans("[]{}_", "()() ", "\"'"))
    name = " ".join(name.split()).lower()
    match = re.fullmatch(r"([^()]*)\(([^()]*)\)", name) or re.fullmatch(r"([^/]+)/ ?(.+)", name)
    match = match or re.fullmatch(r"(.+) (\S+)", name)
    return (name, match[1].strip(), match[2].strip()) if match else (name, name, "")


def x_unit_of(name: str) -> str | None:
    """The key of `X_UNITS` that the name of a column stands for, such as ``Wavenumber [cm-1]``; None if none."""
    name, label, inside = _parts(name)
    found = unit(name, X_UNITS) or unit(inside, X_UNITS)
    if found is None and inside in ("", "da", "th", "amu", "u"):
        found = unit(label, X_UNITS)
    return found


def y_unit_of(name: str) -> str | None:
    """The key of `Y_UNITS` that the name of a column stands for, such as ``Transmittance (%)``; None if none."""
    name, label, inside = _parts(name)
    label = "" if len(label) == 1 and inside not in ("", "%") else label  # T (K) is no transmittance
    found = unit(name, Y_UNITS) or unit(label, Y_UNITS) or unit(inside, Y_UNITS)
    if "%" in name or "percent" in name:
        return {"transmittance": "percent transmittance", "absorbance": None}.get(found, found)
    return found


def _pairs_of(line: str) -> list[tuple[str, str]]:
    """A line of the header as two names, in every way that its separators allow."""
    line = line.strip().lstrip("#/%!;").strip()[:400]
    pairs = []
    for separator in "\t;,":
        parts = [part.strip(" \"'") for part in line.rstrip(separator).split(separator)]
        if len(parts) == 2:
            pairs.append((parts[0], parts[1]))
    words = line.split()
    return pairs + [(" ".join(words[:i]), " ".join(words[i:])) for i in range(1, min(len(words), 8))]

"""Blocks, labelled records and data tables of a JCAMP-DX file, as text; see `jcamp_data` for the numbers."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from symspectra.errors import ReadError
from symspectra.spectra.readers import jcamp_data

_TABLES = {
    "XYDATA": "further XYDATA table",
    "XYPOINTS": "XYPOINTS table",
    "PEAKTABLE": "peak table",
    "PEAKASSIGNMENTS": "table of assigned peaks",
}
_COLUMNS = ("SYMBOL", "VARNAME", "VARDIM", "UNITS", "FACTOR", "FIRST", "LAST", "MIN", "MAX")


@dataclass
class Block:
    """The labelled records of one block, in order; labels are upper case without spaces, ``-``, ``/`` and ``_``."""

    records: list[tuple[str, str]] = field(default_factory=list)
    first: dict[str, str] = field(default_factory=dict)  #: of each label
    ended: bool = False  #: by ##END= or the next ##TITLE=

    def add(self, label: str, value: str) -> None:
        """Append a record."""
        self.records.append((label, value))
        self.first.setdefault(label, value.strip())

    def __getitem__(self, label: str) -> str:
        """The value of the first record of that label, empty where there is none."""
        return self.first.get(label, "")

    def number(self, label: str) -> float | None:
        """A finite number, None where the label is missing or says something else."""
        return finite(self[label].partition("\n")[0])

    @property
    def tables(self) -> int:
        """How many data tables it holds."""
        return sum(label in _TABLES or label == "DATATABLE" for label, _ in self.records)


class Table(NamedTuple):
    """A data table with what is needed to read it."""

    text: str
    form: str  #: ``X++YY``, or the variables of a group: ``XY``, ``XYW``, ``XYMA``
    peaks: bool
    units: tuple[str, str]
    factors: tuple[float, float]
    first: float | None
    last: float | None
    points: int | None
    ended: bool
    first_y: float | None
    range_y: tuple[float | None, float | None]
    page: str = ""


def finite(text: str) -> float | None:
    """The number that a text says, None where it is none or not finite."""
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def blocks(text: str) -> list[Block]:
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
            found[-1].add(name, text[label.end() : end])
    return found


def tables(block: Block, real_only: bool) -> tuple[list[Table], tuple[str, ...]]:
    """The data tables of a block that are read, and what is said of the others.

    Parameters
    ----------
    real_only : whether to leave out imaginary parts

    Raises
    ------
    ReadError : a table is empty or of an unknown form.
    """
    if any(label == "DATATABLE" for label, _ in block.records):
        return _pages(block, real_only)
    present = [(label, value) for name in _TABLES for label, value in block.records if label == name and value.strip()]
    if not present:
        raise ReadError("the data table is empty")
    (label, value), *others = present
    head, _, text = value.partition("\n")
    table = Table(
        text,
        _form(head),
        label.startswith("PEAK"),
        (block["XUNITS"], block["YUNITS"]),
        (_factor(block["XFACTOR"]), _factor(block["YFACTOR"])),
        block.number("FIRSTX"),
        block.number("LASTX"),
        _count(block["NPOINTS"]),
        block.ended,
        block.number("FIRSTY"),
        (block.number("MINY"), block.number("MAXY")),
    )
    if table.last is None and None not in (table.first, table.points, block.number("DELTAX")):
        table = table._replace(last=table.first + (table.points - 1) * block.number("DELTAX"))
    return [table], tuple(f"left out the {_TABLES[label]} of the same block" for label, _ in others)


def _pages(block: Block, real_only: bool) -> tuple[list[Table], tuple[str, ...]]:
    """The pages of an NTUPLES block."""
    columns = {name: [cell.strip() for cell in block[name].split(",")] for name in _COLUMNS}

    def cell(name: str, index: int) -> str:
        return columns[name][index] if index < len(columns[name]) else ""

    found, left_out = [], 0
    page, points = "", block["NPOINTS"]
    for label, value in block.records:
        if label == "PAGE":
            page = " ".join(value.split())
        elif label == "NPOINTS":
            points = value
        elif label == "DATATABLE":
            head, _, text = value.partition("\n")
            symbols = re.match(r"\s*\(\s*(\w)\s*(?:\+\+\s*\(\s*)?(\w)\s*\.\.", head)
            if not symbols or not set(symbols.groups()) <= set(columns["SYMBOL"]):
                raise ReadError(f"the form {head.strip()[:40]!r} of the data table does not match ##SYMBOL=")
            x, y = (columns["SYMBOL"].index(symbol) for symbol in symbols.groups())
            if real_only and ("IMAG" in cell("VARNAME", y).upper() or symbols[2] == "I"):
                left_out += 1
                continue
            table = Table(
                text,
                _form(head.replace(symbols[2], "Y").replace(symbols[1], "X")),
                "PEAK" in head.upper(),
                (cell("UNITS", x), cell("UNITS", y)),
                (_factor(cell("FACTOR", x)), _factor(cell("FACTOR", y))),
                finite(cell("FIRST", x)),
                finite(cell("LAST", x)),
                _count(cell("VARDIM", y)) or _count(points),
                block.ended,
                finite(cell("FIRST", y)),
                (finite(cell("MIN", y)), finite(cell("MAX", y))),
                page,
            )
            found.append(table)
    if not found:
        raise ReadError("the NTUPLES block holds only imaginary parts; expected the real part of the spectrum")
    return found, ("left out the imaginary part",) * bool(left_out)


def _form(head: str) -> str:
    match = re.match(r"\((?:(X)\+\+\(Y\.\.Y\)?\)?|(X\w*)\.\.X\w*\)|(X\w*A)\))", re.sub(r"\s", "", head).upper())
    if not match:
        raise ReadError(f"the data table has the form {head.strip()[:40]!r}; expected (X++(Y..Y)), (XY..XY) or (XYMA)")
    return "X++YY" if match[1] else match[2] or match[3]


def _factor(text: str) -> float:
    """A factor, 1 where it is not given."""
    if not text.strip():
        return 1.0
    factor = finite(text.partition("\n")[0])
    if not factor:
        raise ReadError(f"a factor of the data table is {text[:40]!r}; expected a number other than 0")
    return factor


def _count(text: str) -> int | None:
    number = finite(text.strip().partition("\n")[0])
    return int(number) if number is not None and number >= 0 and number.is_integer() else None


def values(table: Table, most: int) -> tuple[Float[np.ndarray, " point"], Float[np.ndarray, " point"], tuple[str, ...]]:
    """Positions and values of a table with its factors applied, and the steps to tell.

    Parameters
    ----------
    table : as `tables` finds it
    most : number of points beyond which a compressed table is refused

    Raises
    ------
    ReadError : the numbers cannot be decoded, or contradict what the head of the table says of them.
    """
    steps: list[str] = []
    if table.form == "X++YY":
        if table.points is None or table.first is None or table.last is None:
            raise ReadError("a table (X++(Y..Y)) needs ##FIRSTX=, ##LASTX= and ##NPOINTS=; expected all three")
        raw = jcamp_data.ordinates(table.text, max(most, 4 * len(table.text)))
        _check_count(len(raw.y), table.points)
        x, y = np.linspace(table.first, table.last, len(raw.y)), raw.y * table.factors[1]
        _check_lines(raw, x, table.factors[0])
        if raw.closing is not None:
            steps.append(f"ignored the closing check value {raw.closing:g}, which is not the last value")
    else:
        if table.form.endswith("A"):
            x, y = jcamp_data.assignments(table.text, "Y" in table.form)
        else:
            x, y = jcamp_data.groups(table.text, len(table.form))
        x, y = x * table.factors[0], y * table.factors[1]
        if table.points is not None:
            _check_count(len(x), table.points)
        else:
            _check_count(len(x), len(x))
            steps.append(f"##NPOINTS= is missing; took all {len(x)} points")
    if not table.ended:
        raise ReadError("##END= is missing, so the last number may be cut off; expected the whole file")
    return x, y, (*steps, *_check_values(y, table))


def _check_count(found: int, expected: int) -> None:
    if found < expected:
        raise ReadError(f"the data table ends after {found} of {expected} points")
    if found > expected:
        raise ReadError(f"the data table has {found} points where ##NPOINTS= says {expected}")
    if found == 0:
        raise ReadError("the data table is empty")


def _check_lines(raw: jcamp_data.Ordinates, x: Float[np.ndarray, " point"], factor: float) -> None:
    """Refuse a table whose lines begin elsewhere than its head says, by more than rounding."""
    expected = x[np.minimum(raw.line_index, len(x) - 1)]
    span = abs(x[-1] - x[0])
    slack = 2 * span / max(len(x) - 1, 1) + 1e-3 * span + raw.line_unit * abs(factor)
    wrong = np.flatnonzero(~(np.abs(raw.line_x * factor - expected) <= slack))
    if len(wrong):
        k = wrong[0]
        raise ReadError(
            f"line {k + 1} of the data table begins at {raw.line_x[k] * factor:.8g} where ##FIRSTX=, ##LASTX= and "
            f"##NPOINTS= lead to {expected[k]:.8g}"
        )


def _check_values(y: Float[np.ndarray, " point"], table: Table) -> list[str]:
    """Refuse values that contradict ##MINY= and ##MAXY=, or ##FIRSTY= where these are missing."""
    scale = np.abs(y).max()
    low, high = table.range_y
    first = table.first_y is not None and abs(y[0] - table.first_y) > 0.1 * scale
    if low is None or high is None or low == high:
        if first:
            raise ReadError(f"the first value is {y[0]:.6g} where ##FIRSTY= says {table.first_y:.6g}")
        return []
    low, high = min(low, high), max(low, high)  # some programs exchange them
    found = np.array([y.min(), y.max()])
    steps = [f"the first value is {y[0]:.6g} where ##FIRSTY= says {table.first_y:.6g}"] if first else []
    if np.all(np.abs(found - (low, high)) <= 0.1 * scale):
        return steps
    if np.all(np.abs(100 * found - (low, high)) <= 10 * scale) and not first:  # PerkinElmer files of Lancashire's set
        return ["##MINY= and ##MAXY= are in percent, the values are not"]
    raise ReadError(
        f"the values reach from {found[0]:.6g} to {found[1]:.6g} where the file says {low:.6g} to {high:.6g}"
    )

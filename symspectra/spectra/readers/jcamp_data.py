"""Data tables of JCAMP-DX as text to numbers: pairs, assigned peaks, and the compressed forms of (X++(Y..Y)).

Sources: R. S. McDonald and P. A. Wilks, Appl. Spectrosc. 1988, 42, 151-162 (JCAMP-DX 4.24: AFFN, PAC, SQZ, DIF, DUP);
A. N. Davies and P. Lampen, Appl. Spectrosc. 1993, 47, 1093-1099 (NMR); P. Lampen et al., Appl. Spectrosc. 1994, 48,
1545-1552 (mass spectra).
"""

from __future__ import annotations

import math
import re
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int
from numpy.typing import ArrayLike

from symspectra.errors import ReadError

_NUMBER = r"[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]\d+)?"  # E without a sign would be the digit 5 of the SQZ form
_TOKEN = re.compile(rf"\n|{_NUMBER}|[@A-Ia-i%J-Rj-rS-Zs]\d*(?:\.\d*)?", re.ASCII)
_SEPARATOR = re.compile(r"[\s,;]+")
_SQZ = {**{c: str(i) for i, c in enumerate("@ABCDEFGHI")}, **{c: f"-{i}" for i, c in enumerate("abcdefghi", 1)}}
_DIF = {**{c: str(i) for i, c in enumerate("%JKLMNOPQR")}, **{c: f"-{i}" for i, c in enumerate("jklmnopqr", 1)}}
_DUP = {c: str(i) for i, c in enumerate("STUVWXYZs", 1)}
_FIRST_DIGIT = {**_SQZ, **_DIF, **_DUP, "\n": "0"}
_VALUE, _DIFFERENCE, _REPEAT, _END = range(4)
_KIND = np.full(128, _VALUE)  # of a token by its first character
for _kind, _characters in ((_DIFFERENCE, _DIF), (_REPEAT, _DUP), (_END, "\n")):
    _KIND[[ord(character) for character in _characters]] = _kind


class Ordinates(NamedTuple):
    """A decoded (X++(Y..Y)) table, before its factors are applied."""

    y: Float[np.ndarray, " point"]
    line_x: Float[np.ndarray, " line"]  #: what each line says its first ordinate's abscissa is
    line_unit: Float[np.ndarray, " line"]  #: one unit of the last digit of ``line_x``
    line_index: Int[np.ndarray, " line"]  #: the point, from 0, that the line begins with
    closing: float | None  #: a check ordinate that closes the table and is wrong


def ordinates(text: str, most: int) -> Ordinates:
    """Decode a (X++(Y..Y)) table in AFFN, PAC, SQZ, DIF or DIFDUP form.

    Parameters
    ----------
    text : the lines of the table
    most : number of points beyond which the table is refused

    Raises
    ------
    ReadError : a line that is no such data, a failed check ordinate, or more than ``most`` points.
    """
    tokens = _tokens(text)
    known = {token: float(_FIRST_DIGIT.get(token[0], token[0]) + token[1:]) for token in set(tokens)}
    number = np.array([known[token] for token in tokens])
    kind = _KIND[[ord(token[0]) for token in tokens]]
    line = np.cumsum(kind == _END) + 1
    abscissa = (kind != _END) & _after(kind == _END, True)
    body = (kind != _END) & ~abscissa
    if not body.any():
        raise ReadError("the data table is empty")
    starts = np.flatnonzero(abscissa)
    _refuse([tokens[k][0] not in "+-.0123456789" for k in starts], line[starts], "does not begin with its position")

    # Repeats are joined to what they repeat, so that values and differences remain.
    repeat = kind[body] == _REPEAT
    at, times = np.flatnonzero(body)[~repeat], _times(number[body], repeat, line[body], most + len(starts))
    first = np.append(True, np.diff(line[at]) > 0)
    difference = kind[at] == _DIFFERENCE
    _refuse(difference & first, line[at], "begins with a difference; expected a value")
    y = _running(np.repeat(number[at], times), np.repeat(difference, times))

    # A line that ends in a difference is followed by its last ordinate again, as a check.
    begin = np.append(0, np.cumsum(times))
    check = first & _after(difference)
    checked = begin[:-1][check]
    closing = _closing(y, checked, line[at[check]]) if len(checked) else None
    abscissae = [tokens[k] for k in starts]
    units = {token: _last_digit(token) for token in set(abscissae)}
    item = np.searchsorted(at, starts)
    return Ordinates(
        np.delete(y, checked),
        number[starts],
        np.array([units[token] for token in abscissae]),
        begin[item] - np.append(0, np.cumsum(check))[np.minimum(item + 1, len(at))],
        closing,
    )


def _times(
    number: Float[np.ndarray, " token"], repeat: Bool[np.ndarray, " token"], line: Int[np.ndarray, " token"], most: int
) -> Int[np.ndarray, " item"]:
    """How often each value and difference stands there, by the repeat that follows it."""
    first = np.append(True, np.diff(line) > 0)
    wrong = repeat & (first | _after(repeat) | (number % 1 != 0))
    _refuse(wrong, line, "repeats something other than one value a whole number of times")
    times = np.where(np.append(repeat[1:], False), np.append(number[1:], 1), 1)[~repeat]
    if not times.sum() <= most:
        raise ReadError(f"the data table has {times.sum():.4g} points; expected at most {most}")
    return times.astype(np.int64)


def _closing(
    y: Float[np.ndarray, " point"], checked: Int[np.ndarray, " check"], line: Int[np.ndarray, " check"]
) -> float | None:
    """Compare the check ordinates with those before; a wrong zero after all points is returned, not refused."""
    again, before = y[checked], y[checked - 1]
    failed = np.flatnonzero(~(np.abs(again - before) <= 1e-9 * np.abs(before)))
    if not len(failed):
        return None
    k = failed[0]
    if checked[k] == len(y) - 1 and again[k] == 0:  # SPECFILE.DX of the IUPAC test files closes its table like this
        return 0.0
    raise ReadError(
        f"line {line[k]} of the data table begins with {again[k]:.10g} where the line before ends with "
        f"{before[k]:.10g}; expected this value again as the check of the compressed form"
    )


def _tokens(text: str) -> list[str]:
    """The numbers of a table, and its line ends."""
    text = text.strip("\n")
    tokens = _TOKEN.findall(text)
    if len("".join(tokens)) != len(re.sub(r"[^\S\n]+|[,;]+", "", text)):
        for number, line in enumerate(text.split("\n"), 1):
            if len("".join(_TOKEN.findall(line))) != len(_SEPARATOR.sub("", line)):
                raise ReadError(f"line {number} of the data table, {line.strip()[:40]!r}, is in no JCAMP-DX data form")
    return tokens


def _after(mask: Bool[np.ndarray, " token"], first: bool = False) -> Bool[np.ndarray, " token"]:
    """Where the element before is marked."""
    return np.append(first, mask[:-1])


def _refuse(wrong: ArrayLike, line: Int[np.ndarray, " token"], what: str) -> None:
    if np.any(wrong):
        raise ReadError(f"line {line[np.argmax(wrong)]} of the data table {what}")


def _running(
    number: Float[np.ndarray, " point"], difference: Bool[np.ndarray, " point"]
) -> Float[np.ndarray, " point"]:
    """Values as they are, and differences added to the point before."""
    total = np.cumsum(np.where(difference, number, 0.0))
    value = np.maximum.accumulate(np.where(difference, 0, np.arange(len(number))))
    return number[value] + total - total[value]


def _last_digit(number: str) -> float:
    """One unit of the last digit of a number as it is written."""
    mantissa, _, exponent = number.upper().partition("E")
    return 10.0 ** min(300, int(exponent[:5] or 0) - len(mantissa.partition(".")[2]))


def groups(text: str, size: int) -> tuple[Float[np.ndarray, " point"], Float[np.ndarray, " point"]]:
    """The first two numbers of each group of ``size`` values: (XY..XY), (XYW..XYW), (XYM..XYM).

    Raises
    ------
    ReadError : values are left over, or one is not a number.
    """
    values = [value for value in _SEPARATOR.split(text) if value]
    if len(values) % size:
        raise ReadError(f"the data table has {len(values)} values, which are not groups of {size}")
    return _numbers(values[::size]), _numbers(values[1::size])


def assignments(text: str, has_y: bool) -> tuple[Float[np.ndarray, " point"], Float[np.ndarray, " point"]]:
    """Positions and values of assigned peaks, ``(x, y, .., <atoms>)``; without ``has_y`` every value is 1.

    Raises
    ------
    ReadError : something other than peaks in parentheses.
    """
    text = re.sub(r"<[^<>]*>", "", text)
    if re.sub(r"\([^()]*\)", "", text).strip():
        raise ReadError("the table of assigned peaks holds something other than peaks in parentheses")
    peaks = [peak.split(",") for peak in re.findall(r"\(([^()]*)\)", text)]
    if not all(len(peak) > has_y for peak in peaks):
        raise ReadError("an assigned peak has no value; expected its position and its value")
    x = _numbers([peak[0].strip() for peak in peaks])
    return x, _numbers([peak[1].strip() for peak in peaks]) if has_y else np.ones(len(x))


def _numbers(values: list[str]) -> Float[np.ndarray, " value"]:
    for value in values:
        if not re.fullmatch(rf"{_NUMBER}|[+-]?\d+(?:\.\d*)?[eE]\d+", value, re.ASCII):
            raise ReadError(f"the data table holds {value[:40]!r}; expected a number")
    return np.array([float(value) for value in values])


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


def factor_of(text: str) -> float:
    """A factor, 1 where it is not given."""
    if not text.strip():
        return 1.0
    factor = finite(text.partition("\n")[0])
    if not factor:
        raise ReadError(f"a factor of the data table is {text[:40]!r}; expected a number other than 0")
    return factor


def count_of(text: str) -> int | None:
    """A number of points, None where the text is none."""
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
        raw = ordinates(table.text, max(most, 4 * len(table.text)))
        _check_count(len(raw.y), table.points)
        x, y = np.linspace(table.first, table.last, len(raw.y)), raw.y * table.factors[1]
        _check_lines(raw, x, table.factors[0])
        if raw.closing is not None:
            steps.append(f"ignored the closing check value {raw.closing:g}, which is not the last value")
    else:
        if table.form.endswith("A"):
            x, y = assignments(table.text, "Y" in table.form)
        else:
            x, y = groups(table.text, len(table.form))
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


def _check_lines(raw: Ordinates, x: Float[np.ndarray, " point"], factor: float) -> None:
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

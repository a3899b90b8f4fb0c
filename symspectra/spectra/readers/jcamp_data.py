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
from jaxtyping import Float

from symspectra.errors import ReadError

_NUMBER = r"[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]\d+)?"  # E without a sign would be the digit 5 of the SQZ form
_TOKEN = re.compile(rf"{_NUMBER}|[@A-Ia-i%J-Rj-rS-Zs]\d*(?:\.\d*)?", re.ASCII)
_SEPARATOR = re.compile(r"[\s,;]+")
_DIGITS = [str(i) for i in (*range(10), *range(-1, -10, -1))]
_VALUE = dict(zip("@ABCDEFGHIabcdefghi", _DIGITS, strict=True))  # SQZ: a letter is the first digit and the sign
_DIFFERENCE = dict(zip("%JKLMNOPQRjklmnopqr", _DIGITS, strict=True))  # DIF
_REPEAT = dict(zip("STUVWXYZs", _DIGITS[1:10], strict=True))  # DUP
_FIRST_DIGIT = _VALUE | _DIFFERENCE | _REPEAT

_MOST_POINTS = 2**22  # of a table whose compressed form repeats values

Pair = tuple[Float[np.ndarray, " point"], Float[np.ndarray, " point"]]


class Ordinates(NamedTuple):
    """A decoded (X++(Y..Y)) table, before its factors are applied."""

    y: list[float]
    lines: list[tuple[str, int]]  #: of each line, what it says its first abscissa is, and that point's number from 0
    closing: float | None  #: a check ordinate that closes the table and is wrong


def ordinates(text: str, most: int) -> Ordinates:
    """Decode a (X++(Y..Y)) table of at most ``most`` points in AFFN, PAC, SQZ, DIF or DIFDUP form."""
    y: list[float] = []
    lines: list[tuple[str, int]] = []
    step: float | None = None  # the difference that the last point came by
    failed = ""  # what is wrong with a check ordinate that is zero, if points follow it
    for number, line in enumerate(text.strip("\n").split("\n"), 1):
        tokens, where = _TOKEN.findall(line), f"line {number} of the data table"
        if len("".join(tokens)) != len(_SEPARATOR.sub("", line)):
            raise ReadError(f"{where}, {line.strip()[:40]!r}, is in no JCAMP-DX data form")
        if not tokens:
            continue
        if tokens[0][0] not in "+-.0123456789":
            raise ReadError(f"{where} does not begin with its position")
        lines.append((tokens[0], len(y) - (step is not None)))  # a check stands for the point before
        before = ""  # kind of the token before: of the first ordinate there is none
        for token in tokens[1:]:
            first = token[0]
            value = float(_FIRST_DIGIT.get(first, first) + token[1:])
            if failed:
                raise ReadError(failed)
            if first in _REPEAT:
                if before in ("", "repeat") or value % 1:
                    raise ReadError(f"{where} repeats something other than one value a whole number of times")
                if len(y) + value - 1 > most:
                    raise ReadError(f"the data table has {len(y) + value - 1:.4g} points; expected at most {most}")
                for _ in range(int(value) - 1):
                    y.append(y[-1] if step is None else y[-1] + step)
                before = "repeat"
            elif first in _DIFFERENCE:
                if not before:
                    raise ReadError(f"{where} begins with a difference; expected a value")
                y.append(y[-1] + value)
                before, step = "difference", value
            elif not before and step is not None:  # the last ordinate again, as a check
                if not abs(value - y[-1]) <= 1e-9 * abs(y[-1]):
                    failed = (
                        f"{where} begins with {value:.10g}; expected the last value again, {y[-1]:.10g}, as a check"
                    )
                    if value != 0:  # SPECFILE.DX of the IUPAC test files closes its table by a zero
                        raise ReadError(failed)
                before, step = "value", None
            else:
                y.append(value)
                before, step = "value", None
    return Ordinates(y, lines, 0.0 if failed else None)


def _groups(text: str, size: int) -> Pair:
    """The first two numbers of each group of ``size`` values: (XY..XY), (XYW..XYW), (XYM..XYM)."""
    values = [value for value in _SEPARATOR.split(text) if value]
    if len(values) % size:
        raise ReadError(f"the data table has {len(values)} values, which are not groups of {size}")
    return _numbers(values[::size]), _numbers(values[1::size])


def _assignments(text: str, has_y: bool) -> Pair:
    """Positions and values of assigned peaks, ``(x, y, .., <atoms>)``; without ``has_y`` every value is 1."""
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


def finite(text: str) -> float | None:
    """The number that the first line of a text says, None where it is none or not finite."""
    try:
        value = float(text.partition("\n")[0])
    except ValueError:
        return None
    return value if math.isfinite(value) else None


class Table(NamedTuple):
    """A data table with what is needed to read it."""

    text: str
    said: str  #: how it is written, ``(X++(Y..Y))`` or ``(XY..XY)``, and what stands behind it
    peaks: bool
    head: dict[str, str]  #: ``XUNITS``, ``YFACTOR``, ``FIRSTX``, ``NPOINTS`` and the like
    page: str = ""
    imaginary: bool = False
    others: tuple[str, ...] = ()  #: labels of other tables of the same spectrum

    @property
    def form(self) -> str:
        """``X++YY``, or the variables of a group: ``XY``, ``XYW``, ``XYMA``."""
        said = re.sub(r"\s", "", self.said).upper()
        match = re.match(r"\((?:(X)\+\+\(Y\.\.Y\)?\)?|(X\w*)\.\.X\w*\)|(X\w*A)\))", said)
        if not match:
            said = self.said.strip()[:40]
            raise ReadError(f"the data table has the form {said!r}; expected (X++(Y..Y)), (XY..XY) or (XYMA)")
        return "X++YY" if match[1] else match[2] or match[3]

    def number(self, label: str) -> float | None:
        """A finite number of the head, None where it is missing or something else."""
        return finite(self.head.get(label, ""))

    def factor(self, label: str) -> float:
        """A factor, 1 where it is not given."""
        text = self.head.get(label, "").strip()
        factor = finite(text) if text else 1.0
        if not factor:
            raise ReadError(f"a factor of the data table is {text[:40]!r}; expected a number other than 0")
        return factor

    def values(self) -> tuple[Float[np.ndarray, " point"], Float[np.ndarray, " point"], list[str]]:
        """Positions and values with the factors applied, and the steps to tell."""
        form, number, steps = self.form, self.number("NPOINTS"), []
        points = int(number) if number is not None and number >= 0 and number.is_integer() else None
        x_factor, y_factor = self.factor("XFACTOR"), self.factor("YFACTOR")
        if form == "X++YY":
            first, last, delta = self.number("FIRSTX"), self.number("LASTX"), self.number("DELTAX")
            if last is None and None not in (first, points, delta):
                last = first + (points - 1) * delta
            if None in (points, first, last):
                raise ReadError("a table (X++(Y..Y)) needs ##FIRSTX=, ##LASTX= and ##NPOINTS=; expected all three")
            raw = ordinates(self.text, min(points, _MOST_POINTS))
            _check_count(len(raw.y), points)
            x, y = np.linspace(first, last, len(raw.y)), np.array(raw.y) * y_factor
            _check_lines(raw.lines, x, x_factor)
            if raw.closing is not None:
                steps.append(f"ignored the closing check value {raw.closing:g}, which is not the last value")
        else:
            x, y = _assignments(self.text, "Y" in form) if form.endswith("A") else _groups(self.text, len(form))
            x, y = x * x_factor, y * y_factor
            _check_count(len(x), len(x) if points is None else points)
            if points is None:
                steps.append(f"##NPOINTS= is missing; took all {len(x)} points")
        return x, y, steps + self._contradictions(y)

    def multiplicities(self) -> list[str]:
        """What the M of (XYM..XYM) or (XYMA) says of each peak, as written; empty where the form has none."""
        place = self.form.find("M")
        if place < 0:
            return []
        if self.form.endswith("A"):
            peaks = re.findall(r"\(([^()]*)\)", re.sub(r"<[^<>]*>", "", self.text))
            return [(peak.split(",")[place:] or [""])[0].strip() for peak in peaks]
        return [value for value in _SEPARATOR.split(self.text) if value][place :: len(self.form)]

    def _contradictions(self, y: Float[np.ndarray, " point"]) -> list[str]:
        """Refuse values that contradict ##MINY= and ##MAXY=, or ##FIRSTY= where these are missing."""
        scale, said = np.abs(y).max(), self.number("FIRSTY")
        steps = []
        if said is not None and abs(y[0] - said) > 0.1 * scale:
            steps.append(f"the first value is {y[0]:.6g} where ##FIRSTY= says {said:.6g}")
        limits = self.number("MINY"), self.number("MAXY")
        if None in limits or limits[0] == limits[1]:
            if steps:
                raise ReadError(steps[0])
            return []
        low, high = sorted(limits)  # some programs exchange them
        found = np.array([y.min(), y.max()])
        if np.all(np.abs(found - (low, high)) <= 0.1 * scale):
            return steps
        if np.all(np.abs(100 * found - (low, high)) <= 10 * scale) and not steps:  # PerkinElmer, in Lancashire's set
            return ["##MINY= and ##MAXY= are in percent, the values are not"]
        said = f"the file says {low:.6g} to {high:.6g}"
        raise ReadError(f"the values reach from {found[0]:.6g} to {found[1]:.6g} where {said}")


def _check_count(found: int, expected: int) -> None:
    if found < expected:
        raise ReadError(f"the data table ends after {found} of {expected} points")
    if found > expected:
        raise ReadError(f"the data table has {found} points where ##NPOINTS= says {expected}")
    if found == 0:
        raise ReadError("the data table is empty")


def _check_lines(lines: list[tuple[str, int]], x: Float[np.ndarray, " point"], factor: float) -> None:
    """Refuse a table whose lines begin elsewhere than its head says, by more than rounding."""
    span = abs(x[-1] - x[0])
    slack = 2 * span / max(len(x) - 1, 1) + 1e-3 * span
    for number, (text, index) in enumerate(lines, 1):
        said, expected = float(text) * factor, x[min(index, len(x) - 1)]
        mantissa, _, exponent = text.upper().partition("E")
        digit = 10.0 ** min(300, int(exponent[:5] or 0) - len(mantissa.partition(".")[2]))  # one unit of the last
        if not abs(said - expected) <= slack + digit * abs(factor):
            where = f"line {number} of the data table begins at {said:.8g}"
            raise ReadError(f"{where} where ##FIRSTX=, ##LASTX= and ##NPOINTS= lead to {expected:.8g}")

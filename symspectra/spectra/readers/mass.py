"""Mass spectra from MGF and MSP files, a `Spectrum` each.

MGF and MSP are read here line by line: pyteomics passes over MGF entries without a title or an end and over peak lines
that it does not understand, and has no MSP.
"""

from __future__ import annotations

import re
from collections import ChainMap
from collections.abc import Callable, MutableMapping

from symspectra.errors import ReadError
from symspectra.spectra.readers.scan import Peaks, Scan, key, spectra
from symspectra.spectra.readers.signatures import decoded
from symspectra.spectra.spectrum import Spectrum

Lines = list[tuple[int, str]]  # with their numbers

_FIELD = re.compile(r"([A-Za-z][^:]{0,60}):(.*)")


def read_mgf(data: bytes, block: int | None = None) -> list[Spectrum]:
    """The spectra of a Mascot generic format file; ``block`` picks one, from 1."""
    defaults: dict[str, str] = {}
    scans: list[Scan] = []
    fields: dict[str, str] | None = None
    lines: Lines = []
    for number, line in _lines(data):
        if line[0] in "#;!/":
            continue
        if line.upper() == "BEGIN IONS":
            if fields is not None:
                raise ReadError(f"line {number} is BEGIN IONS; expected END IONS of spectrum {len(scans) + 1} first")
            fields, lines = {}, []
        elif line.upper() == "END IONS":
            if fields is None:
                raise ReadError(f"line {number} is END IONS without BEGIN IONS")
            scans.append(_mgf_scan(len(scans) + 1, ChainMap(fields, defaults), lines))
            fields = None
        elif "=" in line and not _begins_a_number(line):
            name, value = line.split("=", 1)
            (defaults if fields is None else fields).setdefault(key(name), value.strip())
        elif fields is None:
            raise ReadError(f"line {number} reads {line[:40]!r} outside of BEGIN IONS and END IONS")
        else:
            lines.append((number, line))
    if fields is not None:
        raise ReadError(f"spectrum {len(scans) + 1} is cut off; expected END IONS")
    return spectra(scans, "MGF", len(data), block)


def _mgf_scan(number: int, fields: MutableMapping[str, str], lines: Lines) -> Scan:
    mass = fields.get("pepmass", "").split()
    if len(mass) > 2:
        fields.setdefault("charge", mass[2])
    scan = Scan(number, fields, lambda: _table(lines, lambda line, _: line.split()[:2]))
    if any(len(line.split()) > 2 for _, line in lines):
        scan.steps.append("further columns of the peak lines (charges, annotations) left out")
    return scan


def read_msp(data: bytes, block: int | None = None) -> list[Spectrum]:
    """The spectra of an MSP library (NIST, MoNA, MassBank, RIKEN, Golm); ``block`` picks one, from 1."""
    entries: list[_Entry] = []
    entry = _Entry()
    for number, line in _lines(data, blank=True):
        match = _FIELD.match(line) if line[:1].isalpha() else None
        name = key(match[1]) if match else ""
        if (match or not line) and entry.ends_before(name):
            entries.append(entry)
            entry = _Entry()
        if match:
            entry.fields.setdefault(name, match[2].strip())
        elif line and (entry.announced or _begins_a_number(line)):
            entry.lines.append((number, line))
        elif line:
            entry.unread.append(line)
    if entry:
        entries.append(entry)
    elif entries:
        entries[-1].unread += entry.unread
    if not any(entry.lines or entry.announced for entry in entries):
        raise ReadError("holds no peaks; expected MSP, with a line 'Num Peaks: 12' before the peaks of each spectrum")
    return spectra([entry.scan(number) for number, entry in enumerate(entries, 1)], "MSP", len(data), block)


class _Entry:
    """The lines of one entry of an MSP library."""

    def __init__(self):
        self.fields: dict[str, str] = {}
        self.lines: Lines = []
        self.unread: list[str] = []

    def __bool__(self) -> bool:
        return bool(self.fields or self.lines)

    @property
    def announced(self) -> str:
        return self.fields.get("numpeaks", "")

    def ends_before(self, name: str) -> bool:
        """Whether a line with the field ``name``, or an empty line, is no longer part of it."""
        if self.lines:
            return True
        if not name:
            return bool(self) and self.announced in ("", "0")
        return bool(self.announced) and name in self.fields

    def scan(self, number: int) -> Scan:
        comments = " ".join(self.fields.get(name, "") for name in ("comment", "comments"))
        inside = {key(name): value for name, value in re.findall(r'"([^"=]{1,60})=([^"]*)"', comments)}  # MoNA
        scan = Scan(number, inside | self.fields, lambda: self._peaks(scan))
        if any('"' in line for _, line in self.lines):
            scan.steps.append("peak annotations left out")
        if self.unread:
            scan.steps.append(f"{len(self.unread)} lines not understood and left out, first {self.unread[0][:40]!r}")
        return scan

    def _peaks(self, scan: Scan) -> Peaks:
        mz, intensity = _table(self.lines, _tokens)
        if self.announced and str(len(mz)) != self.announced.lstrip("0").rjust(1, "0"):
            raise ReadError(f"{scan.name} lists {len(mz)} peaks; expected {self.announced[:20]!r}, its Num Peaks")
        return mz, intensity


def _tokens(line: str, number: int) -> list[str]:
    """The numbers of a line of m/z and intensity pairs, whatever stands between and around them."""
    bare = re.sub(r'"[^"]*("|$)', " ", line)
    if re.search(r"\d,\d", bare) and "(" not in bare:
        raise ReadError(f"line {number} reads {line[:40]!r}, with a comma inside a number; expected decimal points")
    tokens = re.sub(r"[,;:()\[\]{}]", " ", bare).split()
    return tokens[:2] if len(tokens) > 2 and tokens[2][0].isalpha() else tokens


def _table(lines: Lines, tokens: Callable[[str, int], list[str]]) -> Peaks:
    """m/z and intensities of lines of one pair of numbers, or of what ``tokens`` makes pairs of."""
    values: list[float] = []
    for number, line in lines:
        try:
            mz, intensity = map(_number, line.split())
            values += mz, intensity
        except ValueError:
            values += _pairs(tokens(line, number), number, line)
    return values[::2], values[1::2]


def _pairs(tokens: list[str], number: int, line: str) -> list[float]:
    try:
        if tokens and len(tokens) % 2 == 0:
            return [_number(token) for token in tokens]
    except ValueError:
        pass
    raise ReadError(f"line {number} reads {line[:40]!r}; expected m/z and intensity")


def _number(text: str) -> float:
    if "_" in text:  # Python's digit groups
        raise ValueError(text)
    return float(text)


def _begins_a_number(line: str) -> bool:
    return line[0] in "0123456789.+-("


def _lines(data: bytes, blank: bool = False) -> Lines:
    """The stripped lines of a text with their numbers from 1, empty ones if ``blank``."""
    lines = enumerate(map(str.strip, decoded(data).splitlines()), 1)
    return [(number, line) for number, line in lines if line or blank]

"""Mass spectra from MGF and MSP files, a `Scan` each.

MGF and MSP are read here line by line: pyteomics passes over MGF entries without a title or an end and over peak lines
that it does not understand, and has no MSP.
"""

from __future__ import annotations

import re
from collections import ChainMap
from collections.abc import Callable, MutableMapping
from dataclasses import dataclass, field

from symspectra.errors import ReadError
from symspectra.spectra.readers.entries import Entry
from symspectra.spectra.readers.scan import Peaks, Scan, key
from symspectra.spectra.readers.signatures import decoded

Lines = list[tuple[int, str]]  # with their numbers

_FIELD = re.compile(r"([A-Za-z][^:]{0,60}):(.*)")


def read_mgf(data: bytes) -> list[Entry]:
    """The spectra of a Mascot generic format file."""
    defaults: dict[str, str] = {}
    scans: list[Scan] = []
    fields: dict[str, str] | None = None
    lines: Lines = []
    for number, line in _lines(data):
        if not line or line[0] in "#;!/":
            continue
        if line.upper() == "BEGIN IONS":
            if fields is not None:
                raise ReadError(f"line {number} is BEGIN IONS; expected END IONS of spectrum {len(scans) + 1} first")
            fields, lines = {}, []
        elif line.upper() == "END IONS":
            if fields is None:
                raise ReadError(f"line {number} is END IONS without BEGIN IONS")
            scans.append(_mgf_scan(ChainMap(fields, defaults), lines))
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
    return [Entry(number, scan.spectrum) for number, scan in enumerate(scans, 1)]


def _mgf_scan(fields: MutableMapping[str, str], lines: Lines) -> Scan:
    mass = fields.get("pepmass", "").split()
    if len(mass) > 2:
        fields.setdefault("charge", mass[2])
    return Scan(fields, lambda: _table(lines, lambda line, _: line.split()[:2]))  # then charges and annotations


def read_msp(data: bytes) -> list[Entry]:
    """The spectra of an MSP library (NIST, MoNA, MassBank, RIKEN, Golm)."""
    records = [_Record()]
    for number, line in _lines(data):
        match = _FIELD.match(line) if line[:1].isalpha() else None
        name = key(match[1]) if match else ""
        if (match or not line) and records[-1].ends_before(name):
            records.append(_Record())
        record = records[-1]
        if match:
            record.fields.setdefault(name, match[2].strip())
        elif line and (record.announced or _begins_a_number(line)):
            record.lines.append((number, line))
        elif line:
            record.unread.append(line)
    there = [record for record in records if record]
    return [Entry(number, record.scan().spectrum) for number, record in enumerate(there, 1)]


@dataclass
class _Record:
    """The lines of one entry of an MSP library."""

    fields: dict[str, str] = field(default_factory=dict)
    lines: Lines = field(default_factory=list)
    unread: list[str] = field(default_factory=list)

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

    def scan(self) -> Scan:
        comments = " ".join(self.fields.get(name, "") for name in ("comment", "comments"))
        inside = {key(name): value for name, value in re.findall(r'"([^"=]{1,60})=([^"]*)"', comments)}  # MoNA
        said = f"lines not understood and left out: {len(self.unread)}, first {''.join(self.unread[:1])[:40]!r}"
        return Scan(inside | self.fields, self._peaks, steps=[said] * bool(self.unread))

    def _peaks(self) -> Peaks:
        mz, intensity = _table(self.lines, _tokens)
        if self.announced and str(len(mz)) != self.announced.lstrip("0").rjust(1, "0"):
            raise ReadError(f"lists {len(mz)} peaks; expected {self.announced[:20]!r}, its Num Peaks")
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
        pair = line.split()
        found = _floats(pair) if len(pair) == 2 else None
        if found is None:
            found = _floats(tokens(line, number))
        if not found or len(found) % 2:
            raise ReadError(f"line {number} reads {line[:40]!r}; expected m/z and intensity")
        values += found
    return values[::2], values[1::2]


def _floats(texts: list[str]) -> list[float] | None:
    """The numbers, None where one is none; 1_0, which Python takes for 10, is none."""
    try:
        return [float(text.replace("_", "?")) for text in texts]
    except ValueError:
        return None


def _begins_a_number(line: str) -> bool:
    return line[0] in "0123456789.+-("


def _lines(data: bytes) -> Lines:
    """The stripped lines of a text with their numbers from 1."""
    return list(enumerate(map(str.strip, decoded(data).splitlines()), 1))

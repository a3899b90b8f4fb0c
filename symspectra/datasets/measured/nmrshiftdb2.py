"""nmrshiftdb2: the SD file with the measured 13C and 1H spectra of its structures (``nmrshiftdb2withsignals.sd``)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from rdkit import Chem
from tqdm import tqdm

from symspectra.datasets.measured.records import (
    Measurement,
    Reject,
    Rejected,
    Spectra,
    checked_peaks,
    members,
    read_all,
    structure_of,
)
from symspectra.errors import DataError
from symspectra.parallel import Workers

LICENCE = "nmrshiftdb2 Database License"

_END = re.compile(r"^\$\$\$\$[ \t]*\r?(?:\n|\Z)", re.MULTILINE)
_NUMBER = r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?"
_ENTRY = re.compile(rf"\s*({_NUMBER})\s*;([^;]*);\s*(\d*)\s*")
_MODALITY = {"13C": "c13", "1H": "h1"}
_ATTACHED = {"S": 0, "D": 1, "T": 2, "Q": 3}
_UNSTATED = ("", "unreported", "unknown")
_COMPUTED = ("NMRProgram", "NMRMethod")  # name only spectra from quantum chemistry, at times without a value


def read_nmrshiftdb2(
    path: str | Path, workers: Workers | None = None, show: bool = False
) -> Iterator[Measurement | Rejected]:
    """Measured 13C and 1H spectra, one row each; those that the file says are predicted or calculated are left out.

    What is left out goes by the number of the structure, a colon and the number of the spectrum.

    13C: the value of a peak is the number of atoms with its shift and its multiplicity. 1H: there are no integrals; the
    value is the number of entries with its shift, of unit intensity each.
    ``path`` is an SD file, or a folder or .zip of them. `DataError`: not such a file, or no record has a spectrum.
    """
    path, records, ends = Path(path), [], []
    for _, text in members(path, (".sd", ".sdf")):
        *whole, rest = _END.split(text)
        records += whole
        if rest.strip():
            ends.append(Rejected(path.name, f"after record {len(records)}", "record truncated"))
    if not records:
        raise DataError(f"{path}: is no SD file; expected records that end in a line $$$$; unpack what is no .zip")
    bar = tqdm(records, desc=path.name, unit="record", disable=not show)
    nothing = "no record has a spectrum; expected properties such as <Spectrum 13C 0>"
    yield from read_all(path, bar, _spectra, workers, ("no 13C or 1H spectrum",), nothing)
    yield from ends


def _spectra(record: str) -> Spectra:
    molblock, end, rest = record.partition("M  END")
    properties = _properties(rest if end else molblock)
    matches = ((re.fullmatch(r"Spectrum (.+) (\d+)", name), value) for name, value in properties.items())
    spectra = [(match[1], match[2], value) for match, value in matches if match]
    id_ = properties.get("nmrshiftdb2 ID", "").strip() or "number not given"
    if not any(nucleus in _MODALITY for nucleus, *_ in spectra):
        yield id_, "no 13C or 1H spectrum"
    not_measured = _not_measured(properties)
    for nucleus, number, value in spectra:
        if nucleus not in _MODALITY:
            yield f"{id_}:{number}", "nucleus or experiment not used"
        else:
            read = partial(_measurement, molblock + end, _MODALITY[nucleus], value)
            yield f"{id_}:{number}", not_measured.get(number, read)


def _measurement(molblock: str, modality: str, value: str) -> Measurement:
    peaks = _peaks(value, modality)
    return Measurement(*structure_of(molblock, Chem.MolFromMolBlock), modality, licence=LICENCE, **peaks)


def _properties(text: str) -> dict[str, str]:
    """Data items of a record, by name."""
    lines: dict[str, list[str]] = {}
    name = None
    for line in text.splitlines():
        if line.startswith(">") and "<" in line:
            name = line[line.index("<") + 1 : line.rindex(">")]
            lines[name] = []
        elif not line.strip():
            name = None
        elif name is not None:
            lines[name].append(line)
    return {name: " ".join(values) for name, values in lines.items()}


def _by_number(text: str) -> dict[str, str]:
    """``"0:298 1:Unreported"`` as ``{"0": "298", "1": "Unreported"}``."""
    parts = re.split(r"(?:^|(?<=\s))(\d+):", text)
    return dict(zip(parts[1::2], map(str.strip, parts[2::2]), strict=True))


def _not_measured(properties: dict[str, str]) -> dict[str, str]:
    """Reason by number of each spectrum that was predicted or calculated."""
    reasons = {}
    for number, program in _by_number(properties.get("Program", "")).items():
        if program.lower() not in _UNSTATED:
            reasons[number] = "predicted by a program"
    for tag in _COMPUTED:
        for number in _by_number(properties.get(tag, "")):
            reasons.setdefault(number, "calculated by quantum chemistry")
    return reasons


def _peaks(text: str, modality: str) -> dict[str, Any]:
    """``x``, ``y`` and ``attached`` of ``ppm;intensity and multiplicity;atom|...``."""
    atoms: dict[tuple[float, int], list[str]] = {}  # by shift and number of attached hydrogen atoms, -1 if not given
    for i, entry in enumerate(entry for entry in text.split("|") if entry.strip()):
        match = _ENTRY.fullmatch(entry)
        if match is None:
            raise Reject("peak not readable")
        letters = re.sub(r"[\d.\s]", "", match[2]).upper()
        attached = _ATTACHED.get(letters, -1) if modality == "c13" else -1
        atoms.setdefault((float(match[1]), attached), []).append(match[3] or f"entry {i}")
    if not atoms:
        raise Reject("no peaks")
    peaks = sorted(atoms)
    count = [len(set(atoms[p]) if modality == "c13" else atoms[p]) for p in peaks]
    x, y = checked_peaks([ppm for ppm, _ in peaks], count, modality)
    hydrogens = [None if n < 0 else n for _, n in peaks]
    return {"x": x, "y": y, "attached": None if all(n is None for n in hydrogens) else hydrogens}

"""nmrshiftdb2: the SD file with the measured 13C and 1H spectra of its structures (``nmrshiftdb2withsignals.sd``)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

from rdkit import Chem, rdBase

from symspectra.datasets.measured.archives import decoded, opened
from symspectra.datasets.measured.records import Measurement, Reject, Rejected, checked_peaks, passed_on, structure_of
from symspectra.errors import DataError
from symspectra.parallel import Workers, chunked

LICENCE = "nmrshiftdb2 Database License"
RECORD_BYTES = 5_000_000
BLOCK_BYTES = 1_000_000
CHUNK = 200  # records

_END = re.compile(rb"^\$\$\$\$[ \t]*\r?\n", re.MULTILINE)
_NUMBER = r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?"
_ENTRY = re.compile(rf"\s*({_NUMBER})\s*;([^;]*);\s*(\d*)\s*")
_MODALITY = {"13C": "c13", "1H": "h1"}
_ATTACHED = {"S": 0, "D": 1, "T": 2, "Q": 3}
_UNSTATED = ("", "unreported", "unknown")
_PROGRAMS = {"hose": "predicted by HOSE codes", "acd": "predicted by ACD/Labs", "csearch": "predicted by CSEARCH"}
_COMPUTED = ("NMRProgram", "NMRMethod")  # name only spectra from quantum chemistry, at times without a value


def read_nmrshiftdb2(
    path: str | Path, workers: Workers | None = None, show: bool = False
) -> Iterator[Measurement | Rejected]:
    """Measured 13C and 1H spectra, one row each; those that the file says are predicted or calculated are left out.

    What is left out goes by the number of the structure, a colon and the number of the spectrum.

    13C: the value of a peak is the number of atoms with its shift and its multiplicity. 1H: there are no integrals; the
    value is the number of entries with its shift, of unit intensity each.
    ``path`` is an SD file, or a .zip with one in it. `DataError`: not such a file, or no record has a spectrum.
    """
    path = Path(path)
    with opened(path, (".sd", ".sdf"), show) as stream:
        chunks = chunked(_records(stream, path), CHUNK)
        parsed = (workers or Workers()).in_order(partial(_parse, path.name), chunks)
        nothing = f"{path}: no record has a spectrum; expected properties such as <Spectrum 13C 0>"
        yield from passed_on(parsed, ("no 13C or 1H spectrum", "record truncated"), nothing)


def _records(stream: BinaryIO, path: Path) -> Iterator[bytes | Rejected]:
    """The records of an SD file, and what is left after the last of them."""
    rest, found = b"", 0
    while block := stream.read(BLOCK_BYTES):
        *whole, rest = _END.split(rest + block)
        found += len(whole)
        yield from whole
        if len(rest) > RECORD_BYTES:
            break
    *whole, rest = _END.split(rest + b"\n")
    yield from whole
    if not found + len(whole):
        raise DataError(f"{path}: is no SD file; expected records that end in a line $$$$")
    if len(rest) > RECORD_BYTES:
        raise DataError(f"{path}: a record has more than {RECORD_BYTES / 1e6:g} MB; expected a line $$$$ after each")
    if rest.strip():
        yield Rejected(path.name, f"after record {found + len(whole)}", "record truncated")


def _parse(file: str, records: list[bytes | Rejected]) -> list[Measurement | Rejected]:
    rows, left_out = [], [record for record in records if isinstance(record, Rejected)]
    with rdBase.BlockLogs():
        for data in records[: len(records) - len(left_out)]:
            molblock, end, rest = decoded(data).partition("M  END")
            properties = _properties(rest if end else molblock)
            spectra = _spectra(properties)
            id_ = properties.get("nmrshiftdb2 ID", "").strip() or "number not given"
            if not any(nucleus in _MODALITY for nucleus, *_ in spectra):
                left_out.append(Rejected(file, id_, "no 13C or 1H spectrum"))
            not_measured = _not_measured(properties)
            for nucleus, number, value in spectra:
                said = {"source": file, "record": f"{id_}:{number}", "licence": LICENCE}
                try:
                    if nucleus not in _MODALITY:
                        raise Reject("nucleus or experiment not used")
                    if number in not_measured:
                        raise Reject(not_measured[number])
                    said |= _peaks(value, _MODALITY[nucleus]) | _conditions(properties, number)
                    key, smiles = structure_of(molblock + end, Chem.MolFromMolBlock)
                    rows.append(Measurement(key, smiles, _MODALITY[nucleus], **said))
                except Reject as reject:
                    left_out.append(Rejected(file, said["record"], str(reject)))
    return left_out + rows


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


def _spectra(properties: dict[str, str]) -> list[tuple[str, str, str]]:
    """Nucleus or experiment, number and content of each spectrum."""
    matches = ((re.fullmatch(r"Spectrum (.+) (\d+)", name), value) for name, value in properties.items())
    return [(match[1], match[2], value) for match, value in matches if match]


def _by_number(text: str) -> dict[str, str]:
    """``"0:298 1:Unreported"`` as ``{"0": "298", "1": "Unreported"}``."""
    parts = re.split(r"(?:^|(?<=\s))(\d+):", text)
    return dict(zip(parts[1::2], map(str.strip, parts[2::2]), strict=True))


def _not_measured(properties: dict[str, str]) -> dict[str, str]:
    """Reason by number of each spectrum that was predicted or calculated."""
    reasons = {}
    for number, program in _by_number(properties.get("Program", "")).items():
        if program.lower() not in _UNSTATED:
            known = (reason for word, reason in _PROGRAMS.items() if word in program.lower())
            reasons[number] = next(known, "predicted by another program")
    for tag in _COMPUTED:
        for number in _by_number(properties.get(tag, "")):
            reasons.setdefault(number, "calculated by quantum chemistry")
    return reasons


def _conditions(properties: dict[str, str], number: str) -> dict[str, Any]:
    solvent = _by_number(properties.get("Solvent", "")).get(number, "")
    return {
        "solvent": None if solvent.lower() in _UNSTATED else solvent,
        "frequency_mhz": _positive(_by_number(properties.get("Field Strength [MHz]", "")).get(number, "")),
        "temperature_k": _positive(_by_number(properties.get("Temperature [K]", "")).get(number, "")),
    }


def _positive(text: str) -> float | None:
    match = re.fullmatch(r"(\d{1,6}(?:\.\d{1,12})?)(?: ?(?:MHz|K))?", text)
    return float(match[1]) or None if match else None


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

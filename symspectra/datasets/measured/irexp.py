"""IRexp: infrared bands, 1H and 13C lists printed in open-access papers (``irexp_commercial.jsonl.gz``).

Yabbarov, Sondhi and Vargas-Hernandez, 2026, doi 10.5281/zenodo.23023528: 88,519 records under CC BY or CC0. A line is a
JSON object with ``id``, ``inchikey``, ``smiles`` (null where the name in the paper was not resolved),
``ir_bands_cm-1`` (a list of numbers), ``h_nmr`` and ``c_nmr`` (lists as printed), ``license`` and ``license_pool``.
"""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from tqdm import tqdm

from symspectra.datasets.measured.choice import restricted
from symspectra.datasets.measured.peaks import CELL_CHARACTERS, typed
from symspectra.datasets.measured.records import Measurement, Reject, Rejected, Spectra, read_all, structure_of
from symspectra.errors import DataError
from symspectra.parallel import Workers

#: Patterns of the licences that are kept by default (`symspectra.datasets.measured.choice.allowed`).
LICENCES = ("CC[ -]BY", "CC[ -]BY[ -][0-9]*", "CC0", "CC0[ -][0-9]*")

_FIELDS = {"ir_bands_cm-1": "ir", "h_nmr": "h1", "c_nmr": "c13"}
_DOUBTED = {
    "ir_shared_in_paper": "the paper gives these bands to several compounds",
    "ir_table_flatten_suspect": "the bands seem to be of several rows of a table",
}


def read_irexp(
    path: str | Path, workers: Workers | None = None, show: bool = False
) -> Iterator[Measurement | Rejected]:
    """Infrared, 1H and 13C spectra, a row per list; or why not, by the ``id`` of the record and the field.

    A list is a text as papers print it (`symspectra.spectra.parse_peaks`), or a JSON list of numbers or of such texts.
    Left out are records without a structure, and bands that IRexp itself marks as doubtful (``ir_shared_in_paper``,
    ``ir_table_flatten_suspect``).
    ``path`` is a file of JSON lines, as it is or as .gz. `DataError`: no such file, damaged, or no record in it.
    """
    path = Path(path)
    if not path.is_file():
        raise DataError(f"{path}: there is no such file")
    lines = enumerate(tqdm(_lines(path), desc=path.name, unit="record", disable=not show), 1)
    nothing = f"no record in it; expected JSON objects, one per line, with {', '.join(_FIELDS)}"
    return read_all(path, lines, _spectra, workers, ("not a JSON object", "no spectrum"), nothing)


def _lines(path: Path) -> Iterator[str]:
    with open(path, "rb") as f:
        opened = gzip.open if f.read(2) == b"\x1f\x8b" else open
    try:
        with opened(path, "rt", encoding="utf-8-sig") as f:
            while line := f.readline(CELL_CHARACTERS):
                if len(line) == CELL_CHARACTERS:
                    raise DataError(f"{path}: a line has more than {CELL_CHARACTERS:,} characters; expected JSON lines")
                yield line
    except (OSError, EOFError, UnicodeDecodeError, zlib.error) as error:
        raise DataError(f"{path}: cannot be read as JSON lines in UTF-8, plain or .gz ({error})") from error


def _spectra(numbered: tuple[int, str]) -> Spectra:
    number, line = numbered
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        record = None
    if not isinstance(record, dict):
        if line.strip():
            yield f"line {number}", "not a JSON object"
        return
    name = str(record.get("id") or "").strip() or f"line {number}"
    there = [field for field in _FIELDS if record.get(field) not in (None, "", [])]
    if not there:
        yield name, "no spectrum"
    elif not record.get("smiles"):
        yield name, "structure not given"
    else:
        for field in there:
            yield f"{name}:{field}", partial(_measurement, record, field)


def _measurement(record: dict[str, Any], field: str) -> Measurement:
    modality, value, smiles = _FIELDS[field], record[field], record["smiles"]
    stated, licence, pool = (str(record.get(name) or "").strip() for name in ("inchikey", "license", "license_pool"))
    if restricted(pool) and not restricted(licence):
        raise Reject(f"licence contradictory ({licence[:40]!r} in the pool {pool[:40]!r})")
    for mark, reason in _DOUBTED.items() if modality == "ir" else ():
        if record.get(mark):
            raise Reject(f"bands doubtful ({reason})")
    try:
        key, flat = structure_of(smiles)
    except Reject as reject:
        raise Reject(f"{reject} ({str(smiles)[:80]!r})") from None
    if stated and stated.split("-")[0] != key:
        raise Reject(f"InChIKey disagrees with the structure ({stated[:27]!r}, {flat[:80]!r})")
    return Measurement(key, flat, modality, **typed(_printed(value), modality), licence=licence or None)


def _printed(value: Any) -> str:
    """A field as a list that papers print."""
    if isinstance(value, str):
        return value
    if not isinstance(value, list) or not all(type(item) in (int, float, str) for item in value):
        raise Reject(f"form of the list not known ({json.dumps(value)[:60]}; expected a text, or a list of numbers)")
    return ", ".join(item if isinstance(item, str) else f"{item:.10g}" for item in value)

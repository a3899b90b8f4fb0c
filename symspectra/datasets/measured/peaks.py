"""Tables of peaks of your own: in-house spectra, or an extract of a collection that may not be shared."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from tqdm import tqdm

from symspectra.datasets.measured.records import (
    MODALITIES,
    Measurement,
    Reject,
    Rejected,
    Spectra,
    checked_peaks,
    kind_of,
    read_all,
    structure_of,
)
from symspectra.errors import DataError, ReadError
from symspectra.parallel import Workers
from symspectra.spectra.conversion import SAID
from symspectra.spectra.readers.peak_lists import parse_peaks

CELL_CHARACTERS = 1_000_000
TEXTS = ("source", "licence", "adduct", "collision_energy")

_TERM = r"\d{1,4}(?:\.\d+)?\*[1-8]"
_VALID = {
    "attached": lambda value: value in (0, 1, 2, 3),
    "couplings": lambda value: isinstance(value, str) and re.fullmatch(rf"{_TERM}(?: {_TERM}){{0,5}}", value),
    "broad": lambda value: value is True,
}


def read_peak_table(
    path: str | Path, workers: Workers | None = None, show: bool = False
) -> Iterator[Measurement | Rejected]:
    """Spectra of a table, one per row; or why not, by ``record``, else by the number of the row.

    Parameters
    ----------
    path
        CSV or parquet with the columns ``smiles``; ``modality`` (``ir``, ``c13``, ``h1``, ``msms_pos``, ``msms_neg``,
        or ``ms`` for electron ionisation); and ``peaks``, a list as it is typed, mass spectra as ``43.0:100 58.1:35``
        (`symspectra.spectra.parse_peaks`), or ``x`` and ``y``, lists of numbers (1/cm, ppm or m/z; strengths of bands,
        numbers of equivalent atoms or intensities). Where there are, ``inchikey``, which must be that of the
        structure, and ``record`` and `TEXTS` are read too; beside ``x`` and ``y`` what `write_measurements` writes of
        each peak; other columns are not.

    Raises
    ------
    DataError : no such file, not such a table, or a column is missing.
    """
    path = Path(path)
    if not path.is_file():
        raise DataError(f"{path}: there is no such file")
    rows = enumerate(tqdm(_rows(path), desc=path.name, unit="row", disable=not show), 1)
    return read_all(path, rows, _spectra, workers, (), "the table has no rows")


def _rows(path: Path) -> Iterator[dict[str, Any]]:
    csv.field_size_limit(CELL_CHARACTERS)
    with open(path, "rb") as f:
        kind = "parquet" if f.read(4) == b"PAR1" else "CSV in UTF-8"
    try:
        if kind == "parquet":
            with pq.ParquetFile(path) as file:
                _check_columns(path, file.schema_arrow.names)
                for batch in file.iter_batches(1000):
                    yield from batch.to_pylist()
        else:
            with open(path, newline="", encoding="utf-8-sig") as f:
                reader = csv.DictReader(f)
                _check_columns(path, reader.fieldnames or [])
                yield from reader
    except (OSError, pa.ArrowInvalid, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path}: cannot be read as {kind} ({str(error).splitlines()[0]})") from error


def _check_columns(path: Path, names: list[str]) -> None:
    missing = [name for name in ("smiles", "modality") if name not in names]
    if "peaks" not in names and not {"x", "y"} <= set(names):
        missing.append("peaks (or x and y)")
    if missing:
        raise DataError(
            f"{path}: columns {', '.join(missing)} are missing; there are {', '.join(names[:20]) or 'none'}"
        )


def _spectra(numbered: tuple[int, dict[str, Any]]) -> Spectra:
    number, row = numbered
    yield str(row.get("record") or "").strip() or f"row {number}", partial(_measurement, row)


def _measurement(row: dict[str, Any]) -> Measurement:
    smiles, modality, stated = (str(row.get(name) or "").strip() for name in ("smiles", "modality", "inchikey"))
    if modality not in MODALITIES:
        raise Reject("kind of spectrum not stated")
    if not smiles:
        raise Reject("structure not given")
    peaks = typed(row["peaks"], modality) if row.get("peaks") else _listed(row, modality)
    key, flat = structure_of(smiles)
    if stated and stated.split("-")[0] != key:
        raise Reject("InChIKey disagrees with the structure")
    said = {name: str(row.get(name) or "").strip() or None for name in TEXTS}
    return Measurement(key, flat, modality, **peaks, **said)


def typed(text: Any, modality: str) -> dict[str, Any]:
    """The peaks of a list as it is typed, as the arguments of a `Measurement`; or `Reject`."""
    try:
        spectrum = parse_peaks(str(text), kind_of(modality).name)
    except ReadError as error:
        raise Reject(f"peak not readable ({error})") from None
    x, y = checked_peaks(spectrum.x, spectrum.y, modality)
    return {"x": x, "y": y, **_said(spectrum.meta, modality, len(x))}


def _listed(row: dict[str, Any], modality: str) -> dict[str, Any]:
    x, y = (_numbers(row.get(name)) for name in ("x", "y"))
    if not x and not y:
        raise Reject("no peaks")
    x, y = checked_peaks(x, y, modality)
    return {"x": x, "y": y, **_said(row, modality, len(x))}


def _numbers(cell: Any) -> list[Any]:
    """A list of a parquet table, or of a cell of text such as ``[1.0, 2.0]`` or ``1.0 2.0``."""
    if cell is None:
        return []
    if isinstance(cell, str):
        return cell.strip(" []").replace(",", " ").replace(";", " ").split()
    return cell if isinstance(cell, list) else [cell]


def _said(row: dict[str, Any], modality: str, peaks: int) -> dict[str, list[Any]]:
    """What is said of each peak (`SAID`), where it is for every peak of the list."""
    said = {}
    for name, otherwise in SAID.get(modality, {}).items():
        values = row.get(name)
        if isinstance(values, list) and len(values) == peaks:
            values = [value if _VALID[name](value) else otherwise for value in values]
            said |= {name: values} if any(value != otherwise for value in values) else {}
    return said

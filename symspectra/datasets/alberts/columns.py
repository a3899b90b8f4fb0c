"""What is read of the parquet files: their columns, checked before anything is computed, and their rows in batches."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from symspectra.errors import DataError

MODALITIES = ("ir", "c13", "h1", "msms_pos", "msms_neg")
CURVES = {"ir": "ir_spectra", "c13": "c_nmr_spectra", "h1": "h_nmr_spectra"}
POLARITIES = {"msms_pos": "positive", "msms_neg": "negative"}
ENERGIES = (10, 20, 40)  # eV
BATCH = 256  # rows: 20 MB of double precision 13C spectra
#: A piece of a column at a time, so that memory does not grow with the size of a row group.
READING = {"buffer_size": 1 << 20, "pre_buffer": False, "page_checksum_verification": True}


@dataclass(frozen=True, slots=True)
class SourceFile:
    """A parquet file; ``peaks`` are the columns of `ENERGIES` for ``msms_pos`` and ``msms_neg``."""

    path: Path
    rows: int
    peaks: dict[str, tuple[str, ...]]

    @property
    def columns(self) -> list[str]:
        """Names of all columns to read."""
        return ["smiles", *CURVES.values(), *(name for names in self.peaks.values() for name in names)]


def source_files(folder: Path) -> list[SourceFile]:
    """The parquet files of a folder, by name; `DataError` where there is none, or one lacks a column."""
    if not folder.is_dir():
        raise DataError(f"{folder}: is no folder; expected the folder with the parquet files of Alberts et al. (2024)")
    paths = sorted(path for path in folder.glob("*.parquet") if not path.name.startswith("."))
    if not paths:
        raise DataError(f"{folder}: has no file that ends in .parquet; expected those of Alberts et al. (2024)")
    return [_inspected(path) for path in paths]


def _inspected(path: Path) -> SourceFile:
    try:
        with pq.ParquetFile(path) as file:
            schema, rows = file.schema_arrow, file.metadata.num_rows
    except (OSError, pa.ArrowException) as error:
        raise DataError(
            f"{path}: cannot be read as parquet ({_first_line(error)}); expected one of Alberts et al. (2024)"
        ) from error
    if "smiles" not in schema.names or not _is_text(schema.field("smiles").type):
        raise DataError(f"{path}: has no column smiles of text; columns are {', '.join(schema.names)[:200]}")
    for name in CURVES.values():
        if name not in schema.names or not _is_list(schema.field(name).type, 1):
            raise DataError(f"{path}: has no column {name} of lists of numbers")
    return SourceFile(path, rows, {modality: _peak_columns(path, schema, modality) for modality in POLARITIES})


def _peak_columns(path: Path, schema: pa.Schema, modality: str) -> tuple[str, ...]:
    """Named ``msms_cfmid_...`` in newer releases, ``msms_...`` in older ones."""
    endings = [f"{POLARITIES[modality]}_{energy}ev" for energy in ENERGIES]
    for start in ("msms_cfmid_", "msms_"):
        names = tuple(start + ending for ending in endings)
        if all(name in schema.names for name in names):
            if wrong := [name for name in names if not _is_list(schema.field(name).type, 2)]:
                raise DataError(f"{path}: column {wrong[0]} is not of lists of [m/z, intensity]")
            return names
    raise DataError(
        f"{path}: has no column msms_cfmid_{endings[0]} (older: msms_{endings[0]}), or not those of "
        f"{', '.join(map(str, ENERGIES))} eV"
    )


def _is_text(kind: pa.DataType) -> bool:
    return pa.types.is_string(kind) or pa.types.is_large_string(kind)


def _is_list(kind: pa.DataType, depth: int) -> bool:
    if depth == 0:
        return pa.types.is_floating(kind) or pa.types.is_integer(kind)
    some = pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)
    return some and _is_list(kind.value_type, depth - 1)


def batches(file: SourceFile) -> Iterator[tuple[int, pa.RecordBatch]]:
    """The number of the first row, and the rows, some at a time; `DataError` where the file is damaged."""
    first = 0
    try:
        with pq.ParquetFile(file.path, **READING) as parquet:
            for batch in parquet.iter_batches(BATCH, columns=file.columns, use_threads=False):
                if first + len(batch) <= file.rows:
                    yield first, batch
                first += len(batch)
    except (OSError, pa.ArrowException) as error:
        raise DataError(f"{file.path}: is damaged after row {first} ({_first_line(error)}); fetch it again") from error
    if first != file.rows:
        raise DataError(f"{file.path}: has {first} rows, but says that they are {file.rows}; fetch it again")


def _first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)[:150]

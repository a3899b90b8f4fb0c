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
    start = "msms_cfmid_" if "msms_cfmid_" in " ".join(schema.names) else "msms_"  # in newer and in older releases
    peaks = {name: tuple(f"{start}{sign}_{energy}ev" for energy in ENERGIES) for name, sign in POLARITIES.items()}
    expected = {"smiles": "text", **dict.fromkeys(CURVES.values(), "lists of numbers")}
    expected |= dict.fromkeys((name for names in peaks.values() for name in names), "lists of lists of numbers")
    for name, what in expected.items():
        if name not in schema.names or _kind(schema.field(name).type) != what:
            raise DataError(f"{path}: has no column {name} of {what}; columns are {', '.join(schema.names)[:200]}")
    return SourceFile(path, rows, peaks)


def _kind(of: pa.DataType) -> str:
    if pa.types.is_list(of) or pa.types.is_large_list(of) or pa.types.is_fixed_size_list(of):
        return f"lists of {_kind(of.value_type)}"
    if pa.types.is_string(of) or pa.types.is_large_string(of):
        return "text"
    return "numbers" if pa.types.is_floating(of) or pa.types.is_integer(of) else str(of)


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

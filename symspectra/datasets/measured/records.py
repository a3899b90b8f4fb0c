"""The table of measured spectra, one row per spectrum; and what is left out, each with its reason."""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from jaxtyping import Float
from numpy.typing import ArrayLike

from symspectra.errors import DataError

#: ``ms`` is electron ionisation.
MODALITIES = ("c13", "h1", "msms_pos", "msms_neg", "ms")
#: Positions that can be right, in ppm or m/z.
RANGES: dict[str, tuple[float, float]] = {
    "c13": (-50.0, 300.0),
    "h1": (-5.0, 20.0),
    **dict.fromkeys(("msms_pos", "msms_neg", "ms"), (0.0, 10_000.0)),
}
ROWS = 2000  # of a row group

SCHEMA = pa.schema(
    [
        ("inchikey", pa.string()),  # first block
        ("smiles", pa.string()),  # canonical, without stereochemistry
        ("modality", pa.string()),
        ("x", pa.list_(pa.float64())),  # ppm or m/z
        ("y", pa.list_(pa.float32())),  # equivalent atoms, or intensity
        ("source", pa.string()),  # file
        ("record", pa.string()),
        ("licence", pa.string()),
        ("solvent", pa.string()),
        ("frequency_mhz", pa.float64()),
        ("temperature_k", pa.float64()),
        ("attached", pa.list_(pa.int8())),  # hydrogen atoms on each carbon
        ("adduct", pa.string()),
        ("collision_energy", pa.string()),
        ("instrument_type", pa.string()),
    ]
)

#: Why a spectrum is left out.
REASONS = (
    *("not a record of this format", "record truncated", "record too large", "record deprecated"),
    *("structure not given", "structure not readable", "structure too large", "several components", "no InChIKey"),
    *("InChIKey disagrees with the structure", "another structure has this InChIKey block"),
    *("no 13C or 1H spectrum", "nucleus or experiment not used", "kind of mass spectrum not used"),
    *("kind of spectrum not stated", "polarity contradictory", "spectrum of a derivative", "isotopically labelled"),
    *("predicted by HOSE codes", "predicted by ACD/Labs", "predicted by CSEARCH", "predicted by another program"),
    "calculated by quantum chemistry",
    *("no peaks", "peak not readable", "peak out of range", "negative intensity", "number of peaks disagrees"),
    *("no peak on the model's axis", "not drawn"),
    *("licence not stated", "licence not allowed"),
)


class Reject(Exception):
    """A record or a spectrum that is left out.

    Parameters
    ----------
    reason : one of `REASONS`
    """

    def __init__(self, reason: str):
        if reason not in REASONS:
            raise ValueError(f"{reason!r} is not among the reasons for leaving a spectrum out")
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Measurement:
    """A row of the table; the fields are those of `SCHEMA`. What a source does not say is None."""

    inchikey: str
    smiles: str
    modality: str
    x: Float[np.ndarray, " peak"]
    y: Float[np.ndarray, " peak"]
    source: str | None = None
    record: str | None = None
    licence: str | None = None
    solvent: str | None = None
    frequency_mhz: float | None = None
    temperature_k: float | None = None
    attached: list[int | None] | None = None
    adduct: str | None = None
    collision_energy: str | None = None
    instrument_type: str | None = None


FIELDS = tuple(field.name for field in fields(Measurement))


def checked_peaks(
    x: ArrayLike, y: ArrayLike, modality: str
) -> tuple[Float[np.ndarray, " peak"], Float[np.ndarray, " peak"]]:
    """Positions as float64 and values as float32.

    Raises
    ------
    Reject : none, not numbers, not finite, out of `RANGES`, negative or all zero.
    """
    try:
        x, y = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    except (TypeError, ValueError, OverflowError):
        raise Reject("peak not readable") from None
    if x.ndim != 1 or x.shape != y.shape or not np.isfinite(x).all() or not (abs(y) <= np.finfo(np.float32).max).all():
        raise Reject("peak not readable")
    if (y < 0).any():
        raise Reject("negative intensity")
    low, high = RANGES[modality]
    if ((x < low) | (x > high)).any():
        raise Reject("peak out of range")
    values = y.astype(np.float32)
    if not values.any():
        raise Reject("no peaks")
    return x, values


class TableWriter:
    """Writes rows in groups.

    >>> with TableWriter(Path("spectra.parquet")) as table:
    ...     table.add(measurement)
    """

    def __init__(self, path: Path):
        self._path = path
        self._rows: list[Measurement] = []

    def __enter__(self) -> TableWriter:
        self._writer = pq.ParquetWriter(self._path, SCHEMA, compression="zstd")
        return self

    def add(self, row: Measurement) -> None:
        """Add one spectrum."""
        self._rows.append(row)
        if len(self._rows) == ROWS:
            self._flush()

    def _flush(self) -> None:
        columns = {name: [getattr(row, name) for row in self._rows] for name in FIELDS}
        self._writer.write_table(pa.table(columns, schema=SCHEMA))
        self._rows = []

    def __exit__(self, kind: Any, *_: Any) -> None:
        if kind is None and self._rows:
            self._flush()
        self._writer.close()


def read_measurements(path: str | Path) -> Iterator[Measurement]:
    """The rows of a table, streamed.

    Raises
    ------
    DataError : it cannot be read, or lacks a column.
    """
    try:
        file = pq.ParquetFile(path)
    except (OSError, pa.ArrowInvalid) as error:
        raise DataError(f"{path}: cannot be read as parquet ({str(error).splitlines()[0]})") from error
    with file:
        if missing := [name for name in FIELDS if name not in file.schema_arrow.names]:
            raise DataError(f"{path}: columns {', '.join(missing)} are missing")
        for batch in file.iter_batches(ROWS, columns=list(FIELDS)):
            for row in batch.to_pylist():
                x, y = np.array(row.pop("x"), dtype=np.float64), np.array(row.pop("y"), dtype=np.float32)
                yield Measurement(x=x, y=y, **row)


class Rejects:
    """What was left out: file, record and reason of each."""

    def __init__(self):
        self.rows: list[tuple[str, str, str]] = []

    def __len__(self) -> int:
        return len(self.rows)

    def add(self, file: str, record: str, reason: str) -> None:
        """Add one; the reason is one of `REASONS`."""
        self.rows.append((file, record, Reject(reason).reason))

    def counts(self) -> dict[str, int]:
        """How many by reason, most first."""
        return dict(Counter(reason for *_, reason in self.rows).most_common())


def passed_on(
    parsed: Iterable[tuple[list[Measurement], list[tuple[str, str, str]], int]], rejects: Rejects
) -> Generator[Measurement, None, int]:
    """The rows of parsed pieces of a source; ``rejects`` takes what was left out. Returns the number of records."""
    found = 0
    for rows, left_out, records in parsed:
        found += records
        for reject in left_out:
            rejects.add(*reject)
        yield from rows
    return found

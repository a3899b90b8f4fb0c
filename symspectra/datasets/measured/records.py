"""The table of measured spectra, one row per spectrum; and what is left out, each with its reason."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from jaxtyping import Float
from numpy.typing import ArrayLike
from rdkit import Chem

from symspectra.errors import DataError
from symspectra.groups.molecules import flat_smiles, inchikey_block, parsed, too_large
from symspectra.parallel import chunked

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


class Rejected(NamedTuple):
    """A record or a spectrum that is left out, and why: a row of ``rejects.csv``."""

    file: str
    record: str
    reason: str


class Reject(Exception):
    """Why the record or spectrum that is being read is left out."""


def passed_on(
    pieces: Iterable[list[Measurement | Rejected]], unless: Sequence[str], otherwise: str
) -> Iterator[Measurement | Rejected]:
    """What the pieces of a source hold; `DataError`, ``otherwise``, where all of it was left out for ``unless``."""
    found = False
    for piece in pieces:
        found = found or any(isinstance(row, Measurement) or row.reason not in unless for row in piece)
        yield from piece
    if not found:
        raise DataError(otherwise)


@lru_cache(maxsize=1000)
def structure_of(text: str, reader: Callable[[str], Chem.Mol | None] = Chem.MolFromSmiles) -> tuple[str, str]:
    """InChIKey block, and canonical SMILES without stereochemistry, of what ``reader`` reads; or `Reject`."""
    molecule = parsed(text, reader)
    if molecule is None or molecule.GetNumHeavyAtoms() == 0:
        raise Reject("structure not readable")
    if too_large(molecule):
        raise Reject("structure too large")
    Chem.RemoveStereochemistry(molecule)
    smiles = flat_smiles(molecule)
    if "." in smiles:
        raise Reject("several components")
    flat = Chem.MolFromSmiles(smiles)
    if flat is None:
        raise Reject("structure not readable")
    key = inchikey_block(flat)
    if not key:
        raise Reject("no InChIKey")
    return key, flat_smiles(flat)


def checked_peaks(
    x: ArrayLike, y: ArrayLike, modality: str
) -> tuple[Float[np.ndarray, " peak"], Float[np.ndarray, " peak"]]:
    """Positions as float64 and values as float32; `Reject` where they are not finite or cannot be."""
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


def write_measurements(path: Path, rows: Iterable[Measurement]) -> None:
    """Write a table, streamed."""
    with pq.ParquetWriter(path, SCHEMA, compression="zstd") as writer:
        for some in chunked(rows, ROWS):
            columns = {name: [getattr(row, name) for row in some] for name in SCHEMA.names}
            writer.write_table(pa.table(columns, schema=SCHEMA))


def read_measurements(path: str | Path) -> Iterator[Measurement]:
    """The rows of a table that `write_measurements` wrote, streamed."""
    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches(ROWS):
            for row in batch.to_pylist():
                x, y = np.array(row.pop("x"), dtype=np.float64), np.array(row.pop("y"), dtype=np.float32)
                yield Measurement(x=x, y=y, **row)

"""The table of measured spectra, one row per spectrum; and what is left out, each with its reason."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, fields, replace
from functools import lru_cache, partial
from itertools import chain
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from jaxtyping import Float
from numpy.typing import ArrayLike
from rdkit import Chem, rdBase
from tqdm import tqdm

from symspectra.errors import DataError
from symspectra.groups.molecules import Reject, structure
from symspectra.modalities import KINDS, SPECTRA, Modality
from symspectra.parallel import Workers, chunked

MODALITIES = tuple(name for name in SPECTRA if name not in ("ei", "formula"))  # "ms" is electron ionisation
CHUNK = 200  # records that a process takes at a time

Peaks = tuple[Float[np.ndarray, " peak"], Float[np.ndarray, " peak"]]
Record = TypeVar("Record")


@dataclass(frozen=True, slots=True)
class Measurement:
    """A row of the table. What a source does not say is None."""

    inchikey: str  # first block
    smiles: str  # canonical, without stereochemistry
    modality: str
    x: Float[np.ndarray, " peak"]  # ppm, m/z or 1/cm
    y: Float[np.ndarray, " peak"]  # equivalent atoms, intensity, or strength of a band
    source: str | None = None  # file
    record: str | None = None
    licence: str | None = None
    attached: list[int | None] | None = None  # hydrogen atoms on each carbon
    couplings: list[str] | None = None  # of each 1H signal, "7.0*3 1.5*1": J in Hz times the number of partners
    broad: list[bool] | None = None  # each 1H signal
    adduct: str | None = None
    collision_energy: str | None = None


_LISTS = {"x": pa.list_(pa.float64()), "y": pa.list_(pa.float32()), "attached": pa.list_(pa.int8())}
_LISTS |= {"couplings": pa.list_(pa.string()), "broad": pa.list_(pa.bool_())}
SCHEMA = pa.schema([(field.name, _LISTS.get(field.name, pa.string())) for field in fields(Measurement)])


class Rejected(NamedTuple):
    """A record or a spectrum that is left out, and why: a row of ``rejects.csv``."""

    file: str
    record: str
    reason: str


#: What a record holds: the name of each spectrum, and how it is read, or the reason why it is not.
Spectra = Iterator[tuple[str, Callable[[], Measurement] | str]]


def read_all(
    path: Path,
    records: Iterable[Record],
    spectra: Callable[[Record], Spectra],
    workers: Workers | None,
    unless: tuple[str, ...],
    otherwise: str,
) -> Iterator[Measurement | Rejected]:
    """What the records of a source hold; `DataError`, ``otherwise``, where all of it was left out for ``unless``."""
    pieces = (workers or Workers()).in_order(partial(_read_some, path.name, spectra), chunked(records, CHUNK))
    found = False
    for row in chain.from_iterable(pieces):
        found = found or isinstance(row, Measurement) or row.reason not in unless
        yield row
    if not found:
        raise DataError(f"{path}: {otherwise}")


def _read_some(file: str, spectra: Callable[[Record], Spectra], records: list[Record]) -> list[Measurement | Rejected]:
    rows: list[Measurement | Rejected] = []
    with rdBase.BlockLogs():
        for name, read in chain.from_iterable(map(spectra, records)):
            try:
                if isinstance(read, str):
                    raise Reject(read)
                row = read()
                rows.append(replace(row, source=row.source or file, record=name))
            except Reject as reject:
                rows.append(Rejected(file, name, str(reject)))
    return rows


def members(path: Path, suffixes: tuple[str, ...], show: bool = False) -> Iterator[tuple[str, str]]:
    """Name and text of every file with one of the suffixes inside a folder or a .zip; of another file, its own.

    Text is UTF-8, else Latin-1. `DataError`: there is no such file, or the .zip is damaged.
    """
    bar = {"desc": path.name, "unit": "file", "disable": not show}
    if path.is_dir():
        for file in tqdm(sorted(p for p in path.rglob("*") if p.suffix.lower() in suffixes), **bar):
            yield file.relative_to(path).as_posix(), _decoded(file.read_bytes())
    elif not path.is_file():
        raise DataError(f"{path}: there is no such file")
    elif zipfile.is_zipfile(path):
        try:
            with zipfile.ZipFile(path) as archive:
                for name in tqdm([name for name in archive.namelist() if name.lower().endswith(suffixes)], **bar):
                    yield name, _decoded(archive.read(name))
        except (OSError, EOFError, RuntimeError, ValueError, ArithmeticError, zlib.error, zipfile.BadZipFile) as error:
            words = next(iter(str(error).splitlines()), "") or type(error).__name__
            raise DataError(f"{path}: cannot be unpacked ({words[:100]})") from error
    else:
        yield path.name, _decoded(path.read_bytes())


def _decoded(data: bytes) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode("latin-1")


@lru_cache(maxsize=1000)
def structure_of(text: str, reader: Callable[[str], Chem.Mol | None] = Chem.MolFromSmiles) -> tuple[str, str]:
    """InChIKey block and canonical SMILES of one molecule (`symspectra.groups.molecules.structure`); or `Reject`."""
    _, key, smiles = structure(text, reader)
    if "." in smiles:
        raise Reject("several components")
    return key, smiles


def kind_of(modality: str) -> Modality:
    """The kind of spectrum of a modality of the table, in which ``"ms"`` is electron ionisation."""
    return KINDS["ei" if modality == "ms" else modality]


def checked_peaks(x: ArrayLike, y: ArrayLike, modality: str) -> Peaks:
    """Positions as float64 and values as float32; `Reject` where they are not finite or cannot be."""
    try:
        x, y = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    except (TypeError, ValueError, OverflowError):
        raise Reject("peak not readable") from None
    if x.ndim != 1 or x.shape != y.shape or not np.isfinite(x).all() or not (abs(y) <= np.finfo(np.float32).max).all():
        raise Reject("peak not readable")
    if (y < 0).any():
        raise Reject("negative intensity")
    low, high = kind_of(modality).limits
    if ((x < low) | (x > high)).any():
        raise Reject("peak out of range")
    values = y.astype(np.float32)
    if not values.any():
        raise Reject("no peaks")
    return x, values


def write_measurements(path: Path, spectra: Sequence[Measurement]) -> None:
    """Write the table of `SCHEMA`; `symspectra.datasets.measured.peaks` reads it again."""
    columns = {name: [getattr(spectrum, name) for spectrum in spectra] for name in SCHEMA.names}
    pq.write_table(pa.table(columns, schema=SCHEMA), path, compression="zstd")

"""Files of quantum records: format, resumable parallel generation."""

from __future__ import annotations

import csv
import ctypes
import ctypes.util
import multiprocessing
import os
import signal
import sys
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from tqdm import tqdm

from symspectra.files import written
from symspectra.parallel import end_with_parent
from symspectra.simulation.quantum import QuantumRecord, SimulationError, simulate

DECIMALS = {"energy_hartree": 8, "freq_cm1": 2, "inten_km_mol": 3, "xyz_angstrom": 4}
DECIMALS |= {"charge_e": 4, "wiberg_order": 4, "dipole_au": 5}
SCHEMA = pa.schema(
    [("smiles", pa.string()), ("energy_hartree", pa.float64()), ("gradient_max", pa.float32())]
    + [(name, pa.list_(pa.float32())) for name in ("freq_cm1", "inten_km_mol")]
    + [("z", pa.list_(pa.uint8())), ("xyz_angstrom", pa.list_(pa.float32())), ("charge_e", pa.list_(pa.float32()))]
    + [(name, pa.list_(pa.uint8())) for name in ("bond_begin", "bond_end")]
    + [(name, pa.list_(pa.float32())) for name in ("wiberg_order", "dipole_au")]
)


def write_records(path: str | Path, records: Iterable[QuantumRecord]) -> None:
    """Write records to one zstd parquet file with the columns of `SCHEMA`, floats rounded, coordinates flattened."""
    rows = [vars(record) for record in records]
    columns = {}
    for name in SCHEMA.names:
        values = [np.ravel(row[name]) if isinstance(row[name], np.ndarray) else row[name] for row in rows]
        columns[name] = [np.round(value, DECIMALS[name]) for value in values] if name in DECIMALS else values
    with written(path) as temporary:
        pq.write_table(pa.table(columns, schema=SCHEMA), temporary, compression="zstd")


def read_records(path: str | Path) -> list[QuantumRecord]:
    """Read the records of one parquet file.

    Raises
    ------
    ValueError
        The file lacks columns of a record.
    """
    table = pq.read_table(path)
    if missing := [name for name in SCHEMA.names if name not in table.column_names]:
        raise ValueError(f"{path}: columns {missing} missing, expected those of a quantum record")
    records = []
    for row in table.select(SCHEMA.names).to_pylist():
        arrays = {name: np.array(value) if isinstance(value, list) else value for name, value in row.items()}
        arrays["xyz_angstrom"] = arrays["xyz_angstrom"].reshape(-1, 3)
        records.append(QuantumRecord(**arrays))
    return records


def _start_worker() -> None:
    """Be nice, end with the parent, and use the system's OpenBLAS (Linux): 1.4 times as fast as the BLAS of tblite."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent stops its workers
    end_with_parent()
    if hasattr(os, "nice"):
        os.nice(10)
    name = ctypes.util.find_library("openblas") if sys.platform == "linux" else None
    if name is not None:
        library = ctypes.CDLL(name)
        library.openblas_get_config.restype = ctypes.c_char_p
        if b"USE64BITINT" not in library.openblas_get_config():  # tblite, not loaded yet, passes 32-bit integers
            ctypes.CDLL(name, mode=ctypes.RTLD_GLOBAL)


@contextmanager
def _single_threaded_workers(workers: int):
    """Pool of spawned processes with one thread each, stopped at once when the block is left by an exception."""
    before, saved = set(multiprocessing.active_children()), os.environ.get("OMP_NUM_THREADS")
    os.environ["OMP_NUM_THREADS"] = "1"  # read by the workers when they load their libraries
    pool = ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), initializer=_start_worker)
    try:
        yield pool
    except BaseException:
        for child in set(multiprocessing.active_children()) - before:
            child.terminate()
        raise
    finally:
        pool.shutdown(cancel_futures=True)
        os.environ.pop("OMP_NUM_THREADS") if saved is None else os.environ.update(OMP_NUM_THREADS=saved)


def _shard_files(directory: Path, index: int) -> tuple[Path, Path]:
    return directory / f"part-{index:05d}.parquet", directory / f"failed-{index:05d}.csv"


def _write_shard(directory: Path, index: int, molecules: list[str], accuracy: float) -> int:
    part, failed = _shard_files(directory, index)
    records, failures = [], []
    for smiles in molecules:
        try:
            records.append(simulate(smiles, accuracy))
        except SimulationError as error:
            failures.append((smiles, str(error)))
    with written(failed) as temporary, open(temporary, "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("smiles", "reason"), *failures])
    write_records(part, records)  # last: its presence means the shard is done
    return len(molecules)


def _shard_done(directory: Path, index: int, molecules: list[str]) -> bool:
    part, failed = _shard_files(directory, index)
    if not (part.exists() and failed.exists()):
        return False
    with open(failed, newline="", encoding="utf-8") as file:
        found = {row["smiles"] for row in csv.DictReader(file)}
    found |= set(pq.read_table(part, columns=["smiles"])["smiles"].to_pylist())
    if not found <= set(molecules):
        raise ValueError(f"{part}: holds other molecules, expected the same list and shard_size as in the first call")
    return found == set(molecules)  # a last shard that has grown is computed again


def build_records(
    smiles_list: list[str],
    directory: str | Path,
    workers: int = 1,
    shard_size: int = 25,
    progress: bool = True,
    accuracy: float = 1.0,
) -> None:
    """Simulate a list of molecules into `part-XXXXX.parquet` and `failed-XXXXX.csv`, one pair per `shard_size`.

    Shards already there are skipped, so a call continues where an earlier one was interrupted; an interruption costs
    at most the shard each worker is at. Scripts call this under `if __name__ == "__main__"`.

    Raises
    ------
    ValueError
        `workers` or `shard_size` is below 1, or a shard in `directory` holds other molecules.
    """
    if workers < 1 or shard_size < 1:
        raise ValueError(f"workers = {workers}, shard_size = {shard_size}: expected at least 1")
    directory = Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    shards = [smiles_list[start : start + shard_size] for start in range(0, len(smiles_list), shard_size)]
    waiting = [(index, shard) for index, shard in enumerate(shards) if not _shard_done(directory, index, shard)]
    done = len(smiles_list) - sum(len(shard) for _, shard in waiting)
    with (
        tqdm(total=len(smiles_list), initial=done, unit=" molecules", disable=not progress) as bar,
        _single_threaded_workers(workers) as pool,
    ):
        tasks = [pool.submit(_write_shard, directory, index, shard, accuracy) for index, shard in waiting]
        for task in as_completed(tasks):
            bar.update(task.result())

"""Files of quantum records: format, resumable parallel generation, comparison with references and with `xtb`."""

from __future__ import annotations

import csv
import ctypes
import ctypes.util
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import asdict, fields
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from rdkit import Chem
from tqdm import tqdm

from symspectra.simulation.quantum import QuantumRecord, SimulationError, force_field_geometry, relax, simulate

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
    rows = [asdict(record) for record in records]
    columns = {}
    for name in SCHEMA.names:
        values = [np.ravel(row[name]) if isinstance(row[name], np.ndarray) else row[name] for row in rows]
        columns[name] = [np.round(value, DECIMALS[name]) for value in values] if name in DECIMALS else values
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    pq.write_table(pa.table(columns, schema=SCHEMA), temporary, compression="zstd")
    os.replace(temporary, path)


def read_records(path: str | Path) -> list[QuantumRecord]:
    """Read the records of one parquet file.

    Raises
    ------
    ValueError
        The file lacks columns of a record.
    """
    table = pq.read_table(path)
    if missing := [field.name for field in fields(QuantumRecord) if field.name not in table.column_names]:
        raise ValueError(f"{path}: columns {missing} missing, expected those of a quantum record")
    records = []
    for row in table.select(SCHEMA.names).to_pylist():
        arrays = {name: np.array(value) if isinstance(value, list) else value for name, value in row.items()}
        arrays["xyz_angstrom"] = arrays["xyz_angstrom"].reshape(-1, 3)
        records.append(QuantumRecord(**arrays))
    return records


def bands_agree(record: QuantumRecord, reference: QuantumRecord) -> bool:
    """Every band of the reference above 10 km/mol, in order, within 3 cm-1 and 10 % intensity."""
    if len(record.freq_cm1) != len(reference.freq_cm1):
        return False
    strong = reference.inten_km_mol > 10.0
    shift = np.abs(record.freq_cm1 - reference.freq_cm1)[strong]
    change = np.abs(record.inten_km_mol / reference.inten_km_mol.clip(1e-9) - 1.0)[strong]
    return bool((shift <= 3.0).all() and (change <= 0.1).all())


def _prefer_openblas() -> None:
    """Let tblite, not loaded yet, resolve BLAS and LAPACK to the system's OpenBLAS where there is one (Linux).

    With the reference BLAS in the wheels of tblite a point of about 20 heavy atoms takes 1.4 times as long.
    """
    name = ctypes.util.find_library("openblas") if sys.platform == "linux" else None
    if name is None:
        return
    library = ctypes.CDLL(name)
    library.openblas_get_config.restype = ctypes.c_char_p
    if b"USE64BITINT" not in library.openblas_get_config():  # tblite passes 32-bit integers
        ctypes.CDLL(name, mode=ctypes.RTLD_GLOBAL)


def _start_worker() -> None:
    _prefer_openblas()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent stops its workers
    if hasattr(os, "nice"):
        os.nice(10)
    # a worker whose parent was killed ends with it
    parent = multiprocessing.parent_process()
    threading.Thread(target=lambda: (parent.join(), os._exit(1)), daemon=True).start()


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


def _write_shard(directory: Path, index: int, molecules: list[str], accuracy: float) -> int:
    records, failures = [], []
    for smiles in molecules:
        try:
            records.append(simulate(smiles, accuracy))
        except SimulationError as error:
            failures.append((smiles, str(error)))
    temporary = directory / f".failed-{index:05d}.csv.{os.getpid()}.tmp"
    with open(temporary, "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("smiles", "reason"), *failures])
    os.replace(temporary, directory / f"failed-{index:05d}.csv")
    write_records(directory / f"part-{index:05d}.parquet", records)  # last: its presence means the shard is done
    return len(molecules)


def _shard_done(directory: Path, index: int, molecules: list[str]) -> bool:
    part, failed = directory / f"part-{index:05d}.parquet", directory / f"failed-{index:05d}.csv"
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

    Shards already there are skipped, so a call continues where an earlier one was interrupted (Ctrl-C or SIGTERM);
    an interruption costs at most the shard each worker is at. Scripts call this under `if __name__ == "__main__"`.

    Raises
    ------
    ValueError
        `workers` or `shard_size` is below 1, or a shard in `directory` holds other molecules.
    KeyboardInterrupt
        Stopped by SIGINT or SIGTERM; what is finished stays.
    """
    if workers < 1 or shard_size < 1:
        raise ValueError(f"workers = {workers}, shard_size = {shard_size}: expected at least 1")
    directory = Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    for stale in directory.glob(".*.tmp"):
        stale.unlink()
    shards = [smiles_list[start : start + shard_size] for start in range(0, len(smiles_list), shard_size)]
    waiting = [(index, shard) for index, shard in enumerate(shards) if not _shard_done(directory, index, shard)]
    done = len(smiles_list) - sum(len(shard) for _, shard in waiting)
    main = threading.current_thread() is threading.main_thread()
    before = signal.signal(signal.SIGTERM, signal.default_int_handler) if main else None
    try:
        with (
            tqdm(total=len(smiles_list), initial=done, unit=" molecules", disable=not progress) as bar,
            _single_threaded_workers(workers) as pool,
        ):
            tasks = [pool.submit(_write_shard, directory, index, shard, accuracy) for index, shard in waiting]
            for task in as_completed(tasks):
                bar.update(task.result())
    finally:
        if main:
            signal.signal(signal.SIGTERM, before)


def _race(smiles_list: list[str], accuracy: float) -> dict:
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    seconds = dict.fromkeys(("symspectra_seconds", "symspectra_cpu_seconds", "xtb_seconds", "xtb_cpu_seconds"), 0.0)
    for smiles in smiles_list:
        start, cpu = time.perf_counter(), time.process_time()
        molecule = force_field_geometry(smiles)
        geometry = Chem.MolToXYZBlock(molecule)
        relax(smiles, molecule, accuracy)
        seconds["symspectra_seconds"] += time.perf_counter() - start
        seconds["symspectra_cpu_seconds"] += time.process_time() - cpu
        with tempfile.TemporaryDirectory() as folder:
            Path(folder, "mol.xyz").write_text(geometry)
            command = ["xtb", "mol.xyz", "--ohess", "--gfn", "2"]
            start, before = time.perf_counter(), os.times()
            run = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
            after = os.times()
            seconds["xtb_seconds"] += time.perf_counter() - start
            seconds["xtb_cpu_seconds"] += sum(after[2:4]) - sum(before[2:4])  # user and system of the children
        if run.returncode != 0:
            raise RuntimeError(f"{smiles}: the program xtb ended with status {run.returncode}")
    return seconds


def compare_with_xtb_program(smiles: list[str], accuracy: float = 1.0) -> dict:
    """Seconds of `simulate` and of `xtb --ohess` from the same force-field geometries, one core, and their ratios.

    Returns
    -------
    dict
        `molecules`; `symspectra_seconds` (embedding included) and `xtb_seconds` by the clock and their `ratio`
        (xtb / symspectra); the same in processor time, which other programs disturb less:
        `symspectra_cpu_seconds`, `xtb_cpu_seconds`, `cpu_ratio`.

    Raises
    ------
    FileNotFoundError
        The program xtb is not on PATH.
    """
    if shutil.which("xtb") is None:
        raise FileNotFoundError("the program xtb is not on PATH (Debian: apt install xtb)")
    with _single_threaded_workers(1) as pool:
        pool.submit(simulate, "CCO").result()  # loads the libraries
        result = pool.submit(_race, smiles, accuracy).result()
    ratio = result["xtb_seconds"] / result["symspectra_seconds"]
    cpu_ratio = result["xtb_cpu_seconds"] / result["symspectra_cpu_seconds"]
    return {"molecules": len(smiles), **result, "ratio": ratio, "cpu_ratio": cpu_ratio}

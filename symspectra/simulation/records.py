"""Files of quantum records: format, resumable parallel generation."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from tqdm import tqdm

from symspectra.files import written
from symspectra.parallel import Workers, chunked
from symspectra.simulation.quantum import QuantumRecord, SimulationError, simulate

DECIMALS = {"energy_hartree": 8, "freq_cm1": 2, "inten_km_mol": 3, "xyz_angstrom": 4, "wiberg_order": 4}
SCHEMA = pa.schema(
    [("smiles", pa.string()), ("energy_hartree", pa.float64()), ("z", pa.list_(pa.uint8()))]
    + [(name, pa.list_(pa.float32())) for name in ("freq_cm1", "inten_km_mol", "xyz_angstrom")]
    + [(name, pa.list_(pa.uint8())) for name in ("bond_begin", "bond_end")]
    + [("wiberg_order", pa.list_(pa.float32()))]
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
    """Read the records of one parquet file; a ValueError names the columns of a record that it lacks."""
    table = pq.read_table(path)
    if missing := [name for name in SCHEMA.names if name not in table.column_names]:
        raise ValueError(f"{path}: columns {missing} missing, expected those of a quantum record")
    records = []
    for row in table.select(SCHEMA.names).to_pylist():
        arrays = {name: np.array(value) if isinstance(value, list) else value for name, value in row.items()}
        arrays["xyz_angstrom"] = arrays["xyz_angstrom"].reshape(-1, 3)
        records.append(QuantumRecord(**arrays))
    return records


def _write_shard(shard: tuple[Path, list[str]]) -> int:
    part, molecules = shard
    records, failures = [], []
    for smiles in molecules:
        try:
            records.append(simulate(smiles))
        except SimulationError as error:
            failures.append((smiles, str(error)))
    failed = part.with_name(part.name.replace("part-", "failed-")).with_suffix(".csv")
    with written(failed) as temporary, open(temporary, "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("smiles", "reason"), *failures])
    write_records(part, records)  # last: its presence means the shard is done
    return len(molecules)


def build_records(smiles_list: list[str], directory: str | Path, workers: int = 1, shard_size: int = 25) -> None:
    """Simulate a list of molecules into `part-XXXXX.parquet` and `failed-XXXXX.csv`, one pair per `shard_size`.

    Shards already there are skipped: the same call goes on where an earlier one was interrupted, which costs at most
    the shard that each worker is at. Another list or `shard_size` needs another folder. Scripts call this under
    `if __name__ == "__main__"`.
    """
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # one thread per worker; read when tblite is loaded
    shards = [
        (Path(directory) / f"part-{index:05d}.parquet", molecules)
        for index, molecules in enumerate(chunked(smiles_list, shard_size))
    ]
    waiting = [(part, molecules) for part, molecules in shards if not part.exists()]
    done = len(smiles_list) - sum(len(molecules) for _, molecules in waiting)
    with Workers(workers) as pool, tqdm(total=len(smiles_list), initial=done, unit=" molecules") as bar:
        for number in pool.in_order(_write_shard, waiting):
            bar.update(number)

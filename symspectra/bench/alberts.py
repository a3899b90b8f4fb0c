"""Speed and memory of the preparation, beside a plain loop with pandas."""

from __future__ import annotations

import multiprocessing
import os
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from symspectra.bench.alberts_plain import plain
from symspectra.datasets.alberts.columns import CURVES, ENERGIES, POLARITIES
from symspectra.datasets.alberts.prepare import prepare
from symspectra.datasets.base import OPEN_DIRECTORY
from symspectra.spectra.lines import read_rows
from symspectra.spectra.preprocessing import AXES

FILE_ROWS = 3240  # of a file of the published set
PLAIN_ROWS = 500
COLUMNS = ["smiles", *CURVES.values(), *(f"msms_cfmid_{p}_{e}ev" for p in POLARITIES.values() for e in ENERGIES)]


def preparation(source: Path | None = None, rows: int = 20_000, workers: tuple[int, ...] = (1, 2)) -> dict[str, float]:
    """Rows a second and peak memory of `prepare` by number of processes, and rows a second of the plain loop.

    Parameters
    ----------
    source : a parquet file of the published set, whose rows are repeated; None: random spectra
    rows : how many
    workers : numbers of processes
    """
    table = random_rows(min(rows, 500)) if source is None else pq.read_table(source, columns=COLUMNS)
    print(f"preparation, {rows} rows of {source.name if source else 'random spectra'}")
    rates = {}
    with tempfile.TemporaryDirectory() as folder:
        write_repeated(table, Path(folder) / "source", rows)
        # A file of its own: it reads all rows of a file before the first one.
        rates["plain"] = _plain_rate(write_repeated(table, Path(folder) / "plain", PLAIN_ROWS)[0])
        print(f"  plain loop with pandas {rates['plain']:7.0f} rows/s of a core")
        for number in workers:
            wall, processor, peak = _measured(Path(folder), number)
            rates[f"{number} workers"], rates[f"{number} workers, MB"] = rows / processor, peak
            print(
                f"  prepare, {number} processes   {rows / processor:7.0f} rows/s of a core, "
                f"{rows / processor / rates['plain']:.1f} times as fast; in all {rows / wall:.0f} rows/s, "
                f"peak memory of all processes {peak:.0f} MB"
            )
    return rates


def write_repeated(table: pa.Table, folder: Path, rows: int, file_rows: int = FILE_ROWS) -> list[Path]:
    """Files of the rows of a table over and over."""
    folder.mkdir(parents=True)
    paths = []
    for first in range(0, rows, file_rows):
        wanted = np.arange(first, min(rows, first + file_rows)) % len(table)
        paths.append(folder / f"part-{len(paths):04d}.parquet")
        pq.write_table(table.replace_schema_metadata().take(pa.array(wanted)), paths[-1])
    return paths


def random_rows(n: int, seed: int = 0) -> pa.Table:
    """Rows of molecules of `open` with random spectra: 20 lines in each curve, 30 peaks in each mass spectrum."""
    rng = np.random.default_rng(seed)
    columns: dict[str, Any] = {"smiles": read_rows(OPEN_DIRECTORY, n)[0]["smiles"].to_pylist()}
    for modality, name in CURVES.items():
        y = np.zeros((n, len(AXES[modality])), dtype=np.float64 if modality == "c13" else np.float32)
        np.put_along_axis(y, rng.integers(0, y.shape[1], (n, 20)), rng.random((n, 20)), axis=1)
        columns[name] = pa.array(list(y))
    for name in COLUMNS[4:]:
        pairs = np.stack([rng.uniform(20, 500, (n, 10)), rng.uniform(1, 100, (n, 10))], axis=-1)
        columns[name] = pa.array(pairs.tolist(), pa.list_(pa.list_(pa.float64())))
    return pa.table(columns)


def _plain_rate(path: Path) -> float:
    for _ in plain(path, [], 20):
        pass
    start = time.process_time()
    count = sum(1 for _ in plain(path, [], PLAIN_ROWS))
    return count / (time.process_time() - start)


def _measured(folder: Path, workers: int) -> tuple[float, float, float]:
    """Wall-clock and processor seconds in a new process, and peak memory of it and its own in MB (only on Linux)."""
    context = multiprocessing.get_context("spawn")
    queue = context.SimpleQueue()
    process = context.Process(target=_timed, args=(folder / "source", folder / f"out-{workers}", workers, queue))
    process.start()
    peak = _PeakMemory(process.pid)
    process.join()
    if process.exitcode:
        raise RuntimeError("the preparation that was to be timed failed")
    return *queue.get(), peak.stop()


def _timed(source: Path, out: Path, workers: int, queue: Any) -> None:
    torch.set_num_threads(1)
    wall, processor = time.perf_counter(), sum(os.times()[:4])
    prepare(source, out, workers, unique=False)
    queue.put((time.perf_counter() - wall, sum(os.times()[:4]) - processor))


class _PeakMemory(threading.Thread):
    """Looks at the memory of a process and its descendants ten times a second; shared pages count once."""

    def __init__(self, pid: int):
        super().__init__(daemon=True)
        self._pid, self._peak, self._over = pid, float("nan"), threading.Event()
        self.start()

    def run(self) -> None:
        while not self._over.wait(0.1):
            total = sum(_proportional_set_kb(pid) for pid in _family(self._pid))
            if total:
                self._peak = np.fmax(self._peak, total / 1024)

    def stop(self) -> float:
        self._over.set()
        self.join()
        return float(self._peak)


def _family(pid: int) -> list[int]:
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return [pid]
    return [pid, *(member for child in children for member in _family(int(child)))]


def _proportional_set_kb(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("Pss:")), 0)

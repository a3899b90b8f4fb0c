"""Preparation of the set of Alberts et al., beside a plain loop with pandas (`plain_alberts.py`)."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from measuring import median_seconds, options, report
from plain_alberts import plain

from symspectra.datasets.alberts.columns import CURVES, ENERGIES, POLARITIES
from symspectra.datasets.alberts.prepare import prepare
from symspectra.datasets.base import OPEN_DIRECTORY
from symspectra.spectra.lines import read_rows
from symspectra.spectra.preprocessing import AXES


def random_rows(n: int) -> pa.Table:
    """Rows of molecules of `open` with random spectra: 20 lines in each curve, 10 peaks in each mass spectrum."""
    rng = np.random.default_rng(0)
    columns = {"smiles": read_rows(OPEN_DIRECTORY, n)[0]["smiles"].to_pylist()}
    for modality, name in CURVES.items():
        y = np.zeros((n, len(AXES[modality])), dtype=np.float64 if modality == "c13" else np.float32)
        np.put_along_axis(y, rng.integers(0, y.shape[1], (n, 20)), rng.random((n, 20)), axis=1)
        columns[name] = pa.array(list(y))
    for name in (f"msms_cfmid_{p}_{e}ev" for p in POLARITIES.values() for e in ENERGIES):
        pairs = np.stack([rng.uniform(20, 500, (n, 10)), rng.uniform(1, 100, (n, 10))], axis=-1)
        columns[name] = pa.array(pairs.tolist(), pa.list_(pa.list_(pa.float64())))
    return pa.table(columns)


def main() -> None:
    chosen = options(__doc__, rows=500, files=8, workers=2)
    with tempfile.TemporaryDirectory() as name:
        folder, number = Path(name), iter(range(100))
        (folder / "source").mkdir()
        table = random_rows(chosen.rows)
        for part in range(chosen.files):
            pq.write_table(table, folder / "source" / f"part-{part}.parquet")

        def rate(workers: int) -> float:
            source = folder / "source"
            out = lambda: folder / f"out-{next(number)}"  # noqa: E731
            return chosen.files * chosen.rows / median_seconds(lambda: prepare(source, out(), workers))

        seconds = median_seconds(lambda: list(plain(folder / "source" / "part-0.parquet", [])))
        rates = {"plain loop": chosen.rows / seconds, "1 process": rate(1)}
        rates[f"{chosen.workers} processes"] = rate(chosen.workers)
    report(rates, "rows/s", chosen.out)


if __name__ == "__main__":
    main()

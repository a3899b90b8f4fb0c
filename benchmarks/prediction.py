"""Groups from lists of 13C peaks: one molecule at a time, beside a table of them; and a cold start."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pandas as pd
import torch
from measuring import median_seconds, options, report

from symspectra.datasets.base import OPEN_DIRECTORY
from symspectra.predict.batch import predict_table
from symspectra.predict.predictor import predict, shipped
from symspectra.spectra.lines import read_rows


def main() -> None:
    chosen = options(__doc__, molecules=1000)
    torch.set_num_threads(1)
    peaks = [row for row in read_rows(OPEN_DIRECTORY, chosen.molecules)[0]["c13_ppm"].to_pylist() if row]
    texts = [", ".join(f"{ppm:.2f}" for ppm in row) for row in peaks]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "table.csv"
        pd.DataFrame({"name": range(len(texts)), "c13": texts}).to_csv(path, index=False)
        rates = {
            "one molecule at a time": 1 / median_seconds(lambda: predict({"c13": texts[0]})),
            "a table": len(texts) / median_seconds(lambda: predict_table(shipped(), path)),
        }
    command = [sys.executable, "-m", "symspectra", "predict", "--c13", texts[0]]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    start = median_seconds(lambda: subprocess.run(command, env=environment, check=True, capture_output=True))
    rates["from a cold start"] = 1 / start
    report(rates, "spectra/s", chosen.out)


if __name__ == "__main__":
    main()

"""What the scripts share: options, time, and the table that they print and write."""

from __future__ import annotations

import argparse
import csv
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1] / "tests"))  # for the plain implementations


def options(description: str, **defaults: object) -> argparse.Namespace:
    """``--out``, and one option per default."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--out", type=Path, help="CSV file with the columns case, metric, value")
    for name, default in defaults.items():
        parser.add_argument(f"--{name}", default=default, type=type(default))
    return parser.parse_args()


def median_seconds(function: Callable[[], object], repeats: int = 3) -> float:
    """Median wall-clock seconds of some calls, after one that is not counted."""
    function()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def report(rates: dict[str, float], unit: str, out: Path | None) -> None:
    """Print each rate, and its ratio to the first one, which is the plain way; write both."""
    first, rows = next(iter(rates.values())), []
    for case, rate in rates.items():
        print(f"{case:40s} {rate:12.1f} {unit} {rate / first:8.2f} x")
        rows += [(case, unit, rate), (case, "ratio", rate / first)]
    if out is not None:
        out.parent.mkdir(parents=True, exist_ok=True)
        with open(out, "w", newline="") as file:
            csv.writer(file).writerows([("case", "metric", "value"), *rows])

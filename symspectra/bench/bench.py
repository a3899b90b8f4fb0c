"""Speed and memory, printed as rates and ratios: `symspectra bench`."""

from __future__ import annotations

import csv
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch

from symspectra.bench.alberts import preparation
from symspectra.bench.bench_training import training
from symspectra.datasets.base import OPEN_DIRECTORY
from symspectra.errors import ConfigError, suggest
from symspectra.experiments.profiles import load_profile
from symspectra.modalities import MODALITIES
from symspectra.spectra.lines import LineTable

# Ten molecules of about ten heavy atoms, of different classes.
TEN_MOLECULES = [
    "CC(=O)Oc1ccccc1",
    "CCOC(=O)CC(C)=O",
    "COc1ccc(CN)cc1",
    "CC(C)CC(N)C(=O)O",
    "Clc1ccc(C#N)cc1",
    "CCCCCCC(C)=O",
    "CSc1ccccc1C",
    "O=C1CCCCCN1C",
    "CC(C)=CCCC=O",
    "CN(C)c1ccccc1",
]


def median_seconds(function: Callable[[], object], repeats: int = 5) -> float:
    """Median wall-clock seconds of some calls, after one that is not counted."""
    function()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def rendering() -> None:
    """Molecules a second from line lists to 600 points with nuisance noise, on one core."""
    from symspectra.spectra.lines import read_lines
    from symspectra.spectra.rendering import Nuisance, render

    lines = read_lines(OPEN_DIRECTORY)
    rows = torch.arange(min(len(lines), 4096))
    print(f"rendering, {len(rows)} molecules, one thread, 600 points, with nuisance noise")
    for modalities in (*((m,) for m in MODALITIES), MODALITIES):
        seconds = median_seconds(lambda m=modalities: [render(lines, c, m, Nuisance(), 1) for c in rows.split(512)], 3)
        name = "all five" if len(modalities) > 1 else modalities[0]
        print(f"  {name:10s} {len(rows) / seconds:10.0f} molecules/s")


def simulation() -> None:
    """Infrared spectra of ten molecules, beside the program `xtb` doing the same."""
    from symspectra.simulation.records import compare_with_xtb_program

    print("simulation, GFN2-xTB optimisation, frequencies and intensities of 10 molecules, one thread")
    try:
        result = compare_with_xtb_program(TEN_MOLECULES)
    except (ImportError, FileNotFoundError) as error:
        print(f"  not measured: {error}")
        return
    for name, kind in (("", "wall-clock"), ("cpu_", "processor")):
        ours, theirs = result[f"symspectra_{name}seconds"], result[f"xtb_{name}seconds"]
        ratio = result[f"{name}ratio"]
        print(f"  {kind} time: here {ours:.1f} s, xtb --ohess {theirs:.1f} s, {ratio:.1f} times as fast")


def prediction() -> None:
    """`symspectra predict`: from a cold start to the first answer, and spectra a second from a table of peak lists."""
    from symspectra.predict.batch import predict_table
    from symspectra.predict.predictor import predict, shipped

    print("prediction, one thread")
    command = [sys.executable, "-m", "symspectra", "predict", "--c13", "171.36, 60.49, 21.04, 14.19"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    seconds = median_seconds(lambda: subprocess.run(command, env=environment, check=True, capture_output=True), 3)
    print(f"  cold start to the first answer {seconds:.1f} s")
    with tempfile.TemporaryDirectory() as folder:
        for modalities in (("c13",), ("c13", "msms_pos", "msms_neg")):
            path, n = _table_of_peaks(Path(folder) / "table.csv", modalities)
            many = median_seconds(lambda p=path: predict_table(shipped(), p), 3)
            row = next(csv.DictReader(open(path)))
            one = median_seconds(lambda r=row, m=modalities: predict({name: r[name] for name in m}))
            table, alone = n / many, len(modalities) / one
            print(
                f"  {len(modalities)} lists of peaks a molecule: {table:6.0f} spectra/s in a table, "
                f"{alone:5.0f} one molecule at a time, {table / alone:.1f} times as fast"
            )


def _table_of_peaks(path: Path, modalities: tuple[str, ...]) -> tuple[Path, int]:
    """2,000 molecules as a table for `predict_table`, and how many spectra it holds."""
    from symspectra.spectra.lines import read_lines

    lines, n = read_lines(OPEN_DIRECTORY, 2000), 0
    with open(path, "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["name", *modalities])
        for row in range(len(lines)):
            cells = [_typed(lines, row, modality) for modality in modalities]
            n += sum(map(bool, cells))
            writer.writerow([row, *cells])
    return path, n


def _typed(lines: LineTable, row: int, modality: str) -> str:
    columns, _, _ = lines.spectra[modality].select(torch.tensor([row]))
    if modality == "c13":
        return ", ".join(f"{ppm:.2f}" for ppm in columns["ppm"].tolist())
    pairs = zip(columns["mz"].tolist(), columns["intensity"].tolist(), strict=True)
    return " ".join(f"{mz:.4f}:{intensity:.0f}" for mz, intensity in pairs)


PARTS = ("rendering", "simulation", "preparation", "prediction", "training")


def run_benchmarks(
    only: list[str] | None = None,
    profile: str = "demo",
    source: Path | None = None,
    device: str = "auto",
    steps: int | None = None,
    out: Path | None = None,
) -> None:
    """Run the named parts, or all.

    Parameters
    ----------
    source : a parquet file of Alberts et al. for the preparation; random spectra without
    device, steps, out : of `symspectra.bench.bench_training.training`

    Raises
    ------
    ConfigError : for an unknown part, with the nearest right name, or a source that is not there.
    """
    if source is not None and not source.is_file():
        raise ConfigError(f"{source}: no such file; expected a parquet file of Alberts et al.")
    for name in only or PARTS:
        if name not in PARTS:
            raise ConfigError(f"there is no benchmark {name!r}; {suggest(name, PARTS)}")
    if steps is not None and steps < 1:
        raise ConfigError(f"steps is {steps}; expected at least 1")
    load_profile(profile)
    parts = {"rendering": rendering, "simulation": simulation, "prediction": prediction}
    parts |= {"preparation": lambda: preparation(source), "training": lambda: training(profile, device, steps, out)}
    for name in only or PARTS:
        torch.set_num_threads(1)
        parts[name]()

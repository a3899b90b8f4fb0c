"""Speed and memory, printed as rates and ratios: `symspectra bench`."""

from __future__ import annotations

import resource
import statistics
import time
from collections.abc import Callable

import torch

from symspectra.config import MODALITIES, ConfigError, suggest
from symspectra.datasets import OPEN_DIRECTORY, load_dataset
from symspectra.experiments import BASELINES, THREE
from symspectra.profiles import load_profile

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
    from symspectra.lines import read_lines
    from symspectra.rendering import Nuisance, render

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


def training(profile_name: str) -> None:
    """Training samples a second, by model and number of spectra."""
    from symspectra.training import Trainer

    profile = load_profile(profile_name)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    print(f"training, profile {profile_name}, {device}, {torch.get_num_threads()} threads")
    rates: dict[tuple[str, int], float] = {}
    for model in ("symspectra", *BASELINES):
        for modalities in (("ir",), THREE, MODALITIES):
            config = profile.config(model, modalities=modalities)
            dataset = load_dataset(config).to(device)
            rows = dataset.rows("train")
            trainer = Trainer(config, dataset, device, len(rows))
            seconds = median_seconds(lambda t=trainer, r=rows: t.train_epoch(r), 3)
            rates[model, len(modalities)] = len(rows) / seconds
            parameters = sum(p.numel() for p in trainer.model.parameters())
            ratio = rates[model, len(modalities)] / rates["symspectra", len(modalities)]
            print(
                f"  {model:17s} {len(modalities)} spectra  {len(rows) / seconds:8.0f} samples/s, noise redrawn"
                f"  {ratio:5.2f} x SymSpectra  {parameters / 1e6:6.2f} M parameters"
            )
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"  peak memory {peak:.0f} MB" + _gpu_memory(device))


def _gpu_memory(device: torch.device) -> str:
    return f", on the GPU {torch.cuda.max_memory_allocated(device) / 2**20:.0f} MB" if device.type == "cuda" else ""


PARTS = ("rendering", "simulation", "training")


def run_benchmarks(only: list[str] | None = None, profile: str = "demo") -> None:
    """Run the named parts, or all.

    Raises
    ------
    ConfigError : for an unknown part, with the nearest right name.
    """
    for name in only or PARTS:
        if name not in PARTS:
            raise ConfigError(f"there is no benchmark {name!r}; {suggest(name, PARTS)}")
    load_profile(profile)
    threads = torch.get_num_threads()
    for name in only or PARTS:
        if name == "training":
            torch.set_num_threads(threads)
            training(profile)
        else:
            torch.set_num_threads(1)
            rendering() if name == "rendering" else simulation()

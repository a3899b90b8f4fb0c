"""How fast models are trained: by path, precision, seeds at once, model and number of spectra, beside a plain one.

Every measurement is made in a process of its own, so that its memory is its own and one that fails costs only itself.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import statistics
import time
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from symspectra.config import Config
from symspectra.datasets.base import DatasetView, SpectraDataset, load_dataset
from symspectra.exhibits.cost import PAPER_MOLECULES, paper_hours, printed_cost
from symspectra.experiments.plan import BASELINES, MODELS, THREE
from symspectra.experiments.profiles import load_profile
from symspectra.modalities import MODALITIES
from symspectra.parallel import cores, end_with_parent
from symspectra.training.machine import choose_device, peak_memory_mb

PLAIN, STACKED = "plain implementation", "seeds at once"
EPOCHS = 3  # measured, after one that is not
STEPS = {"cpu": 12, "cuda": 150}  # at most so many an epoch


@dataclass(frozen=True)
class Case:
    """What is measured: a model on some spectra, and how it is trained."""

    name: str
    model: str = "symspectra"
    modalities: tuple[str, ...] = THREE
    settings: dict[str, Any] = field(default_factory=dict)
    seeds: int = 1  # trained at once
    path: str = "default"  # PLAIN, layers, fast (on a GPU captured), STACKED, or what a run takes by default
    noise: bool = True  # drawn and rendered anew every epoch


def paths(device: str) -> list[Case]:
    """SymSpectra on three spectra by all paths."""
    gpu = device == "cuda"
    fast = "CUDA graph" if gpu else "products"
    single, half = ({"precision": precision, "compile": False} for precision in ("float32", "bf16"))
    cases = [
        Case(PLAIN, settings=single, path=PLAIN, noise=False),
        Case("layers", settings=single, path="layers"),
        Case("layers, noise not redrawn", settings=single, path="layers", noise=False),
        Case(fast, settings=single, path="fast"),
        Case(f"compiled{', CUDA graph' * gpu}", settings={**single, "compile": True}, path="fast"),
        Case("layers, bf16", settings=half, path="layers"),
        Case(f"{fast}, bf16", settings=half, path="fast"),
        Case(f"{fast}, bf16, noise not redrawn", settings=half, path="fast", noise=False),
        Case(f"compiled, bf16{', CUDA graph' * gpu}", settings={**half, "compile": True}, path="fast"),
    ]
    if gpu:
        larger = {**half, "compile": True, "batch": 256}
        cases.append(Case("compiled, bf16, CUDA graph, batch 256", settings=larger, path="fast"))
    together = half if gpu else single
    for n in (1, 2, 4, 8):
        name = f"{n} seed{'s' * (n > 1)} at once{', bf16' * gpu}"
        cases.append(Case(name, settings=together, seeds=n, path=STACKED))
    return cases


def models() -> list[Case]:
    """All models on one, three and five spectra, each by its default path; SymSpectra on one to five."""
    cases = [
        Case(named(model, len(chosen)), model, chosen) for model in BASELINES for chosen in (("ir",), THREE, MODALITIES)
    ]
    return [Case(named("symspectra", k), modalities=MODALITIES[:k]) for k in range(1, 6)] + cases


def named(model: str, spectra: int) -> str:
    """``SymSpectra, 3 spectra``."""
    return f"{MODELS[model]}, {spectra} spectr{'um' if spectra == 1 else 'a'}"


class Some(DatasetView):
    """The first so many training molecules, under a noise that is drawn anew or is that of one draw."""

    def __init__(self, base: SpectraDataset, n: int, noise: bool):
        super().__init__(base)
        self.train = base.rows("train")[:n]
        self._spectra = None if noise else base.spectra(self.train, draw=1)

    def rows(self, split: str) -> Tensor:
        """Rows of a split."""
        return self.train if split == "train" else self.base.rows(split)

    def spectra(self, rows: Tensor, draw: int = 0) -> tuple[Tensor, Tensor]:
        """Spectra and ``present``; without noise that is drawn anew, of training molecules only."""
        if self._spectra is None:
            return self.base.spectra(rows, draw)
        places = torch.searchsorted(self.train, rows)
        return tuple(part[places] for part in self._spectra)


def measure(case: Case, profile: str, device_name: str, threads: int, steps: int) -> dict[str, float]:
    """Samples a second of all seeds together, seconds of the first epoch, and peak memory in MB."""
    warnings.filterwarnings("ignore", category=FutureWarning, module="torch")  # the compiler's own
    torch.set_num_threads(threads)
    device = torch.device(device_name)
    config = load_profile(profile).config(case.model, modalities=case.modalities, **case.settings)
    whole = load_dataset(config).to(device)
    n = min(steps, max(1, len(whole.rows("train")) // config.batch)) * config.batch
    dataset = Some(whole, n, case.noise)
    rows = dataset.rows("train")
    epoch = _epoch(case, config, dataset, device)
    times = []
    for _ in range(1 + EPOCHS):
        start = time.perf_counter()
        epoch()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        times.append(time.perf_counter() - start)
    seconds = statistics.median(times[1:])
    gpu = torch.cuda.max_memory_allocated(device) / 2**20 if device.type == "cuda" else None
    return {
        "samples_per_second": case.seeds * len(rows) / seconds,
        "ms_per_step": 1000 * seconds * config.batch / len(rows),
        "first_epoch_seconds": times[0],
        "memory_mb": gpu if gpu is not None else peak_memory_mb(),
        "batch": config.batch,
        "epochs": config.epochs,
    }


def _epoch(case: Case, config: Config, dataset: Some, device: torch.device) -> Callable[[], object]:
    """A function that trains for one epoch."""
    from symspectra.training.trainer import Trainer
    from symspectra.training.fit import member_of, seeds_at_once

    rows = dataset.rows("train")
    if case.path == PLAIN:
        from symspectra.training import plain

        first = Trainer(config, dataset, device, len(rows), fast=False)
        model, loader = plain.plain_copy(first.model), plain.plain_loader(dataset, config)
        optimizer = plain.plain_optimizer(model, config)
        return lambda: plain.train_epoch_plain(model, optimizer, loader, device, 1)
    if case.path != STACKED:
        fast = {"layers": False, "fast": True, "default": None}[case.path]
        trainer = Trainer(config, dataset, device, len(rows), fast=fast)
        return lambda: trainer.train_epoch(rows)
    learner = seeds_at_once(config, device)
    seeds = [config.replace(seed=seed) for seed in range(case.seeds)]
    together = learner([member_of(learner, own, dataset, device) for own in seeds])
    return lambda: together.train_epoch(rows)


def measured(cases: list[Case], profile: str, device: str, threads: int, steps: int) -> Iterator[dict[str, Any]]:
    """Each case with what was measured, or with the reason why it could not be."""
    for case in cases:
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(1, context, initializer=end_with_parent) as pool:
            try:
                found = pool.submit(measure, case, profile, device, threads, steps).result()
            except Exception as error:  # no compiler, too little memory: the others are measured all the same
                found = {"error": (str(error) or type(error).__name__).splitlines()[0]}
        yield {**asdict(case), **found}


def training(profile: str, device: str = "auto", steps: int | None = None, out: Path | None = None) -> dict[str, Any]:
    """Measure and print everything.

    Parameters
    ----------
    steps : at most so many in an epoch, of which four are made; by default `STEPS`
    out : JSON file to write
    """
    from symspectra.training.runs import environment

    on = choose_device(device)
    threads, steps = cores(), steps or STEPS[on.type]
    torch.set_num_threads(threads)
    result: dict[str, Any] = {"profile": profile, "environment": environment(on), "steps": steps}
    print(f"training, profile {profile}, {result['environment']['device']}; SymSpectra on {len(THREE)} spectra")
    result["paths"], result["models"] = [], []
    for row in measured(paths(on.type), profile, str(on), threads, steps):
        result["paths"].append(row)
        print(line(row, result["paths"][0].get("samples_per_second"), "the plain implementation"), flush=True)
    print("  by model and number of spectra, beside Tables 10 and 11 of the paper")
    ours = {}
    for row in measured(models(), profile, str(on), threads, steps):
        result["models"].append(row)
        ours.setdefault(len(row["modalities"]), row.get("samples_per_second"))  # SymSpectra comes first
        print(line(row, ours[len(row["modalities"])], "SymSpectra") + beside_the_paper(row), flush=True)
    if out is not None:
        out.parent.mkdir(parents=True, exist_ok=True)
        temporary = out.with_name(out.name + ".tmp")
        temporary.write_text(json.dumps(result, indent=1) + "\n")
        os.replace(temporary, out)
        print(f"  {out}")
    return result


def line(row: dict[str, Any], rate: float | None, of: str) -> str:
    """A measurement as a line of text, beside the rate of something else."""
    if "error" in row:
        return f"  {row['name']:34s} not measured: {row['error']}"
    own = row["samples_per_second"]
    times = f"{own / rate:6.2f} times {of}" if rate else ""
    memory = "       " if row["memory_mb"] is None else f"{row['memory_mb']:7.0f}"
    return (
        f"  {row['name']:34s} {own:9.0f} samples/s {row['ms_per_step']:8.2f} ms a step of {row['batch']}"
        f" {memory} MB {times}"
    )


def beside_the_paper(row: dict[str, Any]) -> str:
    """Hours for the paper's training at this rate, and memory, with what the paper prints where it does."""
    if "error" in row:
        return ""
    hours = paper_hours(row["epochs"], row["samples_per_second"])
    text = f"; {row['epochs']} epochs of {PAPER_MOLECULES:,} molecules: {hours:.2f} h"
    printed = printed_cost(row["model"], row["modalities"])
    return text if printed is None else f"{text} (the paper: {printed[0]:g} h, {printed[1]:g} GB)"

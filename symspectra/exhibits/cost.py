"""What a run costs, in time and memory, and whether it was trained to its end (App. R)."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from functools import lru_cache

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from symspectra.config import Config
from symspectra.exhibits.claims import Cell, cell
from symspectra.exhibits.paper import paper_table
from symspectra.exhibits.scores import Score, score, summarise
from symspectra.models.base import SpectrumClassifier
from symspectra.models.registry import build_model, labels_of
from symspectra.training.store import Run, derived

GPU = "peak memory of the GPU"
MODEL = "memory of a training step"  # weights, gradients, Adam's moments, what a batch keeps for the backward pass
PROCESS = "peak memory of the process"


def seconds(runs: Sequence[Run]) -> Score:
    """Training time, without what is written and tested afterwards."""
    return summarise([run.metrics["seconds"] for run in runs])


def memory_kind(run: Run) -> str:
    """Which memory `memory_gb` speaks of: of the GPU, of the model on a CPU, or that of a process for trees."""
    if run.config.model.name == "xgboost":
        return PROCESS
    return MODEL if run.metrics.get("peak_gpu_memory_mb") is None else GPU


def memory_gb(runs: Sequence[Run]) -> Score:
    """Memory of the training in GB (`memory_kind`); a `Score` without numbers where it was not measured.

    That of a process holds Python, its libraries and the data too.
    """
    keys = {GPU: "peak_gpu_memory_mb", PROCESS: "peak_memory_mb"}
    known = [model_mb(r) if memory_kind(r) == MODEL else r.metrics.get(keys[memory_kind(r)]) for r in runs]
    return summarise([mb / 1024 for mb in known if mb is not None])


@lru_cache(maxsize=256)
def model_mb(run: Run) -> float:
    """Memory of a training step of the model alone, in MB (`MODEL`), for whole batches and without spectra missing."""
    return sum(_step_mb(build_model(run.config), run.config, run.config.training.batch))


def _batch(config: Config, molecules: int) -> tuple[Tensor, Tensor, Tensor]:
    """Spectra of noise, all present, of molecules without a group."""
    n, labels = len(config.data.modalities), len(labels_of(config))
    return torch.rand(molecules, n, 600), torch.ones(molecules, n).bool(), torch.zeros(molecules, labels)


def _step_mb(model: SpectrumClassifier, config: Config, molecules: int) -> tuple[float, float]:
    """MB of a training step: of the weights, and of what a batch of so many molecules keeps for the backward pass."""
    kept = {}

    def keep(tensor: Tensor) -> Tensor:
        kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        losses = model.train().loss(*_batch(config, molecules))
    weights = {p.untyped_storage().data_ptr(): p.nbytes for p in model.parameters()}
    assert losses.total.requires_grad  # what is kept lives as long as the loss does
    of_batch = sum(n for where, n in kept.items() if where not in weights)
    return 4 * sum(weights.values()) / 2**20, of_batch / 2**20


def published_step(run: Run, molecules: int = 4) -> tuple[float, float]:
    """What training takes at the published size of a run's model: seconds per molecule, and memory in GB.

    Seconds are those of the CPU in the forward and the backward pass, the faster of two; memory is that of a step
    (`MODEL`) with a published batch, from one with ``molecules``. Measured once for a run (`derived`).
    """
    return tuple(derived(run, f"published step of {molecules}", lambda run: np.array(_step(run, molecules))).tolist())


def _step(run: Run, molecules: int) -> tuple[float, float]:
    config = Config(run.config.model.name, modalities=run.config.data.modalities)
    built = build_model(config)
    of_weights, of_batch = _step_mb(built, config, molecules)
    batch, took = _batch(config, molecules), []
    for _ in range(2):
        start = time.process_time()
        built.loss(*batch).total.backward()
        took.append(time.process_time() - start)
    return min(took) / molecules, (of_weights + of_batch * config.training.batch / molecules) / 1024


def duration(took: Score) -> str:
    """Seconds as ``4.2 s``, ``12 min`` or ``2.7 h``."""
    s = took.mean
    return f"{s:.1f} s" if s < 90 else f"{s / 60:.0f} min" if s < 5400 else f"{s / 3600:.1f} h"


def late_gain(runs: Sequence[Run]) -> Score:
    """By how much the best validation micro-F1 rose in the last third of the epochs.

    A model for which it is large would have gained from more epochs. Runs of one epoch have none.
    """
    gains = []
    for run in runs:
        f1 = [epoch["validation_micro_f1"] for epoch in run.history]
        early = 2 * len(f1) // 3
        gains += [max(f1) - max(f1[:early])] if early else []
    return summarise(gains)


def costs_beside(exhibit: str, runs: Mapping[str, Sequence[Run]]) -> tuple[pd.DataFrame, list[Cell]]:
    """Memory, time and F1 of the rows of Table 10 or 11: the paper's and ours as a table of text, and as cells."""
    printed, lines, cells = paper_table(exhibit), {}, []
    for row, found in runs.items():
        gb, h, f1 = printed.loc[row, ["Memory (GB)", "Time (h)", "F1"]]
        memory, took = memory_gb(found), seconds(found)
        lines[row] = {
            "memory, paper (GB)": f"{gb:g}",
            "memory, here (GB)": "not measured" if memory.mean is None else f"{memory.mean:.3g}",
            "time, paper": f"{h:g} h",
            "time, here": duration(took),
            "F1, paper": f"{f1:.3f}",
            "F1, here": score(found),
        }
        cells.append(cell(exhibit, row, "F1", score(found)))
        cells.append(cell(exhibit, row, "Time (h)", summarise([s / 3600 for s in took.values])))
        if memory.mean is not None:
            cells.append(cell(exhibit, row, "Memory (GB)", memory, f"{memory_kind(found[0])} (GB)"))
    return pd.DataFrame(lines).T, cells

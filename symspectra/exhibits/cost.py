"""What a run costs, in time and memory, and whether it was trained to its end (App. R)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache

import pandas as pd
import torch
from torch import Tensor

from symspectra.exhibits.claims import Cell, cell, decided, untestable
from symspectra.exhibits.paper import paper_table
from symspectra.exhibits.scores import Score, score, summarise
from symspectra.exhibits.verdicts import Verdict
from symspectra.training.store import Run

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
    config, model = run.config, run.load().train()
    batch, n, kept = config.training.batch, len(config.data.modalities), {}

    def keep(tensor: Tensor) -> Tensor:
        kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        losses = model.loss(torch.rand(batch, n, 600), torch.ones(batch, n).bool(), torch.zeros(batch, len(run.labels)))
    weights = {p.untyped_storage().data_ptr(): p.nbytes for p in model.parameters()}
    assert losses.total.requires_grad  # what is kept lives as long as the loss does
    return (4 * sum(weights.values()) + sum(n for where, n in kept.items() if where not in weights)) / 2**20


def duration(time: Score) -> str:
    """Seconds as ``4.2 s``, ``12 min`` or ``2.7 h``."""
    s = time.mean
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
        memory, time = memory_gb(found), seconds(found)
        lines[row] = {
            "memory, paper (GB)": f"{gb:g}",
            "memory, here (GB)": "not measured" if memory.mean is None else f"{memory.mean:.3g}",
            "time, paper": f"{h:g} h",
            "time, here": duration(time),
            "F1, paper": f"{f1:.3f}",
            "F1, here": score(found),
        }
        cells.append(cell(exhibit, row, "F1", score(found)))
        cells.append(cell(exhibit, row, "Time (h)", summarise([s / 3600 for s in time.values])))
        if memory.mean is not None:
            cells.append(cell(exhibit, row, "Memory (GB)", memory, f"{memory_kind(found[0])} (GB)"))
    return pd.DataFrame(lines).T, cells


def cost_claim(
    source: str, text: str, holds: bool, why: str, rule: str, runs: Sequence[Run], reduced: Sequence[str] = ()
) -> Verdict:
    """A claim on time or memory, judged where all runs are of one device and no model has a ``reduced`` size.

    On small models and data, fixed costs and the drawing of spectra, which runs share, are a large part of both.
    """
    devices = sorted({run.environment["device"] for run in runs})
    if reduced:
        why += f" This profile trains {' and '.join(reduced)} at a reduced size, where the cost says little."
    if len(devices) > 1:
        why += f" The runs are not on one device: {'; '.join(devices)}."
    if reduced or len(devices) > 1:
        return untestable(source, text, why)
    return decided(source, text, holds, why, rule)

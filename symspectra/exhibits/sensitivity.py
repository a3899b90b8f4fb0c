"""How the weight of the bound acts: the score, the gates, and the size of the bound in the loss (Fig 11b)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from matplotlib.figure import Figure

from symspectra.exhibits.comparison import Score, summarise
from symspectra.exhibits.style import COLUMN, MODEL_COLOURS, styled
from symspectra.training.store import Run


class Compression(NamedTuple):
    """One weight of the bound, over seeds.

    micro_f1 : on the test set
    gate : mean of the sampled gates in the training epoch that was kept; 1 keeps everything, 0 replaces all by noise
    share : beta times the bound, as a share of the whole loss, in the same epoch
    """

    micro_f1: Score
    gate: Score
    share: Score


def compression_of(runs: Sequence[Run]) -> Compression:
    """What the bound does in the runs of one configuration, one a seed.

    Raises
    ------
    ValueError : a run without bottleneck.
    """
    kept = [run.history[run.metrics["best_epoch"]] for run in runs]
    for run, epoch in zip(runs, kept, strict=True):
        if "bound" not in epoch:
            raise ValueError(f"run {run.id} ({run.config.model.name}) has no bottleneck: its history holds no bound")
    share = [run.config.model.beta * epoch["bound"] / epoch["loss"] for run, epoch in zip(runs, kept, strict=True)]
    micro_f1 = summarise([run.metrics["test"]["micro_f1"] for run in runs])
    return Compression(micro_f1, summarise([epoch["gate"] for epoch in kept]), summarise(share))


@styled
def compression_chart(points: Mapping[float, Compression], ring: float | None = None) -> Figure:
    """Fig 11b: micro-F1 along beta; below it the mean gate, and the bound's share of the loss.

    ``ring`` marks one beta, such as the optimum that the paper names.

    Raises
    ------
    ValueError : a beta that is not positive.
    """
    if min(points) <= 0:
        raise ValueError(f"beta = {min(points):g} cannot be drawn on a logarithmic axis, expected positive numbers")
    figure = Figure(figsize=(COLUMN, 3.9), layout="constrained")
    axes = figure.subplots(3, 1, sharex=True, height_ratios=[1.5, 1, 1])
    betas = sorted(points)
    for ax, name, label in zip(axes, Compression._fields, ("micro-F1", "mean gate", "share of the loss"), strict=True):
        values = [getattr(points[beta], name) for beta in betas]
        sd = [value.sd or 0.0 for value in values]
        ax.errorbar(betas, [v.mean for v in values], sd, marker="o", color=MODEL_COLOURS["SymSpectra"], elinewidth=0.6)
        if ring in points:
            ax.axvline(ring, color="#D55E00", linewidth=0.8, linestyle=(0, (4, 3)), zorder=0)
        ax.set(ylabel=label, xscale="log")
        ax.yaxis.grid(True)
    axes[1].set_ylim(-0.05, 1.08)
    axes[2].set(xlabel="weight of the bound, β", yscale="log")
    figure.align_ylabels(axes)
    return figure

"""Pictures of what a model attends to: importance maps of molecules (Fig 7), weights of groups (Fig 9)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float
from matplotlib.figure import Figure

from symspectra.exhibits.comparison import Score
from symspectra.exhibits.drawing import MODALITY_LABELS, UNITS, model_axis
from symspectra.exhibits.style import COLUMN, MODEL_COLOURS, PAGE, styled
from symspectra.spectra.preprocessing import POINTS


@styled
def importance_maps(
    blocks: Mapping[str, Float[np.ndarray, "molecule modality L"]],
    groups: Sequence[int],
    modalities: Sequence[str],
    stride: int,
    hardest: int,
) -> Figure:
    """Fig 7: the gates of molecules, one a line, for each spectrum; one block a title, such as a value of beta.

    Parameters
    ----------
    blocks : title -> gates of the molecules, the ``hardest`` first and then the easiest
    groups : number of functional groups of each molecule
    stride : number of points of a token (`symspectra.models.symspectra.SymSpectra.gates`)
    """
    n = len(groups)
    lines = [*range(hardest), *range(hardest + 1, n + 1)]  # a gap between the hardest and the easiest
    figure = Figure(figsize=(PAGE, (0.125 * n + 0.65) * len(blocks) + 0.1), layout="constrained")
    grid = figure.subplots(len(blocks), len(modalities), squeeze=False)
    for axes, (title, gates) in zip(grid, blocks.items(), strict=True):
        for k, (ax, modality) in enumerate(zip(axes, modalities, strict=True)):
            image = np.full((n + 1, gates.shape[2]), np.nan)
            image[lines] = gates[:, k]
            x = model_axis(modality)
            edges = x[0] + (x[-1] - x[0]) / POINTS * stride * np.arange(gates.shape[2] + 1)
            drawn = ax.pcolormesh(edges, np.arange(n + 2), image, vmin=0, vmax=1, cmap="inferno", rasterized=True)
            ax.set(ylim=(n + 1, 0), yticks=[], xlim=(max(x[0], x[-1]), min(x[0], x[-1])))
            if modality.startswith("ms"):
                ax.invert_xaxis()
            ax.set_title(MODALITY_LABELS[modality], loc="center")
            ax.set_xlabel(UNITS[modality], labelpad=1)
        average = np.nanmean(gates, axis=(1, 2))
        words = [f"{number}   {mean:.3f}" for number, mean in zip(groups, average, strict=True)]
        axes[0].set_yticks(np.array(lines) + 0.5, words, fontsize=6)
        axes[0].tick_params(axis="y", length=0)
        axes[0].set_ylabel("groups, average importance", fontsize=6)
        axes[0].set_title(f"{title}\n", loc="left", fontweight="bold")
        for middle, name in ((hardest / 2, "hardest"), ((hardest + 1 + n + 1) / 2, "easiest")):
            place = {"transform": axes[-1].get_yaxis_transform(), "rotation": -90, "ha": "left", "va": "center"}
            axes[-1].text(1.02, middle, name, fontsize=6, **place)
    figure.colorbar(drawn, ax=list(grid[:, -1]), label="gate p: warmer is kept", fraction=0.06, pad=0.07, aspect=35)
    return figure


@styled
def weights_by_f1(f1: Mapping[str, Score], weights: Mapping[str, Score]) -> Figure:
    """Fig 9: groups from the lowest F1 to the highest, beside them the weight of each in the loss."""
    figure = Figure(figsize=(COLUMN, 0.115 * len(f1) + 0.6), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    y = np.arange(len(f1))
    left.barh(y, [score.mean for score in f1.values()], color="0.7", height=0.75)
    mean, sd = [weights[name].mean for name in f1], [weights[name].sd or 0.0 for name in f1]
    colour = MODEL_COLOURS["SymSpectra"]
    right.axvline(1, color="0.5", linewidth=0.6, linestyle=(0, (4, 3)))
    right.errorbar(mean, y, xerr=sd, fmt="o", color=colour, elinewidth=0.6, markersize=2.5)
    left.set(xlabel="test F1", xlim=(0, 1), ylim=(len(f1) - 0.4, -0.6))
    left.set_yticks(y, list(f1), fontsize=6)
    left.tick_params(axis="y", length=0)
    right.tick_params(axis="y", length=0)
    right.set(xlabel="mean weight in the loss")
    right.yaxis.grid(True)
    return figure

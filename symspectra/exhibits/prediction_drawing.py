"""Pictures of a prediction: what was done to its spectra, where the model looks, and how far to trust it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import seaborn as sns
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from rdkit import Chem

from symspectra.exhibits.drawing import draw_spectrum, model_axis, molecule_image, token_edges
from symspectra.exhibits.style import DASHED, PAGE, canvas, styled
from symspectra.groups.table8 import NAMES, SMARTS
from symspectra.modalities import KINDS
from symspectra.predict.calibration import Bin
from symspectra.predict.predictor import GroupPrediction, Prediction
from symspectra.spectra.conversion import Prepared
from symspectra.spectra.preprocessing import POINTS
from symspectra.spectra.spectrum import Spectrum

MOST_STRUCTURES, COLUMNS = 6, 3
X_LABELS = {"1/cm": "cm$^{-1}$", "um": "µm", "nm": "nm", "ppm": "ppm", "Hz": "Hz", "m/z": "m/z"}
Y_LABELS = {"percent transmittance": "transmittance, %", "absorption coefficient": "absorption\ncoefficient"}
DESCENDING = ("1/cm", "ppm", "Hz")
PATTERNS = dict(zip(NAMES, SMARTS, strict=True))
BEFORE, AFTER = "#999999", "#0072B2"


@styled
def steps_figure(pairs: Mapping[str, tuple[Spectrum, Prepared]]) -> Figure:
    """Each spectrum as its file gives it, and the 600 points that the model reads.

    Parameters
    ----------
    pairs : modality -> the spectrum as it was read, and as it was prepared
    """
    figure, grid = canvas((PAGE, 1.2 * len(pairs) + 0.25), len(pairs), 2, squeeze=False)
    for (raw, prepared), (left, right) in zip(pairs.values(), grid, strict=True):
        _draw_raw(left, raw, prepared.modality)
        _draw_vector(right, prepared)
        for ax, words in ((left, "as given"), (right, f"the {POINTS} points that the model reads")):
            kind = KINDS[prepared.modality]
            ax.set_title(f"{kind.figure_label}, {words}", color=kind.colour, fontweight="bold", pad=2)
    return figure


def _draw_vector(ax: Axes, prepared: Prepared) -> None:
    vector = prepared.vector / max(float(prepared.vector.max()), 1e-9)
    draw_spectrum(ax, prepared.modality, model_axis(prepared.modality), vector)


def _draw_raw(ax: Axes, spectrum: Spectrum, modality: str) -> None:
    """In the units of the file, the axis in the direction that chemists expect."""
    x, y, colour = spectrum.x, spectrum.y, KINDS[modality].colour
    if spectrum.peaks:
        ax.vlines(x, 0, y, color=colour, linewidth=0.9)
        margin = 0.05 * max(float(np.ptp(x)), 1.0)
        low, high = x.min() - margin, x.max() + margin
        ax.set_ylim(0, 1.08 * max(float(y.max()), 1e-9))
    else:
        order = np.argsort(x)
        ax.plot(x[order], y[order], color=colour, linewidth=0.7)
        low, high = x.min(), x.max()
    ax.set_xlim((high, low) if spectrum.x_unit in DESCENDING else (low, high))
    ax.set_xlabel(X_LABELS[spectrum.x_unit], labelpad=1)
    ax.set_ylabel(Y_LABELS.get(spectrum.y_unit, spectrum.y_unit))


@styled
def evidence_figure(
    prediction: Prediction,
    gates: Mapping[str, Float[np.ndarray, " L"]],
    stride: int,
    structure: str | None = None,
) -> Figure:
    """The gate p of every token behind its piece of the spectrum, darker where it is closed; groups in the structure.

    Parameters
    ----------
    gates : of each spectrum (`symspectra.predict.predictor.Predictor.gates`)
    stride : number of points of a token (`symspectra.models.symspectra.SymSpectra.gates`)
    structure : SMILES, if known: drawn once for each predicted group that it holds, at most six, its atoms coloured
    """
    shown = _in_structure(prediction, structure)
    heights = [1.15 * -(-len(shown) // COLUMNS), 1.2 * len(gates) + 0.2]
    figure = Figure(figsize=(PAGE, sum(heights)), layout="constrained")
    below = figure
    if shown:
        above, below = figure.subfigures(2, 1, height_ratios=heights)
        _draw_structures(above.subplots(-(-len(shown) // COLUMNS), COLUMNS, squeeze=False).ravel(), structure, shown)
    axes = below.subplots(len(gates), 1, squeeze=False)[:, 0]
    for ax, (modality, gate) in zip(axes, gates.items(), strict=True):
        _draw_vector(ax, prediction.spectra[modality])
        edges, limits = token_edges(modality, stride, len(gate)), ax.get_xlim()
        shade = {"vmin": 0, "vmax": 1, "cmap": "Greys_r", "alpha": 0.5, "zorder": -1, "rasterized": True}
        image = ax.pcolormesh(edges, [0, 1.08], gate[None], **shade)
        ax.set(xlim=limits, ylim=(0, 1.08))
    below.colorbar(image, ax=list(axes), label="gate p", fraction=0.03, pad=0.01, ticks=[0, 0.5, 1])
    return figure


def _in_structure(prediction: Prediction, structure: str | None) -> list[GroupPrediction]:
    """Predicted groups that the structure holds, most probable first."""
    molecule = Chem.MolFromSmiles(structure) if structure else None
    if molecule is None:
        return []
    held = {name for name, smarts in PATTERNS.items() if molecule.HasSubstructMatch(Chem.MolFromSmarts(smarts))}
    return [g for g in prediction.ranked() if g.predicted and g.name in held][:MOST_STRUCTURES]


def _draw_structures(axes: Sequence[Axes], structure: str, groups: Sequence[GroupPrediction]) -> None:
    for ax in axes:
        ax.axis("off")
    for ax, group in zip(axes, groups, strict=False):
        ax.imshow(molecule_image(structure, 600, 260, highlight=PATTERNS[group.name]), interpolation="antialiased")
        ax.set_title(f"{group.name}, p = {group.probability:.2f}", pad=1)


@styled
def reliability_figure(before: Sequence[Bin], after: Sequence[Bin]) -> Figure:
    """How often predictions of a probability are right, before and after calibration, and how many there are."""
    figure, grid = canvas((0.85 * PAGE, 3.4), 2, 2, height_ratios=[4, 1], sharex=True, sharey="row")
    for (top, strip), bins, words, colour in zip(
        grid.T, (before, after), ("before calibration", "after calibration"), (BEFORE, AFTER), strict=True
    ):
        p, frequency, count = (np.array(column) for column in zip(*bins, strict=True))
        error = float((count * np.abs(p - frequency)).sum() / count.sum())
        top.plot([0, 1], [0, 1], color="0.6", linewidth=0.7, linestyle=DASHED)
        top.plot(p, frequency, "o-", color=colour, markersize=3.5, linewidth=1)
        top.text(0.04, 0.95, f"expected calibration\nerror {error:.4f}", transform=top.transAxes, va="top")
        top.set(xlim=(-0.03, 1.03), ylim=(-0.03, 1.03), title=words, xticks=(0, 0.25, 0.5, 0.75, 1))
        strip.bar(p, count, width=0.05, color=colour)
        strip.set(yscale="log", xlabel="probability")
        strip.minorticks_off()
    grid[0, 0].set_ylabel("share that is true")
    grid[1, 0].set_ylabel("how many")
    return figure


@styled
def subset_figure(card: Mapping[str, Any]) -> Figure:
    """Scores on the test molecules of every subset of the spectra, best first; black says which spectra are in it.

    Parameters
    ----------
    card : ``predictor.json`` (`symspectra.predict.predictor.Predictor.card`)
    """
    modalities = [name for name in KINDS if name in card["modalities"]]
    labels = {"micro_f1": "micro-F1: every answer counts the same", "macro_f1": "macro-F1: every group counts the same"}
    table = pd.DataFrame(card["subsets"]).T[[*labels]].astype(float).sort_values("micro_f1", ascending=False)
    there = pd.DataFrame({name: [m in name.split("+") for m in modalities] for name in table.index})
    figure, (top, below) = canvas((PAGE, 3.0), 2, 1, height_ratios=[2.4, 1])
    shown = table.rename(columns=labels).reset_index(drop=True)
    sns.scatterplot(shown, ax=top, markers=["o", "s"], palette=["#0072B2", "#D55E00"], s=20)
    top.set(ylabel="F1 on the test molecules", ylim=(max(0.0, table.to_numpy().min() - 0.08), 1.0))
    top.set(xticks=[], xlim=(-0.5, len(table) - 0.5))
    top.yaxis.grid(True)
    top.legend(loc="lower left")
    names = [KINDS[m].figure_label for m in modalities]
    style = {"cmap": ["0.93", "0.15"], "cbar": False, "linewidths": 1.5, "xticklabels": False, "yticklabels": names}
    sns.heatmap(there, ax=below, **style)
    below.set_xlabel("what is given, best first")
    below.tick_params(length=0, rotation=0)
    return figure

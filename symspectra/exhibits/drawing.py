"""Pictures of molecules and of their spectra: structure formulas, line spectra, Table 8."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from jaxtyping import Bool, Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import imread
from rdkit import Chem
from rdkit.Chem.Draw import rdMolDraw2D

from symspectra.exhibits.style import PAGE, canvas, styled, wrapped
from symspectra.groups.table8 import NAMES, SMARTS
from symspectra.modalities import KINDS
from symspectra.spectra.lines import LineTable
from symspectra.spectra.preprocessing import AXES, MZ_MAX, POINTS
from symspectra.spectra.rendering import CLEAN, render_axis

HIGHLIGHT = (0.34, 0.71, 0.91)  # Okabe and Ito's sky blue

Axis = Float[np.ndarray, " points"]


def molecule_image(
    smiles: str, width: int = 600, height: int = 450, highlight: str | None = None
) -> Float[np.ndarray, "height width 4"]:
    """Structure formula as an image; the first match of the SMARTS ``highlight`` is coloured.

    Raises
    ------
    ValueError : the SMILES cannot be parsed.
    """
    molecule = Chem.MolFromSmiles(smiles)
    if molecule is None:
        raise ValueError(f"{smiles!r} is not a SMILES that RDKit can parse")
    atoms = list(molecule.GetSubstructMatch(Chem.MolFromSmarts(highlight))) if highlight else []
    bonds = [b.GetIdx() for b in molecule.GetBonds() if {b.GetBeginAtomIdx(), b.GetEndAtomIdx()} <= set(atoms)]
    canvas = rdMolDraw2D.MolDraw2DCairo(width, height)
    options = canvas.drawOptions()
    options.useBWAtomPalette()
    options.bondLineWidth = max(2, width // 200)
    options.fixedBondLength = width / 9  # small molecules are not blown up
    options.minFontSize, options.maxFontSize = width // 22, width // 16
    options.setHighlightColour(HIGHLIGHT)
    rdMolDraw2D.PrepareAndDrawMolecule(canvas, molecule, highlightAtoms=atoms, highlightBonds=bonds)
    canvas.FinishDrawing()
    return imread(io.BytesIO(canvas.GetDrawingText()))


def model_axis(modality: str) -> Axis:
    """Where the 600 points of a preprocessed spectrum lie, in cm-1, ppm or m/z."""
    if KINDS[modality].unit == "m/z":
        return np.linspace(0, MZ_MAX - 0.1, POINTS)
    return np.linspace(AXES[modality][0], AXES[modality][-1], POINTS)


def token_edges(modality: str, stride: int, tokens: int) -> Axis:
    """Where the tokens of ``stride`` points of a preprocessed spectrum begin and end; one more than tokens."""
    x = model_axis(modality)
    return x[0] + (x[-1] - x[0]) / POINTS * stride * np.arange(tokens + 1)


def molecule_spectra(lines: LineTable, row: int) -> dict[str, tuple[Axis, Axis]]:
    """Axis and intensity (maximum 1) of a molecule's five spectra at full resolution; MS/MS as its peaks."""
    rows = torch.tensor([row])
    spectra = {}
    for modality in ("ir", "c13", "h1"):
        y = render_axis(lines, rows, modality, CLEAN)[0].numpy()
        spectra[modality] = AXES[modality], y / max(y.max(), 1e-9)
    for modality in ("msms_pos", "msms_neg"):
        peaks, _, _ = lines.spectra[modality].select(rows)
        spectra[modality] = peaks["mz"].numpy(), peaks["intensity"].numpy() / 100
    return spectra


def draw_spectrum(ax: Axes, modality: str, x: Axis, y: Axis, label: bool = True) -> None:
    """One spectrum as chemists draw it: IR from 4000 to 400 cm-1, NMR by descending shift, MS as sticks."""
    colour = KINDS[modality].colour
    if KINDS[modality].unit == "m/z":
        there = y > 0.004
        ax.vlines(x[there], 0, y[there], color=colour, linewidth=0.9)
        ax.set_xlim(0, max(150.0, 1.08 * x[there].max(initial=0)))
    else:
        ax.plot(x, y, color=colour, linewidth=0.7)
        ax.set_xlim(max(x[0], x[-1]), min(x[0], x[-1]))
    ax.set(ylim=(0, 1.08), yticks=[])
    ax.spines["left"].set_visible(False)
    ax.set_xlabel(KINDS[modality].figure_unit, labelpad=1)
    if label:
        ax.set_title(KINDS[modality].figure_label, color=colour, fontweight="bold", pad=2)


def _picture(ax: Axes, image: Float[np.ndarray, "height width 4"]) -> None:
    ax.imshow(image, interpolation="antialiased")
    ax.axis("off")


@styled
def molecule_figure(smiles: str, spectra: Mapping[str, tuple[Axis, Axis]]) -> Figure:
    """A molecule, and its spectra around it."""
    figure, axes = canvas((PAGE, 3.4), 2, 3)
    axes = axes.ravel()
    _picture(axes[0], molecule_image(smiles))
    for ax, (modality, (x, y)) in zip(axes[1:], spectra.items(), strict=False):
        draw_spectrum(ax, modality, x, y)
    for ax in axes[1 + len(spectra) :]:
        ax.axis("off")
    return figure


@styled
def gallery(molecules: Sequence[tuple[str, Sequence[str], Mapping[str, tuple[Axis, Axis]]]]) -> Figure:
    """Molecules below each other, each with its groups and five spectra: (SMILES, names of groups, spectra)."""
    figure, grid = canvas(
        (PAGE, 1.15 * len(molecules)), len(molecules), 6, squeeze=False, width_ratios=[1.25, 1.2, 1, 1, 1, 1]
    )
    for i, (smiles, groups, spectra) in enumerate(molecules):
        _picture(grid[i, 0], molecule_image(smiles))
        place = {"transform": grid[i, 0].transAxes, "ha": "center", "va": "top"}
        grid[i, 0].text(0.5, -0.02, wrapped(", ".join(groups), 1.3), fontsize=5.5, **place)
        for ax, (modality, (x, y)) in zip(grid[i, 1:], spectra.items(), strict=True):
            draw_spectrum(ax, modality, x, y, label=i == 0)
            ax.set_xlabel(KINDS[modality].figure_unit if i == len(molecules) - 1 else "", labelpad=1)
    return figure


@styled
def groups_table(counts: Sequence[int], examples: Sequence[str | None]) -> Figure:
    """Table 8: every group with its SMARTS, its molecules, and an example in which the match is coloured."""
    rows = -(-len(NAMES) // 2)
    figure = Figure(figsize=(PAGE * 1.12, 0.44 * rows))
    high, wide = 1 / rows, 0.5
    for k, (name, smarts) in enumerate(zip(NAMES, SMARTS, strict=True)):
        left, bottom = wide * (k // rows), 1 - high * (k % rows + 1)
        figure.text(left + 0.01, bottom + 0.62 * high, f"{k + 1}  {name}", fontweight="bold", va="center")
        figure.text(left + 0.345, bottom + 0.62 * high, f"n = {counts[k]:,}", ha="right", va="center")
        pattern = {"fontsize": 4.8, "family": "DejaVu Sans Mono", "parse_math": False}
        figure.text(left + 0.025, bottom + 0.24 * high, smarts, va="center", **pattern)
        if examples[k]:
            image = molecule_image(examples[k], 600, 210, highlight=smarts)
            _picture(figure.add_axes((left + 0.35, bottom, 0.14, high)), image)
        else:
            figure.text(left + 0.42, bottom + 0.5 * high, "none here", color="0.5", ha="center", va="center")
    return figure


def smallest_example(smiles: Sequence[str], y: Bool[np.ndarray, "molecule group"], group: int) -> str | None:
    """Shortest SMILES with a group, of equally short ones that with fewest other groups; None where there is none."""
    rows = np.flatnonzero(y[:, group])
    row = min(rows, key=lambda row: (len(smiles[row]), y[row].sum(), smiles[row]), default=None)
    return None if row is None else smiles[row]

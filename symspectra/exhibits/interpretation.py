"""What a trained SymSpectra attends to: gates of test molecules (App. M), weights in the loss (App. N), the bound."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
import seaborn as sns
import torch
from jaxtyping import Float, Int
from matplotlib.figure import Figure
from scipy.special import entr

from symspectra.datasets.base import SpectraDataset
from symspectra.exhibits.drawing import model_axis, token_edges
from symspectra.exhibits.scores import Score, score, summarise
from symspectra.exhibits.style import COLUMN, DASHED, MODEL_COLOURS, PAGE, canvas, legend_outside, styled
from symspectra.groups.table8 import NAMES
from symspectra.modalities import KINDS
from symspectra.training.fit import predict
from symspectra.training.machine import choose_device
from symspectra.training.probe import redundancy as probe
from symspectra.training.store import Run, derived


class Importance(NamedTuple):
    """Gates of test molecules: 1 is kept, 0 replaced by noise; NaN where a spectrum was not measured."""

    molecules: tuple[str, ...]
    groups: Int[np.ndarray, " molecule"]  # functional groups of each
    gates: Float[np.ndarray, "seed molecule modality L"]

    @property
    def average(self) -> Float[np.ndarray, " molecule"]:
        """Average importance of each molecule, over seeds, modalities and tokens."""
        return np.nanmean(self.gates, axis=(0, 2, 3))

    @property
    def by_modality(self) -> Float[np.ndarray, " modality"]:
        """Average importance of each modality."""
        return np.nanmean(self.gates, axis=(0, 1, 3))

    @property
    def variation(self) -> float:
        """Standard deviation of a token's gate over the molecules, averaged over tokens, modalities and seeds."""
        return float(np.nanmean(np.nanstd(self.gates, axis=1)))


@torch.no_grad()
def importance(runs: Sequence[Run], dataset: SpectraDataset, most: int = 500, device: str = "auto") -> Importance:
    """Gates of each run's model for at most ``most`` test molecules, chosen at random, always the same ones.

    Raises
    ------
    ValueError : there is no test molecule.

    References
    ----------
    Paper, Appendix M: 500 test molecules.
    """
    on = choose_device(device)
    dataset = dataset.to(on)
    rows = dataset.rows("test")
    if len(rows) == 0:
        raise ValueError("the test split is empty: there is no molecule whose gates could be read")
    rows = rows[torch.from_numpy(np.random.default_rng(0).permutation(len(rows))[:most]).to(on)]
    x, present = dataset.spectra(rows)

    def gates(run: Run) -> Float[np.ndarray, "molecule modality L"]:
        model = run.load(on)
        parts = [model.gates(*part) for part in zip(x.split(256), present.split(256), strict=True)]
        return torch.cat(parts).masked_fill(~present.unsqueeze(-1), torch.nan).cpu().numpy()

    found = [derived(run, f"gates, {most} of {dataset.digest}", gates) for run in runs]
    molecules = tuple(dataset.ids[row] for row in rows.tolist())
    return Importance(molecules, dataset.y[rows].sum(dim=1).cpu().numpy(), np.stack(found))


def extremes(groups: Int[np.ndarray, " molecule"], n: int = 5) -> tuple[list[int], list[int]]:
    """Places of the ``n`` molecules with fewest groups, and of the ``n`` with most: the easiest and the hardest.

    Of equal ones the first are taken; of fewer than ``2 n`` molecules, half are easy and half are hard.
    """
    n = min(n, len(groups) // 2)
    ascending, descending = np.argsort(groups, kind="stable"), np.argsort(-groups, kind="stable")
    return ascending[:n].tolist(), descending[:n].tolist()


@styled
def importance_maps(
    blocks: Mapping[str, Float[np.ndarray, "molecule modality L"]],
    groups: Sequence[int],
    modalities: Sequence[str],
    stride: int,
    hardest: int,
) -> Figure:
    """Fig 7: the gates of molecules, one per line, for each spectrum; one block per title, such as a value of beta.

    Parameters
    ----------
    blocks : title -> gates of the molecules, the ``hardest`` first and then the easiest
    groups : number of functional groups of each molecule
    stride : number of points of a token (`symspectra.models.symspectra.SymSpectra.gates`)
    """
    n = len(groups)
    lines = [*range(hardest), *range(hardest + 1, n + 1)]  # a gap between the hardest and the easiest
    size = PAGE, (0.125 * n + 0.65) * len(blocks) + 0.1
    figure, grid = canvas(size, len(blocks), len(modalities), squeeze=False)
    for axes, (title, gates) in zip(grid, blocks.items(), strict=True):
        for k, (ax, modality) in enumerate(zip(axes, modalities, strict=True)):
            image = np.full((n + 1, gates.shape[2]), np.nan)
            image[lines] = gates[:, k]
            edges, x = token_edges(modality, stride, gates.shape[2]), model_axis(modality)
            drawn = ax.pcolormesh(edges, np.arange(n + 2), image, vmin=0, vmax=1, cmap="inferno", rasterized=True)
            ends = (x[0], x[-1]) if modality.startswith("ms") else (x.max(), x.min())
            ax.set(ylim=(n + 1, 0), yticks=[], xlim=ends)
            ax.set_title(KINDS[modality].figure_label, loc="center")
            ax.set_xlabel(KINDS[modality].figure_unit, labelpad=1)
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


def _weights(runs: Sequence[Run]) -> list[tuple[dict[str, float], ...]]:
    found = [run.training_weights() for run in runs]
    for run, weights in zip(runs, found, strict=True):
        if weights is None:
            raise ValueError(
                f"run {run.id} of model {run.config.model.name!r} has no weights; expected a SymSpectra run"
            )
    return found


def molecule_weights(
    runs: Sequence[Run], dataset: SpectraDataset
) -> tuple[Int[np.ndarray, " molecule"], Float[np.ndarray, "seed molecule"]]:
    """Number of groups of each training molecule, and its weight (Eq. 11), averaged over the epochs.

    Raises
    ------
    ValueError : a run whose model weighs nothing.
    """
    by_seed = [weights[0] for weights in _weights(runs)]
    number = dict(zip(dataset.ids, dataset.y.sum(dim=1).tolist(), strict=True))
    names = list(by_seed[0])
    return np.array([number[name] for name in names]), np.array([[m[name] for name in names] for m in by_seed])


def uncertainty(runs: Sequence[Run], dataset: SpectraDataset) -> Float[np.ndarray, " molecule"]:
    """Mean entropy (bits) of the predictions of each training molecule, over groups and seeds (`molecule_weights`)."""
    rows = {name: row for row, name in enumerate(dataset.ids)}

    def entropy(run: Run) -> Float[np.ndarray, " molecule"]:
        chosen = torch.tensor([rows[name] for name in _weights([run])[0][0]])
        p = predict(run.load(), dataset, chosen).numpy()
        return (entr(p) + entr(1 - p)).mean(axis=1) / np.log(2)

    return np.mean([derived(run, f"entropy, {dataset.digest}", entropy) for run in runs], axis=0)


def redundancy(run: Run, dataset: SpectraDataset) -> pd.DataFrame:
    """`symspectra.training.probe.redundancy` of a run's model."""
    text = derived(run, f"redundancy, {dataset.digest}", lambda run: probe(run.load(), dataset).to_numpy(str))
    table = pd.DataFrame(text, columns=["modality", "target", "before", "after", "kept"])
    return table.astype({name: float for name in ("before", "after", "kept")})


def by_group_count(
    groups: Int[np.ndarray, " molecule"], weights: Float[np.ndarray, "seed molecule"], least: int = 5
) -> dict[int, tuple[Score, int]]:
    """Mean weight over seeds, and the molecules, by number of groups; left out with fewer than ``least`` molecules."""
    counts = {int(n): int((groups == n).sum()) for n in np.unique(groups)}
    return {n: (summarise(weights[:, groups == n].mean(axis=1)), k) for n, k in counts.items() if k >= least}


def _of_table8(runs: Sequence[Run]) -> None:
    for run in runs:
        if run.labels != NAMES:
            raise ValueError(f"this exhibit is of the groups of Table 8; run {run.id} has labels of its own")


def group_weights(runs: Sequence[Run], positives: bool = False) -> dict[str, Score]:
    """Mean weight of each functional group in the loss, over epochs and training molecules: all, or those that have it.

    A group that no training molecule has is left out of the second.

    Raises
    ------
    ValueError : a run whose model weighs nothing.
    """
    _of_table8(runs)
    by_seed = [weights[2 if positives else 1] for weights in _weights(runs)]
    return {k: summarise([groups[k] for groups in by_seed]) for k in NAMES if not np.isnan(by_seed[0][k])}


def group_f1(runs: Sequence[Run]) -> dict[str, Score]:
    """Test F1 of each group, from the lowest to the highest; groups without a test positive are left out."""
    _of_table8(runs)
    f1 = {name: score(runs, "macro_f1", [k]) for k, name in enumerate(NAMES)}
    f1 = {name: value for name, value in f1.items() if value.values}
    return dict(sorted(f1.items(), key=lambda item: item[1].mean))


@styled
def weights_by_f1(f1: Mapping[str, Score], weights: Mapping[str, Mapping[str, Score]]) -> Figure:
    """Fig 9: groups from the lowest F1 to the highest, beside them the weight of each: ``weights[over][group]``."""
    figure, (left, right) = canvas((COLUMN, 0.115 * len(f1) + 0.8), 1, 2, sharey=True)
    lines = [(which, k, v) for which, of in weights.items() for k in f1 if k in of for v in of[k].values]
    table = pd.DataFrame(lines, columns=["mean over", "group", "weight"])
    sns.barplot(x=[score.mean for score in f1.values()], y=list(f1), color="0.7", width=0.75, saturation=1, ax=left)
    style = {"errorbar": "sd", "linestyle": "none", "palette": ["0.55", MODEL_COLOURS["SymSpectra"]], "markersize": 2.5}
    style |= {"hue": "mean over", "markers": ["D", "o"], "err_kws": {"linewidth": 0.6}}
    sns.pointplot(table, x="weight", y="group", order=list(f1), ax=right, **style)
    right.axvline(1, color="0.5", linewidth=0.6, linestyle=DASHED)
    left.set(xlabel="test F1", xlim=(0, 1), ylim=(len(f1) - 0.4, -0.6))
    left.tick_params(axis="y", length=0, labelsize=6)
    right.tick_params(axis="y", length=0)
    right.set(xlabel="mean weight in the loss", ylabel="")
    right.yaxis.grid(True)
    legend_outside(figure, right, 2, loc="outside upper right", title="mean over", title_fontsize=6)
    return figure


def compression_of(runs: Sequence[Run]) -> dict[str, Score]:
    """What one weight of the bound does in the runs of one configuration, one per seed (Fig 11b).

    ``micro_f1`` is on the test set; ``gate`` the mean of the sampled gates, where 1 keeps everything and 0 replaces all
    by noise, and ``share`` beta times the bound, as a share of the whole loss, both in the last epoch.

    Raises
    ------
    ValueError : a run without bottleneck.
    """
    kept = [run.history[-1] for run in runs]
    for run, epoch in zip(runs, kept, strict=True):
        if "bound" not in epoch:
            raise ValueError(f"run {run.id} ({run.config.model.name}) has no bottleneck: its history holds no bound")
    share = [run.config.model.beta * epoch["bound"] / epoch["loss"] for run, epoch in zip(runs, kept, strict=True)]
    gate = [epoch["gate"] for epoch in kept]
    return {"micro_f1": score(runs), "gate": summarise(gate), "share": summarise(share)}

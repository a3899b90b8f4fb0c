"""What a trained SymSpectra attends to: gates of test molecules (App. M), weights of molecules and groups (App. N)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int

from symspectra.datasets.base import SpectraDataset
from symspectra.exhibits.claims import Claim, decided, rank_correlation, untestable
from symspectra.exhibits.comparison import LEVEL, Score, summarise
from symspectra.groups.table8 import NAMES
from symspectra.training.machine import choose_device
from symspectra.training.store import Run

CLEAR = 0.3  # Spearman's rank correlation from which an association is called clear
FLAT = 0.01  # importances that differ by less look the same
DIFFERENT = 0.05  # standard deviation of a token's gate over molecules
RULE = (
    f"Spearman's rank correlation is {CLEAR} or more in the paper's direction, and passes its one-sided test at the "
    f"{LEVEL:.0%} level."
)


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
    gates = []
    for run in runs:
        model = run.load(on)
        parts = [model.gates(*part) for part in zip(x.split(256), present.split(256), strict=True)]
        gates.append(torch.cat(parts).masked_fill(~present.unsqueeze(-1), torch.nan).cpu().numpy())
    molecules = tuple(dataset.ids[row] for row in rows.tolist())
    return Importance(molecules, dataset.y[rows].sum(dim=1).cpu().numpy(), np.stack(gates))


def extremes(groups: Int[np.ndarray, " molecule"], n: int = 5) -> tuple[list[int], list[int]]:
    """Places of the ``n`` molecules with fewest groups, and of the ``n`` with most: the easiest and the hardest.

    Of equal ones the first are taken; of fewer than ``2 n`` molecules, half are easy and half are hard.
    """
    n = min(n, len(groups) // 2)
    ascending, descending = np.argsort(groups, kind="stable"), np.argsort(-groups, kind="stable")
    return ascending[:n].tolist(), descending[:n].tolist()


def richer_is_more_important(source: str, text: str, found: Importance) -> Claim:
    """Is the average importance higher for molecules with more groups?"""
    low, high = float(found.average.min()), float(found.average.max())
    if high - low < FLAT:
        why = (
            f"The average importance is the same for all {len(found.groups)} molecules ({low:.3f} to {high:.3f}): the "
            "gates are not at work."
        )
        return untestable(source, text, why)
    return associated(source, text, found.groups, found.average, "molecules")


def maps_differ(source: str, text: str, found: Importance) -> Claim:
    """Do the importance maps of molecules differ from each other?"""
    rule = (
        f"The gate of a token varies between molecules with a standard deviation of {DIFFERENT} or more, averaged over "
        "the tokens."
    )
    why = f"The standard deviation is {found.variation:.3f} over {len(found.groups)} molecules."
    return decided(source, text, found.variation >= DIFFERENT, why, rule)


def associated(
    source: str,
    text: str,
    x: Float[np.ndarray, " point"] | Int[np.ndarray, " point"],
    y: Float[np.ndarray, " point"],
    points: str,
    direction: str = "rises",
) -> Claim:
    """Does y rise (or fall) with x, over molecules or groups?

    Parameters
    ----------
    points : what a point is, ``"molecules"`` or ``"groups"``
    direction : ``"rises"`` or ``"falls"``
    """
    sign = {"rises": 1, "falls": -1}[direction]
    if len(x) < 4 or np.ptp(x) == 0 or np.ptp(y) == 0:
        return untestable(source, text, f"{len(x)} {points}, without a difference that could be ranked.")
    rho, p = rank_correlation(np.asarray(x, dtype=float), sign * np.asarray(y, dtype=float))
    why = f"Spearman's rank correlation over {len(x):,} {points} is {sign * rho:+.2f}, one-sided p = {p:.2g}."
    return decided(source, text, rho >= CLEAR and p < LEVEL, why, RULE)


def _weights(runs: Sequence[Run]) -> list[tuple[dict[str, float], dict[str, float]]]:
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
    """Number of groups of each training molecule, and its mean weight in the loss over the epochs and groups.

    Raises
    ------
    ValueError : a run whose model weighs nothing.
    """
    by_seed = [molecules for molecules, _ in _weights(runs)]
    number = dict(zip(dataset.ids, dataset.y.sum(dim=1).tolist(), strict=True))
    names = list(by_seed[0])
    return np.array([number[name] for name in names]), np.array([[m[name] for name in names] for m in by_seed])


def by_group_count(
    groups: Int[np.ndarray, " molecule"], weights: Float[np.ndarray, "seed molecule"], least: int = 5
) -> dict[int, tuple[Score, int]]:
    """Mean weight over seeds, and the molecules, by number of groups; left out with fewer than ``least`` molecules."""
    counts = {int(n): int((groups == n).sum()) for n in np.unique(groups)}
    return {n: (summarise(weights[:, groups == n].mean(axis=1)), k) for n, k in counts.items() if k >= least}


def group_weights(runs: Sequence[Run]) -> dict[str, Score]:
    """Mean weight of each functional group in the loss, over epochs and training molecules.

    Raises
    ------
    ValueError : a run whose model weighs nothing.
    """
    by_seed = [groups for _, groups in _weights(runs)]
    return {name: summarise([groups[name] for groups in by_seed]) for name in NAMES}


def group_f1(runs: Sequence[Run]) -> dict[str, Score]:
    """Test F1 of each group, from the lowest to the highest; groups without a test positive are left out."""
    tests = [run.metrics["test"] for run in runs]
    scored = [k for k in range(len(NAMES)) if tests[0]["per_group_support"][k]]
    f1 = {NAMES[k]: summarise([test["per_group_f1"][k] for test in tests]) for k in scored}
    return dict(sorted(f1.items(), key=lambda item: item[1].mean))


def named_are_heavier(
    source: str, text: str, names: Sequence[str], weights: Mapping[str, Score], positives: Mapping[str, int]
) -> Claim:
    """Have the named groups a higher weight than the median group? Those without a training positive are left out.

    Parameters
    ----------
    positives : training molecules with each group
    """
    absent, names = [name for name in names if not positives[name]], [name for name in names if positives[name]]
    without = f"No training molecule has {' or '.join(absent)}." if absent else ""
    if not names:
        return untestable(source, text, without)
    median = float(np.median([weight.mean for weight in weights.values()]))
    words = ", ".join(f"{name} {weights[name].mean:.3f}" for name in names)
    heavier = all(weights[name].mean > median for name in names)
    why = f"{words}; median {median:.3f}. {without}".rstrip()
    return decided(source, text, heavier, why, "Each is above the median of all groups.")

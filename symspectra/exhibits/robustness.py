"""Trained models on harder test sets: noise, a spectrum not measured (App. J), molecules unlike those seen (Fig 3c)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Int

from symspectra.datasets.base import SpectraDataset, evaluated_groups
from symspectra.datasets.views import Corrupted
from symspectra.exhibits.claims import Claim, decided, trend, untestable
from symspectra.exhibits.comparison import Score, summarise
from symspectra.training.fit import predict_spectra
from symspectra.training.machine import choose_device
from symspectra.training.metrics import multilabel_metrics
from symspectra.training.store import Run

KEPT = 0.8  # of the micro-F1, with one spectrum withheld
STEEP = 2.0  # a step this many times the average one is a sharp drop
LITTLE = 0.02  # micro-F1; a curve that loses less in all has no drop


def corrupted_score(
    runs: Sequence[Run],
    dataset: SpectraDataset,
    noise: float = 0.0,
    without: Sequence[str] = (),
    device: str = "auto",
) -> Score:
    """Micro-F1 of trained models on the test split of `symspectra.datasets.views.Corrupted`, one value per run.

    Parameters
    ----------
    dataset : the data that the runs were tested on
    noise : standard deviation of the noise, as a share of each spectrum's maximum
    without : names of modalities to withhold
    device : as in `symspectra.training.runs.run`

    Raises
    ------
    ValueError : the runs read other spectra than the data set has; or as `symspectra.datasets.views.Corrupted`.

    References
    ----------
    Paper, Appendix J.
    """
    for run in runs:
        if run.config.data.modalities != tuple(dataset.modalities):
            raise ValueError(f"run {run.id} reads {run.config.data.modalities}, the data set has {dataset.modalities}")
    on = choose_device(device)
    view = Corrupted(dataset.to(on), noise, without)
    rows = view.rows("test")
    spectra, y = view.spectra(rows), view.y[rows].cpu()
    probabilities = (predict_spectra(run.load(on), *spectra) for run in runs)
    groups = evaluated_groups(dataset)
    return summarise([multilabel_metrics(y, p, groups=groups)["micro_f1"] for p in probabilities])


def blind_score(dataset: SpectraDataset) -> float:
    """Micro-F1 on the test split without any spectrum: every molecule is given the groups that most training ones have.

    A model that is not above it has learned nothing from the spectra that noise could spoil.
    """
    frequent = dataset.y[dataset.rows("train")].double().mean(dim=0) >= 0.5
    y = dataset.y[dataset.rows("test")]
    return multilabel_metrics(y, frequent.double().expand(y.shape), groups=evaluated_groups(dataset))["micro_f1"]


def no_collapse(source: str, text: str, complete: Score, without: Mapping[str, Score], blind: float) -> Claim:
    """Does the micro-F1 stay, whichever spectrum is withheld?

    Parameters
    ----------
    complete, without : micro-F1 with all spectra, and by the one withheld
    blind : `blind_score`
    """
    rule = (
        f"Whichever spectrum is withheld, at least {KEPT:.0%} of the micro-F1 with all of them stays, and more than "
        f"the {blind:.3f} of naming the most frequent groups for every molecule. Cannot be tested where the model with "
        "all spectra is not above that."
    )
    if complete.mean <= blind:
        return untestable(source, text, _blind(complete, blind))
    worst = min(without, key=lambda name: without[name].mean)
    shares = ", ".join(f"{score.mean / complete.mean:.0%} without {name}" for name, score in without.items())
    holds = without[worst].mean >= KEPT * complete.mean and without[worst].mean > blind
    return decided(source, text, holds, f"Of the micro-F1 of {complete} with all spectra there stay {shares}.", rule)


def declines(source: str, text: str, curve: Mapping[float, Score], blind: float) -> Claim:
    """Does the micro-F1 fall along the levels of noise? A trend, where there is something to lose."""
    clean = curve[min(curve)]
    return (
        untestable(source, text, _blind(clean, blind)) if clean.mean <= blind else trend(source, text, curve, "falls")
    )


def no_sharp_drop(source: str, text: str, curve: Mapping[float, Score], blind: float) -> Claim:
    """Does the micro-F1 fall smoothly along evenly spaced levels of noise?

    Raises
    ------
    ValueError : fewer than three levels, or uneven ones.
    """
    levels = sorted(curve)
    widths = [high - low for low, high in zip(levels, levels[1:], strict=False)]
    if len(levels) < 3 or max(widths) - min(widths) > 1e-9:
        raise ValueError(f"{source}: levels of noise {levels}; expected three or more, evenly spaced")
    f1 = [curve[level].mean for level in levels]
    if f1[0] <= blind:
        return untestable(source, text, _blind(curve[levels[0]], blind))
    lost = f1[0] - f1[-1]
    steps = [before - after for before, after in zip(f1, f1[1:], strict=False)]
    worst = max(range(len(steps)), key=steps.__getitem__)
    rule = (
        f"No step between neighbouring levels loses more than {STEEP:g} times the average step, or less than {LITTLE} "
        "is lost in all. Cannot be tested where the model is not above naming the most frequent groups."
    )
    why = (
        f"From {f1[0]:.3f} to {f1[-1]:.3f}, {lost / len(steps):.3f} a step on average; the steepest step, from noise "
        f"{levels[worst]:g} to {levels[worst + 1]:g}, loses {steps[worst]:.3f}."
    )
    return decided(source, text, lost < LITTLE or steps[worst] <= STEEP * lost / len(steps), why, rule)


def _blind(score: Score, blind: float) -> str:
    return (
        f"The model has a micro-F1 of {score} with clean and complete spectra, naming the most frequent groups for "
        f"every molecule has {blind:.3f}: it has not learned enough for a loss to mean anything."
    )


class Drop(NamedTuple):
    """Micro-F1 lost, and the interval that holds 95 % of what other test molecules would give."""

    lost: float
    low: float
    high: float

    @property
    def shown(self) -> bool:
        """Is there a loss whatever the test molecules are: the whole interval above zero?"""
        return self.low > 0

    def __str__(self) -> str:
        return f"{self.lost:.3f} ({self.low:.3f} to {self.high:.3f})"


def micro_f1_drop(ordinary: Sequence[Run], harder: Sequence[Run], draws: int = 1000, seed: int = 0) -> Drop:
    """Micro-F1 on the test set of ``ordinary`` minus that of ``harder``, each the mean over its runs.

    The two test sets hold different molecules, so that the noise is not only that of training: the interval comes from
    drawing the molecules of both again with replacement (bootstrap), all runs of a side seeing the same draw.

    Parameters
    ----------
    ordinary, harder : runs of one model on two splits, one per seed; those of a side share their test molecules

    Raises
    ------
    ValueError : one side has no runs, or its runs have different test molecules.
    """
    random = np.random.default_rng(seed)
    sides = [_counts(runs) for runs in (ordinary, harder)]
    lost = _micro_f1(*sides[0]) - _micro_f1(*sides[1])
    again = []
    for _ in range(draws):
        scores = []
        for right, named in sides:
            rows = random.integers(right.shape[1], size=right.shape[1])
            scores.append(_micro_f1(right[:, rows], named[:, rows]))
        again.append(scores[0] - scores[1])
    low, high = np.quantile(again, [0.025, 0.975])
    return Drop(float(lost), float(low), float(high))


def _counts(runs: Sequence[Run]) -> tuple[Int[np.ndarray, "run molecule"], Int[np.ndarray, "run molecule"]]:
    """Groups of each molecule that are rightly predicted, and groups predicted plus groups there."""
    predictions = [run.predictions("test") for run in runs]
    if len({molecules for molecules, _, _ in predictions}) != 1:
        raise ValueError(f"{len(runs)} runs have not one and the same set of test molecules")
    there = [(y, p >= 0.5) for _, y, p in predictions]
    right = np.array([(y & found).sum(axis=1) for y, found in there])
    return right, np.array([y.sum(axis=1) + found.sum(axis=1) for y, found in there])


def _micro_f1(right: Int[np.ndarray, "run molecule"], named: Int[np.ndarray, "run molecule"]) -> float:
    """2 TP / (2 TP + FP + FN) of each run, averaged; 0 where nothing is there and nothing predicted."""
    return float(np.mean(2 * right.sum(axis=1) / np.maximum(named.sum(axis=1), 1)))

"""How often predictions contradict the chemistry: an acid without its alcohol, an ester without its ether.

Seven of the patterns of Table 8 contain another one, so that the labels of a real molecule never break these
implications (`symspectra.groups.table8.IMPLICATIONS`). A prediction that does is certainly wrong, which can be seen
without knowing the molecule. The paper says that predicting labels independently gives implausible combinations
(Introduction) and does not measure it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
import seaborn as sns
from jaxtyping import Bool
from matplotlib.figure import Figure

from symspectra.exhibits.scores import Predictions, Score, predictions, score, summarise
from symspectra.exhibits.style import PAGE, canvas, styled, wrapped
from symspectra.groups.table8 import IMPLICATIONS, NAMES
from symspectra.training.store import Run


class Broken(NamedTuple):
    """Predictions of a premise, those without its conclusion, and their share (None without any prediction)."""

    premises: int
    broken: int
    share: float | None


class Plausibility(NamedTuple):
    """Broken implications of a set of predictions.

    implications : by name, such as ``"Ester -> Ether"``
    total : of all implications together
    by_chance : the share broken if the same groups were predicted as often, but of unrelated molecules
    molecules : share of molecules with at least one broken implication
    """

    implications: dict[str, Broken]
    total: Broken
    by_chance: float | None
    molecules: float


class OverSeeds(NamedTuple):
    """Plausibility of the test predictions of one configuration.

    broken : share of predicted premises without their conclusion, one value per seed that predicts any
    molecules : share of molecules with at least one broken implication, one value per seed
    pooled : the predictions of all seeds together, where the counts of single implications would be small
    """

    broken: Score
    molecules: Score
    pooled: Plausibility


def _broken(premises: int, broken: int) -> Broken:
    return Broken(int(premises), int(broken), float(broken / premises) if premises else None)


def plausibility(y_hat: Bool[np.ndarray, "molecule 37"]) -> Plausibility:
    """How many of the predicted premises lack their conclusion.

    Parameters
    ----------
    y_hat : predicted groups, after the threshold

    Raises
    ------
    ValueError : not an array of shape (molecules, 37) of bool with at least one molecule.
    """
    y_hat = np.asarray(y_hat)
    if y_hat.ndim != 2 or y_hat.shape[1] != len(NAMES) or y_hat.dtype != bool or not len(y_hat):
        raise ValueError(
            f"predictions have shape {y_hat.shape} and type {y_hat.dtype}; expected (molecules, {len(NAMES)}) of bool, "
            "probabilities compared with a threshold"
        )
    if_, then = np.array(IMPLICATIONS).T
    breaks = _breaks(y_hat)
    premises, broken = y_hat[:, if_].sum(0), breaks.sum(0)
    unrelated = premises @ (1 - y_hat[:, then].mean(0))  # broken, had premise and conclusion nothing to do with another
    implications = {
        f"{NAMES[i]} -> {NAMES[j]}": _broken(n, b) for (i, j), n, b in zip(IMPLICATIONS, premises, broken, strict=True)
    }
    total = _broken(premises.sum(), broken.sum())
    by_chance = float(unrelated / total.premises) if total.premises else None
    return Plausibility(implications, total, by_chance, float(breaks.any(1).mean()))


def over_seeds(runs: Sequence[Run] | Predictions) -> OverSeeds:
    """Plausibility of the test predictions of the runs of one configuration, one per seed."""
    found = predictions(runs)
    seeds = [plausibility(y_hat) for y_hat in found.predicted]
    broken = summarise([seed.total.share for seed in seeds if seed.total.share is not None])
    return OverSeeds(broken, score(found, implausible), plausibility(np.concatenate(found.predicted)))


def implausible(predicted: Bool[np.ndarray, "seed molecule 37"]) -> Bool[np.ndarray, "seed molecule"]:
    """Does a prediction break an implication?"""
    return _breaks(predicted).any(-1)


def _breaks(predicted: Bool[np.ndarray, "*shape 37"]) -> Bool[np.ndarray, "*shape implication"]:
    """Which implications: the premise is predicted and the conclusion is not."""
    if_, then = np.array(IMPLICATIONS).T
    return predicted[..., if_] & ~predicted[..., then]


@styled
def broken_implications(models: Mapping[str, OverSeeds], colours: Mapping[str, str] | None = None) -> Figure:
    """Broken implications by model, from top to bottom: all together with the spread over seeds, and each one.

    A cell gives the share of the predicted premises without their conclusion, and of how many, over all seeds.
    """
    figure, (left, right) = canvas((PAGE, 0.95 + 0.27 * len(models)), 1, 2, width_ratios=[1.5, 3.4])
    lines = [(name, 100 * value) for name, model in models.items() for value in model.broken.values or (np.nan,)]
    palette = {name: (colours or {}).get(name, "#767676") for name in models}
    style = {"hue": "model", "palette": palette, "width": 0.7, "saturation": 1, "err_kws": {"linewidth": 0.7}}
    shares = pd.DataFrame(lines, columns=["model", "broken"])
    sns.barplot(shares, x="broken", y="model", order=list(models), errorbar="sd", ax=left, **style)
    for y, model in enumerate(models.values()):
        mean, sd = model.broken.mean, model.broken.sd or 0
        place, text = (0, "no premise predicted") if mean is None else (100 * (mean + sd), f"{100 * mean:.1f}")
        left.annotate(text, (place, y), (3, 0), textcoords="offset points", va="center", fontsize=6)
    left.set(xlabel="broken, per 100 predicted premises", ylabel="")
    left.margins(x=0.16)
    left.set_xlim(left=0)
    left.xaxis.grid(True)
    cells = {name: model.pooled.implications for name, model in models.items()}
    titles = {name: wrapped(name.replace("->", "→"), 0.5) for name in next(iter(cells.values()))}
    table = pd.DataFrame(cells).T.rename(columns=titles)
    share = table.map(lambda cell: cell.share).astype(float)
    words = table.map(lambda cell: "none" if cell.share is None else f"{100 * cell.share:.1f}\nof {cell.premises:,}")
    style = {"cmap": "Oranges", "vmin": 0, "vmax": max(0.1, np.nanmax(share, initial=0)), "cbar": False, "fmt": ""}
    sns.heatmap(share, annot=words, annot_kws={"fontsize": 5.5}, yticklabels=False, ax=right, **style)
    for y, x in np.argwhere(share.isna()):
        right.text(x + 0.5, y + 0.5, "none", ha="center", va="center", fontsize=5.5, color="0.45")
    right.tick_params(length=0, labeltop=True, labelbottom=False, labelsize=6)
    return figure

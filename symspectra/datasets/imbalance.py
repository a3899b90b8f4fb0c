"""Standard answers to class imbalance (Table 2), and training sets made more imbalanced on purpose (Fig. 4).

Oversampling changes the data (`symspectra.datasets.views.Oversampled`); the other strategies change the loss
(`symspectra.training.losses`).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor


class Synthetic(NamedTuple):
    """Synthetic molecules: ``u`` of the way from a row to its reference, and the labels their neighbours voted for."""

    row: Int[Tensor, " sample"]
    reference: Int[Tensor, " sample"]
    u: Float[Tensor, " sample"]
    labels: Bool[Tensor, "sample group"]

    def to(self, device: torch.device | str) -> Synthetic:
        """The same on another device."""
        return Synthetic(*(part.to(device) for part in self))


def imbalance_ratios(y: Bool[Tensor, "molecule group"]) -> tuple[Float[Tensor, " group"], float]:
    """Positives of the most frequent label over those of each label (IRLbl), and the mean of these ratios (MeanIR).

    A label without positives has the ratio NaN: it is left out of the mean and above no threshold. From Charte et al.,
    Neurocomputing 163 (2015) 3-16.
    """
    n = y.sum(dim=0).double()
    ratio = torch.where(n > 0, n.max() / n, torch.nan)
    return ratio.float(), float(ratio.nanmean())


def mlsmote(
    features: Float[Tensor, "molecule feature"], y: Bool[Tensor, "molecule group"], k: int = 5, seed: int = 0
) -> Synthetic:
    """Synthetic molecules for the rare labels, as pairs of rows: MLSMOTE with label ranking.

    For each label whose IRLbl exceeds MeanIR, every molecule that has it yields one sample: its reference is drawn
    from its k nearest neighbours among the molecules with that label, and a label is set where more than half of the
    molecule and these neighbours have it. A molecule with several rare labels yields one sample for each.

    The ratios and neighbours are those of the data before any sample is added; Algorithm 1 of the reference can also
    be read as measuring the ratios again while samples come in.
    From Charte et al., Knowledge-Based Systems 89 (2015) 385-397.

    Parameters
    ----------
    features : Euclidean distances in these choose the neighbours
    k : neighbours, at least 1; one fewer than there are molecules where a label has no more than k. One molecule yields
        none.
    """
    from sklearn.neighbors import NearestNeighbors

    if k < 1:
        raise ValueError(f"MLSMOTE with k = {k} neighbours; expected at least 1")
    ratio, mean = imbalance_ratios(y)
    spectra, labels = features.cpu().numpy(), y.cpu().numpy()
    rng = np.random.default_rng(seed)
    parts = [(np.empty(0, int), np.empty(0, int), np.empty(0), np.empty((0, y.shape[1]), bool))]
    for label in (ratio > mean).nonzero().flatten().tolist():
        bag = np.flatnonzero(labels[:, label])
        size = min(k, len(bag) - 1)
        if size == 0:
            continue
        near = NearestNeighbors(n_neighbors=size).fit(spectra[bag]).kneighbors(return_distance=False)  # not itself
        reference = near[np.arange(len(bag)), rng.integers(size, size=len(bag))]
        votes = labels[bag].astype(int) + labels[bag][near].sum(axis=1)
        parts.append((bag, bag[reference], rng.random(len(bag)), votes > (size + 1) / 2))
    row, reference, u, voted = (torch.from_numpy(np.concatenate(column)) for column in zip(*parts, strict=True))
    return Synthetic(row, reference, u.float(), voted)


def rarest_groups(
    y_train: Bool[Tensor, "train group"],
    y_test: Bool[Tensor, "test group"],
    n: int = 4,
    least_train: int = 12,
    least_test: int = 3,
) -> tuple[int, ...]:
    """The n groups with the fewest training positives, rarest first, among those with enough to learn from and to test.

    The paper takes four rare groups without naming a rule (Obs. 6). `ValueError` is raised where there are fewer.
    """
    train, test = y_train.sum(dim=0), y_test.sum(dim=0)
    enough = ((train >= least_train) & (test >= least_test)).nonzero().flatten()
    if len(enough) < n:
        found = f"{len(enough)} groups have at least {least_train} training and {least_test} test positives"
        raise ValueError(f"{found}, {n} were asked for; ask for fewer, or use more molecules")
    return tuple(enough[train[enough].argsort(stable=True)[:n]].tolist())

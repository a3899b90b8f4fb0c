"""Standard answers to class imbalance (Table 2), and training sets made more imbalanced on purpose (Fig. 4).

Oversampling changes the data (`Oversampled`); the other strategies change the loss (`symspectra.training.losses`).
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from symspectra.datasets.base import DatasetView, SpectraDataset
from symspectra.groups.table8 import NAMES


class Synthetic(NamedTuple):
    """Synthetic molecules: ``u`` of the way from a row to its reference, and the labels their neighbours voted for."""

    row: Int[Tensor, " sample"]
    reference: Int[Tensor, " sample"]
    u: Float[Tensor, " sample"]
    labels: Bool[Tensor, "sample group"]


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

    Parameters
    ----------
    features : Euclidean distances in these choose the neighbours
    k : neighbours; one fewer than there are molecules where a label has no more than k. One molecule yields none.

    Raises
    ------
    ValueError : ``k`` is less than 1.

    References
    ----------
    Charte et al., Knowledge-Based Systems 89 (2015) 385-397.
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


class Oversampled(DatasetView):
    """A data set whose training split also holds the synthetic molecules of `mlsmote`.

    A synthetic spectrum lies between the spectra of two training molecules under the same draw of the noise, at the
    same fraction in every modality, and is not normalised again; it is present where both are. Neighbours are those of
    the spectra of draw 0, all modalities side by side. Pairs that share no modality are left out. ``k`` and ``seed``
    are those of `mlsmote`.
    """

    def __init__(self, base: SpectraDataset, k: int = 5, seed: int = 0):
        super().__init__(base)
        train = base.rows("train")
        x, present = base.spectra(train)
        samples = Synthetic(*(part.to(base.y.device) for part in mlsmote(x.flatten(1), base.y[train], k, seed)))
        shared = (present[samples.row] & present[samples.reference]).any(dim=1)
        row, reference, u, labels = (part[shared] for part in samples)
        self.synthetic = Synthetic(train[row], train[reference], u, labels)
        self.ids += tuple(f"mlsmote {i} of {base.ids[row]}" for i, row in enumerate(self.synthetic.row.tolist()))
        self.y = torch.cat([base.y, labels])
        self.digest = hashlib.sha256(repr((base.digest, "Oversampled", k, seed)).encode()).hexdigest()

    def rows(self, split: str) -> Int[Tensor, " row"]:
        """Rows of a split; those of the synthetic molecules, which are training rows, come last."""
        rows = self.base.rows(split)
        new = torch.arange(len(self.base.ids), len(self.ids), device=rows.device)
        return torch.cat([rows, new]) if split == "train" else rows

    def spectra(
        self, rows: Int[Tensor, " batch"], draw: int = 0
    ) -> tuple[Float[Tensor, "batch modality 600"], Bool[Tensor, "batch modality"]]:
        """Spectra and ``present``, those of the base for its rows."""
        new = rows >= len(self.base.ids)
        if not new.any():
            return self.base.spectra(rows, draw)
        sample = rows[new] - len(self.base.ids)
        source = rows.clone()
        source[new] = self.synthetic.row[sample]
        x, present = (part.clone() for part in self.base.spectra(source, draw))
        x_reference, present_reference = self.base.spectra(self.synthetic.reference[sample], draw)
        present[new] &= present_reference
        between = x[new] + self.synthetic.u[sample, None, None] * (x_reference - x[new])
        x[new] = between * present[new].unsqueeze(-1)
        return x, present

    def to(self, device: torch.device | str) -> Oversampled:
        """The same view of the data on another device."""
        other = super().to(device)
        other.synthetic = Synthetic(*(part.to(device) for part in self.synthetic))
        return other


def rarest_groups(
    y_train: Bool[Tensor, "train group"],
    y_test: Bool[Tensor, "test group"],
    n: int = 4,
    least_train: int = 12,
    least_test: int = 3,
) -> tuple[int, ...]:
    """The n groups with the fewest training positives, rarest first, among those with enough to learn from and to test.

    The paper takes four rare groups without naming a rule (Obs. 6).

    Raises
    ------
    ValueError : fewer than n groups have as many positives as asked for.
    """
    train, test = y_train.sum(dim=0), y_test.sum(dim=0)
    enough = ((train >= least_train) & (test >= least_test)).nonzero().flatten()
    if len(enough) < n:
        found = f"{len(enough)} groups have at least {least_train} training and {least_test} test positives"
        raise ValueError(f"{found}, {n} were asked for; ask for fewer, or use more molecules")
    return tuple(enough[train[enough].argsort(stable=True)[:n]].tolist())


class Scarce(DatasetView):
    """A data set with fewer training molecules of some groups (Fig. 4); validation and test stay as they are.

    Of each group's training positives, a share is kept, by the order of the SHA-256 hashes of their ids: no seed, and
    a smaller share is a subset of a larger one. A molecule leaves the training split if it is not kept for any one of
    its groups, so fewer than the share remain where molecules have two of the groups.

    Parameters
    ----------
    groups : indices, from 0
    share : in (0, 1]; rounded up to whole molecules

    Raises
    ------
    ValueError : a share outside (0, 1], or a group without positives in the training split.
    """

    def __init__(self, base: SpectraDataset, groups: Sequence[int], share: float):
        super().__init__(base)
        if not 0 < share <= 1:
            raise ValueError(f"a share of {share} of the training positives; expected more than 0 and at most 1")
        train, y = base.rows("train").cpu().numpy(), base.y.cpu().numpy()
        self._kept = torch.ones(len(base.ids), dtype=torch.bool)
        for group in groups:
            positive = train[y[train, group]]
            if len(positive) == 0:
                raise ValueError(f"no training molecule has {NAMES[group]}; choose another group or use more molecules")
            order = sorted(positive.tolist(), key=lambda row: hashlib.sha256(base.ids[row].encode()).digest())
            self._kept[order[math.ceil(round(share * len(order), 9)) :]] = False
        self.digest = hashlib.sha256(repr((base.digest, "Scarce", tuple(groups), share)).encode()).hexdigest()

    def rows(self, split: str) -> Int[Tensor, " row"]:
        """Rows of a split, without the dropped training molecules."""
        rows = self.base.rows(split)
        return rows[self._kept.to(rows.device)[rows]] if split == "train" else rows

"""A data set seen otherwise: another split, other training molecules (Table 2, Fig. 4), fewer or worse spectra.

Augmented spectra are in `symspectra.datasets.augmentation`.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Bool, Int
from torch import Tensor

from symspectra.datasets.base import Spectra, SpectraDataset, evaluated_groups
from symspectra.datasets.imbalance import Synthetic, mlsmote
from symspectra.datasets.splits import checked_split


class DatasetView(SpectraDataset):
    """A data set seen through a change: another split, fewer training molecules, other spectra.

    It hands everything on to ``base``; a subclass overrides what it changes. ``draw`` 0 must stay what evaluation sees.
    ``change`` is what the digest of a changed data set depends on beside the base's.
    """

    _moved = ("base", "y")

    def __init__(self, base: SpectraDataset, *change: object):
        self.base = base
        self.modalities, self.labels, self.ids, self.y = base.modalities, base.labels, base.ids, base.y
        self.evaluated = evaluated_groups(base)
        changed = hashlib.sha256(repr((base.digest, *change)).encode()).hexdigest()
        self.digest = changed if change else base.digest

    @property
    def measured(self) -> Bool[np.ndarray, " molecule"]:
        return self.base.measured

    def rows(self, split: str) -> Int[Tensor, " row"]:
        return self.base.rows(split)

    def spectra(self, rows: Int[Tensor, " batch"], draw: int = 0) -> Spectra:
        return self.base.spectra(rows, draw)


class Resplit(DatasetView):
    """A data set with a split of your own: ``train``, ``validation`` or ``test``, one per molecule of ``base``.

    `DataError` is raised where there are not as many as molecules, or one is unknown.
    """

    def __init__(self, base: SpectraDataset, split: Sequence[str]):
        super().__init__(base, tuple(split))
        self._split = checked_split(split, len(base.ids), "own split")

    rows = SpectraDataset.rows


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
        super().__init__(base, "Scarce", tuple(groups), share)
        if not 0 < share <= 1:
            raise ValueError(f"a share of {share} of the training positives; expected more than 0 and at most 1")
        train, y = base.rows("train").cpu().numpy(), base.y.cpu().numpy()
        self._kept = torch.ones(len(base.ids), dtype=torch.bool)
        for group in groups:
            positive = train[y[train, group]]
            if len(positive) == 0:
                missing = base.labels[group]
                raise ValueError(f"no training molecule has {missing}; choose another group or use more molecules")
            order = sorted(positive.tolist(), key=lambda row: hashlib.sha256(base.ids[row].encode()).digest())
            self._kept[order[math.ceil(round(share * len(order), 9)) :]] = False

    def rows(self, split: str) -> Int[Tensor, " row"]:
        rows = self.base.rows(split)
        return rows[self._kept.to(rows.device)[rows]] if split == "train" else rows


class Oversampled(DatasetView):
    """A data set whose training split also holds the synthetic molecules of `mlsmote`.

    A synthetic spectrum lies between the spectra of two training molecules under the same draw of the noise, at the
    same fraction in every modality, and is not normalised again; it is present where both are. Neighbours are those of
    the spectra of draw 0, all modalities side by side. Pairs that share no modality are left out. ``k`` and ``seed``
    are those of `mlsmote`.
    """

    _moved = ("base", "y", "synthetic")

    def __init__(self, base: SpectraDataset, k: int = 5, seed: int = 0):
        super().__init__(base, "Oversampled", k, seed)
        train = base.rows("train")
        x, present = base.spectra(train)
        samples = mlsmote(x.flatten(1), base.y[train], k, seed).to(base.y.device)
        shared = (present[samples.row] & present[samples.reference]).any(dim=1)
        row, reference, u, labels = (part[shared] for part in samples)
        self.synthetic = Synthetic(train[row], train[reference], u, labels)
        self.ids += tuple(f"mlsmote {i} of {base.ids[row]}" for i, row in enumerate(self.synthetic.row.tolist()))
        self.y = torch.cat([base.y, labels])

    def rows(self, split: str) -> Int[Tensor, " row"]:
        rows = self.base.rows(split)
        new = torch.arange(len(self.base.ids), len(self.ids), device=rows.device)
        return torch.cat([rows, new]) if split == "train" else rows

    def spectra(self, rows: Int[Tensor, " batch"], draw: int = 0) -> Spectra:
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


def generator_of(what: str, draw: int, rows: Tensor) -> torch.Generator:
    """Random numbers that depend on these three alone, so that a run that is resumed sees the same spectra."""
    state = hashlib.sha256(repr((what, draw, rows.tolist())).encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(state[:7], "big"))


class Withheld(DatasetView):
    """A data set whose training molecules lose spectra at random, others at every draw; at draw 0 all are there.

    Each measured spectrum is withheld with probability ``share``; a molecule that would lose all keeps one of them.
    A model trained so answers from any subset of its modalities.

    Raises
    ------
    ValueError : a share outside [0, 1).
    """

    def __init__(self, base: SpectraDataset, share: float):
        super().__init__(base, "Withheld", float(share))
        if not 0 <= share < 1:
            raise ValueError(f"a share of {share} of the spectra is to be withheld; expected at least 0 and below 1")
        self.share = share

    def spectra(self, rows: Int[Tensor, " batch"], draw: int = 0) -> Spectra:
        x, present = self.base.spectra(rows, draw)
        if draw == 0 or self.share == 0:
            return x, present
        luck = torch.rand(present.shape, generator=generator_of("withheld", draw, rows)).to(x.device)
        luck = torch.where(present, luck, -1.0)  # what was not measured cannot be the one that stays
        kept = present & ((luck >= self.share) | (luck == luck.amax(dim=1, keepdim=True)))
        return x * kept.unsqueeze(-1), kept


class Corrupted(DatasetView):
    """A data set with noise on its spectra or without some of them, at every draw: for a trained model to be tested on.

    The noise is Gaussian, of standard deviation ``noise`` times the spectrum's own maximum: 0.1 is a tenth of the
    strongest peak. Infrared and NMR spectra have the maximum 1; MS/MS vectors have unit l2 norm, and a lower maximum.
    It depends on the molecule's id and the draw; two levels differ in the factor alone. Nothing is clipped or
    normalised afterwards.

    Parameters
    ----------
    noise : at least 0
    without : names of modalities to withhold

    Raises
    ------
    ValueError : a negative or infinite noise, an unknown modality, or all of them withheld.
    """

    def __init__(self, base: SpectraDataset, noise: float = 0.0, without: Sequence[str] = ()):
        withheld = [name in without for name in base.modalities]
        super().__init__(base, "Corrupted", float(noise), withheld)
        if not 0 <= noise < math.inf:
            raise ValueError(f"noise of standard deviation {noise}; expected a number of at least 0")
        unknown = [name for name in without if name not in base.modalities]
        if unknown:
            raise ValueError(f"cannot withhold {unknown}; the data have the modalities {base.modalities}")
        if all(withheld):
            raise ValueError(f"all modalities {base.modalities} are withheld; keep at least one")
        self.noise, self._withheld = noise, torch.tensor(withheld)

    def spectra(self, rows: Int[Tensor, " batch"], draw: int = 0) -> Spectra:
        x, present = self.base.spectra(rows, draw)
        if self.noise > 0:
            x = x + self.noise * x.amax(dim=-1, keepdim=True) * self._normal(rows, draw, x)
        present = present & ~self._withheld.to(present.device)
        return x * present.unsqueeze(-1), present

    def _normal(self, rows: Tensor, draw: int, like: Tensor) -> Tensor:
        """Standard normal numbers, a function of the molecule and the draw."""
        numbers, generator = torch.empty(like.shape), torch.Generator()
        for row, values in zip(rows.tolist(), numbers, strict=True):
            state = hashlib.sha256(repr((self.ids[row], draw)).encode()).digest()
            values.normal_(generator=generator.manual_seed(int.from_bytes(state[:7], "big")))
        return numbers.to(like.device)

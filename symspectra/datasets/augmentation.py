"""Training spectra perturbed as instruments perturb them (App. I; Jung et al., Chem. Sci. 14 (2023) 3600).

The augmentations take a batch of spectra (`symspectra.datasets.base.SpectraDataset.spectra`) and a CPU generator, whose
numbers are moved to the device of the spectra. A spectrum of zeros (not measured) stays one under all of them, and a
formula, which is no spectrum, stays what it is.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from symspectra.datasets.base import Spectra, SpectraDataset
from symspectra.datasets.views import DatasetView, generator_of

KINDS = ("none", "shift", "vertical", "smooth", "mix")


def _uniform(shape: Sequence[int], low: float, high: float, generator: torch.Generator, like: Tensor) -> Tensor:
    return (low + (high - low) * torch.rand(shape, generator=generator)).to(like.device, like.dtype)


def horizontal_shift(
    x: Float[Tensor, "batch modality 600"], generator: torch.Generator, most: int = 2
) -> Float[Tensor, "batch modality 600"]:
    """Each spectrum moved by a random whole number of points, from -``most`` to ``most``; zeros come in at the end.

    Two of 600 points are 12 cm-1 (Jung et al. take 1 to 10), 0.8 ppm of 13C, 0.04 ppm of 1H and 2 m/z.
    """
    points = x.shape[-1]
    shift = torch.randint(-most, most + 1, (*x.shape[:2], 1), generator=generator).to(x.device)
    source = torch.arange(points, device=x.device) - shift
    inside = (source >= 0) & (source < points)
    return torch.where(inside, x.gather(-1, source.clamp(0, points - 1)), 0.0)


def vertical_noise(
    x: Float[Tensor, "batch modality 600"], generator: torch.Generator, most: float = 0.05
) -> Float[Tensor, "batch modality 600"]:
    """Noise on every point, the smaller the higher the point: y + m (top - y), m uniform on (-``most``, ``most``).

    ``top`` is the spectrum's maximum, so the noise is relative to it, and none at the strongest peak; Jung et al. write
    it for a maximum of 1. Negative results become 0.
    """
    m = _uniform(x.shape, -most, most, generator, x)
    return (x + m * (x.amax(dim=-1, keepdim=True) - x)).clamp_min(0)


def gaussian_smoothing(
    x: Float[Tensor, "batch modality 600"], generator: torch.Generator, least: float = 0.5, most: float = 1.5
) -> Float[Tensor, "batch modality 600"]:
    """Each spectrum smoothed by a Gaussian of random standard deviation, ``least`` to ``most`` points.

    Each spectrum keeps its maximum: preprocessing scales a spectrum of lower resolution as any other.
    """
    radius = math.ceil(3 * most)
    width = _uniform((*x.shape[:2], 1), least, most, generator, x)
    kernel = torch.exp(-0.5 * (torch.arange(-radius, radius + 1, device=x.device) / width) ** 2)
    windows = F.pad(x, (radius, radius)).unfold(-1, 2 * radius + 1, 1)
    y = (windows @ kernel.unsqueeze(-1)).squeeze(-1)
    top = y.amax(dim=-1, keepdim=True)
    return y * (x.amax(dim=-1, keepdim=True) / torch.where(top == 0, 1.0, top))


def linear_combination(
    x: Float[Tensor, "batch modality 600"], partner: Float[Tensor, "batch modality 600"], generator: torch.Generator
) -> Float[Tensor, "batch modality 600"]:
    """c x + (1 - c) partner, with c uniform on (0.01, 0.99): one number per molecule, the same for all its spectra."""
    c = _uniform((len(x), 1, 1), 0.01, 0.99, generator, x)
    return c * x + (1 - c) * partner


_ALONE = {"shift": horizontal_shift, "vertical": vertical_noise, "smooth": gaussian_smoothing}


class Augmented(DatasetView):
    """A data set whose training spectra are augmented; what evaluation sees (draw 0) stays as it is.

    At every draw, each molecule is augmented with probability 1/2, in all its spectra, so that training also sees the
    originals. The random numbers depend on the draw and the rows of the batch alone: a run that is resumed sees the
    same spectra.

    Parameters
    ----------
    kind : one of `KINDS`; ``"none"`` changes nothing. ``"mix"`` blends a training molecule with another training
        molecule that has the same groups, where both were measured; a molecule alone with its groups stays itself.

    Raises
    ------
    ValueError : an unknown kind.
    """

    def __init__(self, base: SpectraDataset, kind: str):
        if kind not in KINDS:
            raise ValueError(f"there is no augmentation {kind!r}; expected one of {KINDS}")
        super().__init__(base, *(() if kind == "none" else ("Augmented", kind)))
        self.kind = kind
        self._spectrum = torch.tensor([[name != "formula"] for name in base.modalities])
        if kind == "mix":
            self._order, self._place, self._first, self._size = _classes(base)

    def spectra(self, rows: Int[Tensor, " batch"], draw: int = 0) -> Spectra:
        x, present = self.base.spectra(rows, draw)
        if draw == 0 or self.kind == "none":
            return x, present
        generator = generator_of(self.kind, draw, rows)
        chosen = (torch.rand(len(rows), 1, 1, generator=generator) < 0.5).to(x.device)
        if self.kind == "mix":
            partner, measured = self.base.spectra(self.partners(rows, generator), draw)
            changed = linear_combination(x, torch.where(measured.unsqueeze(-1), partner, x), generator)
            changed = torch.where(present.unsqueeze(-1), changed, x)
        else:
            changed = _ALONE[self.kind](x, generator)
        return torch.where(chosen & self._spectrum.to(x.device), changed, x), present

    def partners(self, rows: Int[Tensor, " batch"], generator: torch.Generator) -> Int[Tensor, " batch"]:
        """A random other training molecule of the class of each row, or the row itself where there is none."""
        at = rows.cpu()
        first, size = self._first[at], self._size[at]
        step = 1 + (torch.rand(len(at), generator=generator, dtype=torch.float64) * (size - 1)).long()
        return self._order[first + (self._place[at] - first + step) % size].to(rows.device)


def _classes(base: SpectraDataset) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Rows sorted by class, the place of each row there, and where its class begins and how large it is.

    Training molecules with the same groups are one class; every other molecule is a class of its own.
    """
    n, train = len(base.ids), base.rows("train").cpu().numpy()
    label = len(train) + np.arange(n)
    label[train] = np.unique(base.y.cpu().numpy()[train], axis=0, return_inverse=True)[1].reshape(-1)
    order = np.argsort(label, kind="stable")
    place = np.empty(n, dtype=np.int64)
    place[order] = np.arange(n)
    _, first, index, size = np.unique(label[order], return_index=True, return_inverse=True, return_counts=True)
    tables = order, place, first[index][place], size[index][place]
    return tuple(torch.from_numpy(table) for table in tables)

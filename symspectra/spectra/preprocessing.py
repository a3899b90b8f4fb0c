"""Measured or simulated spectra to the vectors of 600 points that the model reads (paper section 2.2.1, Appendix F).

Batches are torch tensors on any device and every step is vectorised over the molecules. One spectrum on another axis
is for `symspectra.spectra.prepare`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from symspectra.modalities import KINDS

POINTS = 600

#: Standard axis of each continuous spectrum (those of the Alberts data set): ppm, ppm and cm-1.
AXES: dict[str, Float[np.ndarray, " points"]] = {
    name: np.linspace(*KINDS[name].axis, points) for name, points in (("h1", 10_000), ("c13", 10_000), ("ir", 1800))
}

MZ_MAX = KINDS["msms_pos"].axis[1]  # m/z; MS/MS covers [0, 600)
BINS_PER_MZ = 10
MSMS_BINS = 6000
MSMS_SIGMA = 2.0  # bins; the paper gives no value
MSMS_EPSILON = 1e-12
_TAPS = 4  # samples j-1 .. j+2 around a bin of sample j: the next one is 20 bins = 10 sigma away


def resample(
    y: Float[Tensor, "batch points"], points: int = POINTS, how: str = "blockmax"
) -> Float[Tensor, "batch {points}"]:
    """Spectra on an even axis of P points to fewer points (App. F.1).

    Parameters
    ----------
    points : number wanted
    how : ``"linear"``: linear interpolation at evenly spaced positions from the first point to the last (Eq. 32 read
        literally: it passes over lines narrower than the new step). ``"blockmax"`` / ``"blockmean"``: maximum / mean
        over block i = [floor(i P / points), floor((i + 1) P / points)), so no line falls between two samples.

    Raises
    ------
    ValueError : unknown ``how``, or fewer points than blocks.
    """
    length = y.shape[1]
    if how == "linear":
        x = torch.linspace(0, length - 1, points, dtype=torch.float64, device=y.device)
        i = x.long().clamp(max=length - 2)
        return y[:, i] + (x - i).to(y.dtype) * (y[:, i + 1] - y[:, i])  # Eq. 32
    if how not in ("blockmax", "blockmean") or length < points:
        raise ValueError(
            f"resampling {how!r} of {length} points; expected 'linear', or 'blockmax' or 'blockmean' of more"
        )
    # The block edges repeat: 10,000 points are 200 periods of 50 points, each of 3 blocks (16, 17 and 17 points).
    periods = math.gcd(length, points)
    width, blocks = length // periods, points // periods
    folded = y.reshape(len(y), periods, width)
    reduced = []
    for i in range(blocks):
        block = folded[:, :, i * width // blocks : (i + 1) * width // blocks]
        reduced.append(block.amax(-1) if how == "blockmax" else block.mean(-1))
    return torch.stack(reduced, dim=-1).flatten(1)


def min_max(y: Float[Tensor, "*batch points"]) -> Float[Tensor, "*batch points"]:
    """Scale each spectrum to [0, 1]; a constant spectrum becomes zeros."""
    low, high = y.aminmax(dim=-1, keepdim=True)
    span = high - low
    return (y - low) / torch.where(span > 0, span, 1.0)  # Eq. 33


def nmr_vector(y: Float[Tensor, "batch 10000"], how: str = "blockmax") -> Float[Tensor, "batch 600"]:
    """1H or 13C spectra on their standard axis (`AXES`) to 600 points in [0, 1] (App. F.1; ``how``: see `resample`).

    Raises
    ------
    ValueError : the spectra do not have 10,000 points, or ``how`` is unknown.
    """
    return min_max(resample(_on_axis(y, "h1"), POINTS, how))  # 13C has as many points


def ir_vector(y: Float[Tensor, "batch 1800"]) -> Float[Tensor, "batch 600"]:
    """IR spectra on the ascending axis 400 .. 4000 cm-1 to 600 points; intensities are not scaled (App. F.2).

    Values alone do not tell the direction of their axis: a spectrum measured from 4000 down to 400 cm-1 is for
    `symspectra.spectra.prepare`.

    Raises
    ------
    ValueError : the spectra do not have 1800 points.
    """
    return resample(_on_axis(y, "ir"), POINTS, "linear")


def _on_axis(y: Tensor, modality: str) -> Tensor:
    expected = len(AXES[modality])
    if y.ndim != 2 or y.shape[1] != expected:
        raise ValueError(f"expected spectra of shape (batch, {expected}), got {tuple(y.shape)}; for others see prepare")
    return y


@lru_cache(maxsize=4)
def _bin_response(device: torch.device) -> Float[Tensor, "6000 4"]:
    """What a unit peak in bin p = 10 j + r adds to samples j-1, j, j+1 and j+2.

    The samples x_j = 10 j are knots of the spline (Eq. 37), where it equals the data whatever its end conditions.
    """
    p = np.arange(MSMS_BINS)[:, None]

    def gaussian(x):  # Eq. 35 without 1/Z, zero outside the 6000 bins
        return np.exp(-((x - p) ** 2) / (2 * MSMS_SIGMA**2)) * ((x >= 0) & (x < MSMS_BINS))

    z = gaussian(p + np.arange(-50, 51)).sum(1, keepdims=True)
    response = gaussian(BINS_PER_MZ * (p // BINS_PER_MZ + np.arange(-1, _TAPS - 1)))
    return torch.from_numpy(response / z).to(device)


def msms_vector(
    mz: Float[Tensor, " peak"], intensity: Float[Tensor, " peak"], row: Int[Tensor, " peak"], n_rows: int
) -> Float[Tensor, "{n_rows} 600"]:
    """Peak lists of mass spectra to 600 points of unit l2 norm (App. F.3).

    Peaks go to 6000 bins of 0.1 m/z, are spread by a Gaussian of 2 bins, and the cubic spline through the bins is
    sampled at x_j = 10 j bins (0, 1, .. 599 m/z): evenly spaced over [0, 600) without its end, so that the sharp peaks
    at whole masses fall on samples. There the spline passes through the data, so the result is exact without fitting
    it; it is nowhere negative, so the clip of Eq. 37 has nothing to do. Peaks at m/z >= 600 do not count.

    Parameters
    ----------
    mz, intensity, row : all peaks of all spectra, flat, in any order: m/z, intensity (any scale) and the spectrum each
        belongs to. Peaks that belong to several collision energies of one molecule add up.
    n_rows : number of spectra; one without peaks is a row of zeros

    Raises
    ------
    ValueError : unequal lengths, a row outside [0, n_rows), or an m/z or intensity that is negative or not finite (the
        row is named).
    """
    if mz.ndim != 1 or not mz.shape == intensity.shape == row.shape:
        shapes = [tuple(values.shape) for values in (mz, intensity, row)]
        raise ValueError(f"mz, intensity and row must be flat and of equal length, got {shapes}")
    good = (mz >= 0) & (intensity >= 0) & mz.isfinite() & intensity.isfinite() & (row >= 0) & (row < n_rows)
    if not good.all():  # NaN compares false
        k = int((~good).nonzero()[0])
        raise ValueError(
            f"row {int(row[k])}: m/z {float(mz[k])}, intensity {float(intensity[k])}; expected finite values that are "
            f"not negative, and a row in [0, {n_rows})"
        )
    # Eq. 34, in double precision; 5e-4 of a bin covers 57.3 * 10 = 572.99.. and the rounding of float32 m/z.
    p = (mz.double() * BINS_PER_MZ + 5e-4).floor().long().clamp(max=MSMS_BINS - 1)
    weight = torch.where(mz < MZ_MAX, intensity.double(), 0.0)
    response = _bin_response(mz.device)[p] * weight[:, None]  # Eqs. 35 and 37
    # One spare sample on the left and two on the right take the (zero) response beyond the ends.
    padded = POINTS + _TAPS - 1
    target = (row.long() * padded + p // BINS_PER_MZ)[:, None] + torch.arange(_TAPS, device=mz.device)
    s = torch.zeros(n_rows * padded, dtype=torch.float64, device=mz.device)
    s.index_add_(0, target.flatten(), response.flatten())  # Eq. 36
    s = s.view(n_rows, padded)[:, 1 : POINTS + 1]
    return (s / (s.norm(dim=1, keepdim=True) + MSMS_EPSILON)).float()  # Eq. 38


def check_finite(x: Float[Tensor, "batch points"], names: Sequence[str], modality: str) -> None:
    """Refuse spectra that hold NaN or infinity: a ValueError names the first molecule, its modality and point."""
    if x.ndim != 2 or len(x) != len(names):
        raise ValueError(f"{modality}: spectra of shape {tuple(x.shape)} for {len(names)} names")
    bad = ~x.isfinite()
    if bad.any():
        molecule, point = bad.nonzero()[0].tolist()
        raise ValueError(f"{names[molecule]}: {modality} is {float(x[molecule, point])} at point {point}")

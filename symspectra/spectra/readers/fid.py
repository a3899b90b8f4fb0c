"""A free induction decay to a spectrum in ppm: digital filter, apodisation, zero filling, transform, phase."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Complex, Float

from symspectra.errors import ReadError

MODALITIES = {"1H": "h1", "13C": "c13"}
LINE_BROADENING = {"h1": 0.3, "c13": 1.0}  # Hz
MAX_POINTS = 1 << 22
_PHASE_POINTS = 8192  # of the decay; the phase of a spectrum does not depend on its resolution
_NOISE = 6.0  # times the median height: lines stand above it
_MOST_TILT = 270  # degrees over the spectrum; the delay is known, so little is left
_MOST_NEGATIVE = 0.4  # of the highest point; beyond it the automatic phase counts as failed


@dataclass(frozen=True)
class Fid:
    """A free induction decay of N complex points.

    Parameters
    ----------
    data : the points, in the order of their acquisition
    width_hz : spectral width
    reference_mhz : frequency of 0 ppm
    centre_ppm : shift at the middle of the spectrum
    delay : points before the signal begins: delay of a digital filter less the time before the first point
    kept_hz : the part of the width around the middle that the filter lets through, None for all
    """

    data: Complex[np.ndarray, " point"]
    width_hz: float
    reference_mhz: float
    centre_ppm: float
    delay: float = 0.0
    kept_hz: float | None = None

    def __post_init__(self):
        if not 16 <= len(self.data) <= MAX_POINTS:
            raise ReadError(f"the free induction decay has {len(self.data)} points; expected 16 to {MAX_POINTS:,}")
        with np.errstate(all="ignore"):
            highest = np.abs(self.data).max()
        if not 0 < highest < 1e100:  # NaN compares false
            raise ReadError("the free induction decay is zero or not finite; expected a signal")
        for name, value in (("spectral width", self.width_hz), ("frequency", self.reference_mhz)):
            if not 1e-3 < value < 1e9:
                raise ReadError(f"the {name} is {value:g}; expected a positive number")
        if not abs(self.centre_ppm) < 1e4:
            raise ReadError(f"the middle of the spectrum is at {self.centre_ppm:g} ppm; expected less than 10,000 ppm")
        if not abs(self.delay) < len(self.data) / 2:
            raise ReadError(f"the signal begins at point {self.delay:g} of {len(self.data)}; expected less than half")


def transform(
    fid: Fid, modality: str
) -> tuple[Float[np.ndarray, " point"], Float[np.ndarray, " point"], tuple[str, ...]]:
    """Shifts in ppm (descending), intensities, and what was done, in words."""
    size = 1 << math.ceil(math.log2(len(fid.data)))
    hz = LINE_BROADENING[modality]
    steps = [f"delay of the signal removed ({fid.delay:.2f} points)"] if fid.delay else []
    steps.append(f"free induction decay multiplied by an exponential of {hz:g} Hz")
    if size > len(fid.data):
        steps.append(f"filled with zeros from {len(fid.data):,} to {size:,} points")
    data = fid.data / np.abs(fid.data).max()
    y, phase_step = _phased(_fourier(data, fid, hz, size), data, fid, hz)
    steps += ["Fourier transformed", phase_step]
    frequency = np.fft.fftshift(np.fft.fftfreq(size, 1 / fid.width_hz))
    x = fid.centre_ppm + frequency / fid.reference_mhz
    if fid.kept_hz is not None and fid.kept_hz < fid.width_hz:
        inside = np.abs(frequency) <= fid.kept_hz / 2
        x, y = x[inside], y[inside]
        steps.append(f"edges beyond the {fid.kept_hz:.0f} Hz that the digital filter lets through cut off")
    return x[::-1], y[::-1], tuple(steps)


def _fourier(data: np.ndarray, fid: Fid, hz: float, size: int) -> Complex[np.ndarray, " size"]:
    """Spectrum by ascending frequency; a delay in time is a phase in frequency."""
    seconds = np.maximum(np.arange(len(data)) - fid.delay, 0) / fid.width_hz
    y = np.fft.fft(data * np.exp(-math.pi * hz * seconds), size)
    return np.fft.fftshift(y * np.exp(2j * math.pi * np.fft.fftfreq(size) * fid.delay))


def _phased(y: np.ndarray, data: np.ndarray, fid: Fid, hz: float) -> tuple[Float[np.ndarray, " size"], str]:
    """Real part after automatic phase correction (entropy minimisation), or the magnitude."""
    from scipy.optimize import minimize

    short = data[:_PHASE_POINTS]
    copy = _fourier(short, fid, max(hz, 2 * fid.width_hz / len(short)), 1 << math.ceil(math.log2(len(short))))
    height = np.abs(copy)
    lines = height > max(_NOISE * np.median(height), 0.005 * height.max())
    copy = np.where(lines, copy / np.sqrt(np.where(lines, height, 1.0) * height.max()), 0)  # weak lines count too
    candidates = ((p0, p1) for p1 in range(-180, 181, 60) for p0 in range(0, 360, 15))
    start = min(candidates, key=lambda phases: _disorder(phases, copy))
    p0, p1 = minimize(_disorder, start, args=(copy,), method="Nelder-Mead", options={"maxfev": 400}).x
    if not abs(p1) <= _MOST_TILT:
        p0, p1 = start
    real = _turned(y, p0, p1)
    if not np.isfinite(real).all() or -real.min() > _MOST_NEGATIVE * real.max():
        return np.abs(y), "magnitude taken, because the automatic phase correction failed"
    return real, f"phase corrected automatically ({p0 % 360:.0f} and {p1:.0f} degrees)"


def _turned(y: Complex[np.ndarray, " size"], p0: float, p1: float) -> Float[np.ndarray, " size"]:
    """Real part after a phase of p0 degrees at one end and p0 + p1 at the other."""
    return (y * np.exp(1j * np.deg2rad(np.linspace(p0, p0 + p1, len(y))))).real


def _disorder(phases: tuple[float, float], y: Complex[np.ndarray, " size"]) -> float:
    """Entropy of the derivative, more for negative parts (Chen et al., J. Magn. Reson. 2002, 158, 164)."""
    real = _turned(y, *phases)
    slope = np.abs(np.diff(real))
    share = slope[slope > 0] / slope.sum()
    return float(1000 * np.square(np.minimum(real, 0)).sum() - (share * np.log(share)).sum())

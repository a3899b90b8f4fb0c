"""One spectrum as a file gives it: values, units, what it is, and everything that was done to it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from jaxtyping import Float

from symspectra.errors import ReadError

#: Names that a file may give to a unit, lower case, and the one name used here.
X_UNITS: dict[str, tuple[str, ...]] = {
    "1/cm": ("1/cm", "cm-1", "cm^-1", "cm**-1", "cm⁻¹", "wavenumber", "wavenumbers", "wavenumber (cm-1)", "kayser"),
    "um": ("um", "µm", "μm", "micrometer", "micrometers", "micrometre", "micrometres", "micron", "microns"),
    "nm": ("nm", "nanometer", "nanometers", "nanometre", "nanometres"),
    "ppm": ("ppm", "delta", "chemical shift", "chemical shift (ppm)"),
    "Hz": ("hz", "hertz"),
    "m/z": ("m/z", "mz", "m / z", "mass/charge", "mass-to-charge ratio", "mass units"),
    "element": (),
}
Y_UNITS: dict[str, tuple[str, ...]] = {
    "absorbance": ("absorbance", "abs", "a", "au", "absorbance units", "a.u. (absorbance)"),
    "absorption coefficient": ("molar absorptivity", "epsilon", "(micromol/mol)-1m-1 (base 10)"),
    "transmittance": ("transmittance", "transmission", "t"),
    "percent transmittance": (
        *("percent transmittance", "% transmittance", "%transmittance", "transmittance (%)", "%t", "% t"),
        *("percent transmission", "% transmission", "transmission (%)"),
    ),
    "intensity": (
        *("intensity", "intensities", "arbitrary units", "arbitrary", "arb. units", "relative abundance"),
        *("relative intensity", "abundance", "counts", "percent", "ion counts", "a.u."),
    ),
    "atoms": (),
}


@dataclass(frozen=True)
class Spectrum:
    """A spectrum as it was measured, or as a list of its peaks.

    Parameters
    ----------
    x, y : positions and values, of equal length, finite; in any order of x
    x_unit : a key of `X_UNITS`
    y_unit : a key of `Y_UNITS`
    modality : one of `symspectra.modalities.KINDS`, or None where the file does not say
    meta : what else the source says: ``source`` (file name), ``format``, and where known ``title``, ``block``,
        ``solvent``, ``frequency_mhz``, ``precursor_mz``, ``ionisation``; of a list of peaks what
        `symspectra.spectra.conversion.SAID` names, one per peak
    peaks : whether it is a list of peaks rather than a curve
    steps : what has been done since the file, in words, in order

    Raises
    ------
    ReadError : lengths differ, nothing is there, a value is not finite, or a unit is not known.
    """

    x: Float[np.ndarray, " point"]
    y: Float[np.ndarray, " point"]
    x_unit: str
    y_unit: str
    modality: str | None = None
    meta: dict[str, Any] = field(default_factory=dict)
    peaks: bool = False
    steps: tuple[str, ...] = ()

    def __post_init__(self):
        for name in ("x", "y"):
            try:
                values = np.asarray(getattr(self, name), dtype=np.float64)
            except (TypeError, ValueError, OverflowError) as error:
                raise ReadError(f"{name} holds something that is not a number ({error})") from error
            if values.ndim != 1:
                raise ReadError(f"{name} has {values.ndim} dimensions; expected a list of numbers")
            if len(bad := np.flatnonzero(~np.isfinite(values))):
                at = f"point {bad[0] + 1} of {len(values)}"
                raise ReadError(f"{name} is {values[bad[0]]} at {at}; expected a finite number")
            object.__setattr__(self, name, values)
        if len(self.x) != len(self.y):
            raise ReadError(f"{len(self.x)} positions and {len(self.y)} values; expected as many of both")
        if len(self.x) == 0:
            raise ReadError("the spectrum is empty")
        if self.x_unit not in X_UNITS:
            raise ReadError(f"the axis is in {self.x_unit!r}; expected one of {', '.join(X_UNITS)}")
        if self.y_unit not in Y_UNITS:
            raise ReadError(f"the values are {self.y_unit!r}; expected one of {', '.join(Y_UNITS)}")

    def __len__(self) -> int:
        return len(self.x)

    def then(self, step: str, **changes: Any) -> Spectrum:
        """The spectrum after one more step; ``changes`` are fields of the dataclass."""
        return replace(self, steps=(*self.steps, step), **changes)


def unit(text: str, units: dict[str, tuple[str, ...]]) -> str | None:
    """The name used here of a unit as a file writes it, None where it is not known.

    >>> unit("1/CM", X_UNITS)
    '1/cm'
    """
    wanted = " ".join(text.lower().split())
    for name, spellings in units.items():
        if wanted == name.lower() or wanted in spellings:
            return name
    return None

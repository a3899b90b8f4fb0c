"""The kinds of spectra: one record each, with everything that is said of a kind in more than one place."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Modality:
    """A kind of spectrum."""

    name: str
    label: str  #: in a sentence
    figure_label: str
    said: str  #: in the messages of the readers
    colour: str  #: in figures
    unit: str  #: of its axis, in a table
    figure_unit: str
    axis: tuple[float, float]  #: first and last position of the axis that becomes 600 points (App. F), in ``unit``
    limits: tuple[float, float]  #: positions that a peak can have, in ``unit``
    nucleus: str | None = None  #: of an NMR spectrum
    other_units: tuple[str, ...] = ()  #: in which a file may give its axis as well
    spectrum: bool = True  #: else what is known of the molecule beside its spectra


_CM1 = {"unit": "1/cm", "figure_unit": "cm$^{-1}$", "other_units": ("um", "nm")}
_C13 = {"unit": "ppm", "figure_unit": "ppm", "other_units": ("Hz",), "nucleus": "13C"}
_H1 = {**_C13, "nucleus": "1H"}
_MASS = {"unit": "m/z", "figure_unit": "m/z", "axis": (0.0, 600.0), "limits": (0.0, 10_000.0)}
_FORMULA = {"unit": "atoms", "figure_unit": "", "axis": (0.0, 10.0), "limits": (0.0, 9.0), "spectrum": False}
_MINUS = "MS/MS\N{MINUS SIGN}"
_KINDS = (
    Modality("ir", "IR", "IR", "IR", "#D55E00", axis=(400.0, 4000.0), limits=(0.0, 20_000.0), **_CM1),
    Modality(
        "c13", "13C NMR", "$^{13}$C NMR", "13C NMR", "#0072B2", axis=(230.0, -20.0), limits=(-50.0, 300.0), **_C13
    ),
    Modality("h1", "1H NMR", "$^1$H NMR", "1H NMR", "#009E73", axis=(10.0, -2.0), limits=(-5.0, 20.0), **_H1),
    Modality("msms_pos", "MS/MS+", "MS/MS+", "positive MS/MS", "#CC79A7", **_MASS),
    Modality("msms_neg", _MINUS, _MINUS, "negative MS/MS", "#7F4F9E", **_MASS),
    Modality("ei", "EI-MS", "EI-MS", "electron ionisation", "#A6761D", **_MASS),
    Modality("formula", "formula", "formula", "molecular formula", "#555555", **_FORMULA),
)
#: All kinds, in the order in which models take them.
KINDS: dict[str, Modality] = {kind.name: kind for kind in _KINDS}
#: The kind of spectrum of a nucleus.
OF_NUCLEUS = {kind.nucleus: kind.name for kind in KINDS.values() if kind.nucleus}
#: The five kinds of the paper.
MODALITIES = tuple(KINDS)[:5]
SPECTRA = (*KINDS, "ms")  # "ms": one mass spectrum per molecule, of whatever kind was measured

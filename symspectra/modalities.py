"""The kinds of spectra: one record each, with everything that is said of a kind in more than one place."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Modality:
    """A kind of spectrum."""

    name: str
    label: str  #: in a sentence
    figure_label: str
    unit: str  #: of its axis, in a table
    figure_unit: str
    axis: tuple[float, float]  #: first and last position of the axis that becomes 600 points (App. F), in ``unit``
    colour: str  #: in figures
    said: str  #: in the messages of the readers
    limits: tuple[float, float]  #: positions that a peak can have, in ``unit``
    nucleus: str | None = None  #: of an NMR spectrum
    other_units: tuple[str, ...] = ()  #: in which a file may give its axis as well


_MASS = {"unit": "m/z", "figure_unit": "m/z", "axis": (0.0, 600.0), "limits": (0.0, 10_000.0)}
_PPM = {"unit": "ppm", "figure_unit": "ppm", "other_units": ("Hz",)}

#: The five kinds of the paper, in the order in which models take them.
KINDS: dict[str, Modality] = {
    kind.name: kind
    for kind in (
        Modality(
            name="ir",
            label="IR",
            figure_label="IR",
            unit="1/cm",
            figure_unit="cm$^{-1}$",
            axis=(400.0, 4000.0),
            colour="#D55E00",
            said="IR",
            limits=(0.0, 20_000.0),
            other_units=("um", "nm"),
        ),
        Modality(
            name="c13",
            label="13C NMR",
            figure_label="$^{13}$C NMR",
            axis=(230.0, -20.0),
            colour="#0072B2",
            said="13C NMR",
            limits=(-50.0, 300.0),
            nucleus="13C",
            **_PPM,
        ),
        Modality(
            name="h1",
            label="1H NMR",
            figure_label="$^1$H NMR",
            axis=(10.0, -2.0),
            colour="#009E73",
            said="1H NMR",
            limits=(-5.0, 20.0),
            nucleus="1H",
            **_PPM,
        ),
        Modality("msms_pos", "MS/MS+", "MS/MS+", colour="#CC79A7", said="positive MS/MS", **_MASS),
        Modality(
            name="msms_neg",
            label="MS/MS\N{MINUS SIGN}",
            figure_label="MS/MS\N{MINUS SIGN}",
            colour="#7F4F9E",
            said="negative MS/MS",
            **_MASS,
        ),
    )
}
#: The kind of spectrum of a nucleus.
OF_NUCLEUS = {kind.nucleus: kind.name for kind in KINDS.values() if kind.nucleus}
MODALITIES = tuple(KINDS)
SPECTRA = (*MODALITIES, "ms")  # "ms": one mass spectrum per molecule, of whatever kind was measured

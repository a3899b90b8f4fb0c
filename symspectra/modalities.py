"""The kinds of spectra: one record each, with everything that is said of a kind in more than one place."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Modality:
    """A kind of spectrum.

    Parameters
    ----------
    label : its name in a sentence
    figure_label : its name in a figure
    unit, figure_unit : of its axis, in a table and in a figure
    axis : first and last position of the axis that becomes 600 points (App. F), in ``unit``
    colour : in figures
    """

    name: str
    label: str
    figure_label: str
    unit: str
    figure_unit: str
    axis: tuple[float, float]
    colour: str


#: The five kinds of the paper, in the order in which models take them.
KINDS: dict[str, Modality] = {
    kind.name: kind
    for kind in (
        Modality("ir", "IR", "IR", "1/cm", "cm$^{-1}$", (400.0, 4000.0), "#D55E00"),
        Modality("c13", "13C NMR", "$^{13}$C NMR", "ppm", "ppm", (230.0, -20.0), "#0072B2"),
        Modality("h1", "1H NMR", "$^1$H NMR", "ppm", "ppm", (10.0, -2.0), "#009E73"),
        Modality("msms_pos", "MS/MS+", "MS/MS+", "m/z", "m/z", (0.0, 600.0), "#CC79A7"),
        Modality("msms_neg", "MS/MS\N{MINUS SIGN}", "MS/MS\N{MINUS SIGN}", "m/z", "m/z", (0.0, 600.0), "#7F4F9E"),
    )
}
MODALITIES = tuple(KINDS)
SPECTRA = (*MODALITIES, "ms")  # "ms": one mass spectrum per molecule, of whatever kind was measured

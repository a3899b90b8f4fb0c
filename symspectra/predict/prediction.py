"""What is said of one molecule: its groups, the spectra that they were read from, and what to be careful about."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from symspectra.spectra.conversion import Prepared

if TYPE_CHECKING:
    import pandas


class GroupPrediction(NamedTuple):
    """What is said of one functional group.

    Parameters
    ----------
    probability : calibrated
    threshold : from which the group counts as predicted; the same for all groups, with the best micro-F1 on
        validation
    prevalence : share of the training molecules that have the group
    f1 : of this group on the test molecules with these spectra; None where no test molecule has it
    note : why the answer is not to be relied on; empty where it is
    """

    name: str
    probability: float
    threshold: float
    prevalence: float
    f1: float | None
    note: str

    @property
    def predicted(self) -> bool:
        """Whether the probability reaches the threshold."""
        return self.probability >= self.threshold


@dataclass(frozen=True, repr=False)
class Prediction:
    """The groups of one molecule, the spectra they were read from, and what to be careful about."""

    groups: tuple[GroupPrediction, ...]
    spectra: dict[str, Prepared]
    warnings: tuple[str, ...]
    known: str = ""  #: how well such spectra are read, in a sentence

    def __repr__(self) -> str:
        """The spectra given, the groups predicted with their probabilities, and the warnings: a few lines."""
        found = [f"{g.name} {g.probability:.2f}" for g in self.ranked() if g.predicted]
        groups = ", ".join(found) or f"none of the {len(self.groups)} groups"
        lines = [f"Prediction {self.known or 'from ' + ', '.join(self.spectra)}", f"  {groups}"]
        return "\n".join([*lines, *(f"  warning: {sentence}" for sentence in self.warnings)])

    def ranked(self) -> list[GroupPrediction]:
        """The groups, most probable first."""
        return sorted(self.groups, key=lambda g: -g.probability)

    def table(self, least: float = 0.0) -> pandas.DataFrame:
        """One row per group, most probable first; only those of at least ``least`` probability, or predicted."""
        import pandas as pd

        shown = [g for g in self.ranked() if g.predicted or g.probability >= least]
        columns = {
            "group": [g.name for g in shown],
            "probability": [round(g.probability, 3) for g in shown],
            "predicted": ["yes" if g.predicted else "" for g in shown],
            "threshold": [round(g.threshold, 2) for g in shown],
            "in training": [f"{g.prevalence:.1%}" for g in shown],
            "F1": ["" if g.f1 is None else f"{g.f1:.2f}" for g in shown],
            "note": [g.note for g in shown],
        }
        return pd.DataFrame(columns)

    def to_dict(self) -> dict[str, Any]:
        """Everything, ready for JSON; groups in the order of the labels."""
        return {
            "groups": [{**g._asdict(), "predicted": g.predicted} for g in self.groups],
            "spectra": {name: list(prepared.steps) for name, prepared in self.spectra.items()},
            "warnings": list(self.warnings),
            "known": self.known,
        }

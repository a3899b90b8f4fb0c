"""Three known molecules with some of their simulated spectra, as files of the kinds that chemists have.

``docs/fits/write_samples.py`` writes them into ``symspectra/data/samples``.
"""

from __future__ import annotations

from itertools import compress
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from symspectra.groups.table8 import NAMES, label

if TYPE_CHECKING:
    from symspectra.predict.predictor import Prediction

FOLDER = Path(__file__).parent.parent / "data" / "samples"

#: Name -> SMILES, and the ending of the file of each spectrum.
SAMPLES: dict[str, tuple[str, dict[str, str]]] = {
    "propyl gallate": ("CCCOC(=O)c1cc(O)c(O)c(O)c1", {"ir": "jdx", "c13": "csv", "msms_neg": "msp"}),
    "perillaldehyde": ("C=C(C)C1CC=C(C=O)CC1", {"ir": "jdx", "c13": "txt", "h1": "txt", "msms_pos": "mgf"}),
    "homophenylalanine": ("NC(CCc1ccccc1)C(=O)O", {"h1": "txt", "msms_pos": "mgf", "msms_neg": "csv"}),
}


class Sample(NamedTuple):
    """A molecule and the files of its spectra, by modality."""

    name: str
    smiles: str
    files: dict[str, Path]


def samples(folder: str | Path = FOLDER) -> list[Sample]:
    """The molecules that come with the package."""
    found = []
    for name, (smiles, endings) in SAMPLES.items():
        stem = name.replace(" ", "_")
        found.append(Sample(name, smiles, {m: Path(folder) / f"{stem}_{m}.{endings[m]}" for m in endings}))
    return found


def outcome(prediction: Prediction, smiles: str) -> tuple[list[str], list[str], list[str]]:
    """Groups of a known structure that were found and missed, and predicted ones that it lacks; by probability."""
    held, ranked = set(compress(NAMES, label([smiles])[0].tolist())), prediction.ranked()
    found = [g.name for g in ranked if g.predicted and g.name in held]
    missed = [g.name for g in ranked if not g.predicted and g.name in held]
    return found, missed, [g.name for g in ranked if g.predicted and g.name not in held]

"""How a predictor does on measured spectra: ``python docs/fits/evaluate_predictor.py FOLDER [PREDICTOR]``.

``FOLDER`` is written by ``symspectra data prepare``. The scores go into ``measured.json`` of the predictor, which warns
from then on where it does much worse on measured spectra than on simulated ones.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool

from symspectra.datasets.prepared import read_folder
from symspectra.datasets.splits import split_of
from symspectra.files import written
from symspectra.predict.build import seal
from symspectra.predict.calibration import calibration_error
from symspectra.predict.predictor import SHIPPED, Predictor, subset_key
from symspectra.simulation.molecules import ELEMENTS, MIN_HEAVY
from symspectra.training.metrics import multilabel_metrics

SUBSETS = (("c13",), ("h1",), ("msms_pos",), ("msms_neg",), ("c13", "h1"))
LEAST = 50  # molecules; with fewer a score says little
MAX_HEAVY = 20  # as in the molecules of `open`


def evaluate(predictor: Predictor, folder: Path, split: str = "validation") -> dict[str, dict[str, Any]]:
    """Scores by subset of the spectra, on the molecules of a split that are like those of the training in size.

    Neutral molecules of 4 to 20 heavy atoms of the elements of `open`. The splits are those of `open`, so no molecule
    was trained on. Thresholds and calibration are the predictor's.

    Raises
    ------
    DataError : the folder is not one of ``symspectra data prepare``.
    """
    source = read_folder(folder)
    eligible = np.array([split_of(key) == split for key in source.inchikey])
    eligible[eligible] = [_like_open(s) for s, there in zip(source.smiles, eligible, strict=True) if there]
    scores = {}
    for subset in SUBSETS:
        columns = [source.modalities.index(name) for name in subset]
        rows = np.flatnonzero(eligible & source.present[:, columns].all(axis=1))
        if len(rows) >= LEAST:
            x = torch.from_numpy(source.vectors[rows][:, columns].astype(np.float32))
            scores[subset_key(subset)] = _scores(predictor, subset, x, source.y[rows])
    return scores


def _scores(
    predictor: Predictor, subset: tuple[str, ...], spectra: torch.Tensor, y: Bool[np.ndarray, "molecule 37"]
) -> dict[str, Any]:
    where = [predictor.modalities.index(name) for name in subset]
    x = torch.zeros(len(spectra), len(predictor.modalities), 600)
    present = torch.zeros(x.shape[:2], dtype=torch.bool)
    x[:, where], present[:, where] = spectra, True
    p = predictor.probabilities(x, present)
    scores = multilabel_metrics(y, p, np.array(predictor.card["subsets"][subset_key(subset)]["threshold"]))
    known = {name: round(scores[name], 4) for name in ("micro_f1", "macro_f1", "exact_match")}
    return {"molecules": len(y), **known, "calibration_error": round(calibration_error(p, y), 4)}


def _like_open(smiles: str) -> bool:
    from rdkit import Chem

    molecule = Chem.MolFromSmiles(smiles)
    return (
        molecule is not None
        and MIN_HEAVY <= molecule.GetNumHeavyAtoms() <= MAX_HEAVY
        and Chem.GetFormalCharge(molecule) == 0
        and {atom.GetAtomicNum() for atom in molecule.GetAtoms()} <= ELEMENTS
    )


def main(folder: Path, predictor: Path = SHIPPED) -> None:
    """Print the scores, and write them beside the predictor."""
    own = Predictor(predictor)
    scores = evaluate(own, folder)
    for key, s in scores.items():
        print(f"{key}: {s['molecules']} molecules, micro-F1 {s['micro_f1']:.3f}, simulated", end=" ")
        print(f"{own.card['subsets'][key]['micro_f1']:.3f}; calibration error {s['calibration_error']:.4f}")
    with written(predictor / "measured.json") as temporary:
        temporary.write_text(json.dumps(scores, indent=1) + "\n")
    seal(predictor)


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))

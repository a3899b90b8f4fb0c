"""How a predictor does on labelled spectra of one's own."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from symspectra.errors import ReadError
from symspectra.groups.table8 import label
from symspectra.predict.batch import predict_table
from symspectra.predict.calibration import calibration_error
from symspectra.predict.predictor import Predictor
from symspectra.predict.tables import read_molecules, read_structures
from symspectra.training.metrics import multilabel_metrics


def evaluate(predictor: Predictor, table: str | Path, progress: bool = False) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Scores by combination of spectra: of what each molecule has, and beside it of the constant answer.

    Parameters
    ----------
    table : as `symspectra.predict.tables.read_molecules` takes it, with a column ``smiles``

    Returns
    -------
    One row per combination, and one of all together: molecules, micro-F1, macro-F1, the share of molecules without any
    wrong group, calibration error, and the micro-F1 of naming the most frequent groups of this very table for every
    molecule, as many as suit it best. And the spectra that could not be read, with their reasons.

    Raises
    ------
    ReadError : the table cannot be read, a molecule has no structure or one that is none, or no spectrum is left.
    """
    molecules, structures = read_molecules(table), read_structures(Path(table))
    answers, rejects = predict_table(predictor, molecules, progress)
    if not len(answers):
        reason = f"; the first: {rejects['reason'][0]}" if len(rejects) else ""
        raise ReadError(f"{table}: no spectrum can be read{reason}")
    y = label([structures[name] for name in answers["name"]])
    p = answers[list(predictor.labels)].to_numpy()
    predicted = p >= np.array([[predictor.threshold(spectra.split("+"))] for spectra in answers["spectra"]])
    rows = dict(sorted(answers.groupby("spectra").indices.items()))
    if len(rows) > 1:
        rows["all"] = np.arange(len(y))
    return pd.DataFrame({name: scores_of(y[own], p[own], predicted[own]) for name, own in rows.items()}).T, rejects


def scores_of(y: np.ndarray, p: np.ndarray, predicted: np.ndarray) -> dict[str, float]:
    """Scores of calibrated probabilities and of what was predicted of them, beside the constant answer."""
    scores = multilabel_metrics(y, predicted.astype(float))
    return {
        "molecules": len(y),
        **{name: scores[name] for name in ("micro_f1", "macro_f1", "exact_match")},
        "calibration_error": calibration_error(p, y),
        "constant": multilabel_metrics(y, np.tile(constant(y), (len(y), 1)))["micro_f1"],
    }


def constant(y: np.ndarray) -> np.ndarray:
    """The most frequent groups, as many as give the best micro-F1 when they are named for every molecule: 0 and 1."""
    count = y.sum(axis=0)
    order = np.argsort(-count, kind="stable")
    named = np.arange(1, len(order) + 1)
    best = np.argmax(2 * count[order].cumsum() / (named * len(y) + count.sum()))
    return np.isin(np.arange(len(order)), order[: best + 1]).astype(float)

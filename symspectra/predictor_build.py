"""From a trained run to a predictor: calibration and thresholds from validation, scores on test, for every subset."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float

from symspectra.calibration import calibration_error, fit_scaling
from symspectra.datasets import SpectraDataset
from symspectra.likeness import Likeness
from symspectra.lines import DataError
from symspectra.metrics import multilabel_metrics, tune_thresholds
from symspectra.models import save_model
from symspectra.predictor import subset_key
from symspectra.runs import Run
from symspectra.training import predict_spectra

HARD = 0.05  # pairs of at least this probability


def subsets(modalities: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    """All subsets that are not empty, small ones first."""
    for size in range(1, len(modalities) + 1):
        yield from combinations(modalities, size)


def build(run: Run, dataset: SpectraDataset, folder: Path) -> dict[str, Any]:
    """Write the folder of a predictor, to a temporary name and renamed; return what ``predictor.json`` holds.

    Parameters
    ----------
    run : a model trained with spectra withheld (``withhold`` of `symspectra.config.Config`)
    dataset : the data that it was trained on
    folder : new, empty, or a predictor, which is replaced

    Raises
    ------
    DataError : the folder holds something else.
    """
    from safetensors.numpy import save_file

    if folder.exists() and not (folder / "predictor.json").exists() and any(folder.iterdir()):
        raise DataError(f"{folder}: holds files and is no predictor; name a new folder")
    model = run.load()
    splits = {name: dataset.rows(name) for name in ("train", "validation", "test")}
    seen = {name: dataset.spectra(splits[name]) for name in ("validation", "test")}
    y = {name: dataset.y[rows].numpy() for name, rows in splits.items()}
    card = {
        "modalities": list(run.config.modalities),
        "run": run.id,
        "molecules": {name: len(rows) for name, rows in splits.items()},
        "positives": {name: y[name].sum(axis=0).tolist() for name in ("train", "validation")},
        "subsets": {},
    }
    for subset in subsets(run.config.modalities):
        p = {name: _with_only(model, run.config.modalities, subset, *spectra) for name, spectra in seen.items()}
        card["subsets"][subset_key(subset)] = describe_subset(y["validation"], p["validation"], y["test"], p["test"])
    arrays = {}
    x_train = dataset.spectra(splits["train"], draw=1)[0].numpy()
    for k, name in enumerate(run.config.modalities):
        like = Likeness.fit(x_train[:, k], seen["validation"][0][:, k].numpy())
        arrays |= {f"{name}.{key}": value.astype(np.float32) for key, value in vars(like).items()}
    work = folder.with_name(folder.name + ".tmp")
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    save_model(work / "model.safetensors", model, run.config)
    save_file(arrays, work / "likeness.safetensors")
    (work / "predictor.json").write_text(json.dumps(card) + "\n")
    shutil.rmtree(folder, ignore_errors=True)
    os.replace(work, folder)
    return card


def _with_only(
    model: torch.nn.Module, modalities: tuple[str, ...], subset: tuple[str, ...], x: torch.Tensor, present: torch.Tensor
) -> Float[np.ndarray, "molecule 37"]:
    """Probabilities when only some of the spectra are there."""
    kept = present & torch.tensor([name in subset for name in modalities])
    return predict_spectra(model, x * kept.unsqueeze(-1), kept).double().numpy()


def describe_subset(
    y_validation: Bool[np.ndarray, "molecule 37"],
    p_validation: Float[np.ndarray, "molecule 37"],
    y_test: Bool[np.ndarray, "molecule 37"],
    p_test: Float[np.ndarray, "molecule 37"],
) -> dict[str, Any]:
    """Scaling, thresholds and what the spectra can tell, from validation; scores and calibration error, from test."""
    scaling = fit_scaling(p_validation, y_validation)
    calibrated, p = scaling(p_validation), scaling(p_test)
    threshold = tune_thresholds(y_validation, calibrated)
    scores = multilabel_metrics(y_test, p, threshold)
    hard_before, hard = p_test >= HARD, p >= HARD
    return {
        "scaling": list(scaling),
        "threshold": threshold.round(4).tolist(),
        "informative": informative(y_validation, p_validation).tolist(),
        "f1": [f if n else None for f, n in zip(scores["per_group_f1"], scores["per_group_support"], strict=True)],
        **{name: scores[name] for name in ("micro_f1", "macro_f1", "exact_match")},
        "micro_f1_at_half": multilabel_metrics(y_test, p)["micro_f1"],
        "calibration_error": {
            "before": calibration_error(p_test, y_test),
            "after": calibration_error(p, y_test),
            "hard_before": calibration_error(p_test[hard_before], y_test[hard_before]),
            "hard_after": calibration_error(p[hard], y_test[hard]),
        },
    }


def informative(y: Bool[np.ndarray, "molecule 37"], p: Float[np.ndarray, "molecule 37"]) -> Bool[np.ndarray, " 37"]:
    """Groups that the spectra tell apart: their molecules rank higher than others by more than chance explains.

    The area under the ROC curve must exceed one half by three of its standard errors under no information (Mann and
    Whitney). A group without molecules cannot be judged.
    """
    from scipy.stats import rankdata

    n1 = y.sum(axis=0)
    n0 = len(y) - n1
    ranks = rankdata(p, axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        area = ((ranks * y).sum(axis=0) - n1 * (n1 + 1) / 2) / (n1 * n0)
        error = np.sqrt((len(y) + 1) / (12 * n1 * n0))
        return area > 0.5 + 3 * error

"""From a trained run to a predictor: calibration and thresholds from validation, scores on test, for every subset.

Both are of the molecules that have all spectra: of ``open+experimental``, the simulated ones.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float

from symspectra.datasets.base import SpectraDataset
from symspectra.errors import DataError
from symspectra.files import check_writable, write_manifest, written
from symspectra.models.registry import save_model
from symspectra.models.symspectra import SymSpectra
from symspectra.predict.calibration import calibration_error, fit_scaling
from symspectra.predict.likeness import Likeness
from symspectra.predict.predictor import subset_key, subsets
from symspectra.training.fit import predict_spectra
from symspectra.training.metrics import multilabel_metrics, tune_thresholds
from symspectra.training.store import Run

HARD = 0.05  # pairs of at least this probability


def build(run: Run, dataset: SpectraDataset, folder: str | Path) -> dict[str, Any]:
    """Write the folder of a predictor, to a temporary name and renamed; return what ``predictor.json`` holds.

    Parameters
    ----------
    run : a model trained with spectra withheld (``withhold`` of `symspectra.config.Config`)
    dataset : the data that it was trained on
    folder : new, empty, or a predictor, which is replaced; its other files, such as a README.md, stay, but for
        ``measured.json``, which is of other weights

    Raises
    ------
    ConfigError : the folder cannot be written.
    DataError : the folder holds something else, the run is of another model than SymSpectra, or no validation or test
        molecule has all spectra.
    """
    from safetensors.numpy import save

    folder = Path(folder)
    check_folder(folder)
    model = run.load()
    if not isinstance(model, SymSpectra):
        raise DataError(f"{run.path}: is of {run.config.model.name}; a predictor can be made of SymSpectra alone")
    seen = {name: _complete(dataset, name) for name in ("validation", "test")}
    y = {"train": dataset.y[dataset.rows("train")].numpy()} | {name: labels for name, (*_, labels) in seen.items()}
    card = {
        "modalities": list(dataset.modalities),
        "run": run.id,
        "molecules": {name: len(labels) for name, labels in y.items()},
        "positives": {name: y[name].sum(axis=0).tolist() for name in ("train", "validation")},
        "subsets": {},
    }
    for subset in subsets(dataset.modalities):
        p = {}
        for name, (x, present, _) in seen.items():
            kept = present & torch.tensor([modality in subset for modality in dataset.modalities])
            p[name] = predict_spectra(model, x * kept.unsqueeze(-1), kept).double().numpy()
        card["subsets"][subset_key(subset)] = describe_subset(y["validation"], p["validation"], y["test"], p["test"])
    arrays = _likeness(dataset)
    with written(folder) as work:
        if folder.exists():
            shutil.copytree(folder, work)
            (work / "measured.json").unlink(missing_ok=True)
        work.mkdir(exist_ok=True)
        save_model(work / "model.safetensors", model, run.config)
        (work / "likeness.safetensors").write_bytes(save(arrays))
        (work / "predictor.json").write_text(json.dumps(card) + "\n")
        seal(work)
    return card


def check_folder(folder: Path) -> None:
    """Raise `DataError` or `ConfigError`, before anything is computed, where a predictor cannot be written to it."""
    if folder.exists() and not (folder / "predictor.json").exists() and any(folder.iterdir()):
        raise DataError(f"{folder}: holds files and is no predictor; name a new folder")
    check_writable(folder.parent, "a predictor")


def seal(folder: Path) -> None:
    """Write the checksums of a predictor's files, which `symspectra.predict.predictor.Predictor` compares."""
    write_manifest(folder, {}, without=["README.md"])


def _likeness(dataset: SpectraDataset) -> dict[str, np.ndarray]:
    """What the training spectra of each modality look like, and how far those of validation molecules are from it."""
    arrays = {}
    x, present = dataset.spectra(dataset.rows("train"), draw=1)
    x_new, present_new = dataset.spectra(dataset.rows("validation"))
    for k, name in enumerate(dataset.modalities):
        like = Likeness.fit(x[present[:, k], k].numpy(), x_new[present_new[:, k], k].numpy())
        arrays |= {f"{name}.{key}": value.astype(np.float32) for key, value in vars(like).items()}
    return arrays


def _complete(dataset: SpectraDataset, split: str) -> tuple[torch.Tensor, torch.Tensor, np.ndarray]:
    """Spectra, ``present`` and labels of the molecules of a split that have all spectra, so that subsets compare."""
    rows = dataset.rows(split)
    x, present = dataset.spectra(rows)
    whole = present.all(dim=1)
    if not whole.any():
        raise DataError(f"no {split} molecule has all of {', '.join(dataset.modalities)}; a predictor cannot be built")
    return x[whole], present[whole], dataset.y[rows[whole]].numpy()


def describe_subset(
    y_validation: Bool[np.ndarray, "molecule label"],
    p_validation: Float[np.ndarray, "molecule label"],
    y_test: Bool[np.ndarray, "molecule label"],
    p_test: Float[np.ndarray, "molecule label"],
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


def informative(
    y: Bool[np.ndarray, "molecule label"], p: Float[np.ndarray, "molecule label"]
) -> Bool[np.ndarray, " label"]:
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

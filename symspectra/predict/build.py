"""From a trained run to a predictor: calibration and threshold from validation, scores on test, for every subset.

Each subset of the spectra is judged on molecules that have all of them: measured ones, where there are enough.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float
from tqdm import tqdm

from symspectra.datasets.base import SpectraDataset
from symspectra.errors import DataError
from symspectra.files import check_writable, write_manifest, written
from symspectra.modalities import KINDS
from symspectra.models.registry import save_model
from symspectra.models.restriction import quick
from symspectra.models.symspectra import SymSpectra
from symspectra.predict.calibration import calibration_error, fit_scaling
from symspectra.predict.evaluate import constant
from symspectra.predict.likeness import Likeness
from symspectra.predict.predictor import BATCH, subset_key, subsets
from symspectra.training.fit import predict_spectra
from symspectra.training.metrics import multilabel_metrics, tune_threshold
from symspectra.training.store import Run

HARD = 0.05  # pairs of at least this probability
ENOUGH = 100  # molecules, for what is learned from them
LEARNED = ("scaling", "threshold", "informative")


def build(run: Run, dataset: SpectraDataset, folder: str | Path, show: bool = False) -> dict[str, Any]:
    """Write the folder of a predictor, to a temporary name and renamed; return what ``predictor.json`` holds.

    Parameters
    ----------
    run : a model trained with spectra withheld (``withhold`` of `symspectra.config.Config`)
    dataset : the data that it was trained on
    folder : new, empty, or a predictor, which is replaced; its other files, such as a README.md, stay, but for
        ``measured.json``, which is of other weights
    show : a progress bar

    Raises
    ------
    ConfigError : the folder cannot be written.
    DataError : the folder holds something else, the run is of another model than SymSpectra, or no validation
        molecule has some kind of spectrum.
    """
    from safetensors.numpy import save

    folder = Path(folder)
    check_folder(folder)
    model = run.load()
    if not isinstance(model, SymSpectra):
        raise DataError(f"{run.path}: is of {run.config.model.name}; a predictor can be made of SymSpectra alone")
    kept = {name: dataset.rows(name) for name in ("validation", "test")}
    seen = {name: (*dataset.spectra(rows), dataset.y[rows].numpy()) for name, rows in kept.items()}
    measured = {name: dataset.measured[rows.numpy()] for name, rows in kept.items()}
    y = {"train": dataset.y[dataset.rows("train")].numpy(), "validation": seen["validation"][2]}
    card: dict[str, Any] = {
        "modalities": list(dataset.modalities),
        "run": run.id,
        "molecules": {name: len(dataset.rows(name)) for name in ("train", "validation", "test")},
        "positives": {name: labels.sum(axis=0).tolist() for name, labels in y.items()},
        "subsets": {},
    }
    for subset in tqdm(list(subsets(dataset.modalities)), desc="combinations of spectra", disable=not show):
        columns, smaller = [dataset.modalities.index(modality) for modality in subset], quick(model, subset)
        there = {split: present[:, columns].all(dim=1).numpy() for split, (_, present, _) in seen.items()}
        kind, own = _kind(there["validation"], measured["validation"])
        if not own.any():
            card["subsets"][subset_key(subset)] = _smaller(card["subsets"], subset)
            continue
        answers = []
        for split, (x, present, labels) in seen.items():
            rows = torch.from_numpy(np.flatnonzero(there[split] & (measured[split] == (kind == "measured"))))
            p = predict_spectra(smaller, x[rows][:, columns], present[rows][:, columns], BATCH // len(columns))
            answers += [labels[rows.numpy()], p.double().numpy()]
        card["subsets"][subset_key(subset)] = {"spectra": kind, **judged(*answers)}
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
        if KINDS[name].spectrum:
            like = Likeness.fit(x[present[:, k], k].numpy(), x_new[present_new[:, k], k].numpy())
            arrays |= {f"{name}.{key}": value.astype(np.float32) for key, value in vars(like).items()}
    return arrays


def _kind(
    there: Bool[np.ndarray, " molecule"], measured: Bool[np.ndarray, " molecule"]
) -> tuple[str, Bool[np.ndarray, " molecule"]]:
    """From which spectra is learned, and of which molecules: measured ones where there are `ENOUGH`, or no others."""
    if (there & measured).sum() >= ENOUGH or not (there & ~measured).any():
        return "measured", there & measured
    return "simulated", there & ~measured


def judged(
    y_validation: np.ndarray, p_validation: np.ndarray, y_test: np.ndarray, p_test: np.ndarray
) -> dict[str, Any]:
    """As `describe_subset`. Without test molecules scores are of every second validation molecule, with what the others
    teach; what is used is learned from all."""
    if len(y_test):
        return {"tested": len(y_test), **describe_subset(y_validation, p_validation, y_test, p_test)}
    y, p = y_validation, p_validation
    known, learned = describe_subset(y[::2], p[::2], y[1::2], p[1::2]), describe_subset(y, p, y, p)
    return {"tested": len(y[1::2]), **known, **{name: learned[name] for name in LEARNED}}


def _smaller(known: dict[str, dict[str, Any]], subset: tuple[str, ...]) -> dict[str, Any]:
    """For spectra that no molecule has together: what is known of most of them, as that of those alone."""
    parts = [part for part in subsets(subset) if "as" not in known.get(subset_key(part), {"as": ""})]
    if not parts:
        raise DataError(f"no validation molecule has {subset[0]}; a predictor cannot be built")
    return {**known[subset_key(parts[-1])], "as": subset_key(parts[-1])}


def describe_subset(
    y_validation: Bool[np.ndarray, "molecule label"],
    p_validation: Float[np.ndarray, "molecule label"],
    y_test: Bool[np.ndarray, "molecule label"],
    p_test: Float[np.ndarray, "molecule label"],
) -> dict[str, Any]:
    """Scaling, threshold and what the spectra can tell, from validation; scores and calibration error, from test.

    ``constant`` is the micro-F1 of naming the most frequent groups for every molecule, as many as validation favours.
    """
    scaling = fit_scaling(p_validation, y_validation)
    calibrated, p = scaling(p_validation), scaling(p_test)
    threshold = tune_threshold(y_validation, calibrated)
    scores = multilabel_metrics(y_test, p, threshold)
    hard_before, hard = p_test >= HARD, p >= HARD
    return {
        "scaling": list(scaling),
        "threshold": round(threshold, 4),
        "informative": informative(y_validation, p_validation).tolist(),
        "f1": [f if n else None for f, n in zip(scores["per_group_f1"], scores["per_group_support"], strict=True)],
        **{name: scores[name] for name in ("micro_f1", "macro_f1", "exact_match")},
        "constant": multilabel_metrics(y_test, np.tile(constant(y_validation), (len(y_test), 1)))["micro_f1"],
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

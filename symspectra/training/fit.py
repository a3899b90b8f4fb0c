"""Training with model choice on validation."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import torch
from jaxtyping import Int
from torch import Tensor

from symspectra.config import Config
from symspectra.datasets.augmentation import Augmented
from symspectra.datasets.base import SpectraDataset, evaluated_groups
from symspectra.datasets.splits import split_by_scaffold
from symspectra.datasets.views import Oversampled, Resplit, Scarce, Withheld
from symspectra.errors import DataError
from symspectra.groups.table8 import NAMES
from symspectra.models.base import Groups, Present, Spectra, SpectrumClassifier, probabilities
from symspectra.models.registry import build_model
from symspectra.training.metrics import validation_scores
from symspectra.training.schedules import epoch_draw
from symspectra.training.trainer import Trainer, TrainingResult, TrainingState

Report = Callable[[dict[str, float]], None]


def predict_spectra(model: SpectrumClassifier, x: Spectra, present: Present, batch: int | None = None) -> Groups:
    """Probabilities for some spectra, in evaluation mode, on the CPU; ``batch`` of them at a time."""
    return probabilities(model, x, present, batch).cpu()


def predict(model: SpectrumClassifier, dataset: SpectraDataset, rows: Int[Tensor, " row"]) -> Groups:
    """Probabilities for some rows of a data set, under the fixed noise of draw 0, on the CPU."""
    if len(rows) == 0:
        return torch.zeros(0, dataset.y.shape[1])
    return torch.cat([predict_spectra(model, *dataset.spectra(chunk)) for chunk in rows.split(4096)])


def of_data(config: Config, dataset: SpectraDataset) -> Config:
    """The configuration of a run on these data: with their labels, where these are not the groups of Table 8.

    Raises
    ------
    DataError : the configuration has other labels, or other modalities.
    ConfigError : settings that are of the groups of Table 8 alone.
    """
    if tuple(dataset.modalities) != config.data.modalities:
        raise DataError(f"the data have modalities {dataset.modalities}, the configuration {config.data.modalities}")
    labels = () if tuple(dataset.labels) == NAMES else tuple(dataset.labels)
    if config.data.labels not in ((), labels):
        raise DataError(f"the data have labels {dataset.labels}, the configuration {config.data.labels}")
    return config if config.data.labels == labels else config.replace(labels=labels)


def train(
    config: Config,
    dataset: SpectraDataset,
    device: torch.device | str = "cpu",
    checkpoint: Path | None = None,
    checkpoint_seconds: float = 30.0,
    report: Report | None = None,
    start: Path | None = None,
    capture: bool | None = None,
) -> TrainingResult:
    """Train the model of ``config`` on the training split, to its last epoch.

    Validation chooses no epoch: of those near the end, the best on a small split is the best by chance.

    Parameters
    ----------
    checkpoint : file to write after an epoch when ``checkpoint_seconds`` have passed since the last one; training
        continues from it if it is there. On a CPU the result is the same bit for bit.
    report : called with the numbers of every finished epoch
    start : weights to start from, of a model of the same sizes (`symspectra.models.registry.save_model`)
    capture : see `symspectra.training.trainer.Trainer`

    Raises
    ------
    DataError : an empty split, a validation split without positives, data of other modalities or labels than the
        configuration's, or a checkpoint that is damaged or of another run.
    FloatingPointError : the loss is no longer finite; the message names the epoch.
    """
    device, config = torch.device(device), of_data(config, dataset)
    dataset = _arranged(config, dataset, device)
    if config.model.name == "xgboost":
        return _fit_trees(config, dataset, report)
    trainer = Trainer(config, dataset, device, start, capture)
    if checkpoint is not None and checkpoint.exists():
        trainer.restore(checkpoint)
    train_rows, validation_rows = dataset.rows("train"), dataset.rows("validation")
    groups = evaluated_groups(dataset).to(train_rows.device)
    y, seen, saved = dataset.y[validation_rows], dataset.spectra(validation_rows), time.monotonic()
    state, epochs = trainer.state, config.training.epochs
    while state.epoch < epochs:
        began = time.monotonic()
        logs = trainer.train_epoch(train_rows)
        scores = validation_scores(y, trainer.validate(*seen), groups)
        state.seconds += time.monotonic() - began
        validation = {f"validation_{name}": score for name, score in scores.items()}
        state.history.append({"epoch": state.epoch, "lr": trainer.rate, **logs, **validation})
        state.epoch += 1
        if report is not None:
            report(state.history[-1])
        if checkpoint is not None and state.epoch < epochs and time.monotonic() - saved >= checkpoint_seconds:
            trainer.save(checkpoint)
            saved = time.monotonic()
    return trainer.result()


def _arranged(config: Config, dataset: SpectraDataset, device: torch.device) -> SpectraDataset:
    """The data of a run on its device, if it can be trained on them."""
    dataset = arrange(config, dataset).to(device)
    for name, split in (("training", "train"), ("validation", "validation")):
        if len(dataset.rows(split)) == 0:
            number = len(dataset.ids) if dataset.own is None else dataset.own.sum()  # the others are only tested on
            raise DataError(f"the {name} split is empty: {number} molecules are too few; use more molecules")
    y = dataset.y[dataset.rows("validation")].cpu()
    if not y[:, evaluated_groups(dataset)].any():
        raise DataError(f"no molecule of the validation split ({len(y)}) has any of the groups")
    return dataset


def arrange(config: Config, dataset: SpectraDataset) -> SpectraDataset:
    """The data as an experiment wants them: another split, scarce groups, oversampling, augmentation, fewer spectra.

    Raises
    ------
    DataError : what was asked for cannot be done with these data; the message says what.
    """
    try:
        if config.data.split == "scaffold":
            dataset = Resplit(dataset, split_by_scaffold(dataset.ids, dataset.own))
        if config.data.scarce_groups:
            dataset = Scarce(dataset, [number - 1 for number in config.data.scarce_groups], config.data.scarce_share)
        if config.data.imbalance == "mlsmote":
            dataset = Oversampled(dataset, seed=config.training.seed)
        if config.data.augment != "none":
            dataset = Augmented(dataset, config.data.augment)
        return Withheld(dataset, config.data.withhold) if config.data.withhold else dataset
    except ValueError as error:
        raise DataError(str(error)) from error


def _fit_trees(config: Config, dataset: SpectraDataset, report: Report | None) -> TrainingResult:
    """Boosted trees are fitted in one go, to the spectra of the first draw of the noise."""
    model, state, start = build_model(config), TrainingState(epoch=1), time.monotonic()
    rows, validation = dataset.rows("train"), dataset.rows("validation")
    model.fit(*dataset.spectra(rows, draw=epoch_draw(config, 0)), dataset.y[rows])
    p = predict(model, dataset, validation)
    scores = validation_scores(dataset.y[validation].cpu(), p, evaluated_groups(dataset))
    entry = {"epoch": 0, "lr": 0.0, "loss": 0.0} | {f"validation_{name}": score for name, score in scores.items()}
    state.history, state.seconds = [entry], time.monotonic() - start
    if report is not None:
        report(entry)
    return TrainingResult(model, state, dataset, None, None)

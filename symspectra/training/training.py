"""Training with model choice on validation."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from symspectra.config import Config
from symspectra.datasets.augmentation import Augmented, Withheld
from symspectra.datasets.base import SpectraDataset, evaluated_groups
from symspectra.datasets.imbalance import Oversampled, Scarce
from symspectra.errors import ConfigError, DataError
from symspectra.models.base import SpectrumClassifier
from symspectra.models.processes import number
from symspectra.models.registry import build_model
from symspectra.training.distributed import SharedTrainer
from symspectra.training.metrics import multilabel_metrics, validation_scores
from symspectra.training.stacked import StackedTrainer, own_generator, stackable
from symspectra.training.streams import StreamedTrainer
from symspectra.training.trainer import Trainer, TrainingResult, TrainingState, probabilities

Report = Callable[[dict[str, float]], None]


def predict_spectra(
    model: SpectrumClassifier,
    x: Float[Tensor, "row modality 600"],
    present: Bool[Tensor, "row modality"],
    batch: int | None = None,
) -> Float[Tensor, "row group"]:
    """Probabilities for some spectra, in evaluation mode, on the CPU; ``batch`` of them at a time."""
    return probabilities(model, x, present, batch).cpu()


def predict(
    model: SpectrumClassifier, dataset: SpectraDataset, rows: Int[Tensor, " row"]
) -> Float[Tensor, "row group"]:
    """Probabilities for some rows of a data set, under the fixed noise of draw 0, on the CPU."""
    if len(rows) == 0:
        return torch.zeros(0, dataset.y.shape[1])
    return torch.cat([predict_spectra(model, *dataset.spectra(chunk)) for chunk in rows.split(4096)])


def train(
    config: Config,
    dataset: SpectraDataset,
    device: torch.device | str = "cpu",
    checkpoint: Path | None = None,
    checkpoint_seconds: float = 30.0,
    report: Report | None = None,
    start: Path | None = None,
    fast: bool | None = None,
) -> TrainingResult:
    """Train the model of ``config`` on the training split; keep the epoch with the best validation micro-F1.

    Parameters
    ----------
    checkpoint : file to write after an epoch when ``checkpoint_seconds`` have passed since the last one; training
        continues from it if it is there. On a CPU the result is the same bit for bit.
    report : called with the numbers of every finished epoch
    start : weights to start from, of a model of the same sizes (`symspectra.models.registry.save_model`)
    fast : see `symspectra.training.trainer.Trainer`

    Raises
    ------
    DataError : an empty split, a validation split without positives, data of other modalities than the
        configuration's, or a checkpoint that is damaged or of another run.
    FloatingPointError : the loss is no longer finite; the message names the epoch.
    """
    device = torch.device(device)
    dataset = _arranged(config, dataset, device)
    if config.model == "xgboost":
        return _fit_trees(config, dataset, report)
    n_train = len(dataset.rows("train"))
    if number() > 1:
        trainer: Trainer = SharedTrainer(config, dataset, device, n_train, start)
    else:
        trainer = Trainer(config, dataset, device, n_train, start, fast)
    if checkpoint is not None and checkpoint.exists():
        trainer.restore(checkpoint)
    fit(trainer, dataset, [checkpoint], checkpoint_seconds, [report])
    return trainer.result()


def train_together(
    configs: Sequence[Config],
    dataset: SpectraDataset,
    device: torch.device | str = "cpu",
    checkpoints: Sequence[Path | None] | None = None,
    checkpoint_seconds: float = 30.0,
    reports: Sequence[Report | None] | None = None,
    starts: Sequence[Path | None] | None = None,
) -> list[TrainingResult]:
    """Several seeds of one configuration at once, as `train` one after the other, up to rounding.

    Checkpoints are those of `train`: a run that was begun alone goes on with others, and the other way round. Runs
    whose checkpoints are of different epochs are trained in groups, one after the other.

    Raises
    ------
    ConfigError : the configurations are not `symspectra.training.stacked.stackable`.
    DataError, FloatingPointError : as `train`.
    """
    if not stackable(configs):
        raise ConfigError(
            "these runs cannot be trained together; expected configurations that differ in the seed alone"
        )
    nothing = [None] * len(configs)
    checkpoints, reports, starts = checkpoints or nothing, reports or nothing, starts or nothing
    device = torch.device(device)
    dataset = _arranged(configs[0], dataset, device)
    groups: dict[int, list[int]] = {}
    trainers, learner = [], seeds_at_once(configs[0], device)
    for config, checkpoint, start in zip(configs, checkpoints, starts, strict=True):
        trainer = member_of(learner, config, dataset, device, start, checkpoint)
        groups.setdefault(trainer.state.epoch, []).append(len(trainers))
        trainers.append(trainer)
    for members in groups.values():
        chosen = [[values[i] for i in members] for values in (checkpoints, reports)]
        fit(learner([trainers[i] for i in members]), dataset, chosen[0], checkpoint_seconds, chosen[1])
    return [trainer.result() for trainer in trainers]


def seeds_at_once(config: Config, device: torch.device) -> type[StackedTrainer | StreamedTrainer]:
    """How several seeds are trained at once: on a GPU on streams of their own, unless their step is compiled."""
    return StreamedTrainer if device.type == "cuda" and not config.compile else StackedTrainer


def member_of(
    learner: type[StackedTrainer | StreamedTrainer],
    config: Config,
    dataset: SpectraDataset,
    device: torch.device,
    start: Path | None = None,
    checkpoint: Path | None = None,
) -> Trainer:
    """A run for a learner of several, with random numbers of its own: those that it has alone.

    They go on where torch's are now, so that it is complete before the next one is made.
    """
    trainer = Trainer(config, dataset, device, len(dataset.rows("train")), start, fast=learner.captured)
    if checkpoint is not None and checkpoint.exists():
        trainer.restore(checkpoint)
    trainer.generator = own_generator(device)
    return trainer


class Learner(Protocol):
    """What `fit` trains: one run, or several at once."""

    @property
    def members(self) -> list[Trainer]:
        """The runs; between two epochs, up to date after `keep_best` or `write_back` only."""
        ...

    def train_epoch(self, rows: Int[Tensor, " train"]) -> list[dict[str, float]]:
        """Train for an epoch; the logged numbers of each member."""
        ...

    def validate(
        self, x: Float[Tensor, "row modality 600"], present: Bool[Tensor, "row modality"]
    ) -> list[Float[Tensor, "row group"]]:
        """Probabilities by each member."""
        ...

    def keep_best(self, member: int) -> None:
        """Remember the current weights of a member."""
        ...

    def write_back(self) -> None:
        """Bring the members up to date."""
        ...


def fit(
    learner: Learner,
    dataset: SpectraDataset,
    checkpoints: Sequence[Path | None],
    checkpoint_seconds: float,
    reports: Sequence[Report | None],
) -> None:
    """Train to the last epoch; the members hold their best weights then. ``dataset`` is on the device, arranged."""
    train_rows, validation_rows = dataset.rows("train"), dataset.rows("validation")
    groups = evaluated_groups(dataset).to(train_rows.device)
    y, seen, saved = dataset.y[validation_rows], dataset.spectra(validation_rows), time.monotonic()
    members = learner.members
    while members[0].state.epoch < members[0].config.epochs:
        start = time.monotonic()
        logs = learner.train_epoch(train_rows)
        scores = [validation_scores(y, p, groups) for p in learner.validate(*seen)]
        seconds = (time.monotonic() - start) / len(members)
        for i, member in enumerate(members):
            state = member.state
            state.seconds += seconds
            validation = {f"validation_{name}": score for name, score in scores[i].items()}
            state.history.append({"epoch": state.epoch, "lr": members[0].rate, **logs[i], **validation})
            if scores[i]["micro_f1"] > state.best_score:
                state.best_score, state.best_epoch = scores[i]["micro_f1"], state.epoch
                learner.keep_best(i)
            state.epoch += 1
            if reports[i] is not None:
                reports[i](state.history[-1])
        due = time.monotonic() - saved >= checkpoint_seconds and members[0].state.epoch < members[0].config.epochs
        if checkpoints[0] is not None and due:
            learner.write_back()
            for member, path in zip(members, checkpoints, strict=True):
                member.save(path)
            saved = time.monotonic()
    learner.write_back()


def _arranged(config: Config, dataset: SpectraDataset, device: torch.device) -> SpectraDataset:
    """The data of a run on its device, if it can be trained on them."""
    if tuple(dataset.modalities) != config.modalities:
        raise DataError(f"the data have modalities {dataset.modalities}, the configuration {config.modalities}")
    dataset = arrange(config, dataset).to(device)
    for name, split in (("training", "train"), ("validation", "validation")):
        if len(dataset.rows(split)) == 0:
            raise DataError(f"the {name} split is empty: {len(dataset.ids)} molecules are too few; use more molecules")
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
        if config.split == "scaffold":
            from symspectra.groups.scaffolds import Resplit, scaffold_split

            dataset = Resplit(dataset, scaffold_split(dataset.ids).split)
        if config.scarce_groups:
            dataset = Scarce(dataset, [number - 1 for number in config.scarce_groups], config.scarce_share)
        if config.imbalance == "mlsmote":
            dataset = Oversampled(dataset, seed=config.seed)
        if config.augment != "none":
            dataset = Augmented(dataset, config.augment)
        return Withheld(dataset, config.withhold) if config.withhold else dataset
    except ValueError as error:
        raise DataError(str(error)) from error


def _fit_trees(config: Config, dataset: SpectraDataset, report: Report | None) -> TrainingResult:
    """Boosted trees are fitted in one go, to the spectra of the first draw of the noise."""
    model, state, start = build_model(config), TrainingState(epoch=1, best_epoch=0), time.monotonic()
    rows, validation = dataset.rows("train"), dataset.rows("validation")
    model.fit(*dataset.spectra(rows, draw=1 + 100_003 * config.seed), dataset.y[rows])
    p = predict(model, dataset, validation)
    scores = multilabel_metrics(dataset.y[validation].cpu(), p, groups=evaluated_groups(dataset))
    names = ("micro_f1", "macro_f1", "exact_match")
    entry = {"epoch": 0, "lr": 0.0, "loss": 0.0} | {f"validation_{name}": scores[name] for name in names}
    state.history, state.best_score, state.seconds = [entry], scores["micro_f1"], time.monotonic() - start
    if report is not None:
        report(entry)
    return TrainingResult(model, state, dataset, None, None)

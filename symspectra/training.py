"""Training with model choice on validation, and checkpoints from which a run continues bit for bit."""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from symspectra.augmentation import Augmented, Withheld
from symspectra.classifier import SpectrumClassifier
from symspectra.config import Config
from symspectra.datasets import SpectraDataset, evaluated_groups
from symspectra.imbalance import Oversampled, Scarce, criterion
from symspectra.lines import DataError
from symspectra.metrics import multilabel_metrics
from symspectra.models import build_model, load_model


@dataclass
class TrainingState:
    """Everything that a run has so far: what a checkpoint holds besides model, optimiser and random state."""

    epoch: int = 0  # epochs completed
    best_epoch: int = -1
    best_score: float = -1.0
    seconds: float = 0.0
    history: list[dict[str, float]] = field(default_factory=list)


@dataclass
class TrainingResult:
    """A trained model with the weights of its best validation epoch, and how it got there."""

    model: SpectrumClassifier
    state: TrainingState
    dataset: SpectraDataset  # as the configuration arranges it
    group_weight: Float[Tensor, " group"] | None  # mean weight of each group in the loss, over all epochs
    sample_weight: Float[Tensor, " train"] | None  # mean weight of each training molecule


def learning_rate(config: Config, step: int, per_epoch: int) -> float:
    """Learning rate of a step (from 0), by ``config.schedule``.

    ``cosine`` falls to zero, epoch by epoch; ``steps`` falls to a tenth after 31/41 and again after 37/41 of the
    epochs; ``noam`` rises for ``warmup`` steps to ``lr`` and falls as one over the square root (Vaswani et al. 2017);
    ``onecycle`` rises from lr / 25 over three tenths of all steps and falls to lr / 250,000, by cosines (Smith 2018).
    """
    epoch, total = step // per_epoch, config.epochs * per_epoch
    if config.schedule == "cosine":
        return config.lr * 0.5 * (1 + math.cos(math.pi * epoch / config.epochs))
    if config.schedule == "steps":
        return config.lr * 0.1 ** sum(epoch >= round(config.epochs * last / 41) for last in (31, 37))
    if config.schedule == "noam":
        return config.lr * min((step + 1) / config.warmup, math.sqrt(config.warmup / (step + 1)))
    top = max(1.0, 0.3 * total - 1)
    low, high, share = (1 / 25, 1, step / top) if step < top else (1, 4e-6, (step - top) / max(1.0, total - 1 - top))
    return config.lr * (low + (high - low) * 0.5 * (1 - math.cos(math.pi * min(1.0, share))))


@torch.no_grad()
def predict_spectra(
    model: SpectrumClassifier,
    x: Float[Tensor, "row modality 600"],
    present: Bool[Tensor, "row modality"],
    batch: int = 512,
) -> Float[Tensor, "row group"]:
    """Probabilities for some spectra, in evaluation mode, on the CPU."""
    model.eval()
    chunks = [model.predict(*chunk) for chunk in zip(x.split(batch), present.split(batch), strict=True)]
    return torch.cat(chunks).float().cpu()


def predict(
    model: SpectrumClassifier, dataset: SpectraDataset, rows: Int[Tensor, " row"], batch: int = 512
) -> Float[Tensor, "row group"]:
    """Probabilities for some rows of a data set, under the fixed noise of draw 0."""
    if len(rows) == 0:
        return torch.zeros(0, dataset.y.shape[1])
    return torch.cat([predict_spectra(model, *dataset.spectra(chunk), batch) for chunk in rows.split(8 * batch)])


def train(
    config: Config,
    dataset: SpectraDataset,
    device: torch.device | str = "cpu",
    checkpoint: Path | None = None,
    checkpoint_seconds: float = 30.0,
    report: Callable[[dict[str, float]], None] | None = None,
    start: Path | None = None,
) -> TrainingResult:
    """Train the model of ``config`` on the training split; keep the epoch with the best validation micro-F1.

    Parameters
    ----------
    checkpoint : file to write after an epoch when ``checkpoint_seconds`` have passed since the last one; training
        continues from it if it is there. On a CPU the result is the same bit for bit.
    report : called with the numbers of every finished epoch
    start : weights to start from, of a model of the same sizes (`symspectra.models.save_model`)

    Raises
    ------
    DataError : an empty split, a validation split without positives, data of other modalities than the
        configuration's, or a checkpoint that is damaged or of another run.
    FloatingPointError : the loss is no longer finite; the message names the epoch.
    """
    if tuple(dataset.modalities) != config.modalities:
        raise DataError(f"the data have modalities {dataset.modalities}, the configuration {config.modalities}")
    device = torch.device(device)
    dataset = arrange(config, dataset).to(device)
    train_rows, validation_rows = dataset.rows("train"), dataset.rows("validation")
    for name, rows in (("training", train_rows), ("validation", validation_rows)):
        if len(rows) == 0:
            raise DataError(f"the {name} split is empty: {len(dataset.ids)} molecules are too few; use more molecules")
    groups = evaluated_groups(dataset)
    if not dataset.y[validation_rows][:, groups].any():
        raise DataError(f"no molecule of the validation split ({len(validation_rows)}) has any of the groups")
    if config.model == "xgboost":
        return _fit_trees(config, dataset, report)
    trainer = Trainer(config, dataset, device, len(train_rows), start)
    if checkpoint is not None and checkpoint.exists():
        trainer.restore(checkpoint)
    y_validation, seen = dataset.y[validation_rows].cpu(), dataset.spectra(validation_rows)
    state, saved = trainer.state, time.monotonic()
    while state.epoch < config.epochs:
        start = time.monotonic()
        logs = trainer.train_epoch(train_rows)
        p_validation = predict_spectra(trainer.model, *seen)
        scores = multilabel_metrics(y_validation, p_validation, groups=groups)
        logs |= {f"validation_{name}": scores[name] for name in ("micro_f1", "macro_f1", "exact_match")}
        state.seconds += time.monotonic() - start
        state.history.append({"epoch": state.epoch, "lr": trainer.optimizer.param_groups[0]["lr"], **logs})
        if scores["micro_f1"] > state.best_score:
            state.best_score, state.best_epoch = scores["micro_f1"], state.epoch
            trainer.keep_best()
        state.epoch += 1
        if report is not None:
            report(state.history[-1])
        if checkpoint is not None and time.monotonic() - saved >= checkpoint_seconds and state.epoch < config.epochs:
            trainer.save(checkpoint)
            saved = time.monotonic()
    return trainer.result()


def arrange(config: Config, dataset: SpectraDataset) -> SpectraDataset:
    """The data as an experiment wants them: another split, scarce groups, oversampling, augmentation, fewer spectra.

    Raises
    ------
    DataError : what was asked for cannot be done with these data; the message says what.
    """
    try:
        if config.split == "scaffold":
            from symspectra.scaffolds import Resplit, scaffold_split

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


def _fit_trees(
    config: Config, dataset: SpectraDataset, report: Callable[[dict[str, float]], None] | None
) -> TrainingResult:
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


class Trainer:
    """Model, optimiser and counters of one run."""

    def __init__(
        self, config: Config, dataset: SpectraDataset, device: torch.device, n_train: int, start: Path | None = None
    ):
        self.config, self.dataset, self.device = config, dataset, device
        self.model = build_model(config).to(device)
        if start is not None:
            self.model.load_state_dict(load_model(start, device)[0].state_dict())
        y_train = dataset.y[dataset.rows("train")]
        self.model.prepare(y_train)
        if config.imbalance != "none":
            self.model.criterion = criterion(config.imbalance, y_train)
        betas = (0.9, config.beta2)
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=config.lr, betas=betas, fused=True)
        self.loss = torch.compile(self.model.loss) if config.compile else self.model.loss
        self.state = TrainingState()
        self.best = {name: tensor.clone() for name, tensor in self.model.state_dict().items()}
        self.group_weight = torch.zeros(dataset.y.shape[1], device=device)
        self.sample_weight = torch.zeros(n_train, device=device)
        self.weighted = False

    def train_epoch(self, rows: Tensor) -> dict[str, float]:
        """One pass over the training rows in a new order, under a new draw of the nuisance noise."""
        config, epoch = self.config, self.state.epoch
        self.model.train()
        per_epoch = math.ceil(len(rows) / config.batch)
        step = epoch * per_epoch
        generator = torch.Generator().manual_seed(1_000_003 * config.seed + epoch)
        order = torch.randperm(len(rows), generator=generator).to(rows.device)
        totals: dict[str, Tensor] = {}
        seen = 0
        block = config.batch * max(1, 512 // config.batch)  # rendered at once
        for positions in order.split(block):
            x, present = self.dataset.spectra(rows[positions], draw=1 + epoch + 100_003 * config.seed)
            y = self.dataset.y[rows[positions]].float()
            for part in torch.arange(len(positions), device=rows.device).split(config.batch):
                if len(part) == 1 and len(rows) > 1 and config.batch > 1:
                    continue  # left over: batch statistics of a single molecule
                for group in self.optimizer.param_groups:
                    group["lr"] = learning_rate(config, step, per_epoch)
                step += 1
                logs = self._step(x[part], present[part], y[part], positions[part])
                for name, value in logs.items():
                    totals[name] = totals.get(name, 0.0) + value * len(part)
                seen += len(part)
        means = {name: float(value) / seen for name, value in totals.items()}
        if not math.isfinite(means["loss"]):
            raise FloatingPointError(f"the loss is {means['loss']} in epoch {epoch}; a lower learning rate may help")
        return means

    def _step(self, x: Tensor, present: Tensor, y: Tensor, positions: Tensor) -> dict[str, Tensor]:
        half = self.config.precision == "bf16"
        with torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=half):
            loss, logs = self.loss(x, present, y, self.state.epoch)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        if self.config.clip:
            torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.config.clip)
        self.optimizer.step()
        weight = logs.pop("element_weight", None)
        if weight is not None:
            self.weighted = True
            self.group_weight += weight.sum(dim=0)
            self.sample_weight[positions] += weight.mean(dim=1)
        return {"loss": loss.detach(), **logs}

    def keep_best(self) -> None:
        """Remember the current weights."""
        for name, tensor in self.model.state_dict().items():
            self.best[name].copy_(tensor)

    def result(self) -> TrainingResult:
        """The model with its best weights."""
        self.model.load_state_dict(self.best)
        epochs, n = max(1, self.state.epoch), len(self.sample_weight)
        group = self.group_weight.cpu() / (epochs * n) if self.weighted else None
        sample = self.sample_weight.cpu() / epochs if self.weighted else None
        return TrainingResult(self.model.eval(), self.state, self.dataset, group, sample)

    def save(self, path: Path) -> None:
        """Write a checkpoint to a temporary name and rename it."""
        from safetensors.torch import save_file

        tensors = {f"model.{name}": t for name, t in self.model.state_dict().items()}
        tensors |= {f"best.{name}": t for name, t in self.best.items()}
        for index, values in self.optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer.{index}.{name}": t for name, t in values.items()}
        tensors |= {"weight.group": self.group_weight, "weight.sample": self.sample_weight}
        tensors["random.cpu"] = torch.get_rng_state()
        if self.device.type == "cuda":
            tensors["random.cuda"] = torch.cuda.get_rng_state(self.device)
        meta = {"config": json.dumps(self.config.to_dict()), "state": json.dumps(vars(self.state))}
        meta |= {"data": self.dataset.digest, "weighted": json.dumps(self.weighted)}
        temporary = path.with_name(path.name + ".tmp")
        save_file(
            {name: t.detach().cpu().contiguous().clone() for name, t in tensors.items()}, temporary, metadata=meta
        )
        os.replace(temporary, path)

    def restore(self, path: Path) -> None:
        """Continue from a checkpoint of the same configuration and data."""
        from safetensors import SafetensorError, safe_open

        try:
            with safe_open(path, framework="pt", device="cpu") as f:
                meta = f.metadata() or {}
                tensors = {name: f.get_tensor(name) for name in f.keys()}  # noqa: SIM118
        except (SafetensorError, OSError) as error:
            raise DataError(f"{path}: the checkpoint is damaged ({error}); delete it to start the run again") from error
        same = json.dumps(self.config.to_dict()) == meta.get("config") and self.dataset.digest == meta.get("data")
        if not same:
            raise DataError(f"{path}: the checkpoint is of another configuration or other data; delete it")

        def part(prefix: str) -> dict[str, Tensor]:
            return {name.removeprefix(prefix): t for name, t in tensors.items() if name.startswith(prefix)}

        self.model.load_state_dict(part("model."))
        self.best = {name: t.to(self.device) for name, t in part("best.").items()}
        optimizer: dict[int, dict[str, Any]] = {}
        for name, t in part("optimizer.").items():
            index, key = name.split(".")
            optimizer.setdefault(int(index), {})[key] = t
        self.optimizer.load_state_dict({**self.optimizer.state_dict(), "state": optimizer})
        for weight, values in self.optimizer.state.items():  # fused Adam needs them in the memory layout of the weights
            values.update({name: torch.empty_like(weight).copy_(t) for name, t in values.items() if name != "step"})
        self.group_weight = tensors["weight.group"].to(self.device)
        self.sample_weight = tensors["weight.sample"].to(self.device)
        self.weighted = json.loads(meta["weighted"])
        torch.set_rng_state(tensors["random.cpu"])
        if "random.cuda" in tensors and self.device.type == "cuda":
            torch.cuda.set_rng_state(tensors["random.cuda"], self.device)
        self.state = TrainingState(**json.loads(meta["state"]))

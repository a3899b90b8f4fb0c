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
from jaxtyping import Float
from torch import Tensor

from symspectra.classifier import SpectrumClassifier
from symspectra.config import Config
from symspectra.datasets import SpectraDataset
from symspectra.lines import DataError
from symspectra.metrics import multilabel_metrics
from symspectra.models import build_model


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
    group_weight: Float[Tensor, " group"] | None  # mean weight of each group in the loss, over all epochs
    sample_weight: Float[Tensor, " train"] | None  # mean weight of each training molecule


def learning_rate(config: Config, epoch: int) -> float:
    """Learning rate of an epoch (from 0): cosine to zero, or a tenth after 31/41 and again after 37/41 of them."""
    if config.schedule == "cosine":
        return config.lr * 0.5 * (1 + math.cos(math.pi * epoch / config.epochs))
    passed = sum(epoch >= round(config.epochs * step / 41) for step in (31, 37))
    return config.lr * 0.1**passed


@torch.no_grad()
def predict(
    model: SpectrumClassifier, dataset: SpectraDataset, rows: Tensor, batch: int = 512
) -> Float[Tensor, "row group"]:
    """Probabilities for some rows of a data set, in evaluation mode, under the fixed noise."""
    if len(rows) == 0:
        return torch.zeros(0, dataset.y.shape[1])
    model.eval()
    chunks = [model.predict(*dataset.spectra(chunk)) for chunk in rows.split(batch)]
    return torch.cat(chunks).float().cpu()


def train(
    config: Config,
    dataset: SpectraDataset,
    device: torch.device | str = "cpu",
    checkpoint: Path | None = None,
    checkpoint_seconds: float = 30.0,
    report: Callable[[dict[str, float]], None] | None = None,
) -> TrainingResult:
    """Train the model of ``config`` on the training split; keep the epoch with the best validation micro-F1.

    Parameters
    ----------
    checkpoint : file to write after an epoch when ``checkpoint_seconds`` have passed since the last one; training
        continues from it if it is there. On a CPU the result is the same bit for bit.
    report : called with the numbers of every finished epoch

    Raises
    ------
    DataError : an empty split, a validation split without positives, data of other modalities than the
        configuration's, or a checkpoint that is damaged or of another run.
    FloatingPointError : the loss is no longer finite; the message names the epoch.
    """
    if tuple(dataset.modalities) != config.modalities:
        raise DataError(f"the data have modalities {dataset.modalities}, the configuration {config.modalities}")
    device = torch.device(device)
    dataset = dataset.to(device)
    train_rows, validation_rows = dataset.rows("train"), dataset.rows("validation")
    for name, rows in (("training", train_rows), ("validation", validation_rows)):
        if len(rows) == 0:
            raise DataError(f"the {name} split is empty: {len(dataset.ids)} molecules are too few; use more molecules")
    if not dataset.y[validation_rows].any():
        raise DataError(f"no molecule of the validation split ({len(validation_rows)}) has any of the groups")
    trainer = Trainer(config, dataset, device, len(train_rows))
    if checkpoint is not None and checkpoint.exists():
        trainer.restore(checkpoint)
    y_validation = dataset.y[validation_rows].cpu()
    state, saved = trainer.state, time.monotonic()
    while state.epoch < config.epochs:
        start = time.monotonic()
        logs = trainer.train_epoch(train_rows)
        scores = multilabel_metrics(y_validation, predict(trainer.model, dataset, validation_rows))
        logs |= {f"validation_{name}": scores[name] for name in ("micro_f1", "macro_f1", "exact_match")}
        state.seconds += time.monotonic() - start
        state.history.append({"epoch": state.epoch, "lr": learning_rate(config, state.epoch), **logs})
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


class Trainer:
    """Model, optimiser and counters of one run."""

    def __init__(self, config: Config, dataset: SpectraDataset, device: torch.device, n_train: int):
        self.config, self.dataset, self.device = config, dataset, device
        self.model = build_model(config).to(device)
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=config.lr, fused=True)
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
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(config, epoch)
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
        return TrainingResult(self.model.eval(), self.state, group, sample)

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

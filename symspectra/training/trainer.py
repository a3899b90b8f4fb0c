"""A run while it is trained: model, optimiser, counters, and checkpoints from which it continues bit for bit."""

from __future__ import annotations

import functools
import hashlib
import json
import math
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from symspectra.config import Config
from symspectra.datasets.base import SpectraDataset
from symspectra.errors import DataError
from symspectra.files import written
from symspectra.models.base import Groups, Present, Spectra, SpectrumClassifier, probabilities
from symspectra.models.registry import build_model, load_model, own_source
from symspectra.training.losses import criterion
from symspectra.training.schedules import epoch_draw, epoch_order, learning_rate
from symspectra.training.steps import Captured, CudaGraph, Step, make_optimizer, set_learning_rate

RENDERED = {"cpu": 512, "cuda": 8192}  # molecules whose spectra are rendered at once


@dataclass
class TrainingState:
    """Everything that a run has so far: what a checkpoint holds besides model, optimiser and random state."""

    epoch: int = 0  # epochs completed
    seconds: float = 0.0
    history: list[dict[str, float]] = field(default_factory=list)


@dataclass
class TrainingResult:
    """A trained model, and how it got there."""

    model: SpectrumClassifier
    state: TrainingState
    dataset: SpectraDataset  # as the configuration arranges it
    # Mean weights in the loss over all epochs: of each group, over all molecules and over those that have it (NaN where
    # none has); and of each training molecule (Eq. 11).
    group_weight: Float[Tensor, "2 group"] | None
    sample_weight: Float[Tensor, " train"] | None


class Trainer:
    """Model, optimiser and counters of one run.

    Parameters
    ----------
    dataset : on ``device``, as the configuration arranges it
    start : weights to start from
    capture : whether steps are captured as CUDA graphs; by default on a GPU, for the models of this package
    """

    def __init__(
        self,
        config: Config,
        dataset: SpectraDataset,
        device: torch.device,
        start: Path | None = None,
        capture: bool | None = None,
    ):
        self.config, self.dataset, self.device = config, dataset, device
        self.model = build_model(config).to(device)
        if start is not None:
            self.model.load_state_dict(load_model(start, device)[0].state_dict())
        y_train = dataset.y[dataset.rows("train")]
        self.model.prepare(y_train)
        if config.data.imbalance != "none":
            self.model.criterion = criterion(config.data.imbalance, y_train, config.data.weight_cap)
        self.optimizer = make_optimizer(config, list(self.model.parameters()), device)
        self.step = Step(config, self.model, self.optimizer, len(y_train), dataset.y.shape[1], device)
        self.take: Callable[..., None] = self.step
        self.predict: Callable[..., Tensor] = self.model.predict
        if (device.type == "cuda" and not own_source(config)) if capture is None else capture:
            self.take, self.predict = (Captured(f, lambda: CudaGraph(device)) for f in (self.step, self.model.predict))
        self.rate = 0.0  # learning rate of the last step
        self.state = TrainingState()

    def train_epoch(self, rows: Int[Tensor, " train"]) -> dict[str, float]:
        """One pass over the training rows in a new order, under a new draw of the nuisance noise; mean of every term.

        A loss that is no longer finite raises FloatingPointError.
        """
        self.model.train()
        epoch, seen, per_epoch = self.state.epoch, 0, math.ceil(len(rows) / self.config.training.batch)
        self.step.begin(epoch)
        for number, batch in enumerate(self.batches(rows), epoch * per_epoch):
            self.rate = learning_rate(self.config, number, per_epoch)
            set_learning_rate(self.optimizer, self.rate)
            self.take(*batch)
            seen += len(batch[-1])
        totals = self.step.totals
        values = torch.stack(list(totals.values())).tolist()  # here a GPU is waited for, once per epoch
        means = {name: value / seen for name, value in zip(totals, values, strict=True)}
        if not math.isfinite(means["loss"]):
            raise FloatingPointError(f"the loss is {means['loss']} in epoch {epoch}; a lower learning rate may help")
        return means

    def batches(self, rows: Int[Tensor, " train"]) -> Iterator[tuple[Tensor, ...]]:
        """What `symspectra.training.steps.Step` takes, batch by batch."""
        for block in ahead(self.blocks(rows), self.device):
            for batch in zip(*(tensor.split(self.config.training.batch) for tensor in block), strict=True):
                if len(batch[0]) > 1 or len(rows) == 1 or self.config.training.batch == 1:
                    yield batch  # a single molecule that is left over has no batch statistics

    def blocks(self, rows: Int[Tensor, " train"]) -> Iterator[tuple[Tensor, ...]]:
        """Several batches at a time: spectra, ``present``, groups, positions."""
        config, epoch, batch = self.config, self.state.epoch, self.config.training.batch
        order = epoch_order(config, epoch, len(rows)).to(rows.device)
        for positions in order.split(batch * max(1, RENDERED[self.device.type] // batch)):
            x, present = self.dataset.spectra(rows[positions], draw=epoch_draw(config, epoch))
            yield x, present, self.dataset.y[rows[positions]].float(), positions

    def validate(self, x: Spectra, present: Present) -> Groups:
        """Probabilities by the model as it is, where the spectra are."""
        return probabilities(self.model, x, present, predict=self.predict)

    def result(self) -> TrainingResult:
        """The model as it is after its last epoch."""
        step, epochs = self.step, max(1, self.state.epoch)
        if not step.weighted:
            return TrainingResult(self.model.eval(), self.state, self.dataset, None, None)
        y = self.dataset.y[self.dataset.rows("train")]
        molecules = torch.stack([torch.full_like(y[0], len(y), dtype=torch.float), y.sum(dim=0)])
        group, sample = step.group_weight / (epochs * molecules), step.sample_weight / epochs
        return TrainingResult(self.model.eval(), self.state, self.dataset, group.cpu(), sample.cpu())

    def save(self, path: Path) -> None:
        """Write a checkpoint to a temporary name and rename it."""
        from safetensors.torch import save

        tensors = {f"model.{name}": t for name, t in self.model.state_dict().items()}
        for index, values in self.optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer.{index}.{name}": t for name, t in values.items()}
        tensors |= {"weight.group": self.step.group_weight, "weight.sample": self.step.sample_weight}
        state = torch.cuda.get_rng_state(self.device) if self.device.type == "cuda" else torch.get_rng_state()
        tensors[f"random.{self.device.type}"] = state
        meta = {"config": json.dumps(self.config.to_dict()), "state": json.dumps(vars(self.state))}
        meta |= {"data": self.dataset.digest, "weighted": json.dumps(self.step.weighted)}
        tensors = {name: t.detach().cpu().contiguous().clone() for name, t in tensors.items()}
        with written(path) as temporary:
            temporary.write_bytes(save(tensors, {**meta, "digest": _digest(tensors, meta)}))

    def restore(self, path: Path) -> None:
        """Continue from a checkpoint of the same configuration and data."""
        from safetensors import SafetensorError, safe_open

        try:
            with safe_open(path, framework="pt", device="cpu") as f:
                meta = f.metadata() or {}
                tensors = {name: f.get_tensor(name) for name in f.keys()}  # noqa: SIM118
            if meta.pop("digest", "") != _digest(tensors, meta):
                raise ValueError("its content is not what was written")
        except (SafetensorError, OSError, ValueError) as error:
            raise DataError(f"{path}: the checkpoint is damaged ({error}); delete it to start the run again") from error
        same = json.dumps(self.config.to_dict()) == meta.get("config") and self.dataset.digest == meta.get("data")
        if not same:
            raise DataError(f"{path}: the checkpoint is of another configuration or other data; delete it")

        def part(prefix: str) -> dict[str, Tensor]:
            return {name.removeprefix(prefix): t for name, t in tensors.items() if name.startswith(prefix)}

        self.model.load_state_dict(part("model."))
        optimizer: dict[int, dict[str, Any]] = {}
        for name, t in part("optimizer.").items():
            index, key = name.split(".")
            optimizer.setdefault(int(index), {})[key] = t
        self.optimizer.load_state_dict({**self.optimizer.state_dict(), "state": optimizer})
        for weight, values in self.optimizer.state.items():  # fused Adam needs them in the memory layout of the weights
            values.update({name: torch.empty_like(weight).copy_(t) for name, t in values.items() if name != "step"})
        self.step.group_weight.copy_(tensors["weight.group"])
        self.step.sample_weight.copy_(tensors["weight.sample"])
        self.step.weighted = json.loads(meta["weighted"])
        random = tensors.get(f"random.{self.device.type}")
        if random is None:
            raise DataError(f"{path}: the checkpoint was written on another kind of device; delete it")
        if self.device.type == "cuda":
            torch.cuda.set_rng_state(random, self.device)
        else:
            torch.set_rng_state(random)
        self.state = TrainingState(**json.loads(meta["state"]))


def _digest(tensors: dict[str, Tensor], meta: dict[str, str]) -> str:
    """Digest of all that a checkpoint holds."""
    digest = hashlib.sha256(json.dumps(meta, sort_keys=True).encode())
    for name in sorted(tensors):
        tensor = tensors[name]
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode() + tensor.numpy().tobytes())
    return digest.hexdigest()


@functools.cache
def side_stream(device: torch.device) -> torch.cuda.Stream:
    """The stream on which spectra are rendered; always the same one, so that its memory is used again."""
    return torch.cuda.Stream(device)


def ahead(blocks: Iterator[tuple[Tensor, ...]], device: torch.device) -> Iterator[tuple[Tensor, ...]]:
    """The same blocks; on a GPU the next one is made, by another thread on another stream, while one is used."""
    if device.type != "cuda":
        yield from blocks
        return
    side = side_stream(device)
    side.wait_stream(torch.cuda.current_stream(device))  # the data set is there

    def make() -> tuple[tuple[Tensor, ...] | None, torch.cuda.Event]:
        with torch.cuda.device(device), torch.cuda.stream(side):
            return next(blocks, None), side.record_event()

    with ThreadPoolExecutor(1) as thread:
        coming = thread.submit(make)
        while (made := coming.result())[0] is not None:
            coming = thread.submit(make)
            block, event = made
            present = torch.cuda.current_stream(device)
            present.wait_event(event)
            for tensor in block:
                tensor.record_stream(present)
            yield block

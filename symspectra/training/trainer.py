"""A run while it is trained: model, optimiser, counters, and checkpoints from which it continues bit for bit."""

from __future__ import annotations

import functools
import json
import math
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from symspectra.config import Config
from symspectra.datasets.base import SpectraDataset
from symspectra.datasets.imbalance import criterion
from symspectra.errors import DataError
from symspectra.models.base import SpectrumClassifier
from symspectra.models.products import use_products
from symspectra.models.randomness import Request, torch_state
from symspectra.models.registry import build_model, load_model, own_model
from symspectra.training.schedules import epoch_draw, epoch_order, learning_rate
from symspectra.training.steps import Captured, CudaGraph, Step, compiled_for, make_optimizer, set_learning_rate

RENDERED = {"cpu": 512, "cuda": 8192}  # molecules whose spectra are rendered at once
PREDICTED = {"cpu": 512, "cuda": 256}  # and whose groups are predicted at once


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


class Trainer:
    """Model, optimiser and counters of one run.

    Parameters
    ----------
    dataset : on ``device``, as the configuration arranges it
    n_train : training molecules
    start : weights to start from
    fast : products, and on a GPU a captured step; by default where there is a GPU, for the models of this package. The
        plain path has the layers of torch and one launch for each operation.
    """

    def __init__(
        self,
        config: Config,
        dataset: SpectraDataset,
        device: torch.device,
        n_train: int,
        start: Path | None = None,
        fast: bool | None = None,
    ):
        self.config, self.dataset, self.device = config, dataset, device
        self.generator: torch.Generator | None = None  # of the random numbers, where it is not torch's own
        self.model = build_model(config).to(device)
        if start is not None:
            self.model.load_state_dict(load_model(start, device)[0].state_dict())
        y_train = dataset.y[dataset.rows("train")]
        self.model.prepare(y_train)
        if config.imbalance != "none":
            self.model.criterion = criterion(config.imbalance, y_train)
        self.optimizer = make_optimizer(config, list(self.model.parameters()), device)
        loss = compiled_for(config.batch, self.model.loss) if config.compile else self.model.loss
        self.step = Step(config, self.model, self.optimizer, loss, n_train, dataset.y.shape[1], device)
        self.take: Step | Captured = self.step
        self.predict: Callable[..., Tensor] = self.model.predict
        if is_fast(config, device) if fast is None else fast:
            use_products(self.model, all_layers=device.type != "cuda" or config.compile)
            self.step.epoch = torch.zeros((), dtype=torch.int64, device=device)
            if device.type == "cuda":
                self.take, self.predict = (Captured(f, self._graph) for f in (self.step, self.model.predict))
        self.rate = 0.0  # learning rate of the last step
        self.state = TrainingState()
        self.best = {name: tensor.clone() for name, tensor in self.model.state_dict().items()}

    def _graph(self) -> CudaGraph:
        return CudaGraph(self.device, [] if self.generator is None else [self.generator])

    def draw(self, request: Request, device: torch.device) -> Tensor:
        """Random numbers of this run."""
        return request.draw(device, self.generator)

    @property
    def members(self) -> list[Trainer]:
        """The runs that are trained: this one."""
        return [self]

    def train_epoch(self, rows: Int[Tensor, " train"]) -> list[dict[str, float]]:
        """One pass over the training rows in a new order, under a new draw of the nuisance noise.

        Returns
        -------
        The mean of every logged term, for each of the members.

        Raises
        ------
        FloatingPointError : the loss is no longer finite.
        """
        self.model.train()
        self.step.begin(self.state.epoch)
        seen, self.rate = take_steps(self.take_at, self.config, self.state.epoch, len(rows), self.batches(rows))
        return [self.means(self.step.totals, seen)]

    def take_at(self, rate: float, *batch: Tensor) -> None:
        """Train on a batch at a learning rate."""
        set_learning_rate(self.optimizer, rate)
        self.take(*batch)

    def batches(self, rows: Int[Tensor, " train"]) -> Iterator[tuple[Tensor, ...]]:
        """What `symspectra.training.steps.Step` takes, batch by batch."""
        return split(ahead(self.blocks(rows), self.device), self.config, len(rows))

    def blocks(self, rows: Int[Tensor, " train"]) -> Iterator[tuple[Tensor, ...]]:
        """Several batches at a time: spectra, ``present``, groups, positions."""
        config, epoch = self.config, self.state.epoch
        order = epoch_order(config, epoch, len(rows)).to(rows.device)
        for positions in order.split(config.batch * max(1, RENDERED[self.device.type] // config.batch)):
            x, present = self.dataset.spectra(rows[positions], draw=epoch_draw(config, epoch))
            yield x, present, self.dataset.y[rows[positions]].float(), positions

    def means(self, totals: dict[str, Tensor], seen: int) -> dict[str, float]:
        """Logged terms of an epoch, a molecule; here a GPU is waited for, once an epoch."""
        values = torch.stack(list(totals.values())).tolist()
        means = {name: value / seen for name, value in zip(totals, values, strict=True)}
        if not math.isfinite(means["loss"]):
            epoch = self.state.epoch
            raise FloatingPointError(f"the loss is {means['loss']} in epoch {epoch}; a lower learning rate may help")
        return means

    def validate(
        self, x: Float[Tensor, "row modality 600"], present: Bool[Tensor, "row modality"]
    ) -> list[Float[Tensor, "row group"]]:
        """Probabilities by each of the members, where the spectra are."""
        return [probabilities(self.model, x, present, predict=self.predict)]

    def keep_best(self, member: int = 0) -> None:
        """Remember the current weights of a member."""
        for name, tensor in self.model.state_dict().items():
            self.best[name].copy_(tensor)

    def write_back(self) -> None:
        """A single run is always up to date."""

    def result(self) -> TrainingResult:
        """The model with its best weights."""
        self.model.load_state_dict(self.best)
        use_products(self.model, False)
        step, epochs = self.step, max(1, self.state.epoch)
        group = step.group_weight.cpu() / (epochs * len(step.sample_weight)) if step.weighted else None
        sample = step.sample_weight.cpu() / epochs if step.weighted else None
        return TrainingResult(self.model.eval(), self.state, self.dataset, group, sample)

    def random_state(self) -> Tensor:
        """State of the random numbers of the training."""
        return torch_state(self.device) if self.generator is None else self.generator.get_state()

    def save(self, path: Path) -> None:
        """Write a checkpoint to a temporary name and rename it."""
        from safetensors.torch import save_file

        tensors = {f"model.{name}": t for name, t in self.model.state_dict().items()}
        tensors |= {f"best.{name}": t for name, t in self.best.items()}
        for index, values in self.optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer.{index}.{name}": t for name, t in values.items()}
        tensors |= {"weight.group": self.step.group_weight, "weight.sample": self.step.sample_weight}
        tensors[f"random.{self.device.type}"] = self.random_state()
        meta = {"config": json.dumps(self.config.to_dict()), "state": json.dumps(vars(self.state))}
        meta |= {"data": self.dataset.digest, "weighted": json.dumps(self.step.weighted)}
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


def side_by_side(runs: Sequence[Trainer], rows: Int[Tensor, " train"]) -> Iterator[tuple[Tensor, ...]]:
    """Blocks of several runs, stacked."""
    for of_each in zip(*(run.blocks(rows) for run in runs), strict=True):
        yield tuple(torch.stack(tensors) for tensors in zip(*of_each, strict=True))


def split(
    blocks: Iterator[tuple[Tensor, ...]], config: Config, n_train: int, axis: int = 0
) -> Iterator[tuple[Tensor, ...]]:
    """Batches of the molecules that blocks hold along an axis."""
    for block in blocks:
        for part in zip(*(tensor.split(config.batch, axis) for tensor in block), strict=True):
            if part[0].shape[axis] == 1 and n_train > 1 and config.batch > 1:
                continue  # left over: batch statistics of a single molecule
            yield part


def take_steps(
    take_at: Callable[..., None],
    config: Config,
    epoch: int,
    n_train: int,
    batches: Iterable[tuple[Tensor, ...]],
) -> tuple[int, float]:
    """Train on the batches of an epoch; how many molecules they held, and the learning rate of the last step.

    ``take_at`` takes the learning rate and a batch (`Trainer.take_at`).
    """
    per_epoch, seen, rate = math.ceil(n_train / config.batch), 0, 0.0
    for number, batch in enumerate(batches, epoch * per_epoch):
        rate = learning_rate(config, number, per_epoch)
        take_at(rate, *batch)
        seen += batch[-1].shape[-1]
    return seen, rate


def is_fast(config: Config, device: torch.device) -> bool:
    """Whether a run takes the fast path by itself: on a GPU or compiled, and of a model whose loss allows it."""
    return (device.type == "cuda" or config.compile) and not own_model(config.model)


@torch.no_grad()
def probabilities(
    model: SpectrumClassifier,
    x: Float[Tensor, "row modality 600"],
    present: Bool[Tensor, "row modality"],
    batch: int | None = None,
    predict: Callable[..., Tensor] | None = None,
) -> Float[Tensor, "row group"]:
    """Probabilities for some spectra, in evaluation mode, where the spectra are.

    ``predict`` may be another form of the model's own.
    """
    model.eval()
    predict = predict or model.predict
    parts = [part.split(batch or PREDICTED[x.device.type]) for part in (x, present)]
    return torch.cat([predict(*chunk).float().clone() for chunk in zip(*parts, strict=True)])

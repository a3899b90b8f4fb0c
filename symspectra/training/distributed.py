"""One model on several GPUs, or on several processes of a CPU: ``torchrun --nproc-per-node 2 -m symspectra train ...``.

Every process takes an equal part of each batch, and draws the random numbers that one process alone would draw for that
part; batch statistics are those of the whole batch. The result is that of one process, up to rounding.
"""

from __future__ import annotations

from pathlib import Path

import torch
import torch.distributed as dist
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from symspectra.config import Config
from symspectra.datasets.base import SpectraDataset
from symspectra.models.base import Call
from symspectra.models.processes import mean_over_processes, number, rank, sharing
from symspectra.models.randomness import Request, drawn_by
from symspectra.training.steps import Step
from symspectra.training.trainer import Trainer, probabilities


class SharedStep(Step):
    """A step of which every process computes a part of the batch."""

    def __call__(self, *batch: Tensor) -> None:
        """Train on a batch, the same for all processes. One that cannot be divided is computed by each of them."""
        processes = number() if len(batch[0]) % number() == 0 else 1
        if processes == 1:
            super().__call__(*batch)
            return
        own = slice(rank() * len(batch[0]) // processes, (rank() + 1) * len(batch[0]) // processes)
        with sharing(processes), drawn_by(part_of_the_batch):
            self.factor = processes  # the mean over the processes is taken later
            super().__call__(*(tensor[own] for tensor in batch))
            self.factor = 1


def part_of_the_batch(request: Request, device: torch.device) -> Tensor:
    """Random numbers of this process, out of those of the whole batch."""
    n, *rest = request.shape
    shape = (n * number(), *rest)
    return request.enlarged(shape).draw(device).narrow(0, rank() * n, n)


class SharedTrainer(Trainer):
    """A run that several processes train, see `symspectra.training.training.fit`. All hold the same weights."""

    def __init__(
        self, config: Config, dataset: SpectraDataset, device: torch.device, n_train: int, start: Path | None = None
    ):
        super().__init__(config, dataset, device, n_train, start, fast=False)
        gpu = [device] if device.type == "cuda" else None
        call: nn.Module = DistributedDataParallel(
            Call(self.model), device_ids=gpu, broadcast_buffers=False, find_unused_parameters=not config.bottleneck
        )
        n_groups = len(self.step.group_weight)
        self.step = self.take = SharedStep(
            config, self.model, self.optimizer, lambda *batch: call("loss", *batch), n_train, n_groups, device
        )

    def means(self, totals: dict[str, Tensor], seen: int) -> dict[str, float]:
        """Logged terms of an epoch, a molecule."""
        for tensor in (*totals.values(), self.step.group_weight, self.step.sample_weight):
            mean_over_processes(tensor)
        return super().means(totals, seen)

    def validate(
        self, x: Float[Tensor, "row modality 600"], present: Bool[Tensor, "row modality"]
    ) -> list[Float[Tensor, "row group"]]:
        """Probabilities, of which every process computes a part."""
        own = torch.arange(len(x), device=x.device).tensor_split(number())[rank()]
        p = torch.zeros(len(x), len(self.step.group_weight), device=x.device)
        if len(own):
            p[own] = probabilities(self.model, x[own], present[own])
        dist.all_reduce(p)
        return [p]

    def save(self, path: Path) -> None:
        """Write a checkpoint; one process does."""
        if rank() == 0:
            super().save(path)

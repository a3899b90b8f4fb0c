"""Several seeds of one configuration on a GPU: each with a captured step of its own, all of them at the same time.

A step of one run is many small kernels, which leave most of a large GPU idle. Runs on streams of their own fill it,
with exactly the kernels that each has alone. Where steps are compiled, or there is no GPU, `symspectra.training.stacked` takes
over.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from symspectra.models.randomness import drawn_by
from symspectra.training.trainer import Trainer, ahead, side_by_side, split, take_steps


class StreamedTrainer:
    """Trains several runs at once, see `symspectra.training.training.fit`.

    Parameters
    ----------
    members : runs of one configuration but for the seed, of the same epoch, each with a generator of its own
    """

    captured = True  # each member has its own captured step

    def __init__(self, members: list[Trainer]):
        self.members, self.device = members, members[0].device
        gpu = self.device.type == "cuda"
        self.streams = [torch.cuda.Stream(self.device) for _ in members] if gpu else []

    def train_epoch(self, rows: Int[Tensor, " train"]) -> list[dict[str, float]]:
        """As `symspectra.training.trainer.Trainer.train_epoch`, for all members."""
        config, epoch = self.members[0].config, self.members[0].state.epoch
        for member in self.members:
            member.model.train()
            member.step.begin(epoch)
        batches = split(self._blocks(rows), config, len(rows), axis=1)
        seen, rate = take_steps(self._take_at, config, epoch, len(rows), batches)
        self._wait()
        logs = []
        for member in self.members:
            member.rate = rate
            logs.append(member.means(member.step.totals, seen))
        return logs

    def _take_at(self, rate: float, *batch: Tensor) -> None:
        for i, member in enumerate(self.members):
            with self._on_its_stream(i), drawn_by(member.draw):
                member.take_at(rate, *(tensor[i] for tensor in batch))

    def _blocks(self, rows: Tensor) -> Iterator[tuple[Tensor, ...]]:
        """Several batches of all members at a time, one beside the other."""
        for block in ahead(side_by_side(self.members, rows), self.device):
            for tensor in block:
                for stream in self.streams:
                    tensor.record_stream(stream)
            yield block

    @contextlib.contextmanager
    def _on_its_stream(self, i: int) -> Iterator[None]:
        """Within it, a member computes on its stream, after what has been asked for so far."""
        if not self.streams:
            yield
            return
        self.streams[i].wait_stream(torch.cuda.current_stream(self.device))
        with torch.cuda.stream(self.streams[i]):
            yield

    def _wait(self) -> None:
        """Let what comes next come after what the members compute."""
        for stream in self.streams:
            torch.cuda.current_stream(self.device).wait_stream(stream)

    def validate(
        self, x: Float[Tensor, "row modality 600"], present: Bool[Tensor, "row modality"]
    ) -> list[Float[Tensor, "row group"]]:
        """Probabilities by each of the members, where the spectra are."""
        found = []
        for i, member in enumerate(self.members):
            with self._on_its_stream(i):
                found += member.validate(x, present)
        self._wait()
        return found

    def keep_best(self, member: int) -> None:
        """Remember the current weights of a member."""
        self.members[member].keep_best()

    def write_back(self) -> None:
        """The members are always up to date."""

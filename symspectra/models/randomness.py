"""Random numbers of a training step: every model draws them here.

A run alone draws them from torch as it goes. Runs that share a step (`symspectra.training.stacked`) and processes that share a
batch (`symspectra.training.distributed`) draw the numbers that the run alone would have drawn, so that their results are its.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn


def torch_state(device: torch.device) -> Tensor:
    """State of torch's own random numbers on a device."""
    return torch.cuda.get_rng_state(device) if device.type == "cuda" else torch.get_rng_state()


class Request(NamedTuple):
    """Random numbers that a step asks for."""

    kind: str  # uniform, normal, exponential or kept
    shape: tuple[int, ...]
    stride: tuple[int, ...] = ()  # of ``kept``: its memory layout
    share: float = 1.0  # of ``kept``: how often it is 1 and not 0

    def draw(self, device: torch.device, generator: torch.Generator | None = None) -> Tensor:
        """Draw them, in float32."""
        if self.kind == "uniform":
            return torch.rand(self.shape, generator=generator, device=device)
        if self.kind == "normal":
            return torch.randn(self.shape, generator=generator, device=device)
        if self.kind == "exponential":
            return torch.empty(self.shape, device=device).exponential_(generator=generator)
        return torch.empty_strided(self.shape, self.stride, device=device).bernoulli_(self.share, generator=generator)

    def enlarged(self, shape: tuple[int, ...]) -> Request:
        """The same for another shape, with the axes in the same order in memory."""
        stride, size = [0] * len(self.stride), 1
        for axis in sorted(range(len(self.stride)), key=lambda axis: self.stride[axis]):
            stride[axis], size = size, size * shape[axis]
        return self._replace(shape=shape, stride=tuple(stride))


Source = Callable[[Request, torch.device], Tensor]
_sources: list[Source] = []


@contextlib.contextmanager
def drawn_by(source: Source) -> Iterator[None]:
    """Let the models draw from ``source`` and not from torch."""
    _sources.append(source)
    try:
        yield
    finally:
        _sources.pop()


def _draw(request: Request, device: torch.device) -> Tensor:
    return _sources[-1](request, device) if _sources else request.draw(device)


def uniform(shape: Sequence[int], device: torch.device) -> Float[Tensor, "*shape"]:
    """Numbers between 0 and 1, in float32."""
    return _draw(Request("uniform", tuple(shape)), device)


def normal(shape: Sequence[int], device: torch.device) -> Float[Tensor, "*shape"]:
    """Standard normal numbers."""
    return _draw(Request("normal", tuple(shape)), device)


def exponential(shape: Sequence[int], device: torch.device) -> Float[Tensor, "*shape"]:
    """Numbers of the exponential distribution of mean 1."""
    return _draw(Request("exponential", tuple(shape)), device)


class Dropout(nn.Module):
    """`torch.nn.Dropout`, with numbers that can come from elsewhere."""

    def __init__(self, p: float):
        super().__init__()
        self.p = p

    def forward(self, x: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """Each value kept with probability ``1 - p`` and divided by it, or set to zero; in training only."""
        if not _sources or not self.training or self.p == 0:
            return F.dropout(x, self.p, self.training)
        kept = _draw(Request("kept", tuple(x.shape), tuple(x.stride()), 1 - self.p), x.device)
        return x * (kept / (1 - self.p)).to(x.dtype)

    def extra_repr(self) -> str:
        """What is printed of it."""
        return f"p={self.p}"


class Recorder:
    """A source that draws from torch and remembers what was asked for."""

    def __init__(self) -> None:
        self.requests: list[Request] = []

    def __call__(self, request: Request, device: torch.device) -> Tensor:
        """Draw."""
        self.requests.append(request)
        return request.draw(device)


class Replay:
    """A source that hands out what was drawn before, in the order of the requests."""

    def __init__(self, numbers: list[Tensor]):
        self._rest = iter(numbers)

    def __call__(self, request: Request, device: torch.device) -> Tensor:
        """The next numbers."""
        return next(self._rest)

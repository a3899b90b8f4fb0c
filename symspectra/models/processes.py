"""Processes that train one model together: how many share a batch, and what they compute over the whole of it.

Where one process trains alone, everything here is the plain operation.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import os
from collections.abc import Iterator
from typing import Any

import torch
import torch.distributed as dist
from jaxtyping import Float, Shaped
from torch import Tensor

_sharing = [1]  # how many processes share the present batch


def launched() -> bool:
    """Whether `torchrun` has started this process as one of several."""
    return int(os.environ.get("WORLD_SIZE", "1")) > 1


def number() -> int:
    """How many processes train together."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def rank() -> int:
    """Which of them this is, from 0."""
    return dist.get_rank() if number() > 1 else 0


@contextlib.contextmanager
def joined(device: str) -> Iterator[str]:
    """Meet the other processes that `torchrun` has started; the device of this one. Alone, nothing happens.

    GPUs talk through NCCL, CPUs through Gloo.
    """
    if not launched():
        yield device
        return
    gpu = device != "cpu" and torch.cuda.is_available()
    if gpu:
        device = f"cuda:{os.environ['LOCAL_RANK']}"
        torch.cuda.set_device(device)
    # Imported later, it would keep the group to the end, where a thread of Gloo can abort the interpreter.
    importlib.import_module("torch._dynamo")
    dist.init_process_group("nccl" if gpu else "gloo")
    try:
        yield device
    finally:
        gc.collect()  # models that hold the group
        dist.destroy_process_group()


def agree(value: Any) -> Any:
    """What the first process says."""
    if number() == 1:
        return value
    values = [value]
    dist.broadcast_object_list(values, src=0)
    return values[0]


@contextlib.contextmanager
def sharing(processes: int) -> Iterator[None]:
    """Within it, so many processes each have an equal part of the batch."""
    _sharing.append(processes)
    try:
        yield
    finally:
        _sharing.pop()


def shares() -> int:
    """How many processes share the present batch."""
    return _sharing[-1]


class _Mean(torch.autograd.Function):
    """Mean over the processes, also of the gradients: each process has the same loss after it."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return mean_over_processes(x.clone())

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return mean_over_processes(gradient.clone())


@torch.no_grad()
def mean_over_processes(x: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """Replace a tensor by its mean over all processes."""
    if number() > 1:
        dist.all_reduce(x)
        x /= number()
    return x


def across(x: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """A mean over the molecules of this process, as the mean over the whole batch."""
    return x if shares() == 1 else _Mean.apply(x)


@torch.no_grad()
def total(x: Shaped[Tensor, "*shape"]) -> Shaped[Tensor, "*shape"]:
    """A sum over the molecules of this process, as the sum over the whole batch."""
    if shares() > 1:
        x = x.clone()
        dist.all_reduce(x)
    return x


def mean_and_std(x: Float[Tensor, "*shape"]) -> tuple[Float[Tensor, ""], Float[Tensor, ""]]:
    """Mean and (population) standard deviation over the whole batch."""
    if shares() == 1:
        return x.mean(), x.std(unbiased=False)
    mean = across(x.mean())
    return mean, across((x - mean).square().mean()).sqrt()

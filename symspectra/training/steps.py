"""One training step: forward, backward, update; on a GPU, the same step captured once as a CUDA graph and replayed.

Nothing here waits for a GPU: what is added up over an epoch stays there until the epoch is over.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Sequence
from typing import Any

import torch
from jaxtyping import Int
from torch import Tensor, nn

from symspectra.config import Config
from symspectra.models.base import Groups, Present, Spectra, SpectrumClassifier

WARM_UP = 3  # steps before the capture, in which libraries choose their algorithms and the optimiser its memory


def make_optimizer(config: Config, parameters: Sequence[nn.Parameter], device: torch.device) -> torch.optim.Adam:
    """Fused Adam; on a GPU its learning rate is a tensor, which a captured step reads at every replay."""
    gpu = device.type == "cuda"
    rate = torch.tensor(config.training.lr, device=device) if gpu else config.training.lr
    return torch.optim.Adam(parameters, lr=rate, betas=(0.9, config.training.beta2), fused=True, capturable=gpu)


def set_learning_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Set the learning rate of all parameters."""
    for group in optimizer.param_groups:
        if isinstance(group["lr"], Tensor):
            group["lr"].fill_(rate)
        else:
            group["lr"] = rate


class Step:
    """A training step, and what it adds up: the logged terms, and the weights of groups and training molecules."""

    def __init__(
        self,
        config: Config,
        model: SpectrumClassifier,
        optimizer: torch.optim.Optimizer,
        n_train: int,
        n_groups: int,
        device: torch.device,
    ):
        self.config, self.model, self.optimizer, self.device = config, model, optimizer, device
        self.totals: dict[str, Tensor] = {}
        self.group_weight = torch.zeros(2, n_groups, device=device)  # over all molecules, over those with the group
        self.sample_weight = torch.zeros(n_train, device=device)
        self.weighted = False

    def begin(self, epoch: int) -> None:
        """Begin an epoch."""
        self.model.begin_epoch(epoch)
        for total in self.totals.values():
            total.zero_()

    def __call__(self, x: Spectra, present: Present, y: Groups, positions: Int[Tensor, " batch"]) -> None:
        """Train on a batch; ``positions`` are those of its molecules among the training molecules."""
        with torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self.config.training.precision == "bf16"):
            losses = self.model.loss(x, present, y)
        self.optimizer.zero_grad(set_to_none=True)
        losses.total.backward()
        if self.config.training.clip:
            nn.utils.clip_grad_norm_(self.model.parameters(), self.config.training.clip)
        self.optimizer.step()
        if losses.element_weight is not None:
            self.weighted = True
            self.group_weight += torch.stack([losses.element_weight, losses.element_weight * y]).sum(dim=1)
            self.sample_weight[positions] += losses.sample_weight
        for name, value in {"loss": losses.total.detach(), **losses.terms}.items():
            if name not in self.totals:
                self.totals[name] = torch.zeros_like(value)
            self.totals[name] += value * len(positions)


class CudaGraph:
    """Records a function as a CUDA graph."""

    def __init__(self, device: torch.device):
        self.stream = torch.cuda.Stream(device)

    def warm_up(self, function: Callable[[], None]) -> None:
        """Call it on the stream of the capture."""
        self.stream.wait_stream(torch.cuda.current_stream(self.stream.device))
        with torch.cuda.stream(self.stream):
            function()
        torch.cuda.current_stream(self.stream.device).wait_stream(self.stream)

    def capture(self, function: Callable[[], None]) -> Callable[[], None]:
        """Record it without computing anything; what is returned computes it."""
        graph = torch.cuda.CUDAGraph()
        gc.collect()
        gc.disable()  # a graph that is not needed any more, of another run, must not be freed during the capture
        try:
            # "thread_local": another thread renders the next spectra meanwhile.
            with torch.cuda.graph(graph, stream=self.stream, capture_error_mode="thread_local"):
                function()
        finally:
            gc.enable()
        return graph.replay


class Captured:
    """A function that is recorded with the first inputs of a size and replayed with the next: one launch, not hundreds.

    A step has two sizes, whole batches and the last of an epoch. ``graph`` makes a `CudaGraph` for each. A result is
    written over by the next call with inputs of its size.
    """

    def __init__(self, function: Callable[..., Any], graph: Callable[[], CudaGraph]):
        self.function, self.graph = function, graph
        self.recorded: dict[torch.Size, Callable[..., Any]] = {}

    def __call__(self, *inputs: Tensor) -> Any:
        """What the function returns."""
        size = inputs[-1].shape
        if size not in self.recorded:
            self.recorded[size] = _recorded(self.function, inputs, self.graph())
        return self.recorded[size](*inputs)


def _recorded(function: Callable[..., Any], first: tuple[Tensor, ...], graph: CudaGraph) -> Callable[..., Any]:
    """A function of inputs of one size: `WARM_UP` times computed, then recorded, then replayed."""
    own, output = tuple(tensor.clone() for tensor in first), None
    replay: Callable[[], None] | None = None
    waiting = WARM_UP

    def compute() -> None:
        nonlocal output
        output = function(*own)

    def call(*inputs: Tensor) -> Any:
        nonlocal replay, waiting
        torch._foreach_copy_(own, inputs)
        if waiting:
            waiting -= 1
            graph.warm_up(compute)
            return output
        replay = replay or graph.capture(compute)
        replay()
        return output

    return call

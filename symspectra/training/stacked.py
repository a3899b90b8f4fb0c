"""Several seeds of one configuration in one process: their weights stacked, every step computed for all at once.

Each seed has its own weights, order of the molecules, draws of the noise and random numbers, those that it has when it
is trained alone: the results are the same up to rounding.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.func import functional_call, stack_module_state, vmap
from torch.nn.attention import SDPBackend, sdpa_kernel

from symspectra.config import Config
from symspectra.models.base import Call, SpectrumClassifier
from symspectra.models.products import several_seeds, use_products
from symspectra.models.randomness import Recorder, Replay, Request, drawn_by, torch_state
from symspectra.models.registry import own_model
from symspectra.training.steps import Captured, CudaGraph, Loss, Step, compiled, make_optimizer, set_learning_rate
from symspectra.training.trainer import PREDICTED, Trainer, ahead, side_by_side, split, take_steps

IN_DIMS = (0, 0, 0, 0, 0, 0, None)  # parameters, buffers, numbers, spectra, present, groups; and the epoch


def stackable(configs: Sequence[Config]) -> bool:
    """Whether some runs differ in nothing but the seed, and can be trained together.

    Boosted trees cannot, nor models of your own, which may draw random numbers elsewhere, nor oversampled data, which
    differ from seed to seed.
    """
    first = configs[0]
    alike = all(config.replace(seed=first.seed) == first for config in configs)
    return alike and first.model != "xgboost" and first.imbalance != "mlsmote" and not own_model(first.model)


class StackedStep(Step):
    """A training step of several seeds; all tensors have the seeds as their first axis."""

    def __init__(self, stack: Stack, config: Config, optimizer: torch.optim.Optimizer, *sizes: int):
        super().__init__(config, stack.call.model, optimizer, stack.losses, *sizes, stack.device)
        seeds = len(stack.generators)
        self.epoch = torch.zeros((), dtype=torch.int64, device=stack.device)
        self.group_weight = self.group_weight.repeat(seeds, 1)
        self.sample_weight = self.sample_weight.repeat(seeds, 1)
        self.parameters = list(stack.parameters.values())

    def _forward(self, x: Tensor, present: Tensor, y: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        with self._autocast():
            losses, logs = self.loss(x, present, y, self.epoch)
        return losses.sum(), {"loss": losses.detach(), **logs}

    def _clip(self) -> None:
        gradients = [parameter.grad for parameter in self.parameters if parameter.grad is not None]
        norm = torch.stack([g.flatten(1).norm(dim=1) for g in gradients]).norm(dim=0)  # of each seed
        factor = (self.config.clip / (norm + 1e-6)).clamp_max(1.0)
        for g in gradients:
            g *= factor.view(-1, *[1] * (g.ndim - 1))

    def _count(self, weight: Float[Tensor, "seed batch group"], positions: Int[Tensor, "seed batch"]) -> None:
        self.group_weight += weight.sum(dim=1)
        self.sample_weight.scatter_add_(1, positions, weight.mean(dim=2))


class Stack:
    """Models of one configuration with stacked weights, and the random numbers of each."""

    def __init__(self, models: Sequence[SpectrumClassifier], generators: Sequence[torch.Generator]):
        self.call, self.generators = Call(models[0]), generators
        self.parameters, self.buffers = stack_module_state([Call(model) for model in models])
        self.device = next(iter(self.parameters.values())).device
        self.requests: dict[tuple[int, ...], list[Request]] = {}
        self._compiled: tuple[int, Loss] | None = None

    def compile_for(self, batch: int) -> None:
        """Compile the losses of whole batches as one function."""
        self._compiled = batch, compiled(self._by_hand)

    def losses(
        self,
        x: Float[Tensor, "seed batch modality 600"],
        present: Bool[Tensor, "seed batch modality"],
        y: Float[Tensor, "seed batch group"],
        epoch: Int[Tensor, ""],
    ) -> tuple[Float[Tensor, " seed"], dict[str, Tensor]]:
        """The loss of each seed on its batch, and its logged terms."""
        if x.shape not in self.requests:
            self.requests[x.shape] = self._record(x[0], present[0], y[0], epoch)
        requests = self.requests[x.shape]
        numbers = [torch.stack([r.draw(self.device, generator) for generator in self.generators]) for r in requests]
        whole = self._compiled is not None and self._compiled[0] == x.shape[1]
        losses = self._compiled[1] if whole else self._vmapped
        return losses(self.parameters, self.buffers, numbers, x, present, y, epoch)

    @torch.no_grad()
    def _record(self, *batch: Tensor) -> list[Request]:
        """Which random numbers the loss asks for."""
        recorder, buffers = Recorder(), {name: b[0].clone() for name, b in self.buffers.items()}
        weights = {name: p[0] for name, p in self.parameters.items()}
        with drawn_by(recorder):
            functional_call(self.call, (weights, buffers), ("loss", *batch))
        return recorder.requests

    def _vmapped(self, parameters, buffers, numbers, x, present, y, epoch) -> tuple[Tensor, dict[str, Tensor]]:
        with several_seeds("folded"):
            return vmap(self._one, in_dims=IN_DIMS)(parameters, buffers, numbers, x, present, y, epoch)

    def _by_hand(self, parameters, buffers, numbers, x, present, y, epoch) -> tuple[Tensor, dict[str, Tensor]]:
        with several_seeds("by hand"), sdpa_kernel(SDPBackend.MATH):
            return vmap(self._one, in_dims=IN_DIMS)(parameters, buffers, numbers, x, present, y, epoch)

    def _one(self, parameters, buffers, numbers, *batch: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        with drawn_by(Replay(numbers)):
            return functional_call(self.call, (parameters, buffers), ("loss", *batch))

    @torch.no_grad()
    def predict(
        self, x: Float[Tensor, "row modality 600"], present: Bool[Tensor, "row modality"]
    ) -> Float[Tensor, "seed row group"]:
        """Probabilities by each seed."""

        def one(parameters, buffers, *chunk: Tensor) -> Tensor:
            return functional_call(self.call, (parameters, buffers), ("predict", *chunk))

        self.call.eval()
        parts = [part.split(PREDICTED[x.device.type]) for part in (x, present)]
        with several_seeds("folded"):
            predicted = vmap(one, in_dims=(0, 0, None, None))
            chunks = [predicted(self.parameters, self.buffers, *chunk) for chunk in zip(*parts, strict=True)]
        return torch.cat(chunks, dim=1).float()

    def weights(self, seed: int) -> dict[str, Tensor]:
        """Current weights of one seed, under the names of its model."""
        both = {**self.parameters, **self.buffers}
        return {name: both[f"model.{name}"][seed].detach() for name in self.call.model.state_dict()}


class StackedTrainer:
    """Trains several runs at once, see `symspectra.training.training.fit`.

    Parameters
    ----------
    members : runs that are `stackable`, of the same epoch, each with a generator of its own (`own_generator`)
    """

    captured = False  # the members have none: all of them have one together

    def __init__(self, members: list[Trainer]):
        first, self.members = members[0], members
        config, device = first.config, first.device
        for member in members:
            use_products(member.model)
        self.stack = Stack([member.model for member in members], [member.generator for member in members])
        if config.compile:
            self.stack.compile_for(config.batch)
        self.optimizer = make_optimizer(config, list(self.stack.parameters.values()), device)
        n_groups, n_train = len(first.step.group_weight), len(first.step.sample_weight)
        self.step = StackedStep(self.stack, config, self.optimizer, n_train, n_groups)
        self.take: Step | Captured = self.step
        if device.type == "cuda":
            self.take = Captured(self.step, lambda: CudaGraph(device, self.stack.generators))
        self._take_over()

    def train_epoch(self, rows: Int[Tensor, " train"]) -> list[dict[str, float]]:
        """As `symspectra.training.trainer.Trainer.train_epoch`, for all members."""
        first = self.members[0]
        self.stack.call.train()
        self.step.begin(first.state.epoch)
        batches = split(ahead(side_by_side(self.members, rows), first.device), first.config, len(rows), axis=1)
        seen, rate = take_steps(self._take_at, first.config, first.state.epoch, len(rows), batches)
        logs = []
        for i, member in enumerate(self.members):
            member.rate = rate
            logs.append(member.means({name: total[i] for name, total in self.step.totals.items()}, seen))
        return logs

    def _take_at(self, rate: float, *batch: Tensor) -> None:
        set_learning_rate(self.optimizer, rate)
        self.take(*batch)

    def validate(
        self, x: Float[Tensor, "row modality 600"], present: Bool[Tensor, "row modality"]
    ) -> list[Float[Tensor, "row group"]]:
        """Probabilities by each of the members, where the spectra are."""
        return list(self.stack.predict(x, present))

    def keep_best(self, member: int) -> None:
        """Remember the current weights of a member."""
        for name, tensor in self.stack.weights(member).items():
            self.members[member].best[name].copy_(tensor)

    def _take_over(self) -> None:
        """Continue where the members are."""
        for name in ("group_weight", "sample_weight"):
            getattr(self.step, name).copy_(torch.stack([getattr(member.step, name) for member in self.members]))
        self.step.weighted = self.members[0].step.weighted
        for stacked, *own in self._weights():
            states = [member.optimizer.state.get(p) for member, p in zip(self.members, own, strict=True)]
            if states[0]:
                state = {name: torch.stack([s[name] for s in states]) for name in states[0] if name != "step"}
                self.optimizer.state[stacked] = state | {"step": states[0]["step"].clone()}

    @torch.no_grad()
    def write_back(self) -> None:
        """Bring the members up to date."""
        for i, member in enumerate(self.members):
            member.model.load_state_dict(self.stack.weights(i))
            member.step.group_weight.copy_(self.step.group_weight[i])
            member.step.sample_weight.copy_(self.step.sample_weight[i])
            member.step.weighted = self.step.weighted
        for stacked, *own in self._weights():
            state = self.optimizer.state.get(stacked, {})
            for i, (member, p) in enumerate(zip(self.members, own, strict=True)):
                parts = {name: torch.empty_like(p).copy_(t[i]) for name, t in state.items() if name != "step"}
                if parts:
                    member.optimizer.state[p] = parts | {"step": state["step"].clone()}

    def _weights(self) -> Iterator[tuple[nn.Parameter, ...]]:
        """Each stacked weight with those of the members."""
        own = (member.model.parameters() for member in self.members)
        return zip(self.stack.parameters.values(), *own, strict=True)


def own_generator(device: torch.device) -> torch.Generator:
    """A generator that goes on where torch's own is."""
    return torch.Generator(device).set_state(torch_state(device))

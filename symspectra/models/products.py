"""Convolutions and recurrent layers as matrix products of fixed shapes.

The layers of torch are faster for one run. The same layers written as products can be compiled as one piece, and
computed for several seeds at once (`torch.func.vmap`). A module with the attribute ``as_products`` has both forms; they
give the same result up to rounding.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn

from symspectra.models.processes import across, shares

_seeds = ["alone"]  # how the seeds that `vmap` stacks are computed: alone (there is one), folded, or by hand


def use_products(model: nn.Module, products: bool = True, all_layers: bool = True) -> None:
    """Let modules that have both forms compute as products, or not.

    ``all_layers`` false: only those whose other form has shapes that depend on the data. The layers of cuDNN can be
    captured too, and are faster.
    """
    for module in model.modules():
        if hasattr(module, "as_products"):
            module.as_products = products and (all_layers or getattr(module, "varying", False))


@contextlib.contextmanager
def several_seeds(form: str) -> Iterator[None]:
    """Within it, `torch.func.vmap` stacks seeds.

    ``folded``: attention takes them as a larger batch and batch normalisation as more channels, so that both have the
    kernels of a single run. ``by hand``: what can be compiled.
    """
    _seeds.append(form)
    try:
        yield
    finally:
        _seeds.pop()


class _Folded(torch.autograd.Function):
    """A function that only `vmap` calls: ``vmap`` says what it is for all seeds, in operations with gradients."""

    @staticmethod
    def forward(*arguments: Any) -> Tensor:
        raise NotImplementedError

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        """There is nothing to remember."""


class _FoldedAttention(_Folded):
    @staticmethod
    def vmap(info: Any, axes: Any, *tensors: Tensor | None) -> tuple[Tensor, int]:
        def fold(x: Tensor | None, axis: int | None) -> Tensor | None:
            if axis is not None:
                return x.movedim(axis, 0).flatten(0, 1)
            return x if x is None or len(x) == 1 else x.repeat(info.batch_size, *[1] * (x.ndim - 1))

        q, k, v, mask = (fold(x, axis) for x, axis in zip(tensors, axes, strict=True))
        y = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
        return y.unflatten(0, (info.batch_size, -1)), 0


class _FoldedNorm(_Folded):
    @staticmethod
    def vmap(info: Any, axes: Any, x: Tensor, *rest: Any) -> tuple[Tensor, int]:
        x = x.movedim(axes[0], 1).flatten(1, 2)  # (batch, seed channel, 1, point)
        tensors = [t.movedim(axis, 0).flatten() for t, axis in zip(rest[:4], axes[1:5], strict=True)]
        weight, bias, mean, variance = tensors
        y = F.batch_norm(x, mean, variance, weight, bias, *rest[4:])
        return y.unflatten(1, (info.batch_size, -1)), 1


def attention(
    q: Float[Tensor, "*batch query d"],
    k: Float[Tensor, "*batch key d"],
    v: Float[Tensor, "*batch key d"],
    mask: Bool[Tensor, "*shape"] | None = None,
) -> Float[Tensor, "*batch query d"]:
    """`torch.nn.functional.scaled_dot_product_attention`; ``mask`` is true where a query sees a key."""
    if _seeds[-1] == "folded":
        if mask is not None and mask.ndim < q.ndim:
            mask = mask[(None,) * (q.ndim - mask.ndim)]
        return _FoldedAttention.apply(q, k, v, mask)
    return F.scaled_dot_product_attention(q, k, v, attn_mask=mask)


def convolve(
    x: Float[Tensor, "batch channel point"], weight: Float[Tensor, "out channel_in_group *one kernel"], groups: int
) -> Float[Tensor, "batch out point"]:
    """`torch.nn.functional.conv1d` with padding ``same`` and without bias, in the channels-last memory layout."""
    kernel = weight.shape[-1]
    padded = F.pad(x, ((kernel - 1) // 2, kernel // 2))
    windows = padded.unfold(-1, kernel, 1).unflatten(1, (groups, -1))  # (batch, group, channel, point, kernel)
    columns = windows.permute(1, 0, 3, 2, 4).flatten(3).flatten(1, 2)  # (group, batch point, channel kernel)
    y = columns @ weight.unflatten(0, (groups, -1)).flatten(2).transpose(1, 2)  # (group, batch point, out / groups)
    return y.unflatten(1, (len(x), -1)).permute(1, 2, 0, 3).flatten(2).transpose(1, 2)


class SpectrumConv(nn.Conv2d):
    """Convolution along a spectrum, with padding ``same``; spectra are (batch, channel, 1, point).

    It has two dimensions with a height of one, because only those have the channels-last memory layout, which is three
    times as fast on a CPU.
    """

    def __init__(self, channels: int, out: int, kernel: int, groups: int = 1, bias: bool = True):
        super().__init__(channels, out, (1, kernel), padding="same", groups=groups, bias=bias)
        self.as_products = False

    def forward(self, x: Float[Tensor, "batch channel 1 point"]) -> Float[Tensor, "batch out 1 point"]:
        """In the channels-last memory layout."""
        if not self.as_products:
            return super().forward(x.contiguous(memory_format=torch.channels_last))
        y = convolve(x.squeeze(2), self.weight, self.groups).unsqueeze(2)
        return y if self.bias is None else y + self.bias[:, None, None]


class SpectrumNorm(nn.BatchNorm2d):
    """Batch normalisation of spectra, over the whole batch where processes share it."""

    def forward(self, x: Float[Tensor, "batch channel 1 point"]) -> Float[Tensor, "batch channel 1 point"]:
        """In the precision and the memory layout of ``x``."""
        if _seeds[-1] == "folded":
            statistics = self.running_mean, self.running_var
            if self.training:
                self.num_batches_tracked += 1
            return _FoldedNorm.apply(x, self.weight, self.bias, *statistics, self.training, self.momentum, self.eps)
        if _seeds[-1] == "by hand" or (self.training and shares() > 1):
            return self._by_hand(x)
        return super().forward(x)

    def _by_hand(self, x: Tensor) -> Tensor:
        wide = x.float()
        mean, variance = self._of_the_batch(wide) if self.training else (self.running_mean, self.running_var)
        scale = self.weight * (variance + self.eps).rsqrt()
        return ((wide - mean[:, None, None]) * scale[:, None, None] + self.bias[:, None, None]).to(x.dtype)

    def _of_the_batch(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and variance of each channel; the running ones follow them."""
        mean = across(x.mean(dim=(0, 2, 3)))
        variance = across((x - mean[:, None, None]).square().mean(dim=(0, 2, 3)))
        n = x.numel() / x.shape[1] * shares()
        with torch.no_grad():
            self.running_mean.lerp_(mean, self.momentum)
            self.running_var.lerp_(variance * n / (n - 1), self.momentum)
            self.num_batches_tracked += 1
        return mean, variance


def lstm(
    x: Float[Tensor, "batch step input"], state: tuple[Tensor, Tensor], weights: nn.LSTM
) -> tuple[Float[Tensor, "batch step hidden"], tuple[Tensor, Tensor]]:
    """One layer of `torch.nn.LSTM` with ``batch_first``, step by step."""
    h, c = (part[0] for part in state)
    outer = F.linear(x, weights.weight_ih_l0, weights.bias_ih_l0 + weights.bias_hh_l0)
    steps = []
    for from_input in outer.unbind(dim=1):
        i, f, g, o = (from_input + F.linear(h, weights.weight_hh_l0)).chunk(4, dim=-1)
        c = f.sigmoid() * c + i.sigmoid() * g.tanh()
        h = o.sigmoid() * c.tanh()
        steps.append(h)
    return torch.stack(steps).transpose(0, 1), (h.unsqueeze(0), c.unsqueeze(0))


def gru(
    x: Float[Tensor, "batch step input"], state: Float[Tensor, "1 batch hidden"], weights: nn.GRU
) -> tuple[Float[Tensor, "batch step hidden"], Float[Tensor, "1 batch hidden"]]:
    """One layer of `torch.nn.GRU` with ``batch_first``, step by step."""
    h = state[0]
    outer = F.linear(x, weights.weight_ih_l0, weights.bias_ih_l0)
    steps = []
    for from_input in outer.unbind(dim=1):
        r, z, n = from_input.chunk(3, dim=-1)
        inner_r, inner_z, inner_n = F.linear(h, weights.weight_hh_l0, weights.bias_hh_l0).chunk(3, dim=-1)
        z = (z + inner_z).sigmoid()
        h = (1 - z) * torch.tanh(n + (r + inner_r).sigmoid() * inner_n) + z * h
        steps.append(h)
    return torch.stack(steps).transpose(0, 1), h.unsqueeze(0)

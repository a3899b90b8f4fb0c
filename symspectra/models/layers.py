"""The convolution block that SymSpectra and the 1D-CNN share."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn


class ConvBlock(nn.Module):
    """``Conv1d -> BatchNorm -> ReLU -> MaxPool`` along a spectrum (Eq. 2), with padding ``same``.

    The convolution has two dimensions with a height of one, because only those have the channels-last memory layout,
    which is three times as fast on a CPU. ReLU stands after the pooling: the same function on a fraction of the points.

    ``(batch, channels, point) -> (batch, out, point // pool)``
    """

    def __init__(self, channels: int, out: int, kernel: int, pool: int, groups: int = 1, bias: bool = True):
        super().__init__()
        self.pool = pool
        self.conv = nn.Conv2d(channels, out, (1, kernel), padding="same", groups=groups, bias=bias)
        self.norm = nn.BatchNorm2d(out)
        self.to(memory_format=torch.channels_last)

    def forward(self, x: Float[Tensor, "batch channel point"]) -> Float[Tensor, "batch out shorter"]:
        """Feature maps of some spectra."""
        x = self.norm(self.conv(x.unsqueeze(2).contiguous(memory_format=torch.channels_last)))
        return F.relu(F.max_pool2d(x, (1, self.pool))).squeeze(2)

"""Baselines behind the same interface as SymSpectra."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn

from symspectra.classifier import SpectrumClassifier


class JungCNN(SpectrumClassifier):
    """1D-CNN of Jung, Jung and Cole (Chem. Sci. 2023, 14, 3600; 10.1039/D2SC05892H).

    Two blocks Conv1d(31, 62; kernel 11) -> BatchNorm -> ReLU -> MaxPool, three dense layers with dropout, one
    output a group. Their network reads one infrared spectrum; here the modalities are its input channels.

    Parameters
    ----------
    n_modalities : input channels; 64,015,708 parameters in all with one modality and the published widths
    dense : widths of the three dense layers, (4927, 2785, 1574) as published
    """

    def __init__(
        self,
        n_modalities: int,
        n_groups: int = 37,
        dense: tuple[int, int, int] = (4927, 2785, 1574),
        dropout: float = 0.48599073736368,
    ):
        super().__init__()
        # Two-dimensional with a height of one, and ReLU after the pooling: as in `symspectra.model.SpectralEncoder`.
        self.conv1, self.norm1 = nn.Conv2d(n_modalities, 31, (1, 11), padding="same"), nn.BatchNorm2d(31)
        self.conv2, self.norm2 = nn.Conv2d(31, 62, (1, 11), padding="same"), nn.BatchNorm2d(62)
        widths = (62 * 150, *dense)
        layers: list[nn.Module] = [nn.Flatten()]
        for before, after in zip(widths[:-1], widths[1:], strict=True):
            layers += [nn.Linear(before, after), nn.ReLU(), nn.Dropout(dropout)]
        self.head = nn.Sequential(*layers, nn.Linear(widths[-1], n_groups))
        self.to(memory_format=torch.channels_last)

    def forward(
        self, x: Float[Tensor, "batch modality 600"], present: Bool[Tensor, "batch modality"]
    ) -> Float[Tensor, "batch group"]:
        """Logits of the functional groups; a modality that was not measured is a channel of zeros."""
        x = (x * present.unsqueeze(-1)).unsqueeze(2).contiguous(memory_format=torch.channels_last)
        x = F.relu(F.max_pool2d(self.norm1(self.conv1(x)), (1, 2)))
        x = F.relu(F.max_pool2d(self.norm2(self.conv2(x)), (1, 2)))
        return self.head(x)

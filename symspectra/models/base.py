"""What every model here is: spectra in, one probability a functional group out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn

PREDICTED = {"cpu": 512, "cuda": 256}  # molecules whose groups are predicted at once


@dataclass
class Losses:
    """What is minimised, its named terms for the log (detached), and the weight of each element where there is one."""

    total: Float[Tensor, ""]
    terms: dict[str, Float[Tensor, ""]]
    element_weight: Float[Tensor, "batch group"] | None = None


class SpectrumClassifier(nn.Module):
    """Base class of SymSpectra, of the baselines, and of a model of your own.

    A subclass defines ``forward(x, present) -> logits`` and is trained with ``criterion(logits, y)``, the binary
    cross-entropy unless another strategy against imbalance is chosen; it may override `loss` and `predict` when it has
    more to say, as SymSpectra does.
    """

    criterion: Callable[[Tensor, Tensor], Tensor] = staticmethod(F.binary_cross_entropy_with_logits)

    def prepare(self, y_train: Bool[Tensor, "molecule group"]) -> None:
        """Called once before training with the labels of the training split: for what is read from them alone."""

    def begin_epoch(self, epoch: int) -> None:
        """Called before every epoch, which counts from 0: for schedules inside the model.

        What changes must be a buffer that is filled: a step that is captured on a GPU reads it again, and sees no
        other change.
        """

    def forward(
        self, x: Float[Tensor, "batch modality 600"], present: Bool[Tensor, "batch modality"]
    ) -> Float[Tensor, "batch group"]:
        """Logits of the functional groups."""
        raise NotImplementedError

    def loss(
        self,
        x: Float[Tensor, "batch modality 600"],
        present: Bool[Tensor, "batch modality"],
        y: Float[Tensor, "batch group"],
    ) -> Losses:
        """The training objective of a batch.

        Parameters
        ----------
        x : spectra, zeros where a modality was not measured
        present : which modalities were measured
        y : groups, 0 or 1
        """
        total = self.criterion(self(x, present).float(), y)
        return Losses(total, {"bce": total.detach()})

    def predict(
        self, x: Float[Tensor, "batch modality 600"], present: Bool[Tensor, "batch modality"]
    ) -> Float[Tensor, "batch group"]:
        """Probabilities of the functional groups, in the order of Table 8."""
        return self(x, present).float().sigmoid()


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

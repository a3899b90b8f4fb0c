"""What every model here is: spectra in, one probability per functional group out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn

PREDICTED = {"cpu": 128, "cuda": 256}  # molecules whose groups are predicted at once; more leave a CPU's caches

# Of n modalities; a spectrum that was not measured is zeros. Groups are logits, probabilities, or labels 0 and 1.
Spectra, Present = Float[Tensor, "batch n 600"], Bool[Tensor, "batch n"]
Groups = Float[Tensor, "batch group"]


@dataclass
class Losses:
    """What is minimised, its named terms for the log (detached), and where there are any, the weights of Eq. 10."""

    total: Float[Tensor, ""]
    terms: dict[str, Float[Tensor, ""]]
    element_weight: Groups | None = None
    sample_weight: Float[Tensor, " batch"] | None = None


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

    def forward(self, x: Spectra, present: Present) -> Groups:
        """Logits of the functional groups."""
        raise NotImplementedError

    def loss(self, x: Spectra, present: Present, y: Groups) -> Losses:
        """The training objective of a batch; ``y`` holds 0 and 1."""
        total = self.criterion(self(x, present).float(), y)
        return Losses(total, {"bce": total.detach()})

    def predict(self, x: Spectra, present: Present) -> Groups:
        """Probabilities of the functional groups, in the order of the labels."""
        return self(x, present).float().sigmoid()


@torch.no_grad()
def probabilities(
    model: SpectrumClassifier,
    x: Spectra,
    present: Present,
    batch: int | None = None,
    predict: Callable[..., Tensor] | None = None,
) -> Groups:
    """Probabilities for some spectra, in evaluation mode, where the spectra are; ``predict`` may replace the model's.

    Runs ``batch`` molecules at a time.
    """
    model.eval()
    parts = [part.split(batch or PREDICTED[x.device.type]) for part in (x, present)]
    return torch.cat([(predict or model.predict)(*chunk).float().clone() for chunk in zip(*parts, strict=True)])

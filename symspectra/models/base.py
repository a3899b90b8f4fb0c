"""What every model here is: spectra in, one probability a functional group out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn


class SpectrumClassifier(nn.Module):
    """Base class of SymSpectra, of the baselines, and of a model of your own.

    A subclass defines ``forward(x, present) -> logits`` and is trained with ``criterion(logits, y)``, the binary
    cross-entropy unless another strategy against imbalance is chosen; it may override `loss` and `predict` when it has
    more to say, as SymSpectra does.
    """

    criterion: Callable[[Tensor, Tensor], Tensor] = staticmethod(F.binary_cross_entropy_with_logits)

    def prepare(self, y_train: Bool[Tensor, "molecule group"]) -> None:
        """Called once before training with the labels of the training split: for what is read from them alone."""

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
        epoch: int | Int[Tensor, ""],
    ) -> tuple[Float[Tensor, ""], dict[str, Tensor]]:
        """The training objective and the named terms to log (detached scalars).

        A term named ``element_weight``, of shape (batch, group), is kept as the weights of molecules and groups.

        Parameters
        ----------
        x : spectra, zeros where a modality was not measured
        present : which modalities were measured
        y : functional groups, 0 or 1
        epoch : counts from 0; for schedules inside the model. On a GPU, or compiled, it is a tensor of no dimensions:
            compute with it and do not branch on it
        """
        loss = self.criterion(self(x, present).float(), y)
        return loss, {"bce": loss.detach()}

    def predict(
        self, x: Float[Tensor, "batch modality 600"], present: Bool[Tensor, "batch modality"]
    ) -> Float[Tensor, "batch group"]:
        """Probabilities of the functional groups, in the order of Table 8."""
        return self(x, present).float().sigmoid()


class Call(nn.Module):
    """A model whose ``forward`` calls one of its methods: for what knows no other method than ``forward``."""

    def __init__(self, model: SpectrumClassifier):
        super().__init__()
        self.model = model

    def forward(self, method: str, *arguments: Tensor) -> Any:
        """``model.method(*arguments)``."""
        return getattr(self.model, method)(*arguments)

"""Losses of the strategies against class imbalance that Table 2 gives the baselines."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

from symspectra.models.base import Groups

STRATEGIES = ("none", "mlsmote", "class_weights", "focal")


def positive_negative_weights(
    y: Bool[Tensor, "molecule group"], cap: float
) -> tuple[Float[Tensor, " group"], Float[Tensor, " group"]]:
    """Inverse class frequency: weights N / (2 n), at most ``cap``, of the positives and of the negatives of each group.

    Where a group has no positives, or no negatives, their weight is 1.
    """
    positive = y.sum(dim=0)
    weights = [torch.where(n > 0, len(y) / (2 * n.clamp_min(1)), 1.0) for n in (positive, len(y) - positive)]
    return weights[0].clamp_max(cap), weights[1].clamp_max(cap)


def focal_loss(logits: Groups, y: Groups, gamma: float = 2.0, alpha: float = 0.25) -> Float[Tensor, ""]:
    """Mean over molecules and groups of -alpha_t (1 - p_t)^gamma log p_t, with p_t the probability of the truth.

    ``alpha`` weighs the positives, 1 - ``alpha`` the negatives. From Lin et al., ICCV 2017, Eq. 5 with its best
    setting; the paper names no values.
    """
    signed = (2 * y - 1) * logits
    alpha_t = alpha * y + (1 - alpha) * (1 - y)
    return -(alpha_t * torch.exp(gamma * F.logsigmoid(-signed)) * F.logsigmoid(signed)).mean()


def criterion(
    strategy: str, y_train: Bool[Tensor, "molecule group"], cap: float = 10.0
) -> Callable[[Groups, Groups], Float[Tensor, ""]]:
    """The loss, a function of logits and labels, of one of `STRATEGIES`; ``mlsmote`` keeps the binary cross-entropy.

    ``cap`` is the largest class weight.
    """
    if strategy not in STRATEGIES:
        raise ValueError(f"there is no imbalance strategy {strategy!r}; expected one of {STRATEGIES}")
    if strategy == "focal":
        return focal_loss
    if strategy in ("none", "mlsmote"):
        return F.binary_cross_entropy_with_logits
    w_pos, w_neg = positive_negative_weights(y_train, cap)

    def weighted(logits: Tensor, y: Tensor) -> Tensor:
        weight = torch.where(y > 0, w_pos.to(y.device), w_neg.to(y.device))
        return F.binary_cross_entropy_with_logits(logits, y, weight=weight)

    return weighted

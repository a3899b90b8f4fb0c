"""Learning rates, the order of the molecules, and which draw of the noise: what an epoch of a run is made of."""

from __future__ import annotations

import math

import torch
from jaxtyping import Int
from torch import Tensor

from symspectra.config import Config


def learning_rate(config: Config, step: int, per_epoch: int) -> float:
    """Learning rate of a step (from 0), by ``config.training.schedule``.

    ``cosine`` falls to zero, epoch by epoch; ``steps`` falls to a tenth after 31/41 and again after 37/41 of the
    epochs; ``noam`` rises for ``warmup`` steps to ``lr`` and falls as one over the square root (Vaswani et al. 2017);
    ``onecycle`` rises from lr / 25 over three tenths of all steps and falls to lr / 250,000, by cosines (Smith 2018).
    """
    t = config.training
    epoch, total = step // per_epoch, t.epochs * per_epoch
    if t.schedule == "cosine":
        return t.lr * 0.5 * (1 + math.cos(math.pi * epoch / t.epochs))
    if t.schedule == "steps":
        return t.lr * 0.1 ** sum(epoch >= round(t.epochs * last / 41) for last in (31, 37))
    if t.schedule == "noam":
        return t.lr * min((step + 1) / t.warmup, math.sqrt(t.warmup / (step + 1)))
    top = max(1.0, 0.3 * total - 1)
    low, high, share = (1 / 25, 1, step / top) if step < top else (1, 4e-6, (step - top) / max(1.0, total - 1 - top))
    return t.lr * (low + (high - low) * 0.5 * (1 - math.cos(math.pi * min(1.0, share))))


def epoch_order(config: Config, epoch: int, n: int) -> Int[Tensor, " {n}"]:
    """Order in which the n training molecules are seen in an epoch."""
    return torch.randperm(n, generator=torch.Generator().manual_seed(1_000_003 * config.training.seed + epoch))


def epoch_draw(config: Config, epoch: int) -> int:
    """Draw of the nuisance noise in an epoch; 0 is that of validation and test."""
    return 1 + epoch + 100_003 * config.training.seed

"""Dynamic weights from conditional mutual information (section 2.2.3)."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from symspectra.models.base import Groups, Present


def pointwise_cmi(
    bce_auxiliary: Float[Tensor, "batch n group"], bce_main: Groups, present: Present, reduce: str = "max"
) -> Groups:
    """What the modalities add to the prediction of each group: the log-ratio of Eq. 9 at the true label.

    ``log p(y | T^i, T^not i) - log p(y | T^not i)`` is the auxiliary predictor's cross-entropy without modality i
    minus the main predictor's; it may be negative. Of the modalities that are present, ``reduce`` takes the ``"max"``,
    that of the most informative one, the ``"sum"`` or the ``"mean"``; without any it is 0.
    """
    cmi = bce_auxiliary - bce_main.unsqueeze(1)  # Eq. 9
    mask = present.unsqueeze(-1)
    if reduce == "max":
        return cmi.masked_fill(~mask, float("-inf")).amax(dim=1).masked_fill(~mask.any(dim=1), 0.0)
    total = (cmi * mask).sum(dim=1)
    return total if reduce == "sum" else total / mask.sum(dim=1).clamp_min(1)


def standardised_weight(
    cmi: Float[Tensor, "*shape"], mean: Float[Tensor, ""], std: Float[Tensor, ""], strength: float
) -> Float[Tensor, "*shape"]:
    """``max(0, 1 + s (CMI - mu) / sigma)``, the form that Eqs. 11 and 12 share."""
    return (1 + strength * (cmi - mean) / (std + 1e-6)).clamp_min(0)


class CMIWeighting(nn.Module):
    """Weights of samples and of groups for the loss (Eqs. 11 and 12).

    Parameters
    ----------
    weighting : ``"paper"``: sample weights (Eq. 11) times element weights (Eq. 12); ``"sample"``: Eq. 11 alone;
        ``"label_ema"``: Eq. 11 times one slowly moving weight per group; ``"none"``: all ones.
    s1, s2 : emphasis on samples and on groups
    ramp : epochs over which the weights grow from 1 to their full size (not in the paper); early estimates are
        mostly noise
    momentum : of the running statistics, used below ``small_batch`` samples and by ``"label_ema"``
    """

    small_batch = 32

    def __init__(
        self,
        n_groups: int,
        weighting: str = "paper",
        s1: float = 0.3,
        s2: float = 0.3,
        ramp: int = 4,
        momentum: float = 0.02,
    ):
        super().__init__()
        self.weighting, self.s1, self.s2, self.ramp, self.momentum = weighting, s1, s2, ramp, momentum
        self.register_buffer("running", torch.tensor([0.0, 1.0, 0.0, 1.0]))  # mu_s, sigma_s, mu_f, sigma_f
        self.register_buffer("group_cmi", torch.zeros(n_groups))
        self.register_buffer("share", torch.ones(()), persistent=False)  # how far the weights have grown

    def begin_epoch(self, epoch: int) -> None:
        """Let the weights grow with the epochs, which count from 0."""
        self.share.fill_(min(1.0, epoch / self.ramp) if self.ramp else 1.0)

    @torch.no_grad()
    def forward(self, cmi: Groups) -> tuple[Groups, Float[Tensor, " batch"]]:
        """Weight of every element of the loss, ``W_i^samp * W_ij^feat`` of Eq. 10, and ``W_i^samp`` alone.

        Updates the statistics.
        """
        if self.weighting == "none":
            return torch.ones_like(cmi), torch.ones_like(cmi[:, 0])
        cmi_sample = cmi.mean(dim=1)
        batch = torch.stack([cmi_sample.mean(), cmi_sample.std(unbiased=False), cmi.mean(), cmi.std(unbiased=False)])
        self.running.copy_(torch.lerp(self.running, batch, self.momentum))
        self.group_cmi.copy_(torch.lerp(self.group_cmi, cmi.mean(dim=0), self.momentum))
        mu_s, sigma_s, mu_f, sigma_f = self.running if len(cmi) < self.small_batch else batch
        sample = standardised_weight(cmi_sample, mu_s, sigma_s, self.s1)  # Eq. 11
        weight = sample.unsqueeze(1)
        if self.weighting == "paper":
            weight = weight * standardised_weight(cmi, mu_f, sigma_f, self.s2)  # Eq. 12
        elif self.weighting == "label_ema":
            group = self.group_cmi
            weight = weight * standardised_weight(group, group.mean(), group.std(unbiased=False), self.s2)
        return (1 + self.share * (weight - 1)).expand_as(cmi), 1 + self.share * (sample - 1)

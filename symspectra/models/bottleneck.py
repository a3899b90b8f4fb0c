"""The symmetric conditional information bottleneck: gates, noise injection, compression bound.

Shapes: ``n`` modalities of ``L`` tokens with ``C`` channels. Equation numbers are the paper's.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from symspectra.models.base import Present

Tokens, Gates = Float[Tensor, "batch n L C"], Float[Tensor, "batch n L"]
Moment = Float[Tensor, "batch n C"]  # mean or standard deviation, channel by channel
Same = Float[Tensor, "*shape"]


@dataclass(frozen=True)
class Prior:
    """The noise of Eq. 6 and the reference of the bound, q(T^i) (App. G, Table 6): one object, so that they agree.

    Parameters
    ----------
    noise : draws noise of mean 0 and deviation 1 in the shape of a tensor, in float32
    moments : mean and deviation that the noise is given; None for those of the spectrum's own tokens (App. E)
    divergence : Kullback-Leibler divergence of a normal distribution of some mean and variance, in units of the noise,
        from the prior; None for a normal prior, whose divergence is Eq. 18
    """

    noise: Callable[[Same], Same]
    moments: tuple[float, float] | None = None
    divergence: Callable[[Tensor, Tensor], Tensor] | None = None


def _normal(like: Same) -> Same:
    # Drawn contiguously: several times as fast as in the layout of the tokens.
    return torch.randn(like.shape, device=like.device)


def _exponential(like: Same) -> Same:
    return torch.empty(like.shape, device=like.device).exponential_()


def _laplace(like: Same) -> Same:
    return (_exponential(like) - _exponential(like)) / math.sqrt(2)


def _from_laplace(mean: Same, variance: Same) -> Same:
    """From Laplace(0, 1), exact."""
    std = variance.sqrt()
    absolute = std * math.sqrt(2 / math.pi) * torch.exp(-(mean**2) / (2 * variance))
    absolute = absolute + mean * torch.erf(mean / (std * math.sqrt(2)))  # E|s|
    return absolute + math.log(2) - 0.5 * torch.log(2 * math.pi * math.e * variance)


def _from_gamma(mean: Same, variance: Same) -> Same:
    """From Gamma(1, 1) of softplus(s), which is positive, by one sample of s; the derivative of softplus is sigmoid."""
    s = mean + variance.sqrt() * _normal(mean)
    return F.softplus(s) + F.softplus(-s) - 0.5 * torch.log(2 * math.pi * math.e * variance)


#: The priors of Table 6; `symspectra.models.registry.register_prior` adds one of your own.
PRIORS: dict[str, Prior] = {
    "data": Prior(_normal),
    "gaussian": Prior(_normal, (0.0, 1.0)),
    "laplace": Prior(_laplace, (0.0, math.sqrt(2.0)), _from_laplace),
    "gamma": Prior(lambda like: _exponential(like) - 1, (1.0, 1.0), _from_gamma),  # Gamma(k = 1, theta = 1)
}


def concrete_gate(logit: Gates, temperature: float = 1.0) -> Gates:
    """Sample relaxed Bernoulli gates from their logits (Eq. 7; Maddison et al. 2016).

    The paper prints ``1/t`` over the logit alone; here, as in the concrete distribution, it divides the sum.
    The two are the same at the paper's t = 1.
    """
    u = torch.rand(logit.shape, device=logit.device).clamp(1e-4, 1 - 1e-4)
    return torch.sigmoid((logit.float() + torch.log(u) - torch.log1p(-u)) / temperature)  # Eq. 7


def token_statistics(tokens: Tokens, floor: float = 0.1, prior: str = "data") -> tuple[Moment, Moment]:
    """Mean and standard deviation of the noise of Eq. 6: of a spectrum's tokens, channel by channel, or of the prior.

    Those of the tokens are detached: the noise follows the representation and does not train it. An empty spectrum has
    constant channels; ``floor`` keeps its standard deviation away from zero.
    """
    if (moments := PRIORS[prior].moments) is not None:
        mean, std = (torch.full_like(tokens[:, :, 0], value, dtype=torch.float32) for value in moments)
        return mean, std
    tokens = tokens.detach().float()
    return tokens.mean(dim=2), tokens.std(dim=2, unbiased=False).clamp_min(floor)


def inject_noise(tokens: Tokens, gate: Gates, mean: Moment, std: Moment, prior: str = "data") -> Tokens:
    """Replace what the gates close by noise of the given mean and spread, and the shape of the prior (Eq. 6)."""
    noise = mean.unsqueeze(2) + std.unsqueeze(2) * PRIORS[prior].noise(tokens)
    gate = gate.unsqueeze(-1).to(tokens.dtype)
    return gate * tokens + (1 - gate) * noise.to(tokens.dtype)  # Eq. 6


def mean_gate(logit: Gates, temperature: float = 1.0) -> Gates:
    """Mean of the gates that `concrete_gate` draws; it is not p, their probability to be more open than closed.

    With logistic noise z it is E sigmoid((logit + z) / t), which equals E sigmoid(logit + t z): of the two, the
    smoother integrand is summed over steps of one, the trapezoid rule, within 1e-6 of the integral at any
    temperature. (The clamp of u is worth 1e-4 at most.) At t = 1 and with a = exp(-logit) it is
    (1 - a + a ln a) / (1 - a)^2: 0.883 for p = 0.95.
    """
    z = torch.linspace(-16, 16, 33, device=logit.device)
    density = torch.sigmoid(z) * torch.sigmoid(-z)
    relaxed = torch.sigmoid((logit.float().unsqueeze(-1) + min(1.0, temperature) * z) / max(1.0, temperature))
    return relaxed @ (density / density.sum())


def mean_representation(tokens: Tokens, gate: Gates, mean: Moment) -> Tokens:
    """Eq. 6 without sampling, for evaluation: its mean, with the mean of the gates."""
    gate = gate.unsqueeze(-1).to(tokens.dtype)
    return gate * tokens + (1 - gate) * mean.unsqueeze(2).to(tokens.dtype)


def compression_bound(
    tokens: Tokens,
    gate: Gates,
    mean: Moment,
    std: Moment,
    present: Present,
    cross_term: str = "printed",
    prior: str = "data",
    aggregate: str = "tokens",
) -> Float[Tensor, ""]:
    """Upper bound on the information that the representations keep (Eqs. 18 and 19, App. E.2).

    Eq. 18 is the Kullback-Leibler divergence of the two Gaussians of Eqs. 24 and 25; with the constant
    C = (ln N - 1) / 2 it is non-negative. Eq. 19 is the same expression with the gates and tokens of the
    other modalities (Eqs. 30 and 31), here averaged over the other modalities that are present.

    Parameters
    ----------
    aggregate : of what T^i the divergence is, which Eqs. 24 to 26 leave open. ``"tokens"``: of all tokens and channels,
        which the predictors read; each token is aggregated from itself alone, N = 1, and the sum is taken.
        ``"channels"``: of the sum of the tokens, N = L, a vector of channels, again with the sum. ``"mean"``: the same
        divided by the number of channels.
    cross_term : ``"printed"`` adds Eq. 19 as printed, ``"negated"`` subtracts it (the sign that Eq. 27
        implies), ``"none"`` leaves it out.
    prior : q(T^i), the distribution that the divergence is taken from (App. G). ``"data"`` and ``"gaussian"`` are
        Eq. 24 with the ``mean`` and ``std`` given; ``"laplace"`` and ``"gamma"`` stand for what is aggregated in
        units of its noise, Gamma(1, 1) for the softplus of it, because it is positive.

    Returns
    -------
    mean over the batch, sum over modalities; float32 whatever the precision of the inputs.
    """
    divergence = PRIORS[prior].divergence
    with torch.autocast(tokens.device.type, enabled=False):
        tokens, gate = tokens.float(), gate.float()
        n_tokens, channels = tokens.shape[2:]
        ratio = (1 - gate) ** 2 + 1e-6  # A / N of Eq. 18, of every token
        shift = gate.unsqueeze(-1) * (tokens - mean.unsqueeze(2))  # lambda_j (h_j - mu), of every token
        if aggregate != "tokens":  # of their sum, over the root of N
            ratio = ratio.mean(dim=2, keepdim=True)
            shift = shift.sum(dim=2, keepdim=True) / n_tokens**0.5
            gate = gate.sum(dim=2, keepdim=True) / n_tokens**0.5
        variance_term = channels * ((ratio - 1 - torch.log(ratio)) / 2).sum(dim=2)  # the terms in A, and C

        # (batch, i, m): B^2 / N of Eq. 18 where m = i, B'^2 / N of Eq. 31 where m is another modality.
        apart = mean.unsqueeze(2) - mean.unsqueeze(1)  # of mu_i and mu_m: [b, i, m, c]
        if divergence is None:
            s0, s1, s2 = gate.square().sum(dim=2), (gate.unsqueeze(-1) * shift).sum(dim=2), shift.square().sum(dim=2)
            b2 = s2.unsqueeze(1) + (s0[:, None, :, None] * apart - 2 * s1.unsqueeze(1)) * apart
            kl = variance_term.unsqueeze(1) + (b2 / std.square().unsqueeze(2)).sum(dim=3) / 2
        else:
            b = shift.unsqueeze(1) - gate[:, None, :, :, None] * apart.unsqueeze(3)
            b = b / std[:, :, None, None]  # [b, i, m, k, c]
            kl = divergence(b, ratio[:, None, :, :, None].expand_as(b)).sum(dim=(3, 4))
        kl = kl / channels if aggregate == "mean" else kl

        weight = present.float()
        own = (kl.diagonal(dim1=1, dim2=2) * weight).sum(dim=1)  # Eq. 18
        if cross_term == "none" or tokens.shape[1] == 1:
            return own.mean()
        other = weight.unsqueeze(1) * (1 - torch.eye(tokens.shape[1], device=tokens.device))
        cross = (kl * other).sum(dim=2) / other.sum(dim=2).clamp_min(1)  # Eq. 19
        cross = (cross * weight).sum(dim=1)
        return (own + cross if cross_term == "printed" else own - cross).mean()

import math

import pytest
import torch
from conftest import tiny
from torch.distributions import Normal, kl_divergence

from symspectra import settings
from symspectra.errors import ConfigError
from symspectra.models import registry
from symspectra.models.bottleneck import (
    PRIORS,
    Prior,
    compression_bound,
    concrete_gate,
    expected_representation,
    inject_noise,
    token_statistics,
)
from symspectra.models.registry import build_model, register_prior
from symspectra.training.runs import run_id

BATCH, N, L, C = 5, 3, 12, 4


@pytest.fixture
def case():
    """Tokens, gates, statistics and presence of a random batch."""
    torch.manual_seed(1)
    tokens = torch.randn(BATCH, N, L, C) * torch.rand(BATCH, N, 1, C) + torch.randn(BATCH, N, 1, C)
    gate = torch.rand(BATCH, N, L) * 0.98 + 0.01
    return tokens, gate, *token_statistics(tokens), torch.ones(BATCH, N, dtype=torch.bool)


def plain_kl(tokens, gate, mean, std):
    """Eq. 18 for one spectrum from Eqs. 24 and 25, mean over channels; float64."""
    tokens, gate, mean, std = (v.double() for v in (tokens, gate, mean, std))
    n = len(gate)
    total = 0.0
    for c in range(tokens.shape[1]):
        shift = sum(gate[j] * (tokens[j, c] - mean[c]) for j in range(n))
        p = Normal(n * mean[c] + shift, std[c] * (((1 - gate) ** 2).sum() + 1e-6 * n).sqrt())  # Eq. 25
        q = Normal(n * mean[c], std[c] * math.sqrt(n))  # Eq. 24
        total += kl_divergence(p, q) / tokens.shape[1]
    return total


def plain_bound(tokens, gate, mean, std, present, cross_term):
    """Eqs. 18 and 19, one sample and one modality at a time."""
    total = 0.0
    for b in range(len(tokens)):
        for i in range(tokens.shape[1]):
            if not present[b, i]:
                continue
            total += plain_kl(tokens[b, i], gate[b, i], mean[b, i], std[b, i])
            others = [m for m in range(tokens.shape[1]) if m != i and present[b, m]]
            for m in others:  # Eqs. 30 and 31: gates and tokens of m, mean and deviation of i
                cross = plain_kl(tokens[b, m], gate[b, m], mean[b, i], std[b, i]) / len(others)
                total += {"printed": cross, "negated": -cross, "none": 0.0}[cross_term]
    return float(total / len(tokens))


@pytest.mark.parametrize("cross_term", ["printed", "negated", "none"])
def test_cross_term_against_a_plain_loop(case, cross_term):
    bound = float(compression_bound(*case, cross_term))
    assert bound == pytest.approx(plain_bound(*case, cross_term), rel=1e-4)
    assert cross_term != "none" or bound >= 0


@pytest.mark.parametrize("cross_term", ["printed", "negated", "none"])
def test_absent_modalities_are_skipped(case, cross_term):
    tokens, gate, mean, std, present = case
    present = torch.tensor([[1, 1, 1], [1, 0, 1], [0, 1, 0], [0, 0, 1], [1, 1, 0]], dtype=torch.bool)
    expected = plain_bound(tokens, gate, mean, std, present, cross_term)
    assert float(compression_bound(tokens, gate, mean, std, present, cross_term)) == pytest.approx(expected, rel=1e-4)
    absent = ~present[:, :, None, None]
    garbage = compression_bound(tokens + 50 * absent, gate, mean, std, present, cross_term)
    assert float(garbage) == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("cross_term", ["printed", "negated", "none"])
def test_a_single_modality_has_no_cross_term(case, cross_term):
    tokens, gate, mean, std, present = (v[:, :1] for v in case)
    expected = plain_bound(tokens, gate, mean, std, present, "none")
    assert float(compression_bound(tokens, gate, mean, std, present, cross_term)) == pytest.approx(expected, rel=1e-4)
    alone = torch.tensor([[1, 0, 0]] * BATCH, dtype=torch.bool)
    assert float(compression_bound(*case[:4], alone, cross_term)) == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_saturated_gates_give_the_known_values_and_a_finite_gradient(case, value):
    tokens, gate, mean, std, present = case
    gate = torch.full_like(gate, value).requires_grad_()
    bound = compression_bound(tokens, gate, mean, std, present, "none")
    bound.backward()
    # Closed: p = q. Open: A = 0 and B = 0 since mean is the tokens' own: (ln 1e6 - 1) / 2 from the regulariser.
    expected = 0.0 if value == 0 else N * (1e-6 - 1 - math.log(1e-6)) / 2
    assert float(bound.detach()) == pytest.approx(expected, abs=1e-3)
    assert gate.grad.isfinite().all()


def test_an_empty_spectrum_has_a_finite_bound_and_gradient():
    tokens = torch.randn(4, 2, L, C)
    tokens[:, 1] = 0.0
    tokens[0, 0] = 3.0  # constant, not zero
    tokens.requires_grad_()
    gate = torch.rand(4, 2, L, requires_grad=True)
    mean, std = token_statistics(tokens)
    assert (std[:, 1] == 0.1).all() and (std[0, 0] == 0.1).all()
    bound = compression_bound(tokens, gate, mean, std, torch.ones(4, 2, dtype=torch.bool))
    bound.backward()
    assert bound.isfinite() and bound < 1e5
    assert tokens.grad.isfinite().all() and gate.grad.isfinite().all()


def test_bf16_inputs_give_a_float32_bound(case):
    tokens, gate, *rest = case
    expected = compression_bound(tokens.bfloat16().float(), gate.bfloat16().float(), *rest)
    with torch.autocast("cpu", torch.bfloat16):
        bound = compression_bound(tokens.bfloat16(), gate.bfloat16(), *rest)
    assert bound.dtype == torch.float32
    assert float(bound) == pytest.approx(float(expected), rel=1e-6)


def test_token_statistics_are_those_of_each_channel_and_detached():
    tokens = torch.randn(2, 3, L, C, requires_grad=True)
    mean, std = token_statistics(tokens, floor=0.0)
    assert not mean.requires_grad and not std.requires_grad
    channel = tokens[1, 2, :, 3].detach().numpy()
    assert float(mean[1, 2, 3]) == pytest.approx(channel.mean(), abs=1e-6)
    assert float(std[1, 2, 3]) == pytest.approx(channel.std(), rel=1e-5)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
@pytest.mark.parametrize("p", [0.1, 0.5, 0.97])
def test_gates_against_the_plain_formula(p, temperature):
    """The plain formula, integrated over u by the midpoint rule."""
    torch.manual_seed(0)
    draws = 40_000
    gate = concrete_gate(torch.full((1, 1, draws), math.log(p / (1 - p))), temperature)
    u = (torch.arange(100_000, dtype=torch.float64) + 0.5) / 100_000
    plain = 1 / (1 + ((1 - p) / p * (1 - u) / u) ** (1 / temperature))
    assert abs(float(gate.mean() - plain.mean())) < 4 * float(plain.std()) / math.sqrt(draws)
    assert float(gate.std()) == pytest.approx(float(plain.std()), rel=0.03)
    opened = float((gate > 0.5).float().mean())  # with probability p at any temperature
    assert abs(opened - p) < 4 * math.sqrt(p * (1 - p) / draws)


def test_gates_stay_finite_for_extreme_logits_and_bf16():
    gate = concrete_gate(torch.tensor([[[-1e4, 0.0, 1e4]]]).bfloat16())
    assert gate.dtype == torch.float32 and gate.isfinite().all()
    assert gate[0, 0, 0] == 0 and gate[0, 0, 2] == 1


def test_injected_noise_has_the_mean_and_variance_of_equation_6():
    torch.manual_seed(0)
    draws, gate_value, mean, std, h = 40_000, 0.3, -1.5, 0.4, 2.0
    t = inject_noise(
        torch.full((1, 1, draws, 1), h),
        torch.full((1, 1, draws), gate_value),
        torch.full((1, 1, 1), mean),
        torch.full((1, 1, 1), std),
    )
    spread = (1 - gate_value) * std
    assert abs(float(t.mean()) - (gate_value * h + (1 - gate_value) * mean)) < 4 * spread / math.sqrt(draws)
    assert float(t.std()) == pytest.approx(spread, rel=0.02)


def test_open_gates_keep_the_tokens_and_closed_gates_replace_them(case):
    tokens, _, mean, std, _ = case
    assert torch.equal(inject_noise(tokens, torch.ones(BATCH, N, L), mean, std), tokens)
    closed = torch.zeros(BATCH, N, L)
    torch.manual_seed(3)
    first = inject_noise(tokens, closed, mean, std)
    torch.manual_seed(3)
    assert torch.equal(first, inject_noise(tokens + 7, closed, mean, std))


def test_expected_representation_is_the_mean_of_equation_6(case):
    tokens, gate, mean, std, _ = case
    torch.manual_seed(0)
    drawn = torch.stack([inject_noise(tokens, gate, mean, std) for _ in range(2000)]).mean(dim=0)
    error = (drawn - expected_representation(tokens, gate, mean)).abs() / std.unsqueeze(2)
    assert error.max() < 5 / math.sqrt(2000)


@pytest.mark.parametrize(("prior", "mean", "std"), [("gaussian", 0, 1), ("laplace", 0, math.sqrt(2)), ("gamma", 1, 1)])
def test_noise_of_a_prior_has_its_moments_and_does_not_look_at_the_tokens(case, prior, mean, std):
    tokens = case[0]
    mu, sigma = token_statistics(tokens, prior=prior)
    assert (mu == mean).all() and torch.allclose(sigma, torch.tensor(float(std)))
    torch.manual_seed(0)
    draws = 60_000
    closed = torch.zeros(1, 1, draws)
    t = inject_noise(torch.zeros(1, 1, draws, 1), closed, mu[:1, :1, :1], sigma[:1, :1, :1], prior)
    assert abs(float(t.mean()) - mean) < 5 * std / math.sqrt(draws)
    assert float(t.std()) == pytest.approx(std, rel=0.03)
    kurtosis = float(((t - t.mean()) ** 4).mean() / t.var() ** 2)
    assert kurtosis == pytest.approx({"gaussian": 3, "laplace": 6, "gamma": 9}[prior], rel=0.15)
    assert prior != "gamma" or t.min() >= 0


def test_the_gaussian_prior_is_equation_18_from_the_standard_normal(case):
    tokens, gate, _, _, present = case
    mean, std = token_statistics(tokens, prior="gaussian")
    bound = compression_bound(tokens, gate, mean, std, present, "printed", "gaussian")
    assert float(bound) == pytest.approx(plain_bound(tokens, gate, mean, std, present, "printed"), rel=1e-4)


@pytest.mark.parametrize("prior", ["laplace", "gamma"])
def test_divergence_from_other_priors_against_integration(prior):
    """One spectrum of one channel; s is the sum of its tokens in units of its noise."""
    torch.manual_seed(2)
    draws = 1 if prior == "laplace" else 4000  # the gamma term is a Monte Carlo estimate, averaged over channels
    tokens = torch.randn(1, 1, L, 1).expand(1, 1, L, draws)
    gate = torch.rand(1, 1, L) * 0.8 + 0.1
    mean, std = token_statistics(tokens, prior=prior)
    bound = compression_bound(tokens, gate, mean, std, torch.ones(1, 1, dtype=torch.bool), "none", prior)
    mu, sigma = float(mean[0, 0, 0]), float(std[0, 0, 0])
    b = float((gate[0, 0] * (tokens[0, 0, :, 0] - mu) / sigma).sum())
    m, v = b / math.sqrt(L), float(((1 - gate) ** 2).sum()) / L + 1e-6
    s = torch.linspace(m - 12 * math.sqrt(v), m + 12 * math.sqrt(v), 400_001, dtype=torch.float64)
    p = Normal(m, math.sqrt(v)).log_prob(s)
    if prior == "laplace":
        q = -s.abs() - math.log(2)
    else:  # softplus(s) has the density exp(-g): back to s by the derivative of softplus
        q = -torch.nn.functional.softplus(s) + torch.nn.functional.logsigmoid(s)
    exact = float(torch.trapezoid(p.exp() * (p - q), s))
    assert float(bound) == pytest.approx(exact, rel=1e-3 if prior == "laplace" else 0.05)
    assert exact > 0


def signs(like):
    return 2.0 * (torch.rand(like.shape) < 0.5) - 1


def far(mean, variance):
    return mean.abs() + 10 * variance


@pytest.fixture
def own_prior(monkeypatch):
    """A registered prior, forgotten after the test: noise of 2.5 or 3.5, and a divergence of its own."""
    monkeypatch.setattr(settings, "PRIORS", list(settings.PRIORS))
    monkeypatch.setattr(registry, "_OWN", dict(registry._OWN))
    register_prior("signs", Prior(signs, (3.0, 0.5), far))
    yield "signs"
    PRIORS.pop("signs")


def test_noise_and_divergence_of_a_prior_of_ones_own_are_used(case, own_prior):
    tokens, gate, _, _, present = case
    mean, std = token_statistics(tokens, prior=own_prior)
    t = inject_noise(tokens, torch.zeros_like(gate), mean, std, own_prior)
    assert set(t.unique().tolist()) == {2.5, 3.5}
    bound = compression_bound(tokens, gate, mean, std, present, "none", own_prior)
    distance = (gate.unsqueeze(-1) * (tokens - 3)).sum(dim=2).abs() / (0.5 * math.sqrt(L))  # (batch, n, C)
    variance = ((1 - gate) ** 2).sum(dim=2) / L + 1e-6
    expected = (distance.mean(dim=2) + 10 * variance).sum(dim=1).mean()
    torch.testing.assert_close(bound, expected, rtol=1e-4, atol=1e-4)


def test_a_model_with_a_prior_of_ones_own(own_prior):
    config = tiny(prior=own_prior)
    model, batch = build_model(config), (torch.rand(4, 2, 600), torch.ones(4, 2, dtype=torch.bool), torch.zeros(4, 37))
    losses = model.loss(*batch)
    losses.total.backward()
    r = model.represent(*batch[:2])
    assert losses.terms["bound"] > 5 and (r.mean == 3).all() and (r.std == 0.5).all()
    # Another divergence, noise or moments under the same name make another run.
    ids = {run_id(config, "data")}
    for prior in (Prior(signs, (3.0, 0.5)), Prior(torch.nn.init.normal_, (3.0, 0.5), far), Prior(signs, None, far)):
        register_prior(own_prior, prior)
        ids.add(run_id(config, "data"))
    assert len(ids) == 4
    with pytest.raises(ConfigError, match="prior is 'sign'; did you mean 'signs'"):
        tiny(prior="sign")

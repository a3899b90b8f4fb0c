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
    inject_noise,
    mean_gate,
    mean_representation,
    token_statistics,
)
from symspectra.models.registry import build_model, register_prior
from symspectra.settings import SymSpectra, choices
from symspectra.training.runs import run_id

BATCH, N, L, C = 5, 3, 12, 4


@pytest.fixture
def case():
    """Tokens, gates, statistics and presence of a random batch."""
    torch.manual_seed(1)
    tokens = torch.randn(BATCH, N, L, C) * torch.rand(BATCH, N, 1, C) + torch.randn(BATCH, N, 1, C)
    gate = torch.rand(BATCH, N, L) * 0.98 + 0.01
    return tokens, gate, *token_statistics(tokens), torch.ones(BATCH, N, dtype=torch.bool)


def plain_kl(tokens, gate, mean, std, aggregate):
    """Eq. 18 for one spectrum from Eqs. 24 and 25; float64."""
    tokens, gate, mean, std = (v.double() for v in (tokens, gate, mean, std))
    if aggregate == "tokens":  # each of them an aggregate of one
        parts = zip(tokens.split(1), gate.split(1), strict=True)
        return sum(plain_kl(token, one, mean, std, "channels") for token, one in parts)
    n = len(gate)
    shift = (gate.unsqueeze(1) * (tokens - mean)).sum(dim=0)
    p = Normal(n * mean + shift, std * (((1 - gate) ** 2).sum() + 1e-6 * n).sqrt())  # Eq. 25
    q = Normal(n * mean, std * math.sqrt(n))  # Eq. 24
    kl = kl_divergence(p, q)
    return kl.sum() if aggregate == "channels" else kl.mean()


def plain_bound(tokens, gate, mean, std, present, cross_term, aggregate="tokens"):
    """Eqs. 18 and 19, one sample and one modality at a time."""
    total = 0.0
    for b in range(len(tokens)):
        for i in range(tokens.shape[1]):
            if not present[b, i]:
                continue
            total += plain_kl(tokens[b, i], gate[b, i], mean[b, i], std[b, i], aggregate)
            others = [m for m in range(tokens.shape[1]) if m != i and present[b, m]]
            for m in others:  # Eqs. 30 and 31: gates and tokens of m, mean and deviation of i
                cross = plain_kl(tokens[b, m], gate[b, m], mean[b, i], std[b, i], aggregate) / len(others)
                total += {"printed": cross, "negated": -cross, "none": 0.0}[cross_term]
    return float(total / len(tokens))


every_aggregate = pytest.mark.parametrize("aggregate", choices(SymSpectra, "aggregate"))


@every_aggregate
@pytest.mark.parametrize("cross_term", ["printed", "negated", "none"])
def test_bound_against_a_plain_loop_with_and_without_absent_modalities(case, cross_term, aggregate):
    tokens, gate, mean, std, every = case
    some = torch.tensor([[1, 1, 1], [1, 0, 1], [0, 1, 0], [0, 0, 1], [1, 1, 0]], dtype=torch.bool)
    for present in (every, some):
        expected = plain_bound(tokens, gate, mean, std, present, cross_term, aggregate)
        for spectra in (tokens, tokens + 50 * ~present[:, :, None, None]):
            bound = float(compression_bound(spectra, gate, mean, std, present, cross_term, aggregate=aggregate))
            assert bound == pytest.approx(expected, rel=1e-4)
            assert cross_term != "none" or bound >= 0


@pytest.mark.parametrize("cross_term", ["printed", "negated", "none"])
def test_a_single_modality_has_no_cross_term(case, cross_term):
    tokens, gate, mean, std, present = (v[:, :1] for v in case)
    expected = plain_bound(tokens, gate, mean, std, present, "none")
    assert float(compression_bound(tokens, gate, mean, std, present, cross_term)) == pytest.approx(expected, rel=1e-4)
    alone = torch.tensor([[1, 0, 0]] * BATCH, dtype=torch.bool)
    assert float(compression_bound(*case[:4], alone, cross_term)) == pytest.approx(expected, rel=1e-4)


@every_aggregate
@pytest.mark.parametrize("value", [0.0, 1.0])
def test_saturated_gates_give_the_known_values_and_a_finite_gradient(case, value, aggregate):
    tokens, gate, _, _, present = case
    (mean, std), gate = token_statistics(tokens, floor=0.0), torch.full_like(gate, value).requires_grad_()
    bound = compression_bound(tokens, gate, mean, std, present, "none", aggregate=aggregate)
    bound.backward()
    # Closed: p = q. Open: A = 0, so that (ln 1e6 - 1) / 2 comes from the regulariser; and since mean and deviation are
    # the tokens' own, B = 0 for their sum, and the B^2 of the single tokens of a channel add up to L.
    known = (1e-6 - 1 - math.log(1e-6)) / 2
    opened = {"mean": known, "channels": C * known, "tokens": L * C * (known + 1 / 2)}[aggregate]
    assert float(bound.detach()) == pytest.approx(N * opened * value, rel=1e-4, abs=1e-3)
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


@pytest.mark.parametrize("temperature", [0.05, 0.5, 1.0, 3.0, 50.0])
def test_the_mean_gate_is_that_of_the_gates_that_are_drawn(temperature):
    """Against the integral over u by the midpoint rule, the closed form at t = 1, and draws."""
    logit = torch.tensor([-12.0, -3.0, -0.1, 0.0, 0.4, math.log(19), 8.0])
    u = (torch.arange(200_000, dtype=torch.float64) + 0.5) / 200_000
    exact = torch.sigmoid((logit.double().unsqueeze(1) + torch.log(u / (1 - u))) / temperature).mean(dim=1)
    gate = mean_gate(logit[None, None], temperature)[0, 0]
    torch.testing.assert_close(gate, exact.float(), rtol=0, atol=2e-5)
    if temperature == 1:
        a = torch.exp(-logit[logit != 0].double())
        closed = (1 - a + a * torch.log(a)) / (1 - a) ** 2
        torch.testing.assert_close(gate[logit != 0], closed.float(), rtol=0, atol=2e-6)
        assert float(gate[5]) == pytest.approx(0.883, abs=5e-4)  # where p = 0.95
    torch.manual_seed(0)
    drawn = concrete_gate(logit[None].expand(20_000, -1)[None], temperature)[0]
    assert ((drawn.mean(dim=0) - gate).abs() < 5 * drawn.std(dim=0) / 20_000**0.5 + 2e-4).all()


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


def test_mean_representation_is_the_mean_of_equation_6(case):
    tokens, gate, mean, std, _ = case
    torch.manual_seed(0)
    drawn = torch.stack([inject_noise(tokens, gate, mean, std) for _ in range(2000)]).mean(dim=0)
    error = (drawn - mean_representation(tokens, gate, mean)).abs() / std.unsqueeze(2)
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
    bound = compression_bound(tokens, gate, mean, std, torch.ones(1, 1, dtype=torch.bool), "none", prior, "mean")
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
    distance = (gate.unsqueeze(-1) * (tokens - 3)).abs() / 0.5
    variance = (1 - gate) ** 2 + 1e-6
    expected = (distance.sum(dim=3) + 10 * C * variance).sum(dim=(1, 2)).mean()
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

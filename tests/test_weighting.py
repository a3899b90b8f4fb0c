import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from symspectra.models.weighting import CMIWeighting, pointwise_cmi

# Three samples, two groups. Sample means: 1, 2, 6; their mean 3, variance (4 + 1 + 9) / 3 = 14/3.
# All six values: mean 3, variance (9 + 1 + 0 + 4 + 1 + 25) / 6 = 40/6.
CMI = torch.tensor([[0.0, 2.0], [3.0, 1.0], [4.0, 8.0]])
SAMPLE = [1 - 0.3 * 2 / math.sqrt(14 / 3), 1 - 0.3 * 1 / math.sqrt(14 / 3), 1 + 0.3 * 3 / math.sqrt(14 / 3)]
DEVIATION = [[-3.0, -1.0], [0.0, -2.0], [1.0, 5.0]]


def weighting(**settings):
    module = CMIWeighting(2, **{"ramp": 0, **settings})
    module.small_batch = 2
    return module


def test_weights_of_a_batch_worked_out_by_hand():
    expected = torch.tensor(SAMPLE).unsqueeze(1).expand(3, 2)
    torch.testing.assert_close(weighting(weighting="sample")(CMI)[0], expected, rtol=1e-5, atol=1e-5)
    element = torch.tensor(DEVIATION) * 0.5 / math.sqrt(40 / 6) + 1
    torch.testing.assert_close(weighting(s2=0.5)(CMI)[0], expected * element, rtol=1e-5, atol=1e-5)


def test_label_ema_weighs_each_group_by_its_running_mean():
    module = weighting(weighting="label_ema", momentum=0.1)
    first, sample = module(CMI)
    # Group means 7/3 and 11/3, a tenth of them after one step; two values are one deviation from their mean.
    torch.testing.assert_close(module.group_cmi, torch.tensor([0.7 / 3, 1.1 / 3]))
    expected = torch.tensor(SAMPLE).unsqueeze(1) * torch.tensor([0.7, 1.3])
    torch.testing.assert_close(first, expected, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(sample, torch.tensor(SAMPLE), rtol=1e-4, atol=1e-4)
    module(CMI)
    torch.testing.assert_close(module.group_cmi, torch.tensor([1.9 * 0.7 / 3, 1.9 * 1.1 / 3]))


def test_none_is_one_everywhere_and_keeps_no_statistics():
    module = weighting(weighting="none")
    before = module.running.clone()
    assert torch.equal(module(CMI)[0], torch.ones(3, 2)) and torch.equal(module(CMI)[1], torch.ones(3))
    assert torch.equal(module.running, before)


def test_ramp_from_one_to_the_full_weight():
    full, module = weighting()(CMI)[0], weighting(ramp=4)
    for epoch, share in ((0, 0.0), (1, 0.25), (3, 0.75), (4, 1.0), (90, 1.0)):
        module.begin_epoch(epoch)
        torch.testing.assert_close(module(CMI)[0], 1 + share * (full - 1))


def test_small_batches_use_running_statistics():
    module = CMIWeighting(2, weighting="paper", ramp=0, momentum=0.5)
    assert len(CMI) < module.small_batch == 32
    weight, _ = module(CMI)
    # Running statistics start at mean 0 and deviation 1; half a step towards those of the batch.
    mu_s, sigma_s, mu_f, sigma_f = 1.5, (1 + math.sqrt(14 / 3)) / 2, 1.5, (1 + math.sqrt(40 / 6)) / 2
    sample = 1 + 0.3 * (6 - mu_s) / sigma_s
    assert float(weight[2, 1]) == pytest.approx(sample * (1 + 0.3 * (8 - mu_f) / sigma_f), rel=1e-5)
    large = CMI.repeat(11, 1)
    torch.testing.assert_close(CMIWeighting(2, ramp=0)(large)[0][:3], weighting()(CMI)[0])


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 40), st.floats(0, 50), st.floats(0, 50), st.floats(-100, 100), st.floats(0, 1000))
def test_weights_are_never_negative_and_always_finite(batch, s1, s2, centre, spread):
    cmi = centre + spread * torch.randn(batch, 5, generator=torch.Generator().manual_seed(batch))
    for name in ("paper", "sample", "label_ema"):
        weight, _ = CMIWeighting(5, name, s1, s2, ramp=0)(cmi.requires_grad_())
        assert not weight.requires_grad and weight.isfinite().all() and (weight >= 0).all()


AUXILIARY = torch.tensor([[[0.9, 0.1], [0.5, 0.7], [2.0, 3.0]]])
MAIN = torch.tensor([[0.4, 0.6]])


@pytest.mark.parametrize(
    ("reduce", "present", "expected"),
    [
        ("max", [1, 1, 1], [1.6, 2.4]),
        ("max", [1, 1, 0], [0.5, 0.1]),
        ("max", [1, 0, 0], [0.5, -0.5]),  # may be negative
        ("sum", [1, 1, 0], [0.6, -0.4]),
        ("mean", [1, 1, 0], [0.3, -0.2]),
        ("mean", [1, 1, 1], [2.2 / 3, 2.0 / 3]),
    ],
)
def test_conditional_mutual_information_over_present_modalities(reduce, present, expected):
    mask = torch.tensor([present, [0, 0, 0]], dtype=torch.bool)  # a molecule without any spectrum has none
    cmi = pointwise_cmi(AUXILIARY.repeat(2, 1, 1), MAIN.repeat(2, 1), mask, reduce)
    torch.testing.assert_close(cmi, torch.tensor([expected, [0.0, 0.0]]))

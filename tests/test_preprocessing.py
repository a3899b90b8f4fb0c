import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from symspectra.spectra import preprocessing
from symspectra.spectra.preprocessing import ir_vector, min_max, msms_vector, nmr_vector, resample

# Where annotations are checked in the test run, a wrong shape is refused (as a TypeError) before the function looks.
REFUSED = (ValueError, TypeError)


def literal_msms(mz, intensity, bc_type):
    """Appendix F.3 word for word: 6000 bins, normalised Gaussians, a cubic spline, 600 samples, clip, l2 norm."""
    from scipy.interpolate import CubicSpline

    x = np.arange(6000)
    s = np.zeros(6000)
    for m, i in zip(mz, intensity, strict=True):
        g = np.exp(-((x - math.floor(round(10 * m, 6))) ** 2) / (2 * 2.0**2))
        s += i * g / g.sum()
    sampled = np.maximum(0, CubicSpline(x, s, bc_type=bc_type)(10 * np.arange(600)))
    return sampled / (np.linalg.norm(sampled) + 1e-12)


def one_spectrum(mz, intensity):
    row = torch.zeros(len(mz), dtype=torch.long)
    return msms_vector(torch.tensor(mz), torch.tensor(intensity), row, 1)[0]


@given(st.integers(600, 3000), st.sampled_from(["blockmax", "blockmean"]), st.integers(0, 2**31))
@settings(max_examples=30, deadline=None)
def test_blocks_are_those_of_the_definition(length, how, seed):
    y = torch.rand(2, length, generator=torch.Generator().manual_seed(seed))
    edges = [i * length // 600 for i in range(601)]
    reduce = torch.amax if how == "blockmax" else torch.mean
    expected = torch.stack([reduce(y[:, a:b], -1) for a, b in zip(edges[:-1], edges[1:], strict=True)], -1)
    torch.testing.assert_close(resample(y, how=how), expected)


def test_linear_is_interpolation_on_the_index_axis():
    y = torch.rand(3, 1800)
    positions = np.linspace(0, 1799, 600)
    expected = np.stack([np.interp(positions, np.arange(1800), row) for row in y.numpy()])
    np.testing.assert_allclose(resample(y, how="linear").numpy(), expected, atol=1e-6)


def test_blockmax_keeps_every_narrow_line_and_linear_does_not():
    y = torch.eye(10_000)[::7]
    assert (resample(y, how="blockmax").amax(1) == 1).all()
    assert (resample(y, how="linear").amax(1) > 0).float().mean() < 0.2


def test_resample_refuses_what_it_cannot_do():
    for points, how in ((1800, "nearest"), (400, "blockmax")):
        with pytest.raises(ValueError, match=f"resampling '{how}' of {points} points"):
            resample(torch.rand(1, points), how=how)
    assert resample(torch.rand(1, 400), how="linear").shape == (1, 600)


@given(st.lists(st.floats(-1e3, 1e3, width=32), min_size=2, max_size=20))
def test_min_max_reaches_0_and_1_and_makes_a_constant_zero(values):
    scaled = min_max(torch.tensor([values]))
    assert scaled.isfinite().all()
    if len(set(values)) == 1:
        assert not scaled.any()
    else:
        assert (float(scaled.min()), float(scaled.max())) == (0.0, 1.0)


def test_nmr_and_ir_vectors():
    nmr = torch.rand(2, 10_000) * 5 + 3
    nmr[1] = 0
    x = nmr_vector(nmr)
    assert x.shape == (2, 600)
    assert (float(x[0].min()), float(x[0].max())) == (0.0, 1.0)
    assert not x[1].any()
    torch.testing.assert_close(nmr_vector(nmr, "linear"), min_max(resample(nmr, how="linear")))
    ir = torch.rand(2, 1800) * 5
    torch.testing.assert_close(ir_vector(ir), resample(ir, how="linear"))  # not scaled
    for vector, wrong in ((nmr_vector, 1800), (ir_vector, 3600)):
        with pytest.raises(REFUSED, match="see prepare|Type-check"):
            vector(torch.rand(1, wrong))


@pytest.mark.parametrize("bc_type", ["natural", "not-a-knot"])
def test_msms_equals_gaussian_and_cubic_spline(bc_type):
    rng = np.random.default_rng(0)
    for _ in range(5):
        mz = np.round(rng.uniform(0, 600, 40), 2).clip(max=599.99)
        intensity = rng.uniform(0, 100, 40)
        expected = literal_msms(mz, intensity, bc_type)
        np.testing.assert_allclose(one_spectrum(mz, intensity).numpy(), expected, atol=1e-6)
    for edge in (0.0, 0.05, 0.9, 57.3, 599.0, 599.5, 599.99):
        np.testing.assert_allclose(one_spectrum([edge], [3.0]).numpy(), literal_msms([edge], [3.0], bc_type), atol=1e-6)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_every_tenth_of_a_mass_falls_in_its_own_bin(dtype):
    # 57.3 * 10 is 572.999.. in floating point. Two whole masses from a peak nothing is left, so the pair of samples
    # around it tells its bin: their ratio is exp((20 r - 100) / 8) for p = 10 j + r.
    p = torch.arange(10, 5990)
    x = msms_vector(p.to(dtype) / 10, torch.ones(len(p)), torch.arange(len(p)), len(p)).double()
    left = x.gather(1, (p // 10)[:, None])[:, 0]
    right = x.gather(1, (p // 10 + 1)[:, None])[:, 0]
    r = (8 * (right / left).log() + 100) / 20
    torch.testing.assert_close(r, (p % 10).double(), atol=1e-3, rtol=0)


def test_rows_are_independent_and_peaks_add():
    mz, row = torch.tensor([100.0, 50.0, 100.0, 700.0, 600.0]), torch.tensor([2, 0, 2, 1, 0])
    x = msms_vector(mz, torch.tensor([1.0, 4.0, 2.0, 9.0, 9.0]), row, 4)
    torch.testing.assert_close(x[2], one_spectrum([100.0], [3.0]))
    torch.testing.assert_close(x[0], one_spectrum([50.0], [4.0]))  # the peak at m/z 600 does not count
    assert not x[1].any()  # nor the one at 700
    assert not x[3].any()  # no peaks: zeros, not NaN
    assert float(x[0].norm()) == pytest.approx(1.0)
    assert x.dtype == torch.float32
    assert msms_vector(torch.tensor([]), torch.tensor([]), torch.tensor([], dtype=torch.long), 2).shape == (2, 600)


@given(st.floats(0.01, 1e4), st.permutations(range(6)))
@settings(deadline=None, max_examples=25)
def test_msms_does_not_depend_on_scale_or_order(scale, order):
    mz = torch.tensor([15.02, 43.01, 57.3, 91.05, 345.67, 599.9])
    intensity = torch.tensor([1.0, 30.0, 100.0, 5.0, 60.0, 7.0], dtype=torch.float64)
    row = torch.zeros(6, dtype=torch.long)
    shuffled = msms_vector(mz[list(order)], scale * intensity[list(order)], row, 1)
    torch.testing.assert_close(shuffled, msms_vector(mz, intensity, row, 1))


@pytest.mark.parametrize(
    ("mz", "intensity", "row"), [(-1, 1, 7), (math.nan, 1, 7), (1, -1, 7), (1, math.inf, 7), (1, 1, -1), (1, 1, 8)]
)
def test_bad_peaks_are_refused_with_their_row(mz, intensity, row):
    with pytest.raises(ValueError, match=f"row {row}: "):
        msms_vector(torch.tensor([5.0, mz]), torch.tensor([1.0, intensity]), torch.tensor([3, row]), 8)
    with pytest.raises(REFUSED, match="equal length|Type-check"):
        msms_vector(torch.ones(2), torch.ones(1), torch.tensor([0]), 1)


def test_check_finite_names_molecule_and_modality():
    x = torch.zeros(3, 600)
    preprocessing.check_finite(x, ["a", "b", "c"], "ir")
    x[1, 5] = torch.nan
    with pytest.raises(ValueError, match="b: ir is nan at point 5"):
        preprocessing.check_finite(x, ["a", "b", "c"], "ir")
    with pytest.raises(REFUSED, match="2 names|Type-check"):
        preprocessing.check_finite(x, ["a", "b"], "ir")

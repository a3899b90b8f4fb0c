import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from symspectra.predict.calibration import Scaling, calibration_error, fit_scaling, logit, reliability
from symspectra.predict.likeness import UNLIKE, Likeness


def sample(n=200_000, seed=0):
    """Probabilities and labels that come true as often as they say."""
    rng = np.random.default_rng(seed)
    p = rng.beta(0.4, 1.2, n)
    return p, rng.random(n) < p


@given(st.floats(0.6, 2), st.floats(-1, 1))
@settings(max_examples=20, deadline=None)
def test_what_a_scaling_distorts_fitting_takes_back(slope, shift):
    p, y = sample()
    distorted = 1 / (1 + np.exp(-(logit(p) - shift) / slope))
    fitted = fit_scaling(distorted, y)
    assert fitted.slope == pytest.approx(slope, rel=0.05) and fitted.shift == pytest.approx(shift, abs=0.05)
    assert calibration_error(fitted(distorted), y) < 0.005


def test_the_error_is_zero_in_expectation_for_true_probabilities_and_known_for_wrong_ones():
    p, y = sample()
    assert calibration_error(p, y) < 0.004
    certain = np.full(1000, 0.9)
    assert calibration_error(certain, np.arange(1000) < 600) == pytest.approx(0.3)


def test_bins_hold_every_prediction_once_with_the_mean_inside():
    p, y = np.array([0.0, 0.03, 0.5, 0.97, 1.0]), np.array([0, 0, 1, 1, 1])
    bins = reliability(p, y, 10)
    assert sum(b.count for b in bins) == 5 and [b.count for b in bins] == [2, 1, 2]
    assert bins[0].probability == pytest.approx(0.015) and bins[-1].frequency == 1


def test_order_is_kept_and_ends_are_finite():
    p = np.array([0.0, 1e-9, 0.2, 0.7, 1.0])
    q = Scaling(0.7, -0.2)(p)
    assert np.isfinite(q).all() and (np.diff(q) >= 0).all()


def test_labels_of_one_kind_cannot_calibrate():
    with pytest.raises(ValueError, match="both kinds"):
        fit_scaling(np.array([0.1, 0.2]), np.zeros(2, dtype=bool))
    with pytest.raises(ValueError, match="2 probabilities and 3 labels"):
        fit_scaling(np.array([0.1, 0.2]), np.zeros(3, dtype=bool))


def spectra(n, seed):
    """Three broad bands at jittered places."""
    rng, x = np.random.default_rng(seed), np.arange(600)
    centres = np.array([100, 300, 450]) + rng.normal(0, 15, (n, 3))
    return np.exp(-(((x[None, None] - centres[..., None]) / 12) ** 2)).sum(1)


def test_spectra_of_another_kind_are_further_than_almost_all_and_new_ones_of_the_same_kind_are_not():
    like = Likeness.fit(spectra(1500, 0), spectra(1000, 1))
    assert np.mean(like.rank(spectra(1000, 2)) >= UNLIKE) < 0.03
    noise = np.random.default_rng(3).random((50, 600))
    flipped = spectra(50, 4)[:, ::-1]
    assert (like.rank(noise) >= UNLIKE).all() and (like.rank(flipped) >= UNLIKE).mean() > 0.8

"""Tests of normality: on samples whose distribution is known, and on a model's own representation."""

import numpy as np
import pytest
import torch
from conftest import marker_dataset, tiny
from scipy import stats

from symspectra.exhibits.normality import KOLMOGOROV, LILLIEFORS, SHAPIRO, TESTS, channel_tests, pooled_features
from symspectra.models.registry import build_model

RANDOM = np.random.default_rng(0)
NORMAL = RANDOM.normal(3, 2, size=(100, 400))


def test_p_values_are_those_of_scipy():
    found = channel_tests(NORMAL[:, :3])
    assert found.molecules == 100 and found.constant == 0 and set(found.p_values) == set(TESTS)
    for k, channel in enumerate(NORMAL[:, :3].T):
        assert found.p_values[SHAPIRO][k] == pytest.approx(stats.shapiro(channel).pvalue)
        expected = stats.kstest(channel, stats.norm(channel.mean(), channel.std(ddof=1)).cdf).pvalue
        assert found.p_values[KOLMOGOROV][k] == pytest.approx(expected)
        fitted = stats.goodness_of_fit(stats.norm, channel, statistic="ks", n_mc_samples=1999, rng=1).pvalue
        assert found.p_values[LILLIEFORS][k] == pytest.approx(fitted, abs=0.06)


def test_normal_features_are_rejected_as_often_as_the_level_says_but_not_by_kolmogorov_and_smirnov():
    found = channel_tests(NORMAL)
    for test in (SHAPIRO, LILLIEFORS):
        assert found.median(test) == pytest.approx(0.5, abs=0.08)
        assert found.share_above(test) == pytest.approx(0.95, abs=0.04)
    assert found.share_above(KOLMOGOROV) == 1.0 and found.median(KOLMOGOROV) > 0.7


def test_skewed_features_are_found_out_when_there_are_enough_of_them():
    skewed = RANDOM.exponential(size=(400, 20))
    for test in TESTS:
        assert channel_tests(skewed).share_above(test) == 0
        assert channel_tests(skewed, molecules=10).median(test) > channel_tests(skewed).median(test)


def test_constant_channels_are_counted_and_left_out():
    features = NORMAL[:, :4].astype(np.float32)
    features[:, 1] = 0.1
    found = channel_tests(features)
    assert found.constant == 1 and all(len(p) == 3 for p in found.p_values.values())
    with pytest.raises(ValueError, match="none of the 2 channels varies over the 9 molecules"):
        channel_tests(np.zeros((9, 2), dtype=np.float32))
    with pytest.raises(ValueError, match="7 molecules have this spectrum; a test of normality expects 8 or more"):
        channel_tests(features[:7])


def test_features_are_the_mean_over_tokens_of_what_was_measured():
    data, model = marker_dataset(missing=0.4), build_model(tiny())
    features = pooled_features(model, data, batch=3)
    rows = data.rows("test")
    x, present = data.spectra(rows)
    with torch.no_grad():
        expected = model.eval().represent(x, present).t.mean(dim=2)
    assert list(features) == ["ir", "c13"] and not present.all()
    for i, name in enumerate(features):
        np.testing.assert_allclose(features[name], expected[present[:, i], i].numpy(), rtol=1e-4, atol=1e-6)


def test_data_of_other_modalities_are_refused():
    with pytest.raises(ValueError, match=r"the data have modalities \('ir', 'c13'\), the model \('ir',\)"):
        pooled_features(build_model(tiny(modalities=("ir",))), marker_dataset())

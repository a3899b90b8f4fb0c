import json

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from symspectra.groups.table8 import NAMES
from symspectra.training.metrics import (
    exact_match_by_group_count,
    frequency_tiers,
    holm,
    multilabel_metrics,
    tune_threshold,
    tune_thresholds,
    welch_from_printed,
)


@st.composite
def predictions(draw):
    shape = draw(st.tuples(st.integers(1, 30), st.integers(2, 6)))
    y = draw(arrays(bool, shape))
    y[0, 0] = True
    return y, draw(arrays(np.float32, shape, elements=st.floats(0, 1, width=32)))


@given(predictions(), st.floats(0, 1))
@settings(max_examples=60, deadline=None)
def test_agrees_with_scikit_learn(case, threshold):
    from sklearn.metrics import accuracy_score, f1_score, precision_recall_fscore_support

    y, p = case
    predicted = p >= np.float64(threshold)
    ours = multilabel_metrics(y, p, threshold)
    precision, recall, f1, support = precision_recall_fscore_support(y, predicted, average=None, zero_division=0)
    assert ours["micro_f1"] == pytest.approx(f1_score(y, predicted, average="micro", zero_division=0))
    assert ours["macro_f1"] == pytest.approx(f1[support > 0].mean())
    assert ours["exact_match"] == pytest.approx(accuracy_score(y, predicted))
    assert ours["per_group_precision"] == pytest.approx(precision)
    assert ours["per_group_recall"] == pytest.approx(recall)
    assert ours["per_group_f1"] == pytest.approx(f1)
    assert ours["per_group_support"] == y.sum(0).tolist()
    json.dumps(ours, allow_nan=False)


def test_torch_input_and_a_threshold_for_each_group():
    y = torch.tensor([[1.0, 0.0], [1.0, 1.0]])
    p = torch.tensor([[0.3, 0.7], [0.3, 0.7]], requires_grad=True)
    assert multilabel_metrics(y, p)["micro_f1"] == pytest.approx(2 * 1 / (3 + 2))
    scores = multilabel_metrics(y, p, torch.tensor([0.2, 0.8]))
    assert scores["per_group_f1"] == [1.0, 0.0]
    assert scores["exact_match"] == 0.5


def test_groups_without_positives_are_named_and_left_out_of_macro():
    y = np.ones((3, 37), dtype=bool)
    y[:, [27, 34]] = False
    scores = multilabel_metrics(y, y.astype(float))
    assert scores["groups_without_positives"] == [NAMES[27], NAMES[34]] == ["Phosphine", "Thial"]
    assert scores["macro_f1"] == scores["micro_f1"] == 1.0


def test_bad_input_is_refused_with_its_row():
    y = np.eye(4, dtype=bool)
    p = np.full((4, 4), 0.5)
    p[2, 1] = np.nan
    for measure in (multilabel_metrics, exact_match_by_group_count, tune_thresholds):
        with pytest.raises(ValueError, match="row 2: probability nan"):
            measure(y, p)
    p[2, 1] = 1.2
    with pytest.raises(ValueError, match="row 2: probability 1.2"):
        multilabel_metrics(y, p)
    with pytest.raises(ValueError, match="row 3: label 2"):
        multilabel_metrics(y + 1 * np.eye(4, dtype=int) * [0, 0, 0, 1], np.full((4, 4), 0.5))
    with pytest.raises((ValueError, TypeError), match="shape|Type-check"):
        multilabel_metrics(y, p[:, :3])
    with pytest.raises((ValueError, TypeError), match="threshold has shape|Type-check"):
        multilabel_metrics(y, np.full((4, 4), 0.5), np.full(3, 0.5))
    with pytest.raises(ValueError, match="threshold"):
        multilabel_metrics(y, np.full((4, 4), 0.5), np.nan)
    with pytest.raises(ValueError, match="undefined"):
        multilabel_metrics(~np.ones((2, 2), dtype=bool), np.zeros((2, 2)))


@given(arrays(np.float64, 40, elements=st.sampled_from([0.0, 0.1, 0.2, 0.4, 0.5, 0.9, 1.0])), st.integers(1, 40))
@settings(max_examples=15, deadline=None)
def test_tuned_threshold_is_the_best_there_is(p, positives):
    y = np.arange(40)[:, None] * 7 % 40 < positives
    tuned = tune_thresholds(y, p[:, None], min_positives=1)
    brute = max(multilabel_metrics(y, p[:, None], t)["micro_f1"] for t in np.linspace(0, 1, 101))
    assert multilabel_metrics(y, p[:, None], tuned)["micro_f1"] == pytest.approx(brute)


def test_of_equally_good_thresholds_the_nearest_to_one_half_is_taken():
    y = np.array([[1], [0], [0], [1], [0]])
    p = np.array([[0.9], [0.7], [0.65], [0.45], [0.05]])  # F1 is 2/3 above 0.8 and above 0.25
    assert tune_thresholds(y, p, min_positives=1) == pytest.approx([0.25])


def test_thresholds_on_few_positives_stay_at_one_half():
    y = np.zeros((100, 2), dtype=bool)
    y[:19, 0] = y[:20, 1] = True
    tuned = tune_thresholds(y, 0.1 + 0.2 * y)  # 0.3 for the positives, 0.1 for the others
    assert tuned == pytest.approx([0.5, 0.2])


def test_one_threshold_is_the_best_for_micro_f1_and_half_of_it_when_calibrated():
    rng = np.random.default_rng(0)
    p = rng.beta(0.3, 1.0, (20_000, 5))
    y = rng.random(p.shape) < p
    scores = {t: multilabel_metrics(y, p, t)["micro_f1"] for t in np.linspace(0, 1, 201)}
    tuned = tune_threshold(y, p)
    best = multilabel_metrics(y, p, tuned)["micro_f1"]
    assert best >= max(scores.values()) and tuned == pytest.approx(best / 2, abs=0.05)


def test_frequency_tiers_by_rank():
    counts = np.random.default_rng(0).permutation(37) * 2
    y = np.arange(80)[:, None] < counts
    tiers = frequency_tiers(y)
    assert {name: len(tier.groups) for name, tier in tiers.items()} == {"low": 14, "medium": 9, "high": 14}
    assert tiers["low"].counts == tuple(range(0, 28, 2))
    assert tiers["medium"].counts == tuple(range(28, 46, 2))
    assert sorted(sum((tier.groups for tier in tiers.values()), ())) == list(range(37))
    assert all(counts[g] == c for tier in tiers.values() for g, c in zip(*tier, strict=True))
    with pytest.raises(ValueError, match="add up to 37"):
        frequency_tiers(y[:, :5])


def test_exact_match_by_group_count():
    y = np.array([[1, 0, 0], [0, 1, 0], [1, 1, 0], [1, 1, 1]])
    p = np.array([[0.9, 0.1, 0.1], [0.9, 0.9, 0.1], [0.9, 0.9, 0.1], [0.9, 0.9, 0.4]])
    assert exact_match_by_group_count(y, p) == {1: (0.5, 2), 2: (1.0, 1), 3: (0.0, 1)}
    assert exact_match_by_group_count(y, p, 0.4)[3] == (1.0, 1)


def test_holm_is_step_down_monotone_and_at_most_one():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.6, 0.7]) == [1.0, 1.0]
    assert holm([]) == []


def test_welch_refuses_what_has_no_test():
    with pytest.raises(ValueError, match="positive"):
        welch_from_printed((0.9, 0.0), (0.8, 0.1))


def test_printed_p_value_of_table_2_does_not_follow_from_table_1():
    from symspectra.exhibits.paper import paper_value

    setting = "Simulated: IR, 13C-NMR, 1H-NMR"
    ours, other = (paper_value("table1", setting, model)[:2] for model in ("SymSpectra", "Alberts et al."))
    p = welch_from_printed(ours, other)
    assert p == pytest.approx(1.3e-2, rel=0.05)
    assert p > 10 * paper_value("table2", "Alberts et al.", "p-value").value


def test_a_choice_of_groups():
    rng = np.random.default_rng(3)
    y, p = rng.random((50, 37)) < 0.2, rng.random((50, 37))
    groups = np.arange(37) % 3 == 0
    scores, own = (
        multilabel_metrics(y, p, groups=torch.from_numpy(groups)),
        multilabel_metrics(y[:, groups], p[:, groups]),
    )
    for name in ("micro_f1", "macro_f1", "exact_match"):
        assert scores[name] == pytest.approx(own[name])
    assert scores["per_group_f1"] == multilabel_metrics(y, p)["per_group_f1"]
    with pytest.raises(ValueError, match="no molecule has any"):
        multilabel_metrics(y & ~groups, p, groups=groups)

import math
from fractions import Fraction

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from conftest import marker_dataset
from hypothesis import given, settings
from hypothesis import strategies as st

from symspectra.datasets.base import SPLITS, ArrayDataset, LineDataset
from symspectra.datasets.imbalance import imbalance_ratios, mlsmote, rarest_groups
from symspectra.datasets.views import Oversampled, Scarce
from symspectra.groups.table8 import NAMES
from symspectra.spectra.rendering import Nuisance
from symspectra.training.losses import STRATEGIES, criterion, focal_loss, positive_negative_weights


def labels(*positives, n):
    """y of n molecules with one column a group, from the molecules that have it."""
    y = torch.zeros(n, len(positives), dtype=torch.bool)
    for group, rows in enumerate(positives):
        y[list(rows), group] = True
    return y


def skewed(n=60, missing=0.0, rare=(36, 35)):
    """Marker spectra in which the last groups are rare: six molecules each, test and validation among them."""
    data = marker_dataset(n, missing=missing)
    y = data.y.clone()
    for group in rare:
        y[:, group] = False
        y[group % 3 : n : n // 6, group] = True
    split = ["test" if i % 6 == 0 else "validation" if i % 6 == 1 else "train" for i in range(n)]
    return ArrayDataset(data.x, data.present, y, data.ids, split, data.modalities)


def test_imbalance_ratios_by_hand():
    y = labels(range(12), range(3), [5], [], n=12)
    ratio, mean = imbalance_ratios(y)
    assert ratio[:3].tolist() == [1, 4, 12] and ratio[3].isnan()
    assert mean == pytest.approx(17 / 3)
    assert math.isnan(imbalance_ratios(labels([], n=4))[1])


def test_the_reference_is_among_the_nearest_of_the_bag():
    """Nearer molecules outside the bag do not count: at 0.1 and 100.1 stand molecules without the rare label."""
    features = torch.tensor([[0.0], [1.0], [2.5], [100.0], [101.0], [0.1], [100.1]] + [[50.0]] * 20)
    y = labels(range(27), range(5), n=27)
    y[:5, 0] = False
    for seed in range(20):
        made = mlsmote(features, y, k=2, seed=seed)
        near = {0: {1, 2}, 1: {0, 2}, 2: {1, 0}, 3: {4, 2}, 4: {3, 2}}
        assert all(r in near[i] for i, r in zip(made.row.tolist(), made.reference.tolist(), strict=True))


@pytest.mark.parametrize(("k", "expected"), [(3, [True, False]), (2, [True, True])])
def test_labels_by_vote_of_the_molecule_and_its_neighbours(k, expected):
    """Of molecule 0 and its neighbours 1, 2, 3 (at 1, 2, 3), two of four have group 1: no majority.

    With two neighbours it is two of three.
    """
    features = torch.tensor([[0.0], [1.0], [2.0], [3.0], [9.0], [10.0]] + [[0.5]] * 60)
    y = labels(range(6), [0, 1] + list(range(6, 26)), range(6, 66), n=66)
    made = mlsmote(features, y, k=k)
    assert made.row[0] == 0 and made.labels[0].tolist() == [*expected, False]


def test_bag_smaller_than_k_takes_all_others():
    """Three molecules and k = 5: two neighbours, so a label needs two of three votes."""
    y = labels(range(3), [0, 1, *range(3, 60)], range(40), n=60)
    seen = {i: set() for i in range(3)}
    for seed in range(30):
        made = mlsmote(torch.arange(60.0)[:, None], y, k=5, seed=seed)
        for row, reference in zip(made.row.tolist(), made.reference.tolist(), strict=True):
            seen[row].add(reference)
        assert made.labels.tolist() == [[True, True, True]] * 3
    assert seen == {0: {1, 2}, 1: {0, 2}, 2: {0, 1}}


@given(st.integers(0, 2**20), st.integers(1, 7), st.integers(5, 40))
@settings(max_examples=40, deadline=None)
def test_mlsmote_invariants(seed, k, n):
    rng = np.random.default_rng(seed)
    y = torch.from_numpy(rng.random((n, 6)) < [0.9, 0.5, 0.3, 0.1, 0.05, 0.0])
    features = torch.from_numpy(rng.normal(size=(n, 4)).astype(np.float32))
    made = mlsmote(features, y, k, seed)
    count = y.sum(0).tolist()
    ratio = [max(count) / c if c else None for c in count]
    there = [r for r in ratio if r is not None]
    tail = [i for i, r in enumerate(ratio) if r is not None and r > sum(there) / len(there) + 1e-9]
    assert len(made.row) == sum(count[i] for i in tail if count[i] > 1)
    start = 0
    for label in tail:
        if count[label] == 1:
            continue
        part = slice(start, start + count[label])
        start += count[label]
        assert made.row[part].tolist() == y[:, label].nonzero().flatten().tolist()
        assert y[made.reference[part], label].all() and made.labels[part, label].all()
    neither = ~y.any(0)
    assert not made.labels[:, neither].any()
    again = mlsmote(features, y, k, seed)
    assert all(torch.equal(a, b) for a, b in zip(made, again, strict=True))
    with pytest.raises(ValueError, match="MLSMOTE with k = 0 neighbours; expected at least 1"):
        mlsmote(features, y, k=0)


def test_neighbours_are_those_of_the_spectra():
    """Two pairs of equal strong spectra in the bag: with k = 1, each is the other's only neighbour.

    The other, weaker modality alone would pair them otherwise.
    """
    x = torch.rand(40, 2, 600, generator=torch.Generator().manual_seed(0))
    x[1, 1], x[3, 1], x[2, 0], x[3, 0] = x[0, 1], x[2, 1], x[0, 0], x[1, 0]
    x[:, 1] *= 3
    y = torch.zeros(40, 37, dtype=torch.bool)
    y[:, 0], y[:4, 1] = True, True
    data = ArrayDataset(x, torch.ones(40, 2, dtype=torch.bool), y, [str(i) for i in range(40)], ["train"] * 40, "ab")
    made = Oversampled(data, k=1).synthetic
    assert made.row.tolist() == [0, 1, 2, 3] and made.reference.tolist() == [1, 0, 3, 2]


def test_the_other_splits_and_the_original_molecules_stay_bit_for_bit(random_lines):
    base = LineDataset(random_lines, ("ir", "c13", "msms_pos"), Nuisance())
    data = Oversampled(base, k=3)
    assert len(data.ids) > 60 and data.ids[:60] == base.ids and torch.equal(data.y[:60], base.y)
    for split in ("validation", "test"):
        assert torch.equal(data.rows(split), base.rows(split))
    order = torch.randperm(len(data.ids), generator=torch.Generator().manual_seed(0))
    for draw in (0, 5):
        x, present = data.spectra(order, draw)
        old = order < 60
        assert torch.equal(x[old], base.spectra(order[old], draw)[0]) and present.all()
        between = torch.lerp(
            *(base.spectra(part, draw)[0] for part in data.synthetic[:2]), data.synthetic.u[:, None, None]
        )
        torch.testing.assert_close(data.spectra(torch.arange(60, len(data.ids)), draw)[0], between)


def test_synthetic_spectra_are_present_where_both_are():
    base = skewed(missing=0.4)
    data = Oversampled(base)
    x, present = data.spectra(torch.arange(len(data.ids)))
    row, reference = data.synthetic.row, data.synthetic.reference
    assert torch.equal(present[60:], base.present[row] & base.present[reference])
    assert (~present[60:]).any() and present.any(dim=1).all()
    assert (x[~present] == 0).all() and len(data.ids) == len(data.y)


@given(st.integers(0, 2**20), st.integers(1, 30))
@settings(max_examples=30, deadline=None)
def test_class_weights_balance_every_group_that_has_both(seed, n):
    y = torch.from_numpy(np.random.default_rng(seed).random((n, 5)) < [0, 0.1, 0.5, 0.9, 1])
    w_pos, w_neg = positive_negative_weights(y, math.inf)
    capped = positive_negative_weights(y, 2.0)
    assert all(torch.equal(c, w.clamp_max(2.0)) for c, w in zip(capped, (w_pos, w_neg), strict=True))
    assert w_pos.isfinite().all() and w_neg.isfinite().all() and (w_pos > 0).all() and (w_neg > 0).all()
    both = y.any(0) & ~y.all(0)
    torch.testing.assert_close((w_pos * y.sum(0))[both], torch.full((int(both.sum()),), n / 2))
    torch.testing.assert_close((w_neg * (~y).sum(0))[both], torch.full((int(both.sum()),), n / 2))


def naive_focal(logits, y, gamma, alpha):
    p = 1 / (1 + np.exp(-logits))
    positive = -alpha * (1 - p) ** gamma * np.log(p)
    negative = -(1 - alpha) * p**gamma * np.log(1 - p)
    return np.where(y == 1, positive, negative).mean()


@given(st.integers(0, 2**20), st.floats(0, 5), st.floats(0, 1))
@settings(max_examples=50, deadline=None)
def test_focal_loss_is_its_formula(seed, gamma, alpha):
    rng = np.random.default_rng(seed)
    logits, y = rng.uniform(-8, 8, (4, 5)), (rng.random((4, 5)) < 0.5).astype(float)
    loss = focal_loss(torch.from_numpy(logits), torch.from_numpy(y), gamma, alpha)
    assert float(loss) == pytest.approx(naive_focal(logits, y, gamma, alpha), rel=1e-9)


@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0])
def test_focal_loss_of_extreme_logits_is_finite_with_its_gradient(gamma):
    logits = torch.tensor([[-500.0, 500.0, -500.0, 500.0]], requires_grad=True)
    loss = focal_loss(logits, torch.tensor([[1.0, 0.0, 0.0, 1.0]]), gamma)
    loss.backward()
    assert loss.item() == pytest.approx((0.25 + 0.75) * 500 / 4) and logits.grad.isfinite().all()
    torch.testing.assert_close(logits.grad, torch.tensor([[-0.25, 0.75, 0.0, 0.0]]) / 4)


def test_criterion_of_each_strategy():
    generator = torch.Generator().manual_seed(0)
    y_train = torch.rand(50, 37, generator=generator) < 0.2
    y_train[:, 3] = False
    logits, y = torch.randn(6, 37, generator=generator), (torch.rand(6, 37, generator=generator) < 0.5).float()
    loss = {strategy: criterion(strategy, y_train)(logits, y) for strategy in STRATEGIES}
    bce = F.binary_cross_entropy_with_logits(logits, y, reduction="none")
    assert loss["none"] == loss["mlsmote"] == bce.mean()
    y_train[:, 5] = torch.arange(50) < 1  # of weight 25
    loss["class_weights"] = criterion("class_weights", y_train)(logits, y)
    n = y_train.sum(0)
    weight = torch.where(y == 1, 50 / (2 * n), 50 / (2 * (50 - n))).clamp_max(10)
    weight[:, 3] = torch.where(y[:, 3] == 1, 1.0, 0.5)
    torch.testing.assert_close(loss["class_weights"], (weight * bce).mean())
    torch.testing.assert_close(loss["focal"], focal_loss(logits, y, 2.0, 0.25))
    with pytest.raises(ValueError, match="there is no imbalance strategy 'smote'; expected one of .*'mlsmote'"):
        criterion("smote", y_train)


def test_rarest_groups_have_enough_positives_and_come_in_order():
    y_train = labels(range(5), range(30), range(12), range(14), range(12), n=40)
    y_test = labels(range(9), range(9), range(3), range(2), range(4), n=10)
    assert rarest_groups(y_train, y_test, n=2) == (2, 4)
    assert rarest_groups(y_train, y_test, n=3) == (2, 4, 1)
    assert rarest_groups(y_train, y_test, n=4, least_train=5, least_test=3) == (0, 2, 4, 1)
    with pytest.raises(ValueError, match="3 groups have at least 12 training and 3 test positives, 4 were asked for"):
        rarest_groups(y_train, y_test)


@given(st.sets(st.integers(0, 36), min_size=1, max_size=3), st.integers(1, 100), st.integers(1, 100))
@settings(max_examples=40, deadline=None)
def test_scarce_keeps_a_share_nested_and_nothing_else_changes(groups, share, smaller):
    base = marker_dataset(80)
    share, smaller = max(share, smaller), min(share, smaller)
    large, small = Scarce(base, sorted(groups), share / 100), Scarce(base, sorted(groups), smaller / 100)
    before, after = set(base.rows("train").tolist()), set(large.rows("train").tolist())
    assert set(small.rows("train").tolist()) <= after <= before
    assert not base.y[sorted(before - after)][:, sorted(groups)].logical_not().all(dim=1).any()  # each had one of them
    for group in groups:
        had, has = (int(base.y[sorted(rows), group].sum()) for rows in (before, after))
        most = math.ceil(Fraction(share, 100) * had)
        assert has == most if len(groups) == 1 else has <= most
    for split in ("validation", "test"):
        assert torch.equal(large.rows(split), base.rows(split))
    if share == 100:
        assert after == before


def test_scarce_looks_at_ids_not_at_rows():
    base = marker_dataset(80)
    order = torch.randperm(80, generator=torch.Generator().manual_seed(1))
    split = np.full(80, "validation")
    for name in SPLITS:
        split[base.rows(name)] = name
    ids = [base.ids[i] for i in order]
    shuffled = ArrayDataset(base.x[order], base.present[order], base.y[order], ids, split[order], base.modalities)
    kept = [{data.ids[i] for i in Scarce(data, [7], 0.25).rows("train").tolist()} for data in (base, shuffled)]
    assert kept[0] == kept[1]


def test_scarce_refuses_what_it_cannot_do():
    base = marker_dataset(48)
    base.y[:, 13] = False
    with pytest.raises(ValueError, match=f"no training molecule has {NAMES[13]}; choose another group or use more"):
        Scarce(base, [3, 13], 0.5)
    for share in (0.0, -0.5, 1.5, math.nan):
        with pytest.raises(ValueError, match="expected more than 0 and at most 1"):
            Scarce(base, [3], share)

import math

import pytest
import torch
from conftest import marker_dataset
from hypothesis import given, settings
from hypothesis import strategies as st

from symspectra.datasets.augmentation import (
    KINDS,
    Augmented,
    gaussian_smoothing,
    horizontal_shift,
    linear_combination,
    vertical_noise,
)
from symspectra.datasets.base import ArrayDataset, LineDataset
from symspectra.datasets.views import Corrupted, Oversampled, Resplit, Scarce, Withheld
from symspectra.spectra.rendering import Nuisance

ALONE = (horizontal_shift, vertical_noise, gaussian_smoothing)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def some(n=12, m=2, seed=0):
    """Spectra with a maximum of 1, the first absent."""
    x = torch.rand(n, m, 600, generator=generator(seed)) ** 4
    x = x / x.amax(dim=-1, keepdim=True)
    x[0, 0] = 0
    return x


@pytest.mark.parametrize("augment", ALONE)
def test_an_absent_spectrum_stays_one_and_the_input_is_not_written_to(augment):
    x = some()
    before = x.clone()
    y = augment(x, generator())
    assert torch.equal(x, before) and y.shape == x.shape and (y[0, 0] == 0).all()
    assert not torch.equal(y[1:], x[1:])
    assert torch.equal(augment(x, generator()), y) and not torch.equal(augment(x, generator(1)), y)


@given(st.integers(0, 10), st.integers(0, 2**20))
@settings(max_examples=30, deadline=None)
def test_a_shift_moves_and_never_wraps(most, seed):
    x = some(seed=seed)[1:] + 0.1
    y = horizontal_shift(x, generator(seed), most)
    for before, after in zip(x.flatten(0, 1), y.flatten(0, 1), strict=True):
        matches = []
        for shift in range(-most, most + 1):
            moved = torch.zeros(600)
            moved[max(0, shift) : 600 + min(0, shift)] = before[max(0, -shift) : 600 - max(0, shift)]
            matches.append(torch.equal(moved, after))
        assert sum(matches) == 1


def test_vertical_noise_is_small_where_the_spectrum_is_high():
    x = torch.full((400, 1, 600), 0.0)
    x[:, :, 0], x[:, :, 1], x[:, :, 2:300] = 2.0, 1.5, 1.0  # relative to the top: 1, 3/4, 1/2
    change = vertical_noise(x, generator()) - x
    assert (change[:, :, 0] == 0).all()
    assert change[:, :, 1].abs().max() <= 0.025 + 1e-6 and change[:, :, 2:300].abs().max() <= 0.05 + 1e-6
    assert change[:, :, 2:300].std() == pytest.approx(0.05 / math.sqrt(3), rel=0.02)
    assert change[:, :, 300:].min() == 0 and change[:, :, 300:].max() == pytest.approx(0.1, rel=0.01)
    assert (change[:, :, 300:] == 0).float().mean() == pytest.approx(0.5, abs=0.01)


def test_smoothing_a_line_gives_a_gaussian_of_a_width_from_the_range():
    x = torch.zeros(200, 2, 600)
    x[:, :, 300] = 0.7
    y = gaussian_smoothing(x, generator(), 0.5, 1.5)
    assert torch.allclose(y.amax(dim=-1), torch.tensor(0.7))
    width = (-0.5 / torch.log(y[:, :, 301] / 0.7)).sqrt()
    assert width.min() >= 0.499 and width.max() <= 1.501 and width.max() - width.min() > 0.9
    d = torch.arange(-5, 6)
    expected = 0.7 * torch.exp(-0.5 * (d / width.unsqueeze(-1)) ** 2)
    torch.testing.assert_close(y[:, :, 295:306], expected)
    assert (y[:, :, :295] == 0).all() and (y[:, :, 306:] == 0).all()


def test_a_combination_lies_between_at_one_fraction_a_molecule():
    x, partner = torch.zeros(500, 2, 600), torch.ones(500, 2, 600)
    y = linear_combination(x, partner, generator())
    weight = y[:, 0, 0]
    assert torch.equal(y, weight[:, None, None].expand_as(y))
    assert weight.min() >= 0.01 and weight.max() <= 0.99 and weight.mean() == pytest.approx(0.5, abs=0.05)
    torch.testing.assert_close(linear_combination(partner, partner, generator()), partner)


@pytest.fixture(scope="module")
def pairs():
    """Marker spectra, some absent, in which most molecules share their groups with others."""
    data = marker_dataset(90, missing=0.3)
    y = torch.zeros_like(data.y)
    y[torch.arange(90), torch.arange(90) % 7] = True
    y[2, 30] = True  # alone with its groups, in training
    split = ["test" if i % 6 == 0 else "validation" if i % 6 == 1 else "train" for i in range(90)]
    return ArrayDataset(data.x, data.present, y, data.ids, split, data.modalities)


@pytest.mark.parametrize("kind", KINDS)
def test_evaluation_sees_the_spectra_as_they_are(pairs, kind, random_lines):
    for base in (pairs, LineDataset(random_lines, ("ir", "msms_pos"), Nuisance())):
        data, rows = Augmented(base, kind), torch.arange(len(base.ids))
        for a, b in zip(data.spectra(rows), base.spectra(rows), strict=True):
            assert torch.equal(a, b)
        assert torch.equal(data.y, base.y) and data.ids == base.ids
        assert (data.digest == base.digest) == (kind == "none")
        assert torch.equal(data.spectra(rows, 1)[0], base.spectra(rows, 1)[0]) == (kind == "none")


@pytest.mark.parametrize("kind", KINDS[1:])
def test_a_formula_is_not_augmented(pairs, kind):
    data = ArrayDataset(pairs.x, pairs.present, pairs.y, pairs.ids, pairs._split, (*pairs.modalities[:-1], "formula"))
    rows = data.rows("train")
    changed = Augmented(data, kind).spectra(rows, 1)[0] != data.spectra(rows)[0]
    assert changed[:, :-1].any() and not changed[:, -1].any()


@pytest.mark.parametrize("kind", KINDS[1:])
def test_augmentation_depends_on_the_draw_and_the_rows_alone(pairs, kind):
    data, rows = Augmented(pairs, kind), pairs.rows("train")
    torch.manual_seed(1)
    x, present = data.spectra(rows, 7)
    torch.manual_seed(2)
    assert torch.equal(Augmented(pairs, kind).to("cpu").spectra(rows, 7)[0], x)
    assert not torch.equal(data.spectra(rows, 8)[0], x)
    assert torch.equal(present, pairs.present[rows]) and (x[~present] == 0).all()


def test_mixed_molecules_have_the_same_groups_and_train(pairs):
    data, rows = Augmented(pairs, "mix"), torch.arange(90)
    training = set(pairs.rows("train").tolist())
    seen = {row: set() for row in range(90)}
    for seed in range(200):
        for row, partner in enumerate(data.partners(rows, generator(seed)).tolist()):
            seen[row].add(partner)
    for row, partners in seen.items():
        same = {other for other in training - {row} if torch.equal(pairs.y[other], pairs.y[row])}
        assert partners == (same if row in training and same else {row})
    assert seen[2] == {2}


def test_mixed_spectra_lie_between_the_molecule_and_its_class(pairs):
    """In a class of two, the spectrum is on the segment between both; one that only one of them has stays itself."""
    y = torch.zeros(6, 37, dtype=torch.bool)
    y[torch.arange(6), torch.tensor([0, 0, 1, 1, 2, 2])] = True
    present = torch.ones(6, 2, dtype=torch.bool)
    present[1, 1] = present[2, 0] = False
    base = ArrayDataset(pairs.x[30:36] + 0.1, present, y, [str(i) for i in range(6)], ["train"] * 6, pairs.modalities)
    rows, partner = torch.arange(6), torch.tensor([1, 0, 3, 2, 5, 4])
    mixed = 0
    for draw in range(1, 20):
        x, there = Augmented(base, "mix").spectra(rows, draw)
        assert torch.equal(there, present)
        both = present & present[partner]
        assert torch.allclose(x[~both], base.x[~both], atol=1e-6)
        change, span = (x - base.x)[both], (base.x[partner] - base.x)[both]
        weight = (change * span).sum(-1) / (span * span).sum(-1)
        torch.testing.assert_close(change, weight[:, None] * span, atol=1e-5, rtol=0)
        assert ((weight >= -1e-6) & (weight <= 0.991)).all()
        mixed += int((weight > 0.005).sum())
    assert mixed > 50


def test_noise_is_gaussian_and_relative_to_the_maximum():
    base = marker_dataset(90, missing=0.2)
    base.x *= 3
    x, present = Corrupted(base, 0.1).spectra(torch.arange(90))
    assert torch.equal(present, base.present) and (x[~present] == 0).all()
    z = ((x - base.x) / (0.1 * base.x.amax(dim=-1, keepdim=True)))[present]
    assert abs(float(z.mean())) < 4 / z.numel() ** 0.5 and float(z.std()) == pytest.approx(1, abs=0.01)
    assert float((z.abs() < 1).float().mean()) == pytest.approx(0.6827, abs=0.01)
    assert torch.corrcoef(z).fill_diagonal_(0).abs().max() < 0.3  # every spectrum has its own noise


def test_noise_depends_on_the_molecule_and_the_draw_not_on_the_batch():
    base = marker_dataset(20)
    data, rows = Corrupted(base, 0.05), torch.arange(20)
    x = data.spectra(rows)[0]
    order = torch.randperm(20, generator=generator())
    assert torch.equal(data.to("cpu").spectra(order[:7])[0], x[order[:7]])
    assert not torch.equal(data.spectra(rows, 1)[0], x)
    part = ArrayDataset(base.x[5:], base.present[5:], base.y[5:], base.ids[5:], ["test"] * 15, base.modalities)
    assert torch.equal(Corrupted(part, 0.05).spectra(rows[:15])[0], x[5:])
    double = Corrupted(base, 0.1).spectra(rows)[0]
    torch.testing.assert_close(double - base.x, 2 * (x - base.x))


def test_withheld_modalities_are_absent():
    base = marker_dataset(20, ("ir", "c13", "h1"), missing=0.3)
    rows = torch.arange(20)
    x, present = Corrupted(base, without=["c13"]).spectra(rows, 3)
    assert not present[:, 1].any() and (x[:, 1] == 0).all()
    assert torch.equal(present[:, [0, 2]], base.present[:, [0, 2]]) and torch.equal(x[:, [0, 2]], base.x[:, [0, 2]])
    noisy, present = Corrupted(base, 0.1, without=("c13", "ir")).spectra(rows)
    assert present.any(dim=0).tolist() == [False, False, True] and (noisy[:, :2] == 0).all()


def test_a_view_has_its_own_digest_and_is_the_same_on_another_device():
    """Runs are named by the digest."""
    data = marker_dataset()
    views = [*(Oversampled(data, k, seed) for k, seed in ((5, 0), (4, 0), (5, 1)))]
    views += [*(Scarce(data, groups, share) for groups, share in (([3], 0.5), ([4], 0.5), ([3], 0.25)))]
    views += [Corrupted(data, 0.1), Corrupted(data, 0.2), Corrupted(data, without=["ir"]), Corrupted(data)]
    views += [Withheld(data, 0.5), Withheld(data, 0.6), *(Augmented(data, kind) for kind in KINDS)]
    views += [Resplit(data, ["train"] * 48), Resplit(data, ["test"] * 48)]
    assert len({view.digest for view in views}) == len(views) and data.digest in {view.digest for view in views}
    assert Corrupted(data, without=("ir",)).digest == Corrupted(data, without=["ir"]).digest
    for view in views:
        moved, rows = view.to("cpu"), view.rows("train")
        assert type(moved) is type(view) and (moved.digest, moved.ids) == (view.digest, view.ids)
        assert torch.equal(moved.rows("train"), rows)
        assert all(torch.equal(a, b) for a, b in zip(moved.spectra(rows, 1), view.spectra(rows, 1), strict=True))


def test_withheld_spectra_are_a_share_of_the_measured_ones_and_one_always_stays():
    n = 4000
    present = torch.ones(n, 3, dtype=torch.bool)
    present[: n // 4, 0] = False
    present[: n // 8, 1] = False
    y, split = torch.zeros(n, 37, dtype=torch.bool), ["train"] * n
    data = ArrayDataset(torch.ones(n, 3, 600), present, y, [str(i) for i in range(n)], split, ("ir", "c13", "h1"))
    rows = torch.arange(n)
    x, kept = Withheld(data, 0.6).spectra(rows, draw=1)
    assert kept.any(dim=1).all() and not (kept & ~present).any()
    assert torch.equal(kept[: n // 8], present[: n // 8])  # a molecule with one spectrum keeps it
    assert torch.equal(x, kept.unsqueeze(-1).expand_as(x).float())
    complete = kept[n // 4 :].float().mean()  # all three withheld with 0.6^3, and then one stays
    expected = 0.4 + 0.6**3 / 3
    assert abs(complete - expected) < 5 * math.sqrt(expected * (1 - expected) / (3 * 3 * n / 4))
    again, other = Withheld(data, 0.6).spectra(rows, draw=1)[1], Withheld(data, 0.6).spectra(rows, draw=2)[1]
    assert torch.equal(again, kept) and not torch.equal(other, kept)


@pytest.mark.parametrize(
    ("view", "message"),
    [
        (lambda data: Augmented(data, "flip"), "there is no augmentation 'flip'; expected one of .*'shift'"),
        (lambda data: Corrupted(data, noise=-0.1), "noise of standard deviation -0.1; expected a number of at least 0"),
        (lambda data: Corrupted(data, noise=math.nan), "noise of standard deviation nan"),
        (lambda data: Corrupted(data, without=["nmr"]), r"cannot withhold \['nmr'\]; the data have the modalities"),
        (lambda data: Corrupted(data, without=["c13", "ir"]), "are withheld; keep at least one"),
        (lambda data: Withheld(data, 1.0), "expected at least 0 and below 1"),
        (lambda data: Withheld(data, math.nan), "expected at least 0 and below 1"),
    ],
)
def test_views_that_make_no_sense_are_refused(view, message):
    with pytest.raises(ValueError, match=message):
        view(marker_dataset(8))

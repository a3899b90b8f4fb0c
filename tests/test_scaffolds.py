"""Scaffolds and similarities against RDKit, the greedy choice by hand, and what a split must never do."""

import numpy as np
import pytest
import torch
from conftest import marker_dataset
from hypothesis import given, settings
from hypothesis import strategies as st
from rdkit import Chem, DataStructs
from rdkit.Chem.rdFingerprintGenerator import GetMorganGenerator

from symspectra.datasets.base import OPEN_DIRECTORY, split_of
from symspectra.datasets.views import Resplit
from symspectra.errors import DataError
from symspectra.groups import scaffolds
from symspectra.groups.scaffolds import (
    cluster,
    greedy_test,
    morgan_bits,
    nearest_similarity,
    scaffold_or_self,
    scaffold_split,
    tanimoto,
)
from symspectra.spectra.lines import read_lines

SMILES = ["CCO", "CC(=O)Oc1ccccc1C(=O)O", "CCc1ccccc1", "O=C1CCCCC1C", "CCCO", "C[C@H]1CC[C@@H](O)CC1"]


@pytest.fixture(scope="module")
def lines():
    return read_lines(OPEN_DIRECTORY, 300)


@pytest.fixture(scope="module")
def split(lines):
    return scaffold_split(lines.smiles)


@pytest.mark.parametrize(
    ("smiles", "scaffold"),
    [
        ("CC(=O)Oc1ccccc1C(=O)O", "c1ccccc1"),
        ("Cc1ccc(CCc2ccncc2)cc1", "c1ccc(CCc2ccncc2)cc1"),
        ("O=C1CCCCC1C", "O=C1CCCCC1"),
        ("C[C@H]1CC[C@@H](O)CC1", "C1CCCCC1"),
        ("CC(C)(C)CCO", "CC(C)(C)CCO"),
    ],
)
def test_murcko_scaffold(smiles, scaffold):
    assert scaffold_or_self(smiles) == scaffold


def test_similarities_are_those_of_rdkit():
    generator = GetMorganGenerator(radius=2, fpSize=2048)
    fingerprints = [generator.GetFingerprint(Chem.MolFromSmiles(text)) for text in SMILES]
    expected = [DataStructs.BulkTanimotoSimilarity(f, fingerprints) for f in fingerprints]
    bits = morgan_bits(SMILES)
    assert bits.shape == (6, 2048) and bits.dtype == bool
    np.testing.assert_allclose(tanimoto(bits, bits), expected, rtol=1e-6)


def test_nearest_similarity_does_not_depend_on_the_chunks(monkeypatch, lines):
    bits = morgan_bits(lines.smiles[:40])
    train, test = bits[:29], bits[29:]
    monkeypatch.setattr(scaffolds, "CHUNK", 4)
    np.testing.assert_array_equal(nearest_similarity(train, test), tanimoto(train, test).max(0))
    with pytest.raises(ValueError, match="there is no training molecule"):
        nearest_similarity(bits[:0], bits)


def test_clusters_end_at_a_distance():
    place = np.array([0.0, 0.1, 0.2, 0.9, 1.0])
    distance = abs(place[:, None] - place)
    found = cluster(distance, 0.5)
    assert len(set(found[:3])) == len(set(found[3:])) == 1 and found[0] != found[4]
    assert len(set(cluster(distance, 0.01))) == 5
    assert cluster(np.zeros((1, 1)), 0.5).tolist() == [0]


def sums(mean, size):
    """Sums over pairs of molecules from mean distances between clusters, with no distance inside."""
    mean = np.array(mean) + np.array(mean).T
    return mean * np.outer(size, size)


def test_greedy_choice_by_hand():
    # Cluster 3 is farthest from the others on average. Then 2 fits as well as 1, and leaves the larger mean:
    # {3, 2}: (0.9 * 4 + 0.9 + 0.5 * 4 + 0.3) / 10 = 0.68; {3, 1}: (0.9 * 4 + 0.9 + 0.2 * 4 + 0.3) / 10 = 0.56
    mean = [[0, 0.2, 0.5, 0.9], [0, 0, 0.3, 0.9], [0, 0, 0, 0.9], [0, 0, 0, 0]]
    size = np.array([4, 1, 1, 1])
    assert greedy_test(sums(mean, size), size, quota=1).tolist() == [False, False, False, True]
    assert greedy_test(sums(mean, size), size, quota=2).tolist() == [False, False, True, True]
    assert greedy_test(sums(mean, size), size, quota=3).tolist() == [False, True, True, True]


def test_greedy_choice_never_takes_a_large_cluster():
    mean = np.triu(np.full((4, 4), 0.5), 1)
    mean[0] *= 2  # cluster 0 is the farthest, and too large
    size = np.array([6, 3, 2, 9])
    assert greedy_test(sums(mean, size), size, quota=5).tolist() == [False, True, True, False]
    with pytest.raises(ValueError, match="the smallest of 4 clusters has 2 molecules, the test set shall have 1"):
        greedy_test(sums(mean, size), size, quota=1)


@settings(deadline=None, max_examples=50)
@given(st.lists(st.integers(1, 6), min_size=3, max_size=7), st.randoms(use_true_random=False))
def test_greedy_mean_is_the_mean_over_pairs(sizes, random):
    size = np.array(sizes)
    distance = sums(np.triu([[random.random() for _ in sizes] for _ in sizes], 1), size)
    quota = max(int(size.min()), int(size.sum()) // 3)

    def mean(chosen):
        inside = np.isin(np.arange(len(size)), chosen)
        return distance[inside][:, ~inside].sum() / (size[inside].sum() * size[~inside].sum())

    chosen = []
    while fitting := [k for k in range(len(size)) if k not in chosen and size[[*chosen, k]].sum() <= quota]:
        chosen.append(max(fitting, key=lambda k: mean([*chosen, k])))  # noqa: B023
    found = np.flatnonzero(greedy_test(distance, size, quota))
    assert set(chosen) <= set(found.tolist())
    assert len(found) - len(chosen) <= 1
    assert size[found].sum() < 2 * quota


def test_split_has_the_shares_asked_for(lines, split):
    count = {name: split.split.count(name) for name in ("train", "validation", "test")}
    assert count["validation"] == 30 and 27 <= count["test"] <= 33 and sum(count.values()) == 300
    half = scaffold_split(lines.smiles, test=0.2, validation=0.3).split
    assert half.count("validation") == 90 and 55 <= half.count("test") <= 65


def whole(names, split):
    """Whether each cluster or scaffold lies on one side of the border of the test set."""
    tested = {name for name, part in zip(names, split.split, strict=True) if part == "test"}
    return not tested & {name for name, part in zip(names, split.split, strict=True) if part != "test"}


def test_clusters_and_scaffolds_never_straddle_test_and_the_rest(split):
    assert whole(split.cluster, split) and whole(split.scaffold, split)
    assert len(set(split.cluster)) > 10
    assert split.split[split.scaffold.index("c1ccccc1")] != "test"  # a fifth of the molecules


def test_test_molecules_are_farther_than_those_of_a_random_split(lines, split):
    bits, ours = morgan_bits(lines.smiles), np.array(split.split)
    random = np.array([split_of(key) for key in lines.inchikey])
    far, near = (nearest_similarity(bits[s == "train"], bits[s == "test"]).mean() for s in (ours, random))
    assert far < 0.75 * near
    validation = nearest_similarity(bits[ours == "train"], bits[ours == "validation"]).mean()
    assert validation > 1.4 * far  # drawn from the region of the training molecules


def test_distance_is_the_mean_between_test_and_the_rest(split):
    bits, test = morgan_bits(split.scaffold), np.array(split.split) == "test"
    assert split.distance == pytest.approx(1 - tanimoto(bits[test], bits[~test]).mean(), rel=1e-5)


def test_split_repeats(lines, split):
    scaffolds._scaffold_split.cache_clear()
    again = scaffold_split(list(lines.smiles))
    assert again == split and scaffold_split(lines.smiles) is again


def test_too_many_scaffolds_are_sampled(lines, split, monkeypatch):
    monkeypatch.setattr(scaffolds, "MOST", 100)
    some = scaffold_split(lines.smiles, 0.1, 0.1, 0.84)
    assert len(some.cluster) == 300 and 27 <= some.split.count("test") <= 33
    assert whole(some.scaffold, some)


@pytest.mark.parametrize("wrong", ["C1CC", "not a molecule", "", "CCO ethanol", None])
def test_smiles_that_cannot_be_parsed_is_named(wrong):
    for function in (morgan_bits, scaffold_split):
        with pytest.raises(ValueError, match=f"row 2: {wrong!r} is not a SMILES"):
            function(["CCO", "CC", wrong, "C"])


def test_resplit_changes_the_split_and_nothing_else():
    base = marker_dataset(n=6)
    names = ["test", "train", "train", "validation", "train", "test"]
    view = Resplit(base, names)
    assert [view.rows(s).tolist() for s in ("train", "validation", "test")] == [[1, 2, 4], [3], [0, 5]]
    torch.testing.assert_close(view.spectra(torch.tensor([4, 0])), base.spectra(torch.tensor([4, 0])))
    assert view.ids == base.ids and view.modalities == base.modalities
    moved = view.to("meta")
    assert moved.rows("test").device.type == "meta" and moved.spectra(moved.rows("test"))[0].shape == (2, 2, 600)
    assert view.rows("test").tolist() == [0, 5]


@pytest.mark.parametrize("names", [["train"] * 5, ["train"] * 5 + ["tests"]])
def test_resplit_refuses_what_does_not_fit(names):
    with pytest.raises(DataError, match=f"{len(names)} splits for 6 molecules, unknown: .*; expected"):
        Resplit(marker_dataset(n=6), names)

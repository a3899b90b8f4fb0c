"""A split by scaffolds: the test molecules are as unlike the training molecules as whole clusters allow (App. K).

Murcko scaffolds, their Morgan fingerprints, agglomerative clusters by Tanimoto distance, and a greedy choice of the
clusters that are tested on. The picture of the split (Figure 6) is in `symspectra.exhibits.chemical_space`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int
from rdkit.Chem.rdFingerprintGenerator import GetMorganGenerator
from rdkit.Chem.Scaffolds.MurckoScaffold import GetScaffoldForMol

from symspectra.groups.molecules import flat_smiles, parse

RADIUS, BITS = 2, 2048
MOST = 4000  # scaffolds that are clustered; of more a random sample is, and each other one joins the one most like it
CHUNK = 1024  # fingerprints that are compared with all others at a time

Bits = Bool[np.ndarray, "molecule 2048"]


class ScaffoldSplit(NamedTuple):
    """Where each molecule belongs."""

    split: tuple[str, ...]  # "train", "validation" or "test"
    cluster: tuple[int, ...]
    scaffold: tuple[str, ...]  # what was clustered: Murcko scaffold, of an acyclic molecule the molecule itself
    distance: float  # mean Tanimoto distance between scaffolds of test molecules and of all the others


def scaffold_or_self(smiles: str, where: str = "") -> str:
    """Murcko scaffold: rings, what links them, and what is doubly bonded to these; without a ring the molecule itself.

    Bemis and Murcko, J. Med. Chem. 1996, 39, 2887. A SMILES that cannot be parsed is a ValueError that begins with
    ``where``.
    """
    molecule = parse(smiles, where)
    return flat_smiles(GetScaffoldForMol(molecule)) or flat_smiles(molecule)


def morgan_bits(smiles: Sequence[str]) -> Bits:
    """Morgan fingerprints of radius 2; a SMILES that cannot be parsed is a ValueError that names its row."""
    generator = GetMorganGenerator(radius=RADIUS, fpSize=BITS)
    bits = np.zeros((len(smiles), BITS), dtype=bool)
    for row, text in enumerate(smiles):
        bits[row] = generator.GetFingerprintAsNumPy(parse(text, f"row {row}: "))
    return bits


def tanimoto(a: Bool[np.ndarray, "n bit"], b: Bool[np.ndarray, "m bit"]) -> Float[np.ndarray, "n m"]:
    """Bits that two fingerprints share, over the bits that either has; 1 for two fingerprints without any bit."""
    a, b = a.astype(np.float32), b.astype(np.float32)  # counts to 2048 are exact
    both = a @ b.T
    either = a.sum(1)[:, None] + b.sum(1) - both
    return np.divide(both, either, out=np.ones_like(both), where=either > 0)


def _nearest(a: Bits, b: Bits) -> tuple[Int[np.ndarray, " b"], Float[np.ndarray, " b"]]:
    """For each row of b the row of a that is most similar (the first of equals), and how similar."""
    row, best = np.zeros(len(b), dtype=np.int64), np.zeros(len(b), dtype=np.float32)
    for i in range(0, len(b), CHUNK):
        similarity = tanimoto(a, b[i : i + CHUNK])
        row[i : i + CHUNK], best[i : i + CHUNK] = similarity.argmax(0), similarity.max(0)
    return row, best


def nearest_similarity(train: Bits, test: Bits) -> Float[np.ndarray, " test"]:
    """Tanimoto similarity of each test molecule to the training molecule that is most like it."""
    if not len(train):
        raise ValueError("the nearest training molecule was asked for, and there is no training molecule")
    return _nearest(train, test)[1]


def cluster(distance: Float[np.ndarray, "n n"], most: float) -> Int[np.ndarray, " n"]:
    """Agglomerative clustering with average linkage, up to a mean distance: a number from 0 for each row."""
    from sklearn.cluster import AgglomerativeClustering  # a second to import

    if len(distance) == 1:
        return np.zeros(1, dtype=np.int64)
    how = {"metric": "precomputed", "linkage": "average", "distance_threshold": most}
    return AgglomerativeClustering(n_clusters=None, **how).fit_predict(distance)


def greedy_test(
    distance: Float[np.ndarray, "cluster cluster"], size: Int[np.ndarray, " cluster"], quota: int
) -> Bool[np.ndarray, " cluster"]:
    """Which clusters to test on, so that the mean distance between test molecules and the others is large.

    The first is the cluster that is farthest from all others; then, again and again, the one with which the mean is
    largest, of those that still fit the ``quota`` of molecules. It ends when none fits. A smallest cluster that does
    not fit is added if that comes closer to the quota.

    ``distance`` is summed over all pairs of molecules of two clusters, ``size`` counts the molecules of each cluster.
    That every cluster has more molecules than the quota is a ValueError.
    """
    if size.min() > quota:
        raise ValueError(
            f"the smallest of {len(size)} clusters has {size.min()} molecules, the test set shall have {quota}: "
            "ask for a smaller distance"
        )
    test = np.zeros(len(size), dtype=bool)
    across, outward = 0.0, distance.sum(1) - distance.diagonal()  # outward: to all other clusters
    while True:
        room = quota - size[test].sum()
        fits = ~test & (size <= room)
        if not fits.any():
            break
        # What was across to a cluster that joins is within, and the other way.
        total = across + outward - 2 * distance[:, test].sum(1)
        count = size[test].sum() + size
        mean = np.divide(total, count * (size.sum() - count), out=np.full(len(size), -np.inf), where=fits)
        best = int(mean.argmax())
        across, test[best] = total[best], True
    smallest = np.where(test | (size > quota), np.inf, size)
    if 0 < smallest.min() < 2 * room:
        test[smallest.argmin()] = True
    return test


def scaffold_split(
    smiles: Sequence[str], test: float = 0.1, validation: float = 0.1, distance: float = 0.85
) -> ScaffoldSplit:
    """Split molecules so that no cluster of scaffolds is in both test and training set, and the two lie far apart.

    Acyclic molecules have no scaffold; in one cluster they would be too many to test on, so that each is clustered by
    its own fingerprint. `greedy_test` chooses the clusters to test on; one with more molecules than the test set shall
    have (benzene's) never is. Validation molecules are drawn by a hash from all the others: they resemble the training
    molecules, and a choice made by them has not seen the region of the test (paper, Appendix K).

    Parameters
    ----------
    smiles : SMILES of N molecules; the last splits are remembered
    test, validation : shares of the molecules; at least one molecule each
    distance : mean Tanimoto distance at which clusters are no longer merged

    Raises
    ------
    ValueError : a SMILES cannot be parsed, the shares leave no training molecules, or no cluster is small enough.
    """
    return _scaffold_split(tuple(smiles), test, validation, distance)


@lru_cache(maxsize=8)
def _scaffold_split(smiles: tuple[str, ...], test: float, validation: float, distance: float) -> ScaffoldSplit:
    n = len(smiles)
    quota, held = max(1, round(test * n)), max(1, round(validation * n))
    if quota + held >= n:
        raise ValueError(f"{n} molecules cannot give {quota} for the test and {held} for validation, and some to train")
    scaffold = tuple(scaffold_or_self(text, f"row {row}: ") for row, text in enumerate(smiles))
    unique, of_molecule = np.unique(np.array(scaffold, dtype=object), return_inverse=True)
    bits = morgan_bits(unique)
    clustered = np.arange(len(unique))
    if len(unique) > MOST:
        clustered = np.sort(np.random.default_rng(0).choice(len(unique), MOST, replace=False))
    stands_for = _nearest(bits[clustered], bits)[0][of_molecule]  # the clustered scaffold of each molecule
    apart = 1 - tanimoto(bits[clustered], bits[clustered]).astype(np.float64)
    found = cluster(apart, distance)

    count = np.bincount(stands_for, minlength=len(clustered))
    member = np.zeros((found.max() + 1, len(clustered)))
    member[found, np.arange(len(clustered))] = count
    between, size = member @ apart @ member.T, member.sum(1).astype(np.int64)
    tested = greedy_test(between, size, quota)
    pairs = size[tested].sum() * size[~tested].sum()
    mean = float(between[np.ix_(tested, ~tested)].sum() / pairs)

    of_cluster = found[stands_for]
    split = np.where(tested[of_cluster], "test", "train").astype(object)
    digest = [hashlib.sha256(f"0 {text}".encode()).hexdigest() for text in smiles]
    others = sorted(np.flatnonzero(split == "train"), key=lambda row: digest[row])
    split[others[:held]] = "validation"
    return ScaffoldSplit(tuple(split), tuple(of_cluster.tolist()), scaffold, mean)

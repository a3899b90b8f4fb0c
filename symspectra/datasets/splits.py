"""Which molecules are trained on, and which are kept for validation and test."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Int, Shaped

from symspectra.errors import DataError

SPLITS = ("train", "validation", "test")
UNUSED = "unused"  # what a molecule is that belongs to none of them


def random_order(smiles: Sequence[str]) -> Int[np.ndarray, " molecule"]:
    """Molecules by the sha256 of their SMILES, so that every prefix is a random sample; equal ones as they come."""
    digests = np.array([hashlib.sha256(text.encode()).digest() for text in smiles], dtype="S32")
    return np.argsort(digests, kind="stable")


def split_of(inchikey: str, test_tenths: int = 1) -> str:
    """Split of a molecule, from its InChIKey's first block: a tenth test, a tenth validation, the rest training.

    It depends on the molecule alone, so it stays when the data set grows. With more tenths for testing, the molecules
    that are tested with fewer stay among them.
    """
    digit = int(hashlib.sha256(inchikey.encode()).hexdigest(), 16) % 10
    return "test" if digit < test_tenths else "validation" if digit == test_tenths else "train"


def chosen(
    y: Bool[np.ndarray, "molecule group"], split: Shaped[np.ndarray, " molecule"], molecules: int, least: int = 0
) -> Bool[np.ndarray, " molecule"]:
    """Molecules to train and to choose on: the first ``least`` training molecules of each group, then the first others.

    Every group so has ``least`` molecules to learn from, where there are as many, and the frequent ones keep their
    shares. The larger ``molecules`` (0: all), the more are chosen, and none is given up.
    """
    trained = y & (split == "train")[:, None]
    needed = (trained & (trained.cumsum(axis=0) <= least)).any(axis=1)
    mask = np.zeros(len(y), dtype=bool)
    mask[np.argsort(~needed, kind="stable")[: molecules or None]] = True
    return mask


def split_by_scaffold(
    molecules: Sequence[str], among: Bool[np.ndarray, " molecule"] | None = None
) -> Shaped[np.ndarray, " molecule"]:
    """`symspectra.groups.scaffolds.scaffold_split` for training on the molecules ``among`` these (all by default).

    Clusters of scaffolds are made of all molecules, and whole ones are tested on. Of the others, only those ``among``
    are trained and validated on; the rest is `UNUSED`.
    """
    from symspectra.groups.scaffolds import scaffold_split  # rdkit, which training by molecule does without

    split = np.array(scaffold_split(molecules).split, dtype="U10")
    if among is not None:
        split[~np.asarray(among) & (split != "test")] = UNUSED
    return split


def checked_split(split: Sequence[str], molecules: int, where: str) -> np.ndarray:
    """The split of each molecule, as an array of text.

    Raises
    ------
    DataError : there are not as many as molecules, or one is neither of `SPLITS` nor `UNUSED`.
    """
    unknown = sorted({*split} - {*SPLITS, UNUSED})
    if unknown or len(split) != molecules:
        raise DataError(
            f"{where}: {len(split)} splits for {molecules} molecules, unknown: {unknown}; expected {SPLITS}"
        )
    return np.array(split)

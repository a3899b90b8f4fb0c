"""Which molecules are trained on, and which are kept for validation and test."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from jaxtyping import Bool, Int, Shaped

from symspectra.errors import DataError

SPLITS = ("train", "validation", "test")
UNUSED = "unused"  # what a molecule is that belongs to none of them


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


@lru_cache(maxsize=8)
def scaffold_ids(molecules: tuple[str, ...]) -> Int[np.ndarray, " molecule"]:
    """A number for the scaffold of each molecule, given as SMILES: to resample scaffolds instead of molecules.

    What a scaffold is says `symspectra.groups.scaffolds.scaffold_or_self`; a SMILES that cannot be parsed is a
    ValueError that names its row.
    """
    from symspectra.groups.scaffolds import scaffold_or_self  # rdkit, which training by molecule does without

    scaffolds = [scaffold_or_self(smiles, f"row {row}: ") for row, smiles in enumerate(molecules)]
    return np.unique(scaffolds, return_inverse=True)[1]


def split_by_scaffold(
    molecules: Sequence[str], among: Bool[np.ndarray, " molecule"] | None = None
) -> Shaped[np.ndarray, " molecule"]:
    """`symspectra.groups.scaffolds.scaffold_split` of the molecules ``among`` these (all by default).

    The others are tested on where no molecule with their scaffold is trained or validated on, else `UNUSED`.
    """
    from symspectra.groups.scaffolds import scaffold_split

    rows = np.arange(len(molecules)) if among is None else np.flatnonzero(among)
    split, scaffold = np.full(len(molecules), "test", dtype="U10"), scaffold_ids(tuple(molecules))
    split[rows] = scaffold_split([molecules[row] for row in rows]).split
    others = np.setdiff1d(np.arange(len(molecules)), rows)
    split[others[np.isin(scaffold[others], scaffold[split != "test"])]] = UNUSED
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

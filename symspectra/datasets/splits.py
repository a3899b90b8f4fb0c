"""Which molecules are trained on, and which are kept for validation and test."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np

from symspectra.errors import DataError

SPLITS = ("train", "validation", "test")


def split_of(inchikey: str, test_tenths: int = 1) -> str:
    """Split of a molecule, from its InChIKey's first block: a tenth test, a tenth validation, the rest training.

    It depends on the molecule alone, so it stays when the data set grows. With more tenths for testing, the molecules
    that are tested with fewer stay among them.
    """
    digit = int(hashlib.sha256(inchikey.encode()).hexdigest(), 16) % 10
    return "test" if digit < test_tenths else "validation" if digit == test_tenths else "train"


def checked_split(split: Sequence[str], molecules: int, where: str) -> np.ndarray:
    """The split of each molecule, as an array of text.

    Raises
    ------
    DataError : there are not as many as molecules, or one is unknown.
    """
    unknown = sorted(set(split) - set(SPLITS))
    if unknown or len(split) != molecules:
        raise DataError(
            f"{where}: {len(split)} splits for {molecules} molecules, unknown: {unknown}; expected {SPLITS}"
        )
    return np.array(split)

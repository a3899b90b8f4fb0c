"""Which molecules are trained on, and which are kept for validation and test."""

from __future__ import annotations

import hashlib

SPLITS = ("train", "validation", "test")


def split_of(inchikey: str, test_tenths: int = 1) -> str:
    """Split of a molecule, from its InChIKey's first block: a tenth test, a tenth validation, the rest training.

    It depends on the molecule alone, so it stays when the data set grows. With more tenths for testing, the molecules
    that are tested with fewer stay among them.
    """
    digit = int(hashlib.sha256(inchikey.encode()).hexdigest(), 16) % 10
    return "test" if digit < test_tenths else "validation" if digit == test_tenths else "train"

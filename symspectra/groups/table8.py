"""The 37 functional groups of the paper's Table 8 and their labels for a molecule.

The patterns are those of Table 8 without the spaces, with three corrected (marked below): as printed, 9 and 22 hold a
backslash that SMARTS does not know, and 10 is a ring of five atoms. They are deliberately literal: an acid is also an
alcohol, nitrobenzene is also an amine, because that is how the labels of the published data sets were made.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from jaxtyping import Bool, UInt64

_TABLE_8 = (
    ("Acid anhydride", "[CX3](=[OX1])[OX2][CX3](=[OX1])"),  # 1
    ("Acyl halide", "[CX3](=[OX1])[F,Cl,Br,I]"),
    ("Alcohol", "[#6][OX2H]"),
    ("Aldehyde", "[CX3H1](=O)[#6,H]"),
    ("Alkane", "[CX4;H3,H2]"),  # 5
    ("Alkene", "[CX3]=[CX3]"),
    ("Alkyne", "[CX2]#[CX2]"),
    ("Amide", "[NX3][CX3](=[OX1])[#6]"),
    ("Amine", "[NX3;H2,H1,H0;!$(NC=O)]"),  # printed: !\$(NC=O)
    ("Arene", "[cX3]1[cX3][cX3][cX3][cX3][cX3]1"),  # 10; printed with five atoms
    ("Azo compound", "[#6][NX2]=[NX2][#6]"),
    ("Carbamate", "[NX3][CX3](=[OX1])[OX2H0]"),
    ("Carboxylic acid", "[CX3](=O)[OX2H]"),
    ("Enamine", "[NX3][CX3]=[CX3]"),
    ("Enol", "[OX2H][#6X3]=[#6]"),  # 15
    ("Ester", "[#6][CX3](=O)[OX2H0][#6]"),
    ("Ether", "[OD2]([#6])[#6]"),
    ("Haloalkane", "[#6][F,Cl,Br,I]"),
    ("Hydrazine", "[NX3][NX3]"),
    ("Hydrazone", "[NX3][NX2]=[#6]"),  # 20
    ("Imide", "[CX3](=[OX1])[NX3][CX3](=[OX1])"),
    ("Imine", "[$([CX3]([#6])[#6]),$([CX3H][#6])]=[$([NX2][#6]),$([NX2H])]"),  # printed: \$
    ("Isocyanate", "[NX2]=[C]=[O]"),
    ("Isothiocyanate", "[NX2]=[C]=[S]"),
    ("Ketone", "[#6][CX3](=O)[#6]"),  # 25
    ("Nitrile", "[NX1]#[CX2]"),
    ("Phenol", "[OX2H][cX3]:[c]"),
    ("Phosphine", "[PX3]"),
    ("Sulfide", "[#16X2H0]"),
    ("Sulfonamide", "[#16X4]([NX3])(=[OX1])(=[OX1])[#6]"),  # 30
    ("Sulfonate", "[#16X4](=[OX1])(=[OX1])([#6])[OX2H0]"),
    ("Sulfone", "[#16X4](=[OX1])(=[OX1])([#6])[#6]"),
    ("Sulfonic acid", "[#16X4](=[OX1])(=[OX1])([#6])[OX2H]"),
    ("Sulfoxide", "[#16X3]=[OX1]"),
    ("Thial", "[CX3H1](=S)[#6,H]"),  # 35
    ("Thioamide", "[NX3][CX3]=[SX1]"),
    ("Thiol", "[#16X2H]"),  # 37
)

#: Names in Table 8 order (which is alphabetical); index 0 is Table 8's number 1.
NAMES: tuple[str, ...] = tuple(name for name, _ in _TABLE_8)
#: SMARTS patterns in the same order.
SMARTS: tuple[str, ...] = tuple(pattern for _, pattern in _TABLE_8)

#: (i, j), 0-based: a molecule with group i has group j whatever else it is, because pattern i contains pattern j.
IMPLICATIONS: tuple[tuple[int, int], ...] = (
    (12, 2),  # 13 Carboxylic acid -> 3 Alcohol
    (26, 2),  # 27 Phenol -> 3 Alcohol
    (14, 2),  # 15 Enol -> 3 Alcohol
    (15, 16),  # 16 Ester -> 17 Ether
    (0, 16),  # 1 Acid anhydride -> 17 Ether
    (1, 17),  # 2 Acyl halide -> 18 Haloalkane
    (13, 5),  # 14 Enamine -> 6 Alkene
)


@lru_cache(maxsize=1)
def _queries() -> list[Any]:
    from rdkit import Chem

    return [Chem.MolFromSmarts(text) for text in SMARTS]


def label(smiles: Sequence) -> Bool[np.ndarray, "molecule 37"]:
    """Which of the 37 functional groups each molecule of a sequence of SMILES has, in the order of `NAMES`.

    Raises
    ------
    TypeError
        One string was given instead of a sequence.
    ValueError
        A SMILES cannot be parsed; the message names its row and the SMILES.
    """
    from symspectra.groups.molecules import parse

    if isinstance(smiles, str):
        raise TypeError(f"label expects a sequence of SMILES, got one string: use label([{smiles!r}])")
    groups = [label_molecule(parse(text, f"row {row}: ")) for row, text in enumerate(smiles)]
    return np.array(groups, dtype=bool).reshape(-1, len(NAMES))


def label_molecule(molecule: Any) -> list[bool]:
    """Which groups an RDKit molecule has, in the order of `NAMES`."""
    return [molecule.HasSubstructMatch(query) for query in _queries()]


def possible(atoms: Mapping[str, int]) -> Bool[np.ndarray, " 37"]:
    """Groups that a molecule with so many ``atoms`` of each element can have: it has those that the pattern names."""
    halogens = any(atoms.get(element, 0) for element in ("F", "Cl", "Br", "I"))
    can = []
    for query, pattern in zip(_queries(), SMARTS, strict=True):
        needed = Counter(atom.GetSymbol() for atom in query.GetAtoms() if atom.GetAtomicNum())
        enough = all(atoms.get(element, 0) >= number for element, number in needed.items())
        can.append(enough and (halogens or "[F,Cl,Br,I]" not in pattern))
    return np.array(can)


def to_bits(groups: np.ndarray) -> UInt64[np.ndarray, " molecule"]:
    """Pack labels of shape (N, 37), 0 and 1, into one integer per molecule: bit k is group k of `NAMES`."""
    groups = np.asarray(groups)
    if groups.ndim != 2 or groups.shape[1] != len(NAMES):
        raise ValueError(f"labels have shape {groups.shape}, expected (molecules, {len(NAMES)})")
    if groups.dtype != bool and not np.isin(groups, (0, 1)).all():
        raise ValueError("labels hold values other than 0 and 1")
    weight = np.uint64(1) << np.arange(len(NAMES), dtype=np.uint64)
    return (groups.astype(np.uint64) * weight).sum(axis=1, dtype=np.uint64)


def from_bits(bits: np.ndarray) -> Bool[np.ndarray, "molecule 37"]:
    """Unpack the N integers made by `to_bits` into labels.

    Raises
    ------
    ValueError
        Not a list of integers, or one is negative or has a bit above the 37th; the message names its row.
    """
    bits = np.asarray(bits)
    if bits.ndim != 1 or (bits.size and bits.dtype.kind not in "iu"):
        raise ValueError(f"group bits have shape {bits.shape} and type {bits.dtype}, expected a list of integers")
    bad = np.flatnonzero((bits < 0) | (bits >= 2 ** len(NAMES)))
    if bad.size:
        raise ValueError(f"row {bad[0]}: group bits {bits[bad[0]]} are outside [0, 2**{len(NAMES)})")
    position = np.arange(len(NAMES), dtype=np.uint64)
    return (bits.astype(np.uint64)[:, None] >> position & np.uint64(1)).astype(bool)

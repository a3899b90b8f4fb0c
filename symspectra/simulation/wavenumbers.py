"""From harmonic wavenumbers to those of measured bands: one factor per kind of mode and level of theory.

A mode is told by the bonds that the molecule has and by where its line lies, so that line lists without displacements
can be corrected as well: of the lines within a window the highest or the strongest are the stretches of its bonds, as
many as there are; what is left goes by region. The factors (``data/wavenumbers.csv``) are medians of measured over
computed wavenumbers of gases, fitted by ``docs/fits/fit_wavenumbers.py`` on ``data/gas_bands.csv``, which names
the sources; where the column `source` says otherwise, no band of the kind is known, and the factor is general or 1.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Float
from rdkit import Chem

Level = Literal["ff", "gfn2"]


class Pool(NamedTuple):
    """Stretches that are taken from one window, in the order of the kinds by descending wavenumber."""

    low: float  # cm-1, unscaled
    high: float
    strongest: bool  # else the highest lines are taken
    bonds: dict[str, str]  # kind: SMARTS of the bonds (hydrogens explicit), each match one line


POOLS = (
    Pool(3150, 4100, False, {"O-H": "[O]-[#1]", "N-H": "[#7]-[#1]", "C-H, alkyne": "[CX2]-[#1]"}),
    Pool(
        2500,
        3300,
        False,
        {
            "C-H, sp2": "[c,$([CX3]=[!O])]-[#1]",
            "C-H, sp3": "[CX4]-[#1]",
            "C-H, aldehyde": "[CX3](=O)-[#1]",
            "S-H": "[#16]-[#1]",
        },
    ),
    Pool(1900, 2600, True, {"N=C=O": "N=C=O", "C#N": "[C;!$(C-[#7-])]#[NX1]", "N=C=S": "N=C=S", "C#C": "[CX2]#[CX2]"}),
    Pool(
        1550,
        2000,
        True,
        {
            "C=O, acyl": "[CX3](=O)[O,F,Cl,Br,I]",
            "C=O, ketone or aldehyde": "[CX3](=O)([#6,#1])[#6,#1]",
            "C=O, amide": "[CX3](=O)[#7]",
        },
    ),
    Pool(1400, 1800, True, {"NO2, asymmetric": "[N+](=O)[O-]"}),
    Pool(1150, 1450, True, {"NO2, symmetric": "[N+](=O)[O-]"}),
    Pool(1100, 1500, True, {"SO2, asymmetric": "S(=O)=O"}),
    Pool(900, 1300, True, {"SO2, symmetric": "S(=O)=O"}),
    Pool(850, 1300, True, {"S=O": "[SX3]=O"}),
    Pool(1000, 1450, True, {"P=O": "P=O"}),
    Pool(950, 1500, True, {"C-F": "[#6]-F"}),
    Pool(1050, 1450, True, {"C-O, ester or acid": "[CX3](=O)-[OX2]"}),
)
REGIONS = {"below 900": 900.0, "900 to 1300": 1300.0, "1300 to 1800": 1800.0, "above 1800": np.inf}  # upper end, cm-1
KINDS = tuple(kind for pool in POOLS for kind in pool.bonds) + tuple(REGIONS)


@lru_cache
def _bonds(smarts: str) -> Chem.Mol:
    return Chem.MolFromSmarts(smarts)


def mode_kinds(mol: Chem.Mol, cm1: Float[np.ndarray, " line"], km_mol: Float[np.ndarray, " line"]) -> list[str]:
    """Kind (of `KINDS`) of each line of a molecule with explicit hydrogens; wavenumbers unscaled, in any order."""
    kinds = [next(name for name, end in REGIONS.items() if value < end) for value in cm1]
    free = np.ones(len(cm1), dtype=bool)
    for pool in POOLS:
        stretches = [
            kind for kind, smarts in pool.bonds.items() for _ in mol.GetSubstructMatches(_bonds(smarts), maxMatches=500)
        ]
        inside = np.flatnonzero(free & (cm1 >= pool.low) & (cm1 < pool.high))
        order = np.argsort(-(km_mol if pool.strongest else cm1)[inside], kind="stable")
        chosen = inside[order][: len(stretches)]
        for line, kind in zip(chosen[np.argsort(-cm1[chosen], kind="stable")], stretches, strict=False):
            kinds[line], free[line] = kind, False
    return kinds

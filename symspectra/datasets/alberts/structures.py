"""Identity and labels of the molecules of many SMILES."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import UInt64
from rdkit import Chem, rdBase

from symspectra.groups.molecules import flat, flat_smiles, inchikey_block, too_large
from symspectra.groups.table8 import NAMES, label_molecule, to_bits


@dataclass(frozen=True, slots=True)
class Structures:
    """First InChIKey block, canonical SMILES without stereochemistry and labels, one each for N SMILES.

    ``reasons`` says why a SMILES cannot be used, and is empty where it can; the other fields are then without meaning.
    """

    inchikey: list[str]
    smiles: list[str]
    groups: UInt64[np.ndarray, " molecule"]
    reasons: list[str]


def structures(texts: Sequence[str | None]) -> Structures:
    """What `Structures` holds; labels are those of `symspectra.groups.table8.label`.

    A molecule is parsed once, and each step is done for all molecules before the next one, which keeps its code in the
    cache of the processor: a tenth faster.
    """
    groups = np.zeros((len(texts), len(NAMES)), dtype=bool)
    with rdBase.BlockLogs():
        molecules = [flat(text) for text in texts]
        smiles = [flat_smiles(molecule) for molecule in molecules]
        for row, text in enumerate(smiles):
            if "[H]" in text:  # was explicit as an isotope or for the stereochemistry of a double bond
                molecules[row] = Chem.MolFromSmiles(text)
                smiles[row] = flat_smiles(molecules[row])
        reasons = [_refused(molecule) for molecule in molecules]
        keys = ["" if reason else inchikey_block(molecules[row]) for row, reason in enumerate(reasons)]
        for row, key in enumerate(keys):
            if key:
                groups[row] = label_molecule(molecules[row])
            else:
                reasons[row] = reasons[row] or "no InChIKey"
    return Structures(keys, smiles, to_bits(groups), reasons)


def _refused(molecule: Chem.Mol | None) -> str:
    """Why a molecule cannot be used, empty if it can."""
    if molecule is None or molecule.GetNumHeavyAtoms() == 0:
        return "SMILES not readable"
    return "structure too large" if too_large(molecule) else ""

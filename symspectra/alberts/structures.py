"""Identity and labels of the molecules of many SMILES."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import UInt64
from rdkit import Chem, rdBase

from symspectra.functional_groups import NAMES, label_molecule, to_bits
from symspectra.measured.structures import MOST_ATOMS


@dataclass(frozen=True, slots=True)
class Structures:
    """First InChIKey block, canonical SMILES without stereochemistry and labels, one each of N SMILES.

    ``reasons`` says why a SMILES cannot be used, and is empty where it can; the other fields are then without meaning.
    """

    inchikey: list[str]
    smiles: list[str]
    groups: UInt64[np.ndarray, " molecule"]
    reasons: list[str]


def structures(texts: Sequence[str | None]) -> Structures:
    """What `Structures` holds; labels are those of `symspectra.functional_groups.label`.

    A molecule is parsed once, which is a third faster than `label` beside a canonical SMILES and an InChIKey.
    """
    groups = np.zeros((len(texts), len(NAMES)), dtype=bool)
    keys, smiles, reasons = [], [], []
    with rdBase.BlockLogs():
        for row, text in enumerate(texts):
            molecule, canonical = flat(text)
            reason = refused(molecule)
            key = "" if reason else inchikey_block(molecule)
            if not reason and not key:
                reason = "no InChIKey"
            if not reason:
                groups[row] = label_molecule(molecule)
            keys.append(key)
            smiles.append(canonical)
            reasons.append(reason)
    return Structures(keys, smiles, to_bits(groups), reasons)


def flat(text: str | None) -> tuple[Chem.Mol | None, str]:
    """Molecule without stereochemistry and its canonical SMILES; None and nothing where it cannot be parsed."""
    if text is None or len(text.split()) != 1:  # RDKit takes what follows a blank as a name
        return None, ""
    molecule = Chem.MolFromSmiles(text)
    if molecule is None:
        return None, ""
    Chem.RemoveStereochemistry(molecule)
    canonical = Chem.MolToSmiles(molecule, isomericSmiles=False)
    if "[H]" in canonical:  # was explicit as an isotope or for the stereochemistry of a double bond
        molecule = Chem.MolFromSmiles(canonical)
        canonical = "" if molecule is None else Chem.MolToSmiles(molecule)
    return molecule, canonical


def refused(molecule: Chem.Mol | None) -> str:
    """Why a molecule cannot be used, empty if it can."""
    if molecule is None or molecule.GetNumHeavyAtoms() == 0:
        return "SMILES not readable"
    return "structure too large" if molecule.GetNumHeavyAtoms() > MOST_ATOMS else ""


def inchikey_block(molecule: Chem.Mol) -> str:
    """First block of the InChIKey, which says nothing of stereochemistry; empty where there is none."""
    return Chem.MolToInchiKey(molecule, "-SNon")[:14]

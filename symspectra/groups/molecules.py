"""Molecules from SMILES, for labels, scaffolds and data sets: how they are read, named, and refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rdkit import Chem, rdBase

MOST_ATOMS = 500  # heavy atoms of a molecule that is used

_AS_WRITTEN = Chem.SmilesParserParams()
_AS_WRITTEN.sanitize = _AS_WRITTEN.removeHs = False


def parse(smiles: Any, where: str = "") -> Chem.Mol:
    """The molecule of a SMILES, silently; a ValueError begins with ``where`` and has the SMILES."""
    with rdBase.BlockLogs():
        molecule = parsed(smiles)
    if molecule is None:
        raise ValueError(f"{where}{smiles!r} is not a SMILES that RDKit can parse")
    return molecule


def parsed(text: Any, reader: Callable[[str], Chem.Mol | None] = Chem.MolFromSmiles) -> Chem.Mol | None:
    """The molecule of a SMILES, or of what ``reader`` reads; None where that cannot be."""
    if not isinstance(text, str) or (reader is not Chem.MolFromMolBlock and len(text.split()) != 1):
        return None  # RDKit takes what follows a blank as a name
    try:
        return reader(text)
    except (RuntimeError, ValueError):
        return None


def flat(text: str | None) -> Chem.Mol | None:
    """The molecule of a SMILES without stereochemistry; None where it cannot be parsed."""
    molecule = parsed(text, _without_stereochemistry)
    if molecule is not None:
        Chem.RemoveStereochemistry(molecule)
    return molecule


def _without_stereochemistry(text: str) -> Chem.Mol | None:
    """As `Chem.MolFromSmiles`, but without perceiving the stereochemistry, which takes a fifth of its time."""
    molecule = Chem.MolFromSmiles(text, _AS_WRITTEN)
    if molecule is None or molecule.GetNumAtoms() > molecule.GetNumHeavyAtoms():  # explicit hydrogen or dummy
        return Chem.MolFromSmiles(text)
    return None if Chem.SanitizeMol(molecule, catchErrors=True) else molecule


def flat_smiles(molecule: Chem.Mol | None) -> str:
    """Canonical SMILES without stereochemistry and isotopes; empty where there is no molecule."""
    return "" if molecule is None else Chem.MolToSmiles(molecule, isomericSmiles=False)


def too_large(molecule: Chem.Mol) -> bool:
    """Whether a molecule has more than `MOST_ATOMS` heavy atoms."""
    return molecule.GetNumHeavyAtoms() > MOST_ATOMS


def inchikey_block(molecule: Chem.Mol) -> str:
    """First block of the InChIKey, which says nothing of stereochemistry; empty where there is none."""
    try:
        return Chem.MolToInchiKey(molecule, "-SNon -AuxNone")[:14]
    except ValueError:  # a molecule that RDKit can read and cannot kekulise again
        return ""

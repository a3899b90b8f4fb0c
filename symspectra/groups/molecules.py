"""Molecules from SMILES, for labels, scaffolds and data sets: how they are read, named, and refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rdkit import Chem, rdBase

MOST_ATOMS = 500  # heavy atoms of a molecule that is used


class Reject(ValueError):
    """Why a structure, or a spectrum with it, is left out of a data set."""


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


def structure(text: Any, reader: Callable[[str], Chem.Mol | None] = Chem.MolFromSmiles) -> tuple[Chem.Mol, str, str]:
    """The molecule of a SMILES without stereochemistry and isotopes, its InChIKey block and canonical SMILES.

    ``reader`` reads other formats than SMILES. `Reject` is raised where the structure cannot be used.
    """
    molecule = parsed(text, reader)
    if molecule is not None:
        Chem.RemoveStereochemistry(molecule)
        molecule = Chem.MolFromSmiles(flat_smiles(molecule))  # once more: isotopes of hydrogen were explicit atoms
    if molecule is None or molecule.GetNumHeavyAtoms() == 0:
        raise Reject("structure not readable")
    if molecule.GetNumHeavyAtoms() > MOST_ATOMS:
        raise Reject("structure too large")
    if not (key := inchikey_block(molecule)):
        raise Reject("no InChIKey")
    return molecule, key, flat_smiles(molecule)


def flat_smiles(molecule: Chem.Mol) -> str:
    """Canonical SMILES without stereochemistry and isotopes."""
    return Chem.MolToSmiles(molecule, isomericSmiles=False)


def inchikey_block(molecule: Chem.Mol) -> str:
    """First block of the InChIKey, which says nothing of stereochemistry; empty where there is none."""
    try:
        return Chem.MolToInchiKey(molecule, "-SNon -AuxNone")[:14]
    except ValueError:  # a molecule that RDKit can read and cannot kekulise again
        return ""

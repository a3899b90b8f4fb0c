"""Structures as the table has them: canonical SMILES without stereochemistry, first block of the InChIKey."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from rdkit import Chem

from symspectra.datasets.measured.records import Reject

MOST_ATOMS = 500  # heavy atoms


def structure_of(molecule: Any) -> tuple[str, str]:
    """InChIKey block and SMILES of an RDKit molecule, which loses its stereochemistry. None is not readable.

    Raises
    ------
    Reject : nothing is there, several components, too large, or no InChIKey.
    """
    if molecule is None or molecule.GetNumHeavyAtoms() == 0:
        raise Reject("structure not readable")
    if molecule.GetNumHeavyAtoms() > MOST_ATOMS:
        raise Reject("structure too large")
    Chem.RemoveStereochemistry(molecule)
    text = Chem.MolToSmiles(molecule, isomericSmiles=False)
    if "." in text:
        raise Reject("several components")
    flat = Chem.MolFromSmiles(text)
    if flat is None:
        raise Reject("structure not readable")
    key = Chem.MolToInchiKey(flat).split("-")[0]
    if not key:
        raise Reject("no InChIKey")
    return key, Chem.MolToSmiles(flat, isomericSmiles=False)


@lru_cache(maxsize=1000)
def from_smiles(text: str) -> tuple[str, str]:
    """InChIKey block and SMILES of a SMILES. Raises like `structure_of`."""
    if len(text.split()) != 1:  # RDKit takes what follows a blank as a name
        raise Reject("structure not readable")
    return structure_of(_read(Chem.MolFromSmiles, text))


@lru_cache(maxsize=1000)
def from_inchi(text: str) -> tuple[str, str]:
    """InChIKey block and SMILES of an InChI. Raises like `structure_of`."""
    return structure_of(_read(Chem.MolFromInchi, text))


def from_molblock(text: str) -> tuple[str, str]:
    """InChIKey block and SMILES of a molblock. Raises like `structure_of`."""
    return structure_of(_read(Chem.MolFromMolBlock, text))


def _read(reader: Any, text: str) -> Any:
    """None where RDKit refuses."""
    try:
        return reader(text)
    except (RuntimeError, ValueError):
        return None

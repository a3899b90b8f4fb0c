"""Structures as the table has them: canonical SMILES without stereochemistry, first block of the InChIKey."""

from __future__ import annotations

from functools import lru_cache

from rdkit import Chem

from symspectra.datasets.measured.records import Reject
from symspectra.groups.molecules import flat_smiles, inchikey_block, parsed, too_large


def structure_of(molecule: Chem.Mol | None) -> tuple[str, str]:
    """InChIKey block and SMILES of an RDKit molecule, which loses its stereochemistry. None is not readable.

    Raises
    ------
    Reject : nothing is there, several components, too large, or no InChIKey.
    """
    if molecule is None or molecule.GetNumHeavyAtoms() == 0:
        raise Reject("structure not readable")
    if too_large(molecule):
        raise Reject("structure too large")
    Chem.RemoveStereochemistry(molecule)
    text = flat_smiles(molecule)
    if "." in text:
        raise Reject("several components")
    flat = Chem.MolFromSmiles(text)
    if flat is None:
        raise Reject("structure not readable")
    key = inchikey_block(flat)
    if not key:
        raise Reject("no InChIKey")
    return key, flat_smiles(flat)


@lru_cache(maxsize=1000)
def from_smiles(text: str) -> tuple[str, str]:
    """InChIKey block and SMILES of a SMILES. Raises like `structure_of`."""
    return structure_of(parsed(text))


@lru_cache(maxsize=1000)
def from_inchi(text: str) -> tuple[str, str]:
    """InChIKey block and SMILES of an InChI. Raises like `structure_of`."""
    return structure_of(parsed(text, Chem.MolFromInchi))


def from_molblock(text: str) -> tuple[str, str]:
    """InChIKey block and SMILES of a molblock. Raises like `structure_of`."""
    return structure_of(parsed(text, Chem.MolFromMolBlock))

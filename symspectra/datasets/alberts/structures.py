"""Identity and labels of the molecule of a SMILES."""

from __future__ import annotations

from typing import NamedTuple

from rdkit import Chem

from symspectra.groups.molecules import flat, flat_smiles, inchikey_block, too_large
from symspectra.groups.table8 import NAMES, label_molecule


class Structure(NamedTuple):
    """First InChIKey block, canonical SMILES without stereochemistry, labels; or the reason why it cannot be used."""

    inchikey: str = ""
    smiles: str = ""
    groups: tuple[bool, ...] = (False,) * len(NAMES)
    reason: str = ""


def structure(text: str | None) -> Structure:
    """The structure of a SMILES; labels are those of `symspectra.groups.table8.label`."""
    molecule = flat(text)
    smiles = flat_smiles(molecule)
    if "[H]" in smiles:  # was explicit as an isotope or for the stereochemistry of a double bond
        molecule = Chem.MolFromSmiles(smiles)
        smiles = flat_smiles(molecule)
    if molecule is None or molecule.GetNumHeavyAtoms() == 0:
        return Structure(reason="SMILES not readable")
    if too_large(molecule):
        return Structure(reason="structure too large")
    if not (key := inchikey_block(molecule)):
        return Structure(reason="no InChIKey")
    return Structure(key, smiles, tuple(label_molecule(molecule)))

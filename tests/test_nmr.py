"""Line lists of molecules whose NMR spectra every textbook shows."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from rdkit import Chem
from rdkit.Chem import rdDistGeom

from symspectra.simulation.nmr import karplus, labile_shift, nmr_lines


def embedded(smiles: str) -> tuple[Chem.Mol, np.ndarray]:
    mol = Chem.AddHs(Chem.MolFromSmiles(smiles))
    assert rdDistGeom.EmbedMolecule(mol, randomSeed=7) == 0
    return mol, mol.GetConformer().GetPositions()


def lines(smiles: str, shifts=0.0):
    mol, xyz = embedded(smiles)
    return SimpleNamespace(**nmr_lines(mol, xyz, np.full(mol.GetNumAtoms(), shifts)))


def hydrogens(smiles: str) -> list[tuple[int, str]]:
    """Count and couplings of the hydrogens that do not exchange, in a fixed order."""
    result = lines(smiles)
    rows = zip(result.h1_count, result.h1_couplings, result.h1_spread, strict=True)
    return sorted((count, couplings) for count, couplings, spread in rows if spread == 0)


def test_ethanol_is_a_triplet_a_quartet_and_a_labile_hydrogen():
    result = lines("CCO", np.array([18.04, 58.21, np.nan, 1.101, 1.202, 1.303, 3.5, 3.7, 0.3]))
    assert result.h1_ppm == [3.6, 2.5, 1.2]
    assert result.h1_count == [2, 1, 3]
    assert result.h1_couplings == ["7.0*3", "", "7.0*2"]
    assert result.h1_spread == [0.0, 1.5, 0.0]
    assert (result.c13_ppm, result.c13_count, result.c13_hydrogens) == ([58.2, 18.0], [1, 1], [2, 3])


@pytest.mark.parametrize(
    ("smiles", "counts", "attached"),
    [
        ("c1ccccc1", [6], [1]),
        ("Cc1ccccc1", [1, 1, 1, 2, 2], [0, 1, 3, 1, 1]),
        ("CC(C)(C)O", [1, 3], [0, 3]),
        ("CC(=O)O", [1, 1], [0, 3]),
        ("ClC(Cl)(Cl)Cl", [1], [0]),
        ("CC(C)=CC(=O)O", [1, 1, 1, 1, 1], [0, 0, 1, 3, 3]),
    ],
)
def test_equivalent_carbons(smiles, counts, attached):
    result = lines(smiles)
    assert sorted(zip(result.c13_count, result.c13_hydrogens, strict=True)) == sorted(
        zip(counts, attached, strict=True)
    )


@pytest.mark.parametrize(
    ("smiles", "expected"),
    [
        ("c1ccccc1", [(6, "")]),
        ("CC(C)(C)O", [(9, "")]),
        ("CC(=O)O", [(3, "")]),
        ("CC(C)O", [(1, "7.0*6"), (6, "7.0*1")]),
        ("CC=O", [(1, "2.5*3"), (3, "2.5*1")]),
        ("C=COC(C)=O", [(1, "10.5*1 1.5*1"), (1, "16.5*1 1.5*1"), (1, "16.5*1 10.5*1"), (3, "")]),
        ("Cc1ccccc1", [(1, "7.8*2 1.5*2"), (2, "7.8*1 1.5*1"), (2, "7.8*1 7.8*1"), (3, "")]),
        ("Clc1ccc(Br)cc1", [(2, "7.8*1"), (2, "7.8*1")]),
        ("c1ccncc1", [(1, "7.8*2 1.5*2"), (2, "5.0*1 1.5*1"), (2, "7.8*1 5.0*1")]),
        ("C#CCO", [(1, "2.6*2"), (2, "2.6*1")]),
        ("Cl/C=C/Br", [(1, "16.5*1"), (1, "16.5*1")]),
        ("Cl/C=C\\Br", [(1, "10.5*1"), (1, "10.5*1")]),
        ("C1CCCCC1", [(12, "")]),
        ("ClC(Cl)(Cl)Cl", []),
    ],
)
def test_couplings(smiles, expected):
    assert hydrogens(smiles) == expected


def test_cis_hydrogen_of_vinyl_acetate_has_the_smaller_coupling():
    mol, xyz = embedded("C=COC(C)=O")
    distance = {h: np.linalg.norm(xyz[h] - xyz[2]) for h in (6, 7)}  # to the oxygen on the other carbon
    cis_to_oxygen, trans_to_oxygen = sorted(distance, key=distance.get)
    shifts = np.zeros(mol.GetNumAtoms())
    shifts[cis_to_oxygen], shifts[trans_to_oxygen] = 4.88, 4.56
    result = nmr_lines(mol, xyz, shifts)
    found = dict(zip(result["h1_ppm"], result["h1_couplings"], strict=True))
    assert found[4.88] == "16.5*1 1.5*1"
    assert found[4.56] == "10.5*1 1.5*1"


def test_ring_coupling_follows_the_conformer():
    assert karplus(180.0) == pytest.approx(9.22)
    assert karplus(0.0) == pytest.approx(8.22)
    assert karplus(90.0) == 0.0
    result = lines("O=C1CCCCC1")
    values = [float(term.split("*")[0]) for couplings in result.h1_couplings for term in couplings.split()]
    assert values and all(3.0 < value < 6.5 for value in values)  # mean of one anti and three gauche couplings


@pytest.mark.parametrize(
    ("smiles", "centre"),
    [
        ("CC(=O)O", 11.5),
        ("CS(=O)(=O)O", 11.5),
        ("Oc1ccccc1", 8.0),
        ("CCO", 2.5),
        ("CC(C)=NO", 9.5),
        ("CNC(C)=O", 8.0),
        ("c1cc[nH]c1", 8.0),
        ("CN", 1.8),
        ("Nc1ccccc1", 4.0),
        ("CS(N)(=O)=O", 6.0),
        ("CCS", 1.6),
        ("Sc1ccccc1", 3.4),
    ],
)
def test_labile_hydrogens_by_neighbourhood(smiles, centre):
    mol = Chem.AddHs(Chem.MolFromSmiles(smiles))
    found = {labile_shift(atom) for atom in mol.GetAtoms() if atom.GetAtomicNum() == 1} - {None}
    assert [shift for shift, _ in found] == [centre]
    assert all(spread > 0 for _, spread in found)


def test_atom_order_does_not_matter():
    mol, xyz = embedded("C=COC(=O)C1CCCC(C)C1")
    rng = np.random.default_rng(0)
    shifts = rng.uniform(0, 200, mol.GetNumAtoms())
    order = rng.permutation(mol.GetNumAtoms())
    shuffled = Chem.RenumberAtoms(mol, order.tolist())
    assert nmr_lines(shuffled, xyz[order], shifts[order]) == nmr_lines(mol, xyz, shifts)

"""Shift network: invariances, bad input, and textbook shifts from the shipped weights."""

from __future__ import annotations

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
import train_shifts
from rdkit import Chem
from rdkit.Chem import rdDistGeom, rdForceFieldHelpers
from safetensors import safe_open
from safetensors.torch import load_file

from symspectra.errors import DataError
from symspectra.simulation import flux, shifts
from symspectra.simulation.shifts import (
    HEAVY_HALOGEN_INCREMENT,
    WEIGHTS,
    ShiftNetwork,
    batch_graphs,
    molecular_graph,
    molecule_with_geometry,
    predict_shifts,
)


def embedded(smiles: str) -> Chem.Mol:
    mol = Chem.AddHs(Chem.MolFromSmiles(smiles))
    assert rdDistGeom.EmbedMolecule(mol, randomSeed=7) == 0
    rdForceFieldHelpers.MMFFOptimizeMolecule(mol)
    return mol


@pytest.fixture(scope="module")
def untrained() -> ShiftNetwork:
    torch.manual_seed(0)
    return ShiftNetwork(width=32, channels=16, layers=3).eval().requires_grad_(False)


def moved(mol: Chem.Mol, xyz: np.ndarray) -> Chem.Mol:
    copy = Chem.Mol(mol)
    copy.GetConformer().SetPositions(xyz)
    return copy


def test_one_value_an_atom_and_nan_only_off_carbon_and_hydrogen(untrained):
    mols = [embedded("CCO"), embedded("FC(Cl)Br"), embedded("CP(=O)(C)C")]
    for mol, ppm in zip(mols, predict_shifts(mols, untrained), strict=True):
        z = np.array([atom.GetAtomicNum() for atom in mol.GetAtoms()])
        np.testing.assert_array_equal(np.isfinite(ppm), (z == 1) | (z == 6))
    assert predict_shifts([], untrained) == []


def test_atom_order_rotation_and_reflection_do_not_matter(untrained):
    mol = embedded("C[C@H](O)c1ccc(Br)nc1")
    ppm = predict_shifts([mol], untrained)[0]
    order = np.random.default_rng(1).permutation(mol.GetNumAtoms())
    shuffled = predict_shifts([Chem.RenumberAtoms(mol, order.tolist())], untrained)[0]
    np.testing.assert_allclose(shuffled, ppm[order], atol=1e-4)
    xyz = mol.GetConformer().GetPositions()
    rotation = np.linalg.qr(np.random.default_rng(2).normal(size=(3, 3)))[0]
    for other in (xyz @ rotation + 5.0, xyz * [1, 1, -1]):
        np.testing.assert_allclose(predict_shifts([moved(mol, other)], untrained)[0], ppm, atol=1e-3)


def test_geometry_matters_and_is_continuous_at_the_cutoff(untrained):
    monomer = embedded("C").GetConformer().GetPositions()  # C, 4 H
    reach = monomer[:, 0].max() - monomer[:, 0].min()

    def pair(gap: float) -> np.ndarray:
        other = monomer + [reach + gap, 0, 0]
        xyz = np.concatenate([monomer[:1], other[:1], monomer[1:], other[1:]])  # the order of AddHs: C, C, 4 H, 4 H
        return predict_shifts([molecule_with_geometry("C.C", xyz)], untrained)[0]

    # At these gaps only the outermost atoms of the two molecules come within 4 Angstrom of each other.
    assert np.nanmax(np.abs(pair(3.999) - pair(4.001))) < 1e-3 < np.nanmax(np.abs(pair(2.5) - pair(4.001)))


@pytest.mark.parametrize("halogen", ["Br", "I"])
def test_heavy_halogens_read_as_chlorine_with_an_increment(untrained, halogen):
    length = {"Cl": 1.78, "Br": 1.78 + 0.18, "I": 1.78 + 0.37}
    mol = embedded("CCl")
    xyz = mol.GetConformer().GetPositions()
    direction = (xyz[1] - xyz[0]) / np.linalg.norm(xyz[1] - xyz[0])
    predicted = {}
    for symbol in ("Cl", halogen):
        xyz[1] = xyz[0] + direction * length[symbol]
        predicted[symbol] = predict_shifts([molecule_with_geometry(f"C{symbol}", xyz)], untrained)[0]
    increment = HEAVY_HALOGEN_INCREMENT[{"Br": 35, "I": 53}[halogen]]
    assert predicted[halogen][0] - predicted["Cl"][0] == pytest.approx(increment, abs=1e-3)
    assert np.isfinite(predicted[halogen][2:]).all()


def test_bad_molecules_are_refused(untrained):
    with pytest.raises(ValueError, match="no shifts for element Si"):
        predict_shifts([embedded("C[Si](C)(C)C")], untrained)
    mol = embedded("CCO")
    xyz = mol.GetConformer().GetPositions()
    for wrong in (50.0, np.nan):
        xyz[0, 0] = wrong
        with pytest.raises(ValueError, match="more than 4.0 Angstrom apart"):
            predict_shifts([moved(mol, xyz)], untrained)
    with pytest.raises(ValueError, match=r"expected \(9, 3\)"):
        molecule_with_geometry("CCO", xyz[:3])


def test_shipped_weights_state_their_errors():
    with safe_open(WEIGHTS, framework="pt") as file:
        errors = json.loads(file.metadata()["shift_network"])["errors"]["test"]
    assert WEIGHTS.stat().st_size < 3_000_000
    assert errors["c13_mae_ppm"] <= 1.8
    assert errors["h1_mae_ppm"] <= 0.20


@pytest.mark.parametrize(
    ("smiles", "atom", "c13", "h1"),  # ppm and tolerance
    [
        ("c1ccccc1", 0, (128.4, 6), (7.36, 0.5)),
        ("CC(C)=O", 1, (206, 10), None),
        ("CC(C)=O", 0, (30.6, 5), (2.17, 0.5)),
        ("CCO", 0, (18.2, 5), (1.22, 0.4)),
        ("CCO", 1, (57.8, 6), (3.72, 0.5)),
        ("CC(=O)OCC", 1, (170.7, 8), None),
        ("CC#N", 1, (117, 8), None),
        ("Cc1ccccc1", 0, (21.4, 5), None),
        ("C1CCCCC1", 0, (27.1, 5), (1.43, 0.4)),
        ("COc1ccccc1", 2, (159.7, 7), None),
        ("CCBr", 1, (27.9, 9), None),
        ("Ic1ccccc1", 1, (94.5, 14), None),
        ("CC=O", 1, None, (9.79, 0.7)),
        ("COC(C)=O", 0, None, (3.67, 0.5)),
        ("c1ccoc1", 2, None, (7.42, 0.6)),
    ],
)
def test_textbook_shifts(smiles, atom, c13, h1):
    mol = embedded(smiles)
    ppm = predict_shifts([mol])[0]
    attached = [n.GetIdx() for n in mol.GetAtomWithIdx(atom).GetNeighbors() if n.GetAtomicNum() == 1]
    for expected, indices in ((c13, [atom]), (h1, attached)):
        if expected is not None:
            assert ppm[indices].mean() == pytest.approx(expected[0], abs=expected[1])


def write_shift_table(path, smiles_list):
    rows = {"molblock": [], "atom_index": [], "shift_ppm": []}
    for smiles in smiles_list:
        mol = embedded(smiles)
        chosen = [atom for atom in mol.GetAtoms() if atom.GetAtomicNum() in (1, 6)]
        rows["molblock"].append(Chem.MolToMolBlock(mol))
        rows["atom_index"].append([atom.GetIdx() for atom in chosen])
        rows["shift_ppm"].append([20.0 * atom.GetDegree() + 0.1 * atom.GetIdx() for atom in chosen])
    pq.write_table(pa.table(rows), path)


def test_training_repeats(tmp_path, monkeypatch, capsys):
    chains = ["C" * n + end for n in range(1, 8) for end in ("O", "N", "C#N", "Cl")]
    keys = {smiles: Chem.MolToInchiKey(Chem.MolFromSmiles(smiles)) for smiles in chains}
    # The published data hold no reserved molecule either.
    write_shift_table(
        tmp_path / "shifts.parquet", [s for s, k in keys.items() if train_shifts.split_of(k) != "reserved"]
    )
    monkeypatch.setattr(train_shifts, "ShiftNetwork", lambda: ShiftNetwork(width=16, channels=8, layers=1))
    for name in ("one", "two"):
        errors = train_shifts.train(tmp_path / "shifts.parquet", tmp_path / name, epochs=2)
        assert errors["c13_mae_ppm"] < 100
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
    assert len(load_file(tmp_path / "one")) == len(ShiftNetwork(layers=1).state_dict())
    assert "epoch 2/2" in capsys.readouterr().out


def test_a_shift_that_is_missing_is_named(tmp_path):
    write_shift_table(tmp_path / "gap.parquet", ["CCO"])
    table = pq.read_table(tmp_path / "gap.parquet").to_pydict()
    table["shift_ppm"][0][0] = float("nan")
    pq.write_table(pa.table(table), tmp_path / "gap.parquet")
    with pytest.raises(ValueError, match="row 0: expected one finite shift"):
        train_shifts.read_examples(tmp_path / "gap.parquet")


def test_errors_are_means_over_atoms(untrained):
    graph = molecular_graph(embedded("CC"))
    offset = torch.tensor([1.0, 1.0, 0.5, -0.5, 0.5, -0.5, 0.5, -0.5])
    example = train_shifts.Example(graph, untrained(batch_graphs([graph])) + offset)
    errors = train_shifts.mean_absolute_errors(untrained, [example])
    assert errors["c13_mae_ppm"] == pytest.approx(1.0, abs=1e-3) and errors["h1_number"] == 6
    assert errors["h1_mae_ppm"] == pytest.approx(0.5, abs=1e-3)


def test_damaged_parameters_of_the_simulation_are_named(tmp_path, monkeypatch):
    for module, name, load in (
        (shifts, "WEIGHTS", shifts.load_shift_network),
        (flux, "PARAMETERS", flux.load_parameters),
    ):
        cut = tmp_path / getattr(module, name).name
        cut.write_bytes(getattr(module, name).read_bytes()[:5000])
        monkeypatch.setattr(module, name, cut)
        with pytest.raises(DataError, match=f"{cut.name}: cannot be read"):
            load.__wrapped__()


def test_a_flipped_bit_of_the_weights_is_noticed(tmp_path, monkeypatch):
    content = bytearray(shifts.WEIGHTS.read_bytes())
    content[len(content) // 2] ^= 1
    monkeypatch.setattr(shifts, "WEIGHTS", tmp_path / "flipped.safetensors")
    shifts.WEIGHTS.write_bytes(content)
    with pytest.raises(DataError, match="flipped.safetensors: cannot be read .its sha256 is not"):
        shifts.load_shift_network.__wrapped__()

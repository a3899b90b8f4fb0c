"""Force-field modes, the dipole of charges and charge flux, and the fit of its parameters."""

from __future__ import annotations

import json

import fit_flux
import numpy as np
import pytest
from fit_flux import Example
from rdkit import Chem
from rdkit.Chem import AllChem
from scipy.spatial.transform import Rotation

from symspectra.simulation import flux, force_field
from symspectra.simulation.quantum import BOHR, SimulationError
from symspectra.simulation.shifts import molecule_with_geometry


@pytest.fixture(scope="module")
def amide():
    return force_field.minimum("CC(=O)Nc1ccc(C#N)cc1")[0]


def made_up(mol):
    """Some value for every parameter of a molecule."""
    names = set(flux.dipole_terms(mol, mol.GetConformer().GetPositions()).names)
    return {name: np.sin(k) for k, name in enumerate(sorted(names))}


def test_modes_of_a_ketone():
    record = force_field.simulate("CC(C)=O")
    assert len(record.freq_cm1) == 3 * 10 - 6 and record.freq_cm1[0] > 0
    carbonyl = np.argmax(record.inten_km_mol)
    assert 1650 < record.freq_cm1[carbonyl] < 1850  # as measured: the strongest band
    assert 90 < record.inten_km_mol[carbonyl] < 400


def test_hessian_is_that_of_the_energy(amide):
    """Second differences of the energy alone: a gradient of an old geometry would not agree."""
    properties = AllChem.MMFFGetMoleculeProperties(amide)
    field = AllChem.MMFFGetMoleculeForceField(amide, properties)
    positions = amide.GetConformer().GetPositions()
    hessian = force_field._hessian(field, positions) * force_field.HARTREE / BOHR**2
    rng, step = np.random.default_rng(0), 1e-3
    for _ in range(5):
        way = rng.normal(size=positions.size)
        way /= np.linalg.norm(way)
        energy = [field.CalcEnergy((positions.ravel() + k * step * way).tolist()) for k in (-1, 0, 1)]
        assert (energy[0] - 2 * energy[1] + energy[2]) / step**2 == pytest.approx(way @ hessian @ way, rel=1e-3)


def test_a_saddle_point_is_left():
    assert force_field.minimum("CC=CC=C")[1][0] > -50


@pytest.mark.parametrize(
    ("smiles", "reason"),
    [
        ("C(C", "not a SMILES"),
        ("CC[NH3+]", "charged"),
        ("[Na]", "open-shell"),
        ("C[CH2]", "open-shell"),
        ("CC.CC", "one fragment"),
        ("CB(C)C", "no MMFF94"),
        ("CC[Sn](C)(C)C", "no MMFF94"),
    ],
)
def test_unfit_molecules_are_refused_with_the_reason(smiles, reason):
    with pytest.raises(SimulationError, match=reason):
        force_field.simulate(smiles)


def test_a_bond_that_the_fit_has_not_seen_is_named(amide):
    known = {name: 0.1 for name in made_up(amide) if name != "charge C3 O1"}
    with pytest.raises(SimulationError, match=r"bond C-O|bond O-C"):
        flux.dipole_derivatives(amide, amide.GetConformer().GetPositions(), known)


def test_dipole_derivatives_are_those_of_a_neutral_dipole(amide):
    """Their sum over the atoms is zero, and they turn with the molecule."""
    xyz, parameters = amide.GetConformer().GetPositions(), made_up(amide)
    slopes = flux.dipole_derivatives(amide, xyz, parameters).reshape(-1, 3, 3)
    np.testing.assert_allclose(slopes.sum(axis=0), 0, atol=1e-9)
    turn = Rotation.from_rotvec([0.3, -1.1, 0.7]).as_matrix()
    turned = flux.dipole_derivatives(amide, xyz @ turn.T + 2.0, parameters).reshape(-1, 3, 3)
    np.testing.assert_allclose(turned, turn @ slopes @ turn.T, atol=1e-9)


def test_dipole_derivatives_do_not_depend_on_the_order_of_the_atoms(amide):
    xyz, parameters = amide.GetConformer().GetPositions(), made_up(amide)
    slopes = flux.dipole_derivatives(amide, xyz, parameters).reshape(-1, 3, 3)
    order = np.random.default_rng(1).permutation(len(xyz))
    shuffled = Chem.RenumberAtoms(amide, order.tolist())
    Chem.GetSymmSSSR(shuffled)
    again = flux.dipole_derivatives(shuffled, xyz[order], parameters).reshape(-1, 3, 3)
    np.testing.assert_allclose(again, slopes[order], atol=1e-9)


def test_slopes_of_the_coordinates_are_their_differences(amide):
    xyz = amide.GetConformer().GetPositions()
    terms = flux.dipole_terms(amide, xyz)
    bond = np.array([(b.GetBeginAtomIdx(), b.GetEndAtomIdx()) for b in amide.GetBonds()])

    def lengths(positions):
        return np.linalg.norm(positions[bond[:, 1]] - positions[bond[:, 0]], axis=1)

    way = np.random.default_rng(2).normal(size=xyz.shape)
    numerical = (lengths(xyz + 1e-5 * way) - lengths(xyz - 1e-5 * way)) / 2e-5
    np.testing.assert_allclose(terms.slopes[: len(bond)] @ way.ravel(), numerical, atol=1e-7)
    rigid = [np.cross(axis, xyz) for axis in np.eye(3)] + [np.tile(axis, (len(xyz), 1)) for axis in np.eye(3)]
    internal = terms.slopes[: len(terms.slopes) - 3 * len(bond)]  # lengths, angles, heights above a plane
    for motion in rigid:
        np.testing.assert_allclose(internal @ motion.ravel(), 0, atol=1e-9)


def test_fit_finds_the_dipole_that_made_the_slopes(monkeypatch):
    monkeypatch.setattr(fit_flux, "RIDGE", 1e-5)
    monkeypatch.setattr(fit_flux, "FEWEST", 1)
    examples = []
    for smiles in ("CCCO", "CC(C)O", "CCOC", "CCC(C)O"):
        mol = force_field.minimum(smiles)[0]
        xyz = mol.GetConformer().GetPositions()
        names = flux.dipole_terms(mol, xyz).names
        truth = {name: len(name) % 5 / 10 - 0.2 for name in names if not name.split()[1].isdigit()}
        examples.append(Example(smiles, xyz, flux.dipole_derivatives(mol, xyz, truth)))
    found = fit_flux.fit(examples)
    for smiles, xyz, slopes in examples:
        mol = molecule_with_geometry(smiles, xyz)
        np.testing.assert_allclose(flux.dipole_derivatives(mol, xyz, found), slopes, atol=0.02)
    figures = fit_flux.evaluate(examples, found)
    assert figures["r2"] > 0.99 and figures["cosine_mean"] > 0.99 and figures["molecules"] == 4


def test_rare_types_are_chosen_and_the_test_split_is_held_out(monkeypatch):
    monkeypatch.setattr(fit_flux, "ENOUGH", 2)
    monkeypatch.setattr(fit_flux, "split_of", lambda key: "reserved" if key.startswith("A") else "train")
    alkanes = ["CCCC", "CCCCC", "CCCCCC", "CCCCCCC", "CCC(C)C"]
    chosen = fit_flux.choose(iter([*alkanes, "CC.O", "CCCS", "CCCS"]), molecules=5, held_out=0)
    kept = [s for s in alkanes if not Chem.MolToInchiKey(Chem.MolFromSmiles(s)).startswith("A")]
    assert chosen == [*kept[:2], "CCCS"]


def test_quantum_slopes_are_kept_and_not_computed_again(tmp_path, monkeypatch):
    pytest.importorskip("tblite", reason="the simulation is the extra `simulate`")
    fit_flux.compute(["CCCO", "C1#CC1"], tmp_path)  # the second has no conformer
    (example,) = fit_flux.read_examples(tmp_path)
    assert example.smiles == "CCCO"
    slopes = example.slopes.reshape(-1, 3, 3)
    np.testing.assert_allclose(slopes.sum(axis=0), 0, atol=0.1)  # a neutral molecule, forward differences
    monkeypatch.setattr(fit_flux, "quantum_slopes", lambda smiles: pytest.fail("computed again"))
    fit_flux.compute(["CCCO"], tmp_path)


def test_shipped_parameters_are_as_good_as_the_card_says():
    content = json.loads(flux.PARAMETERS.read_text(encoding="utf-8"))
    assert content["held_out"]["molecules"] >= 25
    assert content["held_out"]["r2"] > 0.85 and content["held_out"]["cosine_median"] > 0.95

"""Quantum chemistry of small molecules against closed forms and known properties."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("tblite", reason="the simulation is the extra `simulate`")

from symspectra.simulation import quantum  # noqa: E402


@pytest.fixture(scope="module")
def ethanol():
    return quantum.simulate("CCO")


def test_ethanol_is_a_minimum(ethanol):
    assert len(ethanol.freq_cm1) == 3 * 9 - 6
    assert ethanol.freq_cm1[0] > 0 and (np.diff(ethanol.freq_cm1) >= 0).all()
    assert (ethanol.wiberg_order > 0.8).all()
    assert 3400 < ethanol.freq_cm1[-1] < 3800  # O-H stretch


def _placed(record):
    molecule = quantum.force_field_geometry(record.smiles)
    for index, xyz in enumerate(record.xyz_angstrom):
        molecule.GetConformer().SetAtomPosition(index, xyz.tolist())
    return molecule


def test_linear_molecule_has_one_more_mode():
    assert len(quantum.simulate("C#C").freq_cm1) == 3 * 4 - 5


def test_normal_modes_of_a_diatomic():
    force, mass = 0.3, 12.0  # hartree/bohr2, dalton
    bond = np.zeros((6, 6))
    bond[np.ix_([2, 5], [2, 5])] = force * np.array([[1, -1], [-1, 1]])
    slope = np.zeros((6, 3))
    slope[2, 2], slope[5, 2] = 0.5, -0.5
    positions = np.array([[0.0, 0.0, 0.0], [0.0, 0.0, 2.0]])
    wavenumbers, intensities, modes = quantum.normal_modes(np.full(2, mass), positions, bond, slope)
    reduced = mass / 2 * quantum.ELECTRON_MASSES
    assert wavenumbers == pytest.approx([np.sqrt(force / reduced) * quantum.HARTREE_CM1])
    assert intensities == pytest.approx([quantum.KM_MOL * 0.25 / reduced])
    assert modes.shape == (1, 2, 3)


def test_the_point_stays_when_the_optimiser_starts_again(ethanol):
    again = quantum.simulate("CCO", start=_placed(ethanol))
    assert again.energy_hartree == pytest.approx(ethanol.energy_hartree, abs=1e-6)
    np.testing.assert_allclose(again.freq_cm1, ethanol.freq_cm1, atol=3.0)


def test_saddle_point_is_left():
    record = quantum.simulate("CN(C)c1ccccc1")  # the force field has a flat amine
    assert record.freq_cm1[0] > quantum.SADDLE_CM1


@pytest.mark.parametrize("smiles", ["C(C", "CC[NH3+]", "C[CH2]", "CC.CC", "[Na]"])
def test_unfit_molecules_are_refused(smiles):
    with pytest.raises(quantum.SimulationError):
        quantum.simulate(smiles)

"""Quantum chemistry of small molecules against closed forms and known properties, and the files of its records."""

from __future__ import annotations

import csv

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

pytest.importorskip("tblite", reason="the simulation is the extra `simulate`")

from symspectra.simulation import quantum, records  # noqa: E402


@pytest.fixture(scope="module")
def ethanol():
    return quantum.simulate("CCO")


def assert_bands_agree(record, reference):
    """Every band of the reference above 10 km/mol, in order, within 3 cm-1 and 10 % intensity."""
    assert len(record.freq_cm1) == len(reference.freq_cm1)
    strong = reference.inten_km_mol > 10.0
    np.testing.assert_allclose(record.freq_cm1[strong], reference.freq_cm1[strong], rtol=0, atol=3.0)
    np.testing.assert_allclose(record.inten_km_mol[strong], reference.inten_km_mol[strong], rtol=0.1)


def test_ethanol_is_a_minimum(ethanol):
    assert len(ethanol.freq_cm1) == 3 * 9 - 6
    assert ethanol.freq_cm1[0] > 0 and (np.diff(ethanol.freq_cm1) >= 0).all()
    assert (ethanol.wiberg_order > 0.8).all()
    assert 3400 < ethanol.freq_cm1[-1] < 3800  # O-H stretch


def test_linear_molecule_has_one_more_mode():
    assert len(quantum.simulate("C#C").freq_cm1) == 3 * 4 - 5


def test_normal_modes_of_a_diatomic():
    force, mass = 0.3, 12.0  # hartree/bohr2, dalton
    bond = np.zeros((6, 6))
    bond[np.ix_([2, 5], [2, 5])] = force * np.array([[1, -1], [-1, 1]])
    slope = np.zeros((6, 3))
    slope[2, 2], slope[5, 2] = 0.5, -0.5
    positions = np.array([[0.0, 0.0, 0.0], [0.0, 0.0, 2.0]])
    wavenumbers, modes = quantum.normal_modes(np.full(2, mass), positions, bond)
    reduced = mass / 2 * quantum.ELECTRON_MASSES
    assert wavenumbers == pytest.approx([np.sqrt(force / reduced) * quantum.HARTREE_CM1])
    assert quantum.intensities(modes, slope) == pytest.approx([quantum.KM_MOL * 0.25 / reduced])
    assert modes.shape == (1, 6)


def test_the_point_stays_when_the_optimiser_starts_again(ethanol):
    molecule = quantum.force_field_geometry("CCO")
    molecule.GetConformer().SetPositions(ethanol.xyz_angstrom)
    again = quantum.simulate("CCO", start=molecule)
    assert again.energy_hartree == pytest.approx(ethanol.energy_hartree, abs=1e-6)
    np.testing.assert_allclose(again.freq_cm1, ethanol.freq_cm1, atol=3.0)


def test_saddle_point_is_left():
    record = quantum.simulate("CN(C)c1ccccc1")  # the force field has a flat amine
    assert record.freq_cm1[0] > quantum.SADDLE_CM1


def test_records_are_read_as_they_were_written(tmp_path, ethanol):
    path = tmp_path / "part.parquet"
    records.write_records(path, [ethanol])
    (back,) = records.read_records(path)
    assert_bands_agree(back, ethanol)
    np.testing.assert_allclose(back.xyz_angstrom, ethanol.xyz_angstrom, atol=6e-5)
    pq.write_table(pa.table({"smiles": ["CCO"]}), path)
    with pytest.raises(ValueError, match="energy_hartree"):
        records.read_records(path)


def test_build_resumes(tmp_path):
    molecules = ["CCO", "C1#CC1", "C#C"]
    records.build_records(molecules, tmp_path, shard_size=2)
    written = {path.name: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    assert set(written) == {f"{k}-0000{i}.{e}" for k, e in (("part", "parquet"), ("failed", "csv")) for i in (0, 1)}
    found = [record.smiles for k in (0, 1) for record in records.read_records(tmp_path / f"part-0000{k}.parquet")]
    with open(tmp_path / "failed-00000.csv", newline="", encoding="utf-8") as file:
        found += [row["smiles"] for row in csv.DictReader(file)]
    assert sorted(found) == sorted(molecules)
    (tmp_path / "part-00001.parquet").unlink()  # as after an interruption
    (tmp_path / "part-00001.parquet.tmp").write_text("half")
    records.build_records(molecules, tmp_path, shard_size=2)
    again = {path.name: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    assert set(again) == set(written)
    assert again["part-00000.parquet"] == written["part-00000.parquet"]


def test_agrees_with_the_stored_records(dev_file):
    stored = records.read_records(dev_file("quantum", "part-000.parquet"))
    small = [record for record in stored if len(record.z) <= 14][:6]
    assert len(small) == 6
    for record in small:
        assert_bands_agree(quantum.simulate(record.smiles), record)

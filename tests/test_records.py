"""Files of quantum records: format, resumption, agreement with the stored ones."""

from __future__ import annotations

import csv
import os
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

pytest.importorskip("tblite", reason="the simulation is the extra `simulate`")

from symspectra.simulation import quantum, records  # noqa: E402


def assert_bands_agree(record, reference):
    """Every band of the reference above 10 km/mol, in order, within 3 cm-1 and 10 % intensity."""
    assert len(record.freq_cm1) == len(reference.freq_cm1)
    strong = reference.inten_km_mol > 10.0
    np.testing.assert_allclose(record.freq_cm1[strong], reference.freq_cm1[strong], rtol=0, atol=3.0)
    np.testing.assert_allclose(record.inten_km_mol[strong], reference.inten_km_mol[strong], rtol=0.1)


@pytest.fixture(scope="module")
def ethanol():
    return quantum.simulate("CCO")


def test_round_trip(tmp_path, ethanol):
    path = tmp_path / "part.parquet"
    records.write_records(path, [ethanol])
    (back,) = records.read_records(path)
    assert_bands_agree(back, ethanol)
    np.testing.assert_allclose(back.xyz_angstrom, ethanol.xyz_angstrom, atol=6e-5)
    assert pq.read_schema(path).equals(records.SCHEMA)
    assert os.listdir(tmp_path) == ["part.parquet"]


def test_build_resumes(tmp_path, ethanol):
    molecules = ["CCO", "C1#CC1", "C#C"]
    records.build_records(molecules, tmp_path, shard_size=2)
    written = {path.name: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    assert set(written) == {f"{k}-0000{i}.{e}" for k, e in (("part", "parquet"), ("failed", "csv")) for i in (0, 1)}
    built = [record for k in (0, 1) for record in records.read_records(tmp_path / f"part-0000{k}.parquet")]
    assert_bands_agree(built[0], ethanol)  # although the workers may use another BLAS
    found = [record.smiles for record in built]
    with open(tmp_path / "failed-00000.csv", newline="", encoding="utf-8") as file:
        found += [row["smiles"] for row in csv.DictReader(file)]
    assert sorted(found) == sorted(molecules)
    (tmp_path / "part-00001.parquet").unlink()  # as after an interruption
    (tmp_path / "part-00001.parquet.tmp").write_text("half")
    records.build_records(molecules, tmp_path, shard_size=2)
    again = {path.name: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    assert set(again) == set(written)
    assert again["part-00000.parquet"] == written["part-00000.parquet"]


def test_foreign_file_is_refused(tmp_path):
    path = tmp_path / "part.parquet"
    pq.write_table(pa.table({"smiles": ["CCO"]}), path)
    with pytest.raises(ValueError, match="energy_hartree"):
        records.read_records(path)


@pytest.mark.skipif("SYMSPECTRA_DEV_DATA" not in os.environ, reason="needs the development files")
def test_agrees_with_the_stored_records():
    path = Path(os.environ["SYMSPECTRA_DEV_DATA"]) / "quantum" / "part-000.parquet"
    stored = records.read_records(path)
    small = [record for record in stored if len(record.z) <= 14][:6]
    assert len(small) == 6
    for record in small:
        assert_bands_agree(quantum.simulate(record.smiles), record)

"""The table of measured spectra, what is left out of it, and the processes that fill it."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from symspectra.datasets.measured import records
from symspectra.datasets.measured.records import (
    Measurement,
    Reject,
    Rejects,
    TableWriter,
    checked_peaks,
    read_measurements,
)
from symspectra.datasets.measured.structures import from_inchi, from_smiles
from symspectra.errors import DataError
from symspectra.parallel import Workers, chunked


def measurement(record: str, **fields) -> Measurement:
    x, y = np.array([17.5, 58.25]), np.array([1, 2], dtype=np.float32)
    return Measurement("LFQSCWFLJHTTHZ", "CCO", "c13", x, y, record=record, **fields)


def test_a_table_is_read_as_it_was_written(tmp_path, monkeypatch):
    monkeypatch.setattr(records, "ROWS", 2)
    rows = [measurement(str(i), frequency_mhz=100.0 + i) for i in range(5)]
    rows.append(measurement("5", attached=[3, None], licence="CC0", adduct="[M+H]+"))
    with TableWriter(tmp_path / "spectra.parquet") as table:
        for row in rows:
            table.add(row)
    assert pq.ParquetFile(tmp_path / "spectra.parquet").num_row_groups == 3
    for row, again in zip(rows, read_measurements(tmp_path / "spectra.parquet"), strict=True):
        assert again.x.dtype == np.float64 and again.y.dtype == np.float32
        for name in records.FIELDS:
            assert np.array_equal(getattr(row, name), getattr(again, name))


def test_a_file_that_is_no_such_table_is_refused(tmp_path):
    (tmp_path / "text.parquet").write_text("smiles")
    pq.write_table(pa.table({"smiles": ["C"]}), tmp_path / "other.parquet")
    with pytest.raises(DataError, match="cannot be read as parquet"):
        next(read_measurements(tmp_path / "text.parquet"))
    with pytest.raises(DataError, match="inchikey, modality, x"):
        next(read_measurements(tmp_path / "other.parquet"))


def test_rejects_are_counted():
    rejects = Rejects()
    for number, reason in enumerate(["no peaks", "record truncated", "no peaks"]):
        rejects.add("file, one.sd", str(number), reason)
    assert rejects.counts() == {"no peaks": 2, "record truncated": 1} and len(rejects) == 3
    with pytest.raises(ValueError, match="'just so'"):
        rejects.add("file", "1", "just so")


@pytest.mark.parametrize(
    ("x", "y", "modality", "reason"),
    [
        ([], [], "c13", "no peaks"),
        ([20.0], [0.0], "c13", "no peaks"),
        ([20.0], [1e-60], "c13", "no peaks"),
        ([20.0, 30.0], [1.0], "c13", "peak not readable"),
        (["20", "x"], [1.0, 1.0], "c13", "peak not readable"),
        ([[20.0]], [[1.0]], "c13", "peak not readable"),
        ([float("nan")], [1.0], "c13", "peak not readable"),
        ([20.0], [float("inf")], "c13", "peak not readable"),
        ([20.0], [1e39], "c13", "peak not readable"),
        ([20.0], [-1.0], "c13", "negative intensity"),
        ([300.5], [1.0], "c13", "peak out of range"),
        ([-6.0], [1.0], "h1", "peak out of range"),
        ([-0.1], [1.0], "ms", "peak out of range"),
    ],
)
def test_peaks_that_cannot_be_are_rejected(x, y, modality, reason):
    with pytest.raises(Reject) as error:
        checked_peaks(x, y, modality)
    assert error.value.reason == reason


def test_structures_lose_stereochemistry_isotopes_and_explicit_hydrogen():
    expected = ("BPHPUYQFMNQIOC", "CC(C)SC1OC(CO)C(O)C(O)C1O")
    assert from_smiles("CC(C)S[C@@H]1O[C@H](CO)[C@H](O)[C@H](O)[C@H]1O") == expected
    assert from_smiles("[2H]C([2H])([2H])C(C)SC1OC(CO)C(O)C(O)C1O") == expected
    assert from_smiles("[H]C([H])([H])CO") == from_inchi("InChI=1S/C2H6O/c1-2-3/h3H,2H2,1H3")


@pytest.mark.parametrize(
    ("smiles", "reason"),
    [
        ("CCO)", "structure not readable"),
        ("CCO ethanol", "structure not readable"),
        ("", "structure not readable"),
        ("[H][H]", "structure not readable"),
        ("CN(C)(C)(C)C", "structure not readable"),
        ("[Na+].CC(=O)[O-]", "several components"),
        ("C" * 501, "structure too large"),
        ("*CC", "no InChIKey"),
        ("CN(O)C=C1C=Cp(=O)C=C1", "structure not readable"),
    ],
)
def test_structures_that_are_not_used(smiles, reason):
    with pytest.raises(Reject) as error:
        from_smiles(smiles)
    assert error.value.reason == reason


@pytest.mark.parametrize("number", [1, 2])
def test_workers_give_results_in_order_and_read_little_ahead(number):
    taken = []

    def pieces():
        for i in range(20):
            taken.append(i)
            yield [i, -i]

    with Workers(number) as workers:
        results = workers.in_order(max, pieces())
        assert next(results) == 0
        assert len(taken) <= 2 * number + 1
        assert list(results) == list(range(1, 20))


def test_chunks_hold_everything_once():
    assert list(chunked(range(5), 2)) == [[0, 1], [2, 3], [4]]
    assert list(chunked([], 2)) == []
    with pytest.raises(ValueError, match="workers is 0"):
        Workers(0)

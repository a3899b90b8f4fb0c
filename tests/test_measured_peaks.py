"""Tables of peaks of your own."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from test_measured_records import outcomes, reasons

from symspectra.datasets.measured.peaks import read_peak_table
from symspectra.datasets.measured.records import write_measurements
from symspectra.errors import DataError


def read(path):
    return outcomes(read_peak_table(path))


def table(tmp_path, text: str):
    (tmp_path / "table.csv").write_text(text)
    return read(tmp_path / "table.csv")


def test_typed_lists_of_peaks(tmp_path):
    rows, rejects = table(
        tmp_path,
        "name,smiles,modality,peaks,record,licence,adduct\n"
        'a,CCO,c13,"57.8 (CH2), 18.1 (CH3)",no. 1,in-house,\n'
        'b,OCC,h1,"1.2 (t, J = 7.0 Hz, 3H), 3.7 (q, J = 7.0 Hz, 2H)",,,\n'
        "c,CCO,ms,31:100 45:52 46:22,,,\n"
        "d,CCO,msms_pos,47.05 100; 29.04 20,,,[M+H]+\n",
    )
    assert not rejects and {(row.smiles, row.inchikey) for row in rows} == {("CCO", "LFQSCWFLJHTTHZ")}
    carbon, proton, mass, msms = rows
    assert carbon.x.tolist() == [57.8, 18.1] and carbon.attached == [2, 3]
    assert (carbon.source, carbon.record, carbon.licence) == ("table.csv", "no. 1", "in-house")
    assert proton.x.tolist() == [1.2, 3.7] and proton.y.tolist() == [3, 2]
    assert (proton.record, proton.licence) == ("row 2", None)
    assert (mass.modality, mass.x.tolist(), mass.y.tolist()) == ("ms", [31, 45, 46], [100, 52, 22])
    assert (msms.modality, msms.adduct) == ("msms_pos", "[M+H]+")


def test_lists_of_numbers_in_csv_and_parquet(tmp_path):
    rows, rejects = table(tmp_path, 'smiles,modality,x,y\nCCO,ms,31 45 46,100 52 22\nCCO,c13,"[18.1, 57.8]","[1, 1]"\n')
    assert not rejects and rows[0].x.tolist() == [31, 45, 46] and rows[1].y.tolist() == [1, 1]
    columns = {"smiles": ["CCO"], "modality": ["c13"], "x": [[18.1, 57.8]], "y": [[1.0, 1.0]], "attached": [[3, None]]}
    pq.write_table(pa.table(columns), tmp_path / "table.parquet")
    (row,), rejects = read(tmp_path / "table.parquet")
    assert not rejects and row.x.tolist() == [18.1, 57.8] and row.attached == [3, None]


def test_the_table_of_prepared_spectra_can_be_read_again(tmp_path):
    rows, _ = table(
        tmp_path,
        'smiles,modality,peaks,licence\nCCO,c13,"57.8 (CH2), 18.1 (CH3)",CC0\n'
        'CCO,h1,"3.7 (qd, J = 7.0, 1.5 Hz, 2H), 2.6 (br s, 1H)",\nCCO,ir,"3340 (br), 1050 (vs)",\n',
    )
    write_measurements(tmp_path / "spectra.parquet", rows)
    again, _ = read(tmp_path / "spectra.parquet")
    assert (again[0].attached, again[0].licence) == ([2, 3], "CC0")
    assert (again[1].couplings, again[1].broad) == (["7.0*3 1.5*1", ""], [False, True])
    assert (again[2].modality, again[2].x.tolist(), again[2].y.tolist()) == ("ir", [3340, 1050], [3, 5])
    for row, before in zip(again, rows, strict=True):
        assert np.array_equal(row.x, before.x) and np.array_equal(row.y, before.y)


def test_what_is_not_a_coupling_is_not_used(tmp_path):
    columns = {"smiles": ["CCO"], "modality": ["h1"], "x": [[3.7, 1.2]], "y": [[2.0, 3.0]]}
    pq.write_table(pa.table(columns | {"couplings": [["7.0*3", "t"]]}), tmp_path / "table.parquet")
    assert read(tmp_path / "table.parquet")[0][0].couplings == ["7.0*3", ""]


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("CCO,uv,18.1,", "kind of spectrum not stated"),
        (",c13,18.1,", "structure not given"),
        ("CCO),c13,18.1,", "structure not readable"),
        ("CCO.O,c13,18.1,", "several components"),
        ("CCO,c13,none,", "peak not readable"),
        ("CCO,ms,31:100 45,", "peak not readable"),
        ('CCO,c13,"1 57.8\n2 18.1",', "peak not readable ('57.8 / 2' may be"),
        ('CCO,h1,"3.7,2\n1.2,3",', "peak not readable ('2 / 1.2' may be"),
        ('CCO,c13,"57,8; 18,1",', "peak not readable (a comma"),
        ('CCO,ms,"31,02; 45,03",', "peak not readable (a comma"),
        ("CCO,h1,31P NMR δ 4.1 2.0,", "peak not readable (the text says 31P"),
        ("CCO,msms_pos,EI-MS m/z 31 (100),", "peak not readable (the heading 'EI-MS m/z' says electron"),
        ("CCO,c13,,", "no peaks"),
        ("CCO,c13,18.1,XXXXXXXXXXXXXX-UHFFFAOYSA-N", "InChIKey disagrees with the structure"),
    ],
)
def test_bad_rows_are_rejected_and_the_others_read(tmp_path, row, reason):
    good = "CCO,c13,18.1 57.8,LFQSCWFLJHTTHZ-UHFFFAOYSA-N"
    rows, rejects = table(tmp_path, f"smiles,modality,peaks,inchikey\n{good}\n{row}\n{good}\n")
    assert len(rows) == 2 and [r[:2] for r in rejects] == [("table.csv", "row 2")]
    assert rejects[0].reason.startswith(reason)


def test_wrong_files_are_one_sentence(tmp_path):
    cases = {
        b"smiles,peaks\nCCO,18.1\n": "columns modality are missing",
        b"smiles,modality,x\nCCO,c13,18.1\n": "peaks \\(or x and y\\)",
        b"": "columns smiles, modality",
        b"smiles,modality,peaks\n": "no rows",
        b"smiles,modality,peaks\nCCO,c13,18.1 \xb5\n": "UTF-8",
        b"smiles,modality,peaks\nCCO,c13," + b"1" * 1_100_000: "field larger",
        b"PAR1 and no more": "cannot be read as parquet",
    }
    for data, words in cases.items():
        (tmp_path / "table").write_bytes(data)
        with pytest.raises(DataError, match=words) as error:
            read(tmp_path / "table")
        assert "\n" not in str(error.value)
    with pytest.raises(DataError, match="no such file"):
        read(tmp_path / "nowhere.csv")


def test_tables_of_pandas_with_missing_values_are_read(tmp_path):
    frame = pd.DataFrame(
        {"smiles": ["CCO", None], "modality": ["c13"] * 2, "peaks": ["18.1", "20"], "record": [None] * 2}
    )
    frame.to_parquet(tmp_path / "table.parquet")
    rows, rejects = read(tmp_path / "table.parquet")
    assert [row.record for row in rows] == ["row 1"] and reasons(rejects) == {"structure not given": 1}

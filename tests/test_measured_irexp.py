"""IRexp: JSON lines of infrared bands, 1H and 13C lists, from the file to the prepared folder."""

from __future__ import annotations

import csv
import gzip
import json

import numpy as np
import pytest
from test_measured_records import outcomes, reasons

from symspectra.cli.main import main
from symspectra.datasets.measured.irexp import LICENCES, read_irexp
from symspectra.datasets.measured.peaks import CELL_CHARACTERS
from symspectra.datasets.measured.prepare import prepare
from symspectra.datasets.prepared import read_folder
from symspectra.errors import DataError
from symspectra.spectra.conversion import prepare as convert
from symspectra.spectra.readers.peak_lists import parse_peaks

H1, C13, BANDS = (
    "δ 3.70 (q, J = 7.0 Hz, 2H), 1.20 (t, J = 7.0 Hz, 3H)",
    "δ 57.8 (1C, t), 18.1",
    [3340.0, 2974.0, 1050.5],
)
ETHANOL = {"id": "a1", "inchikey": None, "smiles": "CCO", "ir_bands_cm-1": BANDS, "h_nmr": H1, "c_nmr": C13}
ETHANOL |= {"license": "CC-BY", "license_pool": "commercial", "ir_shared_in_paper": False}


def written(tmp_path, *records):
    path = tmp_path / "some.jsonl.gz"
    lines = [record if isinstance(record, str) else json.dumps(record) for record in records]
    path.write_bytes(gzip.compress("\n".join(lines).encode()))
    return path


def read(tmp_path, *records):
    return outcomes(read_irexp(written(tmp_path, *records)))


def test_a_record_is_three_spectra(tmp_path):
    (infrared, proton, carbon), rejects = read(tmp_path, ETHANOL)
    assert not rejects and {row.inchikey for row in (infrared, proton, carbon)} == {"LFQSCWFLJHTTHZ"}
    assert (infrared.modality, infrared.x.tolist(), infrared.y.tolist()) == ("ir", BANDS, [3, 3, 3])
    assert (infrared.record, infrared.licence, infrared.source) == ("a1:ir_bands_cm-1", "CC-BY", "some.jsonl.gz")
    assert (proton.x.tolist(), proton.y.tolist(), proton.couplings) == ([3.7, 1.2], [2, 3], ["7.0*3", "7.0*2"])
    assert (carbon.modality, carbon.x.tolist(), carbon.y.tolist()) == ("c13", [57.8, 18.1], [1, 1])


@pytest.mark.parametrize(
    ("field", "value", "expected"),
    [
        ("ir_bands_cm-1", "IR (KBr, cm-1): 3340 (br), 2974, 1050", [3340, 2974, 1050]),
        ("ir_bands_cm-1", ["3340 (s)", 2974, "1050"], [3340, 2974, 1050]),
        ("c_nmr", [57.8, -4.5], [57.8, -4.5]),
        ("h_nmr", ["3.70 (q, J = 7.0 Hz, 2H)", "1.20 (t, 3H)"], [3.7, 1.2]),
    ],
)
def test_forms_of_a_list(tmp_path, field, value, expected):
    rows, rejects = read(tmp_path, {"id": 7, "smiles": "CCO", field: value})
    assert not rejects and rows[0].x.tolist() == expected and rows[0].record == f"7:{field}"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"c_nmr": {"57.8": 1}}, "form of the list not known ({"),
        ({"c_nmr": [[57.8, 1], [18.1, 1]]}, "form of the list not known ([["),
        ({"c_nmr": [True]}, "form of the list not known ([true]"),
        ({"c_nmr": 57.8}, "form of the list not known (57.8"),
        ({"c_nmr": [float("nan"), 57.8]}, "peak not readable ('nan"),
        ({"c_nmr": "57,8; 18,1"}, "peak not readable (a comma stands between digits in '57,8"),
        ({"c_nmr": H1}, "peak not readable ('2H' at 3.70 counts hydrogens"),
        ({"ir_bands_cm-1": [3340.0, 105000.0]}, "peak not readable (the peak at 105000 is outside"),
        ({"ir_bands_cm-1": BANDS, "ir_shared_in_paper": True}, "bands doubtful (the paper gives"),
        ({"ir_bands_cm-1": BANDS, "ir_table_flatten_suspect": True}, "bands doubtful (the bands seem"),
        ({"c_nmr": C13, "smiles": "CCO)"}, "structure not readable ('CCO)')"),
        ({"c_nmr": C13, "inchikey": "XXXXXXXXXXXXXX-UHFFFAOYSA-N"}, "InChIKey disagrees with the structure ('XX"),
        ({"c_nmr": C13, "license_pool": "non_commercial"}, "licence contradictory ('CC-BY' in"),
    ],
)
def test_what_cannot_be_used_is_named(tmp_path, changes, reason):
    rows, rejects = read(tmp_path, {"id": "x", "smiles": "CCO", "license": "CC-BY", **changes}, ETHANOL)
    assert len(rows) == 3 and len(rejects) == 1
    assert rejects[0].record.startswith("x:") and rejects[0].reason.startswith(reason)


def test_records_without_structure_or_spectra_are_listed(tmp_path):
    rows, rejects = read(tmp_path, ETHANOL | {"smiles": None}, {"id": "b", "smiles": "CCO", "h_nmr": ""}, "{", "", "[]")
    assert not rows and reasons(rejects) == {"structure not given": 1, "no spectrum": 1, "not a JSON object": 2}
    assert [reject.record for reject in rejects] == ["a1", "b", "line 3", "line 5"]


def test_wrong_files_are_one_sentence(tmp_path):
    whole = written(tmp_path, ETHANOL, ETHANOL | {"id": "longer" * 50}).read_bytes()
    cases = {
        whole[:-30]: "cannot be read as JSON lines",
        whole[:40] + b"\0\0\0" + whole[43:]: "cannot be read as JSON lines",
        b"\xff\xfe": "cannot be read as JSON lines",
        b"": "no record in it",
        b"id,smiles\n1,CCO\n": "no record in it",
        b'{"id": "' + b"x" * CELL_CHARACTERS: "a line has more than",
    }
    for data, words in cases.items():
        (tmp_path / "file").write_bytes(data)
        with pytest.raises(DataError, match=words) as error:
            list(read_irexp(tmp_path / "file"))
        assert "\n" not in str(error.value)
    with pytest.raises(DataError, match="no such file"):
        list(read_irexp(tmp_path / "nowhere"))


def test_the_folder_has_a_molecule_once_and_its_spectra_as_typed_ones_are_drawn(tmp_path, capsys):
    mirror = ("N[C@@H](C)C(=O)O", "N[C@H](C)C(=O)O")
    records = [{"id": f"m{i}", "smiles": smiles, "c_nmr": "176.8, 51.5, 17.1"} for i, smiles in enumerate(mirror)]
    records = [record | {"license": "CC0"} for record in records]
    closed = {"id": "n", "smiles": "CCCO", "c_nmr": "64.4, 25.8", "license": "CC-BY-NC"}
    path = str(written(tmp_path, ETHANOL, *records, closed))
    assert main(["data", "prepare", "irexp", "--file", path, "--out", str(tmp_path / "out")]) == 0
    assert "1  ir, CC-BY" in capsys.readouterr().out
    folder = read_folder(tmp_path / "out")
    assert sorted(folder.smiles) == ["CC(N)C(=O)O", "CCO"] and folder.modalities[:3] == ["ir", "c13", "h1"]
    row = folder.smiles.index("CCO")
    assert folder.complete().tolist() == [smiles == "CCO" for smiles in folder.smiles]
    for column, (name, text) in enumerate((("ir", "3340, 2974, 1050.5"), ("c13", C13), ("h1", H1))):
        assert np.array_equal(folder.vectors[row, column], convert(parse_peaks(text, name)).vector.astype(np.float16))
    with open(tmp_path / "out" / "rejects.csv", newline="") as f:
        assert [list(row.values()) for row in csv.DictReader(f)] == [
            ["some.jsonl.gz", "n:c_nmr", "licence not allowed: CC-BY-NC"]
        ]


def test_share_alike_is_kept_where_asked_for_and_beside_other_collections(tmp_path):
    path = written(tmp_path, ETHANOL | {"license": "CC BY-SA 4.0"})
    with pytest.raises(DataError, match="licence not allowed"):
        prepare([("irexp", path)], tmp_path / "one", LICENCES)
    assert prepare([("irexp", path)], tmp_path / "two", ["CC BY-SA*"])["spectra"]["ir"] == 1
    command = ["data", "prepare", "experimental", "--irexp", str(path), "--out", str(tmp_path / "three")]
    assert main(command) == 0

"""The molecule list of the `open` data set, and lists of SMILES in files."""

from __future__ import annotations

import gzip
import hashlib
import lzma

import pytest

from symspectra.errors import DataError
from symspectra.simulation import molecules
from symspectra.simulation.quantum import SimulationError


@pytest.mark.parametrize(
    ("smiles", "expected"),
    [
        ("C[C@H](O)CC", "CCC(C)O"),  # stereo dropped
        ("[2H]C([2H])([2H])C(=O)CC", "CCC(C)=O"),  # deuterium is plain hydrogen
        ("[13CH3]CCO", "CCCO"),
        ("C[N+](C)(C)CC(=O)[O-]", "C[N+](C)(C)CC(=O)[O-]"),  # neutral as a whole
        ("CCO", None),  # three heavy atoms
    ],
)
def test_filters(smiles, expected):
    assert molecules.flat_smiles(smiles) == expected


def _is_in_hash_order(molecule_list):
    digests = [hashlib.sha256(smiles.encode()).hexdigest() for smiles in molecule_list]
    return digests == sorted(digests)


def test_list_of_one_table(tmp_path, monkeypatch):
    pytest.importorskip("chemicals", reason="the molecule tables come with the extra `simulate`")
    table = tmp_path / "table.tsv"
    entries = ["CCCO", "OCCC", "[13CH3]CCO", "CCO", "CC(C)C", "C(C", "CCCC.O", "CCCCN", "CCOCC"]
    table.write_text("".join(f"{k}\tx\tx\tx\t{smiles}\tx\n" for k, smiles in enumerate(entries)))
    monkeypatch.setattr(molecules, "TABLES", (str(table),))
    found = molecules.open_molecules()
    assert set(found) == {"CCCO", "CC(C)C", "CCCCN", "CCOCC"} and len(found) == 4
    assert _is_in_hash_order(found)
    assert set(molecules.open_molecules(4)) == {"CCCO", "CC(C)C"}


@pytest.mark.slow
def test_list_is_complete_and_in_hash_order():
    pytest.importorskip("chemicals", reason="the molecule tables come with the extra `simulate`")
    found = molecules.open_molecules()
    assert len(found) == len(set(found)) == 40702
    assert _is_in_hash_order(found)
    assert found[0] == "CCCCC(C)(CC)CC"


def test_max_heavy_is_checked():
    with pytest.raises(ValueError, match="max_heavy is 3"):
        molecules.open_molecules(3)


@pytest.mark.parametrize(
    ("smiles", "reason"),
    [
        ("C(C", "not a SMILES"),
        ("", "not a SMILES"),
        ("CCCC.O", "salt"),
        ("CCCC[NH3+]", r"charge \+1"),
        ("CC[CH]CC", "radical"),
        ("CC[Si](C)C", "element Si"),
        ("OS(=O)(=O)O", "no carbon"),
        ("C" * 21, "21 heavy atoms, expected 4 to 20"),
    ],
)
def test_what_is_left_out_has_a_reason(smiles, reason):
    with pytest.raises(SimulationError, match=reason):
        molecules.checked_smiles(smiles)


@pytest.mark.parametrize("packed", ["", ".xz", ".gz"])
@pytest.mark.parametrize(
    ("ending", "text", "expected"),
    [
        (".smi", "# list\nCCO ethanol\n\nCC(C)=O\tacetone\n", [(2, "CCO"), (4, "CC(C)=O")]),
        (".csv", 'name,SMILES\n"a, b",CCO\n\nc\n', [(2, "CCO"), (4, "")]),
        (".tsv", "smiles\tname\r\nCCO\tx\r\n", [(2, "CCO")]),
    ],
)
def test_lists_of_smiles_are_read_with_their_line_numbers(tmp_path, packed, ending, text, expected):
    path = tmp_path / f"list{ending}{packed}"
    with {"": open, ".xz": lzma.open, ".gz": gzip.open}[packed](path, "wb") as file:
        file.write(text.encode())
    assert list(molecules.read_smiles(path)) == expected


@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [
        ("list.sdf", b"", "ends in .smi"),
        ("list.xz", b"", "ends in .smi"),
        ("list.csv", b"name\nethanol\n", "no column 'smiles'"),
        ("list.smi", b"CCO\n\xff\xfe\x00", "no list of SMILES"),
        ("list.smi.xz", b"CCO\n", "no list of SMILES, or damaged"),
        ("list.smi.xz", lzma.compress(b"CCO\n" * 9)[:-30], "damaged"),
        ("list.smi.gz", b"CCO\n", "cannot be read|damaged"),
        ("list.smi", None, "cannot be read"),
    ],
)
def test_a_file_that_is_no_list_of_smiles_is_refused(tmp_path, name, content, problem):
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(DataError, match=problem) as error:
        list(molecules.read_smiles(path))
    assert str(path) in str(error.value)

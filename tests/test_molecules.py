"""The molecule list of the `open` data set."""

from __future__ import annotations

import hashlib
import os

import pytest

from symspectra.simulation import molecules


@pytest.mark.parametrize(
    ("smiles", "expected"),
    [
        ("C[C@H](O)CC", "CCC(C)O"),  # stereo dropped
        ("[2H]C([2H])([2H])C(=O)CC", "CCC(C)=O"),  # deuterium is plain hydrogen
        ("[13CH3]CCO", "CCCO"),
        ("C[N+](C)(C)CC(=O)[O-]", "C[N+](C)(C)CC(=O)[O-]"),  # neutral as a whole
        ("CCO", None),  # three heavy atoms
        ("CCCC.O", None),
        ("CCCC[NH3+]", None),
        ("CC[CH]CC", None),  # radical
        ("CC[Si](C)C", None),
        ("OS(=O)(=O)O", None),  # no carbon
        ("C" * 21, None),
        ("C(C", None),
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


@pytest.mark.skipif("SYMSPECTRA_DEV_DATA" not in os.environ, reason="ten seconds: only beside the development files")
def test_list_is_complete_and_in_hash_order():
    pytest.importorskip("chemicals", reason="the molecule tables come with the extra `simulate`")
    found = molecules.open_molecules()
    assert len(found) == len(set(found)) == 40702
    assert _is_in_hash_order(found)
    assert found[0] == "CCCCC(C)(CC)CC"


def test_max_heavy_is_checked():
    with pytest.raises(ValueError, match="max_heavy is 3"):
        molecules.open_molecules(3)

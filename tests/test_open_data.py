"""The embedded data set: what ships, and how it is extended."""

from __future__ import annotations

import csv

import numpy as np
import pyarrow as pa
import pytest
import torch
import train_shifts
from rdkit import Chem

from symspectra.cli.main import main
from symspectra.config import Config
from symspectra.datasets import open_data
from symspectra.datasets.base import SHIPPED, load_dataset, split_of
from symspectra.errors import DataError
from symspectra.groups.table8 import from_bits, label
from symspectra.modalities import MODALITIES
from symspectra.simulation.spectra import ei_lists, simulated
from symspectra.spectra.lines import EI_COLUMNS, LIST_GROUPS, arrow_schema, factor, line_table, read_lines, read_rows
from symspectra.spectra.rendering import render

quantum = pytest.importorskip("symspectra.simulation.quantum")


@pytest.fixture(scope="module", params=SHIPPED)
def shipped(request):
    return read_rows(SHIPPED[request.param])[0].to_pylist()


def test_at_least_5000_molecules_and_a_tenth_in_validation_and_test(shipped):
    assert len(shipped) >= 5000
    splits = [split_of(row["inchikey"]) for row in shipped]
    for name in ("validation", "test"):
        assert 0.08 < splits.count(name) / len(shipped) < 0.12


def test_molecules_are_canonical_and_once_each(shipped):
    assert len({row["smiles"] for row in shipped}) == len({row["inchikey"] for row in shipped}) == len(shipped)
    for row in shipped[::50]:
        mol = Chem.MolFromSmiles(row["smiles"])
        assert Chem.MolToSmiles(mol, isomericSmiles=False) == row["smiles"]
        assert Chem.MolToInchiKey(mol).startswith(row["inchikey"])
        assert 4 <= mol.GetNumHeavyAtoms() <= 35


def test_stored_labels_are_those_of_the_smiles(shipped):
    sample = shipped[::7]
    stored = from_bits(np.array([row["groups"] for row in sample], dtype=np.uint64))
    assert np.array_equal(stored, label([row["smiles"] for row in sample]))


def test_lines_agree_with_the_molecules(shipped):
    for row in shipped[::40]:
        mol = Chem.AddHs(Chem.MolFromSmiles(row["smiles"]))
        numbers = [atom.GetAtomicNum() for atom in mol.GetAtoms()]
        assert sum(row["c13_count"]) == numbers.count(6)
        assert sum(row["h1_count"]) == numbers.count(1)
        assert max(row["msms_pos_mz"], default=0) < 1.02 + sum(a.GetMass() for a in mol.GetAtoms()) + 2
        assert len(row["msms_pos_mz"]) <= 50 and len(row["msms_neg_mz"]) <= 50


def test_uspto_is_what_the_command_makes():
    """On any processor: of forty of its molecules, with spectra as near as its card says."""
    shipped = read_rows(SHIPPED["uspto"], 900)[0].slice(0, 800).take(np.arange(0, 800, 20))
    made = simulated([(k, smiles) for k, smiles in enumerate(shipped["smiles"].to_pylist())], "ff", 35)
    assert all(isinstance(row, dict) for _, _, row in made)
    rows = open_data._described([row for _, _, row in made])
    tables = line_table(shipped), line_table(pa.Table.from_pylist(rows, schema=arrow_schema()))
    x, y = (render(table, torch.arange(40), MODALITIES) for table in tables)
    alike = torch.cosine_similarity(x, y, dim=-1)
    assert torch.equal(tables[0].y, tables[1].y) and alike.median() > 0.999 and (alike > 0.9).float().mean() > 0.9


def test_shift_network_never_sees_a_test_molecule():
    keys = [f"KEY{i:011d}" for i in range(200)]
    tests = [key for key in keys if split_of(key) == "test"]
    assert len(tests) > 5
    assert {train_shifts.split_of(f"{key}-UHFFFAOYSA-N") for key in tests} == {"reserved"}


def propanol_record():
    pytest.importorskip("tblite")
    return quantum.simulate("CCCO")


def test_records_are_appended_once(tmp_path):
    record = propanol_record()
    assert open_data.add_records([record, record], tmp_path) == 1
    assert open_data.known_molecules(tmp_path)[0] == {"CCCO"}
    first = (tmp_path / "lines-000.parquet").read_bytes()
    assert open_data.add_records([record], tmp_path) == 0
    assert [p.name for p in sorted(tmp_path.glob("*.parquet"))] == ["lines-000.parquet"]
    assert (tmp_path / "lines-000.parquet").read_bytes() == first
    lines = read_lines(tmp_path)
    assert lines.smiles == ("CCCO",) and lines.y[0].nonzero().flatten().tolist() == [2, 4]  # alcohol, alkane


def test_a_second_molecule_of_one_inchikey_block_is_listed_with_the_reason(tmp_path, monkeypatch):
    rows = [{"smiles": smiles, **EMPTY} for smiles in ("CC(C)=O", "C=C(C)O")]
    monkeypatch.setattr(open_data, "_described", lambda rows: [{**r, "inchikey": "SAME", "groups": 0} for r in rows])
    monkeypatch.setattr(open_data, "line_lists", lambda records: [rows[r] for r in records])
    monkeypatch.setattr(open_data, "known_molecules", lambda directory: (set(), set()))
    record = type("Record", (int,), {"smiles": property(lambda self: rows[self]["smiles"])})
    assert open_data.add_records([record(0), record(1)], tmp_path) == 1
    with open(tmp_path / "failed.csv", newline="") as f:
        failed = list(csv.DictReader(f))
    assert failed == [{"smiles": "C=C(C)O", "reason": "another molecule has the same InChIKey block SAME"}]


EMPTY = {name: [] for names in LIST_GROUPS.values() for name in names} | {"level": "gfn2"}


@pytest.mark.parametrize("smiles", ["CCO)", "CCO.O", "[Na+].[Cl-]", "CC[CH2]", "[SiH4]", "C"])
def test_what_cannot_be_simulated_is_named(smiles):
    with pytest.raises(ValueError, match="cannot be simulated") as error:
        open_data.simulate([smiles])
    assert smiles in str(error.value)


def test_a_folder_without_records_is_refused(tmp_path):
    with pytest.raises(ValueError, match="no part-"):
        open_data.import_records(tmp_path, tmp_path / "open")


def rejects(folder):
    with open(folder / "rejects.csv", newline="") as f:
        return list(csv.reader(f))


LIST = "CCCO a\nC(C\nOCCC\nCCCC.O\nCC(C)=O\nCCB(C)C\nCCCC\n"


def test_a_list_is_built_with_its_rejects(tmp_path):
    (tmp_path / "list.smi").write_text(LIST)
    assert open_data.build_list(tmp_path / "list.smi", tmp_path / "out") == (3, 4)
    table, _ = read_rows(tmp_path / "out")
    assert table["smiles"].to_pylist() == ["CCCO", "CC(C)=O", "CCCC"]
    header, *left_out = rejects(tmp_path / "out")
    assert header == ["line", "smiles", "reason"]
    assert [row[:2] for row in left_out] == [["2", "C(C"], ["3", "OCCC"], ["4", "CCCC.O"], ["6", "CCB(C)C"]]
    assert [row[2].split()[0] for row in left_out] == ["not", "an", "more", "element"]
    row = table.to_pylist()[1]
    strongest = row["ir_cm1"][int(np.argmax(row["ir_km_mol"]))]
    kind = row["ir_kind"][int(np.argmax(row["ir_km_mol"]))]
    assert kind == "C=O, ketone or aldehyde" and abs(factor(kind, row["level"]) * strongest - 1731) < 25  # acetone, gas
    assert row["c13_count"] == [1, 2] and len(row["msms_pos_mz"]) > 0


def test_electron_ionisation_of_a_list_is_simulated_beside_it(tmp_path, monkeypatch, capsys):
    (tmp_path / "list.smi").write_text(LIST)
    open_data.build_list(tmp_path / "list.smi", tmp_path / "out")
    assert main(["data", "ei", str(tmp_path / "out")]) == 0 and "3 molecules" in capsys.readouterr().out
    acetone = read_rows(tmp_path / "out", ei=True)[0].to_pylist()[1]
    peaks = dict(zip(acetone["ei_mz"], acetone["ei_percent"], strict=True))
    assert peaks[43.0] == 100 > peaks[58.0] > 10  # acetyl and M+.
    assert open_data.build_list(tmp_path / "list.smi", tmp_path / "out") == (3, 4)  # everything is done
    assert open_data.build_ei(tmp_path / "out") == 0
    monkeypatch.setenv("SYMSPECTRA_DATA", str(tmp_path))
    data = load_dataset(Config(dataset="out", modalities=["c13", "ei"], nuisance=False))
    x, present = data.spectra(torch.tensor([data.ids.index("CC(C)=O")]))
    assert present.all() and x[0, 1].argmax() == 43
    with pytest.raises(DataError, match="nowhere"):
        open_data.build_ei(tmp_path / "nowhere")


def test_a_build_goes_on_to_the_same_bytes(tmp_path, monkeypatch):
    monkeypatch.setattr(open_data, "LIST_BATCH", {"ff": 2})
    monkeypatch.setattr(open_data, "LIST_CHUNK", {"ff": 1})
    (tmp_path / "list.smi").write_text(LIST)
    open_data.build_list(tmp_path / "list.smi", tmp_path / "whole")
    appended = open_data.append_shard

    def killed(folder, rows):
        if (folder / "lines-001.parquet").exists():
            raise KeyboardInterrupt
        appended(folder, rows)

    monkeypatch.setattr(open_data, "append_shard", killed)
    with pytest.raises(KeyboardInterrupt):
        open_data.build_list(tmp_path / "list.smi", tmp_path / "out")
    monkeypatch.setattr(open_data, "append_shard", appended)
    for _ in range(2):  # the second finds everything done
        assert open_data.build_list(tmp_path / "list.smi", tmp_path / "out") == (3, 4)
        files = {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}
        assert files == {path.name: path.read_bytes() for path in (tmp_path / "whole").iterdir()}


def test_a_folder_of_another_build_is_refused_before_anything_is_computed(tmp_path, monkeypatch):
    (tmp_path / "list.smi").write_text("CCCO\n")
    (tmp_path / "other.smi").write_text("CCCN\n")
    (tmp_path / "words.smi").write_text("these are\nno molecules\n")
    open_data.build_list(tmp_path / "list.smi", tmp_path / "out")
    monkeypatch.setattr(open_data, "_simulated", lambda *_, **__: pytest.fail("computed"))
    for arguments, problem in (
        (("list.smi", "out", "gfn2"), "level 'ff', not 'gfn2'"),
        (("other.smi", "out"), "list 'list.smi', not 'other.smi'"),
        (("list.smi", "."), "not empty"),
        (("words.smi", "new"), "no SMILES among its first 2 entries"),
    ):
        with pytest.raises(ValueError, match=problem):
            open_data.build_list(tmp_path / arguments[0], tmp_path / arguments[1], *arguments[2:])
    assert not (tmp_path / "new").exists()
    (tmp_path / "out" / "rejects.csv").write_text("line,smiles,reason\nx,C,y\n")
    with pytest.raises(DataError, match="rejects.csv: is damaged"):
        open_data.build_list(tmp_path / "list.smi", tmp_path / "out")


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_electron_ionisation_is_of_the_code(name):
    rows = read_rows(SHIPPED[name], 4, ei=True)[0]
    anew = pa.Table.from_pylist(ei_lists(rows["smiles"].to_pylist()), schema=arrow_schema(EI_COLUMNS))
    assert anew.to_pylist() == rows.select([*EI_COLUMNS]).to_pylist()

"""Measured spectra joined by molecule: choice, licences, vectors, what the folder holds, the command."""

from __future__ import annotations

import csv
import json
import lzma
import tarfile

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from test_measured_massbank import EI
from test_measured_massbank import record as mass_record
from test_measured_nmrshiftdb2 import ETHANOL
from test_measured_nmrshiftdb2 import record as nmr_record

from symspectra.cli.main import main
from symspectra.datasets.base import split_of
from symspectra.datasets.measured import prepare as module
from symspectra.datasets.measured.choice import allowed, choose
from symspectra.datasets.measured.prepare import prepare
from symspectra.datasets.writer import described, evaluated
from symspectra.errors import DataError
from symspectra.files import check, digest
from symspectra.groups.table8 import from_bits, label
from symspectra.spectra.conversion import prepare_all
from symspectra.spectra.spectrum import Spectrum


@pytest.fixture
def sources(tmp_path):
    """Ethanol with five kinds of spectra, propanol with 13C only, and records that are left out."""
    text = nmr_record("CCO", 10, c13_0="18.1;0.0Q;0|", c13_1=ETHANOL, h1_2="1.2;0.0;0|3.7;0.0;1|11.0;0.0;2|")
    text += nmr_record("CCCO", 11, c13_0="10.1;;0|25.8;;1|64.4;;2|", h1_1="14.0;0.0;2|")
    text += nmr_record("Oc1ccccn1", 12, c13_0="110.0;0.0D;0|")
    (tmp_path / "nmr.sd").write_text(text)
    folder = tmp_path / "records"
    folder.mkdir()
    negative = {"AC$MASS_SPECTROMETRY: ION_MODE": "NEGATIVE", "MS$FOCUSED_ION: PRECURSOR_TYPE": "[M-H]-"}
    energy = "AC$MASS_SPECTROMETRY: COLLISION_ENERGY"
    records = [
        {energy: "40 eV"},
        {energy: "10 eV"},
        {energy: "20 eV"},
        {energy: "20 eV", "MS$FOCUSED_ION: PRECURSOR_TYPE": "[M+Na]+"},
        negative,
        EI | {"LICENSE": "CC BY-NC-SA"},
        EI | {"CH$SMILES": "O=c1cccc[nH]1"},
        {"CH$SMILES": "CCO)"},
    ]
    for number, changes in enumerate(records):
        text = mass_record({"ACCESSION": f"MSBNK-{number}", **changes})
        (folder / f"{number}.txt").write_text(text)
    return [("nmrshiftdb2", tmp_path / "nmr.sd"), ("massbank", folder)]


def test_the_folder_holds_what_the_sources_say(sources, tmp_path):
    summary = prepare(sources, tmp_path / "out", licence_allow=["all"])
    table = pq.read_table(tmp_path / "out" / "molecules.parquet").to_pylist()
    molecules = {row["smiles"]: row for row in table}
    assert set(molecules) == {"CCO", "CCCO", "Oc1ccccn1"} and summary["molecules"] == 3
    ethanol = molecules["CCO"]
    assert ethanol["inchikey"] == "LFQSCWFLJHTTHZ" and ethanol["split"] == split_of("LFQSCWFLJHTTHZ")
    assert np.array_equal(from_bits(np.array([ethanol["groups"]]))[0], label(["CCO"])[0])
    chosen = [ethanol[f"{name}_record"] for name in summary["spectra"]]
    assert chosen == ["10:1", "10:2", "MSBNK-2", "MSBNK-4", "MSBNK-5"]
    assert pq.read_table(tmp_path / "out" / "spectra.parquet")["record"].to_pylist()[:2] == ["10:0", "10:1"]
    with open(tmp_path / "out" / "rejects.csv", newline="") as f:
        rejected = {row["record"]: row["reason"] for row in csv.DictReader(f)}
    assert rejected == {
        "11:1": "no peak on the model's axis",
        "MSBNK-6": "another structure has this InChIKey block",
        "MSBNK-7": "structure not readable",
    }
    assert summary["rejects"] == dict.fromkeys(rejected.values(), 1)
    assert summary["licences"]["ms, CC BY-NC-SA"] == 1 and summary["licences"]["msms_pos, CC BY-SA"] == 4
    assert summary["spectra"] == {"c13": 3, "h1": 1, "msms_pos": 1, "msms_neg": 1, "ms": 1}
    several = summary["molecules_with"]
    assert len(several) == 27 and several[module.ALL] == several["c13+h1+ms"] == 1
    manifest = check(tmp_path / "out")
    assert manifest["sources"][0] == {"kind": "nmrshiftdb2", "file": "nmr.sd", "sha256": digest(sources[0][1])}
    assert manifest["summary"] == json.loads(json.dumps(summary)) and manifest["versions"]["rdkit"]


def test_vectors_are_those_of_the_conversion(sources, tmp_path):
    prepare(sources, tmp_path / "out", licence_allow=["all"])
    table = pq.read_table(tmp_path / "out" / "molecules.parquet")
    row = table["smiles"].to_pylist().index("CCO")
    vectors = np.load(tmp_path / "out" / "vectors.npy", mmap_mode="r")
    present = np.load(tmp_path / "out" / "present.npy")
    assert vectors.shape == (3, 5, 600) and vectors.dtype == np.float16
    assert present[row].all() and present.sum() == 7
    assert np.array_equal(present, np.any(vectors != 0, axis=2))
    carbon = Spectrum([18.1, 57.8], [1, 1], "ppm", "intensity", "c13", {"attached": [3, 2]}, peaks=True)
    mass = Spectrum([29.0386, 47.0491], [1500, 12000.5], "m/z", "intensity", "msms_pos", peaks=True)
    expected = [p.vector.astype(np.float16) for p in prepare_all([carbon, mass])]
    for column, vector in ((0, expected[0]), (2, expected[1]), (4, expected[1])):
        assert np.array_equal(vectors[row, column], vector)


def test_licences_for_non_commercial_use_are_left_out_by_default(sources, tmp_path):
    summary = prepare(sources, tmp_path / "out")
    assert summary["spectra"]["ms"] == 0 and summary["rejects"]["licence not allowed: CC BY-NC-SA"] == 1
    only = prepare(sources, tmp_path / "other", licence_allow=["cc by-nc*"])
    assert set(only["licences"]) == {"ms, CC BY-NC-SA"} and only["molecules"] == 1
    with pytest.raises(DataError, match="no spectrum is left .*licence not allowed"):
        prepare(sources, tmp_path / "third", licence_allow=["WTFPL"])
    assert {path.name for path in tmp_path.iterdir()} == {"nmr.sd", "records", "out", "other"}


@pytest.mark.parametrize(
    ("licence", "patterns", "expected"),
    [
        ("CC BY", None, True),
        ("CC BY-SA 4.0", None, True),
        ("CC BY-NC", None, False),
        ("CC BY-NC-ND", None, False),
        ("cc_by_nc", None, False),
        ("non commercial", None, False),
        ("dependency of CND", None, True),
        ("cc by-nd 4.0", None, False),
        ("Non-commercial use only", None, False),
        ("dl-de/by-2-0", None, True),
        (None, None, True),
        ("CC BY-NC", ["all"], True),
        ("CC BY-NC", ["CC BY"], False),
        ("CC BY-SA", ["CC0", "cc by-sa*"], True),
        (None, ["CC BY"], False),
    ],
)
def test_licences(licence, patterns, expected):
    assert allowed(licence, patterns) is expected


@pytest.mark.parametrize(
    ("modality", "spectra", "chosen"),  # number of peaks, adduct, collision energy
    [
        ("c13", [(5, None, None), (9, None, None), (9, None, None)], 1),
        ("ms", [(5, None, "1 eV"), (4, "[M+H]+", "2 eV")], 0),
        ("msms_pos", [(9, "[M+Na]+", "1 eV"), (2, "[M+H]+", "50.0 V"), (3, "[M+H]+", "10 eV")], 2),
        ("msms_neg", [(9, "[M-H]-", "high"), (2, "[M-H]-", "50"), (3, "[M-H]-", "10"), (3, "[M-H]-", "30")], 3),
        ("msms_neg", [(9, "[M-H]-", "20"), (2, "[M-H]-", "20"), (3, "[M-H]-", "20")], 1),
        ("msms_neg", [(9, None, None), (2, None, "50")], 1),
    ],
)
def test_choice_among_several_spectra(modality, spectra, chosen):
    names = ("inchikey", "modality", "peaks", "adduct", "collision_energy")
    table = pd.DataFrame([("A", modality, *spectrum) for spectrum in spectra], columns=names)
    other = table.assign(inchikey="B")
    assert choose(table).index.tolist() == [chosen]
    assert choose(pd.concat([table, other], ignore_index=True)).index.tolist() == [chosen, chosen + len(table)]


def test_the_same_sources_give_the_same_bytes_with_any_number_of_processes(sources, tmp_path):
    prepare(sources, tmp_path / "one")
    prepare(sources, tmp_path / "two", workers=2)
    for path in (tmp_path / "one").iterdir():
        assert path.read_bytes() == (tmp_path / "two" / path.name).read_bytes(), path.name


def test_a_spectrum_that_cannot_be_drawn_is_listed(sources, tmp_path, monkeypatch):
    draw = module.prepare_all

    def refuses(spectra):
        if any(len(s) == 3 for s in spectra):
            raise module.ReadError("three peaks")
        return draw(spectra)

    monkeypatch.setattr(module, "prepare_all", refuses)
    summary = prepare(sources, tmp_path / "out")
    assert summary["rejects"]["not drawn"] == 2  # 13C of propanol, 1H of ethanol
    assert np.load(tmp_path / "out" / "present.npy").sum() == 4


def test_groups_are_evaluated_with_enough_positives():
    counts = {
        "Amine": {"train": 10, "validation": 0, "test": 5},
        "Azide": {"train": 9, "validation": 9, "test": 9},
        "Ester": {"train": 20, "validation": 5, "test": 4},
    }
    assert evaluated(counts) == ["Amine"] and evaluated(counts, "validation") == ["Ester"]


def test_the_command_prints_the_summary(sources, tmp_path, capsys):
    paths = ["--nmrshiftdb2", str(sources[0][1]), "--massbank", str(sources[1][1])]
    out = str(tmp_path / "out")
    assert main(["data", "prepare", "experimental", *paths, "--out", out, "--licence-allow", "all"]) == 0
    printed = capsys.readouterr().out
    for words in ("molecules: 3", "1  ms, CC BY-NC-SA", "another structure has this InChIKey block", out):
        assert words in printed
    assert main(["data", "prepare", "experimental", *paths, "--out", out]) == 2
    assert "exists" in capsys.readouterr().err
    assert main(["data", "prepare", "experimental", "--out", str(tmp_path / "other")]) == 2
    assert "--nmrshiftdb2 FILE" in capsys.readouterr().err


@pytest.mark.slow
def test_the_full_files(dev_file, tmp_path):
    paths = dev_file("nmrshiftdb2", "nmrshiftdb2withsignals.sd.xz"), dev_file("massbank", "records.tar.xz")
    (tmp_path / "nmr.sd").write_bytes(lzma.open(paths[0]).read())
    with tarfile.open(paths[1]) as archive:
        archive.extractall(tmp_path / "records", filter="data")
    sources = [("nmrshiftdb2", tmp_path / "nmr.sd"), ("massbank", tmp_path / "records")]
    summary = prepare(sources, tmp_path / "out", ["all"], workers=2)
    assert summary["molecules"] > 40_000 and "\n" in described(summary)
    assert summary["molecules_with"][module.ALL] > 500
    unreadable = ("structure not readable", "peak not readable")
    assert sum(summary["rejects"].get(reason, 0) for reason in unreadable) < 0.01 * summary["molecules"]

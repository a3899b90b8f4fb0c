"""The simulated set of Alberts et al.: reading, what spoils a row, joining, resuming, damage, the command."""

from __future__ import annotations

import csv
import hashlib
import json
import math
import os
from collections import namedtuple
from functools import cache

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from conftest import damage
from rdkit import Chem
from rdkit.Chem.EnumerateStereoisomers import EnumerateStereoisomers

from symspectra.cli.main import main
from symspectra.datasets.alberts import columns
from symspectra.datasets.alberts import prepare as module
from symspectra.datasets.alberts.prepare import prepare
from symspectra.datasets.base import OPEN_DIRECTORY, SPLITS, split_of
from symspectra.datasets.prepared import read_folder
from symspectra.datasets.writer import described
from symspectra.errors import DataError
from symspectra.files import digest
from symspectra.groups.molecules import structure
from symspectra.groups.table8 import from_bits, label
from symspectra.modalities import MODALITIES
from symspectra.spectra.lines import read_rows
from symspectra.spectra.preprocessing import ir_vector, msms_vector, nmr_vector

SMILES = "CCO CC(=O)OC c1ccccc1O CC#N CCN C[C@H](N)C(=O)O [Na+].CC(=O)[O-] CCCl CCS CC(C)=O".split()
CURVES = {"h_nmr_spectra": (10_000, "f4"), "c_nmr_spectra": (10_000, "f8"), "ir_spectra": (1800, "f4")}
NEWER = [f"msms_cfmid_{p}_{e}ev" for p in ("positive", "negative") for e in (10, 20, 40)]


@cache
def curves(seed):
    """Spectra with a line in a hundred points; that of the infrared goes a little below zero."""
    rng, spectra = np.random.default_rng(seed), {}
    for name, (points, kind) in CURVES.items():
        y = np.where(rng.random(points) < 0.01, rng.random(points), 0.0)
        spectra[name] = (y - 0.1 * (name == "ir_spectra")).astype(kind)
    return spectra


def row(smiles="CCO", seed=0, **changes):
    """A row as the published files have it."""
    rng = np.random.default_rng(seed)
    peaks = {name: np.stack([rng.uniform(20, 590, 4), rng.uniform(1, 100, 4)], axis=1).round(4) for name in NEWER}
    lists = {name: pairs.tolist() for name, pairs in peaks.items()}
    return {"smiles": smiles, "molecular_formula": "X", **curves(seed), **lists, **changes}


def rows(n, first=0):
    return [row(SMILES[i % len(SMILES)], i) for i in range(first, first + n)]


def write(path, table, rename=str, list_of=pa.list_, **options):
    """Rows as a parquet file."""
    path.parent.mkdir(exist_ok=True, parents=True)
    kinds = {"smiles": pa.string(), "molecular_formula": pa.string()}
    kinds |= {name: list_of(pa.from_numpy_dtype(np.dtype(kind))) for name, (_, kind) in CURVES.items()}
    kinds |= dict.fromkeys(NEWER, list_of(list_of(pa.float64())))
    arrays = {rename(name): pa.array([r[name] for r in table], kind) for name, kind in kinds.items()}
    pq.write_table(pa.table(arrays), path, **options)
    return path


@pytest.fixture
def source(tmp_path):
    """Two files of five molecules each."""
    folder = tmp_path / "source"
    write(folder / "a.parquet", rows(5))
    write(folder / "b.parquet", rows(5, 5))
    return folder


def rejected(out):
    with open(out / "rejects.csv", newline="") as f:
        return [(r["file"], int(r["record"]), r["reason"]) for r in csv.DictReader(f)]


def vectors(row):
    """The five spectra of a row, each prepared alone."""

    def curve(name):
        return torch.tensor(np.asarray(row[name]))[None]

    def peaks(names):
        mz, intensity = torch.tensor([peak for name in names for peak in row[name] or ()]).reshape(-1, 2).T
        return msms_vector(mz, intensity, torch.zeros(len(mz), dtype=torch.long), 1)

    nmr = (nmr_vector(curve(name)) for name in ("c_nmr_spectra", "h_nmr_spectra"))
    return torch.cat([ir_vector(curve("ir_spectra")), *nmr, peaks(NEWER[:3]), peaks(NEWER[3:])]).numpy()


def same_files(one, two):
    assert {path.name for path in one.iterdir()} == {path.name for path in two.iterdir()}
    for path in one.iterdir():
        assert path.read_bytes() == (two / path.name).read_bytes(), path.name


def test_the_folder_holds_what_the_files_say(source, tmp_path):
    summary = prepare(source, tmp_path / "out")
    out = tmp_path / "out"
    table = pq.read_table(out / "molecules.parquet").to_pylist()
    manifest = json.loads((out / "manifest.json").read_text())
    assert manifest["kind"] == "alberts" and tuple(manifest["modalities"]) == MODALITIES == columns.MODALITIES
    assert [s["file"] for s in manifest["sources"]] == ["a.parquet", "b.parquet"] and manifest["resample"] == "blockmax"
    for s in manifest["sources"]:
        assert s["sha256"] == digest(source / s["file"]) and s["rows"] == 5
    assert set(manifest["files"]) | {"manifest.json", "manifest.json.sha256"} == {path.name for path in out.iterdir()}
    assert all(digest(out / name) == stated for name, stated in manifest["files"].items())
    assert manifest["summary"] == json.loads(json.dumps(summary)) and manifest["versions"]["rdkit"]
    digests = [hashlib.sha256(r["smiles"].encode()).hexdigest() for r in table]
    assert digests == sorted(digests) and len(table) == summary["molecules"] == 10
    assert {r["smiles"] for r in table} >= {"CCO", "CC(N)C(=O)O", "CC(=O)[O-].[Na+]"}
    for r in table:
        text = SMILES[r["row"] + 5 * (r["file"] == "b.parquet")]
        assert r["split"] == split_of(r["inchikey"]) and r["smiles"] == structure(text)[2]
        assert np.array_equal(from_bits(np.array([r["groups"]]))[0], label([r["smiles"]])[0])
    assert sum(summary["splits"].values()) == 10 and summary["spectra"] == dict.fromkeys(MODALITIES, 10)
    assert sum(summary["groups"]["Alcohol"].values()) == sum(label(SMILES)[:, 2]) and rejected(out) == []
    x, present = np.load(out / "vectors.npy", mmap_mode="r"), np.load(out / "present.npy")
    assert x.shape == (10, 5, 600) and x.dtype == np.float16 and present.shape == (10, 5) and present.all()
    for r, ours in zip(table, x, strict=True):
        theirs = vectors(rows(10)[r["row"] + 5 * (r["file"] == "b.parquet")])
        np.testing.assert_allclose(ours, theirs, rtol=1e-3, atol=1e-6)
    folder = read_folder(out)
    assert folder.complete().all() and not folder.measured and folder.smiles == [r["smiles"] for r in table]
    assert {path.name for path in tmp_path.iterdir()} == {"source", "out"}


#: What is wrong with a row, and the reason that is given.
MALFORMED = [
    ({"smiles": "CCO)"}, "structure not readable"),
    ({"smiles": None}, "structure not readable"),
    ({"smiles": ""}, "structure not readable"),
    ({"smiles": "CCO ethanol"}, "structure not readable"),
    ({"smiles": "[H][H]"}, "structure not readable"),
    ({"smiles": "C" * 501}, "structure too large"),
    ({"smiles": "C*"}, "no InChIKey"),
    ({"ir_spectra": None}, "IR spectrum missing"),
    ({"ir_spectra": np.zeros(1801, np.float32)}, "IR spectrum not of 1800 points"),
    ({"ir_spectra": np.full(1800, 1e6, np.float32)}, "IR spectrum not finite, or too large"),
    ({"c_nmr_spectra": np.zeros(0)}, "13C spectrum not of 10000 points"),
    ({"c_nmr_spectra": np.where(np.arange(10_000) == 7, np.nan, 0.0)}, "13C spectrum not finite, or too large"),
    ({"c_nmr_spectra": np.where(np.arange(10_000) == 7, 1e300, 0.0)}, "13C spectrum not finite, or too large"),
    ({"h_nmr_spectra": np.where(np.arange(10_000) == 9, -np.inf, 1)}, "1H spectrum not finite, or too large"),
    ({"h_nmr_spectra": [None] + [0.5] * 9999}, "1H spectrum not finite, or too large"),
    ({NEWER[0]: [[50.0, 1.0, 2.0]]}, "MS/MS+ peak not a pair of m/z and intensity"),
    ({NEWER[1]: [[50.0, 1.0], None]}, "MS/MS+ peak not a pair of m/z and intensity"),
    ({NEWER[2]: [[50.0, -1.0]]}, "MS/MS+ peak negative, not finite or too large"),
    ({NEWER[3]: [[-50.0, 1.0]]}, "MS/MS- peak negative, not finite or too large"),
    ({NEWER[4]: [[50.0, None]]}, "MS/MS- peak negative, not finite or too large"),
    ({NEWER[5]: [[50.0, math.inf]]}, "MS/MS- peak negative, not finite or too large"),
    ({NEWER[5]: [[50.0, 1e300]]}, "MS/MS- peak negative, not finite or too large"),
]


def test_malformed_rows_are_listed_and_spoil_no_other(source, tmp_path):
    prepare(source, tmp_path / "clean")
    mixed, numbers = [], []
    for i, good in enumerate(rows(10)):
        for changes, _ in MALFORMED[i::10]:
            numbers.append(len(mixed))
            mixed.append(row("CCCCC", 99) | changes)
        mixed.append(good)
    expected = [reason for i in range(10) for _, reason in MALFORMED[i::10]]
    write(tmp_path / "other" / "a.parquet", mixed)
    summary = prepare(tmp_path / "other", tmp_path / "out")
    assert rejected(tmp_path / "out") == [("a.parquet", n, reason) for n, reason in zip(numbers, expected, strict=True)]
    assert sum(summary["rejects"].values()) == len(MALFORMED) and summary["molecules"] == 10
    for name in ("vectors.npy", "present.npy"):
        assert (tmp_path / "clean" / name).read_bytes() == (tmp_path / "out" / name).read_bytes()


def test_a_mass_spectrum_without_peaks_is_absent(tmp_path):
    off_axis = dict.fromkeys(NEWER[3:], [[600.0, 50.0], [100.0, 0.0]])
    table = [
        row("CCO", **dict.fromkeys(NEWER[:3], [])),
        row("CCN", **dict.fromkeys(NEWER[:3])),
        row("CCS", **off_axis),
        row("CCF", **dict.fromkeys(NEWER[:2], None)),
    ]
    write(tmp_path / "source" / "a.parquet", table)
    summary = prepare(tmp_path / "source", tmp_path / "out")
    order = pq.read_table(tmp_path / "out" / "molecules.parquet")["row"].to_pylist()
    x, present = np.load(tmp_path / "out" / "vectors.npy"), np.load(tmp_path / "out" / "present.npy")
    expected = np.ones((4, 5), dtype=bool)
    expected[[0, 1], 3], expected[2, 4] = False, False
    assert np.array_equal(present, expected[order]) and np.array_equal(present, x.any(axis=2))
    assert summary["spectra"] == {"ir": 4, "c13": 4, "h1": 4, "msms_pos": 2, "msms_neg": 3}


def test_older_names_and_other_kinds_of_lists(source, tmp_path):
    folder = tmp_path / "older"
    write(folder / "a.parquet", rows(5), rename=lambda name: name.replace("cfmid_", ""))
    write(folder / "b.parquet", rows(5, 5), list_of=pa.large_list, row_group_size=2)
    assert prepare(source, tmp_path / "one") == prepare(folder, tmp_path / "two")
    assert (tmp_path / "one" / "vectors.npy").read_bytes() == (tmp_path / "two" / "vectors.npy").read_bytes()


def test_however_a_molecule_is_written_it_is_the_same():
    table, _ = read_rows(OPEN_DIRECTORY, 100)
    for smiles, inchikey in zip(table["smiles"].to_pylist(), table["inchikey"].to_pylist(), strict=True):
        molecule = next(EnumerateStereoisomers(Chem.MolFromSmiles(smiles)))
        styles = ({}, {"doRandom": True}, {"kekuleSmiles": True}, {"allHsExplicit": True}, {"allBondsExplicit": True})
        texts = [Chem.MolToSmiles(molecule, **style) for style in styles] + [Chem.MolToSmiles(Chem.AddHs(molecule))]
        assert {structure(text)[1:] for text in texts} == {(inchikey, smiles)}, texts


def test_of_a_molecule_the_first_row_is_kept(tmp_path):
    folder = tmp_path / "source"
    write(folder / "a.parquet", [row("CCO", 1), row("C[C@H](N)C(=O)O", 2), row("OCC", 3), row("CC)", 4)])
    write(folder / "b.parquet", [row("C(C)O", 5), row("CCN", 6), row("CC)", 7), row("C[C@@H](N)C(=O)O", 8)])
    summary = prepare(folder, tmp_path / "one")
    again, unreadable = "molecule seen before", "structure not readable"
    assert rejected(tmp_path / "one") == [
        *(("a.parquet", 2, again), ("a.parquet", 3, unreadable), ("b.parquet", 0, again)),
        *(("b.parquet", 2, unreadable), ("b.parquet", 3, again)),
    ]
    assert summary["rejects"] == {again: 3, unreadable: 2} and summary["rows"] == 8 and summary["molecules"] == 3
    table = pq.read_table(tmp_path / "one" / "molecules.parquet").to_pylist()
    assert {(r["smiles"], r["file"], r["row"]) for r in table} >= {("CCO", "a.parquet", 0), ("CCN", "b.parquet", 1)}
    prepare(folder, tmp_path / "two", workers=2)
    same_files(tmp_path / "one", tmp_path / "two")


def test_sizes_of_batches_change_nothing(tmp_path, monkeypatch):
    write(tmp_path / "source" / "a.parquet", [*rows(10), row("CC)")])
    write(tmp_path / "source" / "b.parquet", [row("CCCC", 1), row("CCO", 2), row("CCCN", 3)])
    write(tmp_path / "source" / "c.parquet", [])
    prepare(tmp_path / "source", tmp_path / "one")
    monkeypatch.setattr(columns, "BATCH", 3)
    assert prepare(tmp_path / "source", tmp_path / "two")["molecules"] == 12
    same_files(tmp_path / "one", tmp_path / "two")


def count_files(monkeypatch, error=None):
    """Names of the files that are converted from now on; the second one ends with an error."""
    names, convert = [], module.convert

    def counts(file, folder, how):
        names.append(file.path.name)
        convert(file, folder, how)
        if error and len(names) > 1:
            raise error

    monkeypatch.setattr(module, "convert", counts)
    return names


def interrupted(source, out, monkeypatch, **options):
    """A preparation that is stopped in the middle of its second file."""
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        count_files(patch, KeyboardInterrupt())
        prepare(source, out, **options)


def test_what_was_interrupted_goes_on(source, tmp_path, monkeypatch):
    prepare(source, tmp_path / "whole")
    interrupted(source, tmp_path / "out", monkeypatch)
    assert not (tmp_path / "out").exists()
    assert {p.name for p in (tmp_path / "out.unfinished").iterdir()} == {"a.parquet"}
    names = count_files(monkeypatch)
    with monkeypatch.context() as patch, pytest.raises(OSError, match="No space left"):
        patch.setattr(module, "_join", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device")))
        prepare(source, tmp_path / "out")
    prepare(source, tmp_path / "out")  # what interrupts the joining costs no file either
    assert names == ["b.parquet"] and not (tmp_path / "out.unfinished").exists()
    same_files(tmp_path / "whole", tmp_path / "out")


@pytest.mark.parametrize(
    "change",
    [
        lambda source, part: damage(part / "vectors.npy", "flipped middle"),
        lambda source, part: damage(part / "rows.parquet", "missing"),
        lambda source, part: (part / "manifest.json").write_text("[1]"),
        lambda source, part: os.utime(source / "a.parquet", (1, 1)),
        lambda source, part: write(source / "a.parquet", rows(5)[::-1]),
    ],
)
def test_a_part_that_is_damaged_or_of_another_file_is_made_again(source, tmp_path, monkeypatch, change):
    interrupted(source, tmp_path / "out", monkeypatch)
    change(source, tmp_path / "out.unfinished" / "a.parquet")
    names = count_files(monkeypatch)
    prepare(source, tmp_path / "out")
    assert names == ["a.parquet", "b.parquet"]
    prepare(source, tmp_path / "whole")
    same_files(tmp_path / "whole", tmp_path / "out")


def test_parts_of_other_settings_are_made_again(source, tmp_path, monkeypatch):
    interrupted(source, tmp_path / "out", monkeypatch, how="blockmean")
    names = count_files(monkeypatch)
    assert prepare(source, tmp_path / "out")["molecules"] == 10 and names == ["a.parquet", "b.parquet"]


def test_wrong_files_are_refused_before_anything_is_computed(source, tmp_path, monkeypatch):
    names = count_files(monkeypatch)
    path, out = source / "c.parquet", tmp_path / "out"
    good = pq.read_table(source / "a.parquet")

    def refused(words):
        with pytest.raises(DataError, match=words) as error:
            prepare(source, out)
        assert "c.parquet" in str(error.value) and "\n" not in str(error.value)

    for content in ((source / "a.parquet").read_bytes()[:-1000], b"", b"smiles,ir_spectra\n" * 10):
        path.write_bytes(content)
        refused("cannot be read as parquet")
    for name, words in (("smiles", "no column smiles"), ("ir_spectra", "no column ir_spectra of lists of numbers")):
        pq.write_table(good.drop_columns([name]), path)
        refused(words)
    pq.write_table(good.drop_columns([NEWER[4]]), path)
    refused("no column msms_cfmid_negative_20ev of lists of lists of numbers")
    for name, words in (("smiles", "of text"), ("h_nmr_spectra", "lists of numbers"), (NEWER[0], "lists of lists")):
        pq.write_table(good.drop_columns([name]).append_column(name, pa.array([1] * 5)), path)
        refused(words)
    path.unlink()
    for folder, words in ((source / "a.parquet", "is no folder"), (tmp_path, "no file that ends in .parquet")):
        with pytest.raises(DataError, match=words):
            prepare(folder, out)
    with pytest.raises(DataError, match="unknown resampling 'max'"):
        prepare(source, out, how="max")
    out.mkdir()
    with pytest.raises(DataError, match="exists"):
        prepare(source, out)
    assert names == [] and not (tmp_path / "out.unfinished").exists()


def test_a_file_damaged_in_the_middle_is_named_and_the_others_are_kept(source, tmp_path, monkeypatch):
    path = write(source / "b.parquet", rows(10), row_group_size=2, write_page_checksum=True)
    undamaged = path.read_bytes()
    damage(path, "flipped middle")
    with pytest.raises(DataError, match=r"b.parquet: is damaged after row \d .*fetch it again"):
        prepare(source, tmp_path / "out")
    path.write_bytes(undamaged)
    names = count_files(monkeypatch)
    assert prepare(source, tmp_path / "out")["molecules"] == 10 and names == ["b.parquet"]


def test_too_small_a_disk_is_said_at_once(source, tmp_path, monkeypatch):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(module.shutil, "disk_usage", lambda path: usage(0, 0, 100))
    with pytest.raises(DataError, match="0.0 GB are needed on this disk, 0.0 GB are free"):
        prepare(source, tmp_path / "out")


def test_a_set_without_a_good_row_is_refused(tmp_path):
    write(tmp_path / "source" / "a.parquet", [row("CC)")] * 2)
    with pytest.raises(DataError, match="source: no molecule is left; the first row: structure not readable"):
        prepare(tmp_path / "source", tmp_path / "out")
    write(tmp_path / "source" / "a.parquet", [])
    with pytest.raises(DataError, match="no molecule is left; the first row: there are no rows"):
        prepare(tmp_path / "source", tmp_path / "out")


def test_the_command_prints_the_summary(source, tmp_path, capsys):
    out = str(tmp_path / "out")
    arguments = ["data", "prepare", "alberts", "--source", str(source), "--out", out]
    assert main(arguments) == 0
    printed = capsys.readouterr().out
    assert "molecules: 10\n" in printed and "10  msms_neg" in printed and out in printed
    assert main(arguments) == 2 and "exists" in capsys.readouterr().err
    assert all(name in printed for name in SPLITS)
    assert main([*arguments[:-1], out + "-linear", "--resample", "linear"]) == 0
    assert read_folder(out + "-linear").resample == "linear"


def test_the_published_rows(dev_file, tmp_path):
    path = dev_file("alberts", "example_data_1.parquet")
    summary = prepare(path.parent, tmp_path / "out")
    assert summary["molecules"] == 100 and summary["spectra"] == dict.fromkeys(MODALITIES, 100)
    assert "rows: 100\n" in described(summary)
    table, source = pq.read_table(tmp_path / "out" / "molecules.parquet").to_pylist(), pq.read_table(path).to_pylist()
    for r, ours in zip(table, np.load(tmp_path / "out" / "vectors.npy"), strict=True):
        np.testing.assert_allclose(ours, vectors(source[r["row"]]), rtol=1e-3, atol=1e-6)

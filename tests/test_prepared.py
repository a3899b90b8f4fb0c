"""Prepared folders: which molecules are tested, what stands for a missing spectrum, and what is refused."""

import json

import numpy as np
import pytest
import torch
from conftest import damage, marker_dataset, tiny, write_prepared

from symspectra.config import Config
from symspectra.datasets import prepared
from symspectra.datasets.base import JoinedDataset, load_dataset, split_of
from symspectra.datasets.prepared import PreparedDataset, find_folder, read_folder
from symspectra.errors import DataError
from symspectra.files import write_manifest
from symspectra.training.metrics import multilabel_metrics
from symspectra.training.runs import run

KINDS = ("c13", "h1", "msms_pos", "msms_neg", "ms")


@pytest.fixture(scope="module")
def source():
    data = marker_dataset(400, KINDS, missing=0.35)
    data.y[100:, 20:] = False  # rare groups
    return data


@pytest.fixture(scope="module")
def folder(source, tmp_path_factory):
    return write_prepared(tmp_path_factory.mktemp("data") / "experimental", source)


def read_manifest(folder):
    return json.loads((folder / "manifest.json").read_text())


def complete(source):
    c13, h1, *mass = source.present.T
    return c13 & h1 & torch.stack(mass).any(dim=0)


def ids_of(dataset, split):
    return {dataset.ids[row] for row in dataset.rows(split).tolist()}


def test_complete_molecules_are_tested_and_all_others_trained_on(source, folder):
    names = np.array(source.ids)
    whole = set(names[complete(source).numpy()])
    dataset = PreparedDataset(folder, ("c13", "h1", "ms"), test_tenths=3)
    for split in ("test", "validation"):
        assert ids_of(dataset, split) == {name for name in whole if split_of(name, 3) == split} != set()
    assert ids_of(dataset, "train") == set(names) - ids_of(dataset, "test") - ids_of(dataset, "validation")
    for modality in ("c13", "h1", "ms"):  # the same molecules are tested whatever the model reads
        alone = PreparedDataset(folder, (modality,), test_tenths=3)
        assert ids_of(alone, "test") == ids_of(dataset, "test")
        assert torch.equal(alone.evaluated, dataset.evaluated)
        assert len(alone.ids) < len(names) and alone.present.all()


def test_spectra_are_those_of_the_folder(source, folder):
    dataset = PreparedDataset(folder, ("c13", "msms_neg"))
    row_of = {name: i for i, name in enumerate(source.ids)}
    rows = torch.tensor([row_of[name] for name in dataset.ids])
    x, present = dataset.spectra(torch.arange(len(rows)), draw=3)
    assert torch.equal(present, source.present[rows][:, [0, 3]]) and torch.equal(dataset.y, source.y[rows])
    assert torch.equal(x, source.x[rows][:, [0, 3]].half().float()) and x.dtype == torch.float32
    assert (x[~present] == 0).all()


def test_ms_is_the_first_kind_that_was_measured(source, folder):
    dataset = PreparedDataset(folder, ("ms",))
    row_of = {name: i for i, name in enumerate(source.ids)}
    x, _ = dataset.spectra(torch.arange(len(dataset.ids)))
    seen = set()
    for name, vector in zip(dataset.ids, x[:, 0], strict=True):
        i = row_of[name]
        first = next(k for k in (4, 2, 3) if source.present[i, k])  # EI, MS/MS+, MS/MS-
        seen.add(first)
        assert torch.equal(vector, source.x[i, first].half().float())
    assert seen == {2, 3, 4}


def test_memory_mapped_spectra_are_the_same(folder, monkeypatch):
    whole = PreparedDataset(folder, ("c13", "ms"))
    monkeypatch.setattr(prepared, "IN_MEMORY", 0)
    mapped = PreparedDataset(folder, ("c13", "ms")).to("cpu")
    rows = torch.tensor([5, 0, 17, 5])
    for a, b in zip(whole.spectra(rows), mapped.spectra(rows), strict=True):
        assert torch.equal(a, b)
    assert whole.digest == mapped.digest


def test_a_part_begins_with_the_complete_molecules(source, folder):
    n = int(complete(source).sum())
    part = PreparedDataset(folder, ("c13", "h1", "ms"), molecules=n + 20, test_tenths=3)
    assert len(part.ids) == n + 20 and part.present[:n].all() and not part.present[n:].all(dim=1).any()
    whole = PreparedDataset(folder, ("c13", "h1", "ms"), test_tenths=3)
    assert part.ids == whole.ids[: n + 20] and ids_of(part, "test") == ids_of(whole, "test")
    assert part.digest != whole.digest
    assert PreparedDataset(folder, ("c13", "h1", "ms"), molecules=9_999, test_tenths=3).digest == whole.digest


def test_groups_with_few_molecules_do_not_count(source, folder):
    dataset = PreparedDataset(folder, ("c13", "h1", "ms"), test_tenths=3)
    whole = complete(source).numpy()
    split = np.array([split_of(name, 3) for name in source.ids])
    train, test = (source.y.numpy()[whole & (split == name)].sum(axis=0) for name in ("train", "test"))
    assert dataset.evaluated.tolist() == ((train >= 10) & (test >= 5)).tolist()
    assert 0 < dataset.evaluated.sum() < 37


def test_scores_count_the_same_groups(folder, tmp_path):
    dataset = PreparedDataset(folder, ("c13", "h1", "ms"), test_tenths=3)
    config = tiny(modalities=("c13", "h1", "ms"), epochs=8, lr=1e-2, withhold=0.2, weighting="none")
    made = run(config, tmp_path, dataset=dataset)
    for split in ("validation", "test"):
        _, y, p = made.predictions(split)
        own = multilabel_metrics(y, p, groups=dataset.evaluated)
        assert made.metrics[split]["micro_f1"] == own["micro_f1"] != multilabel_metrics(y, p)["micro_f1"]
    assert made.history[-1]["validation_micro_f1"] == pytest.approx(made.metrics["validation"]["micro_f1"], abs=1e-6)


def test_computed_spectra_are_split_whatever_they_lack(source, tmp_path):
    dataset = PreparedDataset(write_prepared(tmp_path / "alberts", source, "alberts"), KINDS)
    assert dataset.evaluated is None
    for split in ("train", "validation", "test"):
        assert ids_of(dataset, split) == {name for name in source.ids if split_of(name) == split}


def test_several_sets_joined(source, folder, tmp_path):
    parts = [marker_dataset(60, KINDS, seed=1), PreparedDataset(folder, KINDS, partly=True)]
    joined = JoinedDataset(parts)
    assert len(joined.ids) == 60 + len(source.ids) and joined.ids[60:] == parts[1].ids
    assert ids_of(parts[1], "test") == {name for name in source.ids if split_of(name) == "test"}
    rows = torch.tensor([70, 3, 61, 59])
    x, present = joined.spectra(rows)
    for k, (part, row) in enumerate(((1, 10), (0, 3), (1, 1), (0, 59))):
        own_x, own_present = parts[part].spectra(torch.tensor([row]))
        assert torch.equal(x[k], own_x[0]) and torch.equal(present[k], own_present[0])
    assert torch.equal(joined.to("cpu").y, torch.cat([part.y for part in parts]))
    with pytest.raises(DataError, match="different modalities"):
        JoinedDataset([parts[0], PreparedDataset(folder, ("c13",))])


def test_a_kind_that_the_folder_lacks(folder):
    with pytest.raises(DataError, match="has no ir spectra; it has c13, h1"):
        PreparedDataset(folder, ("ir", "c13"))
    part = PreparedDataset(folder, ("ir", "c13"), partly=True)
    assert not part.present[:, 0].any() and part.present[:, 1].all()


def test_where_folders_are_looked_for(folder, monkeypatch, tmp_path):
    monkeypatch.setenv("SYMSPECTRA_DATA", str(folder.parent))
    assert find_folder("experimental") == folder and find_folder("sdbs") is None
    config = Config(dataset="experimental", modalities=("c13", "h1", "ms"), test_tenths=3)
    assert load_dataset(config).digest == PreparedDataset(folder, config.data.modalities, test_tenths=3).digest
    monkeypatch.delenv("SYMSPECTRA_DATA")
    write_prepared(tmp_path / "data" / "own", marker_dataset(12, ("c13",)))
    (tmp_path / "notebooks").mkdir()
    for place in (tmp_path, tmp_path / "notebooks"):
        monkeypatch.chdir(place)
        assert find_folder("own") is not None
    with pytest.raises(DataError, match="there is no data set 'owm'; expected 'open' or 'uspto', or the name"):
        load_dataset(Config(dataset="owm"))


@pytest.mark.parametrize("present", [np.ones((3, 5), bool), np.ones((20, 5))])
def test_files_that_do_not_agree_are_refused(tmp_path, present):
    folder = write_prepared(tmp_path / "own", marker_dataset(20, KINDS))
    np.save(folder / "present.npy", present)
    write_manifest(folder, read_manifest(folder))
    with pytest.raises(DataError, match=r"present.npy .*expected \(20, 5, 600\)"):
        read_folder(folder)


def test_a_value_that_is_not_finite_is_named(tmp_path):
    data = marker_dataset(60, KINDS)
    data.x[7, 1, 300] = np.nan
    with pytest.raises(DataError, match="own: a spectrum of molecule 7 is not finite"):
        PreparedDataset(write_prepared(tmp_path / "own", data, "alberts"), ("c13", "h1"))


def test_what_cannot_be_tested_is_refused(tmp_path, folder, monkeypatch):
    monkeypatch.setenv("SYMSPECTRA_DATA", str(folder.parent))
    few = write_prepared(tmp_path / "few", marker_dataset(20, KINDS))
    with pytest.raises(DataError, match="no group has 10 training and 5 test molecules"):
        PreparedDataset(few, ("c13",))
    with pytest.raises(DataError, match="prepared with --resample blockmax; prepare it with .* as experimental-lin"):
        load_dataset(Config(dataset="experimental", modalities=("c13",), resample="linear"))


def test_folders_of_older_versions_are_read(folder):
    content = read_manifest(folder)
    del content["kind"]
    write_manifest(folder, content)
    assert read_folder(folder).measured


@pytest.mark.parametrize("kind", ["flipped middle", "missing"])
@pytest.mark.parametrize("name", ["vectors.npy", "present.npy", "molecules.parquet", "manifest.json"])
def test_damaged_files_are_named(tmp_path, name, kind):
    folder = write_prepared(tmp_path / "own", marker_dataset(20, KINDS))
    damage(folder / name, kind)
    with pytest.raises(DataError, match=f"{folder / name}: .*prepare it again"):
        read_folder(folder)


def test_a_manifest_without_modalities_is_named(tmp_path):
    folder = write_prepared(tmp_path / "own", marker_dataset(20, KINDS))
    write_manifest(folder, {"modalities": 5})
    with pytest.raises(DataError, match="manifest.json: modalities is 5, expected a list of names"):
        read_folder(folder)

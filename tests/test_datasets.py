import hashlib
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from conftest import LinesBuilder, marker_dataset, write_prepared

from symspectra.config import Config
from symspectra.datasets import base as datasets
from symspectra.datasets.base import SPLITS, ArrayDataset, LineDataset, load_dataset, split_of
from symspectra.datasets.splits import UNUSED, chosen, split_by_scaffold
from symspectra.datasets.views import Resplit
from symspectra.errors import DataError
from symspectra.groups import NAMES, scaffolds
from symspectra.spectra.rendering import CLEAN, MEASURED, Nuisance, render


def test_line_dataset_renders_what_render_does(random_lines, monkeypatch):
    monkeypatch.setattr(datasets, "RENDER_CHUNK", {"cpu": 7})
    data = LineDataset(random_lines, ("ir", "h1", "msms_pos"), Nuisance(), "blockmean")
    rows = torch.arange(20)
    x, present = data.spectra(rows, draw=3)
    assert torch.equal(x, render(random_lines, rows, ("ir", "h1", "msms_pos"), Nuisance(), 3, "blockmean"))
    assert present.all() and present.shape == (20, 3)
    x, present = data.spectra(rows[:0])
    assert x.shape == (0, 3, 600) and present.shape == (0, 3)


def test_digest_of_line_data_depends_on_how_they_are_rendered(random_lines):
    """Runs are named by it, so the same lines with other noise are other data."""
    digests = [
        LineDataset(random_lines, ("ir", "c13")).digest,
        LineDataset(random_lines, ("ir", "c13"), Nuisance()).digest,
        LineDataset(random_lines, ("ir", "c13"), Nuisance(c13_shift=5.0)).digest,
        LineDataset(random_lines, ("ir", "h1")).digest,
        LineDataset(random_lines, ("ir", "c13"), resampling="linear").digest,
        LineDataset(random_lines, ("ir", "c13"), test_tenths=3).digest,  # another split
    ]
    assert len(set(digests)) == len(digests)
    assert LineDataset(random_lines, ("ir", "c13")).digest == digests[0]
    assert LineDataset(random_lines, ("ir", "c13")).to("cpu").digest == digests[0]


def test_open_data_set_by_configuration(lines_builder, monkeypatch):
    monkeypatch.setitem(datasets.SHIPPED, "open", lines_builder.random(12).write())
    data = load_dataset(Config(molecules=10, modalities=("c13", "msms_neg"), resample="linear", nuisance=False))
    assert len(data.ids) == len(data.y) == 12 and data.modalities == ("c13", "msms_neg")
    assert data.resampling == "linear" and data.nuisance == CLEAN
    assert load_dataset(Config(molecules=10)).nuisance == Nuisance()
    assert load_dataset(Config(molecules=10, nuisance="measured")).nuisance == MEASURED
    with pytest.raises(DataError, match="holds 12 molecules; 13 were asked for"):
        load_dataset(Config(molecules=13))
    with pytest.raises(DataError, match="there is no data set 'opens'; expected 'open' or 'uspto', or"):
        load_dataset(Config(dataset="opens"))


@pytest.fixture
def open_lines(lines_builder, monkeypatch):
    """Sixty molecules of 25 scaffolds as the open set; five scaffolds and a rare group stand at the end."""
    for i in range(60):
        size, atom = divmod(i % 20 if i < 50 else 15 + i % 10, 5)
        smiles = "C" * (i // 20 + 1) + "C1" + "C" * (size + 2) + "CNOSP"[atom] + "1"
        lines = {"c13": [(30.0 + i, 1, 2)], "ir": [(1700.0, 100.0 + i, "C=O, acyl")]}
        lines_builder.molecule(smiles, f"KEY{i}", groups={4, 0} if i >= 46 and i % 2 else {4}, **lines)
    monkeypatch.setitem(datasets.SHIPPED, "open", lines_builder.write())


def config_of(**settings):
    return Config(modalities=("c13",), **settings)


def test_everything_that_is_not_trained_on_is_tested_on(open_lines):
    whole, part = load_dataset(config_of()), load_dataset(config_of(molecules=20))
    assert len(part.ids) == 60 and part.own.sum() == 20 and whole.own.all()
    for split in ("train", "validation"):
        assert part.rows(split).tolist() == [row for row in whole.rows(split).tolist() if row < 20]
    assert len(part.rows("test")) == 60 - len(part.rows("train")) - len(part.rows("validation"))
    split = [load_dataset(config_of(molecules=n, test_unseen=False)) for n in (20, 40)]  # the same for any number
    assert [[data.ids[row] for row in data.rows("test")] for data in split] == [
        [whole.ids[row] for row in whole.rows("test")]
    ] * 2
    few = load_dataset(config_of(molecules=20, test_molecules=5))
    assert [len(few.rows(split)) for split in SPLITS[:2]] == [len(part.rows(split)) for split in SPLITS[:2]]
    assert [few.ids[row] for row in few.rows("test")] == [part.ids[row] for row in part.rows("test")[:5]]
    assert len({data.digest for data in (whole, part, few)}) == 3
    for draw in (0, 3):  # whatever is kept of the other data
        for data in (part, few, whole):
            rows = torch.arange(len(data.ids))
            assert torch.equal(data.spectra(rows, draw)[0], data._render(rows, ("c13",), draw))
            assert torch.equal(
                data.spectra(data.rows("train"), draw)[0], data._render(data.rows("train"), ("c13",), draw)
            )


def test_beside_other_data_only_the_chosen_molecules_are_there(open_lines):
    lines = datasets._lines((datasets.SHIPPED["open"],), config_of(molecules=20).data, ("ir",), partly=True)
    assert len(lines.ids) == 20 and lines.own.all()


def test_a_molecule_of_two_sets_counts_once(open_lines, tmp_path, monkeypatch):
    more = LinesBuilder(tmp_path / "more")
    for key, smiles in ((7, "CCCCCCCCCCO"), (100, "CCCCCCCCCCN")):  # the first is another tautomer, say, of KEY7
        more.molecule(smiles, f"KEY{key}", groups={1}, c13=[(10.0, 1, 2)], ir=[(1700.0, 50.0, "C=O, acyl")])
    monkeypatch.setitem(datasets.SHIPPED, "uspto", more.write())
    both, first = load_dataset(config_of(dataset="open+uspto")), load_dataset(config_of())
    assert isinstance(both, LineDataset) and set(both.ids) == {*first.ids, "CCCCCCCCCCN"} and len(both.ids) == 61
    splits = [{name: data._split[row] for row, name in enumerate(data.ids)} for data in (both, first)]
    assert splits[0].items() >= splits[1].items()
    hashes = [hashlib.sha256(name.encode()).digest() for name in both.ids]
    assert hashes == sorted(hashes) and both.digest != first.digest  # every beginning is a random sample
    assert load_dataset(config_of(dataset="open+uspto", molecules=30)).own.sum() == 30


def test_a_subset_in_which_every_group_can_be_learned(open_lines):
    count, trained = {}, {}
    for least in (0, 2, 3):
        data = load_dataset(config_of(molecules=25, least_positives=least))
        trained[least] = {data.ids[row] for row in data.rows("train")}
        count[least] = int(data.y[data.rows("train"), 0].sum())
        assert data.own.sum() == 25
    assert count == {0: 0, 2: 2, 3: 3}
    y, split = np.arange(60)[:, None] % [1, 2, 7, 29] == 0, np.array(["train", "test"] * 30)
    smaller = np.zeros(60, dtype=bool)
    for n in range(8, 61):
        larger = chosen(y, split, n, 3)
        assert larger.sum() == n and (larger >= smaller).all()  # none is given up
        assert ((y & larger[:, None])[split == "train"].sum(axis=0) >= np.minimum(3, y[split == "train"].sum(0))).all()
        smaller = larger
    assert chosen(y, split, 0, 3).all() and chosen(y, split, 20).tolist() == [True] * 20 + [False] * 40


def test_whole_clusters_of_scaffolds_are_tested_on(open_lines, monkeypatch):
    def scaffold_split(smiles):  # the real one finds these rings too much alike
        return SimpleNamespace(split=[("test", "train", "validation")[k % 3] for k in range(len(smiles))])

    monkeypatch.setattr(scaffolds, "scaffold_split", scaffold_split)
    data = load_dataset(config_of(molecules=50))
    split, whole = split_by_scaffold(data.ids, data.own), np.array(scaffold_split(data.ids).split)
    assert (split == np.where(data.own | (whole == "test"), whole, UNUSED)).all() and (split == UNUSED).any()
    assert split_by_scaffold(data.ids).tolist() == whole.tolist()


def test_infrared_intensity_is_relative_or_absolute(open_lines):
    rows = torch.tensor([1, 7])
    relative, absolute = (
        load_dataset(Config(modalities=("ir", "c13"), nuisance=False, ir_intensity=how)).spectra(rows)[0]
        for how in ("relative", "absolute")
    )
    assert torch.equal(relative[:, 1], absolute[:, 1]) and (relative[:, 0].amax(dim=1) == 1).all()
    top = absolute[:, 0].amax(dim=1)
    assert float(top[1] / top[0]) == pytest.approx(107 / 101, rel=1e-4)  # km/mol of one band
    torch.testing.assert_close(absolute[:, 0], relative[:, 0] * top[:, None])


@pytest.mark.parametrize(
    ("name", "value"),
    [("least_positives", 3), ("test_molecules", 3), ("test_unseen", False), ("ir_intensity", "absolute")],
)
def test_settings_of_line_lists_are_refused_for_prepared_spectra(tmp_path, monkeypatch, name, value):
    monkeypatch.setenv("SYMSPECTRA_DATA", str(write_prepared(tmp_path / "mine", marker_dataset(40)).parent))
    with pytest.raises(DataError, match=f"{name} is of data sets of line lists; expected .* for 'mine'"):
        load_dataset(Config(dataset="mine", modalities=("c13",), **{name: value}))


def test_a_folder_of_line_lists_is_a_data_set(lines_builder, tmp_path, monkeypatch):
    folder = lines_builder.random(30).write()
    monkeypatch.setenv("SYMSPECTRA_DATA", str(folder.parent))
    data = load_dataset(Config(dataset=folder.name, molecules=20, test_molecules=5))
    assert isinstance(data, LineDataset) and len(data.ids) > 20 and len(data.rows("test")) == 5
    both = load_dataset(Config(dataset=f"open+{folder.name}", molecules=20))
    assert both.own.sum() == 20 and set(both.ids) & set(data.ids)


def arrays(**changes):
    data = marker_dataset(8)
    fields = {"x": data.x, "present": data.present, "y": data.y, "ids": data.ids}
    fields |= {"split": ["train"] * 6 + ["validation", "test"], "modalities": data.modalities}
    return ArrayDataset(**{**fields, **changes})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"x": torch.zeros(8, 2, 599)}, r"x has shape \(8, 2, 599\); expected \(8, 2, 600\)"),
        ({"x": torch.zeros(8, 3, 600)}, "x has shape"),
        ({"present": torch.ones(8, 3, dtype=torch.bool)}, "present has shape"),
        ({"y": torch.zeros(8, 36, dtype=torch.bool)}, r"y has shape \(8, 36\)"),
        ({"y": torch.zeros(7, 37, dtype=torch.bool)}, r"y has shape \(7, 37\)"),
        ({"split": ["train"] * 7 + ["valid"]}, "unknown: .'valid'.; expected"),
        ({"split": ["train"] * 7}, "7 splits for 8 molecules"),
        ({"labels": ("one", "two")}, r"y has shape \(8, 37\); expected \(8, 2\)"),
        ({"y": torch.zeros(8, 2), "labels": ("one", "one")}, "twice"),
        ({"present": torch.full((8, 2), 0.5)}, "present ir of molecule 0 is 0.5"),
    ],
)
def test_arrays_that_do_not_agree_are_refused(changes, message):
    with pytest.raises(DataError, match=message):
        arrays(**changes)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_spectrum_that_is_not_finite_is_refused_by_name(value):
    x = torch.zeros(8, 2, 600)
    x[5, 1, 17] = value
    with pytest.raises(ValueError, match=r"molecule 5: c13 is (nan|inf) at point 17"):
        arrays(x=x)


@pytest.mark.parametrize("value", [2.0, -1.0, 0.5, float("nan")])
def test_labels_other_than_0_and_1_are_refused(value):
    y = torch.zeros(8, 37)
    y[3, 4] = value
    with pytest.raises(DataError, match="molecule 3"):
        arrays(y=y)


def test_absent_spectra_are_zeros_whatever_was_given():
    present = torch.ones(8, 2, dtype=torch.bool)
    present[2, 1] = False
    x, mask = arrays(x=torch.ones(8, 2, 600), present=present).spectra(torch.tensor([2, 3]))
    assert (x[0, 1] == 0).all() and (x[0, 0] == 1).all() and (x[1] == 1).all()
    assert mask.tolist() == [[True, False], [True, True]]


@pytest.mark.parametrize("kind", [np.float64, np.float32, np.float16])
def test_any_arrays_and_labels(kind):
    x = np.random.default_rng(0).random((8, 2, 600)).astype(kind)
    y = np.arange(8)[:, None] < (4, 2, 0)
    own = arrays(x=x, present=np.ones((8, 2)), y=y.astype(kind), labels=("acid", "base", "salt"), name="assay")
    spectra, present = own.spectra(torch.arange(8))
    assert spectra.dtype == torch.float32 and torch.equal(spectra, torch.from_numpy(x.astype(np.float32)))
    assert own.labels == ("acid", "base", "salt") and own.y.dtype == present.dtype == torch.bool
    assert own.name == "assay" and own.counts == {
        "molecules": {"train": 6, "validation": 1, "test": 1},
        "spectra": {"ir": 8, "c13": 8},
        "labels": {"acid": 4, "base": 2, "salt": 0},
    }
    assert arrays().labels == NAMES == Resplit(arrays(), ["train"] * 8).labels


def test_empty_splits_are_named():
    with pytest.warns(UserWarning, match="no molecule is in the split validation and test"):
        arrays(split=["train"] * 8)


def test_digest_changes_with_every_part():
    x, y, present = torch.zeros(8, 2, 600), torch.zeros(8, 37, dtype=torch.bool), torch.ones(8, 2, dtype=torch.bool)
    x[0, 0, 0], y[0, 0], present[0, 0] = 1, True, False
    changes = [{}, {"x": x}, {"y": y}, {"present": present}, {"ids": list("abcdefgh")}]
    changes += [{"split": ["train", "validation", "test"] + ["test"] * 5}, {"modalities": ("ir", "h1")}]
    changes += [{"labels": [str(i) for i in range(37)]}]
    digests = [arrays(**change).digest for change in changes]
    assert len(set(digests)) == len(digests) and arrays().digest == digests[0]
    assert arrays().to("cpu").digest == digests[0]


def test_more_tenths_for_testing_keep_those_of_fewer():
    keys = [f"KEY{i}" for i in range(5000)]
    by_tenths = {n: {key for key in keys if split_of(key, n) == "test"} for n in (1, 2, 3)}
    assert by_tenths[1] < by_tenths[2] < by_tenths[3]
    assert abs(len(by_tenths[3]) / 5000 - 0.3) < 0.03
    assert {key for key in keys if split_of(key) == "validation"} < by_tenths[2]


def test_lines_with_more_tenths_for_testing(random_lines):
    wide = LineDataset(random_lines, ("c13",), test_tenths=3)
    for split in SPLITS:
        for data in (wide, wide.to("cpu")):
            expected = [i for i, key in enumerate(random_lines.inchikey) if split_of(key, 3) == split]
            assert data.rows(split).tolist() == expected


def test_the_simulated_mass_spectrum_is_that_of_positive_ions(random_lines):
    rows = torch.arange(5)
    mass, _ = LineDataset(random_lines, ("c13", "ms")).spectra(rows)
    positive, _ = LineDataset(random_lines, ("c13", "msms_pos")).spectra(rows)
    assert torch.equal(mass, positive) and mass[:, 1].any()

import hashlib
import json
from math import comb

import numpy as np
import pytest
import torch
from conftest import LinesBuilder

from symspectra.errors import DataError
from symspectra.files import digest
from symspectra.spectra.lines import (
    COLUMNS,
    LIST_GROUPS,
    Ragged,
    add_ei,
    factor,
    holds_lines,
    line_table,
    molecule_seed,
    multiplet,
    read_lines,
    read_rows,
)

ETHANOL = {
    "ir": [(2900.0, 50.0, "C-H, sp3"), (1050.5, 90.0, "S=O"), (3700.0, 20.0, "O-H")],
    "c13": [(58.1, 1, 2), (18.2, 1, 3), (170.0, 2, 0)],
    "h1": [(3.69, 2, "7.0*3", 0.0), (1.25, 3, "7.0*2", 0.0), (2.6, 1, "", 1.5)],
    "msms_pos": [(47.05, 100), (29.04, 7)],
    "msms_neg": [],
}


def test_round_trip_through_parquet(lines_builder):
    builder = lines_builder.molecule("CCO", "LFQSCWFLJHTTHZ", groups=(2, 4), level="ff", **ETHANOL)
    builder = builder.molecule("C", groups=(36,))
    lines = builder.read()
    assert len(lines) == 2 and lines.smiles == ("CCO", "C") and lines.inchikey[0] == "LFQSCWFLJHTTHZ"
    assert lines.y.nonzero().tolist() == [[0, 2], [0, 4], [1, 36]]
    assert lines.seed.tolist() == [molecule_seed("CCO"), molecule_seed("C")]
    columns, row, number = lines.spectra["c13"].select(torch.tensor([0]))
    assert columns["ppm"].tolist() == pytest.approx([58.1, 18.2, 170.0])
    assert columns["area"].tolist() == [1.0, 1.0, 1.0]  # two carbons without hydrogen count half
    columns, _, _ = lines.spectra["ir"].select(torch.tensor([0]))
    expected = [value * factor(kind, "ff") for value, _, kind in sorted(ETHANOL["ir"], reverse=True)]
    assert columns["cm1"].tolist() == pytest.approx(expected)
    assert columns["km_mol"].tolist() == [20.0, 50.0, 90.0]
    assert columns["polar"].tolist() == [True, False, False] and columns["ch"].tolist() == [False, True, False]
    columns, _, _ = lines.spectra["msms_pos"].select(torch.tensor([0]))
    assert columns["mz"].tolist() == pytest.approx([47.05, 29.04]) and columns["intensity"].tolist() == [100.0, 7.0]
    columns, _, _ = lines.spectra["h1"].select(torch.tensor([0]))
    assert columns["group"].tolist() == [0] * 4 + [1] * 3 + [2]
    assert columns["hz"].tolist() == [-10.5, -3.5, 3.5, 10.5, -7.0, 0.0, 7.0, 0.0]
    area = [torch.sum(columns["area"][columns["group"] == g]).item() for g in range(3)]
    assert area == pytest.approx([2.0, 3.0, 1.0])
    assert columns["spread"].tolist() == [0.0] * 7 + [1.5]
    for name in LIST_GROUPS:
        assert len(lines.spectra[name].select(torch.tensor([1]))[1]) == 0


@pytest.mark.parametrize("n", [*range(1, 7), 9])
def test_multiplet_intensities_are_pascals_triangle_without_its_weak_ends(n):
    hz, area = multiplet(f"7.0*{n}")
    expected = np.array([comb(n, k) for k in range(n + 1)])
    kept = expected >= 0.02 * expected.max()
    assert hz.tolist() == [7.0 * (k - n / 2) for k in range(n + 1) if kept[k]]
    np.testing.assert_allclose(area, expected[kept] / expected[kept].sum())


@pytest.mark.parametrize(
    ("couplings", "expected_hz", "expected_area"),
    [
        ("8.0*1 2.0*2", [-6, -4, -2, 2, 4, 6], [1, 2, 1, 1, 2, 1]),
        ("4.0*2 4.0*1", [-6, -2, 2, 6], [1, 3, 3, 1]),  # one coupling in two terms: coinciding lines are added
        ("", [0], [1]),
    ],
)
def test_multiplet_of_two_couplings_is_their_product(couplings, expected_hz, expected_area):
    hz, area = multiplet(couplings)
    np.testing.assert_allclose(hz, expected_hz)
    np.testing.assert_allclose(area, np.array(expected_area) / sum(expected_area))


def test_select_against_a_plain_loop(random_lines):
    rows = torch.tensor([7, 0, 59, 7, 3])
    for name, lines in random_lines.spectra.items():
        columns, row, number = lines.select(rows)
        expected = [
            (position, k, *(float(column[int(lines.offsets[r]) + k]) for column in lines.columns.values()))
            for position, r in enumerate(rows.tolist())
            for k in range(int(lines.offsets[r + 1] - lines.offsets[r]))
        ]
        got = list(zip(row.tolist(), number.tolist(), *(c.tolist() for c in columns.values()), strict=True))
        assert got == expected and len(got) > 0, name


def test_select_of_no_rows_and_of_empty_rows():
    lines = Ragged(torch.tensor([0, 0, 2, 2]), {"x": torch.tensor([1.0, 2.0])})
    for rows in (torch.tensor([], dtype=torch.long), torch.tensor([0, 2])):
        columns, row, number = lines.select(rows)
        assert len(columns["x"]) == len(row) == len(number) == 0


def test_shards_are_appended_and_the_first_ones_not_rewritten(tmp_path):
    builder = LinesBuilder(tmp_path).random(5)
    builder.write()
    first = (tmp_path / "lines-000.parquet").read_bytes()
    assert len(read_lines(tmp_path)) == 5
    digest = read_lines(tmp_path, 4).digest
    lines = builder.random(3, seed=1).read()
    assert len(lines) == 8 and (tmp_path / "lines-000.parquet").read_bytes() == first
    manifest = json.loads((tmp_path / "manifest.json").read_text())["shards"]
    assert [(s["file"], s["molecules"]) for s in manifest] == [("lines-000.parquet", 5), ("lines-001.parquet", 3)]
    assert manifest[0]["sha256"] == hashlib.sha256(first).hexdigest()
    assert not list(tmp_path.glob("*.tmp"))
    # The first molecules and their digest are what they were; other choices have other digests.
    assert read_lines(tmp_path, 4).digest == digest
    assert len({read_lines(tmp_path, n).digest for n in (0, 4, 5, 6)}) == 4
    assert read_lines(tmp_path, 6).smiles == lines.smiles[:6]


def test_electron_ionisation_is_beside_the_shards(lines_builder):
    folder = lines_builder.random(3).write()
    lines_builder.random(2, seed=1).write()
    before, shards = read_lines(folder), {path: path.read_bytes() for path in folder.glob("lines-*")}
    with pytest.raises(DataError, match="no spectra of electron ionisation for lines-000.parquet"):
        read_rows(folder, ei=True)

    def simulated(smiles):
        return [{"ei_mz": [43.0, 10.0 * (i + 1)], "ei_percent": [100, 7]} for i, _ in enumerate(smiles)]

    def second_fails(smiles):
        return simulated(smiles) if len(smiles) == 3 else pytest.fail("killed")

    with pytest.raises(pytest.fail.Exception):
        add_ei(folder, second_fails)
    assert len(read_rows(folder, 3, ei=True)[0]) == 3
    assert (add_ei(folder, simulated), add_ei(folder, simulated)) == (2, 0)  # only what is missing
    table, with_ei = read_rows(folder, ei=True)
    columns, row, _ = line_table(table).spectra["ei"].select(torch.tensor([4, 0]))
    assert columns["mz"].tolist() == [43.0, 20.0, 43.0, 10.0] and row.tolist() == [0, 0, 1, 1]
    after = read_lines(folder)
    assert after.digest == before.digest != with_ei and "ei" not in after.spectra
    assert all(path.read_bytes() == data for path, data in shards.items())
    lines_builder.random(1, seed=2).write()  # and goes on from there
    assert add_ei(folder, simulated) == 1
    (folder / "ei-001.parquet").write_bytes(b"")
    with pytest.raises(DataError, match="ei-001.parquet: its checksum"):
        read_rows(folder, ei=True)


def test_rows_of_a_slice_are_those_of_the_whole(lines_builder):
    """A shard that is cut in the middle keeps its offsets."""
    whole = lines_builder.random(10).read()
    part = read_lines(lines_builder.directory, 4)
    for name in LIST_GROUPS:
        for a, b in zip(part.spectra[name].columns.values(), whole.spectra[name].columns.values(), strict=True):
            assert torch.equal(a, b[: len(a)])


def test_what_is_damaged_is_named(lines_builder):
    folder = lines_builder.random(4).write()
    path = folder / "lines-000.parquet"
    intact = path.read_bytes()
    data = bytearray(intact)
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(DataError, match="lines-000.parquet: its checksum"):
        read_lines(folder)
    path.unlink()
    with pytest.raises(DataError, match="lines-000.parquet: the shard is named in manifest.json but missing"):
        read_lines(folder)
    with pytest.raises(DataError, match="holds 4 molecules; 5 were asked for"):
        read_rows(folder, 5)
    for text in ("{", "{}"):
        (folder / "manifest.json").write_text(text)
        with pytest.raises(DataError, match="manifest.json: cannot be read"):
            read_lines(folder)
    (folder / "manifest.json").write_text("{")
    assert holds_lines(folder)  # and not taken for a folder of spectra, which has a checksum of its manifest
    path.write_bytes(intact)
    for number in (3, 5):
        manifest = {"shards": [{"file": path.name, "molecules": number, "sha256": digest(path)}]}
        (folder / "manifest.json").write_text(json.dumps(manifest))
        with pytest.raises(DataError, match=f"manifest.json: is damaged.* {number} molecules, which has 4"):
            read_lines(folder)


@pytest.mark.parametrize("column", [name for name, kind in COLUMNS.items() if kind.startswith("list")])
def test_lists_of_different_length_are_refused(lines_builder, column):
    lines_builder.molecule("CC").molecule("CCO", **ETHANOL)
    lines_builder.rows[1][column] = [*lines_builder.rows[1][column], "" if column == "h1_couplings" else 1]
    with pytest.raises(DataError, match=rf"000.parquet, row 1, CCO: lists of one spectrum differ .*{column}"):
        lines_builder.write()
    assert not list(lines_builder.directory.glob("*"))


def test_a_folder_of_an_older_version_is_named(lines_builder, monkeypatch):
    folder = lines_builder.random(4).write()
    monkeypatch.setitem(COLUMNS, "ir_phase", "list<string>")
    with pytest.raises(DataError, match="lines-000.parquet: columns ir_phase are missing; it is of another version"):
        read_lines(folder)


def test_missing_columns_and_values_that_are_not_finite_are_refused(lines_builder):
    lines_builder.molecule("CCO", **ETHANOL)
    lines_builder.rows[0]["ir_km_mol"][1] = float("nan")
    with pytest.raises(DataError, match="row 0, CCO: ir_km_mol holds a value that is not finite"):
        lines_builder.write()
    del lines_builder.rows[0]["level"], lines_builder.rows[0]["ir_cm1"]
    with pytest.raises(DataError, match="row 0: columns level, ir_cm1 are missing"):
        lines_builder.write()


def test_lines_are_drawn_at_the_factor_of_their_kind_and_level(lines_builder):
    for level in ("ff", "gfn2"):
        lines_builder.molecule(level=level, ir=[(1700.0, 1.0, "C=O, acyl"), (3600.0, 1.0, "O-H")])
    columns, _, _ = lines_builder.read().spectra["ir"].select(torch.tensor([0, 1]))
    modes = ((3600, "O-H"), (1700, "C=O, acyl"))
    expected = [cm1 * factor(kind, level) for level in ("ff", "gfn2") for cm1, kind in modes]
    assert columns["cm1"].tolist() == pytest.approx(expected)
    lines_builder.molecule(ir=[(1700.0, 1.0, "C=X")])
    with pytest.raises(DataError, match="no factor for modes 'C=X'"):
        lines_builder.read()

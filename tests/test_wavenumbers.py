"""Which mode a line belongs to, and the factors that bring it to the measured band."""

from __future__ import annotations

import csv

import fit_wavenumbers
import numpy as np
import pytest
from rdkit import Chem

from symspectra.simulation import wavenumbers
from symspectra.spectra.lines import factor


def kinds(smiles, lines):
    mol = Chem.AddHs(Chem.MolFromSmiles(smiles))
    cm1, km_mol = np.array(list(lines)), np.array(list(lines.values()))
    return dict(zip(lines, wavenumbers.mode_kinds(mol, cm1, km_mol), strict=True))


def test_stretches_are_told_by_the_bonds_of_the_molecule():
    found = kinds(
        "OCC(C)=O", {3600.0: 5.0, 3050.0: 1.0, 2990.0: 2.0, 1760.0: 150.0, 1690.0: 1.0, 1200.0: 90.0, 500.0: 3.0}
    )
    assert found == {
        3600.0: "O-H", 3050.0: "C-H, sp3", 2990.0: "C-H, sp3", 1760.0: "C=O, ketone or aldehyde",
        1690.0: "1300 to 1800", 1200.0: "900 to 1300", 500.0: "below 900",
    }  # fmt: skip


def test_of_several_carbonyls_the_ester_is_above_the_amide():
    found = kinds("COC(=O)CC(=O)NC", {3450.0: 30.0, 1790.0: 200.0, 1720.0: 250.0, 1640.0: 3.0})
    assert found[1790.0] == "C=O, acyl" and found[1720.0] == "C=O, amide" and found[1640.0] == "1300 to 1800"


def test_hydrogens_on_sp2_carbon_are_above_those_on_sp3():
    found = kinds("Cc1ccccc1", {value: 1.0 for value in (3100.0, 3090.0, 3080.0, 3070.0, 3060.0, 3000.0, 2950.0)})
    assert list(found.values()) == ["C-H, sp2"] * 5 + ["C-H, sp3"] * 2


@pytest.mark.parametrize("level", ["ff", "gfn2"])
def test_every_kind_has_a_factor(level):
    assert all(0.75 < factor(kind, level) < 1.25 for kind in wavenumbers.KINDS)


def test_every_row_of_the_bands_is_whole():
    with open(fit_wavenumbers.BANDS, newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            bands = [float(value) for value in row["cm1"].split()]
            mol = Chem.AddHs(Chem.MolFromSmiles(row["smiles"]))
            assert bands and bands == sorted(bands, reverse=True) and row["source"], row
            assert row["checked"].split(":")[0] in {"NIST WebBook", "CCCBDB", "contradicted", "not checked"}, row
            assert len(bands) == 3 * mol.GetNumAtoms() - 6 if row["kind"] == "all" else row["kind"] in wavenumbers.KINDS


def test_factors_bring_bands_nearer():
    """Stretches with three bands or more: below 30 cm-1 in the median, but C-O and C-F, which mix with C-C."""
    with open(fit_wavenumbers.FACTORS, newline="", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if int(row["bands"])]
    assert rows
    for row in rows:
        if int(row["bands"]) >= 3 and row["kind"] not in {*wavenumbers.REGIONS, "C-O, ester or acid", "C-F"}:
            hard = (row["level"], row["kind"]) == ("gfn2", "C-H, aldehyde")  # two bands, of a resonance
            assert float(row["error_after"]) < (40 if hard else 30), row
    assert sum(float(r["error_after"]) for r in rows) < 0.5 * sum(float(r["error_before"]) for r in rows)


def test_the_table_is_what_the_script_computes(tmp_path, monkeypatch):
    bands = tmp_path / "bands.csv"
    with open(fit_wavenumbers.BANDS, encoding="utf-8") as file:
        lines = [line for line in file if line.startswith(("smiles", "CC#N", "C=O,", "CCC#N"))]
    bands.write_text("".join(lines))
    pairs = fit_wavenumbers.compare("ff", bands)
    assert len(pairs["C#N"]) == 2 and len(pairs["C=O, ketone or aldehyde"]) == 1
    bands.write_text("smiles,kind,cm1,source\nC=O,all,2843 2783 1746,x\n")
    with pytest.raises(ValueError, match="line 2: 3 bands, 6 modes"):
        fit_wavenumbers.compare("ff", bands)


def test_a_kind_without_a_band_keeps_its_factor(tmp_path, monkeypatch):
    """Also where the factor is a general one, which no band of ``gas_bands.csv`` gives."""
    monkeypatch.setattr(fit_wavenumbers, "compare", lambda level: {"O-H": [(98.0, 100.0)]})
    monkeypatch.setattr("sys.argv", ["fit_wavenumbers.py", "--out", str(tmp_path / "factors.csv")])
    fit_wavenumbers.main()
    files = fit_wavenumbers.FACTORS, tmp_path / "factors.csv"
    old, new = (list(csv.DictReader(path.read_text(encoding="utf-8").splitlines())) for path in files)
    for before, after in zip(old, new, strict=True):
        assert (after["factor"] == "0.98") if after["kind"] == "O-H" else (after == before)

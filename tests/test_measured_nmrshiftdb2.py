"""Measured NMR spectra from an SD file like that of nmrshiftdb2."""

from __future__ import annotations

import io
import lzma
import zipfile
from collections import Counter

import pytest
from mutations import survives_damage
from rdkit import Chem
from test_measured_records import outcomes, reasons

from symspectra.datasets.measured.nmrshiftdb2 import LICENCE, read_nmrshiftdb2
from symspectra.errors import DataError

ETHANOL = "18.1;0.0Q;0|57.8;0.0T;1|"
BENZENE = "128.4;0.0D;0|128.4;0.0D;1|128.4;0.0D;2|128.4;0.0D;3|128.4;0.0D;4|128.4;0.0D;5|"


def record(smiles: str = "CCO", number: int | str = 10, **properties: str) -> str:
    """A record; ``c13_0`` is the property ``Spectrum 13C 0``, other names are written as they are."""
    molblock = Chem.MolToMolBlock(Chem.MolFromSmiles(smiles))
    named = {"nmrshiftdb2 ID": str(number)}
    for name, value in properties.items():
        nucleus, _, n = name.rpartition("_")
        nucleus = {"c13": "13C", "h1": "1H", "n15": "15N", "hsqc": "H,C-HSQC"}.get(nucleus)
        named[f"Spectrum {nucleus} {n}" if nucleus else name] = value
    return molblock + "".join(f"> <{name}>\n{value}\n\n" for name, value in named.items()) + "$$$$\n"


def read(tmp_path, *records: str, name: str = "some.sd"):
    (tmp_path / name).write_bytes("".join(records).encode())
    return outcomes(read_nmrshiftdb2(tmp_path / name))


def test_a_row_has_structure_peaks_and_conditions(tmp_path):
    rows, rejects = read(tmp_path, record("CCO", 10, c13_0=ETHANOL, h1_1="1.2;0.0t;0|3.7;0.0q;1|"))
    carbon, proton = rows
    assert (carbon.inchikey, carbon.smiles, carbon.modality) == ("LFQSCWFLJHTTHZ", "CCO", "c13")
    assert (carbon.source, carbon.record, carbon.licence) == ("some.sd", "10:0", LICENCE)
    assert carbon.x.tolist() == [18.1, 57.8] and carbon.y.tolist() == [1, 1] and carbon.attached == [3, 2]
    assert (proton.modality, proton.record, proton.attached) == ("h1", "10:1", None)
    assert not rejects


def test_equivalent_atoms_are_one_peak(tmp_path):
    rows, _ = read(tmp_path, record("c1ccccc1", c13_0=BENZENE, h1_1="7.4;0.0;0|7.4;0.0;0|7.3;0.2;1|"))
    assert rows[0].x.tolist() == [128.4] and rows[0].y.tolist() == [6] and rows[0].attached == [1]
    assert rows[1].x.tolist() == [7.3, 7.4] and rows[1].y.tolist() == [1, 2]


def test_a_carbon_counts_once_and_the_multiplicity_may_be_missing(tmp_path):
    rows, _ = read(tmp_path, record("CCC", c13_0="16.1;0.0Q;0|16.1;0.0Q;0|16.1;0.0T;1|20;1.0;2|", c13_1="16.1;;0|"))
    assert rows[0].x.tolist() == [16.1, 16.1, 20.0] and rows[0].attached == [2, 3, None]
    assert rows[0].y.tolist() == [1, 1, 1]
    assert rows[1].attached is None


@pytest.mark.parametrize("zipped", [True, False])
def test_packed_files_are_read_alike(tmp_path, zipped):
    text = "".join(record("C" * n + "O", n, c13_0=ETHANOL) for n in range(2, 22)).replace("\n", "\r\n")
    (tmp_path / "dump").write_bytes(text.encode())
    if zipped:
        with zipfile.ZipFile(tmp_path / "dump", "w") as archive:
            archive.writestr("folder/spectra.SD", text)
            archive.writestr("readme.txt", "$$$$")
    rows, rejects = outcomes(read_nmrshiftdb2(tmp_path / "dump"))
    assert [row.record for row in rows] == [f"{n}:0" for n in range(2, 22)] and not rejects
    assert all(row.smiles == "C" * n + "O" for n, row in enumerate(rows, 2))


def test_predicted_and_calculated_spectra_are_left_out(tmp_path):
    spectra = {f"c13_{n}": ETHANOL for n in range(9)}
    said = {
        "Program": "0:Unreported 1:ACD/Labs C+H NMR Predictors and DB, 2020.1.0 2:HOSE code using nmrshiftdb2 data "
        "3:CSEARCH 4:MyShifts 7:Unknown ",
        "NMRMethod": "5: 6:RHF ",
        "NMRProgram": "5:Quantum ESPRESSO ",
    }
    rows, rejects = read(tmp_path, record(**spectra, **said))
    assert [row.record for row in rows] == ["10:0", "10:7", "10:8"]
    predicted, calculated = "predicted by a program", "calculated by quantum chemistry"
    expected = [f"10:{n}" for n in range(1, 7)]
    assert [number for _, number, _ in rejects] == expected
    assert [reason for *_, reason in rejects] == [predicted] * 4 + [calculated] * 2


BAD = {
    "no peaks": record(c13_0="|"),
    "peak not readable": record(c13_0="18.1;0.0Q;0|fifty;0.0T;1|"),
    "nucleus or experiment not used": record(hsqc_0=ETHANOL, c13_1=ETHANOL),
    "no 13C or 1H spectrum": record(),
    "structure not readable": record(c13_0=ETHANOL).replace(" C ", " Qq"),
    "record truncated": record(c13_0=ETHANOL),
}


@pytest.mark.parametrize("reason", list(BAD))
def test_bad_records_are_rejected_and_the_others_read(tmp_path, reason):
    good = record("CCCO", 1, c13_0=ETHANOL)
    files = [good, BAD[reason], good]
    if reason == "record truncated":
        files = [good, good, BAD[reason].replace("$$$$", "")]
    rows, rejects = read(tmp_path, *files)
    assert sum(row.record == "1:0" for row in rows) == 2
    assert reasons(rejects) == {reason: 1}


def test_a_record_without_a_molblock_is_rejected_by_number(tmp_path):
    _, _, properties = record(number=99, c13_0=ETHANOL).partition("M  END\n")
    rows, rejects = read(tmp_path, "\n\n\n" + properties, record(c13_0=ETHANOL))
    assert len(rows) == 1 and rejects == [("some.sd", "99:0", "structure not readable")]


def test_wrong_files_are_one_sentence(tmp_path):
    zipped = io.BytesIO()
    with zipfile.ZipFile(zipped, "w") as archive:
        archive.writestr("a.txt", "nothing")
    path = tmp_path / "dump.sd"
    packed = lzma.compress(record(c13_0=ETHANOL).encode())
    for content in (b"smiles,peaks\nCCO,18.1\n", b"", b"PK\x03\x04 and no more", zipped.getvalue(), packed):
        path.write_bytes(content)
        with pytest.raises(DataError, match=f"^{path}: is no SD file; expected .*unpack"):
            list(read_nmrshiftdb2(path))
    with pytest.raises(DataError, match="no record has a spectrum"):
        read(tmp_path, record())
    with pytest.raises(DataError, match="no such file"):
        list(read_nmrshiftdb2(tmp_path / "nowhere.sd"))


def test_damaged_files_are_read_or_refused(tmp_path):
    text = (record(c13_0=ETHANOL, h1_1="1.2;0.0;0|", Program="1:CSEARCH ") + record("c1ccccc1", c13_0=BENZENE)).encode()

    def attempt(data: bytes):
        (tmp_path / "dump").write_bytes(data)
        return list(read_nmrshiftdb2(tmp_path / "dump"))

    memory = io.BytesIO()
    with zipfile.ZipFile(memory, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.sd", text)
    assert survives_damage(attempt, [text], DataError) > 5
    survives_damage(attempt, [memory.getvalue()], DataError)


def test_the_first_records_of_the_dump(dev_file, tmp_path):
    with lzma.open(dev_file("nmrshiftdb2", "nmrshiftdb2withsignals.sd.xz")) as f:
        head = f.read(3_000_000)
    (tmp_path / "head.sd").write_bytes(head[: head.rindex(b"$$$$\n") + 5])
    rows, rejects = outcomes(read_nmrshiftdb2(tmp_path / "head.sd"))
    assert len(rows) > 500 and Counter(row.modality for row in rows)["c13"] > 500
    assert reasons(rejects)["predicted by a program"] > 10
    assert reasons(rejects).get("peak not readable", 0) < 0.01 * len(rows)

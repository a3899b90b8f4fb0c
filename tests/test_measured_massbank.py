"""Mass spectra from records in the MassBank format."""

from __future__ import annotations

import io
import os
import tarfile
import zipfile
from itertools import islice

import pytest
from mutations import survives_damage
from test_measured_records import outcomes, reasons

from symspectra.datasets.measured.massbank import read_massbank
from symspectra.errors import DataError

FIELDS = {
    "ACCESSION": "MSBNK-Here-AB000001",
    "RECORD_TITLE": "Ethanol; LC-ESI-QTOF; MS2; CE: 20 eV; [M+H]+",
    "LICENSE": "CC BY-SA",
    "COMMENT": "2 % of it in 3 µl",
    "CH$SMILES": "CCO",
    "CH$IUPAC": "InChI=1S/C2H6O/c1-2-3/h3H,2H2,1H3",
    "AC$INSTRUMENT_TYPE": "LC-ESI-QTOF",
    "AC$MASS_SPECTROMETRY: MS_TYPE": "MS2",
    "AC$MASS_SPECTROMETRY: ION_MODE": "POSITIVE",
    "AC$MASS_SPECTROMETRY: COLLISION_ENERGY": "20 eV",
    "MS$FOCUSED_ION: PRECURSOR_M/Z": "47.0491",
    "MS$FOCUSED_ION: PRECURSOR_TYPE": "[M+H]+",
    "PK$NUM_PEAK": "2",
}
PEAKS = ("29.0386 1.5e3 120", "47.0491 12000.5 999")
EI = {"AC$INSTRUMENT_TYPE": "GC-EI-TOF", "AC$MASS_SPECTROMETRY: MS_TYPE": "MS", "MS$FOCUSED_ION: PRECURSOR_TYPE": "N/A"}


def record(changes: dict[str, str | None] | None = None, peaks: tuple[str, ...] = PEAKS, end: str = "//\n") -> str:
    """A record; a field that is None is left out."""
    fields = FIELDS | (changes or {})
    lines = [f"{name} {value}" if ": " in name else f"{name}: {value}" for name, value in fields.items() if value]
    annotation = ["PK$ANNOTATION: m/z tentative_formula", "  29.0386 C2H5+"]
    lines[-1:-1] = annotation
    return "\n".join([*lines, "PK$PEAK: m/z int. rel.int.", *(f"  {peak}" for peak in peaks), end])


def read(tmp_path, *records: str | bytes):
    folder = tmp_path / "records"
    folder.mkdir(exist_ok=True)
    for number, text in enumerate(records):
        (folder / f"{number:03d}.txt").write_bytes(text if isinstance(text, bytes) else text.encode())
    return outcomes(read_massbank(folder))


def test_a_row_has_structure_peaks_and_conditions(tmp_path):
    (row,), rejects = read(tmp_path, record())
    assert (row.inchikey, row.smiles, row.modality) == ("LFQSCWFLJHTTHZ", "CCO", "msms_pos")
    assert row.x.tolist() == [29.0386, 47.0491] and row.y.tolist() == [1500.0, 12000.5]
    assert (row.source, row.record, row.licence) == ("records", "MSBNK-Here-AB000001", "CC BY-SA")
    assert (row.adduct, row.collision_energy) == ("[M+H]+", "20 eV")
    assert not rejects


def test_kinds_of_spectra_that_are_used(tmp_path):
    negative = {"AC$MASS_SPECTROMETRY: ION_MODE": "NEGATIVE", "MS$FOCUSED_ION: PRECURSOR_TYPE": "[M-H]-"}
    rows, rejects = read(tmp_path, record(), record(negative), record(EI), record(EI | {"AC$INSTRUMENT_TYPE": "EI-B"}))
    assert [row.modality for row in rows] == ["msms_pos", "msms_neg", "ms", "ms"] and not rejects
    assert rows[2].adduct is None


def test_other_encodings_line_ends_and_several_records_of_a_file(tmp_path):
    text = record()
    rows, rejects = read(tmp_path, text.encode("latin-1"), text.replace("\n", "\r\n"), "\ufeff" + text, text + text)
    assert len(rows) == 5 and not rejects
    assert all(row.x.tolist() == [29.0386, 47.0491] for row in rows)


BAD = {
    "not a record of this format": "a readme",
    "record truncated": record(end=""),
    "record deprecated": record({"DEPRECATED": "2020 wrong"}),
    "licence not stated": record({"LICENSE": None}),
    "structure not given": record({"CH$SMILES": "N/A", "CH$IUPAC": "N/A"}),
    "spectrum of a derivative": record(EI | {"MS$FOCUSED_ION: DERIVATIVE_TYPE": "1 TMS"}),
    "isotopically labelled": record({"CH$SMILES": "[13CH3]CO"}),
    "kind of spectrum not stated": record({"AC$MASS_SPECTROMETRY: ION_MODE": None}),
    "polarity contradictory": record({"AC$MASS_SPECTROMETRY: ION_MODE": "NEGATIVE"}),
    "no peaks": record({"PK$NUM_PEAK": "0"}, ()),
    "peak out of range": record(peaks=("29000.0 12 120", PEAKS[1])),
    "number of peaks disagrees": record({"PK$NUM_PEAK": "3"}),
}


@pytest.mark.parametrize("reason", list(BAD))
def test_bad_records_are_rejected_and_the_others_read(tmp_path, reason):
    rows, rejects = read(tmp_path, record(), BAD[reason], record())
    assert len(rows) == 2 and reasons(rejects) == {reason: 1}
    expected = "001.txt" if reason == "not a record of this format" else FIELDS["ACCESSION"]
    assert rejects[0] == ("records", expected, reason)


@pytest.mark.parametrize(
    ("title", "smiles", "used"),
    [
        ("Ethanol; GC-EI-TOF; MS; n TMS; RT:620 sec", "CCO", False),
        ("Ethanol; GC-EI-Q; MS; 2TBDMS-derivative", "CCO", False),
        ("Ethanol; GC-EI-TOF; MS; 0 TMS; BP:31", "CCO", True),
        ("ETHANOL-TMS; EI-B; MS", "CCO[Si](C)(C)C", True),
        ("ATMSO; EI-B; MS", "CCO", True),
    ],
)
def test_a_derivative_is_used_only_with_its_own_structure(tmp_path, title, smiles, used):
    rows, rejects = read(tmp_path, record(EI | {"RECORD_TITLE": title, "CH$SMILES": smiles}))
    assert len(rows) == used and reasons(rejects) == ({} if used else {"spectrum of a derivative": 1})


@pytest.mark.parametrize(
    "changes",
    [
        {"AC$MASS_SPECTROMETRY: MS_TYPE": "MS"},
        {"AC$MASS_SPECTROMETRY: MS_TYPE": "MS3"},
        EI | {"AC$MASS_SPECTROMETRY: MS_TYPE": "MS2"},
        EI | {"AC$MASS_SPECTROMETRY: ION_MODE": "NEGATIVE"},
    ],
)
def test_other_kinds_of_mass_spectra_are_rejected(tmp_path, changes):
    rows, rejects = read(tmp_path, record(changes))
    assert not rows and reasons(rejects) == {"kind of mass spectrum not used": 1}


def packed(files: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    memory = io.BytesIO()
    with zipfile.ZipFile(memory, "w", method) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return memory.getvalue()


def test_archives_are_read_like_folders(tmp_path):
    files = {f"Here/{i}.txt": record({"ACCESSION": f"MSBNK-Here-{i}"}).encode() for i in range(5)}
    (tmp_path / "records.archive").write_bytes(packed({"README.md": b"# records", **files}))
    rows, rejects = outcomes(read_massbank(tmp_path / "records.archive"))
    assert [row.record for row in rows] == [f"MSBNK-Here-{i}" for i in range(5)] and not rejects
    assert {row.source for row in rows} == {"records.archive"}


def test_wrong_paths_are_one_sentence(tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "text").write_text("a readme")
    (tmp_path / "none.zip").write_bytes(packed({"a.txt": b"no record"}))
    whole = bytearray(packed({"a.txt": os.urandom(5000)}))
    whole[2000] ^= 1
    (tmp_path / "damaged.zip").write_bytes(whole)
    cases = {"nowhere": "no such file", "damaged.zip": "cannot be unpacked"}
    for name in ("empty", "text", "none.zip", *cases):
        with pytest.raises(DataError, match=cases.get(name, "no MassBank record")) as error:
            list(read_massbank(tmp_path / name))
        assert str(error.value).startswith(str(tmp_path / name)) and "\n" not in str(error.value)


def test_damaged_files_are_read_or_refused(tmp_path):
    def attempt(data: bytes):
        (tmp_path / "records").write_bytes(data)
        return list(read_massbank(tmp_path / "records"))

    files = {f"{i}.txt": record(EI if i % 2 else {}).encode() for i in range(3)}
    survives_damage(attempt, [packed(files), packed(files, zipfile.ZIP_STORED)], DataError)


def test_the_first_records_of_the_release(dev_file, tmp_path):
    with tarfile.open(dev_file("massbank", "records.tar.xz")) as archive:
        for member in islice(filter(tarfile.TarInfo.isfile, archive), 1000):
            archive.extract(member, tmp_path, filter="data")
    rows, rejects = outcomes(read_massbank(tmp_path))
    assert {row.modality for row in rows} >= {"msms_pos", "msms_neg"} and len(rows) + len(rejects) == 1000

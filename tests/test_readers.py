import gzip
import io
import lzma
import os
import subprocess
import sys
import zipfile

import pytest
import test_readers_jcamp as jcamp
import test_readers_mass as mass
import test_readers_text as text
from mutations import survives_damage
from reading import read_bytes

import symspectra.spectra.readers
from symspectra.errors import ReadError
from symspectra.spectra.readers import read, read_one

MGF = b"BEGIN IONS\nTITLE=a\nPEPMASS=200\nIONMODE=positive\n50 1\n60 2\nEND IONS\n"
UNSAID = b"BEGIN IONS\nTITLE=b\nPEPMASS=200\n50 1\nEND IONS\n"
MSP = b"Name: a\nPrecursorMZ: 200\nIon_mode: N\nNum Peaks: 1\n50 1\n"
IR = jcamp.infrared()


@pytest.fixture
def file(tmp_path):
    """Writes a file and gives its path."""

    def write(name, data):
        path = tmp_path / name
        path.write_bytes(data)
        return path

    return write


def zipped(name):
    with zipfile.ZipFile(stream := io.BytesIO(), "w") as archive:
        archive.writestr(name, "hello")
    return stream.getvalue()


def refused(path, message="."):
    """In one sentence that begins with the path."""
    with pytest.raises(ReadError, match=message) as error:
        read(path)
    assert str(error.value).startswith(f"{path}: ") and "\n" not in str(error.value)


@pytest.mark.parametrize("data, modality", [(MGF, "msms_pos"), (MSP, "msms_neg"), (mass.ONE, "msms_pos")])
@pytest.mark.parametrize("name", ["a.mgf", "a.txt", "a.jdx", "a"])
def test_the_content_decides_whatever_the_name(file, name, data, modality):
    (spectrum,) = read(str(file(name, data)))
    assert (spectrum.modality, spectrum.x_unit, spectrum.meta["source"]) == (modality, "m/z", name)


@pytest.mark.parametrize(
    "data, name, message",
    [
        (b"\x89PNG\r\n\x1a\n", "a.png", "is a picture"),
        (b"%PDF-1.7", "my.jdx", "is a PDF; export"),
        (b"\xd0\xcf\x11\xe0" + bytes(20), "a.xls", "save the sheet as CSV"),
        (b"\0K\0\0" + bytes(500), "a.spc", "ends after 504 bytes; expected the header of a .spc file"),
        (b"PEPE2D constant interval" + bytes(500), "a.sp", "PerkinElmer .* export"),
        (b"\xd0\xcf\x11\xe0" + bytes(600), "a.spc", "of Shimadzu; export"),
        (b"Spectral Data File", "a.spa", "OMNIC"),
        (b"\x0a\x0a\xfe\xfe", "a.0", "OPUS"),
        (b"\x02\0\x05", "a.dat", "is a binary file of an unknown kind; expected JCAMP-DX"),
        (b"<!DOCTYPE html><html>", "a.jdx.html", "is a web page"),
        (b"<cml/>", "a.xml", "is an XML file of a kind that is not read; expected mzML"),
        (b"##TITLE= Parameter file, TOPSPIN\n##NPOINTS= 3\n", "acqus", "give the folder of the experiment"),
        (b"", "a.jdx", "is empty"),
        (zipped("[Content_Types].xml"), "a.zip", "Excel or Word"),
        (zipped("a.txt"), "a.zip", "zip archive"),
    ],
)
def test_what_is_not_read_is_named_with_the_way_out(file, data, name, message):
    path = file(name, data)
    refused(path, message)


MISTAKES = {
    "tiff": b"II*\0\x08\0\0\0" + bytes(64),
    "tiff of the other byte order": b"MM\0*\0\0\0\x08" + bytes(64),
    "hdf5": b"\x89HDF\r\n\x1a\n" + bytes(64),
    "xz": lzma.compress(b"400 0.1\n402 0.2\n"),  # stored, so that lines of two numbers stand in it
    "rar": b"Rar!\x1a\x07\x01\x00" + bytes(64),
}


@pytest.mark.parametrize("data", MISTAKES.values(), ids=MISTAKES)
@pytest.mark.parametrize("name", ["a", "a.csv", "a.jdx", "a.jdf", "a.zip", "1r"])
def test_binary_files_of_other_kinds_are_refused_whatever_their_name(file, name, data):
    refused(file(name, data))


def test_paths_that_are_no_readable_file(tmp_path, monkeypatch, file):
    (tmp_path / "agilent.d").mkdir()
    (tmp_path / "broken").symlink_to(tmp_path / "nowhere")
    os.mkfifo(tmp_path / "pipe")
    for name, message in {
        "missing.jdx": "there is no such file",
        "broken": "there is no such file",
        "": "is a folder without a Bruker experiment",
        "agilent.d": "convert it to mzML",
        "pipe": "neither a file nor a folder",
        "a\0b": "there is no such file",
        "n" * 300: "name too long|no such file",
    }.items():
        with pytest.raises(ReadError, match=message):
            read(tmp_path / name)
    path = file("a.mgf", MGF)
    with monkeypatch.context() as patch:
        patch.setattr(symspectra.spectra.readers, "LIMIT_BYTES", 50)
        refused(path, "expected at most")
    monkeypatch.setattr("pathlib.Path.read_bytes", lambda path: (_ for _ in ()).throw(PermissionError(13, "Denied")))
    refused(path, "a.mgf: denied")


def test_an_unexpected_error_of_a_reader_becomes_one_line(file, monkeypatch):
    def fail(data):
        raise KeyError("first\nsecond")

    monkeypatch.setitem(symspectra.spectra.readers._READERS, "JCAMP-DX", fail)
    refused(file("a.dx", IR), r"a.dx: cannot be read as JCAMP-DX \(")


def test_a_stated_modality_must_agree(file):
    path = file("a.jdx", IR)
    assert read_one(path, "ir").steps == read_one(path).steps
    with pytest.raises(ReadError, match="a.jdx: spectrum 1 is IR; 13C NMR was asked for"):
        read(path, "c13")
    with pytest.raises(ReadError, match="expected one of ir, c13, h1, msms_pos, msms_neg"):
        read(path, "raman")


def test_a_modality_that_is_not_stated_is_taken_as_asked_if_the_unit_fits(file):
    path = file("a.mgf", UNSAID)
    for modality in ("msms_pos", "msms_neg"):
        spectrum = read_one(path, modality)
        assert spectrum.modality == modality
        assert spectrum.steps[-2] == "polarity not stated" and spectrum.steps[-1].endswith("as asked")
    for modality in ("ir", "c13", "h1"):
        with pytest.raises(ReadError, match="a.mgf: has an axis in m/z; expected"):
            read(path, modality)


def test_one_of_several_is_chosen_by_its_block(file):
    path = file("library.mgf", MGF + UNSAID)
    assert [s.meta["title"] for s in read(path)] == ["a", "b"]
    assert read_one(path, block=2).meta["title"] == "b"
    with pytest.raises(ReadError, match="has 2 spectra: 1: a, positive MS/MS; 2: b, kind not stated; choose one with"):
        read_one(path)
    for block in (0, 3):
        with pytest.raises(ReadError, match=f"no spectrum {block}; there are 1, 2"):
            read(path, block=block)
    with pytest.raises(ReadError, match="no spectrum 2; there are 1"):
        read(file("a.csv", b"cm-1,A\n400,1"), "ir", block=2)
    with pytest.raises(ReadError, match="and 3 more; choose"):
        read_one(file("more.mgf", MGF * 8))


def test_importing_the_front_door_imports_no_reader_library():
    code = "import sys, symspectra.spectra.readers; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert not {"pyteomics", "lxml", "pandas", "torch", "scipy", "jcamp"} & set(loaded.split())


@pytest.mark.parametrize(
    "seeds",
    [jcamp.SEEDS, mass.MGF, mass.MSP, [mass.MZML, gzip.compress(mass.MZML)], text.SEEDS],
    ids=["jcamp", "mgf", "msp", "mzml", "text"],
)
def test_damaged_files_are_read_or_refused(seeds):
    seeds = seeds if isinstance(seeds, list) else [seeds]
    assert survives_damage(read_bytes, seeds) > 0


def test_percent_under_the_label_transmittance_is_corrected_when_asked(file):
    path = file("percent.dx", IR.replace(b"ABSORBANCE", b"TRANSMITTANCE"))
    (as_said,) = read(path)
    (corrected,) = read(path, y_unit="%T")
    assert as_said.y_unit == "transmittance" and corrected.y_unit == "percent transmittance"
    assert "as asked" in corrected.steps[-1] and read(path, y_unit="transmittance")[0].steps == as_said.steps
    for wrong in ("absorbance", "furlongs"):
        with pytest.raises(ReadError, match="cannot be right"):
            read(path, y_unit=wrong)
    for stated, units in ((path, {"x_unit": "um", "y_unit": "%T"}), (file("a.mgf", MGF), {"x_unit": "m/z"})):
        with pytest.raises(ReadError, match="states its units"):
            read(stated, **units)

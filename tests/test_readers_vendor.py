"""Bruker and JEOL data: written here as the spectrometers write them, with lines at known places."""

import shutil
import zipfile

import numpy as np
import pytest
from mutations import survives_damage

from symspectra.errors import ReadError
from symspectra.spectra.readers import read
from symspectra.spectra.readers.jeol import _HEADER

LINES = {7.26: 1.0, 2.10: 0.6}  # ppm: area
MHZ, WIDTH = 400.0, 6000.0  # MHz, Hz


def curve(x):
    return sum(a / (1 + ((x - ppm) / 0.005) ** 2) for ppm, a in LINES.items())


def parameters(**values):
    lines = [f"##${name}= {value}" for name, value in values.items()]
    return "\n".join(["##TITLE= Parameter file", *lines, "##END=", ""])


def bruker(folder, nucleus="1H", dtype="<i4", number=1, **changes):
    """A Bruker experiment with processed data; a value of None leaves a parameter out."""
    place = folder / "pdata" / str(number)
    place.mkdir(parents=True, exist_ok=True)
    acqus = {"NUC1": f"<{nucleus}>", "SOLVENT": "<CDCl3>", "PULPROG": "<zg30>", "BF1": MHZ, "SFO1": MHZ + 0.002}
    (folder / "acqus").write_text(parameters(**acqus))
    x = 12.5 - np.arange(8192) * WIDTH / MHZ / 8192
    y = curve(x) * 1e6 * number
    (place / "1r").write_bytes((y if dtype[1] == "f" else np.round(y)).astype(dtype).tobytes())
    procs = {"SI": 8192, "SF": MHZ, "SW_p": WIDTH, "OFFSET": 12.5, "NC_proc": 3, "AXNUC": f"<{nucleus}>"}
    procs |= {"BYTORDP": int(dtype[0] == ">"), "DTYPP": 2 if dtype[1] == "f" else 0, **changes}
    (place / "procs").write_text(parameters(**{k: v for k, v in procs.items() if v is not None}))
    (place / "title").write_text("ethyl\n benzoate ")
    return folder


def jeol(label=b"Proton", order="<", **changes):
    """A JEOL file with a processed spectrum of 8192 points."""
    head = np.zeros(1, _HEADER)[0]
    head["endian"], head["dimensions"], head["kind"], head["axis"] = int(order == "<"), 1, 1, 3
    head["title"], head["label"], head["unit"] = b"ethyl benzoate", label, 26
    parts = np.zeros((2, 8192))
    parts[0, 100:8100] = curve(np.linspace(12.5, -2.5, 8000))
    head["first"], head["last"], head["start"], head["stop"] = 100, 8099, 12.5, -2.5
    head["points"], head["parameters"], head["data"] = parts.shape[1], 1360, 1360 + 16 + 4 * 64
    for name, value in changes.items():
        head[name] = value
    number = f"{order}f8"
    entries = [("X_SWEEP", 2, WIDTH), ("x_freq", 2, MHZ), ("solvent", 0, b"CHLOROFORM-D"), ("scans", 1, 16)]
    table = b""
    for name, kind, value in entries:
        scale = 6 if name == "x_freq" else 0
        dtype = ("S16", f"{order}i4", number)[kind]
        text = np.array(value, dtype).tobytes().ljust(16, b"\0")
        table += b"\0" * 4 + np.array(scale, f"{order}i2").tobytes() + b"\0" * 10 + text
        table += np.array(kind, f"{order}i4").tobytes() + name.encode().ljust(28)
    counts = np.array([64, 0, len(entries), 0], f"{order}u4").tobytes()
    return b"JEOL.NMR" + head.tobytes()[8:] + counts + table + parts.astype(number).tobytes()


def has_the_lines(spectrum, within=0.003):
    assert spectrum.x_unit == "ppm" and spectrum.y_unit == "intensity" and not spectrum.peaks
    for ppm in LINES:
        near = np.abs(spectrum.x - ppm) < 0.3
        assert spectrum.x[near][spectrum.y[near].argmax()] == pytest.approx(ppm, abs=within)
    heights = [spectrum.y[np.abs(spectrum.x - ppm) < 0.02].sum() for ppm in LINES]
    assert heights[1] / heights[0] == pytest.approx(0.6, abs=0.03)
    assert spectrum.y.min() > -0.02 * spectrum.y.max()


@pytest.mark.parametrize("kind", ["<i4", ">i4", "<f8", "jeol <", "jeol >"])
def test_processed_data_with_what_their_makers_say(tmp_path, kind):
    path = tmp_path / "a.jdf"
    if kind.startswith("jeol"):
        path.write_bytes(jeol(order=kind[-1]))
    else:
        path = bruker(tmp_path / "10", dtype=kind)
    (spectrum,) = read(path, "h1")
    has_the_lines(spectrum)
    expected = {"frequency_mhz": 400.0, "title": "ethyl benzoate", "block": 1, "source": path.name}
    assert expected.items() <= spectrum.meta.items() and spectrum.meta["solvent"] in ("CDCl3", "CHLOROFORM-D")
    if path.is_dir():
        assert spectrum.x[0] == 12.5 and spectrum.y.max() == pytest.approx(8e6, rel=0.01)  # NC_proc is 3
        assert spectrum.steps == ("processed data 1 read, 8,192 points, ppm axis from OFFSET and SF",)


def test_a_bruker_experiment_can_be_named_in_several_ways(tmp_path):
    folder = bruker(tmp_path / "10", "13C")
    shutil.make_archive(tmp_path / "sample", "zip", tmp_path, "10")
    for path in (folder, tmp_path, folder / "pdata/1", folder / "pdata/1/1r", tmp_path / "sample.zip"):
        (spectrum,) = read(path)
        assert spectrum.modality == "c13" and spectrum.meta["solvent"] == "CDCl3"
    shutil.copytree(folder / "pdata/1", tmp_path / "alone")
    (spectrum,) = read(tmp_path / "alone")
    assert spectrum.modality == "c13" and "solvent" not in spectrum.meta


def test_the_first_processed_data_or_those_that_are_named(tmp_path):
    folder = bruker(bruker(tmp_path / "10", number=12), number=2)
    (spectrum,) = read(folder)
    assert spectrum.meta["block"] == 2 and spectrum.steps[1] == "left out spectrum 12: processed anew"
    (other,) = read(folder, block=12)
    np.testing.assert_allclose(other.y, 6 * spectrum.y, atol=60)
    assert len(other.steps) == 1
    with pytest.raises(ReadError, match="no spectrum 3; there are 2, 12"):
        read(folder, block=3)


def test_experiments_that_cannot_be_read_are_named(tmp_path):
    bruker(tmp_path / "1")
    bruker(tmp_path / "2", "19F")
    (bruker(tmp_path / "3") / "pdata/1/1r").rename(tmp_path / "3/pdata/1/2rr")
    (spectrum,) = read(tmp_path)
    assert "left out spectrum 2: the nucleus is 19F; expected 13C or 1H" in spectrum.steps
    assert any("left out spectrum 3: " in step and "more than one dimension" in step for step in spectrum.steps)
    with pytest.raises(ReadError, match="nucleus is 19F"):
        read(tmp_path / "2")


def test_one_of_several_experiments(tmp_path):
    bruker(tmp_path / "10")
    bruker(tmp_path / "20", "13C")
    assert [(s.modality, s.meta["block"]) for s in read(tmp_path)] == [("h1", 10), ("c13", 20)]
    assert [s.modality for s in read(tmp_path, block=20)] == ["c13"]
    with pytest.raises(ReadError, match="no spectrum 1; there are 10, 20"):
        read(tmp_path, block=1)
    (tmp_path / "10").rename(tmp_path / "proton")
    assert [s.meta["block"] for s in read(tmp_path)] == [1, 2]
    assert [s.modality for s in read(tmp_path, block=2)] == ["h1"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"SI": 9000}, "1r holds 8,192 points; expected 9,000"),
        ({"SI": "many"}, "procs gives no number for SI"),
        ({"BYTORDP": None}, "procs gives no number for BYTORDP .'missing'."),
        ({"OFFSET": "nan"}, "procs gives OFFSET = nan"),
        ({"SF": 0}, "procs gives SF = 0; expected 1 to"),
        ({"DTYPP": 1}, "numbers of kind 1"),
    ],
)
def test_processed_data_that_contradict_their_parameters(tmp_path, changes, message):
    with pytest.raises(ReadError, match=message):
        read(bruker(tmp_path / "1", **changes))


def test_damaged_and_large_archives_are_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "many.zip", "w") as archive:
        for number in range(5001):
            archive.writestr(f"{number}/acqus", "")
    with pytest.raises(ReadError, match="more than 5000 files"):
        read(tmp_path / "many.zip")
    (tmp_path / "damaged.zip").write_bytes(b"PK\3\4 damaged")
    with pytest.raises(ReadError, match="damaged .zip"):
        read(tmp_path / "damaged.zip")
    folder = bruker(tmp_path / "1")
    with zipfile.ZipFile(tmp_path / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("../1/acqus", (folder / "acqus").read_text())
        archive.writestr("../1/pdata/1/procs", (folder / "pdata/1/procs").read_text())
        archive.writestr("../1/pdata/1/1r", bytes(40_000_000))
    with pytest.raises(ReadError, match="1r is larger than"):
        read(tmp_path / "bomb.zip")


def test_raw_decays_are_refused_with_the_way_out(tmp_path):
    (tmp_path / "a.jdf").write_bytes(jeol(unit=28))
    fid = bruker(tmp_path / "1") / "fid"
    fid.write_bytes(b"decay")
    assert read(fid)[0].modality == "h1"  # the processed data beside it
    (tmp_path / "1/pdata/1/1r").unlink()
    (tmp_path / "varian").mkdir()
    (tmp_path / "varian/procpar").write_text("tn")
    for path in (tmp_path / "a.jdf", fid, tmp_path / "1", tmp_path / "varian"):
        with pytest.raises(ReadError, match="free induction decay.*; export the processed spectrum"):
            read(path)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (jeol()[:100], "ends after 100 bytes; expected the header of a JEOL"),
        (jeol(label=b"Fluorine19"), "nucleus is 'Fluorine19'"),
        (jeol()[:-64], "ends after 8,188 of 8,192 points"),
        (jeol(dimensions=2), "2 dimensions; expected a spectrum of one dimension"),
        (jeol(points=2**31), "announces 2,147,483,648 points"),
        (jeol(unit=13), "JEOL unit 13; .* export"),
        (jeol(reversed=1), "order that is not known here; export"),
        (jeol(last=9000), "points 100 to 9000 of 8192"),
    ],
)
def test_jeol_files_that_are_refused(tmp_path, data, message):
    (tmp_path / "a.jdf").write_bytes(data)
    with pytest.raises(ReadError, match=message):
        read(tmp_path / "a.jdf")


@pytest.mark.parametrize("name", ["acqus", "pdata/1/procs", "pdata/1/1r", "zip", "jdf"])
def test_damaged_files(tmp_path, name):
    path = tmp_path / ("a.jdf" if name == "jdf" else "1")
    if name == "jdf":
        path.write_bytes(jeol())
    else:
        bruker(path)
    if name == "zip":
        path = tmp_path / "a.zip"
        shutil.make_archive(tmp_path / "a", "zip", tmp_path, "1")
    target = path / name if path.is_dir() else path
    seed = target.read_bytes()

    def damaged(data):
        target.write_bytes(data)
        return read(path)

    assert survives_damage(damaged, [seed]) > 0 or name == "zip"  # hardly one damaged archive opens

"""Files of infrared spectrometers, written here as their software writes them, with bands at known places."""

import numpy as np
import pytest
from mutations import survives_damage
from reading import read_bytes

from symspectra.errors import ReadError
from symspectra.spectra.conversion import prepare
from symspectra.spectra.readers import read_one
from symspectra.spectra.readers.entries import chosen
from symspectra.spectra.readers.infrared import _GRAMS, read_grams, read_omnic, read_opus

X = np.linspace(4000, 400, 901)
BANDS = {1716.0: 0.9, 2952.0: 0.5}  # 1/cm: absorbance


def curve(x):
    return 0.01 + sum(a * np.exp(-(((x - at) / 12) ** 2)) for at, a in BANDS.items())


A = curve(X)
T = 10**-A


def kind(quantity, parameters=0, part=3, channel=3, derivative=0, form=0, earlier=0):
    return earlier << 30 | part | channel << 2 | parameters << 4 | quantity << 10 | derivative << 17 | form << 19


def parameters(**values):
    data = b""
    for name, value in values.items():
        if isinstance(value, str):
            value = value.encode() + b"\0" * (2 - len(value) % 2)
            data += name.encode() + b"\0" + np.array([3, len(value) // 2], "<i2").tobytes() + value
        else:
            value = np.array(value, "<i4" if isinstance(value, int) else "<f8").tobytes()
            data += name.encode() + b"\0" + np.array([len(value) > 4, len(value) // 2], "<i2").tobytes() + value
    data += b"END\0" + bytes(4)
    return data + bytes(-len(data) % 4)


def data_of(quantity, y, x=X, stored="<f4", unit="WN", plain=True, **changes):
    """A block of values and the block of their parameters."""
    said = {"DPF": 1 if stored == "<f4" else 2, "NPT": len(x), "FXV": float(x[0]), "LXV": float(x[-1]), "CSF": 1.0}
    own = {key: value for key, value in changes.items() if key in said}
    bits = {key: value for key, value in changes.items() if key not in said}
    values = np.asarray(y).astype(stored).tobytes()
    return [
        (kind(quantity, **bits), values),
        (kind(quantity, parameters=1, **bits), parameters(**said | own, DXU=unit, MNY=float(np.min(y)))),
    ]


SINGLE = data_of(1, 5 * T, channel=1) + data_of(1, 5 + 0 * T, channel=2) + data_of(2, np.sin(X), channel=1, unit="PNT")
SAMPLE = [(kind(0, parameters=10, part=0, channel=0), parameters(SNM="ethyl benzoate", OPF="me"))]
HISTORY = [(kind(0, part=0, channel=0, form=5), b"history\0" * 4)]


def opus(*blocks, count=None):
    blocks = [(kind(13, part=0, channel=0), bytes(12 * (sum(map(len, blocks)) + 1)))] + sum(blocks, [])
    at, directory, body = 24, b"", b""
    for bits, data in blocks:
        directory += np.array([bits, len(data) // 4, at], "<i4").tobytes()
        body += data
        at += len(data)
    count = len(blocks) if count is None else count
    head = b"\x0a\x0a\xfe\xfe" + np.array(920622.0).tobytes() + np.array([24, 40, count], "<i4").tobytes()
    return head + directory + body[len(directory) :]


def omnic(y=A, x_unit=1, y_unit=17, ends=(X[0], X[-1]), points=None, keys=(2, 3, 27)):
    head = np.array([0, len(y) if points is None else points, x_unit, y_unit], "<u4").tobytes()
    sections = {2: head + np.array(ends, "<f4").tobytes() + bytes(100), 3: np.asarray(y, "<f4").tobytes()}
    start, directory, body = 304 + 16 * (len(keys) + 1), b"", b""
    for key in keys:
        content = sections.get(key, b"Collect Sample")
        directory += np.array(key, "<u2").tobytes() + np.array([start + len(body), len(content)], "<u4").tobytes()
        directory, body = directory + bytes(6), body + content
    name = b"Spectral Data File\r\n".ljust(30, b"\0") + b"ethyl benzoate".ljust(274, b"\0")
    return name + directory + bytes(16) + body


def grams(values=A, at=X, stored="<f4", exponent=-128, own=0, labels=None, uneven=False, version=0x4B, **changes):
    head = np.zeros(1, _GRAMS)[0]
    head["flags"] = (stored == "<i2") | (labels is not None) << 5 | uneven << 7
    head["version"], head["technique"], head["exponent"], head["points"] = version, 4, exponent, len(values)
    head["first"], head["last"], head["spectra"], head["x"], head["y"] = at[0], at[-1], 1, 1, 2
    head["labels"] = "\0".join(labels or ()).encode()
    for name, value in changes.items():
        head[name] = value
    if stored != "<f4":
        values = np.round(values / 2.0 ** (exponent - 8 * np.dtype(stored).itemsize))
    data = bytearray(head.tobytes())
    data[88:102] = b"ethyl benzoate"
    between = (at.astype("<f4").tobytes() if uneven else b"") + bytes([0, own % 256]) + bytes(30)
    return bytes(data) + between + values.astype(stored).tobytes()


PAIR = data_of(4, A) + data_of(5, T)
READ = {
    "opus": (opus(SINGLE, data_of(4, A), SAMPLE, HISTORY), "absorbance"),
    "opus, ascending": (opus(data_of(4, A[::-1], X[::-1]), SAMPLE), "absorbance"),
    "opus, of a factor and longer than it says": (opus(data_of(4, [*A / 4, 7, 7], CSF=4.0), SAMPLE), "absorbance"),
    "opus, whole numbers": (opus(data_of(4, 1e6 * A, stored="<i4", CSF=1e-6), SAMPLE), "absorbance"),
    "opus, micrometres": (opus(data_of(4, curve(1e7 / X[::-1]), X[::-1] / 1e3, unit="MI"), SAMPLE), "absorbance"),
    "opus, transmittance": (opus(SINGLE, data_of(5, T), SAMPLE), "transmittance"),
    "opus, both": (opus(PAIR, SINGLE, SAMPLE), "absorbance"),
    "omnic": (omnic(), "absorbance"),
    "omnic, ascending": (omnic(A[::-1], ends=(400, 4000)), "absorbance"),
    "omnic, percent": (omnic(100 * T, y_unit=16), "percent transmittance"),
    "omnic, micrometres": (omnic(curve(1e7 / X[::-1]), x_unit=4, ends=(0.4, 4)), "absorbance"),
    "grams": (grams(), "absorbance"),
    "grams, ascending, with a log": (grams(A[::-1], X[::-1], log=544 + 4 * len(X)) + b"log", "absorbance"),
    "grams, long": (grams(stored="<i4", exponent=1, own=1), "absorbance"),
    "grams, short": (grams(stored="<i2", exponent=1), "absorbance"),
    "grams, uneven": (grams(curve(X**2 / 4000), X**2 / 4000, uneven=True), "absorbance"),
    "grams, transmittance": (grams(T, y=128), "transmittance"),
    "grams, percent in a label": (grams(100 * T, y=128, labels=("cm-1", "%T", "")), "percent transmittance"),
    "grams, only labels": (grams(x=0, y=0, labels=("Wavenumber (cm-1)", "Absorbance")), "absorbance"),
}
SEEDS = [data for data, _ in READ.values()]


@pytest.mark.parametrize("name", READ)
def test_values_axis_and_units_are_those_of_the_file(name):
    data, unit = READ[name]
    (spectrum,) = read_bytes(data)
    assert spectrum.modality == "ir" and not spectrum.peaks and len(spectrum) == len(X)
    assert spectrum.y_unit == unit and spectrum.x_unit == ("um" if "micro" in name else "1/cm")
    assert spectrum.meta["title"] == "ethyl benzoate"
    x = 1e4 / spectrum.x if spectrum.x_unit == "um" else spectrum.x
    percent = 100 if unit.startswith("percent") else 1
    y = spectrum.y if unit == "absorbance" else -np.log10(spectrum.y / percent)
    np.testing.assert_allclose(y, curve(x), atol=2e-4)
    assert spectrum.steps[0].startswith(unit)
    assert (spectrum.x[0] < spectrum.x[-1]) == ("ascending" in name or "micro" in name)


@pytest.mark.parametrize("name", ["opus", "opus, transmittance", "omnic, percent", "grams, short"])
def test_the_model_reads_the_same_bands_from_each(name):
    (spectrum,) = read_bytes(READ[name][0])
    vector = prepare(spectrum).vector
    at = np.linspace(400, 4000, 600)
    assert at[vector.argmax()] == pytest.approx(1716, abs=6)
    high = at > 2500
    assert at[high][vector[high].argmax()] == pytest.approx(2952, abs=6)
    assert vector[high].max() == pytest.approx(0.5 / 0.9, abs=0.06)


def test_what_is_left_out_of_an_opus_file_is_told():
    (spectrum,) = read_bytes(READ["opus, both"][0])
    assert all(word in spectrum.steps[0] for word in ("(AB)", "transmittance", "single channel", "interferogram"))
    assert "left out" not in read_bytes(READ["opus, ascending"][0])[0].steps[0]


def test_one_of_several_results_is_chosen(tmp_path):
    (tmp_path / "a.0").write_bytes(opus(data_of(4, A), data_of(4, 2 * A)))
    with pytest.raises(ReadError, match="has 2 spectra: 1: .*; 2: .*choose one"):
        read_one(tmp_path / "a.0")
    np.testing.assert_allclose(read_one(tmp_path / "a.0", block=2).y, 2 * A, rtol=1e-6)
    (tmp_path / "c.0").write_bytes(opus(data_of(4, 2 * A, earlier=1), data_of(4, A)))
    corrected = read_one(tmp_path / "c.0")
    np.testing.assert_allclose(corrected.y, A, rtol=1e-6)
    assert corrected.meta["block"] == 2 and "left out spectrum 1: as it was before" in corrected.steps[1]
    np.testing.assert_allclose(read_one(tmp_path / "c.0", block=1).y, 2 * A, rtol=1e-6)
    (tmp_path / "b.0").write_bytes(opus(data_of(4, A), data_of(4, A, X - 100)))
    with pytest.raises(ReadError, match="2 sets of parameters"):
        read_one(tmp_path / "b.0", block=1)


def test_blanked_points_are_left_out_and_told():
    y = A.copy()
    y[100:120] = np.nan
    (spectrum,) = read_bytes(omnic(y))
    np.testing.assert_allclose(spectrum.x, np.delete(X, slice(100, 120)), rtol=1e-6)
    assert "20 points" in spectrum.steps[1]


def test_a_spc_file_that_may_be_anything_is_taken_as_asked():
    data = grams(technique=0)
    assert read_bytes(data)[0].modality is None
    assert "as asked" in read_bytes(data, "ir")[0].steps[-1]
    percent = grams(100 * T, y=128)
    with pytest.raises(ReadError, match="percent"):
        prepare(read_bytes(percent)[0])
    (corrected,) = read_bytes(percent, y_unit="%T")
    assert prepare(corrected).spectrum.y.max() == pytest.approx(1)
    with pytest.raises(ReadError, match="cannot be right"):
        read_bytes(grams(), y_unit="%T")


@pytest.mark.parametrize(
    "data, message",
    [
        (opus(SINGLE), "no absorbance .* but single channel, interferogram; export"),
        (opus(data_of(10, A)), "but Raman; export"),
        (opus(data_of(16, A), data_of(19, A)), "but ATR, kind 19; export"),
        (opus(SAMPLE), "but no data"),
        (opus(data_of(4, A, form=2)), "a series"),
        (opus(data_of(4, A, derivative=1)), "a derivative"),
        (opus(data_of(4, A, part=1)), "complex"),
        (opus(data_of(4, A, channel=1)), "of the sample or the reference"),
        (opus(data_of(4, A, unit="LGW")), "OPUS unit 'LGW'; expected WN or MI"),
        (opus(data_of(4, A)[:1]), "0 sets of parameters"),
        (opus(data_of(4, A, FXV=1)), "0 sets of parameters"),
        (opus(data_of(4, A, NPT=len(X) + 1)), "902 values"),
        (opus(data_of(4, A, DPF=3)), "of the kind 3"),
        (opus(data_of(4, A, LXV=4000.0)), "from 4000 to 4000; expected two positions"),
        (opus(data_of(4, A, LXV=-4000.0)), "from 4000 to -4000"),
        (opus(data_of(4, np.where(X > 2000, A, np.nan))), "not finite"),
        (opus(data_of(4, A), count=600), "600 blocks"),
        (omnic(x_unit=2, y_unit=22), "the axis is in points of an interferogram; export"),
        (omnic(x_unit=32, y_unit=31), "a Raman shift; export"),
        (omnic(y_unit=15), "the values are a single beam; export"),
        (omnic(y_unit=20), "Kubelka-Munk"),
        (omnic(y_unit=99), "of unknown kind 99"),
        (omnic(points=900), "900 points in 3,604 bytes"),
        (omnic(keys=(2, 3, 3)), "several spectra"),
        (omnic(keys=(2, 102)), "no spectrum"),
        (omnic(ends=(4000, np.inf)), "from 4000 to inf"),
        (b"Spectral Exte File" + bytes(400), "group, series or map .*; save one spectrum"),
        (grams(version=0x4D), "older format of Lab Calc; export"),
        (grams(version=0x4C), "high byte first; export"),
        (grams(version=0xCF), "of Shimadzu; export"),
        (grams(technique=10), "is an NMR spectrum; export"),
        (grams(technique=9), "is a mass spectrum"),
        (grams(technique=7), "is a UV/VIS spectrum"),
        (grams(technique=11), "is a Raman spectrum"),
        (grams(technique=1), "gas chromatogram"),
        (grams(x=13), "a Raman shift; export"),
        (grams(x=5), "in minutes"),
        (grams(x=0), "unit of the axis is not stated"),
        (grams(y=1), "an interferogram"),
        (grams(y=130), "a single beam"),
        (grams(y=0), "unit of the values is not stated"),
        (grams(100 * T, y=11), "unit of the values is not stated"),
        (grams(labels=("Raman Shift (cm-1)", "Absorbance")), "Raman Shift"),
        (grams(labels=("cm-1", "Transmittance")), "said to be absorbance, but in the label 'Transmittance'"),
        (grams(spectra=3), "holds 3 spectra .* expected one spectrum; export"),
        (grams(flags=0b11000000), "lists of peaks"),
        (grams(changes=1 << 4), "differentiated"),
        (grams(own=3), "exponents -128 and 3"),
        (grams(log=700), "its log at byte 700"),
        (grams(points=2**31), "announces 2,147,483,648 points"),
        (grams(points=0), "announces 0 points"),
        (grams(np.where(X > 2000, A, np.inf)), "not finite"),
    ],
)
def test_what_is_no_infrared_spectrum_or_contradicts_itself_is_refused(data, message):
    with pytest.raises(ReadError, match=message):
        read_bytes(data, name="a.spc" if data[1:2] in b"\x4c\x4d\xcf" else "a")


def test_no_part_of_a_file_is_read_as_the_whole():
    for data, read in ((opus(data_of(4, A)), read_opus), (omnic(keys=(2, 3)), read_omnic), (grams(), read_grams)):
        for length in (*range(2, len(data) - 100, 97), len(data) - (100 if read is read_opus else 1)):
            with pytest.raises(ReadError, match="ends after|no data|announces|0 sets"):
                chosen(entries) if isinstance(entries := read(data[:length]), list) else None


@pytest.mark.parametrize("read, name", [(read_opus, "opus"), (read_omnic, "omnic"), (read_grams, "grams")])
def test_damaged_files_are_read_or_refused(read, name):
    seeds = [data for key, (data, _) in READ.items() if key.startswith(name)]
    assert survives_damage(lambda data: chosen(found) if isinstance(found := read(data), list) else found, seeds) > 0

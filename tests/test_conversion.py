import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from symspectra.errors import ReadError
from symspectra.modalities import KINDS
from symspectra.spectra.conversion import SOLVENTS, peak_vectors, prepare, prepare_all
from symspectra.spectra.preprocessing import AXES, ir_vector, nmr_vector
from symspectra.spectra.rendering import render
from symspectra.spectra.spectrum import X_UNITS, Spectrum, unit

WAVENUMBER = np.linspace(4000, 400, 1801)
ABSORBANCE = 0.8 * np.exp(-(((WAVENUMBER - 1715) / 15) ** 2)) + 0.5 * np.exp(-(((WAVENUMBER - 2950) / 30) ** 2))


def ir(x=WAVENUMBER, y=ABSORBANCE, x_unit="1/cm", y_unit="absorbance", **more):
    return Spectrum(x, y, x_unit, y_unit, "ir", **more)


def c13(x, y, **meta):
    return Spectrum(x, y, "ppm", "intensity", "c13", meta)


def point(modality, value):
    """Index of the model's point nearest to a position."""
    return int(np.abs(np.linspace(AXES[modality][0], AXES[modality][-1], 600) - value).argmin())


@pytest.mark.parametrize(
    "same",
    [
        ir(WAVENUMBER[::-1], ABSORBANCE[::-1]),
        ir(y=10**-ABSORBANCE, y_unit="transmittance"),
        ir(y=100 * 10**-ABSORBANCE, y_unit="percent transmittance"),
        ir(1e4 / WAVENUMBER, x_unit="um"),
        ir(1e7 / WAVENUMBER, x_unit="nm"),
        ir(y=17 * ABSORBANCE + 3),
        ir(y=ABSORBANCE * 250, y_unit="absorption coefficient"),
    ],
    ids=["ascending", "transmittance", "percent", "micrometre", "nanometre", "offset and scale", "coefficient"],
)
def test_one_infrared_spectrum_in_any_units_is_one_vector(same):
    expected, found = prepare(ir()).vector, prepare(same).vector
    assert np.abs(found - expected).max() < 1e-4
    assert expected.max() == pytest.approx(1) and abs(int(expected.argmax()) - point("ir", 1715)) <= 1


def test_every_conversion_is_told():
    steps = " | ".join(prepare(ir(1e4 / WAVENUMBER, 100 * 10**-ABSORBANCE, "um", "percent transmittance")).steps)
    assert "um to 1/cm" in steps and "percent transmittance converted to absorbance" in steps
    assert "ascending" in steps and "maximum to 1" in steps and "600 points" in steps
    narrow = prepare(ir(np.linspace(650, 5000, 3000), np.random.default_rng(0).random(3000)))
    words = " | ".join(narrow.steps)
    assert "points outside 400 to 4000 1/cm left out" in words and "measured from 650" in words
    assert not narrow.vector[: point("ir", 640)].any()


@pytest.mark.parametrize(
    "spectrum, modality, message",
    [
        (ir(y_unit="intensity"), None, "the values are intensity; expected absorbance or transmittance"),
        (ir(y=100 * 10**-ABSORBANCE, y_unit="transmittance"), None, "if they are percent"),
        (ir(y=100 * 10**-ABSORBANCE), None, "seem to be percent transmittance"),
        (ir(y=10**-ABSORBANCE, y_unit="percent transmittance"), None, "reach only 1"),
        (ir(x_unit="ppm"), None, "the axis is in ppm; expected 1/cm, um or nm"),
        (ir(np.linspace(-1, 20, 1801), x_unit="um"), None, "expected wavelengths above zero"),
        (ir(np.linspace(5000, 9000, 1801)), None, "nothing lies in the model's range, 400 to 4000"),
        (ir(np.linspace(1000, 1500, 1801)), None, "covers 14% of the model's range"),
        (ir(y=np.ones(1801)), None, "constant"),
        (ir(), "c13", "is a spectrum of ir; c13 was asked for"),
        (ir(meta={"source": "my.dx"}, y=np.ones(1801)), None, "my.dx: the spectrum is constant"),
        (Spectrum([1.0], [1.0], "ppm", "intensity"), None, "is not stated"),
        (Spectrum([1.0], [1.0], "ppm", "intensity"), "raman", "there is no modality 'raman'"),
        (Spectrum([300.0], [1.0], "ppm", "intensity", peaks=True), "c13", "none of the 1 peaks"),
        (Spectrum([30.0, 20.0], [1.0, -2.0], "ppm", "intensity", peaks=True), "c13", "peak at 20 ppm has a negative"),
        (Spectrum([100.0, 200.0], [1.0, 2.0], "Hz", "intensity"), "h1", "axis is in Hz; expected ppm"),
        (Spectrum([100.0], [1.0], "ppm", "intensity", peaks=True), "msms_pos", "expected m/z"),
        (Spectrum([100.0], [0.0], "m/z", "intensity", peaks=True), "msms_pos", "intensity zero"),
    ],
)
def test_what_cannot_be_converted_is_refused_in_a_sentence(spectrum, modality, message):
    with pytest.raises(ReadError, match=message):
        prepare(spectrum, modality)


@pytest.mark.parametrize("bad", [([1, 2], [1]), ([], []), ([1.0], [float("nan")]), (["a"], [1.0]), ([[1.0]], [1.0])])
def test_a_spectrum_is_refused_that_is_none(bad):
    with pytest.raises(ReadError):
        Spectrum(*bad, "ppm", "intensity")


def nmr_curve(lines):
    x = np.linspace(240, -30, 65_536)
    y = sum(a * 0.02**2 / ((x - ppm) ** 2 + 0.02**2) for ppm, a in lines)
    return x, y + np.random.default_rng(0).normal(0, 0.002, len(x)) + 0.05


@pytest.mark.parametrize("sign, sequence, words", [([-1, -1], "", "negative lines"), ([1, -1], "", "negative lines"),
                                                   ([1, 1], "dept90", "is a DEPT spectrum")])  # fmt: skip
def test_lines_that_point_down_and_spectra_that_lack_carbons_are_refused(sign, sequence, words):
    x, y = nmr_curve(zip((60.5, 14.2), sign, strict=True))
    with pytest.raises(ReadError, match=words):
        prepare(c13(x, y, pulse_sequence=sequence))


def test_a_region_that_was_cut_out_is_zero_and_said():
    x, y = nmr_curve([(170.9, 1.0), (77.2, 9.0), (21.0, 1.0)])
    kept = abs(x - 77.2) > 3
    prepared = prepare(c13(x[kept], y[kept]))
    assert "to 80.2 ppm: zero there" in " ".join(prepared.steps) and not prepared.vector[point("c13", 77.2)]
    kept = abs(WAVENUMBER - 1715) > 40
    vector = prepare(ir(WAVENUMBER[kept], ABSORBANCE[kept] + 0.3)).vector
    assert not vector[point("ir", 1750) : point("ir", 1680)].any() and vector[point("ir", 2950)] > 0.9


def test_solvent_and_tms_are_masked_when_the_solvent_is_stated_and_noise_is_gone():
    lines = [(77.16, 5.0), (0.0, 2.0), (170.9, 1.0), (21.0, 1.0)]
    x, y = nmr_curve(lines)
    with_solvent = prepare(c13(x, y, solvent="CDCl3"))
    peaks = set(np.flatnonzero(with_solvent.vector > 0.5))
    assert peaks and all(min(abs(p - point("c13", v)) for v in (170.9, 21.0)) <= 1 for p in peaks)
    assert (with_solvent.vector == 0).mean() > 0.95
    without = prepare(c13(x, y))
    assert without.vector[point("c13", 77.16)] == pytest.approx(1) and "solvent not stated" in " ".join(without.steps)
    assert "'lava' is not known" in " ".join(prepare(c13(x, y, solvent="lava")).steps)


@pytest.mark.parametrize(
    "name", ["CDCl3", "chloroform-d", "DMSO-d6", "DMSO", "(CD3)2CO", "Acetone", "MeOD", "CD3OD", "D2O"]
)
def test_solvents_are_known_by_their_usual_names(name):
    steps = " ".join(prepare(c13(*nmr_curve([(100.0, 1.0)]), solvent=name)).steps)
    assert f"({name} and TMS)" in steps


def test_solvent_shifts_lie_on_the_axes():
    for shifts in SOLVENTS.values():
        assert all(-2 <= ppm <= 10 for ppm in shifts["h1"]) and all(-20 <= ppm <= 230 for ppm in shifts["c13"])


def test_an_nmr_axis_in_either_direction():
    x, y = nmr_curve([(170.9, 1.0), (21.0, 1.0)])
    assert np.allclose(prepare(c13(x[::-1], y[::-1])).vector, prepare(c13(x, y)).vector, atol=1e-3)


def test_a_line_narrower_than_the_axis_is_kept_in_its_place():
    x = np.linspace(-2, 10, 120_001)
    y = np.zeros_like(x)
    y[np.searchsorted(x, 7.26005)] = 1.0
    vector = prepare(Spectrum(x, y, "ppm", "intensity", "h1")).vector
    assert np.flatnonzero(vector).tolist() == [point("h1", 7.26)]


def test_a_curve_on_the_standard_axis_is_as_preprocessed():
    for modality, unit_of_y, vector in (("ir", "absorbance", ir_vector), ("c13", "intensity", nmr_vector)):
        y = np.random.default_rng(0).random(len(AXES[modality])) ** 9
        prepared = prepare(Spectrum(AXES[modality], y, KINDS[modality].unit, unit_of_y, modality))
        own = prepared.spectrum.y if modality == "ir" else prepared.spectrum.y[::-1]
        expected = vector(torch.tensor(own.copy(), dtype=torch.float32)[None])[0].numpy()
        np.testing.assert_allclose(prepared.vector, expected / expected.max(), atol=1e-6)


def test_lists_of_peaks_are_drawn_as_the_training_data(lines_builder):
    couplings = ["7.0*3", "8.0*1 1.5*1"]
    lines = lines_builder.molecule(
        c13=[(170.0, 1, 0), (60.5, 2, 2)],
        h1=[(4.0, 2, couplings[0], 0.0), (7.3, 1, couplings[1], 0.0)],
        msms_pos=[(43.0, 100), (58.1, 35)],
    ).read()
    lists = {
        "c13": Spectrum([170.0, 60.5], [1, 2], "ppm", "intensity", "c13", {"attached": [0, None]}, peaks=True),
        "h1": Spectrum([4.0, 7.3], [2, 1], "ppm", "intensity", "h1", {"couplings": couplings}, peaks=True),
        "msms_pos": Spectrum([43.0, 58.1], [7.0, 2.45], "m/z", "intensity", "msms_pos", peaks=True),
    }
    expected = render(lines, torch.tensor([0]), tuple(lists))[0]
    for prepared, vector in zip(prepare_all(list(lists.values())), expected.numpy(), strict=True):
        np.testing.assert_allclose(prepared.vector, vector, atol=1e-6)


def test_multiplets_are_drawn_from_their_couplings():
    meta = {"couplings": ["7.0*3", ""], "broad": [False, False]}
    quartet = Spectrum([4.0, 2.0], [2.0, 3.0], "ppm", "intensity", "h1", meta, peaks=True)
    drawn = [4.0 + j / 400 for j in (-10.5, -3.5, 3.5, 10.5)]
    lines = Spectrum([*drawn, 2.0], [0.25, 0.75, 0.75, 0.25, 3.0], "ppm", "intensity", "h1", peaks=True)
    assert np.allclose(prepare(quartet).vector, prepare(lines).vector, atol=1e-5)


def test_many_lists_at_once_are_each_as_alone():
    rng = np.random.default_rng(0)
    lists = [Spectrum(rng.uniform(0, 200, n), np.ones(n), "ppm", "intensity", "c13", peaks=True) for n in (1, 5, 30)]
    together = [p.vector for p in prepare_all([*lists, ir()])]
    for spectrum, vector in zip([*lists, ir()], together, strict=True):
        assert np.array_equal(prepare(spectrum).vector, vector)
    assert peak_vectors(lists, "c13").shape == (3, 600)


def test_a_mass_spectrum_keeps_its_strongest_peaks():
    mz = np.arange(50, 700, dtype=float)
    y = np.linspace(0.001, 1, len(mz))
    prepared = prepare(Spectrum(mz, y, "m/z", "intensity", None, peaks=True), "msms_pos")
    assert len(prepared.spectrum) == 50 and prepared.spectrum.y.max() == 100
    assert "100 peaks outside 0 to 600 m/z left out" in prepared.steps[0]
    assert np.linalg.norm(prepared.vector) == pytest.approx(1, abs=1e-5)


@given(st.sampled_from([s for spellings in X_UNITS.values() for s in spellings]), st.booleans())
def test_units_are_known_in_any_case(text, upper):
    name = unit(f"  {text.upper() if upper else text} ", X_UNITS)
    assert name is not None and text in X_UNITS[name]
    assert unit("furlongs", X_UNITS) is None

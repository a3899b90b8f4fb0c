"""Tables of two columns, and peak lists as chemists type them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mutations import survives_damage
from reading import read_bytes

from symspectra.errors import ReadError
from symspectra.spectra.readers.text import looks_like_peaks, parse_peaks


def table(text, modality=None, **units):
    (spectrum,) = read_bytes(text if isinstance(text, bytes) else text.encode(), modality, **units)
    return spectrum


@pytest.mark.parametrize(
    ("header", "x_unit", "y_unit"),
    [
        ("wavenumber (cm-1),absorbance", "1/cm", "absorbance"),
        ('"Wavenumber [cm-1]","Transmittance (%)"', "1/cm", "percent transmittance"),
        ("cm-1, %T", "1/cm", "percent transmittance"),
        ("# cm⁻¹,A", "1/cm", "absorbance"),
        ("Wavenumber/cm-1,Absorbance / a.u.", "1/cm", "absorbance"),
        ("wavenumber_cm-1,transmittance", "1/cm", "transmittance"),
        ("Wavelength (µm),T (%)", "um", "percent transmittance"),
        ("wavelength [nm],Abs", "nm", "absorbance"),
        ("Chemical shift (ppm),Intensity (a.u.)", "ppm", "intensity"),
        ("m/z (Da),relative intensity (%)", "m/z", "intensity"),
        ("ppm,anything", "ppm", "intensity"),
        ("some instrument\ncm-1,A\n;more,of,it", "1/cm", "absorbance"),
    ],
)
def test_the_header_names_the_units(header, x_unit, y_unit):
    spectrum = table(header + "\n1000,0.5\n1002.5,0.25\n")
    assert (spectrum.x_unit, spectrum.y_unit) == (x_unit, y_unit)
    assert spectrum.x.tolist() == [1000, 1002.5] and spectrum.y.tolist() == [0.5, 0.25]


def test_units_from_arguments_and_blanks_after_commas():
    spectrum = table("400, 0.1\n402, 0.2\n", "ir", x_unit="cm-1", y_unit="A")
    assert (spectrum.x_unit, spectrum.y_unit, spectrum.y.tolist()) == ("1/cm", "absorbance", [0.1, 0.2])
    assert table("cm-1,value\n400,0.1\n", y_unit="transmittance").y_unit == "transmittance"
    with pytest.raises(ReadError, match="x_unit is 'furlong'; expected one of 1/cm"):
        table("1,2", x_unit="furlong")
    with pytest.raises(ReadError, match="the header says absorbance, but y_unit says transmittance"):
        table("cm-1,A\n1,2", y_unit="transmittance")


@pytest.mark.parametrize("line", ["{}\t{}", "{};{}", "{} {}", "  {}   {}  ", '"{}";"{}";'])
@pytest.mark.parametrize("decimal", [".", ","])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "latin-1"])
def test_separators_decimal_marks_and_encodings(line, decimal, encoding):
    rows = ["1e3 0.5", "1002.5 -0.25", "1005 1.5E-2"]
    text = "µm\tA\r\n" + "\r\n".join(line.format(*row.replace(".", decimal).split()) for row in rows)
    spectrum = table(text.encode(encoding), "ir")
    assert spectrum.x.tolist() == [1000, 1002.5, 1005] and spectrum.y.tolist() == [0.5, -0.25, 0.015]
    assert ("decimal commas read as points" in spectrum.steps) == (decimal == ",")
    assert spectrum.x_unit == "um" and spectrum.modality == "ir"


@given(st.lists(st.tuples(*[st.floats(-1e9, 1e9).map(lambda v: round(v, 6))] * 2), min_size=1, max_size=40))
def test_a_written_table_gives_the_numbers_back(rows):
    spectrum = table("cm-1\tabsorbance\n" + "\n".join(f"{x!r}\t{y!r}" for x, y in rows))
    assert list(zip(spectrum.x, spectrum.y, strict=True)) == rows


def test_nmr_and_mass_spectra_have_one_unit():
    rows = "\n".join(f"{k / 100:.2f} {k}" for k in range(50))
    spectrum = table(rows, "h1")
    assert (spectrum.x_unit, spectrum.y_unit, spectrum.peaks) == ("ppm", "intensity", False)
    assert "axis taken as ppm, as the header names no unit" in spectrum.steps
    assert "values taken as intensity, as the header names no unit" in spectrum.steps
    spectrum = table("43.0 100\n58.1 35", "msms_pos")
    assert (spectrum.x_unit, spectrum.y_unit, spectrum.peaks) == ("m/z", "intensity", True)


@pytest.mark.parametrize("shifts", [[7.26, 3.7], [*np.arange(0.1, 1.7, 0.1), 9.9]])
def test_few_or_uneven_shifts_are_peaks(shifts):
    spectrum = table("ppm,intensity\n" + "\n".join(f"{x},1" for x in shifts))
    assert spectrum.peaks and spectrum.steps[-1].startswith("taken as a list of peaks, because the rows are few")


def test_comments_and_other_columns_are_said():
    text = "made by an instrument\nno,cm-1,abs,phase\n1,400,0.1,0\n# gap\n2,402,0.2,0\n\n// end\n"
    spectrum = table(text)
    assert spectrum.x.tolist() == [400, 402] and spectrum.y.tolist() == [0.1, 0.2]
    assert spectrum.steps[1] == "columns 'cm-1' and 'abs' taken, 2 not read"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("400,0.1\n402,0.2", "does not name x_unit and y_unit; give for example .*--x-unit 1/cm --y-unit absorbance"),
        ("cm-1,signal\n400,0.1", r"does not name y_unit; .*--y-unit absorbance\)$"),
        ("Wavenumber (1/m),A\n400,1", "header .'Wavenumber .1/m.', 'A'. does not name x_unit"),
        ("cm-1,Absorbance (%)\n400,1", "does not name y_unit"),
        ("cm-1,T (K)\n400,1", "does not name y_unit"),
        ("cm-1,A\n400,0.1\n402,n.a.", "line 3 holds 'n.a.'; expected a number"),
        ("cm-1,A\n400,nan\n402,0.1", "line 2 holds '400,nan'; expected numbers or a header"),
        ("cm-1,A\n400,0.1\n402", "line 3 has 1 columns .'402'.; expected 2 as in line 2"),
        ("cm-1,A\n400,1e999", "y is inf at point 1 of 1"),
        ("cm-1;A\n1234.5;0,1", "both commas and points are used as decimal marks"),
        ("a,b,c\n1,2,3", "3 columns .'a', 'b', 'c'.; expected two, or a header"),
        ("1 " * 500, "500 columns"),
        ("only words\nhere", "no line holds two numbers; .* found 'only words'"),
    ],
)
def test_tables_that_are_refused(text, message):
    with pytest.raises(ReadError, match=message):
        table(text)


ROWS = "\n".join(f"{400 + 2 * k};{k % 7 / 10}".replace(".", ",") for k in range(60))
SEEDS = [
    b"# made by an instrument\nwavenumber (cm-1),absorbance\n" + b"".join(b"%d,0.%d\n" % (k, k) for k in range(60)),
    f"Wavenumber [cm⁻¹];Transmittance (%)\n{ROWS}\n".encode("utf-16"),
    b"m/z\tintensity\n43.0184\t100\n58.0651\t35\n",
]


def test_a_proton_list_as_in_a_paper():
    spectrum = parse_peaks(
        "¹H NMR (400 MHz, CDCl3) δ 8.01–7.95 (m, 2H), 7.26 (dd, J = 8.0, 1.5 Hz, 1H), 4.37 (2H, q, J = 7.1 Hz), "
        "1.39 (t, 3J(H,H) = 7.1 Hz, 3 H, CH3), −0.05 (br s, 9H).",
        "h1",
    )
    np.testing.assert_allclose(spectrum.x, [7.98, 7.26, 4.37, 1.39, -0.05])
    assert spectrum.y.tolist() == [2, 1, 2, 3, 9]
    assert spectrum.meta["couplings"] == ["", "8.0*1 1.5*1", "7.1*3", "7.1*2", ""]
    assert spectrum.meta["broad"] == [False, False, False, False, True]
    assert spectrum.meta["solvent"] == "CDCl3" and spectrum.meta["frequency_mhz"] == 400
    assert spectrum.peaks and spectrum.x_unit == "ppm" and spectrum.modality == "h1"
    assert spectrum.steps == ("list of peaks read (5)", "remarks at 1.39 not used: CH3")


@pytest.mark.parametrize(
    ("remark", "couplings"),
    [
        ("s", ""),
        ("d, J = 7", "7.0*1"),
        ("t J 7.2 Hz", "7.2*2"),
        ("app t, J=7.0", "7.0*2"),
        ("triplet, J = 7.0 Hz", "7.0*2"),
        ("doublet of doublets, J = 8.0, 1.5 Hz", "8.0*1 1.5*1"),
        ("quint, J = 7.0 Hz", "7.0*4"),
        ("p, J = 7.0 Hz", "7.0*4"),
        ("sext, J = 7.0 Hz", "7.0*5"),
        ("sept, J = 6.8 Hz", "6.8*6"),
        ("h, J = 6.8 Hz", "6.8*6"),
        ("dt, J = 10.1, 5.0 Hz", "10.1*1 5.0*2"),
        ("td, J = 5.0, 10.1 Hz", "5.0*2 10.1*1"),
        ("ddd, J = 14.0, 8.0 and 2.1 Hz", "14.0*1 8.0*1 2.1*1"),
        ("dd, J1 = 8.0 Hz, J2 = 1.5 Hz", "8.0*1 1.5*1"),
        ("dd, ³J = 8.0 Hz, ⁴J = 1.5 Hz", "8.0*1 1.5*1"),
        ("br d, J = 7.0", "7.0*1"),
        ("dd, J = 8.0, 1.5, 0.5 Hz", "8.0*1 8.0*1"),
        ("td, J = 8.0", "8.0*2 8.0*1"),
        ("t", "7.0*2"),
    ],
)
@pytest.mark.parametrize("order", ["{}, 2H", "2H, {}", "2 H, {}, Ar-H"])
def test_multiplicities_and_coupling_constants(remark, couplings, order):
    spectrum = parse_peaks(f"7.26 ({order.format(remark)}), 1.0", "h1")
    assert spectrum.meta["couplings"] == [couplings, ""] and spectrum.y.tolist() == [2, 1]


def test_what_is_assumed_is_said():
    steps = parse_peaks("1.22 (t), 2.0 (td, J = 8.0, 2H), 3.5 (m, J = 2 Hz)", "h1").steps
    assert "no coupling constant given for the triplet at 1.22: 7.0 Hz taken" in steps
    assert "coupling constants at 2 are 1, splittings 2: 8 Hz taken for all" in steps
    assert "coupling constants at 3.5 not used: no splitting is given" in steps
    assert "no number of hydrogens given at 1.22, 3.5: 1 taken" in steps


@pytest.mark.parametrize("remark", ["br s", "bs", "brs", "br. s", "s, br", "broad", "broad s", "br"])
def test_broad_signals(remark):
    assert parse_peaks(f"12.1 ({remark}, 1H)", "h1").meta["broad"] == [True]


@pytest.mark.parametrize(
    "heading",
    ["1H NMR (500 MHz, DMSO-d6):", "1H-NMR (DMSO-d6, 500 MHz) δ (ppm):", "¹H NMR (500 MHz, DMSO-d6, 298 K) δH = ",
     "1H NMR DMSO-d6, 500 MHz δ"],
)  # fmt: skip
def test_headings(heading):
    spectrum = parse_peaks(f"{heading} 2.50 (s, 3H)", "h1")
    assert spectrum.x.tolist() == [2.5] and spectrum.y.tolist() == [3]
    assert spectrum.meta["solvent"] == "DMSO-d6" and spectrum.meta["frequency_mhz"] == 500


def test_carbon_lists():
    spectrum = parse_peaks("13C{1H} NMR (101 MHz, DMSO-d6): δ = 170.9 (C), 128.5 (2C), 60.4 (CH2), 21 (2 x CH3)", "c13")
    assert spectrum.x.tolist() == [170.9, 128.5, 60.4, 21] and spectrum.y.tolist() == [1, 2, 1, 2]
    assert spectrum.meta["attached"] == [0, None, 2, 3] and spectrum.meta["solvent"] == "DMSO-d6"
    spectrum = parse_peaks("170.9; 162.3 (d, J = 245 Hz) 14.2 ppm", "c13")
    assert spectrum.x.tolist() == [170.9, 162.3, 14.2]
    assert "remarks at 162.3 not used: d, J = 245 Hz" in spectrum.steps


def test_commas_without_blanks():
    assert parse_peaks("170.9,60.4,21", "c13").x.tolist() == [170.9, 60.4, 21]
    spectrum = parse_peaks("7.5 (dd,J(H,H)=8,1.5 Hz,1H),3.5 (s,2H)", "h1")
    assert spectrum.x.tolist() == [7.5, 3.5] and spectrum.meta["couplings"] == ["8.0*1 1.5*1", ""]


@pytest.mark.parametrize(
    "text",
    ["43.0 100; 58.1 35", "43.0:100 58.1:35", "43.0 : 100, 58.1 : 35",
     "43.0 (100), 58.1 (35%)", "43.0\t100\n58.1\t35\n",
     "43.0,100; 58.1,35", "MS (EI) m/z (%): 43.0 (100), 58.1 (M+, 35)."],
)  # fmt: skip
def test_mass_lists(text):
    spectrum = parse_peaks(text, "msms_neg")
    assert spectrum.x.tolist() == [43, 58.1] and spectrum.y.tolist() == [100, 35]
    assert spectrum.x_unit == "m/z" and spectrum.peaks and spectrum.modality == "msms_neg"


numbers = st.integers(0, 1990).map(lambda k: k / 100)
letters = st.sampled_from(
    [("s", []), ("d", [1]), ("t", [2]), ("q", [3]), ("dd", [1, 1]), ("dt", [1, 2]), ("ddq", [1, 1, 3])]
)
hertz = st.integers(5, 180).map(lambda k: k / 10)


SIGNAL = st.tuples(numbers, st.integers(1, 18), letters, st.lists(hertz, min_size=3, max_size=3))


@given(st.lists(SIGNAL, min_size=1))
def test_a_written_proton_list_gives_the_numbers_back(signals):
    items, couplings = [], []
    for ppm, count, (name, partners), constants in signals:
        said = f", J = {', '.join(map(str, constants[: len(partners)]))} Hz" * bool(partners)
        items.append(f"{ppm} ({name}{said}, {count}H)")
        couplings.append(" ".join(f"{hz}*{n}" for hz, n in zip(constants, partners, strict=False)))
    spectrum = parse_peaks(", ".join(items), "h1")
    assert spectrum.x.tolist() == [signal[0] for signal in signals]
    assert spectrum.y.tolist() == [signal[1] for signal in signals]
    assert spectrum.meta["couplings"] == couplings and len(spectrum.steps) == 1
    assert looks_like_peaks(", ".join(items))


@given(st.lists(st.tuples(st.integers(1, 99_999), st.integers(0, 9_999)), min_size=1))
def test_a_written_mass_list_gives_the_numbers_back(peaks):
    text = " ".join(f"{mz / 10}:{height / 10}" for mz, height in peaks)
    spectrum = parse_peaks(text, "msms_pos")
    assert spectrum.x.tolist() == [mz / 10 for mz, _ in peaks]
    assert spectrum.y.tolist() == [height / 10 for _, height in peaks]
    assert looks_like_peaks(text)


@pytest.mark.parametrize(
    ("text", "modality", "message"),
    [
        ("25 (s)", "h1", "peak at 25 is outside -5 to 20 ppm"),
        ("400", "c13", "peak at 400 is outside -50 to 300"),
        ("20000:4", "msms_pos", "m/z 20000 is outside"),
        ("7.2 (s", "h1", r"bracket '\(s' is not closed"),
        ("7.2 (s), ethanol", "h1", "'ethanol' cannot be read"),
        ("", "h1", "no peak is in ''"),
        ("170,9, 60,4", "c13", "commas stand between digits"),
        ("7.2 (0H)", "h1", "7.2 has 0 atoms"),
        ("7.2 (d, J = 70000 Hz)", "h1", "above 1000 Hz"),
        ("7.2 (ddddddddd)", "h1", "has 9 letters; expected at most 6"),
        ("13C NMR 7.2", "h1", "the text says '13C NMR'; expected 1H NMR"),
        ("43.0, 58.1", "msms_pos", "expected m/z and intensity"),
        ("43 100 58 35", "msms_pos", "expected m/z and intensity"),
        ("43 (100, 35)", "msms_pos", "expected one intensity"),
        (";", "msms_pos", "no peak is in"),
        ("1715 s", "ir", "typed peaks of 'ir' are not read"),
        ("1 " * 40_000, "h1", "80,000 characters"),
    ],
)
def test_lists_that_are_refused(text, modality, message):
    with pytest.raises(ReadError, match=message):
        parse_peaks(text, modality)


def test_lists_are_told_from_file_names():
    for text in ("7.26 (m, 5H), 3.70", "170.9, 60.4", "43.0:100 58.1:35", "1H NMR (400 MHz) δ 7.26", "δ 7.26", "60.4",
                 "MS (EI) m/z 43 (100)", "−0.05 (s, 9H)", "7.26–7.20 (m)"):  # fmt: skip
        assert looks_like_peaks(text), text
    for text in ("a.csv", "1H.jdx", "13C NMR of x.jdx", "2024-01-02.jdx", "spectra/7.2.csv", "ethanol", "", "10/fid",
                 "7 spectra", "60.4 ppm.txt"):  # fmt: skip
        assert not looks_like_peaks(text), text


@pytest.mark.parametrize("modality", ["h1", "c13", "msms_pos"])
def test_damaged_lists(modality):
    seeds = [
        "1H NMR (400 MHz, CDCl3) δ 7.26–7.20 (m, 5H), 3.70 (q, J = 7.0 Hz, 2H), 1.2 (dd, J1 = 7 Hz)".encode(),
        b"170.9 (C), 128.5 (2C), 60.4 (CH2), 14.2",
        b"43.0:100 58.1:35",
        b"77.0391 (100), 51.02 (35)",
        b"7.26 (m, 5H), 3.70 (2H, q, J = 7.0 Hz)",
    ]

    def read(data):
        looks_like_peaks(data.decode("utf-8", "replace"))
        return parse_peaks(data.decode("utf-8", "replace"), modality)

    assert survives_damage(read, seeds) > 0

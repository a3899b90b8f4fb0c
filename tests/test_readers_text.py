"""Tables of two columns."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from reading import read_bytes

from symspectra.errors import ReadError


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


@pytest.mark.parametrize("shifts", [[7.26, 3.7], np.random.default_rng(0).uniform(0, 9, 20)])
def test_few_or_uneven_shifts_are_peaks(shifts):
    spectrum = table("ppm,intensity\n" + "\n".join(f"{x},1" for x in shifts))
    assert spectrum.peaks and spectrum.steps[-1].startswith("taken as a list of peaks, because the rows are few")
    assert table("cm-1,A\n3273.9,0.8\n1642.3,0.9\n1376.1,0.7").peaks


@pytest.mark.parametrize("x", [[*np.arange(0, 60, 0.1), *np.arange(80, 200, 0.1)], 1e7 / np.arange(2500, 25000, 50)])
def test_a_curve_with_a_region_cut_out_or_changing_steps_is_a_curve(x):
    assert not table("ppm,intensity\n" + "\n".join(f"{v:.4f},1" for v in x)).peaks


def test_what_follows_the_table_is_left_out():
    text = "XUNITS\t1/CM\nYUNITS\tTRANSMITTANCE\n400\t0.9\n402\t0.8\n404\t0.7\n\n##### More\n[Comments]\nUser\tx\n"
    spectrum = table(text)
    assert (spectrum.x_unit, spectrum.y_unit, len(spectrum)) == ("1/cm", "transmittance", 3)
    assert "lines after the table not read: 2" in spectrum.steps
    assert table(text, y_unit="percent transmittance").y_unit == "percent transmittance"


def test_comments_and_other_columns_are_said():
    text = "made by an instrument\nno,cm-1,abs,phase\n1,400,0.1,0\n# gap\n2,402,0.2,0\n\n// end\n"
    spectrum = table(text)
    assert spectrum.x.tolist() == [400, 402] and spectrum.y.tolist() == [0.1, 0.2]
    assert spectrum.steps[1] == "columns 'cm-1' and 'abs' taken, 2 not read"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("Raman shift (cm-1),Intensity\n400,1\n500,2\n", "is a Raman spectrum .the header says 'Raman shift'"),
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
        ("atom,ppm\n1,171.4\n2,60.5", "second column is 'ppm'"),
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

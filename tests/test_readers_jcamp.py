import time
from itertools import groupby

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reading import read_bytes

from symspectra.errors import ReadError
from symspectra.spectra.conversion import prepare
from symspectra.spectra.readers.jcamp_data import ordinates

FORMS = ("AFFN", "PAC", "SQZ", "DIF", "DIFDUP")
INTEGERS = st.lists(st.integers(-(10**9), 10**9) | st.integers(-12, 12), min_size=1, max_size=60)


def digits(number, zero, positive, negative):
    """A number whose first digit is a letter that also says its sign."""
    text = str(abs(number))
    first = zero if number == 0 else (positive if number > 0 else negative)[int(text[0]) - 1]
    return first + text[1:]


SQUEEZED, DIFFERENCE = ("@", "ABCDEFGHI", "abcdefghi"), ("%", "JKLMNOPQR", "jklmnopqr")


def encoded(y, form, a_line=7, x=None):
    """The lines of a (X++(Y..Y)) table; differences are followed by the check ordinate on the next line."""
    x = list(range(len(y))) if x is None else x
    if form in ("AFFN", "PAC", "SQZ"):
        write = {"AFFN": " {}".format, "PAC": "{:+d}".format, "SQZ": lambda value: digits(value, *SQUEEZED)}[form]
        starts = range(0, len(y), a_line)
        return "\n".join(f"{x[i]:g}" + "".join(map(write, y[i : i + a_line])) for i in starts)
    lines = []
    for i in range(0, max(len(y) - 1, 1), a_line):  # a line begins with the last point of the line before
        steps = [
            digits(after - before, *DIFFERENCE) for before, after in zip(y[i : i + a_line], y[i + 1 :], strict=False)
        ]
        if form == "DIFDUP":
            runs = [(step, len(list(run))) for step, run in groupby(steps)]
            steps = [step + (digits(count, "", "STUVWXYZs", "") if count > 1 else "") for step, count in runs]
        lines.append(f"{x[i]:g}" + digits(y[i], *SQUEEZED) + "".join(steps))
    if len(y) > 1:
        lines.append(f"{x[-1]:g}" + digits(y[-1], *SQUEEZED))
    return "\n".join(lines)


def infrared(y=(100, 250, 900, 250, 100), form="AFFN", table=None, **labels):
    """A small infrared file; a label of None is left out."""
    head = {"TITLE": "ethanol", "JCAMP-DX": "4.24", "DATA TYPE": "INFRARED SPECTRUM", "XUNITS": "1/CM"}
    head |= {"YUNITS": "ABSORBANCE", "XFACTOR": "1", "YFACTOR": "0.001", "FIRSTX": "1000"}
    head |= {"LASTX": 1000 + 2 * (len(y) - 1), "NPOINTS": len(y)}
    table = table or "##XYDATA=(X++(Y..Y))\n" + encoded(y, form, x=[1000 + 2 * i for i in range(len(y))])
    labels = head | {name.replace("_", " "): value for name, value in labels.items()}
    lines = [f"##{name}={value}" for name, value in labels.items() if value is not None]
    return ("\n".join([*lines, table, "##END=", ""])).encode()


def nmr(table, **labels):
    head = {"DATA_TYPE": "NMR SPECTRUM", ".OBSERVE_NUCLEUS": "^1H", ".OBSERVE_FREQUENCY": "400"}
    head |= {"XUNITS": "HZ", "YUNITS": "ARBITRARY UNITS", "YFACTOR": "1", "FIRSTX": "3600", "LASTX": "-800"}
    return infrared((0,) * 12, table=table, **(head | labels))


CURVE = "##XYDATA=(X++(Y..Y))\n" + encoded(list(range(12)), "DIF", x=[3600 - 400 * i for i in range(12)])


def labelled(records, *lines):
    return ("".join(f"##{record.strip()}\n" for record in records.split("|")) + "\n".join([*lines, ""])).encode()


MASS = labelled(
    "TITLE=ethanol | JCAMP-DX=5.00 | DATA TYPE=MASS SPECTRUM | .IONIZATION MODE=EI+ | CAS REGISTRY NO=64-17-5 |"
    "XUNITS=M/Z | YUNITS=RELATIVE ABUNDANCE | NPOINTS=4 | PEAK TABLE=(XY..XY)",
    *("29, 30; 31, 100", "45 52", "46, 2.5e1 $$ the molecular ion", "##END="),
)
PAGES = labelled(
    "TITLE=ethyl acetate | JCAMPDX=6.0 | DATA TYPE=NMR SPECTRUM | .OBSERVE NUCLEUS=^13C | .OBSERVE FREQUENCY=100 |"
    "$OFFSET=190 | $SF=100 | NTUPLES=NMR SPECTRUM | VAR_NAME=FREQUENCY, SPECTRUM/REAL, SPECTRUM/IMAG, PAGE NUMBER |"
    "SYMBOL=X, R, I, N | VAR_DIM=5, 5, 5, 2 | UNITS=HZ, ARBITRARY UNITS, ARBITRARY UNITS, | FACTOR=100, 2, 3, 1 |"
    "FIRST=20000, 2, 3, 1 | LAST=0, 16, 15, 2 | MIN=0, 2, 3, 1 | MAX=20000, 16, 15, 2",
    *("##PAGE=N=1", "##DATA TABLE=(X++(R..R)), XYDATA", "200A%J", "100BKM", "0H"),
    *("##PAGE=N=2", "##DATA TABLE=(X++(I..I)), XYDATA", "200AJV", "0E", "##END NTUPLES=NMR SPECTRUM", "##END="),
)
CHROMATOGRAM = labelled(
    "TITLE=two compounds | JCAMP-DX=5.00 | DATA TYPE=MASS SPECTRUM | NTUPLES=MASS SPECTRUM |"
    "VAR_NAME=MASS, INTENSITY, RETENTION TIME | SYMBOL=X, Y, T | VAR_DIM=, , 2 | UNITS=M/Z, COUNTS, SECONDS",
    *("##PAGE=T=272", "##NPOINTS=2", "##DATA TABLE=(XY..XY), PEAKS", "50, 2.52; 51, 9.32"),
    *("##PAGE=T=301", "##NPOINTS=1", "##DATA TABLE=(XY..XY), PEAKS", "63, 58.30", "##END NTUPLES=", "##END="),
)
ASSIGNED = labelled(
    "TITLE=acetone | JCAMP-DX=5.00 | DATA TYPE=NMR PEAK ASSIGNMENTS | .OBSERVE NUCLEUS=^13C | XUNITS=PPM |"
    "YUNITS=ARBITRARY UNITS | NPOINTS=2 | PEAK ASSIGNMENTS=(XYMA)",
    *("(30.6, 2.0, Q, <1,3>)", "(206.7, 1.0,, <2 (C=O)>)", "##END="),
)


LISTED = labelled(
    "TITLE=ethanol | JCAMP-DX=5.00 | DATA TYPE=NMR PEAK TABLE | .OBSERVE NUCLEUS=^1H | XUNITS=PPM |"
    "YUNITS=ARBITRARY UNITS | NPOINTS=4 | PEAK TABLE=(XY..XY)",
    *("3.71, 20; 3.69, 20", "1.20, 90; 7.26, 50", "##$OBSERVEDINTEGRALS= (X Y Z)", "(3.6, 3.8, 2.0)"),
    *("(1.1, 1.3, 3.1, 700)", "##$OBSERVEDMULTIPLETS="),
    *("(1, 3.6, 3.8, 3.70, 2.0, 1, q, A, 7.0)", "(2, 1.1, 1.3, None, 3.0, 2, t, B, 7.1)", "##END="),
)
INTEGRATED = LISTED[: LISTED.index(b"(1, 3.6")] + b"##END=\n"


def curve(body, **labels):
    return infrared(table="##XYDATA=(X++(Y..Y))\n" + body, **labels)


def linked(*blocks):
    head = labelled(f"TITLE=several | JCAMP-DX=5.00 | DATA TYPE=LINK | BLOCKS={len(blocks)}")
    return head + b"".join(blocks) + b"##END=\n"


@given(INTEGERS, st.sampled_from(FORMS), st.integers(1, 9))
@settings(max_examples=150)
def test_every_form_gives_the_numbers_that_were_encoded(y, form, a_line):
    raw = ordinates(encoded(y, form, a_line), most=100)
    np.testing.assert_array_equal(raw.y, y)
    assert all(int(said) == index for said, index in raw.lines)


@pytest.mark.parametrize("form", FORMS)
def test_a_file_is_the_same_in_every_form(form):
    (spectrum,) = read_bytes(infrared(form=form, FIRSTY=0.1, MAXY=0.9, MINY=0.1))
    np.testing.assert_allclose(spectrum.x, [1000, 1002, 1004, 1006, 1008])
    np.testing.assert_allclose(spectrum.y, [0.1, 0.25, 0.9, 0.25, 0.1])
    assert (spectrum.modality, spectrum.x_unit, spectrum.y_unit, spectrum.peaks) == ("ir", "1/cm", "absorbance", False)
    assert spectrum.meta == {"title": "ethanol", "format": "JCAMP-DX", "block": 1, "source": "a"}
    assert spectrum.steps == ()


@pytest.mark.parametrize(
    ("text", "y"),
    [
        ("1I9jlk%jM", [99, 98, 95, 93, 93, 92, 96]),  # McDonald and Wilks 1988, and repeats of a value and a difference
        ("1AU", [1, 1, 1]),
        ("1A%U", [1, 1, 1, 1]),
        ("1AJT\n4C", [1, 2, 3]),
        ("1 @S0a", [0] * 10 + [-1]),
        ("1.5E+01 2.5e-01 -.5+3", [0.25, -0.5, 3]),
        ("400E5e5", [55, -55]),
    ],
)
def test_worked_values_of_the_forms(text, y):
    np.testing.assert_array_equal(ordinates(text, 99).y, y)


@pytest.mark.parametrize(
    "change",
    [
        lambda data: data.replace(b"\n", b"\r\n"),
        lambda data: data.replace(b"\n", b"\r"),
        lambda data: b"\xef\xbb\xbf" + data,
        lambda data: b"$$ a comment\n \n" + data,
        lambda data: data.replace(b"ethanol", "éthanol".encode("latin-1")),
        lambda data: data.replace(b"##XUNITS", b"$$ ##XUNITS=NM\n##X-Units"),
        lambda data: data.replace(b"##DATA TYPE=INFRARED SPECTRUM", b" ##data_type= Infrared  Spectrum $$ gas"),
        lambda data: data.replace(b"INFRARED SPECTRUM", b"FT-IR").replace(b"##NPOINTS=5", b"##NPOINTS= 5.0 "),
        lambda data: data + b"\x1a",
    ],
)
def test_line_ends_encodings_comments_and_labels(change):
    (spectrum,) = read_bytes(change(infrared(form="DIFDUP")))
    np.testing.assert_allclose(spectrum.y, [0.1, 0.25, 0.9, 0.25, 0.1])
    assert spectrum.meta["title"] in ("ethanol", "éthanol")


def test_factors_and_a_descending_axis():
    table = "##XYDATA=(X++(Y..Y))\n2000 10 20\n1000 30 40"
    (spectrum,) = read_bytes(
        infrared((0,) * 4, table=table, XFACTOR=2, YFACTOR=0.5, FIRSTX=4000, LASTX=1000, YUNITS="TRANSMITTANCE")
    )
    np.testing.assert_array_equal(spectrum.x, [4000, 3000, 2000, 1000])
    np.testing.assert_array_equal(spectrum.y, [5, 10, 15, 20])
    assert spectrum.y_unit == "transmittance"  # as the file says; a conversion refuses values that contradict it
    (spectrum,) = read_bytes(infrared(LASTX=None, DELTAX=2, YUNITS="TRANSMITTANCE"))
    assert spectrum.x[-1] == 1008 and spectrum.y_unit == "transmittance" and spectrum.steps == ()


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (infrared(NPOINTS=9), "ends after 5 of 9 points"),
        (infrared(NPOINTS=4), "has 5 points where ##NPOINTS= says 4"),
        (infrared(FIRSTX=None), "##FIRSTX="),
        (infrared(FIRSTX=400), "begins at 1000 where .* lead to 400"),
        (infrared(XUNITS="GAUSS"), "##XUNITS= is 'GAUSS'; expected 1/cm, um, nm"),
        (infrared(YUNITS=None), "##YUNITS= is ''; expected absorbance"),
        (infrared(YFACTOR=0), "a factor"),
        (infrared(FIRSTY=0.9), r"first value is 0.1 where ##FIRSTY= says 0.9"),
        (infrared(MINY=0, MAXY=9), "reach from 0.1 to 0.9 where the file says 0 to 9"),
        (infrared(DATA_TYPE=None), "##DATA TYPE= is ''"),
        (infrared(DATA_TYPE="RAMAN SPECTRUM"), "infrared spectra only"),
        (infrared(DATA_TYPE="nD NMR SPECTRUM"), "several dimensions"),
        (infrared(DATA_TYPE="UV/VIS SPECTRUM"), "expected INFRARED SPECTRUM"),
        (curve("1000 1 2 why"), "line 1 of the data table, '1000 1 2 why'"),
        (curve("1000J"), "begins with a difference"),
        (curve("1000T"), "repeats something other"),
        (curve("1000AT.5"), "repeats something other"),
        (curve("1000AT\nA"), "line 2 .* its position"),
        (curve("1000As99999999"), "expected at most"),
        (curve("1000AJJ\n1004D"), "line 2 .* begins with 4; expected the last value again, 3"),
        (infrared(table="##XYDATA=(R++(A..A))\n1 2"), r"expected \(X\+\+\(Y\.\.Y\)\)"),
        (infrared(table="##XYDATA=(XY..XY)\n1 2 3"), "groups of 2"),
        (infrared(table="##XYDATA=(XY..XY)\n1 nan"), "'nan'; expected a number"),
        (nmr(CURVE, **{".OBSERVE_NUCLEUS": "^19F"}), "'19F'; expected"),
        (nmr(CURVE, **{".OBSERVE_FREQUENCY": None}), "##.OBSERVE FREQUENCY="),
        (nmr("##XYDATA=(X++(Y..Y))\n4400" + " 1" * 12, FIRSTX=4400, LASTX=0), "where 0 ppm is"),
        (nmr("##PEAK TABLE=(XY..XY)\n" + "400 1 " * 12), "peaks are in Hz"),
        (MASS.replace(b"##NPOINTS=4\n", b"").replace(b"##END=\n", b""), "may be cut off"),
        (MASS.replace(b"MASS", b"CONTINUOUS MASS"), "profile mode"),
        (ASSIGNED.replace(b"(206.7, 1.0,, <2 (C=O)>)", b"206.7"), "in parentheses"),
        (LISTED.replace(b"(1, 3.6,", b"(1, x,"), "MULTIPLETS= holds '1, x, 3.8"),
        (LISTED.replace(b"3.70, 2.0", b"3.70, ?"), "the area '\\?'"),
        (LISTED.replace(b"3.70, 2.0", b"3.70, -2"), "signal at 3.7 is -2"),
        (INTEGRATED.replace(b"(3.6, 3.8", b"(4.6, 4.8"), "integral from 4.6 to 4.8 has no lines"),
        (INTEGRATED.replace(b"(3.6, 3.8", b"(1.0, 3.8"), "integral from 1.1 to 1.3 has no lines of its own"),
        (INTEGRATED.replace(b"(3.6, 3.8, 2.0)", b"(3.6, 3.8)"), "INTEGRALS= holds '3.6, 3.8'; expected at least 3"),
    ],
)
def test_what_cannot_be_read_is_refused_with_the_reason(data, message):
    with pytest.raises(ReadError, match=message):
        read_bytes(data)


def test_damaged_by_a_cut_anywhere_no_table_is_read_short():
    data = infrared(form="DIFDUP")
    for end in range(data.index(b"##END=") + len("##END")):
        with pytest.raises(ReadError):
            read_bytes(data[:end])


def test_an_axis_in_hz_is_referenced_by_what_the_file_says():
    def axis(**labels):
        (spectrum,) = read_bytes(nmr(CURVE, **labels))
        assert (spectrum.modality, spectrum.x_unit, spectrum.y_unit) == ("h1", "ppm", "intensity")
        assert spectrum.meta["frequency_mhz"] == 400
        return spectrum

    spectrum = axis()
    np.testing.assert_allclose(spectrum.x, np.linspace(9, -2, 12))
    np.testing.assert_array_equal(spectrum.y, np.arange(12))
    assert spectrum.steps == ("axis converted from Hz to ppm by 400 MHz, 0 Hz taken as 0 ppm",)
    spectrum = axis(**{".SHIFT_REFERENCE": "INTERNAL, TMS, 12, 0"})
    np.testing.assert_allclose(spectrum.x, np.linspace(11, 0, 12))
    assert "point 12 at 0 ppm" in spectrum.steps[0]
    np.testing.assert_allclose(axis(**{".SHIFT_REFERENCE": "(EXTERNAL, TMS, 3, 7.5)"}).x[2], 7.5)
    np.testing.assert_allclose(axis(**{".SHIFT_REFERENCE": "INTERNAL, TMS, 0, 0"}).x[0], 9)
    spectrum = axis(**{"$OFFSET": 12.5, "$SF": 200, ".SHIFT_REFERENCE": "INTERNAL, TMS, 12, 0"})
    np.testing.assert_allclose(spectrum.x, np.linspace(12.5, -9.5, 12))
    assert "200 MHz" in spectrum.steps[0] and "12.5 ppm" in spectrum.steps[0]
    bare = CURVE.replace("(X++(Y..Y))", "(X++(Y..Y)")
    (spectrum,) = read_bytes(nmr(bare, XUNITS="PPM", **{".SOLVENT_NAME": "CDCl3"}))
    assert spectrum.x[0] == 3600 and spectrum.meta["solvent"] == "CDCl3" and spectrum.steps == ()


def test_the_real_page_of_a_complex_spectrum():
    (spectrum,) = read_bytes(PAGES)
    np.testing.assert_array_equal(spectrum.y, [2, 2, 4, 8, 16])
    np.testing.assert_allclose(spectrum.x, [190, 140, 90, 40, -10])
    assert spectrum.modality == "c13" and "left out spectrum 2: it is the imaginary part" in spectrum.steps[-1]
    with pytest.raises(ReadError, match="imaginary part; expected the real"):
        read_bytes(PAGES[: PAGES.index(b"##PAGE=N=1")] + PAGES[PAGES.index(b"##PAGE=N=2") :])
    with pytest.raises(ReadError, match="ends after 3 of 5 points"):
        read_bytes(PAGES.replace(b"BKM\n0H", b"B"))


def test_a_mass_spectrum_is_peaks_of_electron_ionisation_where_it_says_so():
    assert read_bytes(MASS.replace(b"EI+", b"ESI"))[0].modality is None  # of unknown polarity
    (spectrum,) = read_bytes(MASS)
    np.testing.assert_array_equal(spectrum.x, [29, 31, 45, 46])
    np.testing.assert_array_equal(spectrum.y, [30, 100, 52, 25])
    assert (spectrum.modality, spectrum.x_unit, spectrum.peaks) == ("ei", "m/z", True)
    assert spectrum.meta["ionisation"] == "EI+"
    (spectrum,) = read_bytes(MASS.replace(b"##NPOINTS=4\n", b""))
    assert len(spectrum) == 4 and "took all 4 points" in spectrum.steps[0]
    bare = MASS.replace(b"##XUNITS=M/Z\n##YUNITS=RELATIVE ABUNDANCE\n", b"").replace(b"PEAK TABLE", b"XYDATA")
    (spectrum,) = read_bytes(bare)
    assert spectrum.peaks and spectrum.x_unit == "m/z" and "no units" in spectrum.steps[0]


def test_the_pages_of_a_chromatogram_are_spectra():
    first, second = read_bytes(CHROMATOGRAM)
    np.testing.assert_array_equal(first.y, [2.52, 9.32])
    np.testing.assert_array_equal(second.x, [63])
    assert first.meta["page"] == "T=272" and second.meta["page"] == "T=301" and second.meta["block"] == 2


def test_assigned_and_listed_peaks_of_a_nucleus():
    (spectrum,) = read_bytes(ASSIGNED)
    np.testing.assert_array_equal(spectrum.x, [30.6, 206.7])
    np.testing.assert_array_equal(spectrum.y, [2, 1])
    assert (spectrum.modality, spectrum.peaks) == ("c13", True)
    table = "##PEAK TABLE=(XYW..XYW)\n" + "7.26, 5, 0.1; " * 12
    (spectrum,) = read_bytes(nmr(table, XUNITS="PPM"))
    assert spectrum.peaks and set(spectrum.x) == {7.26} and set(spectrum.y) == {5}
    (spectrum,) = read_bytes(ASSIGNED.replace(b"XYMA", b"XA"))
    np.testing.assert_array_equal(spectrum.y, [1, 1])


def test_multiplicities_of_assigned_peaks():
    assert read_bytes(ASSIGNED)[0].meta["attached"] == [3, None]
    assert "attached" not in read_bytes(ASSIGNED.replace(b"Q,", b"S,"))[0].meta  # a decoupled spectrum says so of all
    proton = ASSIGNED.replace(b"^13C", b"^1H").replace(b"30.6", b"3.6").replace(b"206.7", b"2.7")
    (spectrum,) = read_bytes(proton)
    assert spectrum.meta["couplings"] == ["7.0*3", ""] and spectrum.y.tolist() == [1, 0.5]
    assert "no coupling constant given for the quartet at 3.6: 7.0 Hz taken" in spectrum.steps
    assert read_bytes(proton.replace(b"(3.6, 2.0", b"(3.6, -2.0"))[0].y.tolist() == [-2, 1]  # refused when converted


def test_observed_multiplets_and_integrals_of_a_list():
    (spectrum,) = read_bytes(LISTED)
    np.testing.assert_allclose(spectrum.x, [3.7, 1.2])
    np.testing.assert_allclose(spectrum.y, [2 / 3, 1], atol=1e-6)
    assert spectrum.meta["couplings"] == ["7.0*3", "7.1*2"] and "2 observed multiplets" in spectrum.steps[0]
    (spectrum,) = read_bytes(INTEGRATED)
    np.testing.assert_allclose(spectrum.x, [3.71, 3.69, 1.2])
    np.testing.assert_allclose(spectrum.y, [1, 1, 3.1])
    assert "left out 1 outside" in spectrum.steps[0] and "couplings" not in spectrum.meta
    (spectrum,) = read_bytes(LISTED.replace(b"^1H", b"^13C"))
    assert len(spectrum) == 4 and spectrum.steps == (
        "left out the observed multiplets",
        "left out the observed integrals",
    )


def test_dept_lists_and_curves_are_not_taken_for_all_carbons():
    dept = ASSIGNED.replace(b"acetone", b"DEPT-135 BBI")
    for data, words in (
        (dept, "is a DEPT-135 spectrum"),
        (ASSIGNED.replace(b"##XUNITS", b"##$PULPROG= <deptqgpsp>\n##XUNITS"), "is a DEPT spectrum"),
        (ASSIGNED.replace(b"##XUNITS", b"##.PULSE SEQUENCE=jmod\n##XUNITS"), "is a JMOD spectrum"),
        (ASSIGNED.replace(b"2.0,", b"-2.0,"), "at 30.6 ppm has a negative intensity, as DEPT"),
    ):
        with pytest.raises(ReadError, match=words):
            prepare(read_bytes(data)[0])
    prepare(read_bytes(ASSIGNED.replace(b"acetone", b"Chem. Dept. 135, APT-3"))[0])


def test_a_curve_is_preferred_to_the_peaks_beside_it_and_uneven_points_are_kept():
    table = "##PEAK TABLE=(XY..XY)\n1004 900\n##XYPOINTS=(XY..XY)\n1000 100\n1003, 250; 1008 100"
    (spectrum,) = read_bytes(infrared((0,) * 3, table=table))
    np.testing.assert_array_equal(spectrum.x, [1000, 1003, 1008])
    np.testing.assert_allclose(spectrum.y, [0.1, 0.25, 0.1])
    assert not spectrum.peaks and spectrum.steps == ("left out the peak table of the same block",)


def test_blocks_are_counted_chosen_and_the_unreadable_ones_named():
    structure = b"##TITLE=structure\n##JCAMP-CS=3.7\n##ATOMLIST=\n1 C\n##END=\n"
    data = linked(structure, infrared(), infrared(DATA_TYPE="RAMAN SPECTRUM"), MASS)
    first, last = read_bytes(data)
    assert (first.meta["block"], last.meta["block"]) == (1, 3) and (first.modality, last.modality) == ("ir", "ei")
    assert all("left out spectrum 2" in s.steps[0] and "Raman" in s.steps[0] for s in (first, last))
    assert read_bytes(data, block=3)[0].steps == ()
    for message, wrong in (("Raman", {"block": 2}), ("no spectrum 4; there are 1, 2, 3", {"block": 4})):
        with pytest.raises(ReadError, match=message):
            read_bytes(data, **wrong)
    with pytest.raises(ReadError, match="spectrum 1 of 2: .*NPOINTS"):
        read_bytes(linked(infrared(NPOINTS=None), infrared(XUNITS=None)))


def test_head_values_that_are_only_exchanged_or_in_percent_are_accepted():
    (spectrum,) = read_bytes(infrared(MINY=0.9, MAXY=0.1, FIRSTY=0.1))
    assert spectrum.steps == ()
    (spectrum,) = read_bytes(infrared(MINY=10, MAXY=90, FIRSTY=0.1))
    assert spectrum.steps == ("##MINY= and ##MAXY= are in percent, the values are not",)
    (spectrum,) = read_bytes(infrared(MINY=0.1, MAXY=0.9, FIRSTY=0.4))
    assert "##FIRSTY= says 0.4" in spectrum.steps[0]
    (spectrum,) = read_bytes(curve("1000A%JKJ\n1009@"))
    np.testing.assert_allclose(spectrum.y, [0.001, 0.001, 0.002, 0.004, 0.005])
    assert "closing check value 0" in spectrum.steps[0]


SEEDS = [
    *(infrared(form="DIFDUP", FIRSTY=0.1, MAXY=0.9, MINY=0.1), infrared(tuple(range(30)), form="PAC")),
    infrared(form="SQZ", YUNITS="TRANSMITTANCE").replace(b"\n", b"\r\n"),
    nmr(CURVE, **{".SHIFT_REFERENCE": "INTERNAL, TMS, 12, 0"}),
    *(PAGES, MASS, CHROMATOGRAM, ASSIGNED, LISTED, INTEGRATED, linked(infrared(), MASS, ASSIGNED)),
]


@pytest.mark.parametrize(
    "body", ["0A" + "J" * 200_000, "0A" + "T" * 200_000, "0\n" * 100_000, "9" * 200_000, "0As99999" * 9]
)
def test_a_hostile_table_is_answered_at_once(body):
    start = time.process_time()
    with pytest.raises(ReadError):
        read_bytes(curve(body, NPOINTS=10**9))
    with pytest.raises(ReadError):
        read_bytes(infrared(table="##PEAK ASSIGNMENTS=(XYA)\n" + body.replace("0", "(").replace("A", "<")))
    assert time.process_time() - start < 2

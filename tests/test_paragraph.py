import pytest

from symspectra.errors import ReadError
from symspectra.spectra.formula import parse_formula
from symspectra.spectra.readers.paragraph import read_paragraph

COUMARIN = """Coumarin. White solid, mp 68-70 °C. ¹H NMR (400 MHz, CDCl3) δ 7.70 (d, J = 9.5 Hz, 1H), 7.53–7.46 (m, 2H),
7.33–7.24 (m, 2H), 6.41 (d, J = 9.5 Hz, 1H). ¹³C{¹H} NMR (101 MHz, CDCl3) δ 160.9, 154.1, 143.6, 132.0, 128.0, 124.6,
119.0, 117.0, 116.8. IR (ATR): 3060, 1702 (vs), 1604 (s), 1450, 754 cm−1. HRMS (ESI) m/z: [M + H]+ calcd for C9H7O2
147.0441; found 147.0443."""


def test_a_paragraph_is_split_at_its_headings():
    spectra, unused = read_paragraph(COUMARIN)
    assert {name: len(s) for name, s in spectra.items() if name != "formula"} == {"h1": 4, "c13": 9, "ir": 5}
    assert spectra["formula"].meta["source"] == "C9H6O2" and spectra["ir"].y.tolist() == [3, 5, 4, 3, 3]
    assert unused == ["'mp 68-70 °C' is not used"]


@pytest.mark.parametrize(
    "text, formula",
    [
        ("HRMS (EI) calcd for C4H8O2 (M+): 88.0519, found 88.0520", "C4H8O2"),
        ("HRMS (ESI): calcd for C10H14N2O2Na [M+Na]+ 217.0948; found 217.0950", "C10H14N2O2"),
        ("HRMS (ESI): calcd for C10H14N2O2 [M+Na]+ 217.0948; found 217.0950", "C10H14N2O2"),  # of the molecule
        ("HRMS (ESI-TOF) m/z: calcd for C7H5O2 [M-H]- 121.0295, found 121.0290", "C7H6O2"),
        ("HRMS (ESI) calcd for C10H18NO2 [M+NH4]+ 184.1332", "C10H14O2"),
        ("Anal. Calcd for C10H14N2O2: C, 61.84; H, 7.27; N, 14.42", "C10H14N2O2"),
    ],
)
def test_the_formula_is_that_of_the_neutral_molecule(text, formula):
    spectra, unused = read_paragraph(text)
    assert unused == [] and (spectra["formula"].y == parse_formula(formula).y).all()


@pytest.mark.parametrize(
    "text, words",
    [
        ("HRMS (ESI) calcd for C9H7O2 [M+H]+ 147.0541", "does not have the mass"),
        ("HRMS (ESI) calcd for C9H7O2 147.0441", "which ion"),
        ("HRMS (ESI) [M+H]+ 147.0441", "no formula"),
        ("19F NMR (376 MHz) -63.2", "'19F NMR (376 MHz) -63.2' is not used"),
        ("1H NMR 7,26, 1.25", "not used"),
        ("IR (KBr) strong", "not used"),
        ("1H NMR (300 MHz) 7.2 (s); 1H NMR (500 MHz) 7.3 (s)", "a second h1"),
    ],
)
def test_what_is_not_understood_is_named(text, words):
    spectra, unused = read_paragraph(f"13C NMR (CDCl3) 30.9, 206.7. {text}")
    assert words in "; ".join(unused) and "formula" not in spectra


@pytest.mark.parametrize("text", ["", "a white solid", "IR: strong", "mp 68 °C"])
def test_a_text_without_spectra_is_refused(text):
    with pytest.raises(ReadError, match="no spectrum can be read from the text"):
        read_paragraph(text)

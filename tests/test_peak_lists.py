"""Lists of peaks as they are typed, pasted or kept in files: what each means, and what may mean two things."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mutations import survives_damage
from reading import read_bytes

from symspectra.errors import ReadError
from symspectra.predict.tables import spectrum_of
from symspectra.spectra.readers.peak_lists import looks_like_peaks, parse_peaks

PAPER = (
    "¹H NMR (400 MHz, CDCl3) δ 8.01–7.95 (m, 2H), 7.26 (dd, J = 8.0, 1.5 Hz, 1H), 4.37 (2H, q, J = 7.1 Hz), "
    "1.39 (t, 3J(H,H) = 7.1 Hz, 3 H, CH3), −0.05 (br s, 9H)."
)

#: Modality, text, positions, and values where they are not all 1.
READ = [
    # a dash behind a blank, a separator or an end of a line is a minus; between two digits it is a range
    ("c13", "138.2\n25.9\n18.1\n-4.4\n−4.6", [138.2, 25.9, 18.1, -4.4, -4.6]),
    ("c13", "25.9 18.1 -4.4", [25.9, 18.1, -4.4]),
    ("c13", "25.9; –4.4", [25.9, -4.4]),
    ("c13", "13C NMR (CDCl3): –4.4, 25.9", [-4.4, 25.9]),
    ("c13", "129.5–127.5, 21.4", [128.5, 21.4]),
    ("h1", "8.01 - 7.95 (m, 2H)", [7.98], [2]),
    ("h1", "1.5 to 1.3 (m, 6H), 0.9 (t, 3H)", [1.4, 0.9], [6, 3]),
    # separators
    ("c13", "171.1,60.3,21", [171.1, 60.3, 21]),
    ("c13", "171.1,60,14.2", [171.1, 60, 14.2]),
    ("c13", "171.1,\n60.3,\n14.2.", [171.1, 60.3, 14.2]),
    ("c13", "170.9; 162.3 (d, J = 245 Hz) 14.2 ppm", [170.9, 162.3, 14.2]),
    ("c13", "131.4 135 156.5", [131.4, 135, 156.5]),
    ("c13", "170.9, 60.4, and 21.0", [170.9, 60.4, 21.0]),
    ("h1", "7.31 (m, 5H)\n3.66 (q, J = 7.0\n Hz, 2H)", [7.31, 3.66], [5, 2]),
    # full-width signs and counts
    ("h1", "7.31（m，5H）、3.66（t，J＝6.6 Hz，2H）", [7.31, 3.66], [5, 2]),
    ("h1", "1.02 (d, J = 6.7 Hz, 2 × 3H), 1.31 (s, 3H x 3), 2.1 (6H, 2 x 3H, s)", [1.02, 1.31, 2.1], [6, 9, 6]),
    ("c13", "128.5 (2 × C), 127.0 (2C), 55.1 (x2), 21 (2 x CH3)", [128.5, 127, 55.1, 21], [2, 2, 2, 2]),
    # headings
    ("c13", "13C-{1H} NMR (75 MHz, DMSO-d6) δ 168.2, 52.1", [168.2, 52.1]),
    ("c13", "¹³C{¹H}-NMR (101 MHz, CDCl₃): δ = 168.2, 52.1", [168.2, 52.1]),
    ("c13", "C-13 NMR: 168.2, 52.1", [168.2, 52.1]),
    ("c13", "δC (100 MHz; CDCl3) 168.2 (C=O), 52.1", [168.2, 52.1]),
    ("h1", "1H NMR (300 MHz, CD3OD), δ, ppm: 6.9 (m, 4H)", [6.9], [4]),
    ("h1", "d, ppm: 6.9 (m, 4H)", [6.9], [4]),
    ("h1", "dH (400 MHz; CDCl3) 7.4 (5 H, m, Ph), 3.5 (2 H, t, J 6.6, CH2O)", [7.4, 3.5], [5, 2]),
    ("h1", "δ/ppm 6.9 (m, 4H)", [6.9], [4]),
    ("h1", "3a: 1H-NMR (CDCl3, 400 MHz) 6.9 (m, 4H)", [6.9], [4]),
    # mass spectra
    *(
        ("msms_neg", text, [43, 58.1], [100, 35])
        for text in (
            *("43.0 100; 58.1 35", "43.0:100 58.1:35", "43.0 : 100, 58.1 : 35", "43.0 (100), 58.1 (35%)"),
            *("43.0\t100\n58.1\t35\n", "43.0,100; 58.1,35", "43.0 100, 58.1 35", "m/z intensity\n43.0 100\n58.1 35"),
            *("MS/MS (ESI-, 20 eV) m/z 43.0 (100), 58.1 (35)", "[M–H]–: m/z 43.0 (100), 58.1 (35)"),
        )
    ),
    # infrared: 1 very weak to 5 very strong
    ("ir", "IR (KBr) ν 3350, 2925 (s), 1715 (vs), 1600 w cm−1", [3350, 2925, 1715, 1600], [3, 4, 5, 2]),
    ("ir", "νmax (film)/cm⁻¹ 3420br, 1731vs, 1240 (C–O)", [3420, 1731, 1240], [3, 5, 3]),
    ("ir", "FT-IR (ATR, cm–1): ν̃ = 3400–3200 (br, m), 1655 (strong)", [3300, 1655], [3, 4]),
    ("ir", "2960,2178,1736", [2960, 2178, 1736], [3, 3, 3]),
]

#: Modality, text, and a word of the reason.
REFUSED = [
    # columns: numbers of atoms, counts
    *(
        ("c13", text, "separator|cannot be read")
        for text in (
            *("1 169.5\n2 61.2", "1\t169.5\n2\t61.2", "1;169.5\n2;61.2", "169.5 1\n61.2 2", "1. 169.5\n2. 61.2"),
            *("1: 169.5\n2: 61.2", "1 169.5", "1, 169.5, 2, 61.2", "1\n169.5\n2\n61.2", "C1 169.5\nC2 61.2"),
        )
    ),
    *(
        ("h1", text, "sepa")
        for text in ("4.1,2\n2.0,3", "4.1\t2\n2.0\t3", "4.1 2; 2.0 3", "4.1,2; 2.0,3", "4.1 2 2.0 3")
    ),
    ("c13", "170.9, 60.4\n21.0, 14.2", "separator"),
    # other nuclei and experiments
    *(("h1", f"{n} NMR (162 MHz, CDCl3) δ 5.2, 3.1", n) for n in "31P 19F 11B 2H 15N 29Si 13C".split()),
    *(
        ("c13", f"{n} 128.1, 77.2", "HSQC|DEPT|19F|31P")
        for n in ("HSQC", "DEPT-135 (CDCl3)", "NMR (19F)", "δP", "P-31")
    ),
    ("c13", "13C NMR (DEPT 135, CDCl3) δ 60.4", "DEPT 135"),
    ("h1", "2: ³¹P{¹H} NMR (CDCl3) δ 5.2", "31P"),
    ("h1", "δ 6.9 (m, 4H); 13C NMR δ 128.5", "13C"),
    ("h1", "IR (KBr) 7.2", "infrared"),
    ("ir", "1H NMR δ 7.2", "1H"),
    ("c13", "7.26 (m, 5H)", "counts hydrogens"),
    # commas that may be decimal marks
    ("h1", "8.10 (dd, J = 8,5 Hz, 1H)", "8,5"),
    ("h1", "8.10 (ddd, J = 10.1, 8,5 Hz, 1H)", "8,5"),
    ("h1", "7,26 (m, 5H), 3,70 (q, 2H)", "7,26"),
    ("c13", "171,4; 60,5; 21,0", "171,4"),
    ("c13", "170,9, 60,4", "170,9"),
    ("msms_pos", "43,05; 61,03; 88,05", "43,05"),
    ("ir", "1715,5; 1600,2", "1715,5"),
    # ranges
    ("c13", "168.2-52.1, 21.0", "too wide"),
    ("h1", "7.2-3.7 (m, 5H)", "too wide"),
    ("h1", "8.01 –7.95 (m, 2H), 3.7 (q, 2H)", "range"),
    ("c13", "7.3-7.2-7.1", "nothing stands between"),
    # counts
    ("h1", "1.2 (s, each 3H)", "each"),
    ("h1", "1.2 (s, 3H, 2H)", "one number"),
    ("h1", "1.2 (3)", "one number"),
    ("h1", "7.2 (0H)", "0 atoms"),
    # ions
    ("msms_pos", "MS/MS (ESI-): m/z 121.03 (100)", "negative"),
    ("msms_pos", "(–)-ESI-MS m/z 121 (100)", "negative"),
    ("msms_pos", "MS2 (negative mode) 121:100", "negative"),
    ("msms_neg", "ESI+ MS/MS 121:100", "positive"),
    # what is left
    ("c13", "128.5¹, 21.0", "raised"),
    ("h1", "25 (s)", "outside -5 to 20 ppm"),
    ("c13", "400", "outside -50 to 300"),
    ("ir", "1715, 3", "outside"),
    ("msms_pos", "20000:4", "20000"),
    ("h1", "7.2 (s", "not closed"),
    ("h1", "7.2 (s), ethanol", "ethanol"),
    ("h1", "ethanol 7.2", "ethanol"),
    ("c13", "NMR spectra that are resampled by the mean have a score of 32.", "no heading"),
    ("h1", "", "no peak"),
    ("h1", "7.2 (d, J = 70000 Hz)", "above 1000 Hz"),
    ("h1", "7.2 (ddddddddd)", "9 letters"),
    *(("msms_pos", text, "m/z and intensity") for text in ("43.0, 58.1", "43 100 58 35", "43.1; 58.1; 61.0", ";")),
    ("msms_pos", "43 (100, 35)", "one intensity"),
    ("uv", "254", "'uv'"),
    ("h1", "1 " * 40_000, "80,000 characters"),
]


@pytest.mark.parametrize("row", READ)
def test_lists_that_are_read(row):
    modality, text, x, *y = row
    spectrum = parse_peaks(text, modality)
    assert spectrum.x.tolist() == x and spectrum.y.tolist() == (y[0] if y else [1] * len(x))
    assert spectrum.peaks and spectrum.modality == modality and looks_like_peaks(text)


@pytest.mark.parametrize("modality, text, reason", REFUSED)
def test_lists_that_are_refused(modality, text, reason):
    with pytest.raises(ReadError, match=reason) as error:
        parse_peaks(text, modality)
    assert "\n" not in str(error.value)


def test_a_proton_list_as_in_a_paper():
    spectrum = parse_peaks(PAPER, "h1")
    assert spectrum.x.tolist() == [7.98, 7.26, 4.37, 1.39, -0.05] and spectrum.y.tolist() == [2, 1, 2, 3, 9]
    assert spectrum.meta["couplings"] == ["", "8.0*1 1.5*1", "7.1*3", "7.1*2", ""]
    assert spectrum.meta["broad"] == [False, False, False, False, True]
    assert spectrum.meta["solvent"] == "CDCl3" and spectrum.meta["frequency_mhz"] == 400
    assert spectrum.steps == ("list of peaks read (5)", "remarks at 1.39 not used: CH3")


@pytest.mark.parametrize(
    ("remark", "couplings"),
    [
        ("s", ""),
        ("t J 7.2 Hz", "7.2*2"),
        ("app t, J=7.0", "7.0*2"),
        ("triplet, J = 7.0 Hz", "7.0*2"),
        ("doublet of doublets, J = 8.0, 1.5 Hz", "8.0*1 1.5*1"),
        ("quint, J = 7.0 Hz", "7.0*4"),
        ("sext, J = 7.0 Hz", "7.0*5"),
        ("h, J = 6.8 Hz", "6.8*6"),
        ("td, J = 5.0, 10.1 Hz", "5.0*2 10.1*1"),
        ("ddd, J = 14.0, 8.0 and 2.1 Hz", "14.0*1 8.0*1 2.1*1"),
        ("dd,J(H,H)=8,1.5 Hz", "8.0*1 1.5*1"),
        ("dd, J1 = 8.0 Hz, J2 = 1.5 Hz", "8.0*1 1.5*1"),
        ("dd, ³J = 8.0 Hz, ⁴J = 1.5 Hz", "8.0*1 1.5*1"),
        ("d, J1,2 = 3.6 Hz", "3.6*1"),
        ("br d, J = −7.0", "7.0*1"),
        ("dd, J = 8.0, 1.5, 0.5 Hz", "8.0*1 8.0*1"),
        ("t", "7.0*2"),
    ],
)
@pytest.mark.parametrize("order", ["{}, 2H", "2H, {}", "2 H, {}, Ar-H"])
def test_multiplicities_and_coupling_constants(remark, couplings, order):
    spectrum = parse_peaks(f"7.26 ({order.format(remark)}), 1.0", "h1")
    assert spectrum.meta["couplings"] == [couplings, ""] and spectrum.y.tolist() == [2, 1]


@pytest.mark.parametrize("remark", ["br s", "bs", "brs", "br. s", "s, br", "broad", "broad s", "br"])
def test_broad_signals(remark):
    assert parse_peaks(f"12.1 ({remark}, 1H)", "h1").meta["broad"] == [True]


def test_what_is_assumed_is_said():
    steps = " | ".join(parse_peaks("1.22 (t), 2.0 (td, J = 8.0, 2H), 3.5 (m, J = 2 Hz)", "h1").steps)
    for words in ("triplet at 1.22: 7.0 Hz", "at 2 are 1, splittings 2", "at 3.5 not used", "at 1.22, 3.5: 1 taken"):
        assert words in steps


@pytest.mark.parametrize("heading", ["1H NMR (500 MHz, DMSO-d6):", "1H-NMR (DMSO-d6, 500 MHz, 298 K) δ (ppm):",
                                     "1H NMR DMSO-d6, 500 MHz δ"])  # fmt: skip
def test_what_headings_say(heading):
    meta = parse_peaks(f"{heading} 2.50 (s, 3H)", "h1").meta
    assert meta["solvent"] == "DMSO-d6" and meta["frequency_mhz"] == 500
    assert parse_peaks("MS (EI, 70 eV): m/z 121 (35)", "ei").meta["ionisation"] == "EI"
    bands = parse_peaks("3400-3200 (br, OH), 1715 s", "ir").meta
    assert (bands["strengths"], bands["widths"], bands["broad"]) == ([None, "s"], [200, 0], [True, False])
    assert parse_peaks("170.9 (C), 128.5 (2C), 60.4 (CH2)", "c13").meta["attached"] == [0, None, 2]


SIGNAL = st.tuples(
    st.integers(-499, 1990).map(lambda k: k / 100),
    st.integers(1, 18),
    st.sampled_from([("s", []), ("d", [1]), ("t", [2]), ("q", [3]), ("dt", [1, 2]), ("ddq", [1, 1, 3])]),
    st.lists(st.integers(5, 180).map(lambda k: k / 10), min_size=3, max_size=3),
)
HEADING = st.sampled_from(["", "1H NMR (400 MHz, CDCl3) δ ", "δH (400 MHz; CDCl3) ", "¹H-NMR: ", "1H NMR δ, ppm: "])
SIGNS = st.sampled_from([{}, {",": "，", "(": "（", ")": "）"}, {"-": "−"}, {"(": "[", ")": "]"}])


@given(st.lists(SIGNAL, min_size=1), HEADING, SIGNS, st.sampled_from([", ", "; ", "\n", ",\n"]))
def test_a_written_proton_list_is_read_back(signals, heading, signs, separator):
    items, couplings = [], []
    for ppm, count, (name, partners), constants in signals:
        said = f", J = {', '.join(map(str, constants[: len(partners)]))} Hz" * bool(partners)
        items.append(f"{ppm} ({name}{said}, {count}H)")
        couplings.append(" ".join(f"{hz}*{n}" for hz, n in zip(constants, partners, strict=False)))
    text = heading + separator.join(items).translate(str.maketrans(signs))
    spectrum = parse_peaks(text, "h1")
    assert spectrum.x.tolist() == [signal[0] for signal in signals]
    assert spectrum.y.tolist() == [signal[1] for signal in signals]
    assert spectrum.meta["couplings"] == couplings and len(spectrum.steps) == 1 and looks_like_peaks(text)


SEPARATORS = st.sampled_from([", ", "\n", " ", ","])


@given(st.lists(st.integers(-490, 2990).map(lambda k: (k + 0.5) / 10), min_size=1), SEPARATORS)
def test_a_written_carbon_list_is_read_back(shifts, separator):
    assert parse_peaks(separator.join(map(str, shifts)), "c13").x.tolist() == shifts


@given(st.lists(st.tuples(st.integers(1, 99_999), st.integers(0, 9_999)), min_size=1))
def test_a_written_mass_list_is_read_back(peaks):
    expected = [[mz / 10 for mz, _ in peaks], [height / 10 for _, height in peaks]]
    for form, separator in (("{}:{}", " "), ("{} {}", "\n"), ("{} ({})", ", "), ("{}:{}", ", "), ("{} {}", "; ")):
        text = separator.join(form.format(*pair) for pair in zip(*expected, strict=True))
        spectrum = parse_peaks(text, "msms_pos")
        assert [spectrum.x.tolist(), spectrum.y.tolist()] == expected


@given(st.lists(st.tuples(st.integers(400, 3999), st.sampled_from(["", " s", " (vs)", " (w, br)"])), min_size=1))
def test_a_written_band_list_is_read_back(bands):
    spectrum = parse_peaks("IR (neat) ν " + ", ".join(f"{x}{said}" for x, said in bands) + " cm-1", "ir")
    assert spectrum.x.tolist() == [x for x, _ in bands]
    assert spectrum.meta["strengths"] == [said.strip(" (").partition(",")[0].strip(")") or None for _, said in bands]


def test_lists_are_told_from_file_names():
    for text in ("7.26 (m, 5H), 3.70", "43.0:100 58.1:35", "δ 7.26", "60.4", "MS (EI) m/z 43 (100)", "−0.05 (s, 9H)",
                 "7.26–7.20 (m)", PAPER, "HSQC 128.1, 7.2"):  # fmt: skip
        assert looks_like_peaks(text), text
    for text in ("a.csv", "1H.jdx", "13C NMR of x.jdx", "2024-01-02.jdx", "spectra/7.2.csv", "ethanol", "", "10/fid",
                 "7 spectra", "60.4 ppm.txt", "1H/10/fid"):  # fmt: skip
        assert not looks_like_peaks(text), text
    with pytest.raises(ReadError, match="no such file, and a list of peaks begins"):
        spectrum_of("Signals of the protons: 7.26 (m, 5H), 3.70", "h1")


def test_lists_in_files(tmp_path):
    for text in ("170.9, 60.4", "13C NMR δ 170.9,\n60.4\n", "170.9\n60.4"):
        (spectrum,) = read_bytes(text.encode(), "c13", name="a.txt")
        assert spectrum.x.tolist() == [170.9, 60.4] and spectrum.y.tolist() == [1, 1]
    for text in ("31P NMR δ 5.2, 3.1", "1 171.4\n2 60.5\n3 21.0", "171,4\n60,5", "171.4 1\n60.5 2\n21.0 3"):
        with pytest.raises(ReadError, match="31P|counts 1, 2, 3|comma"):
            read_bytes(text.encode(), "c13", name="a.txt")
    (spectrum,) = read_bytes(b"4.12,2\n2.05,3\n1.26,3", "h1", name="a.csv")
    assert spectrum.y.tolist() == [2, 3, 3]


@pytest.mark.parametrize("modality", ["h1", "c13", "msms_pos", "ir"])
def test_damaged_lists(modality):
    seeds = [PAPER, "170.9 (C), 128.5 (2C), 60.4 (CH2), 14.2", "43.0:100 58.1:35", "77.0391 (100), 51.02 (35)",
             "IR (KBr) ν 3400–3200 (br), 1715 vs, 1600 (w) cm−1"]  # fmt: skip

    def read(data):
        looks_like_peaks(data.decode("utf-8", "replace"))
        return parse_peaks(data.decode("utf-8", "replace"), modality)

    assert survives_damage(read, [seed.encode() for seed in seeds]) > 0

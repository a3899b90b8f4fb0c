import re
from itertools import takewhile

import pytest

from symspectra.exhibits.paper import exhibits, paper_table, paper_value, printed_numbers


def test_column_sums_of_table_1():
    # Added up by hand from the printed table; a slip in any cell shows.
    assert paper_table("table1").sum().round(3).to_dict() == {
        "1D-CNN": 7.273,
        "Transformer": 7.860,
        "Wu et al.": 7.954,
        "Alberts et al.": 7.990,
        "SymSpectra": 8.108,
    }


def test_numbers_repeated_within_the_paper_agree_where_they_should():
    three = "Simulated: IR, 13C-NMR, 1H-NMR"
    for model in ("SymSpectra", "Alberts et al.", "1D-CNN"):
        assert paper_value("table1", three, model).value == paper_value("table2", model, "F1").value
    best = paper_value("table1", three, "SymSpectra").value
    assert best == paper_value("table5", "F1", "0").value == paper_value("table6", "Gaussian", "F1").value
    assert best == paper_value("table11", "3", "F1").value
    assert paper_value("table9", "LSTM", "F1").value == paper_value("table10", "SymSpectra", "F1").value
    assert (paper_table("table10").loc["SymSpectra"] - paper_table("table11").loc["3"]).tolist()[:2] == [0, 0]
    clean = paper_value("figure5a", "Original", "F1").value
    assert clean == paper_value("figure5b", "0", "F1").value
    experimental = paper_value("table1", "Experimental: MS, 13C-NMR, 1H-NMR", "SymSpectra").value
    assert round(clean, 3) == experimental


def test_known_contradictions_are_noted():
    for cell, other in [
        (("table1", "Simulated: IR, 13C-NMR, 1H-NMR", "SymSpectra"), "0.965"),
        (("table9", "LSTM", "F1"), "0.970"),
        (("table10", "SymSpectra", "F1"), "0.970"),
        (("table10", "Transformer", "F1"), "0.936"),
        (("table1", "Simulated: IR, 13C-NMR, 1H-NMR", "Transformer"), "0.911"),
        (("table10", "SymSpectra", "Time (h)"), "7 h"),
        (("text", "Training", "Time (h)"), "2.7 h"),
        (("table11", "1", "F1"), "no single-modality"),
        (("table2", "Alberts et al.", "p-value"), "1.3e-2"),
    ]:
        assert other in paper_value(*cell).note, cell
    single = paper_table("table1")["SymSpectra"].filter(regex="^Simulated: [^,]*$")
    assert len(single) == 3
    assert paper_value("table11", "1", "F1").value not in single.tolist()


def test_one_value():
    assert paper_value("table1", "Simulated: 13C-NMR", "1D-CNN") == (0.674, 0.056, "")
    assert paper_value("table2", "1D-CNN", "p-value")[:2] == (8.15e-6, None)


@pytest.mark.parametrize(
    ("key", "nearest"),
    [
        (("Table1", "Simulated: IR", "SymSpectra"), "'table1'"),
        (("table1", "simulated: ir", "SymSpectra"), "'Simulated: IR'"),
        (("table1", "Simulated: IR", "SimSpectra"), "'SymSpectra'"),
    ],
)
def test_unknown_names_are_refused_with_the_nearest(key, nearest):
    with pytest.raises(ValueError, match=f"did you mean {nearest}"):
        paper_value(*key)


def test_empty_cells_are_refused():
    with pytest.raises(ValueError, match="prints no number"):
        paper_value("table2", "SymSpectra", "p-value")


@pytest.fixture(scope="module")
def paper_text(dev_file):
    """It stands beside the development files."""
    return dev_file("..", "paper", "symspectra.txt").read_text(encoding="utf-8")


@pytest.mark.parametrize("exhibit", [name for name in exhibits() if name.startswith("table")])
def test_numbers_of_a_table_are_those_of_the_text(exhibit, paper_text):
    lines = paper_text.splitlines()
    start = next(k for k, line in enumerate(lines) if line.startswith(f"Table {exhibit[5:]}:"))
    body = list(takewhile(str.strip, lines[start + 3 :]))  # caption, empty line, heading, rows
    cells = [cell for line in body for cell in line.split("\t")[1:] if not cell.startswith("[")]  # [order] in Table 4
    text = re.sub(r"\s*(?:\\times|×)\s*10\^\{(-\d)\}", r"e\1", " ".join(cells))
    printed = [float(number) for number in re.findall(r"(?<![\w.])\d+\.?\d*(?:e-\d+)?", text.replace("1D-CNN", ""))]
    cells = {key[1:]: value[:2] for key, value in printed_numbers().items() if key[0] == exhibit}
    table = paper_table(exhibit)
    ours = [n for r in table.index for c in table.columns for n in cells.get((r, c), ()) if n is not None]
    assert ours == printed


@pytest.mark.parametrize("exhibit", ["figure1b", "figure3c", "figure5a", "figure5b"])
def test_numbers_of_a_figure_stand_in_the_text(exhibit, paper_text):
    for value in paper_table(exhibit).stack():
        assert f"{value:g}" in paper_text

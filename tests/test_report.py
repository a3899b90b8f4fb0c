"""The report: every printed number of the paper appears, claims are counted, unfit folders are refused."""

import json
from dataclasses import replace

import pandas as pd
import pytest
from matplotlib.figure import Figure

from symspectra.exhibits import save_exhibit
from symspectra.exhibits.claims import Cell, cell, untestable
from symspectra.exhibits.paper import exhibits, paper_table, printed_numbers
from symspectra.exhibits.report import (
    ReportError,
    collect,
    missing_exhibits,
    paper_exhibits,
    read_exhibits,
    summary,
    write_report,
)
from symspectra.exhibits.scores import Score, summarise
from symspectra.exhibits.verdicts import Verdict

HIGH, LOW = summarise([0.90, 0.91, 0.92]), summarise([0.80, 0.81, 0.82])
ROW = Verdict("Observation 1, Table 1", "IR", "holds", "+0.100.", 0.1, 0.05, 0.15, 0.001, 3, 900)
HOLDS = replace(ROW, text="SymSpectra is better than the 1D-CNN.", rows=(ROW,))
TEXT = "Better than $every$ strategy | and_model."
FAILS = Verdict("Observation 2, Table 2", TEXT, "does not hold", "-0.1.", -0.1, -0.2, -0.05)
OPEN = Verdict("Table 3", "The decoder helps.", "undecided", "+0.01.", 0.01, -0.01, 0.03, 0.2, 2, 900, (8, 900))
NOT = untestable("Observation 3", "Robust on measured spectra.", "There are no measured spectra.")
IR = cell("table1", "Simulated: IR", "SymSpectra", HIGH)


@pytest.fixture
def folder(tmp_path):
    """Exhibits of a profile as notebooks write them."""
    table = pd.DataFrame({"a": ["b"]})
    drawn = Cell("figure3a", "SymSpectra", "exact match", "exact match", None, None, LOW, "drawn only")
    empty = cell("table3", "SymSpectra", "Low", Score())
    here = tmp_path / "smoke"
    save = {"molecules": {"train": 2400, "test": 300}}
    save_exhibit(table, {}, here, "table1", "smoke", cells=[IR], claims=[HOLDS, NOT], **save)
    save_exhibit(table, {}, here, "table2", "smoke", claims=[FAILS, NOT, OPEN], **save)
    save_exhibit(Figure(), {}, here, "fig3a", "smoke", cells=[drawn, IR], **save)
    save_exhibit(table, {}, here, "table3", "smoke", cells=[empty], **save)
    time = cell("table10", "SymSpectra", "Time (h)", summarise([0.004]))
    save_exhibit(table, {}, here, "table10", "smoke", cells=[time], **save)
    return here


def change(path, **values):
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def test_cells_and_claims_come_back_as_they_were_saved(folder):
    cells, claims = collect(read_exhibits(folder))
    assert IR in cells and len(cells) == 4  # the cell of two exhibits once
    assert claims == [HOLDS, NOT, FAILS, OPEN]  # in the order of the notebooks, that of two exhibits once
    assert list(read_exhibits(folder)) == ["table1", "fig3a", "table2", "table3", "table10"]


def rows_of(text, title):
    part = text.split(f"### {title}\n")[1].split("\n## ")[0].split("\n### ")[0]
    return [line for line in part.splitlines() if line.startswith("|")][2:]


def test_every_printed_number_of_the_paper_appears(folder):
    text = write_report(folder, "smoke").read_text()
    assert len(printed_numbers()) == sum(int(paper_table(e).notna().to_numpy().sum()) for e in exhibits())
    for exhibit in exhibits():
        title = exhibit.replace("table", "Table ").replace("figure", "Figure ")
        rows = rows_of(text, "Settings and counts in the text" if exhibit == "text" else title)
        table = paper_table(exhibit).stack().dropna()
        assert len(rows) == len(table), exhibit
        for (row, column), value in table.items():
            line = [r for r in rows if r.startswith(f"| {row} | {column} | ")]
            printed = line[0].split(" | ")[2].split(" ")[0]
            assert len(line) == 1 and float(printed) == value, (exhibit, row, column)


def test_ours_stand_beside_the_papers_and_the_rest_has_a_reason(folder):
    text = write_report(folder, "smoke").read_text()
    first = rows_of(text, "Table 1")
    ir = "| Simulated: IR | SymSpectra | 0.924 (0.013) | micro-F1 | 0.910 (0.010), 3 seeds | -0.014 |  |"
    assert ir in first
    assert sum("not measured by notebook 02_performance" in line for line in first) == 24
    assert sum("needs measured spectra" in line for line in first) == 20
    assert "0.970 here and in Tables 2, 5, 6 and 11" in "".join(first)
    assert sum("needs measured spectra" in line for line in rows_of(text, "Figure 5a")) == 8
    assert all("a setting or a count" in line for line in rows_of(text, "Settings and counts in the text"))
    assert all("table5 is not in this folder, notebook 06_ablations makes it" in r for r in rows_of(text, "Table 5"))
    assert sum("no such molecule or group in the test set" in line for line in rows_of(text, "Table 3")) == 1
    assert "| 2.7 | Time (h) | 0.004, 1 seed | -2.7 |" in text.replace("-2.70", "-2.7")
    drawn = rows_of(text, "Ours, where the paper draws but prints no number")
    assert drawn == ["| figure3a | SymSpectra | exact match | exact match | 0.810 (0.010) | drawn only |"]


def test_claims_are_counted_first(folder):
    lines = write_report(folder, "smoke").read_text().splitlines()
    assert lines[0] == "# Report of profile smoke"
    assert lines[2].startswith(
        "4 claims of the paper: **holds 1**, **does not hold 1**, **undecided 1**, **not testable here 1**."
    )
    assert "Of its 165 printed numbers, 2 have one of ours" in lines[2]
    assert any(
        line.startswith("| Observation 2, Table 2 | Better than $every$ strategy \\| and_model.") for line in lines
    )


def test_claims_of_ones_own_are_not_counted_as_the_papers(folder):
    own = replace(HOLDS, source="taste", text="Linear is enough.")
    save_exhibit(pd.DataFrame({"a": ["b"]}), {}, folder, "taste", "smoke", claims=[own], molecules={"train": 1})
    papers, rest = write_report(folder, "smoke").read_text().split("## Claims beyond the paper")
    assert "4 claims of the paper:" in papers and own.text in rest and own.text not in papers
    assert summary([HOLDS, own], []).startswith("1 claims of the paper:")  # as the notebook asks for it


def test_report_says_how_the_exhibits_were_made_and_which_are_missing(folder):
    text = write_report(folder, "smoke").read_text()
    assert "[PROVENANCE.md](PROVENANCE.md)" in text
    assert "| open |" in next(x for x in (folder / "PROVENANCE.md").read_text().split("\n") if "| [fig3a](" in x)
    missing = missing_exhibits(read_exhibits(folder))
    assert set(paper_exhibits()) - set(missing) == {"table1", "table2", "table3", "table10", "fig3a"}
    assert "- fig6: notebook 05_scaffold_split" in text
    (folder / "fig3a.json").rename(folder / "fig6_train.json")
    assert set(missing) - set(missing_exhibits(read_exhibits(folder))) == {"fig6"}
    assert "--only 00 01 02 04 05 06 07 08 09 10 11`" in text


def test_a_second_report_replaces_the_first_and_reads_no_report(folder):
    first = write_report(folder, "smoke").read_text()
    save_exhibit(Figure(), {}, folder, "report", "smoke", claims=[HOLDS])  # as older versions did
    assert "report" not in read_exhibits(folder)
    assert write_report(folder, "smoke").read_text() == first
    assert not list(folder.glob("*.tmp"))


def test_every_claim_stands_in_the_picture(folder):
    assert "report.png" in write_report(folder, "smoke").read_text() and (folder / "report.png").stat().st_size > 5000


def test_folders_that_do_not_fit_are_refused(folder, tmp_path):
    with pytest.raises(ReportError, match="demo holds no exhibits; .* `symspectra reproduce --profile demo`"):
        write_report(tmp_path / "demo", "demo")
    with pytest.raises(
        ReportError, match="holds exhibits of profile 'smoke'; run `symspectra reproduce --profile open`"
    ):
        write_report(folder, "open")
    change(folder / "table2.json", profile="demo")
    with pytest.raises(ReportError, match=r"mixes the profiles .*demo \(table2.json\)"):
        collect(read_exhibits(folder))


def test_files_that_are_no_exhibits_are_named(folder):
    changed = json.loads((folder / "fig3a.json").read_text())
    changed["cells"][1]["here"]["values"] = [0.5]
    (folder / "fig3a.json").write_text(json.dumps(changed))
    with pytest.raises(
        ReportError, match=r"IR, SymSpectra, micro-F1: table1.json has 0.910 \(0.010\), fig3a.json has 0.500"
    ):
        collect(read_exhibits(folder))
    change(folder / "fig3a.json", cells=[{"here": {"mean": 1, "sd": None, "values": []}, "shape": 3}])
    with pytest.raises(ReportError, match="fig3a.json has a cell or claim of another form"):
        collect(read_exhibits(folder))
    (folder / "fig3a.json").write_text("{}")
    with pytest.raises(ReportError, match="fig3a.json is not an exhibit's: it has no exhibit, profile"):
        collect(read_exhibits(folder))
    (folder / "fig3a.json").write_text("{")
    with pytest.raises(ReportError, match="fig3a.json cannot be read"):
        collect(read_exhibits(folder))


def test_exhibits_of_older_versions_have_no_claims(folder):
    for path in folder.glob("*.json"):
        content = json.loads(path.read_text())
        path.write_text(json.dumps({key: content[key] for key in content if key not in ("cells", "claims")}))
    assert collect(read_exhibits(folder)) == ([], [])
    assert "No exhibit of this folder judges a claim." in write_report(folder, "smoke").read_text()


def test_every_printed_exhibit_belongs_to_a_notebook():
    assert {exhibit.replace("figure", "fig") for exhibit in exhibits()} - {"text"} <= set(paper_exhibits())

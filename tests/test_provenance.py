"""Where exhibits come from: what is said of them agrees with their JSON, and one commit made a profile."""

import json
from pathlib import Path

import pandas as pd
import pytest

from symspectra.datasets.base import OPEN_DIRECTORY
from symspectra.exhibits import save_exhibit
from symspectra.exhibits.provenance import NAME, cells, command, of_another_commit, provenance
from symspectra.exhibits.report import read_exhibits, write_report
from symspectra.exhibits.tables import data_digest
from symspectra.files import digest
from symspectra.settings import Data

FIGURES = Path(__file__).parents[1] / "figures"
SHOWN = {".png", ".pdf", ".md"}


@pytest.fixture
def folder(tmp_path):
    for name in ("table1", "table2", "fig3a"):
        save_exhibit(pd.DataFrame({"a": ["b"]}), {}, tmp_path / "smoke", name, "smoke", molecules={"test": 1300})
    return tmp_path / "smoke"


def check_one_commit(folder):
    """Raise for exhibits that another commit made than most of their folder."""
    other = of_another_commit(read_exhibits(folder))
    assert not other, "; ".join(f"{folder / name}.json is of commit {commit}" for name, commit in other.items())


def test_every_exhibit_is_found_in_the_cell_that_shows_it():
    found = cells()
    assert {path.stem for path in (FIGURES / "demo").glob("*.json")} <= found.keys()
    notebook, number = found["table2"]  # also named by cells that do not show it
    cell = json.loads((FIGURES.parent / "notebooks" / f"{notebook}.ipynb").read_text())["cells"][number]
    assert "show_exhibit(" in "".join(cell["source"]) and "table2" in "".join(cell["source"])


def test_the_report_is_written_with_what_each_exhibit_was_made_with(folder):
    write_report(folder, "smoke")
    text = (folder / NAME).read_text()
    assert text == provenance("smoke", read_exhibits(folder))
    (row,) = [line for line in text.splitlines() if line.startswith("| [table2]")]
    for part in (command("smoke", "03_imbalance_strategies"), "test 1,300", data_digest(Data())[:12]):
        assert part in row
    assert data_digest(Data()) == digest_of_manifest() and data_digest(Data(dataset="nowhere")) is None


def digest_of_manifest():
    return digest(OPEN_DIRECTORY / "manifest.json")


def test_an_exhibit_of_another_commit_is_named(folder):
    check_one_commit(folder)
    path = folder / "table2.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"git_commit": "0123abc"}))
    assert "**table2.json is of another commit, `0123abc`.**" in provenance("smoke", read_exhibits(folder))
    with pytest.raises(AssertionError, match=r"table2\.json is of commit 0123abc"):
        check_one_commit(folder)


@pytest.mark.parametrize("profile", sorted({path.parent.name for path in FIGURES.glob("*/report.md")} | {"open"}))
def test_committed_exhibits_agree_with_their_provenance_and_are_of_one_commit(profile):
    page = FIGURES / profile / NAME
    if not page.exists():
        pytest.skip(f"{page} is not there: its exhibits are of a version that wrote none; `symspectra reproduce` does")
    said, contents = page.read_text(), read_exhibits(page.parent)
    made = provenance(profile, contents)
    wrong = [line for line in made.splitlines() if line not in said.splitlines()]
    assert said == made, f"{page} does not agree with its JSON files, which say {wrong}"
    check_one_commit(page.parent)
    shown = {path.stem for path in page.parent.iterdir() if path.suffix in SHOWN} - {"report", "PROVENANCE"}
    assert shown == set(contents)

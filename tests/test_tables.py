"""The tidy table of an exhibit: every seed of every score, with the run behind it, and back from the file."""

import pandas as pd
import pytest
from matplotlib.figure import Figure

from symspectra.errors import DataError
from symspectra.exhibits import results, save_figure, tidy
from symspectra.exhibits.comparison import Score, Seed, summarise
from symspectra.exhibits.tables import COLUMNS

RUNS = (Seed(0, "aa"), Seed(1, "bb"))
NUMBERS = {
    "IR": {"1D-CNN": Score(0.5, 0.1, (0.4, 0.6), "micro_f1", RUNS), "SymSpectra": summarise([])},
    "by count": {"SymSpectra": {3: (summarise([0.7]), 12)}},
    "molecules": 8,
}


def test_a_line_per_seed_with_its_run():
    table = tidy("table1", NUMBERS)
    assert list(table.columns) == COLUMNS and set(table["exhibit"]) == {"table1"}
    cnn = table[table["column"] == "1D-CNN"]
    assert cnn[["row", "seed", "metric", "value", "run"]].values.tolist() == [
        ["IR", 0, "micro_f1", 0.4, "aa"],
        ["IR", 1, "micro_f1", 0.6, "bb"],
    ]
    assert table[(table["row"] == "IR") & (table["column"] == "SymSpectra")]["value"].isna().all()
    assert table[table["row"] == "by count / SymSpectra"][["column", "value"]].values.tolist() == [["3", 0.7]]
    assert table[table["row"] == "molecules"]["value"].tolist() == [8]


def test_what_is_saved_is_read_back(tmp_path):
    save_figure(Figure(), NUMBERS, tmp_path / "smoke", "table1", "smoke")
    table = results("table1", "smoke", tmp_path)
    pd.testing.assert_frame_equal(table, tidy("table1", NUMBERS), check_dtype=False)


def test_a_missing_or_foreign_table_is_named(tmp_path):
    with pytest.raises(DataError, match="table1.csv.*symspectra reproduce --profile smoke"):
        results("table1", "smoke", tmp_path)
    (tmp_path / "smoke").mkdir()
    (tmp_path / "smoke" / "table1.csv").write_text("a,b\n1,2\n")
    with pytest.raises(DataError, match="table1.csv.*columns a, b"):
        results("table1", "smoke", tmp_path)

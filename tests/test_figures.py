"""Exhibits: complete files, the same bytes for the same numbers, a table as read back."""

import json

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from symspectra.errors import DataError
from symspectra.exhibits import look, results, save_exhibit, show_exhibit, tidy
from symspectra.exhibits.charts import grouped_bars
from symspectra.exhibits.claims import cell, untestable
from symspectra.exhibits.paper import paper_table
from symspectra.exhibits.scores import Score, Seed, summarise
from symspectra.exhibits.style import MODEL_COLOURS
from symspectra.exhibits.tables import COLUMNS, markdown

RUNS = (Seed(0, "aa"), Seed(1, "bb"))
NUMBERS = {
    "IR": {"1D-CNN": Score((0.4, 0.6), "micro_f1", RUNS), "SymSpectra": summarise([])},
    "by count": {"SymSpectra": {3: (summarise([0.7]), 12)}},
    "molecules": 8,
}
TABLE = pd.DataFrame({"1D-CNN": {"IR": summarise([0.5, 0.6]), "paper": "**0.9**"}, "a|b": {"IR": "x\ny"}})


def bars():
    return grouped_bars({"1D-CNN": {"IR": summarise([0.5, 0.6])}, "SymSpectra": {"IR": summarise([0.6])}}, "F1")


def test_same_numbers_give_the_same_bytes(tmp_path):
    paths = [save_exhibit(bars(), {}, tmp_path / str(i), "x", "smoke") for i in range(2)]
    for kind in (".pdf", ".png"):
        first, second = (path.with_suffix(kind).read_bytes() for path in paths)
        assert first == second


def test_json_is_complete(tmp_path):
    score = summarise([0.5, 0.6])
    numbers = {"scores": {"IR": score}, "edge": np.float32(0.5), "nothing": Score()}
    answers = {
        "cells": [cell("table1", "Simulated: IR", "1D-CNN", score)],
        "claims": [untestable("Observation 3", "robust", "There are no measured spectra.")],
    }
    path = save_exhibit(bars(), numbers, tmp_path, "fig1b", "smoke", molecules={"train": 8}, **answers)
    content = json.loads(path.with_suffix(".json").read_text())
    assert set(content) == {
        *("exhibit", "profile", "dataset", "molecules", "seeds", "runs", "device", "git_commit", "code", "numbers"),
        *("cells", "claims", "minutes", "data"),
    }
    assert content["numbers"]["scores"]["IR"] == {"mean": 0.55, "sd": score.sd, "values": [0.5, 0.6]}
    assert content["cells"][0]["paper"] == 0.895 and content["cells"][0]["here"]["mean"] == 0.55
    assert content["claims"][0]["outcome"] == "not testable here" and content["claims"][0]["rows"] == []
    assert content["molecules"] == {"train": 8} and len(content["code"]) == 64
    assert sorted(p.name for p in tmp_path.iterdir()) == [f"fig1b.{kind}" for kind in ("csv", "json", "pdf", "png")]


def test_a_table_takes_the_place_of_an_older_picture(tmp_path):
    save_exhibit(Figure(), {}, tmp_path, "table1", "smoke")
    path = save_exhibit(TABLE, NUMBERS, tmp_path, "table1", "smoke")
    assert sorted(p.suffix for p in tmp_path.iterdir()) == [".csv", ".json", ".md"]
    assert path.read_text() == markdown(TABLE) + "\n"
    assert markdown(TABLE).splitlines()[2:] == ["| IR | 0.550 (0.071) | x y |", "| paper | **0.9** |  |"]
    assert markdown(pd.DataFrame([["1"]], columns=["a|b"])).splitlines() == ["| a\\|b |", "| --- |", "| 1 |"]
    assert look(TABLE).data == markdown(TABLE)


def test_an_exhibit_is_shown_with_its_caption_and_claims(tmp_path, monkeypatch):
    shown = []
    monkeypatch.setattr("IPython.display.display", shown.append)
    claims = [untestable("Observation 3", "robust", "There are no measured spectra.")]
    for what in (bars(), TABLE):
        show_exhibit(what, {}, tmp_path, "x", "smoke", claims=claims, caption="Spread in brackets.")
    kinds = [type(part).__name__ for part in shown]
    assert kinds == ["Image", "Markdown", "Markdown", "Markdown", "Markdown", "Markdown"]
    assert shown[1].data == "Spread in brackets." and "not testable here" in shown[2].data


def test_a_number_that_is_not_finite_is_refused_and_nothing_written(tmp_path):
    with pytest.raises(ValueError, match="fig3a.*not finite"):
        save_exhibit(Figure(), {"f1": float("nan")}, tmp_path, "fig3a", "smoke")
    assert not list(tmp_path.iterdir())


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


def test_numbers_are_read_back_and_a_missing_or_foreign_table_is_named(tmp_path):
    with pytest.raises(DataError, match="table1.csv.*symspectra reproduce --profile smoke"):
        results("table1", "smoke", tmp_path)
    save_exhibit(TABLE, NUMBERS, tmp_path / "smoke", "table1", "smoke")
    pd.testing.assert_frame_equal(results("table1", "smoke", tmp_path), tidy("table1", NUMBERS), check_dtype=False)
    (tmp_path / "smoke" / "table1.csv").write_text("a,b\n1,2\n")
    with pytest.raises(DataError, match="table1.csv.*columns a, b"):
        results("table1", "smoke", tmp_path)


def test_every_model_of_the_paper_has_a_colour_of_its_own():
    models = {*paper_table("table1").columns, *paper_table("table10").index}
    assert set(MODEL_COLOURS) == models and len(set(MODEL_COLOURS.values())) == len(models)

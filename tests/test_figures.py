"""Exhibits: complete files, the same bytes for the same numbers, and no text outside of the picture."""

import hashlib
import json

import matplotlib.style
import numpy as np
import pytest
from matplotlib.text import Text

from symspectra.exhibits.charts import grouped_bars, score_table
from symspectra.exhibits.claims import cell, untestable
from symspectra.exhibits.comparison import Score
from symspectra.exhibits.paper import paper_table
from symspectra.exhibits.style import MODEL_COLOURS, STYLE, save_figure


def scores():
    return {name: {"IR": Score(0.5 + 0.1 * i, 0.02, (0.5, 0.6))} for i, name in enumerate(("1D-CNN", "SymSpectra"))}


FIGURES = {
    "bars": lambda: grouped_bars(scores(), "micro-F1"),
    "table": lambda: score_table(["Spectra", "1D-CNN\npaper"], [["IR", "0.900 (0.004)"]], [(0, 1)]),
}


@pytest.fixture(scope="module")
def drawn():
    return {name: draw() for name, draw in FIGURES.items()}


def assert_no_text_is_cut(figure):
    """Every text that is drawn lies on the canvas; for the other tests of pictures too."""
    with matplotlib.style.context(["default", STYLE]):  # as save_figure does
        figure.draw_without_rendering()
    canvas, hidden = figure.bbox, [label for ax in figure.axes for label in hidden_tick_labels(ax)]
    for text in figure.findobj(Text):
        if text.get_text().strip() and text.get_visible() and text not in hidden:
            box = text.get_window_extent()
            inside = box.x0 >= -1 and box.y0 >= -1 and box.x1 <= canvas.x1 + 1 and box.y1 <= canvas.y1 + 1
            assert inside, f"{text.get_text()!r} at {box} leaves the canvas {canvas}"


def hidden_tick_labels(axes):
    """Labels of ticks outside of the axis, which matplotlib keeps but does not draw."""
    hidden = []
    for axis in (axes.xaxis, axes.yaxis):
        low, high = sorted(axis.get_view_interval())
        for tick in [*axis.get_major_ticks(), *axis.get_minor_ticks()]:
            if not low <= tick.get_loc() <= high or not axes.axison:
                hidden += [tick.label1, tick.label2]
    return hidden


@pytest.mark.parametrize("name", FIGURES)
def test_no_text_is_cut(drawn, name):
    assert_no_text_is_cut(drawn[name])


def test_a_cut_text_would_be_noticed():
    figure = score_table(["Spectra", "F1"], [["IR", "0.9"]])
    figure.text(0.99, 0.5, "much too long for this place")
    with pytest.raises(AssertionError, match="much too long"):
        assert_no_text_is_cut(figure)


@pytest.mark.parametrize("name", FIGURES)
def test_same_numbers_give_the_same_pdf(tmp_path, drawn, name):
    paths = [save_figure(f, {}, tmp_path / str(i), "x", "smoke") for i, f in enumerate((drawn[name], FIGURES[name]()))]
    pdf = [hashlib.sha256(p.with_suffix(".pdf").read_bytes()).hexdigest() for p in paths]
    png = [hashlib.sha256(p.read_bytes()).hexdigest() for p in paths]
    assert pdf[0] == pdf[1] and png[0] == png[1]


def test_json_is_complete(tmp_path, drawn):
    numbers = {"scores": scores(), "edge": np.float32(0.5), "nothing": Score(None, None, ())}
    score = scores()["1D-CNN"]["IR"]
    answers = {
        "cells": [cell("table1", "Simulated: IR", "1D-CNN", score)],
        "claims": [untestable("Observation 3", "robust", "There are no measured spectra.")],
    }
    path = save_figure(drawn["bars"], numbers, tmp_path, "fig1b", "smoke", molecules={"train": 8}, **answers)
    content = json.loads(path.with_suffix(".json").read_text())
    assert set(content) == {
        *("exhibit", "profile", "dataset", "molecules", "seeds", "runs", "device", "git_commit", "code", "numbers"),
        *("cells", "claims"),
    }
    assert content["numbers"]["scores"]["1D-CNN"]["IR"] == {"mean": 0.5, "sd": 0.02, "values": [0.5, 0.6]}
    assert content["cells"][0]["paper"] == 0.895 and content["cells"][0]["here"]["mean"] == 0.5
    assert content["claims"] == [answers["claims"][0]._asdict()]
    assert content["molecules"] == {"train": 8} and len(content["code"]) == 64
    assert sorted(p.name for p in tmp_path.iterdir()) == [f"fig1b.{kind}" for kind in ("csv", "json", "pdf", "png")]


def test_a_number_that_is_not_finite_is_refused_and_nothing_written(tmp_path, drawn):
    with pytest.raises(ValueError, match="fig3a.*not finite"):
        save_figure(drawn["bars"], {"f1": float("nan")}, tmp_path, "fig3a", "smoke")
    assert not list(tmp_path.iterdir())


def test_every_model_of_the_paper_has_a_colour_of_its_own():
    models = {*paper_table("table1").columns, *paper_table("table10").index}
    assert set(MODEL_COLOURS) == models and len(set(MODEL_COLOURS.values())) == len(models)

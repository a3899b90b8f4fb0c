"""Charts: every number drawn is the number given, and what is written does not overlap."""

import numpy as np
import pytest
from conftest import overlap

from symspectra.exhibits.charts import (
    curves,
    grouped_bars,
    learning_curves,
    scatter_groups,
    score_grid,
)
from symspectra.exhibits.scores import Score, summarise
from symspectra.exhibits.style import MODEL_COLOURS, PAGE
from symspectra.experiments.plan import TABLE_1_SIMULATED
from symspectra.groups.table8 import NAMES

MODELS = list(MODEL_COLOURS)[:5]
NONE = Score()


class History:
    """As much of a run as the learning curves read."""

    def __init__(self, epochs):
        share = np.arange(1, epochs + 1) / epochs
        self.history = [{"validation_micro_f1": s / 2, "loss": 1 / (1 + s)} for s in share.tolist()]


def bars(places, models=MODELS):
    return {
        name: {place: summarise([0.5 + 0.1 * i, 0.52 + 0.1 * i]) for place in places} for i, name in enumerate(models)
    }


def lines(xs):
    return {
        name: {x: summarise([0.5 + 0.05 * i + 0.01 * k for k in range(3)]) for x in xs} for i, name in enumerate(MODELS)
    }


def per_group():
    return {m: {g: (10 ** (1 + k / 9), (k + i) / 42) for k, g in enumerate(NAMES)} for i, m in enumerate(MODELS)}


GRID = {(r / 10, c / 10): summarise([0.9 - r * c / 100]) for r in range(1, 7) for c in range(1, 7)}
FIGURES = {
    "bars": lambda: grouped_bars(bars(["IR", "13C-NMR", "all three"], MODELS[:2]), "micro-F1"),
    "bars of five models": lambda: grouped_bars(bars(TABLE_1_SIMULATED), "micro-F1", MODEL_COLOURS),
    "bars over the page": lambda: grouped_bars(bars(TABLE_1_SIMULATED), "micro-F1", MODEL_COLOURS, PAGE),
    "noise": lambda: curves({"": lines([0, 0.02, 0.04, 0.06, 0.08, 0.1])}, "noise", "micro-F1"),
    "match": lambda: curves(
        {"": lines(range(1, 12))}, "groups", "exact match", xticks={k: f"{k}\n(760)" for k in range(1, 12)}
    ),
    "panels": lambda: curves(
        {name: lines([25, 50, 75, 100]) for name in NAMES[:3]}, "positives (%)", "F1", {NAMES[0]: "0.3 % positive"}
    ),
    "grid": lambda: score_grid(GRID | {(0.1, 0.6): NONE}, "s2", "s1", ring=(0.3, 0.3)),
    "groups": lambda: scatter_groups(per_group(), "training molecules", "F1", [NAMES[2], NAMES[30]]),
    "learning": lambda: learning_curves({"1D-CNN": [History(41), History(41)], "SymSpectra": [History(8)]}),
}


@pytest.fixture(scope="module")
def drawn():
    return {name: draw() for name, draw in FIGURES.items()}


def test_bars_have_the_heights_of_the_scores(drawn):
    heights = sorted(round(p.get_height(), 6) for c in drawn["bars of five models"].axes[0].containers for p in c)
    assert heights == sorted(round(s.mean, 6) for series in bars(TABLE_1_SIMULATED).values() for s in series.values())


@pytest.mark.parametrize("name", ["bars", "bars of five models", "bars over the page", "groups"])
def test_what_is_written_does_not_overlap(drawn, name):
    texts = drawn[name].axes[0].texts
    assert any(text.get_text() for text in texts) and not overlap(texts)


def test_names_under_crowded_bars_do_not_overlap(drawn):
    assert not overlap(drawn["bars of five models"].axes[0].get_xticklabels())


def test_an_interval_takes_the_place_of_the_standard_deviation():
    figure = grouped_bars(bars(["x"], MODELS[:2]), "F1", intervals={MODELS[1]: {"x": (0.4, 0.7)}})
    assert [line.get_ydata().tolist() for line in figure.axes[0].lines] == [[0.4, 0.7]]


def test_a_model_has_one_colour_in_every_chart(drawn):
    for name in ("noise", "panels", "match"):
        colours = {line.get_color() for line in drawn[name].axes[0].lines if line.get_linestyle() == "-"}
        assert colours == {MODEL_COLOURS[model] for model in MODELS}, name


def test_curves_leave_out_what_has_no_number_and_refuse_zero_on_a_logarithmic_axis():
    figure = curves({"": {"A": {0: summarise([0.4]), 1: NONE, 2: summarise([0.6])}}}, "x", "F1")
    assert figure.axes[0].lines[0].get_ydata().tolist() == [0.4, 0.6]
    with pytest.raises(ValueError, match="x = 0 cannot be drawn on a logarithmic axis"):
        curves({"": {"A": {0: summarise([0.4]), 1: summarise([0.4])}}}, "x", "F1", log_x=True)


def test_curves_of_differences_have_their_intervals():
    ends = {100: (-0.1, 0.1), 1000: (0.0, 0.3)}
    scores = {"lead": {"micro-F1": {100: summarise([0.0]), 1000: summarise([0.2]), 5000: summarise([0.1])}}}
    axes = curves(scores, "molecules", "difference", log_x=True, intervals={"lead": {"micro-F1": ends}}).axes[0]
    drawn = [segment.tolist() for bars in axes.collections for segment in bars.get_segments() if len(segment)]
    assert drawn == [[[x, low], [x, high]] for x, (low, high) in ends.items()]
    assert [0, 0] in [list(line.get_ydata()) for line in axes.lines]  # no difference


def test_grid_writes_the_scores_and_marks_what_is_missing_and_what_the_paper_names(drawn):
    ax = drawn["grid"].axes[0]
    written = [text.get_text() for text in ax.texts]
    assert written.count("none") == 1 and ".890" in written and len(written) == 36
    frame = [patch for patch in ax.patches if not patch.get_fill()]
    assert [patch.get_xy() for patch in frame] == [(2, 3)]  # column 0.3, row 0.3 of six, the largest on top


def test_scatter_gives_the_rank_correlation():
    rising = {str(x): (x, x**3) for x in range(1, 6)}
    figure = scatter_groups({"A": rising, "B": {k: (x, -y) for k, (x, y) in rising.items()}}, "x", "y")
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert labels == ["A (+1.00)", "B (-1.00)"]
    few = scatter_groups({"A": {"1": (1, 1), "2": (2, 2)}}, "x", "y").legends[0].get_texts()[0].get_text()
    assert few == "A"


def test_learning_curves_compare_by_share_of_the_training(drawn):
    lines = [line for line in drawn["learning"].axes[0].lines if len(line.get_xdata())]
    assert [len(line.get_xdata()) for line in lines] == [41, 41, 8]
    assert {line.get_xdata()[-1] for line in lines} == {100}
    assert [t.get_text() for t in drawn["learning"].legends[0].get_texts()] == [
        "1D-CNN (41 epochs)",
        "SymSpectra (8 epochs)",
    ]

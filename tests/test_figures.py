"""Exhibits: complete files, the same bytes for the same numbers, and no text outside of the picture."""

import hashlib
import json

import matplotlib.style
import networkx as nx
import numpy as np
import pytest
import torch
from matplotlib.text import Text
from scipy.stats import t as t_distribution

from symspectra.architecture import architecture, shapes
from symspectra.comparison import (
    Score,
    as_json,
    compare,
    count_verdicts,
    groups_of_molecule,
    paper_cell,
    summarise,
    with_spread,
)
from symspectra.config import Config
from symspectra.drawing import (
    draw_spectrum,
    gallery,
    gates_figure,
    groups_table,
    model_axis,
    molecule_figure,
    molecule_image,
    smallest_example,
)
from symspectra.experiments import MODELS, TABLE_1_SIMULATED
from symspectra.figures import (
    STYLE,
    cooccurrence,
    cooccurrence_graph,
    group_frequencies,
    grouped_bars,
    match_by_group_count,
    save_figure,
    score_table,
)
from symspectra.functional_groups import NAMES, label
from symspectra.metrics import frequency_tiers, holm, welch_holm
from symspectra.models import build_model
from symspectra.preprocessing import AXES

SMILES = ["CCO", "CC(=O)Oc1ccccc1C(=O)O", "CC(=O)Nc1ccc(O)cc1", "CCN", "c1ccccc1", "CS(=O)(=O)N", "CC#N", "CC(C)=O"] * 4
Y = label(SMILES)
TIERS = frequency_tiers(Y)
MODALITIES = ("ir", "c13", "h1", "msms_pos", "msms_neg")


def spectra():
    """Five spectra with some lines."""
    rng = np.random.default_rng(0)
    made = {m: (AXES[m], (rng.random(len(AXES[m])) > 0.99) * 1.0) for m in ("ir", "c13", "h1")}
    return made | {m: (np.array([15.0, 43.0, 120.1]), np.array([0.2, 1.0, 0.5])) for m in ("msms_pos", "msms_neg")}


def small_model():
    return build_model(Config(stem=4, channels=16, heads=1, pools=(5, 4), hidden=16, decoder_hidden=8))


def scores():
    places = ("IR", "13C-NMR", "all three")
    return {name: {p: Score(0.5 + 0.1 * i, 0.02, (0.5, 0.6)) for i, p in enumerate(places)} for name in MODELS.values()}


FIGURES = {
    "frequencies": lambda: group_frequencies(TIERS),
    "bars": lambda: grouped_bars(scores(), "micro-F1"),
    "bars without a number": lambda: grouped_bars(
        {"A": {"low": Score(None, None, ()), "high": Score(1.0, None, (1.0,))}}, "F1"
    ),
    "match": lambda: match_by_group_count({n: {k: (Score(0.5, None, (0.5,)), 9) for k in range(1, 12)} for n in "AB"}),
    "table": lambda: score_table(
        ["Spectra", "1D-CNN\npaper"], [[row, "0.900 (0.004)"] for row in TABLE_1_SIMULATED], [(0, 1)]
    ),
    "graph": lambda: cooccurrence_graph(cooccurrence(Y)[0], {g: n for n, t in TIERS.items() for g in t.groups}),
    "empty graph": lambda: cooccurrence_graph(
        cooccurrence(Y[:2])[0], {g: n for n, t in TIERS.items() for g in t.groups}
    ),
    "table 8": lambda: groups_table(Y.sum(0).tolist(), [smallest_example(SMILES, Y, k) for k in range(37)]),
    "molecule": lambda: molecule_figure(SMILES[1], spectra()),
    "gallery": lambda: gallery([(s, list(NAMES[:7]), spectra()) for s in SMILES[:3]]),
    "gates": lambda: gates_figure(np.random.default_rng(0).random((3, 600)), np.full((3, 37), 0.5), MODALITIES[:3], 16),
    "architecture": lambda: architecture(small_model()),
}


@pytest.fixture(scope="module")
def drawn():
    return {name: draw() for name, draw in FIGURES.items()}


@pytest.mark.parametrize("name", FIGURES)
def test_no_text_is_cut(drawn, name):
    figure = drawn[name]
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


def test_a_cut_text_would_be_noticed():
    figure = score_table(["Spectra", "F1"], [["IR", "0.9"]])
    figure.text(0.99, 0.5, "much too long for this place")
    with pytest.raises(AssertionError, match="much too long"):
        test_no_text_is_cut({"cut": figure}, "cut")


@pytest.mark.parametrize("name", ["bars", "graph", "molecule", "gates"])
def test_same_numbers_give_the_same_pdf(tmp_path, drawn, name):
    paths = [save_figure(f, {}, tmp_path / str(i), "x", "smoke") for i, f in enumerate((drawn[name], FIGURES[name]()))]
    pdf = [hashlib.sha256(p.with_suffix(".pdf").read_bytes()).hexdigest() for p in paths]
    png = [hashlib.sha256(p.read_bytes()).hexdigest() for p in paths]
    assert pdf[0] == pdf[1] and png[0] == png[1]


def test_json_is_complete(tmp_path, drawn):
    numbers = {"scores": scores(), "edge": np.float32(0.5), "nothing": Score(None, None, ())}
    path = save_figure(drawn["bars"], numbers, tmp_path, "fig1b", "smoke", molecules={"train": 8})
    content = json.loads(path.with_suffix(".json").read_text())
    assert set(content) == {
        *("exhibit", "profile", "dataset", "molecules", "seeds", "runs", "device", "git_commit", "code", "numbers")
    }
    assert content["numbers"]["scores"]["1D-CNN"]["IR"] == {"mean": 0.5, "sd": 0.02, "values": [0.5, 0.6]}
    assert content["molecules"] == {"train": 8} and len(content["code"]) == 64
    assert sorted(p.name for p in tmp_path.iterdir()) == ["fig1b.json", "fig1b.pdf", "fig1b.png"]


def test_a_number_that_is_not_finite_is_refused_and_nothing_written(tmp_path, drawn):
    with pytest.raises(ValueError, match="fig3a.*not finite"):
        save_figure(drawn["bars"], {"f1": float("nan")}, tmp_path, "fig3a", "smoke")
    assert not list(tmp_path.iterdir())


def test_axes_run_as_chemists_draw_them(drawn):
    for ax in drawn["molecule"].axes[1:]:
        low, high = ax.get_xlim()
        assert (low < high) == (ax.get_xlabel() == "m/z")
    assert drawn["molecule"].axes[1].get_xlim() == (4000, 400)
    assert model_axis("c13")[0] == 230 and model_axis("ir")[0] == 400 and len(model_axis("msms_pos")) == 600


def test_bars_have_the_heights_of_the_scores(drawn):
    heights = sorted(round(p.get_height(), 6) for p in drawn["bars"].axes[0].patches)
    assert heights == sorted(round(s.mean, 6) for series in scores().values() for s in series.values())


def test_cooccurrence_is_the_correlation():
    y = np.random.default_rng(1).random((400, 37)) < 0.3
    y[:, 3] = y[:, 2]  # always together
    y[:, 5] = ~y[:, 4]  # never together
    y[:, 6] = False
    graph, phi = cooccurrence(y)
    with np.errstate(invalid="ignore"):
        expected = np.nan_to_num(np.corrcoef(y.T.astype(float)))
    np.testing.assert_allclose(phi, expected, atol=1e-12)
    assert graph.has_edge(2, 3) and not graph.has_edge(4, 5) and 6 not in graph
    assert graph.number_of_edges() <= 3 and isinstance(graph, nx.Graph)  # chance gives none of the other 666


def test_molecule_image_marks_the_match_and_names_what_it_cannot_read():
    plain, marked = molecule_image("CCO"), molecule_image("CCO", highlight="[OX2H]")
    assert plain.shape[:2] == (450, 600) and np.abs(plain - marked).max() > 0.1
    with pytest.raises(ValueError, match="'C1CC'"):
        molecule_image("C1CC")


def test_shapes_are_those_of_a_forward_pass():
    model = small_model().eval()
    size = shapes(model)
    r = model.represent(torch.rand(2, 3, 600), torch.ones(2, 3, dtype=torch.bool))
    assert tuple(r.tokens.shape[1:]) == (size["modalities"], size["tokens"], size["channels"])
    assert model.fuse(r.t).shape[1] == size["fused"] and r.t[0].numel() == size["fused_inputs"]


def test_verdicts_follow_the_rule():
    better, worse = summarise([0.90, 0.91, 0.92]), summarise([0.80, 0.81, 0.82])
    noisy, one, none = summarise([0.7, 0.9, 1.0]), summarise([0.9]), summarise([])
    pairs = {"a": (better, worse), "b": (worse, better), "c": (better, noisy), "d": (one, better), "e": (none, better)}
    pairs["f"] = (summarise([0.5, 0.5]), summarise([0.4, 0.4]))  # Welch's test has no meaning
    pairs["g"] = (better, summarise([0.5, 0.5, 0.5]))  # here it has, though one side has no spread
    verdicts = compare(pairs)
    assert [v.verdict for v in verdicts.values()] == [
        "holds",
        "reversed",
        "noise",
        "untested",
        "empty",
        "no spread",
        "holds",
    ]
    p = [welch_holm(pairs[k][0].values, {k: pairs[k][1].values})[k]["p"] for k in "abc"]
    p.append(2 * t_distribution.sf((0.91 - 0.5) / (0.01 / 3**0.5), 2))
    assert [verdicts[k].p_holm for k in "abcg"] == pytest.approx(holm(p))
    assert "one seed" in str(verdicts["d"]) and "+0.100" in str(verdicts["a"])
    assert count_verdicts({"a": verdicts["a"], "b": verdicts["a"]}) == "holds (in 2 of 2 rows)"
    assert summarise([0.5, 0.7]).sd == pytest.approx(np.std([0.5, 0.7], ddof=1)) and one.sd is None


def test_every_cell_of_table_1_stands_beside_the_papers():
    for row in TABLE_1_SIMULATED:
        for name in MODELS.values():
            assert 0 < paper_cell(row, name).value < 1
    assert with_spread(paper_cell("IR, MS/MS+, MS/MS-", "SymSpectra")) == "0.949 (0.008)"


def test_groups_of_molecule_keeps_what_is_there_or_likely():
    probability, there = np.full(37, 0.01), np.zeros(37, dtype=bool)
    probability[3], probability[4], there[5] = 0.9, 0.2, True
    table = groups_of_molecule(probability, there)
    assert table["group"].tolist() == [NAMES[3], NAMES[4], NAMES[5]]
    assert table["predicted"].tolist() == ["yes", "no", "no"] and table["in the structure"].tolist() == [
        "no",
        "no",
        "yes",
    ]


def test_as_json_is_plain():
    assert as_json({1: (np.int64(2), Score(1.0, None, (1.0,)))}) == {
        "1": [2, {"mean": 1.0, "sd": None, "values": [1.0]}]
    }


def test_sticks_and_lines():
    from matplotlib.figure import Figure

    ax = Figure().subplots()
    draw_spectrum(ax, "msms_pos", np.array([50.0, 60.0]), np.array([1.0, 0.0]))
    assert len(ax.collections[0].get_segments()) == 1 and not ax.lines  # a peak of no height is no stick


def test_a_gate_stands_under_the_points_of_its_token():
    """37 tokens of 16 points cover 592 of the 600: the last 8 points of an axis belong to none."""
    figure = gates_figure(np.zeros((1, 600)), np.full((1, 37), 0.5), ("c13",), 16)
    edges = np.asarray(figure.axes[1].collections[0].get_coordinates())[0, :, 0]
    assert edges[[0, 1, -1]].tolist() == pytest.approx([230, 230 - 250 * 16 / 600, 230 - 250 * 592 / 600])

"""Importance maps and weights of groups: what is drawn is what was given, and every text is on the canvas."""

import numpy as np
import pytest
from test_figures import assert_no_text_is_cut

from symspectra.exhibits.comparison import summarise
from symspectra.exhibits.importance_maps import importance_maps, weights_by_f1
from symspectra.groups.table8 import NAMES

GATES = np.random.default_rng(0).random((10, 3, 37))
GROUPS = [12, 11, 9, 9, 9, 1, 1, 1, 0, 0]
FIGURES = {
    "maps": lambda: importance_maps({"a": GATES, "b": np.ones_like(GATES)}, GROUPS, ("ir", "h1", "c13"), 16, 5),
    "weights": lambda: weights_by_f1(
        {name: summarise([k / 37]) for k, name in enumerate(NAMES)}, {name: summarise([0.9, 1.1]) for name in NAMES}
    ),
}


@pytest.fixture(scope="module")
def drawn():
    return {name: draw() for name, draw in FIGURES.items()}


@pytest.mark.parametrize("name", FIGURES)
def test_no_text_is_cut(drawn, name):
    assert_no_text_is_cut(drawn[name])


def test_maps_hold_the_gates_with_a_gap_between_hardest_and_easiest(drawn):
    ax = drawn["maps"].axes[1]
    image = np.ma.filled(ax.collections[0].get_array(), np.nan).reshape(11, 37)
    np.testing.assert_array_equal(np.delete(image, 5, axis=0), GATES[:, 1])
    assert np.isnan(image[5]).all() and ax.get_xlim() == (10, -2)
    edges = np.asarray(ax.collections[0].get_coordinates())[0, :, 0]
    assert edges[[0, -1]].tolist() == pytest.approx([10, 10 - 12 * 592 / 600])


def test_the_title_of_a_block_stands_clear_of_the_name_of_the_first_spectrum():
    figure = importance_maps({"beta = 1e-6 (the paper's)": GATES}, GROUPS, ("ir", "h1", "c13"), 16, 5)
    left, centre = figure.axes[0]._left_title.get_window_extent(), figure.axes[0].title.get_window_extent()
    assert left.height > 1.5 * centre.height and "IR" in figure.axes[0].title.get_text()


def test_maps_write_the_number_of_groups_and_the_average_importance(drawn):
    labels = [label.get_text().split() for label in drawn["maps"].axes[0].get_yticklabels()]
    assert [int(number) for number, _ in labels] == GROUPS
    assert [float(mean) for _, mean in labels] == pytest.approx(GATES.mean((1, 2)), abs=6e-4)


def test_weights_stand_beside_the_f1_of_their_group(drawn):
    left, right = drawn["weights"].axes
    assert [bar.get_width() for bar in left.patches] == pytest.approx([k / 37 for k in range(37)])
    assert right.lines[1].get_xdata().tolist() == pytest.approx([1.0] * 37)
    assert [label.get_text() for label in left.get_yticklabels()] == list(NAMES)

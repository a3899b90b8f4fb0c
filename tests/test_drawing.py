"""Molecules and spectra as chemists draw them, and the architecture with the shapes of the live model."""

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure

from symspectra.config import Config
from symspectra.exhibits.architecture import shapes
from symspectra.exhibits.drawing import (
    draw_spectrum,
    model_axis,
    molecule_figure,
    molecule_image,
    token_edges,
)
from symspectra.models.registry import build_model
from symspectra.spectra.preprocessing import AXES


def spectra():
    """Five spectra with some lines."""
    rng = np.random.default_rng(0)
    made = {m: (AXES[m], (rng.random(len(AXES[m])) > 0.99) * 1.0) for m in ("ir", "c13", "h1")}
    return made | {m: (np.array([15.0, 43.0, 120.1]), np.array([0.2, 1.0, 0.5])) for m in ("msms_pos", "msms_neg")}


def small_model():
    return build_model(Config(stem=4, channels=16, heads=1, pools=(5, 4), hidden=16, decoder_hidden=8))


def test_axes_run_as_chemists_draw_them():
    drawn = molecule_figure("CC(=O)Oc1ccccc1C(=O)O", spectra())
    for ax in drawn.axes[1:]:
        low, high = ax.get_xlim()
        assert (low < high) == (ax.get_xlabel() == "m/z")
    assert drawn.axes[1].get_xlim() == (4000, 400)
    assert model_axis("c13")[0] == 230 and model_axis("ir")[0] == 400 and len(model_axis("msms_pos")) == 600


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


def test_sticks_and_lines():
    ax = Figure().subplots()
    draw_spectrum(ax, "msms_pos", np.array([50.0, 60.0]), np.array([1.0, 0.0]))
    assert len(ax.collections[0].get_segments()) == 1 and not ax.lines  # a peak of no height is no stick


def test_a_token_stands_under_its_points():
    """37 tokens of 16 points cover 592 of the 600: the last 8 points of an axis belong to none."""
    edges = token_edges("c13", 16, 37)
    assert edges[[0, 1, -1]].tolist() == pytest.approx([230, 230 - 250 * 16 / 600, 230 - 250 * 592 / 600])

"""Nine drawings as pictures: a change of what is seen fails here.

A picture is kept as the mean grey of 24 x 32 tiles. ``SYMSPECTRA_WRITE_REFERENCE=1`` writes them anew: look at the
figures first.
"""

import json
import os
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from test_charts import FIGURES
from test_quickstart import CARD

from symspectra.exhibits.chemical_space import similarity_curves, split_map
from symspectra.exhibits.drawing import model_axis, molecule_figure
from symspectra.exhibits.prediction_drawing import reliability_figure, subset_figure
from symspectra.predict.calibration import Bin

REFERENCE = Path(__file__).parent / "reference" / "pictures.json"
TILES = (24, 32)
MEAN, MOST = 1.0, 10  # of 255, over the picture and in one tile


def molecule():
    spectra = {m: (model_axis(m), np.exp(-0.5 * ((np.arange(600) - 200) / 4) ** 2)) for m in ("ir", "c13", "msms_pos")}
    return molecule_figure("CCOC(C)=O", spectra)


XY = np.random.default_rng(0).normal(size=(300, 2))
PICTURES = {name: FIGURES[name] for name in ("bars", "panels", "grid", "groups", "learning")} | {
    "molecule": molecule,
    "subsets": lambda: subset_figure(CARD),
    "reliability": lambda: reliability_figure([Bin(0.1, 0.1, 900), Bin(0.9, 0.5, 9)], [Bin(0.5, 0.5, 90)]),
    "map": lambda: split_map(XY, XY[:, 0] > 1),
    "similarity": lambda: similarity_curves({"molecule": np.linspace(0.2, 1, 50), "scaffold": np.linspace(0, 0.6, 50)}),
}


def tiles(figure):
    """Mean grey of each tile, 0 to 255."""
    from PIL import Image

    figure.savefig(file := BytesIO(), format="png", dpi=96, facecolor="white")
    return np.asarray(Image.open(file).convert("L").resize(TILES[::-1], Image.Resampling.BOX), dtype=float)


@pytest.mark.parametrize("name", PICTURES)
def test_a_picture_is_seen_as_it_was(name):
    seen = tiles(PICTURES[name]())
    known = json.loads(REFERENCE.read_text()) if REFERENCE.exists() else {}
    if os.environ.get("SYMSPECTRA_WRITE_REFERENCE"):
        REFERENCE.write_text(json.dumps(known | {name: seen.round().astype(int).tolist()}) + "\n")
        return
    off = np.abs(seen - np.array(known[name]))
    assert off.mean() < MEAN and off.max() < MOST, f"{name} looks otherwise: {off.mean():.1f}, at most {off.max():.0f}"


def test_a_change_is_seen():
    seen = [tiles(FIGURES[name]()) for name in ("bars", "bars of five models")]
    assert np.abs(seen[0] - seen[1]).mean() > 2 * MEAN
    bins = [Bin(0.1, 0.1, 900), Bin(0.9, 0.5, 9)]
    moved = reliability_figure([bins[0], bins[1]._replace(frequency=0.7)], [Bin(0.5, 0.5, 90)])
    assert np.abs(tiles(moved) - tiles(PICTURES["reliability"]())).max() > MOST

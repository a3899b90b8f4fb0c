import numpy as np
import pytest
import torch
from conftest import marker_dataset, tiny

from symspectra.datasets.base import ArrayDataset
from symspectra.models.registry import build_model
from symspectra.training.probe import redundancy


def twins(n=480):
    """Two spectra that show the same peaks, of which the groups are some; all molecules are tested on."""
    data = marker_dataset(n, ("ir",))
    x = torch.cat([data.x, data.x.roll(7, dims=2)], dim=1)
    split = ["train", "validation"] + ["test"] * (n - 2)
    return ArrayDataset(x, torch.ones(n, 2, dtype=torch.bool), data.y, data.ids, split, ("ir", "c13"))


def build(**settings):
    return build_model(tiny(pools=(5, 5), **settings)).eval()


def test_without_a_bottleneck_all_is_kept_and_behind_closed_gates_nothing_is():
    data = twins()
    table = redundancy(build(bottleneck=False), data)
    assert set(table["target"]) == {"own spectrum", "other spectra", "groups"} and len(table) == 6
    assert (table["before"] > 0.3).all() and np.allclose(table["kept"], 1)
    model = build()
    with torch.no_grad():
        model.gate.mlp[-1].bias.fill_(-30.0)
    closed = redundancy(model, data)
    assert np.allclose(closed["before"], table["before"]) and (closed["after"] < 0.5 * closed["before"]).all()
    again = redundancy(model, data)
    assert closed.equals(again) and not closed.equals(redundancy(model, data, seed=1))


def test_what_cannot_be_probed_is_said():
    with pytest.raises(ValueError, match="JungCNN has no representations"):
        redundancy(build_model(tiny("jung_cnn")), twins())
    with pytest.raises(ValueError, match="8 test molecules have all spectra; expected at least 200"):
        redundancy(build(), marker_dataset(48))

import pytest
import torch
from conftest import marker_dataset
from test_model import overfit

from symspectra.config import Config
from symspectra.models.baselines import BoostedTrees, JungCNN
from symspectra.models.registry import build_model, load_model, save_model
from symspectra.training.runs import run


def test_published_size():
    with torch.device("meta"):  # shapes without memory
        model = JungCNN(1)
    assert sum(p.numel() for p in model.parameters()) == 64_015_708


def test_shapes_and_absent_modalities():
    torch.manual_seed(0)
    model = JungCNN(3, dense=(16, 16, 16))
    x, present = torch.rand(4, 3, 600), torch.ones(4, 3, dtype=torch.bool)
    losses = model.loss(x, present, torch.zeros(4, 37))
    assert losses.total.isfinite() and torch.equal(losses.terms["bce"], losses.total.detach())
    assert losses.element_weight is None
    model.eval()
    present[:, 1] = False
    p = model.predict(x, present)
    zeroed = x.clone()
    zeroed[:, 1] = 0
    assert p.shape == (4, 37) and torch.equal(p, model.predict(zeroed, torch.ones_like(present)))
    torch.testing.assert_close(p, model(x, present).sigmoid())


def test_overfits_64_molecules():
    torch.manual_seed(0)
    assert overfit(JungCNN(2, dense=(128, 96, 64), filters=(8, 16), dropout=0.0), 60, 3e-3) > 0.97


def separable(n=120):
    """Spectra in which group k is a peak at point 16 k."""
    torch.manual_seed(1)
    y = torch.rand(n, 37) < 0.4
    x = 0.05 * torch.rand(n, 2, 600)
    x[:, 0, : 16 * 37 : 16] += y.float()
    return x, torch.ones(n, 2, dtype=torch.bool), y


def test_boosted_trees_learn_and_are_read_from_a_weights_file(tmp_path):
    pytest.importorskip("xgboost")
    x, present, y = separable()
    config = Config(model="xgboost", modalities=("ir", "c13"), trees=8)
    model = build_model(config)
    model.fit(x, present, y)
    p = model.predict(x, present)
    assert p.shape == (120, 37) and ((p > 0.5) == y).float().mean() > 0.99
    save_model(tmp_path / "trees.safetensors", model, config)
    again, read = load_model(tmp_path / "trees.safetensors")
    assert read == config and torch.equal(again.predict(x, present), p)


def test_boosted_trees_do_not_see_an_absent_spectrum():
    pytest.importorskip("xgboost")
    x, present, y = separable()
    model = BoostedTrees(trees=4)
    model.fit(x, present, y)
    present[:, 0] = False
    assert torch.equal(model.predict(x, present), model.predict(x * present.unsqueeze(-1), torch.ones_like(present)))


def test_boosted_trees_train_as_any_run(tmp_path):
    pytest.importorskip("xgboost")
    config = Config(model="xgboost", modalities=("ir", "c13"), trees=4, epochs=1)
    result = run(config, tmp_path, "cpu", marker_dataset(60))
    assert result.metrics["test"]["micro_f1"] > 0.5 and len(result.history) == 1

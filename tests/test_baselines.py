import torch
from test_model import overfit

from symspectra.baselines import JungCNN


def test_published_size():
    with torch.device("meta"):  # shapes without memory
        model = JungCNN(1)
    assert sum(p.numel() for p in model.parameters()) == 64_015_708


def test_shapes_and_absent_modalities():
    torch.manual_seed(0)
    model = JungCNN(3, dense=(16, 16, 16))
    x, present = torch.rand(4, 3, 600), torch.ones(4, 3, dtype=torch.bool)
    loss, logs = model.loss(x, present, torch.zeros(4, 37), 0)
    assert loss.isfinite() and torch.equal(logs["bce"], loss.detach())
    model.eval()
    present[:, 1] = False
    p = model.predict(x, present)
    zeroed = x.clone()
    zeroed[:, 1] = 0
    assert p.shape == (4, 37) and torch.equal(p, model.predict(zeroed, torch.ones_like(present)))
    torch.testing.assert_close(p, model(x, present).sigmoid())


def test_overfits_64_molecules():
    torch.manual_seed(0)
    assert overfit(JungCNN(2, dense=(128, 96, 64), dropout=0.0), 60, 2e-3) > 0.97

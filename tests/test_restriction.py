from itertools import combinations

import pytest
import torch
from conftest import tiny

from symspectra.modalities import MODALITIES
from symspectra.models.registry import build_model
from symspectra.models.restriction import fused, quick, restricted

ALL = [subset for size in range(1, 6) for subset in combinations(MODALITIES, size)]
SUBSETS = [pytest.param(subset, marks=() if i % 3 == 0 else pytest.mark.slow) for i, subset in enumerate(ALL)]


def random_model(seed=0, **settings):
    """A model whose weights and running statistics are all random, in evaluation mode."""
    model = build_model(tiny(modalities=MODALITIES, order="alphabetical", seed=seed, **settings))
    for tensor in (*model.parameters(), *(b for name, b in model.named_buffers() if "running_mean" in name)):
        tensor.data.add_(0.1 * torch.randn_like(tensor))
    for name, tensor in model.named_buffers():
        if "running_var" in name:
            tensor.uniform_(0.5, 2)
    return model.eval()


def spectra_of(subset, n=12, seed=1):
    """Random spectra, zeros where absent; every third molecule lacks one more of the subset, where it has several."""
    generator = torch.Generator().manual_seed(seed)
    present = torch.tensor([[name in subset for name in MODALITIES]]).repeat(n, 1)
    if len(subset) > 1:
        present[::3, MODALITIES.index(subset[-1])] = False
    return torch.rand(n, 5, 600, generator=generator) * present.unsqueeze(-1), present


@pytest.fixture(scope="module", params=[{}, {"heads": 2, "prediction": "ensemble", "decoder": "gru"}], ids=str)
def model(request):
    return random_model(**request.param)


@pytest.mark.parametrize("subset", SUBSETS, ids=["+".join(subset) for subset in ALL])
def test_the_restricted_model_answers_like_the_whole_one(model, subset):
    kept = [MODALITIES.index(name) for name in subset]
    x, present = spectra_of(subset)
    p, gates = model.predict(x, present), model.gates(x, present)[:, kept][present[:, kept]]
    assert p.std(dim=0).mean() > 1e-3  # the spectra matter
    for smaller in (restricted(model, subset), fused(restricted(model, subset))):
        own = x[:, kept], present[:, kept]
        assert (smaller.predict(*own) - p).abs().max() < 1e-5
        assert (smaller.gates(*own)[present[:, kept]] - gates).abs().max() < 1e-5


def test_the_auxiliary_predictor_and_the_loss_are_restricted_too(model):
    subset = ("ir", "h1", "msms_neg")
    kept = [MODALITIES.index(name) for name in subset]
    x, present = spectra_of(subset)
    smaller = restricted(model, subset)
    whole, part = model.represent(x, present).t, smaller.represent(x[:, kept], present[:, kept]).t
    assert torch.allclose(whole[:, kept], part, atol=1e-5)
    assert torch.allclose(model.auxiliary(whole)[:, kept], smaller.auxiliary(part), atol=1e-5)


def test_what_is_absent_costs_nothing_and_the_rest_is_shared():
    model = random_model()
    smaller = restricted(model, ("c13",))
    assert smaller.modalities == ("c13",) and not smaller.training
    assert smaller.encoder.block1.conv.weight.shape[0] * 5 == model.encoder.block1.conv.weight.shape[0]
    assert smaller.fuse[1].in_features * 5 == model.fuse[1].in_features
    assert smaller.main.weight.data_ptr() == model.main.weight.data_ptr()
    assert torch.equal(smaller.decoder.order, model.decoder.order)


def test_the_whole_model_is_left_as_it_was():
    model = random_model()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    state = torch.get_rng_state()
    quick(model, ("ir", "c13"))
    assert torch.equal(torch.get_rng_state(), state)
    after = model.state_dict()
    assert list(after) == list(before) and all(torch.equal(after[name], before[name]) for name in before)
    assert quick(model, ("ir", "c13")) is quick(model, ("ir", "c13")) is not quick(model, ("c13",))


@pytest.mark.parametrize("modalities", [(), ("c13", "ir"), ("ir", "ir"), ("ir", "raman")])
def test_modalities_that_the_model_cannot_be_restricted_to(modalities):
    with pytest.raises(ValueError, match=r"modalities are .*; expected some of \('ir', .*in that order"):
        restricted(random_model(), modalities)

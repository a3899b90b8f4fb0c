import pytest
import torch

from symspectra.models.decoder import BOS, LabelDecoder, scheduled_prefix
from symspectra.settings import SymSpectra, choices

CONDITIONINGS, KINDS = choices(SymSpectra, "conditioning"), choices(SymSpectra, "decoder")[:-1]  # not "none"
GROUPS, FUSED, HIDDEN = 7, 10, 6
ORDER = (3, 0, 6, 2, 5, 1, 4)


def decoder(conditioning="residual", **settings):
    torch.manual_seed(0)
    module = LabelDecoder(FUSED, ORDER, HIDDEN, 5, conditioning=conditioning, **settings).eval()
    with torch.no_grad():  # larger than at the start, so that the fed-back labels matter
        module.label_embedding.weight.mul_(3)
        module.output.mul_(3)
        module.bias.normal_()
    return module


@pytest.fixture
def batch():
    torch.manual_seed(5)
    return torch.randn(9, FUSED), torch.randn(9, GROUPS), (torch.rand(9, GROUPS) > 0.5).float()


def plain_decoder(module, fused, main, prefix=None):
    """Step by step with `torch.nn.LSTMCell`, one label at a time; without a prefix it feeds back its own labels."""
    steps = module.cell.steps
    lstm = isinstance(steps, torch.nn.LSTM)
    cell = (torch.nn.LSTMCell if lstm else torch.nn.GRUCell)(steps.input_size, HIDDEN)
    cell.load_state_dict({name.removesuffix("_l0"): v for name, v in steps.state_dict().items()})
    h = torch.tanh(module.cell.initial(fused))
    c = torch.zeros_like(h)
    previous = torch.full((len(fused),), BOS)
    result = torch.zeros(len(fused), GROUPS)
    for k, group in enumerate(ORDER):
        x = module.label_embedding.weight[previous] + module.position_embedding[k]
        if module.conditioning == "input":
            x = x + module.context(fused)
        h, c = cell(x, (h, c)) if lstm else (cell(x, h), c)
        logit = h @ module.output[k] + module.bias[k]
        if module.conditioning == "residual":
            logit = logit + main[:, group]
        result[:, group] = logit
        previous = (logit > 0).long() if prefix is None else prefix[:, group].long()
    return result.detach()


@pytest.mark.parametrize("kind", ["lstm", "gru"])
@pytest.mark.parametrize("conditioning", CONDITIONINGS)
def test_one_call_is_the_step_by_step_loop(batch, conditioning, kind):
    module = decoder(conditioning, kind=kind)
    torch.testing.assert_close(module(*batch).detach(), plain_decoder(module, *batch), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("conditioning", CONDITIONINGS)
@pytest.mark.parametrize("kind", KINDS)
def test_free_running_feeds_back_its_own_labels(batch, conditioning, kind):
    module = decoder(conditioning, kind=kind)
    fused, main, y = batch
    decoded = module.decode(fused, main)
    if kind != "transformer":
        torch.testing.assert_close(decoded, plain_decoder(module, fused, main), rtol=1e-4, atol=1e-5)
    # Teacher-forced with what it decoded, it gives the same; with something else, it does not.
    torch.testing.assert_close(module(fused, main, (decoded > 0).float()).detach(), decoded, rtol=1e-4, atol=1e-5)
    assert not torch.allclose(module(fused, main, 1 - (decoded > 0).float()), decoded)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("position", [0, 3, 6])
def test_a_label_reaches_later_steps_only(batch, position, kind):
    module = decoder(kind=kind)
    fused, main, y = batch
    changed = y.clone()
    changed[:, ORDER[position]] = 1 - changed[:, ORDER[position]]
    difference = (module(fused, main, changed) - module(fused, main, y)).abs()[:, list(ORDER)]
    assert (difference[:, : position + 1] == 0).all()
    assert (difference[:, position + 1 :] > 0).all()


@pytest.mark.parametrize("kind", KINDS)
def test_the_fused_representation_reaches_every_step(batch, kind):
    module = decoder("h0", kind=kind)
    fused, main, y = batch
    assert ((module(fused, main, y) - module(fused + 1, main, y)).abs() > 0).all()


@pytest.mark.parametrize("p", [0.5, 0.5 * 0.95**20])
def test_scheduled_prefix_takes_the_truth_with_its_probability(p):
    torch.manual_seed(0)
    y, main = torch.ones(2000, 37), torch.full((2000, 37), -1.0, requires_grad=True)  # the prediction is always 0
    prefix = scheduled_prefix(y, main, torch.tensor(p))
    z = (float(prefix.mean()) - p) / (p * (1 - p) / prefix.numel()) ** 0.5
    assert abs(z) < 4
    assert set(prefix.unique().tolist()) == {0.0, 1.0} and not prefix.requires_grad
    # Drawn for every step: a molecule is neither all truth nor all prediction.
    assert ((prefix.mean(dim=1) > 0) & (prefix.mean(dim=1) < 1)).float().mean() > 0.95


def test_scheduled_prefix_at_its_ends():
    y, main = torch.tensor([[1.0, 0.0]]), torch.tensor([[-2.0, 3.0]])
    assert torch.equal(scheduled_prefix(y, main, 1.0), y)
    assert torch.equal(scheduled_prefix(y, main, 0.0), 1 - y)

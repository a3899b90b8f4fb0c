"""A training step, the step that is captured, and the scores of an epoch give what the plain ones give."""

import numpy as np
import pytest
import torch
from conftest import marker_dataset, tiny
from hypothesis import given, settings
from hypothesis import strategies as st

from symspectra.models.registry import build_model
from symspectra.training.fit import train
from symspectra.training.metrics import multilabel_metrics, validation_scores
from symspectra.training.steps import WARM_UP, Step, make_optimizer, set_learning_rate
from symspectra.training.trainer import Trainer

CPU = torch.device("cpu")
MODELS = {
    "symspectra": tiny(),
    "symspectra, gru": tiny(decoder="gru", cross_term="negated"),
    "symspectra, transformer decoder": tiny(decoder="transformer", prior="gamma", cmi_reduce="mean"),
    "1D-CNN": tiny("jung_cnn"),
    "Transformer": tiny("token_transformer"),
    "Wu et al.": tiny("patch_transformer"),
    "Alberts et al.": tiny("patch_embedding"),
}


class Recording:
    """In the place of `symspectra.training.steps.CudaGraph`: a replay calls the function again."""

    def __init__(self):
        self.calls = {"warm up": 0, "capture": 0, "replay": 0}

    def warm_up(self, function):
        self.calls["warm up"] += 1
        function()

    def capture(self, function):
        self.calls["capture"] += 1

        def replay():
            self.calls["replay"] += 1
            function()

        return replay


@pytest.mark.parametrize("name", ["symspectra", "Alberts et al."])
def test_a_captured_step_trains_as_the_step_does(name, monkeypatch):
    """Buffers, the batch that is left over, the learning rate and the epoch: all but the recording by CUDA itself."""
    graphs = []
    monkeypatch.setattr("symspectra.training.trainer.CudaGraph", lambda _: graphs.append(Recording()) or graphs[-1])
    config, data = MODELS[name].replace(epochs=4, batch=11, schedule="cosine"), marker_dataset(n=120)
    plain, fast = train(config, data), train(config, data, capture=True)
    whole, left = divmod(len(data.rows("train")), 11)
    assert left > 1 and [graph.calls for graph in graphs] == [
        {"warm up": WARM_UP, "capture": 1, "replay": 4 * whole - WARM_UP},
        {"warm up": WARM_UP, "capture": 1, "replay": 4 - WARM_UP},  # the batch that is left over
        {"warm up": WARM_UP, "capture": 1, "replay": 4 - WARM_UP},  # the validation
    ]
    assert fast.state.history == plain.state.history
    weights = zip(plain.model.state_dict().values(), fast.model.state_dict().values(), strict=True)
    assert all(torch.equal(one, two) for one, two in weights)
    assert plain.sample_weight is None or torch.equal(fast.sample_weight, plain.sample_weight)


def test_steps_on_a_cpu_are_not_captured():
    trainer = Trainer(tiny(), marker_dataset(), CPU)
    assert trainer.take is trainer.step and trainer.predict == trainer.model.predict


def batch(n=16):
    torch.manual_seed(0)
    y = (torch.rand(n, 37) < 0.2).float()
    return torch.rand(n, 2, 600), torch.ones(n, 2, dtype=torch.bool), y, torch.arange(n).flip(0)


def make(config, n_train=20):
    model = build_model(config).train()
    return Step(config, model, make_optimizer(config, list(model.parameters()), CPU), n_train, 37, CPU)


def test_a_step_adds_up_terms_and_weights_by_molecule_until_the_next_epoch():
    step, (x, present, y, positions) = make(tiny(weight_ramp=1, lr=1e-9)), batch()
    step.begin(1)
    torch.manual_seed(1)
    losses = step.model.loss(x, present, y)
    step = make(tiny(weight_ramp=1, lr=1e-9))
    step.begin(1)
    torch.manual_seed(1)
    step(x, present, y, positions)
    for name, value in {"loss": losses.total.detach(), **losses.terms}.items():
        torch.testing.assert_close(step.totals[name], 16 * value)
    torch.testing.assert_close(step.sample_weight[positions], losses.sample_weight)
    torch.testing.assert_close(step.group_weight[0], losses.element_weight.sum(dim=0))
    torch.testing.assert_close(step.group_weight[1], (losses.element_weight * y).sum(dim=0))
    assert step.weighted and (step.sample_weight[16:] == 0).all() and step.sample_weight[:16].std() > 0.001
    step.begin(2)
    assert all(total == 0 for total in step.totals.values()) and (step.sample_weight[:16] != 0).all()


def test_gradients_are_clipped_to_the_norm_that_is_set():
    norms = []
    for clip in (0.0, 0.01):
        step = make(tiny("patch_embedding", clip=clip))
        step(*batch())
        norms.append(float(torch.stack([p.grad.norm() for p in step.model.parameters()]).norm()))
    assert norms[0] > 0.1 and norms[1] == pytest.approx(0.01, rel=1e-3)


def test_the_learning_rate_and_the_momenta_are_those_of_the_configuration():
    config = tiny(lr=0.5, beta2=0.9)
    optimizer = make_optimizer(config, [torch.nn.Parameter(torch.zeros(1))], CPU)
    set_learning_rate(optimizer, 0.25)
    assert optimizer.param_groups[0]["lr"] == 0.25 and optimizer.defaults["betas"] == (0.9, 0.9)


def test_a_step_in_half_precision_keeps_the_bound_in_single():
    step = make(tiny(precision="bf16"))
    step(*batch())
    assert step.totals["bound"].dtype == step.totals["loss"].dtype == torch.float32
    assert all(p.dtype == torch.float32 for p in step.model.parameters())
    exact = make(tiny())
    exact(*batch())
    assert float(step.totals["main"]) == pytest.approx(float(exact.totals["main"]), rel=0.02)
    assert step.totals["main"] != exact.totals["main"]


@given(st.integers(1, 40), st.integers(0, 2**20))
@settings(max_examples=40, deadline=None)
def test_validation_scores_are_those_of_the_metrics(n, seed):
    rng = np.random.default_rng(seed)
    y, p, groups = rng.random((n, 37)) < 0.3, rng.random((n, 37)).astype(np.float32), rng.random(37) < 0.8
    if not y[:, groups].any():
        return
    theirs = multilabel_metrics(y, p, groups=groups)
    ours = validation_scores(*(torch.from_numpy(values) for values in (y, p, groups)))
    assert ours == {name: theirs[name] for name in ("micro_f1", "macro_f1", "exact_match")}


def test_a_probability_that_is_not_a_number_is_refused():
    p = torch.rand(3, 37)
    p[1, 2] = torch.nan
    with pytest.raises(FloatingPointError, match="1 of the probabilities"):
        validation_scores(torch.ones(3, 37, dtype=torch.bool), p, torch.ones(37, dtype=torch.bool))

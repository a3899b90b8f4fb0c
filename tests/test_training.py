import json
import math
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import DAMAGES, damage, marker_dataset, tiny

import symspectra
from symspectra.config import Config
from symspectra.datasets.base import ArrayDataset, LineDataset
from symspectra.errors import DataError
from symspectra.models.base import Losses, SpectrumClassifier
from symspectra.spectra.rendering import Nuisance
from symspectra.training.fit import train
from symspectra.training.schedules import learning_rate


class Stopped(Exception):
    """Raised by a report callback: what a killed process is to the files."""


def stop_at(epoch):
    def report(numbers):
        if numbers["epoch"] == epoch:
            raise Stopped

    return report


def same(a, b):
    """Whether two results agree in every bit."""
    weights = zip(a.model.state_dict().items(), b.model.state_dict().items(), strict=True)
    return (
        all(n == m and torch.equal(x, y) for (n, x), (m, y) in weights)
        and a.state.history == b.state.history
        and (a.sample_weight is None) == (b.sample_weight is None)
        and (a.sample_weight is None or torch.equal(a.sample_weight, b.sample_weight))
        and (a.group_weight is None or torch.allclose(a.group_weight, b.group_weight, 0, 0, equal_nan=True))
    )


@pytest.fixture(scope="module")
def uninterrupted(data):
    return train(tiny(epochs=5), data)


def test_a_run_is_repeated_bit_for_bit(data, uninterrupted):
    torch.manual_seed(99)  # whatever the generator did before
    assert same(train(tiny(epochs=5), data), uninterrupted)
    assert not same(train(tiny(epochs=5, seed=1), data), uninterrupted)


@pytest.mark.parametrize("epochs", [[0], [4], [1, 2, 3]])
def test_resumed_equals_uninterrupted_bit_for_bit(data, uninterrupted, tmp_path, epochs):
    checkpoint = tmp_path / "checkpoint.safetensors"
    for epoch in epochs:
        with pytest.raises(Stopped):
            train(tiny(epochs=5), data, checkpoint=checkpoint, checkpoint_seconds=0, report=stop_at(epoch))
        torch.manual_seed(epoch)
    assert checkpoint.exists() == (epochs[-1] > 0)
    assert same(train(tiny(epochs=5), data, checkpoint=checkpoint, checkpoint_seconds=0), uninterrupted)
    assert not list(tmp_path.glob("*.tmp"))


def test_resumed_equals_uninterrupted_for_rendered_spectra_and_the_cnn(random_lines, tmp_path):
    data = LineDataset(random_lines, ("ir", "c13"), Nuisance())
    config = tiny("jung_cnn")
    whole = train(config, data, checkpoint=tmp_path / "late", checkpoint_seconds=1e6)
    assert whole.sample_weight is None and whole.group_weight is None
    assert not (tmp_path / "late").exists()  # its time has not come
    with pytest.raises(Stopped):
        train(config, data, checkpoint=tmp_path / "c", checkpoint_seconds=0, report=stop_at(2))
    assert same(train(config, data, checkpoint=tmp_path / "c"), whole)


def test_training_noise_is_new_every_epoch_and_validation_noise_is_not(random_lines):
    asked = []

    class Recording(LineDataset):
        def spectra(self, rows, draw=0):
            asked.append((draw, tuple(rows.tolist())))
            return super().spectra(rows, draw)

        def to(self, device):
            return self

    data = Recording(random_lines, ("ir", "c13"), Nuisance())
    train(tiny(epochs=3, seed=2), data)
    training, validation = set(data.rows("train").tolist()), set(data.rows("validation").tolist())
    draws = {draw: {row for d, rows in asked for row in rows if d == draw} for draw, _ in asked}
    assert len(draws) == 4 and draws.pop(0) == validation
    assert all(rows == training for rows in draws.values())


def relabelled(data, split, y):
    """The same data with other labels in one split."""
    other = data.y.clone()
    other[data.rows(split)] = y[data.rows(split)]
    return ArrayDataset(data.x, data.present, other, data.ids, data._split.tolist(), data.modalities)


def test_the_test_set_has_no_influence(data, uninterrupted):
    other = relabelled(data, "test", ~data.y)
    assert other.digest != data.digest
    assert same(train(tiny(epochs=5), other), uninterrupted)


def test_validation_trains_and_chooses_nothing(data, uninterrupted):
    other = train(tiny(epochs=5), relabelled(data, "validation", ~data.y))
    scores, own = ([entry["validation_micro_f1"] for entry in run.state.history] for run in (other, uninterrupted))
    assert scores != own
    pairs = zip(other.model.state_dict().values(), uninterrupted.model.state_dict().values(), strict=True)
    assert all(torch.equal(x, y) for x, y in pairs)


def test_training_learns_the_markers():
    """On molecules it has not seen; calling every group everywhere gives 0.46."""
    config = tiny(epochs=15, lr=1e-2, hidden=64, pools=(8, 5), weighting="none", dropout=0.0)
    result = train(config, marker_dataset(240))
    history = result.state.history
    assert history[-1]["loss"] < 0.6 * history[0]["loss"]
    assert history[-1]["validation_micro_f1"] > 0.57


def test_cosine_schedule():
    config = tiny(epochs=10, lr=0.2)
    for step in range(30):
        assert learning_rate(config, step, 3) == pytest.approx(0.1 * (1 + math.cos(math.pi * (step // 3) / 10)))
    assert learning_rate(config, 0, 3) == 0.2 and learning_rate(config, 30, 3) == pytest.approx(0)


def test_step_schedule_of_the_cnn():
    config = Config("jung_cnn")
    rates = [learning_rate(config, 7 * epoch + 2, 7) for epoch in range(41)]
    assert rates[:31] == [2.5e-4] * 31
    assert rates[31:37] == pytest.approx([2.5e-5] * 6) and rates[37:] == pytest.approx([2.5e-6] * 4)


def test_noam_schedule_peaks_after_the_warm_up():
    """With factor f and width d the original is f d^-1/2 min(n^-1/2, n w^-3/2) in step n (Vaswani et al. 2017)."""
    config = Config("token_transformer")
    for step in (0, 10, 7999, 8000, 50_000):
        n = step + 1
        assert learning_rate(config, step, 100) == pytest.approx(2 * 512**-0.5 * min(n**-0.5, n * 8000**-1.5), rel=1e-3)


def test_onecycle_schedule_is_that_of_torch():
    config = tiny(epochs=10, lr=0.2, schedule="onecycle")
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    theirs = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.2, total_steps=100)
    for step in range(100):
        assert learning_rate(config, step, 10) == pytest.approx(theirs.get_last_lr()[0], rel=1e-4)
        optimizer.step()
        theirs.step()


def test_weights_are_means_over_the_epochs(data):
    n = len(data.rows("train"))
    result = train(tiny(weighting="none", batch=8), data)
    assert n % 8 != 1  # else one molecule sits out
    torch.testing.assert_close(result.sample_weight, torch.ones(n))
    torch.testing.assert_close(result.group_weight[0], torch.ones(37))
    has = data.y[data.rows("train")].any(dim=0)
    torch.testing.assert_close(result.group_weight[1][has], torch.ones(int(has.sum())))
    assert result.group_weight[1][~has].isnan().all()
    result = train(tiny(weight_ramp=0), data)
    assert result.sample_weight.std() > 0.01 and result.group_weight[0].std() > 0.01


@pytest.mark.parametrize("batch", [1, 31])
def test_no_batch_size_is_refused_for_what_it_leaves_over(data, batch):
    """32 training molecules leave one over for batches of 31."""
    assert len(data.rows("train")) == 32
    assert train(tiny(batch=batch, epochs=1), data).state.epoch == 1


def test_empty_splits_are_refused():
    data = marker_dataset(12)
    for missing, name in (("train", "training"), ("validation", "validation")):
        split = ["test" if s == missing else s for s in data._split.tolist()]
        other = ArrayDataset(data.x, data.present, data.y, data.ids, split, data.modalities)
        with pytest.raises(DataError, match=f"the {name} split is empty: 12 molecules"):
            train(tiny(), other)


def test_a_loss_that_is_not_finite_stops_the_run(data, monkeypatch):
    def begin_epoch(self, epoch):
        self.factor = math.nan if epoch == 1 else 0.0

    def loss(self, x, present, y):
        return Losses(sum(p.sum() for p in self.parameters()) * self.factor, {})

    monkeypatch.setattr(SpectrumClassifier, "begin_epoch", begin_epoch)
    monkeypatch.setattr(SpectrumClassifier, "loss", loss)
    with pytest.raises(FloatingPointError, match="in epoch 1"):
        train(tiny("jung_cnn"), data)


@pytest.fixture(scope="module")
def written(data, tmp_path_factory):
    """A checkpoint after the first of two epochs."""
    path = tmp_path_factory.mktemp("written") / "checkpoint.safetensors"
    train(tiny(epochs=2), data, checkpoint=path, checkpoint_seconds=0)
    return path


@pytest.fixture
def checkpoint(written, tmp_path):
    """A copy for the test to damage."""
    return Path(shutil.copy(written, tmp_path))


@pytest.mark.parametrize("kind", [kind for kind in DAMAGES if kind != "missing"])
def test_a_damaged_checkpoint_is_named(data, checkpoint, kind):
    damage(checkpoint, kind)
    with pytest.raises(DataError, match="checkpoint.safetensors: the checkpoint is damaged"):
        train(tiny(epochs=2), data, checkpoint=checkpoint)


@pytest.mark.parametrize("name", ["optimizer.3.exp_avg", "random.cpu", "weight.sample"])
def test_a_flipped_bit_of_any_part_of_a_checkpoint_is_found(data, checkpoint, name):
    content = bytearray(checkpoint.read_bytes())
    header = int.from_bytes(content[:8], "little")
    start, end = json.loads(content[8 : 8 + header])[name]["data_offsets"]
    content[8 + header + (start + end) // 2] ^= 1
    checkpoint.write_bytes(content)
    with pytest.raises(DataError, match="checkpoint.safetensors: the checkpoint is damaged"):
        train(tiny(epochs=2), data, checkpoint=checkpoint)


def test_a_changed_type_in_a_checkpoint_is_found(data, checkpoint):
    checkpoint.write_bytes(checkpoint.read_bytes().replace(b'"F32"', b'"I32"', 1))
    with pytest.raises(DataError, match="checkpoint.safetensors: the checkpoint is damaged"):
        train(tiny(epochs=2), data, checkpoint=checkpoint)


def test_a_file_that_is_no_checkpoint_is_named(data, tmp_path):
    from safetensors.torch import save_file

    save_file({"x": torch.zeros(2)}, tmp_path / "other.safetensors")
    with pytest.raises(DataError, match="other.safetensors"):
        train(tiny(epochs=2), data, checkpoint=tmp_path / "other.safetensors")


def test_a_checkpoint_of_another_run_is_refused(data, checkpoint):
    with pytest.raises(DataError, match="checkpoint.safetensors: the checkpoint is of another configuration"):
        train(tiny(epochs=3), data, checkpoint=checkpoint)
    with pytest.raises(DataError, match="other data"):
        train(tiny(epochs=2), marker_dataset(seed=1), checkpoint=checkpoint)


@pytest.mark.slow
def test_training_does_not_import_what_it_does_not_need():
    heavy = {"rdkit", "pyarrow", "pandas", "matplotlib", "scipy", "sklearn", "tblite", "networkx", "seaborn", "tqdm"}
    # What torch and jaxtyping themselves take along is not ours.
    code = "import json, sys, torch, jaxtyping; theirs = set(sys.modules); import symspectra.training.runs; "
    code += "print(json.dumps(sorted(set(sys.modules) - theirs)))"
    environment = {**os.environ, "PYTHONPATH": str(Path(symspectra.__file__).parents[1])}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, env=environment)
    ours = set(json.loads(done.stdout))
    assert "symspectra.spectra.rendering" in ours and not heavy & ours


@pytest.mark.parametrize(
    "settings",
    [
        {"precision": "bf16"},
        {"imbalance": "mlsmote"},
        {"augment": "mix", "withhold": 0.3},
        {"scarce_groups": (1, 5), "scarce_share": 0.5},
        {"model": "jung_cnn", "imbalance": "focal"},
        {"model": "patch_embedding", "imbalance": "class_weights", "clip": 1.0, "schedule": "onecycle"},
        {"model": "token_transformer", "schedule": "noam", "warmup": 3, "points": 20},
    ],
)
def test_options_of_the_experiments_train_and_leave_validation_and_test_alone(settings):
    data = marker_dataset(missing=0.4)
    result = train(tiny(**settings), data)
    for split in ("validation", "test"):
        assert torch.equal(result.dataset.rows(split), data.rows(split))
        assert torch.equal(result.dataset.spectra(data.rows(split))[0], data.spectra(data.rows(split))[0])
    assert all(math.isfinite(value) for entry in result.state.history for value in entry.values())
    more = {"mlsmote": 1}.get(settings.get("imbalance"), -1 if "scarce_groups" in settings else 0)
    assert np.sign(len(result.dataset.rows("train")) - len(data.rows("train"))) == more


def test_what_the_data_cannot_do_is_said(data):
    with pytest.raises(DataError, match="molecule 0.*SMILES"):
        train(tiny(split="scaffold"), data)
    rare = marker_dataset(24)
    rare.y[rare.rows("train"), 4] = False
    with pytest.raises(DataError, match="no training molecule has Alkane"):
        train(tiny(scarce_groups=(5,), scarce_share=0.5), rare)

import errno
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import marker_dataset, tiny

import symspectra
from symspectra import config as config_module
from symspectra.config import Config
from symspectra.datasets.base import ArrayDataset, LineDataset
from symspectra.errors import ConfigError, DataError, RunError
from symspectra.models import registry as models
from symspectra.models.baselines import JungCNN
from symspectra.models.registry import build_model, load_model, register_model, save_model
from symspectra.training import runs
from symspectra.training.fit import predict, train
from symspectra.training.metrics import multilabel_metrics
from symspectra.training.runs import find_run, run, run_id


@pytest.fixture(scope="module")
def data():
    return marker_dataset()


@pytest.fixture(scope="module")
def finished(data, tmp_path_factory):
    return run(tiny(), tmp_path_factory.mktemp("store"), "cpu", data)


def refuse(numbers):
    raise AssertionError("trained again")


def same_weights(a, b):
    return all(torch.equal(t, b.load().state_dict()[name]) for name, t in a.load().state_dict().items())


def test_a_second_call_reads_what_the_first_one_wrote(finished, data):
    again = run(tiny(), finished.path.parent, "cpu", data, refuse)
    assert again == finished and again == find_run(tiny(), finished.path.parent, data)
    assert find_run(tiny(seed=1), finished.path.parent, data) is None
    assert find_run(tiny(), finished.path.parent, marker_dataset(seed=1)) is None


def test_what_a_run_holds(finished, data):
    assert finished.id == finished.path.name == run_id(tiny(), data.digest)
    assert finished.config == tiny()
    assert [entry["epoch"] for entry in finished.history] == [0, 1, 2]
    ids, y, p = finished.predictions("test")
    rows = data.rows("test")
    assert ids == tuple(data.ids[row] for row in rows) and np.array_equal(y, data.y[rows].numpy())
    np.testing.assert_allclose(p, predict(finished.load(), data, rows).numpy(), atol=1e-6)
    metrics = finished.metrics
    expected = multilabel_metrics(y, p)
    assert metrics["test"]["micro_f1"] == pytest.approx(expected["micro_f1"])
    assert (
        len(finished.predictions("validation")[0]) == metrics["molecules"]["validation"] == len(data.rows("validation"))
    )
    assert metrics["train_positives"] == data.y[data.rows("train")].sum(dim=0).tolist()
    assert metrics["parameters"] == sum(p.numel() for p in finished.load().parameters())
    scores = [entry["validation_micro_f1"] for entry in finished.history]
    assert (
        metrics["validation"]["micro_f1"] == pytest.approx(max(scores)) == pytest.approx(scores[metrics["best_epoch"]])
    )
    molecules, groups = finished.training_weights()
    assert list(molecules) == [data.ids[row] for row in data.rows("train")] and len(groups) == 37


def test_the_store_holds_nothing_half_written(finished):
    names = {path.name for path in finished.path.parent.iterdir()}
    assert names == {finished.id}
    assert not list(finished.path.rglob("*.tmp"))


def test_run_id_depends_on_configuration_data_and_code(data, monkeypatch):
    ids = {run_id(tiny(), data.digest), run_id(tiny(seed=1), data.digest), run_id(tiny(), "other")}
    monkeypatch.setattr(runs, "code_digest", lambda: "other code")
    assert len(ids | {run_id(tiny(), data.digest)}) == 4
    monkeypatch.undo()
    assert run_id(tiny(beta=1), data.digest) == run_id(tiny(beta=1.0), data.digest)


def test_code_digest_covers_every_module_that_training_imports():
    package = Path(symspectra.__file__).parent
    modules = [path.stem for path in package.glob("*.py")]
    reached, todo = set(), ["runs"]
    while todo:
        module = todo.pop()
        text = (package / f"{module}.py").read_text()
        reached.add(module)
        todo += [name for name in modules if name not in reached and f"from symspectra.{name} " in text]
    assert reached == set(runs.CODE)


def test_without_its_mark_a_folder_is_not_a_run(data, tmp_path):
    first = run(tiny(), tmp_path, "cpu", data)
    kept = first.load().state_dict()
    (first.path / "DONE").unlink()
    (first.path / "metrics.json").write_text("{")
    assert find_run(tiny(), tmp_path, data) is None
    epochs = []
    second = run(tiny(), tmp_path, "cpu", data, lambda e: epochs.append(e["epoch"]))
    assert epochs == [0, 1, 2] and second.metrics["best_epoch"] >= 0
    assert all(torch.equal(kept[name], t) for name, t in second.load().state_dict().items())


@pytest.mark.parametrize("name", ["metrics.json", "config.json", "history.parquet", "predictions.parquet"])
def test_a_damaged_file_of_a_run_is_named(data, tmp_path, name):
    done = run(tiny(epochs=1), tmp_path, "cpu", data)
    path = done.path / name
    path.write_bytes(path.read_bytes()[:20])
    with pytest.raises(RunError, match=rf"{done.id}.*{name}"):
        (done.metrics, done.config, done.history, done.predictions())


@pytest.mark.parametrize("share", [0.0, 0.5, 0.99])
def test_truncated_weights_are_named(data, tmp_path, share):
    done = run(tiny(epochs=1), tmp_path, "cpu", data)
    path = done.path / "weights.safetensors"
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    with pytest.raises(DataError, match="weights.safetensors: not a complete SymSpectra weights file"):
        done.load()


def test_weights_files_that_are_missing_or_something_else(tmp_path):
    from safetensors.torch import save_file

    with pytest.raises(DataError, match="none.safetensors: no such weights file"):
        load_model(tmp_path / "none.safetensors")
    save_file({"x": torch.zeros(2)}, tmp_path / "other.safetensors")
    with pytest.raises(DataError, match="other.safetensors: not a complete"):
        load_model(tmp_path / "other.safetensors")
    save_model(tmp_path / "cnn.safetensors", JungCNN(1, dense=(8, 8, 8)), tiny(model="jung_cnn", dense=(9, 9, 9)))
    with pytest.raises(DataError, match="cnn.safetensors: not a complete"):
        load_model(tmp_path / "cnn.safetensors")


def test_saved_models_are_loaded_with_their_configuration(tmp_path):
    config = tiny(seed=4)
    model = build_model(config)
    save_model(tmp_path / "m.safetensors", model, config)
    loaded, read = load_model(tmp_path / "m.safetensors")
    assert read == config and not loaded.training
    assert all(torch.equal(t, loaded.state_dict()[name]) for name, t in model.state_dict().items())


def test_fresh_weights_are_drawn_from_the_seed():
    first, again, other = (build_model(tiny(seed=seed)).main.weight for seed in (0, 0, 1))
    assert torch.equal(first, again) and not torch.equal(first, other)


def full_disk(path):
    """Half a file, then no space."""
    with open(path, "wb") as f:
        f.write(b"half")
    raise OSError(errno.ENOSPC, "No space left on device", str(path))


@pytest.mark.parametrize(
    ("module", "function", "argument"),
    [("safetensors.torch", "save_file", 1), ("pyarrow.parquet", "write_table", 1)],
)
@pytest.mark.parametrize("checkpoint_seconds", [0, 1e6])
def test_a_full_disk_leaves_no_half_written_run(
    data, finished, tmp_path, monkeypatch, module, function, argument, checkpoint_seconds
):
    with monkeypatch.context() as patch:
        patch.setattr(f"{module}.{function}", lambda *args, **kwargs: full_disk(args[argument]))
        with pytest.raises(RunError, match=f"{finished.id}: the run could not be written .*No space left"):
            run(tiny(), tmp_path, "cpu", data, checkpoint_seconds=checkpoint_seconds)
    assert find_run(tiny(), tmp_path, data) is None and not (tmp_path / finished.id).exists()
    assert not list(tmp_path.glob("*/checkpoint.safetensors")) or module != "safetensors.torch"
    resumed = run(tiny(), tmp_path, "cpu", data)
    assert same_weights(resumed, finished) and resumed.history == finished.history
    assert {path.name for path in tmp_path.iterdir()} == {finished.id}


def test_a_failed_write_of_safetensors_itself_is_a_run_error(data, tmp_path, monkeypatch):
    from safetensors import SafetensorError

    def save_file(tensors, path, metadata=None):
        raise SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")

    monkeypatch.setattr("safetensors.torch.save_file", save_file)
    with pytest.raises(RunError, match="No space left"):
        run(tiny(), tmp_path, "cpu", data)


def test_a_finished_run_is_read_from_a_store_that_cannot_be_written(finished, data, monkeypatch):
    def read_only(*args, **kwargs):
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr("pathlib.Path.mkdir", read_only)
    assert run(tiny(), finished.path.parent, "cpu", data, refuse) == finished


SCRIPT = """
import sys
import time
sys.path.insert(0, sys.argv[1])
from conftest import marker_dataset, tiny
from symspectra.runs import run

def report(numbers):
    with open(sys.argv[3], "a") as f:
        print(int(numbers["epoch"]), file=f, flush=True)
    time.sleep(0.1)  # so that there is time to kill it

run(tiny(epochs=int(sys.argv[4])), sys.argv[2], "cpu", marker_dataset(), report, checkpoint_seconds=0)
"""


def start(store, log, epochs):
    """A process that trains, and writes the number of each finished epoch to ``log``."""
    environment = {**os.environ, "PYTHONPATH": str(Path(symspectra.__file__).parents[1]), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", SCRIPT, str(Path(__file__).parent), str(store), str(log), str(epochs)]
    return subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)


def test_a_killed_process_resumes_bit_for_bit(data, tmp_path):
    log, config = tmp_path / "epochs", tiny(epochs=60)
    process = start(tmp_path / "store", log, 60)
    deadline = time.monotonic() + 60
    while not (log.exists() and len(log.read_text().split()) >= 3):
        assert process.poll() is None and time.monotonic() < deadline, process.stderr.read()
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert len(log.read_text().split()) < 60 and find_run(config, tmp_path / "store", data) is None
    trained = []
    resumed = run(config, tmp_path / "store", "cpu", data, lambda e: trained.append(e["epoch"]))
    assert 0 < len(trained) < 60 and trained[-1] == 59
    whole = run(config, tmp_path / "other", "cpu", data)
    assert resumed.history == whole.history and resumed.metrics["best_epoch"] == whole.metrics["best_epoch"]
    for name, tensor in whole.load().state_dict().items():
        assert torch.equal(tensor, resumed.load().state_dict()[name])


def test_two_processes_that_ask_for_one_run_train_it_once(tmp_path):
    log = tmp_path / "epochs"
    processes = [start(tmp_path / "store", log, 4) for _ in range(2)]
    for process in processes:
        assert process.wait(90) == 0, process.stderr.read()
        process.stderr.close()
    assert log.read_text().split() == ["0", "1", "2", "3"]


def test_a_checkpoint_in_the_store_is_used_and_a_damaged_one_named(data, finished, tmp_path):
    def stop(numbers):
        if numbers["epoch"] == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(tiny(), tmp_path, "cpu", data, stop, checkpoint_seconds=0)
    (checkpoint,) = tmp_path.glob("*.partial/checkpoint.safetensors")
    content = checkpoint.read_bytes()
    checkpoint.write_bytes(content[:1000])
    with pytest.raises(DataError, match=r"partial/checkpoint.safetensors: the checkpoint is damaged"):
        run(tiny(), tmp_path, "cpu", data)
    checkpoint.write_bytes(content)
    epochs = []
    resumed = run(tiny(), tmp_path, "cpu", data, lambda e: epochs.append(e["epoch"]))
    assert epochs == [2] and same_weights(resumed, finished)


def test_an_empty_test_split_is_left_out(data, tmp_path):
    split = ["validation" if s == "test" else s for s in data._split.tolist()]
    done = run(
        tiny(epochs=1), tmp_path, "cpu", ArrayDataset(data.x, data.present, data.y, data.ids, split, data.modalities)
    )
    assert "test" not in done.metrics and done.metrics["molecules"]["test"] == 0
    assert len(done.predictions("validation")[0]) == 16


def test_data_of_other_spectra_than_the_configuration_are_refused(data, tmp_path):
    with pytest.raises((DataError, ConfigError), match="modalities"):
        run(tiny(modalities=("ir", "c13", "h1")), tmp_path, "cpu", data)


@pytest.fixture
def own_model(monkeypatch):
    """A registered model, forgotten after the test."""
    monkeypatch.setattr(models, "_BUILDERS", dict(models._BUILDERS))
    monkeypatch.setattr(config_module, "CHOICES", dict(config_module.CHOICES))
    register_model("small_cnn", lambda config: JungCNN(len(config.data.modalities), dense=(16, 16, 16)))
    return "small_cnn"


def test_a_model_of_ones_own(own_model, data, finished, tmp_path):
    config = tiny(model=own_model)
    done = run(config, tmp_path, "cpu", data)
    assert done.id != finished.id and isinstance(done.load(), JungCNN)
    assert done.training_weights() is None and "bce" in done.history[0]
    assert find_run(config, tmp_path, data) == done
    assert Config(own_model).model == own_model


def test_runs_of_the_open_data_set(lines_builder, tmp_path, monkeypatch):
    from symspectra.datasets import base as datasets

    monkeypatch.setattr(datasets, "OPEN_DIRECTORY", lines_builder.random(60).write())
    runs._cached_dataset.cache_clear()
    config = tiny(molecules=50, epochs=1, modalities=("c13", "msms_pos"))
    done = run(config, tmp_path, "cpu")
    assert sum(done.metrics["molecules"].values()) == 50 and find_run(config, tmp_path) == done
    assert json.loads((done.path / "config.json").read_text())["molecules"] == 50
    runs._cached_dataset.cache_clear()


def test_a_pretrained_run_starts_from_the_weights_of_its_first(lines_builder, tmp_path, monkeypatch):
    lines, starts, real = LineDataset(lines_builder.random(60).read(), ("c13", "ms")), [], runs.train
    monkeypatch.setattr(runs, "load_dataset", lambda config: lines)
    monkeypatch.setattr(runs, "train", lambda *args: (starts.append(args[-1]), real(*args))[1])
    runs._cached_dataset.cache_clear()
    config = tiny(dataset="own", modalities=("c13", "ms"), epochs=1, pretrain_epochs=3, pretrain_molecules=60)
    made = run(config, tmp_path)
    first = find_run(config.pretraining(), tmp_path)
    assert first is not None and first.id != made.id and first.config == config.pretraining()
    assert starts == [None, first.path / "weights.safetensors"]
    assert run(config, tmp_path) == made == find_run(config, tmp_path) and len(starts) == 2
    runs._cached_dataset.cache_clear()


def test_training_starts_from_given_weights(data, finished):
    still = train(tiny(epochs=1, lr=1e-9), data, start=finished.path / "weights.safetensors").model
    fresh, before = train(tiny(epochs=1, lr=1e-9), data).model, finished.load()
    name = "main.weight"
    assert torch.allclose(still.state_dict()[name], before.state_dict()[name], atol=1e-6)
    assert not torch.allclose(fresh.state_dict()[name], before.state_dict()[name], atol=1e-3)


def test_the_id_of_a_pretrained_run_depends_on_both_data_sets(lines_builder, data, tmp_path, monkeypatch):
    config = tiny(dataset="own", pretrain_epochs=1)
    ids = set()
    for n in (20, 5):
        lines = LineDataset(lines_builder.random(n).read(), ("ir", "c13"))
        monkeypatch.setattr(runs, "load_dataset", lambda config, lines=lines: lines)
        runs._cached_dataset.cache_clear()
        ids.add(runs.run_id(config, runs._data_digest(config, data)))
    assert len(ids) == 2
    runs._cached_dataset.cache_clear()

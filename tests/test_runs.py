import errno
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pydantic
import pytest
import torch
from conftest import DAMAGES, damage, marker_dataset, tiny
from test_house import PACKAGE, own

import symspectra
from symspectra import settings
from symspectra.config import Config, load_config
from symspectra.datasets.base import ArrayDataset, LineDataset
from symspectra.errors import ConfigError, DataError, RunError
from symspectra.models import registry
from symspectra.models.baselines import JungCNN
from symspectra.models.registry import build_model, load_model, register_model, save_model
from symspectra.training import runs
from symspectra.training.fit import predict, train
from symspectra.training.machine import choose_device
from symspectra.training.metrics import multilabel_metrics
from symspectra.training.runs import find_run, run, run_id
from symspectra.training.store import DONE, Run, stored


@pytest.fixture(scope="module")
def finished(data, tmp_path_factory):
    return run(tiny(), tmp_path_factory.mktemp("store"), "cpu", data)


@pytest.fixture
def copied(finished, tmp_path):
    """The finished run in a store of the test's own."""
    return Run(Path(shutil.copytree(finished.path, tmp_path / finished.id)))


@pytest.fixture(autouse=True)
def no_kept_data():
    runs._named.cache_clear()
    yield
    runs._named.cache_clear()


def refuse(numbers):
    raise AssertionError("trained again")


def same(a, b):
    """Whether two runs agree in every bit of their weights and history."""
    weights = zip(a.load().state_dict().values(), b.load().state_dict().values(), strict=True)
    return a.history == b.history and all(torch.equal(one, two) for one, two in weights)


def test_a_second_call_reads_what_the_first_one_wrote(finished, data):
    again = run(tiny(), finished.path.parent, "cpu", data, refuse)
    assert again == finished and again == find_run(tiny(), finished.path.parent, data)
    assert find_run(tiny(seed=1), finished.path.parent, data) is None
    assert find_run(tiny(), finished.path.parent, marker_dataset(seed=1)) is None


def test_what_a_run_holds(finished, data):
    assert {path.name for path in finished.path.parent.iterdir()} == {finished.id}  # nothing half written
    assert finished.id == finished.path.name == run_id(tiny(), data.digest) and finished.config == tiny()
    assert [entry["epoch"] for entry in finished.history] == [0, 1, 2]
    ids, y, p = finished.predictions("test")
    rows, metrics = data.rows("test"), finished.metrics
    assert ids == tuple(data.ids[row] for row in rows) and np.array_equal(y, data.y[rows].numpy())
    exact = predict(finished.load(), data, rows).numpy()
    np.testing.assert_allclose(p, exact, atol=0.6 / 65_535)
    assert np.array_equal(p >= 0.5, exact >= 0.5) and np.array_equal(p, stored(exact)) and p.dtype == np.float32
    assert metrics["test"] == multilabel_metrics(y, p)  # of what is stored
    assert metrics["test_tuned_thresholds"] == multilabel_metrics(y, p, np.array(metrics["thresholds"]))
    n = len(finished.predictions("validation")[0])
    assert n == metrics["molecules"]["validation"] == len(data.rows("validation"))
    assert metrics["train_positives"] == data.y[data.rows("train")].sum(dim=0).tolist()
    assert metrics["parameters"] == sum(p.numel() for p in finished.load().parameters())
    scores = [entry["validation_micro_f1"] for entry in finished.history]
    assert metrics["validation"]["micro_f1"] == pytest.approx(scores[-1])
    molecules, groups, positives = finished.training_weights()
    assert list(molecules) == [data.ids[row] for row in data.rows("train")] and len(groups) == len(positives) == 37
    assert finished.environment["code"] == runs.code_digest()


def test_run_id_depends_on_configuration_data_and_code(data, monkeypatch):
    ids = {run_id(tiny(), data.digest), run_id(tiny(seed=1), data.digest), run_id(tiny(), "other")}
    monkeypatch.setattr(runs, "code_digest", lambda: "other code")
    assert len(ids | {run_id(tiny(), data.digest)}) == 4
    monkeypatch.undo()
    assert run_id(tiny(beta=1), data.digest) == run_id(tiny(beta=1.0), data.digest)


def test_what_is_tested_on_is_part_of_the_data():
    config = Config(molecules=300, test_molecules=60)
    digests = {runs._data_digest(config.replace(test_unseen=unseen), None) for unseen in (True, False)}
    assert len(digests) == 2


def test_a_change_of_any_module_that_numbers_depend_on_makes_new_runs(tmp_path, monkeypatch):
    package, digest = tmp_path / "symspectra", runs.code_digest.__wrapped__
    shutil.copytree(PACKAGE, package, ignore=lambda _, names: [n for n in names if "." in n and not n.endswith(".py")])
    before = digest()
    monkeypatch.setattr(runs, "__file__", str(package / "training" / "runs.py"))
    assert digest() == before
    counted, packages = [package / f"{name}.py" for name in ("config", "settings", "modalities")], set(runs.CODE)
    assert packages == {"groups", "spectra", "models", "datasets", "training"}
    counted += [path for name in packages for path in sorted((package / name).rglob("*.py"))]
    seen = {before}
    for path in counted:
        text = path.read_text()
        path.write_text(text + "\n")
        seen.add(digest())
        path.write_text(text)
    (package / "models" / "new.py").write_text("")
    assert len(seen | {digest()}) == len(counted) + 2 and len(counted) > 40
    (package / "models" / "new.py").unlink()
    (package / "exhibits" / "charts.py").write_text("")  # how a result is drawn changes no result
    assert digest() == before
    # What they import besides holds no numbers; what `open_data` simulates is written down, and counts as data.
    beside = {name for path in counted if path.name != "open_data.py" for name in own(path)}
    beside -= {*runs.CODE, "config", "settings", "modalities"}
    assert beside <= {"errors", "parallel", "files"}


def test_without_its_mark_a_folder_is_not_a_run(data, finished, copied):
    (copied.path / DONE).unlink()
    (copied.path / "metrics.json").write_text("{")
    assert find_run(tiny(), copied.path.parent, data) is None
    epochs = []
    again = run(tiny(), copied.path.parent, "cpu", data, lambda e: epochs.append(e["epoch"]))
    assert epochs == [0, 1, 2] and same(again, finished)


READ = {
    **{f"{name}.json": lambda run, name=name: getattr(run, name) for name in ("config", "metrics", "environment")},
    **{"history.parquet": lambda run: run.history, "predictions.parquet": lambda run: run.predictions()},
    **{"training_weights.parquet": lambda run: run.training_weights(), "weights.safetensors": lambda run: run.load()},
}


@pytest.mark.parametrize("kind", DAMAGES)
@pytest.mark.parametrize("name", READ)
def test_a_damaged_file_of_a_run_is_named(copied, name, kind):
    assert {path.name for path in copied.path.iterdir()} == {*READ, DONE}
    damage(copied.path / name, kind)
    with pytest.raises(RunError, match=rf"{copied.id}/{name} cannot be read"):
        READ[name](copied)
    for other in READ.keys() - {name}:
        READ[other](copied)


@pytest.mark.parametrize("kind", ["truncated", "empty", "missing", "flipped first"])
def test_a_damaged_mark_of_a_run_is_named(copied, kind):
    damage(copied.path / DONE, kind)
    for read in READ.values():
        with pytest.raises(RunError, match=rf"{copied.id}/{DONE} cannot be read"):
            read(copied)


def test_weights_files_that_are_none(tmp_path):
    from safetensors.torch import save_file

    with pytest.raises(DataError, match="none.safetensors: no such weights file"):
        load_model(tmp_path / "none.safetensors")
    save_file({"x": torch.zeros(2)}, tmp_path / "other.safetensors")
    save_model(tmp_path / "cnn.safetensors", JungCNN(1, dense=(8, 8, 8)), tiny("jung_cnn"))
    (tmp_path / "half.safetensors").write_bytes((tmp_path / "cnn.safetensors").read_bytes()[:5000])
    for name in ("other", "cnn", "half"):
        with pytest.raises(DataError, match=f"{name}.safetensors: not a complete"):
            load_model(tmp_path / f"{name}.safetensors")


def test_saved_models_are_loaded_with_their_configuration(tmp_path):
    config = tiny(seed=4)
    model = build_model(config)
    save_model(tmp_path / "m.safetensors", model, config)
    state = torch.get_rng_state()
    loaded, read = load_model(tmp_path / "m.safetensors")
    assert torch.equal(torch.get_rng_state(), state) and read == config and not loaded.training
    assert all(torch.equal(t, loaded.state_dict()[name]) for name, t in model.state_dict().items())
    first, again, other = (build_model(tiny(seed=seed)).main.weight for seed in (4, 4, 1))
    assert torch.equal(first, again) and not torch.equal(first, other)  # fresh weights are drawn from the seed


def full_disk(*args, **kwargs):
    """Writes half a file, then finds no space."""
    with open(next(arg for arg in args if isinstance(arg, str | Path)), "wb") as file:
        file.write(b"half")
    raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize("function", ["pathlib.Path.write_bytes", "pyarrow.parquet.write_table"])
@pytest.mark.parametrize("checkpoint_seconds", [0, 1e6])
def test_a_full_disk_leaves_no_half_written_run(data, finished, tmp_path, monkeypatch, function, checkpoint_seconds):
    with monkeypatch.context() as patch:
        patch.setattr(function, full_disk)
        with pytest.raises(RunError, match=f"{finished.id}: the run could not be written .*No space left"):
            run(tiny(), tmp_path, "cpu", data, checkpoint_seconds=checkpoint_seconds)
    assert find_run(tiny(), tmp_path, data) is None and not (tmp_path / finished.id).exists()
    assert not list(tmp_path.glob("*/checkpoint.safetensors")) or "parquet" in function
    assert same(run(tiny(), tmp_path, "cpu", data), finished)
    assert {path.name for path in tmp_path.iterdir()} == {finished.id}


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
from symspectra.training.runs import run

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
    log, config = tmp_path / "epochs", tiny(epochs=15)
    process = start(tmp_path / "store", log, 15)
    deadline = time.monotonic() + 60
    while not (log.exists() and len(log.read_text().split()) >= 3):
        assert process.poll() is None and time.monotonic() < deadline, process.stderr.read()
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert len(log.read_text().split()) < 15 and find_run(config, tmp_path / "store", data) is None
    trained = []
    resumed = run(config, tmp_path / "store", "cpu", data, lambda e: trained.append(e["epoch"]))
    assert 0 < len(trained) < 15 and trained[-1] == 14
    whole = run(config, tmp_path / "other", "cpu", data)
    assert same(resumed, whole)


@pytest.mark.slow
def test_two_processes_that_ask_for_one_run_train_it_once(tmp_path):
    log = tmp_path / "epochs"
    processes = [start(tmp_path / "store", log, 4) for _ in range(2)]
    for process in processes:
        assert process.wait(90) == 0, process.stderr.read()
        process.stderr.close()
    assert log.read_text().split() == ["0", "1", "2", "3"]


@pytest.mark.filterwarnings("ignore:own spectra")
def test_an_empty_test_split_is_left_out_and_named(data, tmp_path):
    split = ["validation" if s == "test" else s for s in data._split.tolist()]
    other = ArrayDataset(data.x, data.present, data.y, data.ids, split, data.modalities)
    done = run(tiny(epochs=1), tmp_path, "cpu", other)
    assert "test" not in done.metrics and done.metrics["molecules"]["test"] == 0
    assert len(done.predictions("validation")[0]) == 16 and done.predictions("test")[1].shape == (0, 37)
    with pytest.raises(RunError, match="there are no test scores: .* 0 molecules"):
        done.metrics["test"]


@pytest.fixture(scope="module")
def tastes(data):
    """Data with labels of one's own, as NumPy has them."""
    x, present, y = data.x.double().numpy(), data.present.numpy(), data.y[:, :3].int().numpy()
    return ArrayDataset(x, present, y, data.ids, data._split, data.modalities, ("bitter", "sweet", "red"), name="taste")


@pytest.mark.parametrize("model", ["symspectra", "jung_cnn", "patch_embedding"])
def test_labels_of_ones_own(tastes, tmp_path, model):
    config = tiny(model, epochs=1)
    done = run(config, tmp_path, "cpu", tastes)
    assert done.labels == done.config.data.labels == tastes.labels and done == find_run(config, tmp_path, tastes)
    assert done.predictions()[2].shape[1] == done.load().predict(*tastes.spectra(torch.arange(4))).shape[1] == 3
    assert len(done.metrics["test"]["per_group_f1"]) == 3
    if model == "symspectra":
        assert tuple(done.training_weights()[1]) == tastes.labels and done.config.model.order == "given"
    assert done.given == {"name": "taste", "digest": tastes.digest, "counts": tastes.counts}
    with pytest.raises(ConfigError, match="config.json: was trained on data given in Python, 'taste'"):
        load_config(done.path / "config.json")


def test_what_labels_of_ones_own_cannot_do_is_said(tastes, tmp_path):
    for changed, message in (
        ({"order": "gnn"}, "order is 'gnn', of the groups of Table 8; expected 'given'"),
        ({"labels": ("a", "b")}, "the data have labels .* the configuration"),
        ({"scarce_groups": (4,)}, "scarce_groups is .*; expected numbers from 1 to 3"),
        ({"pretrain_epochs": 1}, "own labels cannot be pretrained"),
    ):
        with pytest.raises((ConfigError, DataError), match=message):
            run(tiny(**changed), tmp_path, "cpu", tastes)
    rare = ArrayDataset(tastes.x, tastes.present, tastes.y & False, tastes.ids, tastes._split, tastes.modalities, "abc")
    with pytest.raises(DataError, match="no molecule of the validation split"):
        run(tiny(), tmp_path, "cpu", rare)


def test_devices(monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    assert choose_device("gpu:1") == torch.device("cuda:1") and choose_device("auto").type == "cuda"
    for name, message in (("mps", "not on Apple's; use cpu"), ("tpu", "did you mean 'gpu'"), ("cuda:x", "no device")):
        with pytest.raises(ConfigError, match=message):
            choose_device(name)
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    assert choose_device("auto").type == "cpu"
    with pytest.raises(ConfigError, match="finds no GPU here"):
        choose_device("gpu")


def test_data_of_other_spectra_than_the_configuration_are_refused(data, tmp_path):
    with pytest.raises(DataError, match="modalities"):
        run(tiny(modalities=("ir", "c13", "h1")), tmp_path, "cpu", data)


class OwnSettings(settings.Model):
    """Settings of a model of one's own."""

    name: str = "small_cnn"
    width: settings.Size = 16


@pytest.fixture
def own_model(monkeypatch):
    """A registered model, forgotten after the test."""
    monkeypatch.setattr(registry, "_OWN", dict(registry._OWN))
    register_model("small_cnn", lambda c: JungCNN(len(c.data.modalities), dense=(c.model.width,) * 3), OwnSettings)
    yield "small_cnn"
    del registry._BUILDERS["small_cnn"], settings.MODELS["small_cnn"]


def test_a_model_of_ones_own(own_model, data, finished, tmp_path):
    config = tiny(own_model)
    done = run(config, tmp_path, "cpu", data)
    assert done.id != finished.id and isinstance(done.load(), JungCNN) and Config(own_model).model.name == own_model
    assert done.training_weights() is None and "bce" in done.history[0] and find_run(config, tmp_path, data) == done
    assert build_model(config.replace(width=9)).head[1].out_features == 9
    register_model(own_model, JungCNN)  # of another file, without settings
    assert run_id(tiny(own_model), data.digest) != done.id and tiny(own_model).get("width") is None
    with pytest.raises(TypeError, match="small_cnn: expected a function or class"):
        register_model(own_model, JungCNN(1, dense=(8, 8, 8)))
    with pytest.raises(ValueError, match="small_cnn: batch is already a setting"):
        register_model(own_model, JungCNN, pydantic.create_model("Clash", __base__=settings.Model, batch=(int, 1)))


def test_a_pretrained_run_starts_from_the_weights_of_its_first(lines_builder, tmp_path, monkeypatch):
    lines, starts, real = LineDataset(lines_builder.random(60).read(), ("c13", "ms")), [], runs.train
    monkeypatch.setattr(runs, "load_dataset", lambda config: lines)
    monkeypatch.setattr(runs, "train", lambda *args: (starts.append(args[-1]), real(*args))[1])
    config = tiny(dataset="own", modalities=("c13", "ms"), epochs=1, pretrain_epochs=2, pretrain_molecules=60)
    made = run(config, tmp_path)
    first = find_run(config.pretraining(), tmp_path)
    assert first is not None and first.id != made.id and first.config == config.pretraining()
    assert starts == [None, first.path / "weights.safetensors"]
    assert run(config, tmp_path) == made == find_run(config, tmp_path) and len(starts) == 2
    damage(first.path / "weights.safetensors", "flipped last")  # and damaged ones are not started from
    with pytest.raises(RunError, match=f"{first.id}/weights.safetensors cannot be read"):
        run(config.replace(epochs=2), tmp_path)


def test_training_starts_from_given_weights(data, finished):
    still = train(tiny(epochs=1, lr=1e-9), data, start=finished.weights).model
    fresh, before = train(tiny(epochs=1, lr=1e-9), data).model, finished.load()
    assert torch.allclose(still.main.weight, before.main.weight, atol=1e-6)
    assert not torch.allclose(fresh.main.weight, before.main.weight, atol=1e-3)


def test_the_id_of_a_pretrained_run_depends_on_both_data_sets(lines_builder, data, monkeypatch):
    config, ids = tiny(dataset="own", pretrain_epochs=1), set()
    for n in (20, 5):
        lines = LineDataset(lines_builder.random(n).read(), ("ir", "c13"))
        monkeypatch.setattr(runs, "load_dataset", lambda config, lines=lines: lines)
        runs._named.cache_clear()
        ids.add(run_id(config, runs._data_digest(config, data)))
    assert len(ids) == 2

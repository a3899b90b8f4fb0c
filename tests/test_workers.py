"""Many runs on processes of this machine: what is killed, what is refused, what is left behind."""

from __future__ import annotations

import contextlib
import fcntl
import os
import threading
from pathlib import Path

import pytest
from conftest import marker_dataset, tiny, write_prepared

from symspectra.errors import WorkerError
from symspectra.experiments import engine
from symspectra.experiments.reproduce import FailedRuns, train_missing
from symspectra.models import registry
from symspectra.training.runs import code_digest, find_run, name_of

psutil = pytest.importorskip("psutil", reason="comes with Dask")
pytest.importorskip("distributed")


def some(n: int) -> list:
    return [tiny(molecules=100, epochs=30, seed=seed) for seed in range(n)]


@contextlib.contextmanager
def watched(store: Path, kill):
    """Call ``kill`` while a run is in training; yield the folders that each finished run has had."""
    folders, over = {}, threading.Event()

    def watch() -> None:
        killed = False
        while not over.wait(0.01):
            for path in store.glob("*/DONE"):
                with contextlib.suppress(FileNotFoundError):
                    folders.setdefault(path.parent.name, set()).add(path.stat().st_ino)
            if not killed and list(store.glob("*.partial/progress.jsonl")):
                killed = True
                kill()

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    yield folders
    over.set()
    thread.join()


def kill_a_worker() -> None:
    """One of the processes that train, of those that this one has started."""
    trains = [p for p in psutil.Process().children() if "spawn_main" in " ".join(p.cmdline())]
    trains[0].kill()


@pytest.mark.slow
@pytest.mark.parametrize("n", [20])
def test_a_killed_process_costs_only_its_run_and_no_number_changes(tmp_path, monkeypatch, capsys, n):
    monkeypatch.setattr(engine, "cores", lambda: 2)  # one thread each, as this process has
    store = tmp_path / "local"
    after = tiny(molecules=100, pretrain_epochs=3, pretrain_molecules=5)  # starts from the run that fails
    configs = [after, after.pretraining(), *some(n)]
    with watched(store, kill_a_worker) as folders, pytest.raises(FailedRuns, match=f"2 of {n + 2} .*molecules 5: "):
        train_missing(configs, store, 2, "cpu")
    said = [line for line in capsys.readouterr().out.splitlines() if line.startswith("failed")]
    assert len(said) == 2 and all("5 molecules are too few" in text for text in said)
    assert len(list(store.glob("*/DONE"))) == n and all(len(own) == 1 for own in folders.values())
    assert train_missing(some(n), store, 2, "cpu") == 0
    assert train_missing(some(2), tmp_path / "here", 1, "cpu") == 2
    for config in some(2):
        here, there = find_run(config, tmp_path / "here"), find_run(config, store)
        assert here.metrics["test"] == there.metrics["test"] and here.history == there.history


@pytest.fixture(scope="module")
def other_data(tmp_path_factory):
    """Two workers whose prepared data are not those of this process, on a machine of two GPUs and 7 cores."""
    folder = tmp_path_factory.mktemp("data")
    write_prepared(folder / "own", marker_dataset(300, seed=1))
    with contextlib.ExitStack() as stack:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("SYMSPECTRA_DATA", str(folder))
            patch.setattr(engine, "cores", lambda: 7)
            patch.setattr(engine, "gpus", lambda device: ["5", "3"])
            client = stack.enter_context(engine.local(2))
        yield client


def test_processes_share_the_gpus_in_turn_and_the_cores(other_data):
    assert sorted(other_data.run(os.getenv, "CUDA_VISIBLE_DEVICES").values()) == ["3", "5"]
    assert set(other_data.run(os.getenv, "OMP_NUM_THREADS").values()) == {"3"}


def test_gpus_are_those_that_are_visible(monkeypatch):
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert engine.gpus("auto") == ["0", "1"] and engine.gpus("cpu") == engine.gpus("cuda:1") == []
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "5,3")
    assert engine.gpus("cuda") == ["5", "3"]


def test_a_worker_with_other_data_trains_nothing(other_data, tmp_path, monkeypatch):
    write_prepared(tmp_path / "data" / "own", marker_dataset(300, seed=2))
    monkeypatch.setenv("SYMSPECTRA_DATA", str(tmp_path / "data"))
    with pytest.raises(WorkerError, match="worker at tcp.* has other data of the name 'own'"):
        list(engine.train(other_data, [tiny(dataset="own")], tmp_path / "runs", "cpu"))
    assert list((tmp_path / "runs").iterdir()) == []


def test_a_worker_that_waits_for_a_run_says_so_at_the_command(other_data, tmp_path, monkeypatch):
    config, said = tiny(molecules=100, epochs=1), []
    work = tmp_path / f"{name_of(config)}.partial"
    work.mkdir()
    with open(work / "lock", "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)

        def show(text: str) -> None:
            said.append(text)
            fcntl.flock(file, fcntl.LOCK_UN)

        monkeypatch.setattr(engine, "print", show, raising=False)
        assert list(engine.train(other_data, [config], tmp_path, "cpu")) == [(config, None)]
    assert "tcp://" in said[0] and f"{work} is in use by another process; waiting for it" in said[0]


def test_a_worker_that_cannot_be_used_trains_nothing(other_data, tmp_path):
    from distributed import Client, LocalCluster

    def refused(client, store, code, *imports):
        arguments = (tiny().to_dict(), "name", str(store), "cpu", code, (imports, ""), None)
        error = client.submit(engine._train, *arguments).exception()
        assert isinstance(error, WorkerError) and list(tmp_path.iterdir()) == []
        return str(error)

    assert "does not see" in refused(other_data, tmp_path / "nowhere", code_digest())
    assert "another version" in refused(other_data, tmp_path, "other")
    assert "--import lost: cannot be imported" in refused(other_data, tmp_path, code_digest(), "lost")
    options = {"n_workers": 1, "threads_per_worker": 2, "processes": False, "dashboard_address": None}
    with LocalCluster(**options) as cluster, Client(cluster, set_as_default=False) as threads:
        assert "has 2 threads" in refused(threads, tmp_path, code_digest())


def test_a_model_of_your_own_is_trained_in_this_process(tmp_path, monkeypatch):
    built = []

    def own(config):
        built.append(os.getpid())
        return registry.JungCNN(2, 37, (8, 8, 8), filters=(2, 2))

    monkeypatch.setattr(registry, "_BUILDERS", dict(registry._BUILDERS))
    monkeypatch.setitem(registry._settings.MODELS, "own", None)  # taken out again afterwards
    monkeypatch.setattr(registry, "_OWN", {})
    registry.register_model("own", own)
    assert train_missing([tiny(model="own", molecules=100, seed=seed) for seed in (0, 1)], tmp_path, 2, "cpu") == 2
    assert set(built) == {os.getpid()}

"""Runs on a Dask cluster of this machine: workers and schedulers that are killed, and what cannot be used."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import time
from pathlib import Path

import pytest
from conftest import tiny
from test_workers import some, watched

from symspectra.cli.main import main
from symspectra.errors import ConfigError, WorkerError
from symspectra.experiments import engine
from symspectra.experiments.reproduce import train_missing

pytest.importorskip("distributed")
WORKER = ("worker", "--nthreads", "1", "--memory-limit", "0", "--no-nanny", "--local-directory", ".")


@contextlib.contextmanager
def cluster(folder: Path):
    """``dask scheduler`` and two ``dask worker``: the file, and the three processes."""
    file, processes = folder / "scheduler.json", []
    file.unlink(missing_ok=True)

    def start(*options: str) -> None:
        command = [sys.executable, "-m", "dask", *options, "--scheduler-file", str(file), "--no-dashboard"]
        processes.append(subprocess.Popen(command, cwd=folder, stderr=subprocess.DEVNULL))

    try:
        start("scheduler", "--host", "127.0.0.1", "--port", "0")
        while not file.exists():
            time.sleep(0.05)
        start(*WORKER)
        start(*WORKER)
        yield file, processes
    finally:
        for process in processes:
            process.kill()
            process.wait()


@pytest.mark.slow
@pytest.mark.parametrize("n", [3, 20])
def test_a_lost_worker_and_a_lost_scheduler_cost_only_the_runs_they_had(tmp_path, n):
    store = tmp_path / "runs"
    with cluster(tmp_path) as (file, processes), watched(store, processes[0].kill):
        with pytest.raises(WorkerError, match="scheduler at tcp://127.0.0.1:.* is gone; start it and its workers"):
            train_missing(some(n), store, 1, "cpu", scheduler_file=file)
    done = {path: path.stat().st_ino for path in store.glob("*/DONE")}
    assert len(done) < n
    with cluster(tmp_path) as (file, processes), watched(store, processes[1].kill) as folders:
        assert train_missing(some(n), store, 1, "cpu", scheduler_file=file) == n - len(done)
        assert processes[1].poll() is not None
    assert len(list(store.glob("*/DONE"))) == n and all(len(own) == 1 for own in folders.values())
    assert all(path.stat().st_ino == own for path, own in done.items())


@pytest.mark.parametrize("text", [None, "{}", "not JSON"])
def test_a_wrong_scheduler_file_is_one_sentence(tmp_path, capsys, monkeypatch, text):
    monkeypatch.chdir(Path(__file__).parents[1])
    file = tmp_path / "scheduler.json"
    if text is not None:
        file.write_text(text)
    options = ["--store", str(tmp_path / "runs"), "--figures", str(tmp_path), "--scheduler-file", str(file)]
    assert main(["reproduce", "--profile", "smoke", "--only", "11", *options]) == 2
    said = capsys.readouterr().err.splitlines()[-1]
    assert str(file) in said and "dask scheduler --scheduler-file" in said


def test_a_scheduler_that_does_not_answer_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(engine, "CONNECT_SECONDS", 1)
    file = tmp_path / "scheduler.json"
    file.write_text(json.dumps({"address": "tcp://127.0.0.1:9"}))
    with pytest.raises(ConfigError, match="scheduler.json: no scheduler answers at tcp://127.0.0.1:9"):
        train_missing([tiny(molecules=100)], tmp_path / "runs", 1, "cpu", scheduler_file=file)


def test_without_dask_the_command_that_installs_it_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r'distributed is not installed.* pip install "symspectra\[notebooks\]"'):
        train_missing(some(2), tmp_path, 2, "cpu")


def test_training_one_run_and_predicting_need_no_dask():
    script = "import sys, symspectra.cli.main, symspectra.training.runs, symspectra.predict.predictor\n"
    command = [sys.executable, "-c", script + "assert not {'distributed', 'dask'} & set(sys.modules)"]
    assert subprocess.run(command).returncode == 0

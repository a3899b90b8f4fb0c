"""Runs on a Dask cluster of this machine: workers and schedulers that are killed, and what cannot be used."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from conftest import tiny

from symspectra.cli.main import main
from symspectra.errors import ConfigError, WorkerError
from symspectra.experiments.cluster import DaskWorkers, _train_there, read_address, wait_until_seen
from symspectra.experiments.reproduce import train_missing
from symspectra.training.runs import code_digest, find_run

RUNS = [tiny(molecules=100, epochs=2, seed=seed) for seed in range(6)]
WORKER = ("--nthreads", "1", "--memory-limit", "0", "--no-nanny", "--preload", "preload.py", "--local-directory", ".")
PRELOAD = """
import os
from symspectra import runs

def say(what, config):
    with open(os.environ["TRAININGS"], "a") as f:
        f.write(f"{what} {config.seed} {os.getpid()}\\n")

def train_into(jobs, *arguments):
    for job in jobs:
        say("start", job.config)
    runs.untouched(jobs, *arguments)
    for job in jobs:
        say("end", job.config)

if not hasattr(runs, "untouched"):  # a preload may be read twice
    runs.untouched = runs._train_into
runs._train_into = train_into
"""


class Cluster:
    """``dask scheduler`` and two ``dask worker``; the workers write a line when a training starts and ends."""

    def __init__(self, folder: Path):
        self.file, self.log, self.folder = folder / "scheduler.json", folder / "trainings", folder
        self.log.touch()
        (folder / "preload.py").write_text(PRELOAD)

    def start(self, kind: str, *options: str) -> subprocess.Popen:
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "TRAININGS": str(self.log)}
        command = [sys.executable, "-m", "dask", kind, "--scheduler-file", str(self.file), "--no-dashboard", *options]
        with open(self.folder / f"{kind}.log", "a") as log:
            return subprocess.Popen(command, cwd=self.folder, env=environment, stderr=log, start_new_session=True)

    @contextlib.contextmanager
    def run(self):
        """Yield the scheduler's process; end everything afterwards."""
        self.file.unlink(missing_ok=True)
        processes = [self.start("scheduler", "--host", "127.0.0.1", "--port", "0")]
        try:
            while not self.file.exists():
                assert processes[0].poll() is None
                time.sleep(0.05)
            processes += [self.start("worker", *WORKER) for _ in range(2)]
            yield processes[0]
        finally:
            for process in processes:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()

    def trainings(self, what: str) -> list[tuple[int, int]]:
        """Seed and process of every training that did ``start`` or ``end``."""
        lines = [line.split() for line in self.log.read_text().splitlines()]
        return [(int(seed), int(process)) for event, seed, process in lines if event == what]

    def await_trainings(self, what: str, n: int) -> tuple[int, int]:
        """Seed and process of the n-th."""
        deadline = time.monotonic() + 900
        while len(self.trainings(what)) < n:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        return self.trainings(what)[n - 1]


def test_a_lost_worker_and_a_lost_scheduler_cost_only_the_runs_they_had(tmp_path):
    pytest.importorskip("distributed", reason="Dask distributed is not installed")
    cluster, store, killed = Cluster(tmp_path), tmp_path / "runs", []

    def kill(scheduler: subprocess.Popen) -> None:
        killed.append(cluster.await_trainings("start", 1))
        os.kill(killed[0][1], signal.SIGKILL)
        cluster.await_trainings("end", 2)
        scheduler.kill()

    with cluster.run() as scheduler:
        killer = threading.Thread(target=kill, args=[scheduler], daemon=True)
        killer.start()
        with pytest.raises(
            WorkerError, match="scheduler at tcp://127.0.0.1:.* is gone; start it and its workers again"
        ):
            train_missing(RUNS, store, 1, "cpu", scheduler_file=cluster.file)
        killer.join()
    done = [config for config in RUNS if find_run(config, store)]
    assert 2 <= len(done) < len(RUNS)
    with cluster.run():
        assert train_missing(RUNS, store, 1, "cpu", scheduler_file=cluster.file) == len(RUNS) - len(done)
    ended = [seed for seed, _ in cluster.trainings("end")]
    assert sorted(ended) == [config.seed for config in RUNS]  # each once
    assert [seed for seed, _ in cluster.trainings("start")].count(killed[0][0]) >= 2  # tried again
    train_missing(RUNS, tmp_path / "here", 1, "cpu")
    for config in RUNS:
        here, there = find_run(config, tmp_path / "here"), find_run(config, store)
        assert here.metrics["test"] == there.metrics["test"] and here.history == there.history


@pytest.mark.parametrize(("text", "words"), [(None, "no such file; `dask scheduler"), ("{}", "not the file of a Dask")])
def test_a_wrong_scheduler_file_is_one_sentence(tmp_path, capsys, text, words):
    file = tmp_path / "scheduler.json"
    if text is not None:
        file.write_text(text)
    with pytest.raises(ConfigError, match=words):
        read_address(file)
    if text is None:
        options = ["--profile", "smoke", "--only", "02", "--store", str(tmp_path / "runs")]
        assert main(["reproduce", *options, "--scheduler-file", str(file)]) == 2
        assert words in capsys.readouterr().err


def test_a_scheduler_that_does_not_answer_is_named(tmp_path, monkeypatch):
    pytest.importorskip("distributed", reason="Dask distributed is not installed")
    monkeypatch.setattr("symspectra.experiments.cluster.CONNECT_SECONDS", 1)
    file = tmp_path / "scheduler.json"
    file.write_text(json.dumps({"address": "tcp://127.0.0.1:9"}))
    with pytest.raises(ConfigError, match="no scheduler answers at tcp://127.0.0.1:9"):
        DaskWorkers(file, tmp_path / "runs", "cpu")


def test_without_dask_the_extra_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"pip install symspectra\[cluster\]"):
        DaskWorkers(tmp_path / "scheduler.json", tmp_path / "runs", "cpu")


def test_workers_that_cannot_be_used_are_refused(tmp_path):
    place = DaskWorkers.__new__(DaskWorkers)
    place.client = SimpleNamespace(status="running", nthreads=lambda: {"tcp://one": 1, "tcp://two": 8})
    with pytest.raises(WorkerError, match="tcp://two has 8 threads"):
        place.size()
    settings = [RUNS[0].to_dict()]
    with pytest.raises(WorkerError, match="does not see .*nowhere"):
        _train_there(settings, str(tmp_path / "nowhere"), "cpu", code_digest())
    with pytest.raises(WorkerError, match="another version"):
        _train_there(settings, str(tmp_path), "cpu", "other")
    with pytest.raises(WorkerError, match="does not show a run"):
        wait_until_seen(RUNS[:1], tmp_path, seconds=0)

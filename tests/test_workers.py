"""Many runs: the queue, processes that die, GPUs in turn, the time that is left."""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
import threading
import time
from concurrent.futures import Future
from concurrent.futures.process import BrokenProcessPool

import pytest
from conftest import tiny

from symspectra.config import Config
from symspectra.errors import WorkerError
from symspectra.experiments.reproduce import FailedRuns, train_missing
from symspectra.experiments.workers import LocalProcesses, Queue, Times
from symspectra.training.runs import find_run

RUNS = [tiny(molecules=100, epochs=2, seed=seed) for seed in range(3)]


class Prepared:
    """A place that answers at once: with what is given for a run, one answer each time it is submitted."""

    def __init__(self, size: int, **answers: list):
        self.at_once, self.answers, self.submitted, self.jobs = size, answers, [], []

    def size(self) -> int:
        return self.at_once

    def submit(self, configs: tuple[Config, ...]) -> Future[float]:
        self.submitted += configs
        self.jobs.append(len(configs))
        future, answers = Future(), self.answers.get(f"seed{configs[0].seed}")
        answer = answers.pop(0) if answers else 1.0
        if isinstance(answer, Exception):
            future.set_exception(answer)
        else:
            future.set_result(answer)
        return future


def outcomes(place: Prepared, configs: list[Config], together: int = 1) -> dict[Config, str | None]:
    """Why each run failed, or None."""
    queue, found = Queue(place, configs, together), {}
    while queue:
        queue.submit()
        assert len(queue.running) <= place.at_once
        found |= {outcome.config: outcome.error for outcome in queue.collect()}
    return found


def test_a_run_whose_process_is_killed_is_tried_twice_more():
    killed = BrokenProcessPool("killed")
    place = Prepared(2, seed0=[killed, killed, 1.0], seed1=[killed] * 3)
    found = outcomes(place, RUNS)
    assert found[RUNS[0]] is None and found[RUNS[2]] is None
    assert "killed 3 times" in found[RUNS[1]]
    assert [place.submitted.count(config) for config in RUNS] == [3, 3, 1]


def test_a_run_that_raises_is_not_tried_again_and_the_others_are_trained():
    place = Prepared(1, seed0=[FloatingPointError("the loss is nan")])
    assert outcomes(place, RUNS) == {RUNS[0]: "the loss is nan", RUNS[1]: None, RUNS[2]: None}
    assert len(place.submitted) == 3


def test_a_worker_that_cannot_be_used_stops_the_queue():
    with pytest.raises(WorkerError, match="no store here"):
        outcomes(Prepared(2, seed1=[WorkerError("no store here")]), RUNS)


def test_a_run_waits_for_the_one_whose_weights_it_starts_from():
    first = [config.replace(pretrain_epochs=1) for config in RUNS]
    bases = [config.pretraining() for config in first]
    place = Prepared(4)
    outcomes(place, [*first, *bases])
    assert place.submitted[:3] == bases and place.submitted[3:] == first


def test_seeds_of_one_configuration_are_trained_together():
    other = tiny(molecules=100, epochs=2, decoder="gru")
    place = Prepared(2)
    assert set(outcomes(place, [RUNS[0], other, *RUNS[1:]], together=8).values()) == {None}
    assert sorted(place.jobs) == [1, 3] and sorted(map(hash, place.submitted)) == sorted(map(hash, [*RUNS, other]))
    place = Prepared(1)
    outcomes(place, RUNS, together=2)
    assert place.jobs == [2, 1]


def test_seeds_that_fail_together_are_tried_one_by_one():
    """The first answer of seed 0 is that of all three: it is the first of them."""
    bad = FloatingPointError("the loss is nan")
    place = Prepared(1, seed0=[bad, 1.0], seed1=[bad])
    assert outcomes(place, RUNS, together=3) == {RUNS[0]: None, RUNS[1]: "the loss is nan", RUNS[2]: None}
    assert place.jobs == [3, 1, 1, 1]
    place = Prepared(1, seed0=[BrokenProcessPool("killed")])
    assert set(outcomes(place, RUNS, together=3).values()) == {None} and place.jobs == [3, 1, 1, 1]


def test_runs_trained_together_are_those_trained_alone(tmp_path):
    assert train_missing(RUNS, tmp_path / "together", 1, "cpu", together=3) == 3
    for config in RUNS:
        run = find_run(config, tmp_path / "together")
        assert run.metrics["trained_together"] == 3 and run.config == config
    assert train_missing(RUNS, tmp_path / "together", 1, "cpu") == 0


def test_time_left_is_from_runs_of_that_kind_and_from_the_profile():
    times = Times(lambda config: 3000.0 if config.model == "jung_cnn" else None)
    queue = Queue(Prepared(2), RUNS)
    assert times.left(queue) == "waiting for a worker"
    queue.at_once = 2
    assert times.left(queue) == ""
    times.add(RUNS[0], 100.0)
    assert times.left(queue) == "about 2 min left"  # three of 100 s, two at a time
    running = RUNS[0].replace(seed=9)
    queue.running[Future()] = (running,), time.monotonic() - 40
    assert times.left(queue) == "about 3 min left"
    queue.waiting = []
    assert times.left(queue) == "about 60 s left"
    queue.waiting = [tiny(model="jung_cnn", seed=seed) for seed in range(6)]
    assert times.left(queue) == "about 3 h left"


def test_processes_share_the_gpus_in_turn_and_the_cores(tmp_path, monkeypatch):
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    monkeypatch.setattr("symspectra.parallel.cores", lambda: 7)
    place = LocalProcesses(3, tmp_path, "auto")
    assert place.limits == [("0", 2), ("1", 2), ("0", 2)]
    assert LocalProcesses(2, tmp_path, "cpu").limits == [(None, 3)] * 2
    assert LocalProcesses(2, tmp_path, "cuda:1").limits == [(None, 3)] * 2
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "5,3")
    place = LocalProcesses(2, tmp_path, "auto")
    assert place.limits == [("5", 3), ("3", 3)]
    try:
        assert place.pools[1].submit(os.getenv, "CUDA_VISIBLE_DEVICES").result() == "3"
    finally:
        place.close()


def test_a_killed_process_costs_only_its_run_and_no_number_changes(tmp_path, monkeypatch):
    monkeypatch.setattr("symspectra.parallel.cores", lambda: 2)  # one thread each, as this process has
    store, killed = tmp_path / "local", []

    def kill_one() -> None:
        while not list(store.glob("*.partial/lock")):
            time.sleep(0.02)
        killed.append(multiprocessing.active_children()[0])
        killed[0].kill()

    killer = threading.Thread(target=kill_one, daemon=True)
    killer.start()
    said: list[str] = []
    bad = RUNS[0].replace(molecules=5)
    words = "1 of 4 runs failed .symspectra, ir.c13, 2 epochs, seed 0, molecules 5: .* too few"
    with pytest.raises(FailedRuns, match=words):
        train_missing([*RUNS, bad], store, 2, "cpu", said.append)
    killer.join()
    assert killed and len(said) == 1 and not multiprocessing.active_children()
    assert train_missing(RUNS, tmp_path / "here", 1, "cpu") == 3
    for config in RUNS:
        here, there = find_run(config, tmp_path / "here"), find_run(config, store)
        assert here.metrics["test"] == there.metrics["test"] and here.history == there.history


def test_no_process_is_left_when_the_command_is_killed(tmp_path):
    settings = [config.replace(epochs=100_000).to_dict() for config in RUNS]
    script = (
        "from pathlib import Path\nfrom symspectra.config import Config\n"
        "from symspectra.experiments.reproduce import train_missing\n"
        f"if __name__ == '__main__':\n    configs = [Config.from_dict(s) for s in {settings!r}]\n"
        f"    train_missing(configs, Path({str(tmp_path / 'runs')!r}), 2, 'cpu')\n"
    )
    (tmp_path / "command.py").write_text(script)
    command = subprocess.Popen([sys.executable, tmp_path / "command.py"], stdout=subprocess.PIPE)
    while len(list(tmp_path.glob("runs/*.partial/lock"))) < 2:
        assert command.poll() is None
        time.sleep(0.1)
    command.kill()
    command.communicate(timeout=30)  # returns when no process holds the pipe any more

"""Many runs: the queue of what is to be trained, and where, in this process or in several of this machine.

The third place, the workers of a Dask cluster, is in `symspectra.experiments.cluster`. Stopping is safe at any time: a finished run
stays in the store, an unfinished one goes on from its last checkpoint.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, CancelledError, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from symspectra.config import Config
from symspectra.errors import WorkerError
from symspectra.parallel import cores, end_with_parent

RETRIES = 2  # of a run whose process was killed
UNITS = (("h", 3600), ("min", 60), ("s", 1))
_ONE_RUN = threading.Lock()  # torch's random numbers belong to the process


class Place(Protocol):
    """Where runs are trained."""

    def size(self) -> int:
        """How many runs it trains at a time, at the moment."""
        ...

    def submit(self, configs: tuple[Config, ...]) -> Future[float]:
        """Train a run, or several seeds of one together, or read what was trained before; the seconds."""
        ...

    def close(self) -> None:
        """Stop; a run that is in training is left to its checkpoint, or finished."""
        ...


class Outcome(NamedTuple):
    """How a run ended: its seconds, or why it failed."""

    config: Config
    seconds: float = 0.0
    error: str | None = None


class Queue:
    """Runs that wait and runs that are in training, no more of them than the place has room for.

    A run that starts from the weights of another one waits for it. A run whose process is killed is tried again; one
    that raises is not, because it would raise again. Seeds that fail together are tried one by one.

    Parameters
    ----------
    together : how many seeds of one configuration are trained at once (`symspectra.training.stacked`)
    """

    def __init__(self, place: Place, configs: list[Config], together: int = 1):
        self.place, self.at_once, self.together = place, 0, together
        self.waiting = list(configs)
        self.running: dict[Future[float], tuple[tuple[Config, ...], float]] = {}  # and when they were submitted
        self.alone: set[Config] = set()
        self.starts_from = {config: config.pretraining() for config in configs}
        self.deaths: Counter[Config] = Counter()

    def __len__(self) -> int:
        """How many runs are not trained yet."""
        return len(self.waiting) + sum(len(configs) for configs, _ in self.running.values())

    def submit(self) -> None:
        """Give the place what it has room for."""
        self.at_once = self.place.size()
        unfinished = {*self.waiting, *(config for configs, _ in self.running.values() for config in configs)}
        ready = [config for config in self.waiting if self.starts_from[config] not in unfinished]
        while ready and len(self.running) < self.at_once:
            configs = self._next(ready)
            for config in configs:
                ready.remove(config)
                self.waiting.remove(config)
            started = time.monotonic()
            self.running[self.place.submit(configs)] = configs, started

    def _next(self, ready: list[Config]) -> tuple[Config, ...]:
        """The first run, with others that can be trained together with it."""
        first = ready[0]
        if self.together == 1 or first in self.alone:
            return (first,)
        from symspectra.training.stacked import stackable

        others = [config for config in ready[1:] if config not in self.alone and stackable([first, config])]
        return (first, *others[: self.together - 1])

    def collect(self, seconds: float = 1.0) -> Iterator[Outcome]:
        """Runs that end within the next so many seconds, or sooner once there is one.

        Raises
        ------
        WorkerError : a worker says that it cannot be used.
        """
        if not self.running:
            time.sleep(seconds)  # the place has no worker yet
        for future in wait(self.running, timeout=seconds, return_when=FIRST_COMPLETED).done:
            configs, _ = self.running.pop(future)
            error = CancelledError() if future.cancelled() else future.exception()
            if error is None:
                yield from (Outcome(config, future.result() / len(configs)) for config in configs)
            elif isinstance(error, WorkerError):
                raise error
            elif len(configs) > 1:
                self.alone.update(configs)
                self.waiting[:0] = configs
            else:
                yield from self._failed(configs[0], error)

    def _failed(self, config: Config, error: BaseException) -> Iterator[Outcome]:
        if not isinstance(error, BrokenProcessPool | CancelledError):
            yield Outcome(config, error=str(error) or type(error).__name__)
        elif self.deaths[config] == RETRIES:
            yield Outcome(config, error=f"its process was killed {RETRIES + 1} times; is memory short?")
        else:
            self.deaths[config] += 1
            self.waiting.insert(0, config)


class Times:
    """Seconds that a run takes: as a finished one of the same model and number of spectra, else what ``usual`` says."""

    def __init__(self, usual: Callable[[Config], float | None] = lambda config: None):
        self.usual = usual
        self.measured: dict[tuple[str, int], float] = {}

    def add(self, config: Config, seconds: float) -> None:
        """A run has taken so long."""
        self.measured[config.model, len(config.modalities)] = seconds

    def of(self, config: Config) -> float | None:
        """Seconds of a run; None where nothing is known."""
        return self.measured.get((config.model, len(config.modalities)), self.usual(config))

    def left(self, queue: Queue) -> str:
        """Time until the runs of a queue are trained, in words."""
        if not queue.at_once:
            return "waiting for a worker"
        now = time.monotonic()
        rest = [(self.of(config), 0.0) for config in queue.waiting]
        for configs, started in queue.running.values():
            rest += [(self.of(config), (now - started) / len(configs)) for config in configs]
        known = [max(0.0, seconds - elapsed) for seconds, elapsed in rest if seconds is not None]
        if not known:
            return ""
        left = sum(known) * len(rest) / len(known) / min(queue.at_once, len(rest))
        unit, size = next(pair for pair in UNITS if left >= 2 * pair[1] or pair[1] == 1)
        return f"about {left / size:.0f} {unit} left"


def train(settings: list[dict[str, Any]], store: str, device: str) -> float:
    """Train a run, or several together, in the process that calls, or read them; the seconds."""
    from symspectra.training.runs import run_together

    start = time.monotonic()
    with _ONE_RUN:
        run_together([Config.from_dict(own) for own in settings], store, device)
    return time.monotonic() - start


def settings_of(configs: tuple[Config, ...]) -> list[dict[str, Any]]:
    """What `train` takes, in another process."""
    return [config.to_dict() for config in configs]


class ThisProcess:
    """One run after the other, here."""

    def __init__(self, store: Path, device: str):
        self.store, self.device = store, device

    def size(self) -> int:
        """One."""
        return 1

    def submit(self, configs: tuple[Config, ...]) -> Future[float]:
        """Train before returning."""
        future: Future[float] = Future()
        try:
            future.set_result(train(settings_of(configs), str(self.store), self.device))
        except Exception as error:
            future.set_exception(error)
        return future

    def close(self) -> None:
        """There is nothing to stop."""


def gpus(device: str) -> list[str]:
    """GPUs to share out, as ``CUDA_VISIBLE_DEVICES`` names them; none on a CPU, or where ``device`` says which one."""
    import torch

    if device not in ("auto", "cuda"):
        return []
    n, visible = torch.cuda.device_count(), os.environ.get("CUDA_VISIBLE_DEVICES")
    return visible.split(",")[:n] if visible else [str(i) for i in range(n)]


class LocalProcesses:
    """Processes of this machine, each with its share of the cores and, in turn, one of the GPUs.

    Each is a pool of its own, so that one that dies takes only its own run along; the next run gets a new one.
    """

    def __init__(self, workers: int, store: Path, device: str):
        self.arguments = (str(store), device)
        shared, threads = gpus(device) or [None], max(1, cores() // workers)
        self.limits = [(shared[slot % len(shared)], threads) for slot in range(workers)]
        self.pools = [self._start(slot) for slot in range(workers)]
        self.latest: list[Future[float] | None] = [None] * workers

    def _start(self, slot: int) -> ProcessPoolExecutor:
        # "spawn": torch is not safe to fork once it has threads or a GPU.
        context = multiprocessing.get_context("spawn")
        return ProcessPoolExecutor(1, context, initializer=_settle, initargs=self.limits[slot])

    def size(self) -> int:
        """The number of processes."""
        return len(self.pools)

    def submit(self, configs: tuple[Config, ...]) -> Future[float]:
        """Train in a process that has nothing to do."""
        slot = next(i for i, future in enumerate(self.latest) if future is None or future.done())
        job = (train, settings_of(configs), *self.arguments)
        try:
            future = self.pools[slot].submit(*job)
        except BrokenProcessPool:  # its process has died since
            self.pools[slot] = self._start(slot)
            future = self.pools[slot].submit(*job)
        self.latest[slot] = future
        return future

    def close(self) -> None:
        """End the processes."""
        for pool in self.pools:
            for process in list((pool._processes or {}).values()):
                process.terminate()
        for pool in self.pools:
            pool.shutdown(cancel_futures=True)


def _settle(gpu: str | None, threads: int) -> None:
    """The first thing in a worker process, before CUDA is looked for."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # what Ctrl-C means, the parent says
    end_with_parent()
    if gpu is not None:
        os.environ["CUDA_VISIBLE_DEVICES"] = gpu
    import torch

    torch.set_num_threads(threads)

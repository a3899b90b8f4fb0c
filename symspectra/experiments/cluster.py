"""Runs on the workers of a Dask scheduler, on this machine or on those of a cluster that share the run store.

Every worker is a process of one thread that takes one run at a time. The scheduler gives a run to one worker, and to
another one only when it has lost the first. Nothing here imports torch: the scheduler reads this module too.
"""

from __future__ import annotations

import importlib.util
import json
import logging
import os
import time
from concurrent.futures import Future
from pathlib import Path
from typing import Any

from symspectra.config import Config
from symspectra.errors import ConfigError, WorkerError
from symspectra.experiments.workers import settings_of, train

CONNECT_SECONDS = 20


class DaskWorkers:
    """The workers of a Dask scheduler; a place for `symspectra.experiments.workers.Queue`.

    A run whose worker is lost is given to another one, as often as the scheduler allows
    (``distributed.scheduler.allowed-failures``).

    Parameters
    ----------
    scheduler_file : what ``dask scheduler --scheduler-file`` wrote

    Raises
    ------
    ConfigError : the file is not one, Dask is not installed, or no scheduler answers.
    """

    def __init__(self, scheduler_file: Path, store: Path, device: str):
        if importlib.util.find_spec("distributed") is None:
            raise ConfigError("training on a cluster needs Dask: pip install symspectra[cluster]")
        from distributed import Client

        from symspectra.training.runs import code_digest

        self.address = read_address(scheduler_file)
        for name in ("distributed", "distributed.client"):  # what goes wrong, this class says
            logging.getLogger(name).setLevel(logging.CRITICAL)
        try:
            self.client = Client(self.address, timeout=CONNECT_SECONDS, set_as_default=False)
        except OSError as error:
            raise ConfigError(
                f"{scheduler_file}: no scheduler answers at {self.address}; start it and its workers again"
            ) from error
        store.mkdir(parents=True, exist_ok=True)
        self.executor = self.client.get_executor()
        self.arguments = (str(store.resolve()), device, code_digest())

    def size(self) -> int:
        """The number of workers that are connected.

        Raises
        ------
        WorkerError : the scheduler is gone, or a worker has several threads.
        """
        try:
            threads = self.client.nthreads() if self.client.status == "running" else None
        except OSError:
            threads = None
        if threads is None:
            raise WorkerError(
                f"the Dask scheduler at {self.address} is gone; start it and its workers again, then the same command "
                "goes on from here"
            )
        for worker, n in threads.items():
            if n > 1:
                raise WorkerError(f"worker {worker} has {n} threads; a process trains one run: use --nthreads 1")
        return len(threads)

    def submit(self, configs: tuple[Config, ...]) -> Future[float]:
        """Train on a worker; two commands that want the same runs of one scheduler share them."""
        return self.executor.submit(_train_there, settings_of(configs), *self.arguments)

    def close(self) -> None:
        """Leave the scheduler; workers finish the run they are at."""
        self.client.close()


def read_address(scheduler_file: Path) -> str:
    """Address of the scheduler that wrote a file.

    Raises
    ------
    ConfigError : the file is not there, or is not such a file.
    """
    try:
        return str(json.loads(scheduler_file.read_text())["address"])
    except FileNotFoundError as error:
        hint = f"`dask scheduler --scheduler-file {scheduler_file}` writes it"
        raise ConfigError(f"{scheduler_file}: no such file; {hint}") from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigError(f"{scheduler_file}: not the file of a Dask scheduler ({error!r})") from error


def _train_there(settings: list[dict[str, Any]], store: str, device: str, code: str) -> float:
    """Train on a worker, if its runs would be those that are asked for."""
    from symspectra.training.runs import code_digest

    if not Path(store).is_dir():
        raise WorkerError(f"a worker does not see {store}; the run store has to be a folder that all workers share")
    if code_digest() != code:
        raise WorkerError("a worker has another version of symspectra than this command; its runs would be others")
    return train(settings, store, device)


def wait_until_seen(configs: list[Config], store: Path, seconds: float = 90.0) -> None:
    """A network file system may show what another machine wrote a little later.

    Raises
    ------
    WorkerError : a run that a worker says it trained does not appear in the store.
    """
    from symspectra.training.runs import find_run

    deadline = time.monotonic() + seconds
    for config in configs:
        while find_run(config, store) is None:
            if time.monotonic() > deadline:
                raise WorkerError(f"{store} does not show a run that a worker trained; do all share it and the data?")
            time.sleep(0.5)
            os.listdir(store)  # makes the file system look again

"""Many runs at once, on the workers of a Dask scheduler: processes of this machine, or of others that share the store.

Every worker is a process of one thread that takes one run at a time. What a worker that died had begun is given to
another one and goes on from its checkpoint. Nothing here imports torch: the scheduler reads this module too.
"""

from __future__ import annotations

import contextlib
import importlib.util
import io
import json
import logging
import os
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from symspectra.config import Config
from symspectra.errors import ConfigError, WorkerError
from symspectra.files import check_size
from symspectra.parallel import cores

if TYPE_CHECKING:
    from distributed import Client, Future, Worker

RETRIES = 2  # of what a process of this machine was at when it was killed
CONNECT_SECONDS = 20
TOPIC = "symspectra"  # of the events in which workers say something
VISIBLE_SECONDS = 90  # until a network file system has shown what another machine wrote


def check_installed(*packages: str) -> None:
    """Raise `ConfigError`, with the command that installs them, where one of these is not there."""
    for name in packages:
        if importlib.util.find_spec(name) is None:
            raise ConfigError(f'{name} is not installed: pip install "symspectra[notebooks]"')


def import_modules(names: Sequence[str], folder: str = "") -> None:
    """Import modules of the user's own, which register models, from a folder too: by default the working directory."""
    if names and folder not in sys.path:
        sys.path.append(folder)
    for name in names:
        try:
            importlib.import_module(name)
        except Exception as error:
            raise ConfigError(f"--import {name}: cannot be imported ({error})") from error


def gpus(device: str) -> list[str]:
    """GPUs to share out, as ``CUDA_VISIBLE_DEVICES`` names them; none on a CPU, or where ``device`` says which one."""
    import torch

    if device not in ("auto", "cuda", "gpu"):
        return []
    n, visible = torch.cuda.device_count(), os.environ.get("CUDA_VISIBLE_DEVICES")
    return visible.split(",")[:n] if visible else [str(i) for i in range(n)]


@contextlib.contextmanager
def local(workers: int, device: str = "auto") -> Iterator[Client]:
    """Processes of this machine that end with this one, each with its share of the cores and, in turn, one GPU."""
    check_installed("distributed")
    import dask
    from distributed import Client, LocalCluster, Nanny

    shared, threads = gpus(device), str(max(1, cores() // workers))
    limits = {f"{library}_NUM_THREADS": threads for library in ("OMP", "MKL", "OPENBLAS")}

    def worker(scheduler: str, name: int, **options: Any) -> Nanny:
        gpu = {"CUDA_VISIBLE_DEVICES": shared[name % len(shared)]} if shared else {}
        return Nanny(scheduler, name=name, env={**limits, **gpu}, **options)

    settings = {
        "distributed.scheduler.allowed-failures": RETRIES,
        "distributed.scheduler.worker-saturation": 1.0,  # a worker is given a run when it is free
        # Dask has freed memory given back at once, and training asks for it again: a third of its time.
        "distributed.nanny.pre-spawn-environ.MALLOC_TRIM_THRESHOLD_": None,
    }
    with dask.config.set(settings):
        cluster = LocalCluster(
            n_workers=workers,
            threads_per_worker=1,
            worker_class=worker,
            processes=True,
            memory_limit=0,
            scheduler_kwargs={"dashboard": False, "dashboard_address": "127.0.0.1:0"},  # any port that is free
            silence_logs=logging.CRITICAL,
            preload="import signal; signal.signal(signal.SIGINT, signal.SIG_IGN)",  # Ctrl-C is for this process
        )
    with cluster, Client(cluster, set_as_default=False) as client:
        yield client


@contextlib.contextmanager
def elsewhere(scheduler_file: Path) -> Iterator[Client]:
    """The workers of the scheduler that wrote a file; what they have begun, they finish whatever happens here."""
    check_installed("distributed")
    from distributed import Client

    try:
        check_size(scheduler_file, 1_000_000)
        address = str(json.loads(scheduler_file.read_text())["address"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        hint = f"expected what `dask scheduler --scheduler-file {scheduler_file}` writes"
        raise ConfigError(f"{scheduler_file}: cannot be used ({error!r}); {hint}") from error
    for name in ("distributed", "distributed.client"):  # what goes wrong, the errors here say
        logging.getLogger(name).setLevel(logging.CRITICAL)
    try:
        client = Client(address, timeout=CONNECT_SECONDS, set_as_default=False)
    except OSError as error:
        raise ConfigError(f"{scheduler_file}: no scheduler answers at {address}; start it and its workers") from error
    with client:
        yield client


def results(client: Client, futures: Iterable[Future]) -> Iterator[tuple[Future, BaseException | None]]:
    """Futures as they end, and what they raised, if they did; `WorkerError` where no other would get further."""
    from distributed import KilledWorker, as_completed

    for future in as_completed(futures, loop=client.loop):
        if future.cancelled():
            raise WorkerError(
                f"the Dask scheduler at {client.scheduler.address} is gone; start it and its workers again, then the "
                "same command goes on from here"
            )
        error = future.exception()
        if isinstance(error, WorkerError):
            raise error
        killed = isinstance(error, KilledWorker)
        yield future, RuntimeError("every process that had it was killed; is memory short?") if killed else error


def train(
    client: Client,
    configs: list[Config],
    store: Path,
    device: str,
    imports: Sequence[str] = (),
) -> Iterator[tuple[Config, str | None]]:
    """Train on the workers, which first import ``imports``; each run as it ends, and why it failed, if it did.

    What a worker says meanwhile, for example that it waits for a run that another process trains, is printed.

    Raises
    ------
    WorkerError : the scheduler is gone, or a worker cannot be used.
    """
    from symspectra.training.runs import code_digest, find_run, name_of

    store.mkdir(parents=True, exist_ok=True)
    client.subscribe_topic(TOPIC, lambda event: print(event[1]))
    own, futures = (list(imports), os.getcwd()), {}
    arguments = (str(store.resolve()), device, code_digest(), own)
    for config in configs:
        before = futures.get(config.pretraining())  # the run that it starts from, for which it waits
        futures[config] = client.submit(_train, config.to_dict(), name_of(config), *arguments, before)
    of = {future: config for config, future in futures.items()}
    for future, error in results(client, of):
        deadline = time.monotonic() + VISIBLE_SECONDS
        while error is None and find_run(of[future], store) is None:
            if time.monotonic() > deadline:
                raise WorkerError(f"{store} does not show a run that a worker trained; do all share this folder?")
            time.sleep(0.5)
            os.listdir(store)  # makes the file system look again
        yield of[future], error and (str(error) or type(error).__name__)


def _train(settings: dict, name: str, store: str, device: str, code: str, own: tuple, before: None) -> None:
    """Train or read a run on a worker, if there it would be the run of this name; ``own`` is for `import_modules`."""
    from distributed import get_worker

    from symspectra.training.runs import code_digest, name_of, run

    worker = get_worker()
    threads, who = worker.state.nthreads, f"the worker at {worker.address}"
    if threads > 1:
        raise WorkerError(f"{who} has {threads} threads; a process trains one run: use --nthreads 1")
    if not Path(store).is_dir():
        raise WorkerError(f"{who} does not see {store}; the run store has to be a folder that all workers share")
    if code_digest() != code:
        raise WorkerError(f"{who} has another version of symspectra than this command; its runs would be others")
    try:
        import_modules(*own)
    except ConfigError as error:
        raise WorkerError(f"{who}: {error}") from error
    config = Config.from_dict(settings)
    if name_of(config) != name:
        more = f", or another {' or '.join(own[0])}" if own[0] else ""
        raise WorkerError(f"{who} has other data of the name {config.data.dataset!r} than this command{more}")
    with contextlib.redirect_stderr(_ToTheCommand(worker)):
        run(config, store, device)


class _ToTheCommand(io.TextIOBase):
    """What a run says on standard error, for the command that waits for it: a worker's own log is elsewhere."""

    def __init__(self, worker: Worker):
        self.worker = worker

    def write(self, text: str) -> int:
        if text.strip():
            self.worker.log_event(TOPIC, f"{self.worker.address}: {text.strip()}")
        return len(text)

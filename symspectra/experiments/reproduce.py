"""Train what is missing, then execute the notebooks: `symspectra plan` and `symspectra reproduce`."""

from __future__ import annotations

import contextlib
import importlib.util
import multiprocessing
import os
import sys
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import NamedTuple

from tqdm import tqdm

from symspectra.config import Config
from symspectra.errors import ConfigError
from symspectra.experiments.cluster import DaskWorkers, wait_until_seen
from symspectra.experiments.plan import find_notebooks, planned_runs
from symspectra.experiments.profiles import load_profile
from symspectra.experiments.workers import LocalProcesses, Place, Queue, ThisProcess, Times, gpus
from symspectra.parallel import cores

NOTEBOOK_DIRECTORY = Path("notebooks")
LAST = "12_report"  # reads what the others write
OPTIONS = (  # what an experiment may change, to tell runs apart in a line
    *("resample", "split", "scarce_share", "imbalance", "augment", "bottleneck", "beta", "prior", "penalty"),
    *("weighting", "s1", "s2", "decoder", "order", "nuisance", "dataset", "molecules", "pretrain_epochs"),
)
BAR = "{desc}: {percentage:3.0f}%|{bar}| {n_fmt}/{total_fmt} runs, {elapsed}{postfix}"


def describe(config: Config) -> str:
    """A run in one line: model, spectra, and what differs from that model's settings in no profile."""
    parts = [config.model, "+".join(config.modalities), f"{config.epochs} epochs", f"seed {config.seed}"]
    default = Config()
    parts += [f"{name} {getattr(config, name)}" for name in OPTIONS if getattr(config, name) != getattr(default, name)]
    return ", ".join(parts)


class Entry(NamedTuple):
    """A run that a notebook needs: whether it is done, and its seconds on one core, measured or estimated."""

    config: Config
    done: bool
    seconds: float | None


def plan(profile_name: str, store: Path, notebooks: list[str] | None = None) -> list[Entry]:
    """Every run that the notebooks need.

    The estimate comes from finished runs of the same model and number of spectra, else from the profile, which holds
    seconds measured for its models; None where neither knows.
    """
    from symspectra.training.runs import find_run

    profile = load_profile(profile_name)
    entries = [(config, find_run(config, store)) for config in planned_runs(profile, notebooks)]
    times = Times(profile.seconds)
    for config, run in entries:
        if run is not None:
            times.add(config, run.metrics["seconds"])
    return [
        Entry(config, run is not None, run.metrics["seconds"] if run else times.of(config)) for config, run in entries
    ]


class FailedRuns(ValueError):
    """Runs that could not be trained; the message names them."""


def train_missing(
    configs: list[Config],
    store: Path,
    workers: int,
    device: str = "auto",
    show: Callable[[str], None] = print,
    scheduler_file: Path | None = None,
    usual: Callable[[Config], float | None] = lambda config: None,
    together: int = 1,
) -> int:
    """Train the runs that are not in the store yet, ``workers`` at a time or on a Dask cluster; return how many.

    On a CPU, two runs on one core each are faster than one run on two. Runs of one seed follow each other, because they
    see the same draws of the noise, which each process keeps. A run that starts from another one comes after it.
    On a GPU, several seeds of one configuration are trained ``together``.

    Parameters
    ----------
    scheduler_file : of the Dask scheduler on whose workers to train (`symspectra.experiments.cluster.DaskWorkers`)
    usual : seconds of a run of which the store holds no like, for the estimate of the time that is left

    Raises
    ------
    FailedRuns : some runs failed; the others were trained first.
    WorkerError : the scheduler is gone, or a worker cannot be used.
    """
    from symspectra.training.runs import find_run

    missing, times = [], Times(usual)
    for config in configs:
        run = find_run(config, store)
        if run is None:
            missing.append(config)
        else:
            times.add(config, run.metrics["seconds"])
    if not missing:
        return 0
    missing.sort(key=lambda c: (c.pretrain_epochs > 0, c.model != "xgboost", c.seed, -len(c.modalities) * c.epochs))
    failed: dict[Config, str] = {}
    with contextlib.closing(_place(missing, store, workers, device, scheduler_file)) as place, _bar(missing) as bar:
        queue = Queue(place, missing, together)
        while queue:
            queue.submit()
            for outcome in queue.collect():
                bar.update()
                if outcome.error is None:
                    times.add(outcome.config, outcome.seconds)
                else:
                    failed[outcome.config] = outcome.error
                    show(f"failed: {describe(outcome.config)}: {outcome.error}")
            bar.set_postfix_str(times.left(queue), refresh=False)
            bar.update(0)
    if scheduler_file is not None:
        wait_until_seen([config for config in missing if config not in failed], store)
    if failed:
        named = "; ".join(f"{describe(config)}: {error}" for config, error in list(failed.items())[:3])
        more = f"; and {len(failed) - 3} more" if len(failed) > 3 else ""
        raise FailedRuns(f"{len(failed)} of {len(missing)} runs failed ({named}{more}); the others are in {store}/")
    return len(missing)


def _place(configs: list[Config], store: Path, workers: int, device: str, scheduler_file: Path | None) -> Place:
    """Where to train; other processes do not know a model that this one has registered."""
    from symspectra.models.registry import own_model

    workers = min(workers, len(configs))
    if any(own_model(config.model) for config in configs):
        return ThisProcess(store, device)
    if scheduler_file is not None:
        return DaskWorkers(scheduler_file, store, device)
    return ThisProcess(store, device) if workers == 1 else LocalProcesses(workers, store, device)


def _bar(configs: list[Config]) -> tqdm:
    """A bar that a file of a batch system can hold: there, one line a minute."""
    every = 1 if sys.stderr.isatty() else 60
    return tqdm(total=len(configs), desc="training", bar_format=BAR, miniters=0, mininterval=every)


def check_notebooks(notebooks: list[str]) -> None:
    """Before hours of training: are the notebooks here, and what executes them?

    Raises
    ------
    ConfigError : a notebook is not in the folder ``notebooks``, or papermill is not installed.
    """
    for notebook in notebooks:
        if not (NOTEBOOK_DIRECTORY / f"{notebook}.ipynb").exists():
            raise ConfigError(f"notebooks/{notebook}.ipynb is not here; run this command in the project's folder")
    if importlib.util.find_spec("papermill") is None:
        raise ConfigError("executing notebooks needs papermill: pip install symspectra[notebooks]")


def execute_all(
    notebooks: list[str], profile: str, store: Path, figures: Path, workers: int, show: Callable[[str], None] = print
) -> None:
    """Execute notebooks, ``workers`` at a time, each in a fresh kernel; the report comes last.

    Raises
    ------
    RuntimeError : a cell failed; the others are finished first.
    """
    threads = max(1, cores() // workers)
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, context, initializer=_limit_threads, initargs=(threads,)) as pool:
        for group in ([n for n in notebooks if n != LAST], [n for n in notebooks if n == LAST]):
            futures = {pool.submit(_timed, notebook, profile, store, figures): notebook for notebook in group}
            for future in as_completed(futures):
                if future.exception() is None:
                    show(f"{futures[future]}: {future.result()[0]:.0f} s, {future.result()[1]}")
            for future in futures:
                future.result()


def _limit_threads(threads: int) -> None:
    """Kernels inherit it from the process that starts them."""
    os.environ["OMP_NUM_THREADS"] = str(threads)


def _timed(notebook: str, profile: str, store: Path, figures: Path) -> tuple[float, Path]:
    start = time.monotonic()
    target = execute(notebook, profile, store, figures)
    return time.monotonic() - start, target


def execute(notebook: str, profile: str, store: Path, figures: Path) -> Path:
    """Execute a notebook with papermill in a fresh kernel; return the executed copy.

    Raises
    ------
    RuntimeError : a cell failed; the message names the notebook, the cell and the error.
    """
    import papermill

    source = NOTEBOOK_DIRECTORY / f"{notebook}.ipynb"
    target = store / "executed" / profile / source.name
    target.parent.mkdir(parents=True, exist_ok=True)
    parameters = {"profile": profile, "store": str(store.resolve()), "figures": str(figures.resolve())}
    try:
        papermill.execute_notebook(
            source,
            target,
            parameters,
            kernel_name="python3",
            progress_bar=False,
            cwd=str(NOTEBOOK_DIRECTORY),
            log_output=False,
            extra_arguments=["--log-level=40"],  # the kernel does not warn of its TCP port
        )
    except papermill.PapermillExecutionError as error:
        reason = f"{error.ename}: {error.evalue}"
        raise RuntimeError(f"{source}, cell {error.exec_count}: {reason}; the cells so far are in {target}") from error
    return target


def reproduce(
    profile: str = "demo",
    only: list[str] | None = None,
    store: Path = Path("runs"),
    figures: Path | None = None,
    workers: int | None = None,
    device: str = "auto",
    show: Callable[[str], None] = print,
    scheduler_file: Path | None = None,
    together: int | None = None,
) -> list[Path]:
    """Train the missing runs, execute the notebooks, and list the figures they wrote.

    Parameters
    ----------
    profile : ``smoke``, ``demo``, ``evening``, ``open`` or ``paper``
    only : notebooks by number, all by default
    figures : folder of the figures, ``figures/<profile>`` by default
    workers : runs, and notebooks, at a time; by default one a core on a CPU (at most 4), one a GPU
    scheduler_file : train on the workers of the Dask scheduler that wrote it; the notebooks are executed here
    together : seeds of one configuration that a process trains at once, by default all on a GPU, one on a CPU
    """
    import torch

    start = time.monotonic()
    notebooks = find_notebooks(only)
    check_notebooks(notebooks)
    for name, number in (("workers", workers), ("together", together)):
        if number is not None and number < 1:
            raise ConfigError(f"{name} is {number}; expected at least 1")
    figures = figures or Path("figures") / profile
    on_gpu = device != "cpu" and torch.cuda.is_available()
    workers = workers or (max(1, len(gpus(device))) if on_gpu else min(4, cores()))
    settings = load_profile(profile)
    together = together or (len(settings.seeds) if on_gpu else 1)
    configs = planned_runs(settings, notebooks)
    show(f"profile {profile}: {len(configs)} runs for {', '.join(notebooks)}; store {store}/")
    trained = train_missing(configs, store, workers, device, show, scheduler_file, settings.seconds, together)
    show(f"{trained} runs trained, {len(configs) - trained} read from the store, {time.monotonic() - start:.0f} s")
    before = {path: path.stat().st_mtime_ns for path in figures.glob("*")}
    execute_all(notebooks, profile, store, figures, workers, show)
    written = sorted(p for p in figures.glob("*") if before.get(p) != p.stat().st_mtime_ns)
    show(f"{len(written)} files in {figures}/: " + ", ".join(sorted({p.stem for p in written})))
    show(f"in all {time.monotonic() - start:.0f} s")
    return written

"""Train what is missing, then execute the notebooks: `symspectra plan` and `symspectra reproduce`."""

from __future__ import annotations

import importlib.util
import multiprocessing
import os
import time
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, as_completed, wait
from pathlib import Path
from typing import Any, NamedTuple

from symspectra.config import Config, ConfigError
from symspectra.experiments import find_notebooks, planned_runs
from symspectra.profiles import load_profile

NOTEBOOK_DIRECTORY = Path("notebooks")
LAST = "12_report"  # reads what the others write
OPTIONS = (  # what an experiment may change, to tell runs apart in a line
    *("resample", "split", "scarce_share", "imbalance", "augment", "bottleneck", "beta", "prior", "penalty"),
    *("weighting", "s1", "s2", "decoder", "order", "nuisance"),
)


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
    from symspectra.runs import find_run

    profile = load_profile(profile_name)
    entries = [(config, find_run(config, store)) for config in planned_runs(profile, notebooks)]
    measured: dict[tuple, float] = {}
    for config, run in entries:
        if run is not None:
            measured[config.model, len(config.modalities)] = run.metrics["seconds"]
    estimates = [measured.get((c.model, len(c.modalities)), profile.seconds(c)) for c, _ in entries]
    return [
        Entry(config, run is not None, run.metrics["seconds"] if run else estimate)
        for (config, run), estimate in zip(entries, estimates, strict=True)
    ]


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _train_one(settings: dict[str, Any], store: str, device: str, threads: int) -> str:
    """One run in a process of its own."""
    import torch

    from symspectra.runs import run

    torch.set_num_threads(threads)
    return run(Config.from_dict(settings), store, device).id


def train_missing(
    configs: list[Config], store: Path, workers: int, device: str = "auto", show: Callable[[str], None] = print
) -> int:
    """Train the runs that are not in the store yet, ``workers`` at a time; return how many.

    On a CPU, two runs on one core each are faster than one run on two. Runs of one seed follow each other, because they
    see the same draws of the noise, which each process keeps. With several workers a failed run is named. It stops the
    rest; what is finished stays, and checkpoints are kept.
    """
    import torch
    from tqdm import tqdm

    from symspectra.models import own_model
    from symspectra.runs import find_run

    missing = [config for config in configs if find_run(config, store) is None]
    missing.sort(key=lambda c: (c.model != "xgboost", c.seed, -len(c.modalities) * c.epochs))
    threads = max(1, cores() // workers)
    if not missing:
        return 0
    if workers == 1 or len(missing) == 1 or any(own_model(config.model) for config in missing):
        before = torch.get_num_threads()
        for config in tqdm(missing, desc="training", unit="run"):
            _train_one(config.to_dict(), str(store), device, before)
        return len(missing)
    # "spawn": torch is not safe to fork once it has threads or a GPU.
    pool = ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn"))
    futures = {pool.submit(_train_one, c.to_dict(), str(store), device, threads): c for c in missing}
    try:
        with tqdm(total=len(missing), desc=f"training, {workers} at a time", unit="run") as bar:
            pending = set(futures)
            while pending:
                done, pending = wait(pending, timeout=1, return_when=FIRST_COMPLETED)
                for future in done:
                    if future.exception() is not None:
                        show(f"failed: {describe(futures[future])}")
                    future.result()
                    bar.update()
                bar.refresh()
    except BaseException:
        for process in list((pool._processes or {}).values()):  # checkpoints make this safe
            process.terminate()
        pool.shutdown(cancel_futures=True)
        raise
    pool.shutdown()
    return len(missing)


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
) -> list[Path]:
    """Train the missing runs, execute the notebooks, and list the figures they wrote.

    Parameters
    ----------
    profile : ``smoke``, ``demo``, ``evening``, ``open`` or ``paper``
    only : notebooks by number, all by default
    figures : folder of the figures, ``figures/<profile>`` by default
    workers : runs, and notebooks, at a time; by default one a core on a CPU (at most 4), one on a GPU
    """
    import torch

    start = time.monotonic()
    notebooks = find_notebooks(only)
    check_notebooks(notebooks)
    if workers is not None and workers < 1:
        raise ConfigError(f"workers is {workers}; expected at least 1")
    figures = figures or Path("figures") / profile
    on_gpu = device != "cpu" and torch.cuda.is_available()
    workers = workers or (1 if on_gpu else min(4, cores()))
    configs = planned_runs(load_profile(profile), notebooks)
    show(f"profile {profile}: {len(configs)} runs for {', '.join(notebooks)}; store {store}/")
    trained = train_missing(configs, store, workers, device, show)
    show(f"{trained} runs trained, {len(configs) - trained} read from the store, {time.monotonic() - start:.0f} s")
    before = {path: path.stat().st_mtime_ns for path in figures.glob("*")}
    execute_all(notebooks, profile, store, figures, workers, show)
    written = sorted(p for p in figures.glob("*") if before.get(p) != p.stat().st_mtime_ns)
    show(f"{len(written)} files in {figures}/: " + ", ".join(sorted({p.stem for p in written})))
    show(f"in all {time.monotonic() - start:.0f} s")
    return written

"""Train what is missing, then execute the notebooks: `symspectra plan` and `symspectra reproduce`."""

from __future__ import annotations

import importlib.util
import multiprocessing
import os
import time
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from pathlib import Path
from typing import Any

from symspectra.config import Config, ConfigError, load_profile
from symspectra.experiments import find_notebooks, planned_runs

NOTEBOOK_DIRECTORY = Path("notebooks")


def describe(config: Config) -> str:
    """A run in one line."""
    parts = [config.model, "+".join(config.modalities), f"{config.epochs} epochs", f"seed {config.seed}"]
    default = Config()
    options = ("resample", "weighting", "order", "beta", "nuisance")
    parts += [f"{name} {getattr(config, name)}" for name in options if getattr(config, name) != getattr(default, name)]
    return ", ".join(parts)


def plan(profile_name: str, store: Path, notebooks: list[str] | None = None) -> list[tuple[Config, bool, float | None]]:
    """Every run that the notebooks need: configuration, whether it is done, and its seconds (measured or estimated).

    The estimate comes from finished runs of the same model and number of spectra; None where there are none.
    """
    from symspectra.runs import find_run

    entries = [(config, find_run(config, store)) for config in planned_runs(load_profile(profile_name), notebooks)]
    measured: dict[tuple, float] = {}
    for config, run in entries:
        if run is not None:
            measured[config.model, len(config.modalities)] = run.metrics["seconds"]
    return [
        (c, run is not None, run.metrics["seconds"] if run else measured.get((c.model, len(c.modalities))))
        for c, run in entries
    ]


def _cores() -> int:
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

    On a CPU, two runs on one core each are faster than one run on two. SymSpectra on most spectra starts first. With
    several workers a failed run is named. It stops the rest; what is finished stays, and checkpoints are kept.
    """
    import torch
    from tqdm import tqdm

    from symspectra.models import own_model
    from symspectra.runs import find_run

    missing = [config for config in configs if find_run(config, store) is None]
    missing.sort(key=lambda c: -len(c.modalities) * c.epochs * (c.model == "symspectra"))
    threads = max(1, _cores() // workers)
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
    profile : ``smoke``, ``demo``, ``open`` or ``paper``
    only : notebooks by number, all by default
    figures : folder of the figures, ``figures/<profile>`` by default
    workers : runs at a time; by default one a core on a CPU (at most 4), one on a GPU
    """
    import torch

    start = time.monotonic()
    notebooks = find_notebooks(only)
    check_notebooks(notebooks)
    if workers is not None and workers < 1:
        raise ConfigError(f"workers is {workers}; expected at least 1")
    figures = figures or Path("figures") / profile
    on_gpu = device != "cpu" and torch.cuda.is_available()
    workers = workers or (1 if on_gpu else min(4, _cores()))
    configs = planned_runs(load_profile(profile), notebooks)
    show(f"profile {profile}: {len(configs)} runs for {', '.join(notebooks)}; store {store}/")
    trained = train_missing(configs, store, workers, device, show)
    show(f"{trained} runs trained, {len(configs) - trained} read from the store, {time.monotonic() - start:.0f} s")
    before = {path: path.stat().st_mtime_ns for path in figures.glob("*")}
    for notebook in notebooks:
        began = time.monotonic()
        target = execute(notebook, profile, store, figures)
        show(f"{notebook}: {time.monotonic() - began:.0f} s, {target}")
    written = sorted(p for p in figures.glob("*") if before.get(p) != p.stat().st_mtime_ns)
    show(f"{len(written)} files in {figures}/: " + ", ".join(sorted({p.stem for p in written})))
    show(f"in all {time.monotonic() - start:.0f} s")
    return written

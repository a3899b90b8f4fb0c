"""Train what is missing, then execute the notebooks: `symspectra plan` and `symspectra reproduce`.

Stopping is safe at any time: a finished run stays in the store, an unfinished one goes on from its last checkpoint.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from tqdm import tqdm

from symspectra.config import Config
from symspectra.errors import ConfigError
from symspectra.experiments import engine
from symspectra.experiments.plan import find_notebooks, planned_runs, project
from symspectra.experiments.profiles import load_profile
from symspectra.files import check_writable
from symspectra.parallel import cores

LAST = "12_report"  # reads what the others write
OPTIONS = (  # what an experiment may change, to tell runs apart in a line
    "resample ir_intensity split scarce_share imbalance augment bottleneck beta aggregate prior penalty "
    "weighting s1 s2 decoder teacher_forcing order hidden nuisance dataset molecules pretrain_epochs"
).split()
BAR = "{desc}: {percentage:3.0f}%|{bar}| {elapsed}, about {remaining} left"


def describe(config: Config) -> str:
    """A run in one line: model, spectra, and what differs from that model's settings in no profile."""
    training, default = config.training, Config()
    parts = [config.model.name, "+".join(config.data.modalities), f"{training.epochs} epochs", f"seed {training.seed}"]
    parts += [f"{name} {config.get(name)}" for name in OPTIONS if config.get(name) not in (None, default.get(name))]
    return ", ".join(parts)


class Entry(NamedTuple):
    """A run that a notebook needs: whether it is done, and its seconds on one core, measured or estimated."""

    config: Config
    done: bool
    seconds: float | None


def plan(profile_name: str, store: Path, notebooks: list[str] | None = None) -> list[Entry]:
    """Every run that the notebooks need, its time from finished runs that are like it, or from the profile."""
    from symspectra.training.runs import find_run

    profile = load_profile(profile_name)
    runs = {config: find_run(config, store) for config in planned_runs(profile, notebooks)}
    own = {config: run.metrics["seconds"] for config, run in runs.items() if run is not None}
    size = {config: (config.model.name, len(config.data.modalities), config.data.molecules) for config in runs}
    alike = {size[config]: seconds for config, seconds in own.items()}
    return [Entry(c, c in own, own.get(c) or alike.get(size[c]) or profile.seconds(c)) for c in runs]


def _turn(config: Config) -> tuple:
    """Where a run stands in the order: pretrained ones last, then by seed, long ones first."""
    training, spectra = config.training, len(config.data.modalities)
    return training.pretrain_epochs > 0, config.model.name != "xgboost", training.seed, -spectra * training.epochs


class FailedRuns(ValueError):
    """Runs that could not be trained; the message names them."""


def train_missing(
    configs: list[Config],
    store: Path,
    workers: int,
    device: str = "auto",
    scheduler_file: Path | None = None,
    usual: Callable[[Config], float | None] = lambda config: None,
    imports: Sequence[str] = (),
) -> int:
    """Train the runs that are not in the store yet, ``workers`` at a time or on a Dask cluster; return how many.

    On a CPU, two runs on one core each are faster than one run on two. Runs of one seed follow each other, because they
    see the same draws of the noise, which each process keeps. A run that starts from another one comes after it.

    Parameters
    ----------
    scheduler_file : of the Dask scheduler on whose workers to train (`symspectra.experiments.engine.elsewhere`)
    usual : seconds of a run, for the estimate of the time that is left
    imports : modules that register models of your own, for the workers; without them such models are trained here

    Raises
    ------
    FailedRuns : some runs failed; the others were trained first.
    WorkerError : the scheduler is gone, or a worker cannot be used.
    """
    from symspectra.models.registry import own_source
    from symspectra.training.runs import find_run, run

    missing = [config for config in dict.fromkeys(configs) if find_run(config, store) is None]
    missing.sort(key=_turn)
    work = {config: usual(config) or config.training.epochs * len(config.data.modalities) for config in missing}
    unknown = not imports and any(own_source(config) for config in missing)  # to other processes

    def ended() -> Iterator[tuple[Config, str | None]]:
        if unknown or (scheduler_file is None and min(workers, len(missing)) <= 1):
            for config in missing:
                try:
                    run(config, store, device)
                    yield config, None
                except Exception as error:
                    yield config, str(error) or type(error).__name__
            return
        local = scheduler_file is None
        with engine.local(min(workers, len(missing)), device) if local else engine.elsewhere(scheduler_file) as client:
            if not local:
                print(f"{scheduler_file}: {len(client.nthreads()) or 'waiting for'} workers")
            yield from engine.train(client, missing, store, device, imports)

    failed: dict[Config, str] = {}
    every = 1 if sys.stderr.isatty() else 60  # the log of a batch system holds one line per minute
    with tqdm(desc="training", total=sum(work.values()), bar_format=BAR, mininterval=every, disable=not missing) as bar:
        for number, (config, error) in enumerate(ended(), 1):
            if error is not None:
                failed[config] = error
                print(f"failed: {describe(config)}: {error}")
            bar.set_description_str(f"training: {number} of {len(missing)} runs", refresh=False)
            bar.update(work[config])
    if failed:
        named = [f"{describe(config)}: {error}" for config, error in failed.items()]
        more = [f"and {len(named) - 3} more"] if len(named) > 3 else []
        raise FailedRuns(f"{len(failed)} of {len(missing)} runs failed ({'; '.join(named[:3] + more)})")
    return len(missing)


def check_notebooks(notebooks: list[str], store: Path, figures: Path) -> None:
    """Before hours of training: can the notebooks be executed, runs and figures be written? `ConfigError` if not."""
    engine.check_installed("distributed", "papermill")
    import papermill

    for notebook in notebooks:
        path = project() / "notebooks" / f"{notebook}.ipynb"
        if not path.exists():
            raise ConfigError(f"{path} is not there; run this command in the project's folder")
        known = list(papermill.inspect_notebook(str(path)))
        for name in ("profile", "store", "figures"):
            if name not in known:
                of = f"its parameters are {', '.join(known)}" if known else "no cell of it is tagged `parameters`"
                raise ConfigError(f"{path} has no parameter {name!r}; {of}")
    check_writable(figures, "figures")
    check_writable(store, "runs")


def execute_all(
    notebooks: list[str],
    profile: str,
    store: Path,
    figures: Path,
    workers: int,
    device: str = "auto",
    imports: Sequence[str] = (),
    executed: Path | None = None,
) -> None:
    """Execute notebooks, ``workers`` at a time, the report last; `RuntimeError` where some failed, after the others.

    Their executed copies go into ``executed``, by default a folder of the store.
    """
    target, folder = executed or store / "executed" / profile, project() / "notebooks"
    target.mkdir(parents=True, exist_ok=True)
    parameters = {"profile": profile, "store": str(store.resolve()), "figures": str(figures.resolve())}
    with engine.local(min(workers, len(notebooks)), device) as client:
        for group in ([n for n in notebooks if n != LAST], [n for n in notebooks if n == LAST]):
            paths = [(folder / f"{name}.ipynb", target / f"{name}.ipynb") for name in group]
            of = {client.submit(execute, *pair, parameters, list(imports), os.getcwd()): pair[0] for pair in paths}
            failed = []
            for future, error in engine.results(client, of):
                if error is None:
                    print(f"{of[future].stem}: {future.result():.0f} s, {target / of[future].name}")
                else:
                    failed.append(f"{of[future]}: {error}")
            if failed:
                raise RuntimeError("; ".join(failed))


def execute(source: Path, target: Path, parameters: dict[str, str], imports: Sequence[str], folder: str) -> float:
    """Execute a notebook in a fresh kernel, which first imports ``imports``; write the copy, return the seconds."""
    import papermill

    arguments = ["--log-level=50"]  # no word of its own
    if imports:
        first = f"from symspectra.experiments.engine import import_modules; import_modules({imports!r}, {folder!r})"
        arguments.append(f"--InteractiveShellApp.exec_lines={first}")
    start = time.monotonic()
    try:
        papermill.execute_notebook(
            source,
            target,
            parameters,
            kernel_name="python3",
            progress_bar=False,
            cwd=str(source.parent),
            log_output=False,
            start_timeout=600,  # seconds: a busy machine takes its time to start a kernel
            extra_arguments=arguments,
        )
    except papermill.PapermillExecutionError as error:
        reason = f"cell {error.exec_count}: {error.ename}: {error.evalue}"
    except Exception as error:  # of the kernel itself
        reason = f"{error}"
    else:
        return time.monotonic() - start
    raise RuntimeError(f"{reason}; the cells so far are in {target}")


def reproduce(
    profile: str = "demo",
    only: list[str] | None = None,
    store: Path = Path("runs"),
    figures: Path | None = None,
    workers: int | None = None,
    device: str = "auto",
    scheduler_file: Path | None = None,
    imports: Sequence[str] = (),
) -> list[Path]:
    """Train the missing runs, execute the notebooks, and list the figures they wrote.

    Parameters
    ----------
    profile : ``smoke``, ``demo``, ``evening``, ``open`` or ``paper``
    only : notebooks by number, those of the paper by default
    store, figures : folders, relative to the project's; of the figures, ``figures/<profile>`` by default
    workers : runs, and notebooks, at a time; by default one per core of a CPU (at most 4), one per GPU
    scheduler_file : train on the workers of the Dask scheduler that wrote it; the notebooks are executed here
    imports : modules, imported already, that workers and notebooks import too (models of your own)

    Raises
    ------
    ConfigError : something is not there or cannot be used; nothing was trained then.
    FailedRuns, WorkerError, RuntimeError : from training (`train_missing`) and from the notebooks (`execute_all`).
    """
    from symspectra.training.machine import choose_device

    start, settings, notebooks = time.monotonic(), load_profile(profile), find_notebooks(only)
    if workers is not None and workers < 1:
        raise ConfigError(f"workers is {workers}; expected at least 1")
    store, figures = project() / store, project() / (figures or Path("figures") / profile)
    if scheduler_file is None:
        choose_device(device)
    check_notebooks(notebooks, store, figures)
    workers = workers or len(engine.gpus(device)) or min(4, cores())
    configs = planned_runs(settings, notebooks)
    print(f"profile {profile}: {len(configs)} runs for {', '.join(notebooks)}; store {store}")
    trained = train_missing(configs, store, workers, device, scheduler_file, settings.seconds, imports)
    print(f"{trained} runs trained, {len(configs) - trained} read from the store, {time.monotonic() - start:.0f} s")
    before = {path: path.stat().st_mtime_ns for path in figures.glob("*")}
    execute_all(notebooks, profile, store, figures, workers, device, imports)
    written = sorted(p for p in figures.glob("*") if before.get(p) != p.stat().st_mtime_ns)
    print(f"{len(written)} files in {figures}: " + ", ".join(sorted({p.stem for p in written})))
    print(f"in all {time.monotonic() - start:.0f} s")
    return written


def record(profile: str = "demo", store: Path = Path("runs")) -> Path:
    """Write what notebooks need of a profile's runs to ``records`` beside its exhibits, for `redraw`.

    Raises
    ------
    RunError : the store lacks some of the runs.
    """
    from symspectra.experiments import records

    folder = project() / "figures" / profile / records.FOLDER
    records.pack(load_profile(profile), project() / store, folder)
    return folder


def redraw(profile: str = "demo", figures: Path | None = None) -> None:
    """Execute all notebooks with the recorded runs of a profile: every exhibit and the report, without training.

    Parameters
    ----------
    figures : folder to write, ``figures/<profile>`` by default

    Raises
    ------
    ConfigError : the notebooks cannot be executed, or figures not be written.
    RunError : there is no record, or it lacks runs that the notebooks need.
    """
    from symspectra.experiments import records

    start, settings, notebooks = time.monotonic(), load_profile(profile), find_notebooks(None)
    usual, runs = project() / "figures" / profile, project() / "runs"
    figures, store = project() / (figures or usual), runs / "recorded"
    check_notebooks(notebooks, store, figures)
    number = len(records.unpack(settings, usual / records.FOLDER, store))
    print(f"profile {profile}: {number} runs of the record in {usual / records.FOLDER}; nothing is trained")
    execute_all(notebooks, profile, store, figures, min(4, cores()), executed=runs / "executed" / profile)
    print(f"exhibits and report in {figures}, {time.monotonic() - start:.0f} s")

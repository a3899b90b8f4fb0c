"""The run store: one folder a configuration, named by its content, complete or not there.

``run(config)`` is the only way to train. A run's id is the digest of its configuration, of its data and of the
code that makes the result; a second call reads what the first one wrote. The folder appears under its name only
when everything is in it. An interrupted run leaves a checkpoint, from which the next call continues.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch

from symspectra.config import Config
from symspectra.datasets.base import SpectraDataset, evaluated_groups, load_dataset
from symspectra.errors import RunError
from symspectra.groups.table8 import NAMES
from symspectra.models import processes
from symspectra.models.base import SpectrumClassifier
from symspectra.models.registry import load_model, model_source, save_model
from symspectra.training.machine import choose_device, peak_memory_mb, reset_peak_memory, surroundings
from symspectra.training.metrics import multilabel_metrics, tune_thresholds
from symspectra.training.trainer import TrainingResult
from symspectra.training.training import Report, predict, train, train_together

# Packages on which the numbers of a run depend; a change in any of their modules makes new runs.
CODE = ("groups", "spectra", "models", "datasets", "training")


@dataclass(frozen=True)
class Run:
    """A finished run, read from its folder when asked."""

    path: Path

    @property
    def id(self) -> str:
        """Digest of configuration, data and code."""
        return self.path.name

    @cached_property
    def config(self) -> Config:
        """The configuration."""
        return Config.from_dict(self._json("config"))

    @cached_property
    def metrics(self) -> dict[str, Any]:
        """Metrics on validation and test (`symspectra.training.metrics`), and what the run cost."""
        return self._json("metrics")

    @cached_property
    def environment(self) -> dict[str, Any]:
        """What the run ran on: versions, device, digest of the code."""
        return self._json("environment")

    @cached_property
    def history(self) -> list[dict[str, float]]:
        """One entry an epoch: losses, learning rate, validation scores."""
        return _read_parquet(self.path / "history.parquet").to_pylist()

    def predictions(self, split: str = "test") -> tuple[tuple[str, ...], np.ndarray, np.ndarray]:
        """Molecules, labels (N, 37) and probabilities (N, 37) of ``validation`` or ``test``."""
        table = _read_parquet(self.path / "predictions.parquet").to_pylist()
        rows = [row for row in table if row["split"] == split]
        y, p = (np.array([row[name] for row in rows]).reshape(len(rows), -1) for name in ("groups", "probability"))
        return tuple(row["molecule"] for row in rows), y.astype(bool), p

    def training_weights(self) -> tuple[dict[str, float], dict[str, float]] | None:
        """Mean weight in the loss of each training molecule and of each group; None where the model has none."""
        path = self.path / "training_weights.parquet"
        if not path.exists():
            return None
        rows = _read_parquet(path).to_pylist()
        kinds = ("molecule", "group")
        return tuple({r["name"]: r["weight"] for r in rows if r["kind"] == kind} for kind in kinds)

    def load(self, device: torch.device | str = "cpu") -> SpectrumClassifier:
        """The model with the weights of its best validation epoch, in evaluation mode."""
        return load_model(self.path / "weights.safetensors", device)[0]

    def _json(self, name: str) -> dict[str, Any]:
        try:
            return json.loads((self.path / f"{name}.json").read_text())
        except (OSError, ValueError) as error:
            raise RunError(
                f"{self.path}: {name}.json cannot be read ({error}); delete the folder to run again"
            ) from error


def _read_parquet(path: Path) -> Any:
    import pyarrow.parquet as pq

    try:
        return pq.read_table(path)
    except (OSError, ValueError) as error:
        raise RunError(f"{path} cannot be read ({error}); delete the run's folder to run again") from error


@lru_cache(maxsize=1)
def code_digest() -> str:
    """Digest of the packages on which the numbers depend, and of the settings."""
    digest, package = hashlib.sha256(), Path(__file__).parent.parent
    files = [package / "config.py", package / "modalities.py"]
    for name in CODE:
        files += sorted((package / name).rglob("*.py"))
    for file in files:
        digest.update(file.relative_to(package).as_posix().encode() + b"\0" + file.read_bytes())
    return digest.hexdigest()


def run_id(config: Config, data_digest: str) -> str:
    """Name of the run of a configuration on data with this digest, with this code."""
    content = json.dumps([config.to_dict(), data_digest, code_digest(), model_source(config.model)], sort_keys=True)
    return hashlib.sha256(content.encode()).hexdigest()[:16]


def find_run(config: Config, store: str | Path = "runs", dataset: SpectraDataset | None = None) -> Run | None:
    """The finished run of a configuration, or None."""
    path = Path(store) / run_id(config, _data_digest(config, dataset))
    return Run(path) if (path / "DONE").exists() else None


@lru_cache(maxsize=8)
def _cached_dataset(config: Config) -> SpectraDataset:
    return load_dataset(config)


def _dataset(config: Config) -> SpectraDataset:
    """The data of a configuration; read once for all configurations that share them."""
    keys = ("dataset", "molecules", "modalities", "resample", "nuisance", "test_tenths")
    return _cached_dataset(Config(**{key: getattr(config, key) for key in keys}))


def _data_digest(config: Config, dataset: SpectraDataset | None) -> str:
    """Digest of the data of a run, with those that it is pretrained on."""
    before = config.pretraining()
    own = (dataset or _dataset(config)).digest
    return own if before is None else hashlib.sha256((own + _dataset(before).digest).encode()).hexdigest()


def run(
    config: Config,
    store: str | Path = "runs",
    device: str = "auto",
    dataset: SpectraDataset | None = None,
    report: Report | None = None,
    checkpoint_seconds: float = 30.0,
) -> Run:
    """Train a configuration, or read the run if it was trained before.

    One that is pretrained (`symspectra.config.Config.pretraining`) starts from the weights of that run, which is made
    first if the store lacks it.

    Parameters
    ----------
    store : folder of the runs
    dataset : data of your own instead of ``config.dataset`` (`symspectra.datasets.base.ArrayDataset`)
    report : called with the numbers of each epoch; they also go to ``progress.jsonl`` while the run lasts

    Raises
    ------
    RunError : the store cannot be written (a full disk, say); nothing is left under the run's name.
    ConfigError : the device is not there.
    DataError : from reading the data, or from `symspectra.training.training.train`.
    FloatingPointError : the loss is no longer finite.
    """
    return run_together([config], store, device, dataset, [report], checkpoint_seconds)[0]


def run_together(
    configs: Sequence[Config],
    store: str | Path = "runs",
    device: str = "auto",
    dataset: SpectraDataset | None = None,
    reports: Sequence[Report | None] | None = None,
    checkpoint_seconds: float = 30.0,
) -> list[Run]:
    """As `run` for each of several seeds of one configuration, those that are not in the store trained at once.

    Raises
    ------
    ConfigError : the configurations are not `symspectra.training.stacked.stackable`; otherwise as `run`.
    """
    from safetensors import SafetensorError

    on, dataset, store = choose_device(device), dataset or _dataset(configs[0]), Path(store)
    jobs = {}
    for config, report in zip(configs, reports or [None] * len(configs), strict=True):
        path = store / run_id(config, _data_digest(config, dataset))
        jobs[path] = _Job(config, path, store / f"{path.name}.partial", report)
    missing = _missing(jobs.values())
    before = [job.config.pretraining() for job in missing]
    if any(before):
        starts = run_together([config for config in before if config is not None], store, device)
        for job, start in zip(missing, starts, strict=True):
            job.start = start.path / "weights.safetensors"
    try:
        with _lock(missing):
            missing = _missing(missing)
            if missing:
                _train_into(missing, dataset, on, checkpoint_seconds)
    except (OSError, SafetensorError) as error:
        named = ", ".join(str(job.path) for job in missing)
        raise RunError(f"{named}: the run could not be written ({error}); the next call resumes it") from error
    if processes.rank() == 0:
        for job in jobs.values():
            shutil.rmtree(job.work, ignore_errors=True)
    return [Run(path) for path in jobs]


@dataclass
class _Job:
    """A run that may have to be trained, its final folder and the one it is made in."""

    config: Config
    path: Path
    work: Path
    report: Report | None
    start: Path | None = None

    def log(self, epoch: dict[str, float]) -> None:
        """Write down the numbers of an epoch, and hand them on."""
        if processes.rank() == 0:
            with open(self.work / "progress.jsonl", "a") as f:
                f.write(json.dumps(epoch) + "\n")
        if self.report is not None:
            self.report(epoch)


def _missing(jobs: Iterable[_Job]) -> list[_Job]:
    """Those that are not finished, as the first of the processes sees it."""
    jobs = list(jobs)
    done = processes.agree([(job.path / "DONE").exists() for job in jobs])
    return [job for job, there in zip(jobs, done, strict=True) if not there]


@contextlib.contextmanager
def _lock(jobs: Sequence[_Job]) -> Iterator[None]:
    """Hold runs, so that two processes that ask for one train it once; of processes that train together one does."""
    with contextlib.ExitStack() as stack:
        for job in sorted(jobs, key=lambda job: job.path) if processes.rank() == 0 else ():
            job.work.mkdir(parents=True, exist_ok=True)
            fcntl.flock(stack.enter_context(open(job.work / "lock", "w")), fcntl.LOCK_EX)
        yield


def _train_into(jobs: Sequence[_Job], dataset: SpectraDataset, device: torch.device, checkpoint_seconds: float) -> None:
    """Train, write everything into the working folders, and rename those to the names of the runs."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    reset_peak_memory()
    checkpoints = [job.work / "checkpoint.safetensors" for job in jobs]
    if len(jobs) == 1:
        job = jobs[0]
        results = [train(job.config, dataset, device, checkpoints[0], checkpoint_seconds, job.log, job.start)]
    else:
        configs, logs, starts = zip(*((job.config, job.log, job.start) for job in jobs), strict=True)
        results = train_together(configs, dataset, device, checkpoints, checkpoint_seconds, logs, starts)
    for job, result in zip(jobs, results, strict=True):
        if processes.rank() == 0:
            finished = job.work / "finished"
            shutil.rmtree(finished, ignore_errors=True)
            finished.mkdir()
            _write_results(finished, result, job.config, device, len(jobs))
            (finished / "DONE").write_text("")
            shutil.rmtree(job.path, ignore_errors=True)  # a folder without DONE is not a run
            os.replace(finished, job.path)
    processes.agree("written")


def _write_results(folder: Path, result: TrainingResult, config: Config, device: torch.device, together: int) -> None:
    """config, metrics, environment, history, predictions, training weights, model weights."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    state, dataset, y_of, p_of, rows_of = result.state, result.dataset, {}, {}, {}
    for split in ("validation", "test"):
        rows_of[split] = dataset.rows(split)
        y_of[split] = dataset.y[rows_of[split]].cpu().numpy()
        p_of[split] = predict(result.model, dataset, rows_of[split]).numpy()
    n_train = len(dataset.rows("train"))
    groups = evaluated_groups(dataset)
    metrics: dict[str, Any] = {
        split: multilabel_metrics(y_of[split], p_of[split], groups=groups)
        for split in y_of
        if y_of[split][:, groups.numpy()].any()
    }
    threshold = tune_thresholds(y_of["validation"], p_of["validation"])
    if "test" in metrics:
        metrics["test_tuned_thresholds"] = multilabel_metrics(y_of["test"], p_of["test"], threshold, groups)
    metrics |= {
        "thresholds": threshold.tolist(),
        "best_epoch": state.best_epoch,
        "molecules": {"train": n_train} | {split: len(y) for split, y in y_of.items()},
        "train_positives": dataset.y[dataset.rows("train")].sum(dim=0).tolist(),
        "parameters": sum(p.numel() for p in result.model.parameters()),
        "seconds": round(state.seconds, 2),
        "trained_together": together,
        "processes": processes.number(),
        "samples_per_second": round(n_train * state.epoch / max(state.seconds, 1e-9), 1),
        "peak_memory_mb": peak_memory_mb(),
        "peak_gpu_memory_mb": torch.cuda.max_memory_allocated(device) / 2**20 if device.type == "cuda" else None,
    }
    for name, content in (("config", config.to_dict()), ("metrics", metrics), ("environment", environment(device))):
        (folder / f"{name}.json").write_text(json.dumps(content, indent=1) + "\n")
    pq.write_table(pa.Table.from_pylist(state.history), folder / "history.parquet")
    rows = [
        {"molecule": dataset.ids[row], "split": split, "groups": y.tolist(), "probability": p.tolist()}
        for split in y_of
        for row, y, p in zip(rows_of[split].tolist(), y_of[split], p_of[split], strict=True)
    ]
    pq.write_table(pa.Table.from_pylist(rows), folder / "predictions.parquet")
    if result.group_weight is not None:
        ids = [dataset.ids[row] for row in dataset.rows("train").tolist()]
        weights = [("molecule", *pair) for pair in zip(ids, result.sample_weight.tolist(), strict=True)]
        weights += [("group", *pair) for pair in zip(NAMES, result.group_weight.tolist(), strict=True)]
        table = [dict(zip(("kind", "name", "weight"), entry, strict=True)) for entry in weights]
        pq.write_table(pa.Table.from_pylist(table), folder / "training_weights.parquet")
    save_model(folder / "weights.safetensors", result.model, config)


def environment(device: torch.device) -> dict[str, Any]:
    """What a run ran on, and the digest of the code."""
    return {**surroundings(device), "code": code_digest()}

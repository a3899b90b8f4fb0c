"""Training into the run store: ``run(config)`` trains a configuration once; a second call reads what the first wrote.

A run's id is the digest of its configuration, of its data and of the code that makes the result. Its folder appears
under its name only when everything is in it. An interrupted run leaves a checkpoint, from which the next call goes on.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
import sys
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch

from symspectra.config import Config
from symspectra.datasets.base import SpectraDataset, evaluated_groups, load_dataset
from symspectra.datasets.splits import SPLITS
from symspectra.errors import RunError
from symspectra.models.registry import labels_of, own_source, save_model
from symspectra.training.fit import Report, of_data, predict, train
from symspectra.training.machine import choose_device, peak_memory_mb, reset_peak_memory, surroundings
from symspectra.training.metrics import multilabel_metrics, tune_thresholds
from symspectra.training.store import DONE, Run, mark_done, stored, write_predictions, write_weights
from symspectra.training.trainer import TrainingResult

# Packages on which the numbers of a run depend; a change in any of their modules makes new runs.
CODE = ("groups", "spectra", "models", "datasets", "training")


@lru_cache(maxsize=1)
def code_digest() -> str:
    """Digest of the packages on which the numbers depend, and of the settings."""
    digest, package = hashlib.sha256(), Path(__file__).parent.parent
    files = [package / f"{name}.py" for name in ("config", "settings", "modalities")]
    for name in CODE:
        files += sorted((package / name).rglob("*.py"))
    for file in files:
        digest.update(file.relative_to(package).as_posix().encode() + b"\0" + file.read_bytes())
    return digest.hexdigest()


def run_id(config: Config, data_digest: str) -> str:
    """Name of the run of a configuration on data with this digest, with this code."""
    content = json.dumps([config.to_dict(), data_digest, code_digest(), own_source(config)], sort_keys=True)
    return hashlib.sha256(content.encode()).hexdigest()[:16]


def name_of(config: Config, dataset: SpectraDataset | None = None) -> str:
    """Name of the run of a configuration, on data of one's own or on those that it names, with this code."""
    if dataset is not None:
        config = of_data(config, dataset)
    return run_id(config, _data_digest(config, dataset))


def find_run(config: Config, store: str | Path = "runs", dataset: SpectraDataset | None = None) -> Run | None:
    """The finished run of a configuration, or None."""
    path = Path(store) / name_of(config, dataset)
    return Run(path) if (path / DONE).exists() else None


@lru_cache(maxsize=8)
def _named(config: Config) -> SpectraDataset:
    return load_dataset(config)


def _dataset(config: Config) -> SpectraDataset:
    """The data that a configuration names; read once for all configurations that share them."""
    keys = {"dataset", "molecules", "least_positives", "test_molecules", "test_tenths", "test_unseen"}
    keys |= {"modalities", "resample", "ir_intensity", "nuisance"}
    return _named(Config(**config.data.model_dump(include=keys)))


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
    dataset : data of your own instead of ``config.data.dataset`` (`symspectra.datasets.base.ArrayDataset`); their
        labels become those of the run, and its ``config.json`` says their name, digest and counts
    report : called with the numbers of each epoch; they also go to ``progress.jsonl`` while the run lasts

    Raises
    ------
    RunError : the store cannot be written (a full disk, say); nothing is left under the run's name.
    ConfigError : the device is not there.
    DataError : from reading the data, or from `symspectra.training.fit.train`.
    FloatingPointError : the loss is no longer finite.
    """
    on, given = choose_device(device), dataset is not None
    dataset = dataset if given else _dataset(config)
    config = of_data(config, dataset)
    path = Path(store) / name_of(config, dataset)
    work = path.with_name(f"{path.name}.partial")
    if not (path / DONE).exists():
        before = config.pretraining()
        start = run(before, store, device).weights if before else None
        try:
            with _lock(work):
                if not (path / DONE).exists():
                    result = _train(work, config, dataset, on, start, report, checkpoint_seconds)
                    finished = work / "finished"
                    shutil.rmtree(finished, ignore_errors=True)
                    finished.mkdir()
                    _write_results(finished, result, config, on, _said(dataset) if given else {})
                    mark_done(finished)
                    shutil.rmtree(path, ignore_errors=True)  # a folder without DONE is not a run
                    os.replace(finished, path)
        except OSError as error:
            raise RunError(f"{path}: the run could not be written ({error})") from error
    shutil.rmtree(work, ignore_errors=True)
    return Run(path)


@contextlib.contextmanager
def _lock(work: Path) -> Iterator[None]:
    """Hold a run, so that two processes that ask for it train it once; say so where another one has it."""
    work.mkdir(parents=True, exist_ok=True)
    with open(work / "lock", "w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print(f"{work} is in use by another process; waiting for it", file=sys.stderr, flush=True)
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _train(
    work: Path,
    config: Config,
    dataset: SpectraDataset,
    device: torch.device,
    start: Path | None,
    report: Report | None,
    checkpoint_seconds: float,
) -> TrainingResult:
    """Train, with the checkpoint and the numbers of each epoch in the working folder."""

    def log(epoch: dict[str, float]) -> None:
        with open(work / "progress.jsonl", "a") as f:
            f.write(json.dumps(epoch) + "\n")
        if report is not None:
            report(epoch)

    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    reset_peak_memory()
    return train(config, dataset, device, work / "checkpoint.safetensors", checkpoint_seconds, log, start)


def _said(dataset: SpectraDataset) -> dict[str, Any]:
    """Name, digest and counts of data that were given to `run`."""
    counts = {"molecules": {split: len(dataset.rows(split)) for split in SPLITS}}
    name = getattr(dataset, "name", type(dataset).__name__)
    return {"given": {"name": name, "digest": dataset.digest, "counts": getattr(dataset, "counts", counts)}}


def _write_results(
    folder: Path, result: TrainingResult, config: Config, device: torch.device, given: dict[str, Any]
) -> None:
    """config, metrics, environment, history, predictions, training weights, model weights."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    state, dataset, names = result.state, result.dataset, labels_of(config)
    rows_of = {split: dataset.rows(split) for split in SPLITS}
    n_train = len(rows_of.pop("train"))
    y_of = {split: dataset.y[rows].cpu().numpy() for split, rows in rows_of.items()}
    p_of = {split: stored(predict(result.model, dataset, rows).numpy()) for split, rows in rows_of.items()}
    groups = evaluated_groups(dataset)
    metrics: dict[str, Any] = {
        split: multilabel_metrics(y, p_of[split], groups=groups, names=names)
        for split, y in y_of.items()
        if y[:, groups.numpy()].any()
    }
    threshold = tune_thresholds(y_of["validation"], p_of["validation"])
    if "test" in metrics:
        metrics["test_tuned_thresholds"] = multilabel_metrics(y_of["test"], p_of["test"], threshold, groups, names)
    metrics |= {
        "thresholds": threshold.tolist(),
        "molecules": {"train": n_train} | {split: len(y) for split, y in y_of.items()},
        "evaluated": groups.nonzero().flatten().tolist(),
        "train_positives": dataset.y[dataset.rows("train")].sum(dim=0).tolist(),
        "parameters": sum(p.numel() for p in result.model.parameters()),
        "seconds": round(state.seconds, 2),
        "samples_per_second": round(n_train * state.epoch / max(state.seconds, 1e-9), 1),
        "peak_memory_mb": peak_memory_mb(),
        "peak_gpu_memory_mb": torch.cuda.max_memory_allocated(device) / 2**20 if device.type == "cuda" else None,
    }
    environment = {**surroundings(device), "code": code_digest()}
    for name, content in (("config", config.to_dict() | given), ("metrics", metrics), ("environment", environment)):
        (folder / f"{name}.json").write_text(json.dumps(content, indent=1) + "\n")
    pq.write_table(pa.Table.from_pylist(state.history), folder / "history.parquet")
    ids = {split: [dataset.ids[row] for row in rows.tolist()] for split, rows in rows_of.items()}
    write_predictions(folder, ids, y_of, p_of)
    if result.group_weight is not None:
        ids = [dataset.ids[row] for row in dataset.rows("train").tolist()]
        write_weights(folder, ids, names, result.sample_weight.tolist() + result.group_weight.flatten().tolist())
    save_model(folder / "weights.safetensors", result.model, config)

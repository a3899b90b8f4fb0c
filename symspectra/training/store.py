"""Reading the run store: one folder per configuration, named by its content, complete or not there."""

from __future__ import annotations

import hashlib
import io
import json
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
import torch
from jaxtyping import Float

from symspectra.config import Config
from symspectra.errors import ConfigError, RunError
from symspectra.files import digest, written
from symspectra.models.base import SpectrumClassifier
from symspectra.models.registry import labels_of, load_model

DONE = "DONE"  # the file that makes a folder a run
STEPS = np.float32(65_535)  # probabilities are kept in steps of one over this


class _Metrics(dict):
    """What was measured, with a sentence for the scores that there are not."""

    def __init__(self, path: Path, values: dict[str, Any]):
        super().__init__(values)
        self.path = path

    def __missing__(self, name: str) -> None:
        if name not in ("validation", "test", "test_tuned_thresholds"):
            raise KeyError(name)
        n = self["molecules"][name.split("_")[0]]
        raise RunError(f"{self.path}: there are no {name} scores: no positive label among its {n} molecules")


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
        settings = self._json("config")
        settings.pop("given", None)
        try:
            return Config.from_dict(settings)
        except ConfigError as error:  # of a model or prior that is not registered here
            raise ConfigError(f"{self.path / 'config.json'}: {error}") from error

    @cached_property
    def given(self) -> dict[str, Any] | None:
        """Name, digest and counts of the data, where these were given to `symspectra.training.runs.run`; else None."""
        return self._json("config").get("given")

    @property
    def labels(self) -> tuple[str, ...]:
        """Names of what is predicted."""
        return labels_of(self.config)

    @cached_property
    def metrics(self) -> dict[str, Any]:
        """Metrics on validation and test (`symspectra.training.metrics`), and what the run cost.

        A split without any positive label has none; asking for it raises RunError.
        """
        return _Metrics(self.path, self._json("metrics"))

    @cached_property
    def environment(self) -> dict[str, Any]:
        """What the run ran on: versions, device, digest of the code."""
        return self._json("environment")

    @cached_property
    def history(self) -> list[dict[str, float]]:
        """One entry per epoch: losses, learning rate, validation scores."""
        return self._table("history").to_pylist()

    def predictions(self, split: str = "test") -> tuple[tuple[str, ...], np.ndarray, np.ndarray]:
        """Molecules, labels and probabilities (molecule, label) of ``validation`` or ``test``."""
        table = self._table("predictions")
        table = table.filter(np.asarray(table["split"]) == split)
        y, p = (
            np.asarray(table[name].combine_chunks().flatten()).reshape(-1, table[name].type.list_size)
            for name in ("groups", "probability")
        )
        return tuple(table["molecule"].to_pylist()), y.astype(bool), p / STEPS

    def training_weights(self) -> tuple[dict[str, float], dict[str, float], dict[str, float]] | None:
        """Mean weights in the loss: of each training molecule (Eq. 11), of each group, and of it where it is present.

        None where the model has no weights. A group that no training molecule has is NaN in the last.
        """
        name = "training_weights.parquet"
        if name not in self._written() and not (self.path / name).exists():
            return None
        rows = self._table("training_weights").to_pylist()
        kinds = ("molecule", "group", "positives")
        return tuple({r["name"]: r["weight"] for r in rows if r["kind"] == kind} for kind in kinds)

    @property
    def weights(self) -> Path:
        """The trained weights, a file whose content was compared with what the run wrote.

        RunError where the run was read from a record, which has none (`symspectra.experiments.records`).
        """
        if "weights.safetensors" not in self._written():
            raise RunError(f"{self.path} comes from a record, without trained weights; make reproduce trains it again")
        self.content("weights.safetensors")
        return self.path / "weights.safetensors"

    def load(self, device: torch.device | str = "cpu") -> SpectrumClassifier:
        """The trained model, in evaluation mode."""
        return load_model(self.weights, device)[0]

    def _json(self, name: str) -> dict[str, Any]:
        try:
            return json.loads(self.content(f"{name}.json"))
        except ValueError as error:
            raise self._damaged(f"{name}.json", error) from error

    def _table(self, name: str) -> Any:
        import pyarrow.parquet as pq

        try:
            return pq.read_table(io.BytesIO(self.content(f"{name}.parquet")))
        except (OSError, ValueError) as error:
            raise self._damaged(f"{name}.parquet", error) from error

    def _written(self) -> dict[str, str]:
        """Digests of the files as the run wrote them."""
        try:
            return dict(json.loads((self.path / DONE).read_text()))
        except (OSError, ValueError, TypeError) as error:
            raise self._damaged(DONE, error) from error

    def content(self, name: str) -> bytes:
        """A file of the run, as it was written."""
        try:
            content = (self.path / name).read_bytes()
        except OSError as error:
            raise self._damaged(name, error) from error
        if hashlib.sha256(content).hexdigest() != self._written().get(name):
            raise self._damaged(name, "its content is not what the run wrote")
        return content

    def _damaged(self, name: str, why: object) -> RunError:
        return RunError(f"{self.path / name} cannot be read ({why}); delete the folder to run again")


def derived(run: Run, name: str, compute: Callable[[Run], np.ndarray]) -> np.ndarray:
    """What is computed from the weights of a run, once: the store keeps it under a name that says what it depends on.

    A change in the module of ``compute`` makes it anew. `RunError` where what is kept is damaged.
    """
    path = derived_path(run, name, compute.__module__)
    if not path.exists():
        value = compute(run)
        with written(path) as temporary, open(temporary, "wb") as file:
            np.savez_compressed(file, value=value, name=name, module=compute.__module__)
    return read_derived(path)["value"]


def read_derived(path: Path) -> dict[str, np.ndarray]:
    """What `derived` keeps in a file: a value, its name, and the module that computed it."""
    try:
        with np.load(path) as content:
            return dict(content)
    except (OSError, ValueError, EOFError, BadZipFile, zlib.error) as error:
        raise RunError(f"{path} cannot be read ({error}); delete it to compute it again") from error


def derived_path(run: Run, name: str, module: str) -> Path:
    """Where `derived` keeps it: beside the run, by the digest of the name and of the module's source."""
    source = Path(find_spec(module).origin).read_bytes()
    key = hashlib.sha256(name.encode() + b"\0" + source).hexdigest()[:16]
    return run.path.parent / "derived" / run.id / f"{key}.npz"


def stored(p: Float[np.ndarray, "molecule label"]) -> Float[np.ndarray, "molecule label"]:
    """Probabilities as `Run.predictions` gives them back; the scores of a run are those of these."""
    return _steps(p) / STEPS


def _steps(p: np.ndarray) -> np.ndarray:
    return np.rint(p.astype(np.float64) * STEPS).astype(np.uint16)


def write_predictions(
    folder: Path, ids: dict[str, list[str]], y: dict[str, np.ndarray], p: dict[str, np.ndarray]
) -> None:
    """Molecules, labels and probabilities (molecule, label) of each split, for `Run.predictions`."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    def rows(parts: dict[str, np.ndarray]) -> pa.Array:
        whole = np.concatenate([*parts.values()])
        return pa.FixedSizeListArray.from_arrays(whole.ravel(), whole.shape[1])

    columns = {
        "molecule": [name for part in ids.values() for name in part],
        "split": [split for split, part in ids.items() for _ in part],
        "groups": rows(y),
        "probability": rows({split: _steps(part) for split, part in p.items()}),
    }
    pq.write_table(pa.table(columns), folder / "predictions.parquet", compression="zstd")


def write_weights(folder: Path, molecules: list[str], labels: Sequence[str], weights: list[float]) -> None:
    """Weights in the loss of each molecule, each label, and each label where it is present: `Run.training_weights`."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    kinds = ["molecule"] * len(molecules) + ["group"] * len(labels) + ["positives"] * len(labels)
    table = {"kind": kinds, "name": [*molecules, *labels, *labels], "weight": weights}
    pq.write_table(pa.table(table), folder / "training_weights.parquet")


def mark_done(folder: Path) -> None:
    """Write the digests of all files of a run's folder into its file DONE, which makes it a run."""
    digests = {file.name: digest(file) for file in sorted(folder.iterdir())}
    (folder / DONE).write_text(json.dumps(digests, indent=1))

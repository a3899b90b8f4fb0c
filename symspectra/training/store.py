"""Reading the run store: one folder per configuration, named by its content, complete or not there."""

from __future__ import annotations

import hashlib
import io
import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch

from symspectra.config import Config
from symspectra.errors import RunError
from symspectra.files import digest
from symspectra.models.base import SpectrumClassifier
from symspectra.models.registry import load_model

DONE = "DONE"  # the file that makes a folder a run


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
        """One entry per epoch: losses, learning rate, validation scores."""
        return self._table("history").to_pylist()

    def predictions(self, split: str = "test") -> tuple[tuple[str, ...], np.ndarray, np.ndarray]:
        """Molecules, labels (N, 37) and probabilities (N, 37) of ``validation`` or ``test``."""
        table = self._table("predictions").to_pylist()
        rows = [row for row in table if row["split"] == split]
        y, p = (np.array([row[name] for row in rows]).reshape(len(rows), -1) for name in ("groups", "probability"))
        return tuple(row["molecule"] for row in rows), y.astype(bool), p

    def training_weights(self) -> tuple[dict[str, float], dict[str, float]] | None:
        """Mean weight in the loss of each training molecule and of each group; None where the model has none."""
        name = "training_weights.parquet"
        if name not in self._written() and not (self.path / name).exists():
            return None
        rows = self._table("training_weights").to_pylist()
        kinds = ("molecule", "group")
        return tuple({r["name"]: r["weight"] for r in rows if r["kind"] == kind} for kind in kinds)

    @property
    def weights(self) -> Path:
        """The weights of its best validation epoch, a file whose content was compared with what the run wrote."""
        self._bytes("weights.safetensors")
        return self.path / "weights.safetensors"

    def load(self, device: torch.device | str = "cpu") -> SpectrumClassifier:
        """The model with the weights of its best validation epoch, in evaluation mode."""
        return load_model(self.weights, device)[0]

    def _json(self, name: str) -> dict[str, Any]:
        try:
            return json.loads(self._bytes(f"{name}.json"))
        except ValueError as error:
            raise self._damaged(f"{name}.json", error) from error

    def _table(self, name: str) -> Any:
        import pyarrow.parquet as pq

        try:
            return pq.read_table(io.BytesIO(self._bytes(f"{name}.parquet")))
        except (OSError, ValueError) as error:
            raise self._damaged(f"{name}.parquet", error) from error

    def _written(self) -> dict[str, str]:
        """Digests of the files as the run wrote them."""
        try:
            return dict(json.loads((self.path / DONE).read_text()))
        except (OSError, ValueError, TypeError) as error:
            raise self._damaged(DONE, error) from error

    def _bytes(self, name: str) -> bytes:
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


def mark_done(folder: Path) -> None:
    """Write the digests of all files of a run's folder into its file DONE, which makes it a run."""
    digests = {file.name: digest(file) for file in sorted(folder.iterdir())}
    (folder / DONE).write_text(json.dumps(digests, indent=1))

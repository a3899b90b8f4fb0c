"""Results that travel: what the notebooks need of the runs of a profile, without weights, in three small tables.

``runs.parquet`` has a row per run: settings, scores, history, weights of the training molecules, and of every test
molecule and label, in bits, whether the probability is on the wrong side of 0.5, and whether the threshold that
validation chose is on another side of it than 0.5. ``molecules.parquet`` has the molecules that runs share, and
``derived.parquet`` what was computed from the weights (`symspectra.training.store.derived`). ``manifest.json`` has
their checksums.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from jaxtyping import Bool, Float

from symspectra.config import Config
from symspectra.errors import RunError
from symspectra.experiments.plan import planned_runs
from symspectra.experiments.profiles import Profile
from symspectra.files import check, write_manifest, written
from symspectra.models.registry import labels_of
from symspectra.training.runs import find_run, name_of
from symspectra.training.store import (
    STEPS,
    Run,
    derived_path,
    mark_done,
    read_derived,
    write_predictions,
    write_weights,
)

FOLDER = "records"  # beside the exhibits of the profile
TABLES = ("runs", "molecules", "derived")
TEXTS = ("config", "metrics", "environment")


def pack(profile: Profile, store: Path, folder: Path) -> None:
    """Write the record of all runs that the notebooks of a profile need.

    Raises
    ------
    RunError : the store lacks some of them.
    """
    runs = {config: find_run(config, store) for config in planned_runs(profile)}
    if missing := sum(run is None for run in runs.values()):
        instead = f"symspectra reproduce --profile {profile.name} trains them"
        raise RunError(f"{store} lacks {missing} of the {len(runs)} runs of profile {profile.name}; {instead}")
    molecules: dict[str, dict[str, Any]] = {}
    tables = {"runs": [_row(run, molecules) for run in runs.values()], "derived": []}
    for number, run in enumerate(runs.values()):
        for file in sorted((store / "derived" / run.id).glob("*.npz")):
            names = {key: str(value) for key, value in read_derived(file).items() if key != "value"}
            tables["derived"].append({"run": number, **names, "content": file.read_bytes()})
    tables["molecules"] = [{"digest": key, **row} for key, row in molecules.items()]
    with written(folder) as temporary:
        temporary.mkdir()
        for name in TABLES:
            table = pa.Table.from_pylist(tables[name])
            pq.write_table(table, temporary / f"{name}.parquet", compression="zstd", compression_level=19)
        write_manifest(temporary, {"profile": profile.name})


def unpack(profile: Profile, folder: Path, store: Path) -> list[Run]:
    """Make a run store of a record, for `symspectra.experiments.reproduce.execute_all`; weights are not in it.

    Raises
    ------
    RunError : there is no record, or it lacks runs that the notebooks need today.
    """
    instead = f"symspectra reproduce --profile {profile.name} trains"
    try:
        check(folder, instead)
        rows, molecules, kept = (pq.read_table(folder / f"{name}.parquet").to_pylist() for name in TABLES)
        recorded = {_settings(row): (number, row) for number, row in enumerate(rows)}
    except (OSError, ValueError, KeyError) as error:
        raise RunError(
            f"{folder}: cannot be read as the record of profile {profile.name} ({error}); {instead}"
        ) from error
    planned = planned_runs(profile)
    if missing := [config for config in planned if config not in recorded]:
        raise RunError(f"{folder} lacks {len(missing)} of the {len(planned)} runs that the notebooks need; {instead}")
    shared = {row["digest"]: row for row in molecules}
    runs = {}
    for config in planned:
        number, row = recorded[config]
        runs[number] = Run(store / name_of(config))
        _write(row, shared, runs[number])
    for row in kept:
        if row["run"] in runs:
            with written(derived_path(runs[row["run"]], row["name"], row["module"])) as temporary:
                temporary.write_bytes(row["content"])
    return [*runs.values()]


def _row(run: Run, molecules: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """A run as a row of ``runs``; its molecules go into ``molecules``, unless they are there."""

    def shared(names: Sequence[str], labels: Bool[np.ndarray, "molecule label"] | None = None) -> str:
        bits = b"" if labels is None else _bits(labels)
        key = hashlib.sha256("\n".join(names).encode() + b"\0" + bits).hexdigest()[:16]
        molecules.setdefault(key, {"names": list(names), "labels": bits})
        return key

    names, y, p = run.predictions("test")
    above, over = p >= 0.5, p >= np.array(run.metrics["thresholds"])
    row = {name: run.content(f"{name}.json").decode() for name in TEXTS} | {"history": json.dumps(run.history)}
    row |= {"test": shared(names, y), "wrong": _bits(above ^ y), "moved": _bits(above ^ over)}
    row |= {"trained": None, "weights": None}
    if weights := run.training_weights():
        values = np.array([value for part in weights for value in part.values()])
        short = values.astype(np.float32)
        row |= {"trained": shared([*weights[0]]), "weights": (short if (short == values).all() else values).tobytes()}
    return row


def _write(row: dict[str, Any], molecules: dict[str, dict[str, Any]], run: Run) -> None:
    """The folder of a run, of a row of ``runs``."""
    test, labels = molecules[row["test"]], labels_of(_settings(row))
    shape = len(test["names"]), len(labels)
    y, wrong, moved = (_of_bits(bits, shape) for bits in (test["labels"], row["wrong"], row["moved"]))
    p = _probability(wrong ^ y, wrong ^ y ^ moved, np.array(json.loads(row["metrics"])["thresholds"]))
    with written(run.path) as folder:
        folder.mkdir()
        for name in TEXTS:
            (folder / f"{name}.json").write_text(row[name])
        pq.write_table(pa.Table.from_pylist(json.loads(row["history"])), folder / "history.parquet")
        write_predictions(folder, {"test": test["names"]}, {"test": y.astype(np.uint8)}, {"test": p})
        if row["weights"]:
            names = molecules[row["trained"]]["names"]
            short = len(row["weights"]) == 4 * (len(names) + 2 * len(labels))
            values = np.frombuffer(row["weights"], np.float32 if short else np.float64)
            write_weights(folder, names, labels, values.tolist())
        mark_done(folder)


def _settings(row: dict[str, Any]) -> Config:
    return Config.from_dict({k: v for k, v in json.loads(row["config"]).items() if k != "given"})


def _bits(values: Bool[np.ndarray, "molecule label"]) -> bytes:
    return np.packbits(values.T).tobytes()  # a label after the other: long rows of zeros


def _of_bits(bits: bytes, shape: tuple[int, int]) -> Bool[np.ndarray, "molecule label"]:
    values = np.unpackbits(np.frombuffer(bits, np.uint8), count=shape[0] * shape[1])
    return values.reshape(shape[::-1]).T.astype(bool)


def _probability(
    above: Bool[np.ndarray, "molecule label"],
    over: Bool[np.ndarray, "molecule label"],
    threshold: Float[np.ndarray, " label"],
) -> Float[np.ndarray, "molecule label"]:
    """Probabilities on these sides of 0.5 (``above``) and of the thresholds (``over``): 0, or the least that are."""
    every = np.arange(STEPS + 1, dtype=np.uint16) / STEPS  # as a run gives them back
    steps = [np.searchsorted(every, bound(threshold, 0.5)) for bound in (np.minimum, np.maximum)]
    middle, top = (step / STEPS for step in steps)
    return np.where(above & over, top, np.where(above | over, middle, 0.0))

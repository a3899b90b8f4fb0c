"""How a prepared folder is written, whatever its spectra come from; `symspectra.datasets.prepared` reads it."""

from __future__ import annotations

import csv
import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from jaxtyping import Bool, Int

from symspectra import files
from symspectra.datasets.prepared import LEAST_TESTED, LEAST_TRAINED
from symspectra.datasets.splits import SPLITS
from symspectra.errors import DataError
from symspectra.groups.table8 import NAMES, from_bits
from symspectra.spectra.preprocessing import POINTS

PACKAGES = ("symspectra", "rdkit", "numpy", "torch", "pyarrow")


def check_new(out: Path) -> None:
    """Refuse a folder that is there already, with `DataError`."""
    if out.exists():
        raise DataError(f"{out}: exists; name a new folder, or remove this one")


def listed(counts: Mapping[str, int]) -> str:
    """``train 8, test 2``."""
    return ", ".join(f"{name} {count}" for name, count in counts.items())


@contextmanager
def new_folder(out: Path) -> Iterator[Path]:
    """An empty folder to fill, which is renamed to ``out`` when everything is in it; `DataError` where that fails."""
    check_new(out)
    try:
        with files.written(out) as folder:
            folder.mkdir()
            yield folder
    except OSError as error:
        raise DataError(f"{out}: cannot be written ({error}); nothing of it is left") from error


def versions() -> dict[str, str]:
    """Of the packages that the content of a folder depends on."""
    return {name: version(name) for name in PACKAGES}


def random_order(smiles: Sequence[str]) -> Int[np.ndarray, " molecule"]:
    """Molecules by the sha256 of their SMILES, so that every prefix is a random sample; equal ones as they come."""
    digests = np.array([hashlib.sha256(text.encode()).digest() for text in smiles], dtype="S32")
    return np.argsort(digests, kind="stable")


class FolderWriter:
    """A folder of N molecules: fill `vectors` and `present`, write the molecules, then finish.

    ``modalities`` are the names of the second axis. `OSError` is raised where the disk is full.
    """

    def __init__(self, folder: Path, molecules: int, modalities: Sequence[str]):
        self.folder, self.modalities = folder, tuple(modalities)
        shape = (molecules, len(self.modalities))
        self.vectors = files.new_array(folder / "vectors.npy", np.float16, (*shape, POINTS))
        self.present = np.zeros(shape, dtype=bool)

    def write_molecules(self, tables: Iterable[pa.Table]) -> None:
        """Write ``molecules.parquet``: tables with at least inchikey, smiles, groups and split."""
        groups, split, writer = [], [], None
        try:
            for table in tables:
                writer = writer or pq.ParquetWriter(self.folder / "molecules.parquet", table.schema, compression="zstd")
                writer.write_table(table)
                groups.append(table["groups"].to_numpy())
                split.append(np.array(table["split"].to_pylist(), dtype="U10"))
        finally:
            if writer is not None:
                writer.close()
        self._groups, self._split = np.concatenate(groups), np.concatenate(split)

    def finish(
        self,
        kind: str,
        rejects: Iterable[tuple[str, Any, str]],
        place: str,
        summary: Mapping[str, Any],
        used: Bool[np.ndarray, " molecule"] | None = None,
        **card: Any,
    ) -> dict[str, Any]:
        """Write everything else; return the ``summary`` with the numbers of molecules by split and group.

        Parameters
        ----------
        kind : ``measured`` or ``alberts``
        rejects : file, place in it and reason of each that was left out; ``place`` is what the place is called
        used : molecules whose groups are counted, all by default
        card : what else the manifest says
        """
        self.vectors.flush()
        np.save(self.folder / "present.npy", self.present)
        reasons: Counter = Counter()
        with open(self.folder / "rejects.csv", "w", newline="", encoding="utf-8") as f:
            table = csv.writer(f)
            table.writerow(("file", place, "reason"))
            for row in rejects:
                table.writerow(row)
                reasons[row[-1]] += 1
        counts = self._counts(used)
        whole = {
            "molecules": len(self.present),
            "splits": {name: int((self._split == name).sum()) for name in SPLITS},
            **summary,
            "groups": counts,
            **{f"groups_evaluated_{split}": evaluated(counts, split) for split in ("test", "validation")},
            "rejects": dict(reasons.most_common()),
        }
        files.write_manifest(self.folder, {"kind": kind, "modalities": self.modalities, **card, "summary": whole})
        return whole

    def _counts(self, used: Bool[np.ndarray, " molecule"] | None) -> dict[str, dict[str, int]]:
        """Molecules with each functional group by split, among the used ones."""
        groups, used = from_bits(self._groups), True if used is None else used
        counts = {name: groups[used & (self._split == name)].sum(axis=0) for name in SPLITS}
        return {group: {name: int(counts[name][i]) for name in SPLITS} for i, group in enumerate(NAMES)}


def evaluated(counts: Mapping[str, Mapping[str, int]], split: str = "test") -> list[str]:
    """Groups with enough positives: `LEAST_TRAINED` in training and `LEAST_TESTED` in ``split``."""
    return [group for group, n in counts.items() if n["train"] >= LEAST_TRAINED and n[split] >= LEAST_TESTED]

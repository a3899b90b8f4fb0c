"""What was made of one source file: a folder that appears when everything is in it, with its checksums.

``vectors.bin`` (N, 5, 600) in half precision, ``molecules.arrow`` one row per molecule, ``rejects.csv`` the rows of the
file that could not be used, ``manifest.json`` what it was made from.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from symspectra import files
from symspectra.datasets.alberts.columns import MODALITIES, SourceFile, batches
from symspectra.datasets.alberts.structures import structures
from symspectra.datasets.alberts.vectors import vectors
from symspectra.datasets.writer import versions
from symspectra.errors import DataError
from symspectra.spectra.preprocessing import POINTS

SHAPE = (len(MODALITIES), POINTS)
SCHEMA = pa.schema(
    [
        ("row", pa.int64()),  # of the source file
        ("inchikey", pa.string()),  # first block
        ("smiles", pa.string()),  # canonical, without stereochemistry
        ("groups", pa.uint64()),
        *((name, pa.bool_()) for name in MODALITIES),  # whether there is a spectrum
    ]
)


@dataclass(frozen=True)
class Part:
    """A finished part; ``card`` is its manifest."""

    folder: Path
    card: dict[str, Any]

    @property
    def file(self) -> str:
        """Name of the source file."""
        return self.card["source"]["file"]

    @property
    def molecules(self) -> int:
        """How many rows were good."""
        return self.card["molecules"]

    def vectors(self) -> np.ndarray:
        """(N, 5, 600), read where it is looked at."""
        shape = (self.molecules, *SHAPE)
        return (
            np.memmap(self.folder / "vectors.bin", np.float16, "r", shape=shape) if self.molecules else np.zeros(shape)
        )

    def table(self) -> pa.Table:
        """Columns of `SCHEMA`, read where they are looked at."""
        with pa.memory_map(str(self.folder / "molecules.arrow")) as file, pa.ipc.open_file(file) as reader:
            return reader.read_all()

    def rejects(self) -> Iterator[tuple[int, str]]:
        """Row and reason, in the order of the rows."""
        with open(self.folder / "rejects.csv", newline="", encoding="utf-8") as f:
            yield from ((int(row), reason) for row, reason in csv.reader(f))


def settings(how: str) -> dict[str, Any]:
    """What a part depends on beside its source."""
    return {"format": 2, "resample": how, "versions": versions()}


def finished(job: tuple[SourceFile, Path, str]) -> Part | None:
    """The part of a source file, if there is one that was made with the same settings and is undamaged."""
    source, folder, how = job
    try:
        card = files.check(folder)
    except DataError:
        return None
    same = card.get("settings") == settings(how) and _stamp(source.path).items() <= card["source"].items()
    return Part(folder, card) if same else None


def make(job: tuple[SourceFile, Path, str]) -> Part:
    """Convert a source file into the part in a folder, which is replaced.

    Raises
    ------
    DataError : the source is damaged, or changes meanwhile.
    OSError : the part cannot be written.
    """
    source, folder, how = job
    stamp = _stamp(source.path)
    with files.written(folder) as temporary:
        temporary.mkdir()
        molecules = _convert(source, temporary, how)
        card = {"source": {**stamp, "sha256": files.digest(source.path), "rows": source.rows}}
        if _stamp(source.path) != stamp:
            raise DataError(f"{source.path}: changed while it was read")
        files.write_manifest(temporary, {**card, "settings": settings(how), "molecules": molecules})
    return Part(folder, files.check(folder))


def _stamp(path: Path) -> dict[str, Any]:
    status = path.stat()
    return {"file": path.name, "bytes": status.st_size, "modified_ns": status.st_mtime_ns}


def _convert(source: SourceFile, folder: Path, how: str) -> int:
    """Write the files of a part; return the number of molecules."""
    molecules = 0
    with (
        open(folder / "vectors.bin", "wb") as curves,
        open(folder / "rejects.csv", "w", newline="", encoding="utf-8") as rejected,
        pa.OSFile(str(folder / "molecules.arrow"), "wb") as sink,
        pa.ipc.new_file(sink, SCHEMA) as table,
    ):
        rejects = csv.writer(rejected)
        for first, batch in batches(source):
            x, rows, reasons = _converted(batch, source, how)
            curves.write(x.data)
            rows[0] += first
            table.write_batch(pa.record_batch(rows, schema=SCHEMA))
            rejects.writerows((first + i, reasons[i]) for i in np.flatnonzero(reasons != ""))
            molecules += len(x)
    return molecules


def _converted(batch: pa.RecordBatch, source: SourceFile, how: str) -> tuple[np.ndarray, list[Any], np.ndarray]:
    """Vectors of the good rows, their columns of `SCHEMA`, and the reason for each row that is not good."""
    spectra = vectors(batch, source.peaks, how)
    reasons = spectra.reasons
    row = np.flatnonzero(reasons == "")
    found = structures(batch.column("smiles").take(pa.array(row)).to_pylist())
    reasons[row] = found.reasons
    good = np.array([reason == "" for reason in found.reasons], dtype=bool)
    inchikey, smiles = (pa.array(texts, pa.string()).filter(pa.array(good)) for texts in (found.inchikey, found.smiles))
    columns = [row[good], inchikey, smiles, found.groups[good], *spectra.present[good].T]
    return spectra.x[good], columns, reasons

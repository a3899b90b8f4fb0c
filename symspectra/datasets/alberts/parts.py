"""What was made of one source file: a folder that appears when everything is in it, with its checksums.

``vectors.npy`` (row, 5, 600) in half precision and ``rows.parquet``, both with one row per row of the source;
``manifest.json`` says what it was made from.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from rdkit import rdBase

from symspectra import files
from symspectra.datasets.alberts.columns import MODALITIES, SourceFile, batches
from symspectra.datasets.alberts.structures import Structure, structure
from symspectra.datasets.alberts.vectors import vectors
from symspectra.datasets.writer import versions
from symspectra.errors import DataError
from symspectra.groups.table8 import to_bits
from symspectra.spectra.preprocessing import POINTS

SHAPE = (len(MODALITIES), POINTS)
SCHEMA = pa.schema(
    [
        ("inchikey", pa.string()),  # first block
        ("smiles", pa.string()),  # canonical, without stereochemistry
        ("groups", pa.uint64()),
        ("file", pa.string()),
        ("row", pa.int64()),
        ("reason", pa.string()),  # why the row cannot be used, empty if it can
        *((name, pa.bool_()) for name in MODALITIES),  # whether there is a spectrum
    ]
)


class Part(NamedTuple):
    """A finished part, and what its manifest says of the source."""

    folder: Path
    source: dict[str, Any]


def settings(how: str) -> dict[str, Any]:
    """What a part depends on beside its source."""
    return {"format": 3, "resample": how, "versions": versions()}


def finished(job: tuple[SourceFile, Path, str]) -> Part | None:
    """The part of a source file, if there is one that was made with the same settings and is undamaged."""
    source, folder, how = job
    try:
        card = files.check(folder)
    except DataError:
        return None
    same = card.get("settings") == settings(how) and _stamp(source.path).items() <= card["source"].items()
    return Part(folder, card["source"]) if same else None


def make(job: tuple[SourceFile, Path, str]) -> Part:
    """Convert a source file into the part in a folder, which is replaced."""
    source, folder, how = job
    stamp = _stamp(source.path)
    with files.written(folder) as temporary:
        temporary.mkdir()
        convert(source, temporary, how)
        stated = {**stamp, "sha256": files.digest(source.path), "rows": source.rows}
        if _stamp(source.path) != stamp:
            raise DataError(f"{source.path}: changed while it was read")
        files.write_manifest(temporary, {"source": stated, "settings": settings(how)})
    return Part(folder, stated)


def _stamp(path: Path) -> dict[str, Any]:
    status = path.stat()
    return {"file": path.name, "bytes": status.st_size, "modified_ns": status.st_mtime_ns}


def convert(source: SourceFile, folder: Path, how: str) -> None:
    """Write the vectors and the table of a part."""
    curves = files.new_array(folder / "vectors.npy", np.float16, (source.rows, *SHAPE))
    with pq.ParquetWriter(folder / "rows.parquet", SCHEMA) as table, rdBase.BlockLogs():
        for first, batch in batches(source):
            rows = np.arange(first, first + len(batch))
            curves[rows], present, reasons = vectors(batch, source.peaks, how)
            texts = batch.column("smiles").to_pylist()
            found = [Structure() if r else structure(t) for t, r in zip(texts, reasons, strict=True)]
            inchikey, smiles, groups, refused = zip(*found, strict=True)
            reasons = [reason or other for reason, other in zip(reasons, refused, strict=True)]
            name = [source.path.name] * len(batch)
            columns = [inchikey, smiles, to_bits(np.array(groups)), name, rows, reasons, *present.T]
            table.write_table(pa.table([pa.array(c) for c in columns], schema=SCHEMA))
    curves.flush()

"""Parts joined into one folder: each molecule once, in random order, a block at a time.

Kept in memory are the structures, some hundred bytes per row.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from jaxtyping import Int
from tqdm import tqdm

from symspectra.datasets.alberts.columns import MODALITIES
from symspectra.datasets.alberts.parts import SHAPE, Part
from symspectra.datasets.splits import split_of
from symspectra.datasets.writer import FolderWriter, random_order

BLOCK = 8192  # molecules written at a time: 49 MB
DUPLICATE = "molecule seen before"
SCHEMA = pa.schema(
    [
        *(("inchikey", pa.string()), ("smiles", pa.string()), ("groups", pa.uint64()), ("split", pa.string())),
        *(("file", pa.string()), ("row", pa.int64())),  # of the source
    ]
)


def assemble(
    parts: Sequence[Part], folder: Path, card: dict[str, Any], unique: bool = True, show: bool = False
) -> dict[str, Any]:
    """Write a data folder from parts; return its summary.

    Parameters
    ----------
    parts : of the same settings; of the molecules with one InChIKey block the first is kept
    folder : empty folder
    card : what else the manifest says
    unique : whether a molecule is kept only once
    show : show a progress bar

    Raises
    ------
    OSError : it cannot be written.
    """
    order = _order(parts, unique)
    writer = FolderWriter(folder, len(order), MODALITIES)
    writer.write_molecules(_molecules(parts, order, writer, show))
    spectra = dict(zip(MODALITIES, writer.present.sum(axis=0).tolist(), strict=True))
    rows = sum(part.card["source"]["rows"] for part in parts)
    sources = [{name: part.card["source"][name] for name in ("file", "sha256", "rows")} for part in parts]
    summary = {"files": len(parts), "rows": rows, "spectra": spectra}
    return writer.finish("alberts", _rejects(parts, order), "row", summary, sources=sources, **card)


def _starts(parts: Sequence[Part]) -> Int[np.ndarray, " part_and_end"]:
    """Number of the first molecule of each part, counted over all parts."""
    return np.cumsum([0, *(part.molecules for part in parts)])


def _order(parts: Sequence[Part], unique: bool) -> Int[np.ndarray, " molecule"]:
    """Molecules to keep, counted over all parts, in `random_order`."""
    tables = [part.table() for part in parts]
    keys = np.concatenate([np.array(table["inchikey"].to_pylist(), dtype="S14") for table in tables])
    smiles = [text for table in tables for text in table["smiles"].to_pylist()]
    kept = np.sort(np.unique(keys, return_index=True)[1]) if unique else np.arange(len(keys))
    return kept[random_order([smiles[i] for i in kept])]


def _molecules(parts: Sequence[Part], order: np.ndarray, writer: FolderWriter, show: bool) -> Iterator[pa.Table]:
    """The table of the molecules, a block at a time, whose vectors are filled in."""
    with tqdm(total=len(order), desc="writing", unit="molecule", disable=not show) as bar:
        for first in range(0, len(order), BLOCK):
            block, here = order[first : first + BLOCK], slice(first, first + BLOCK)
            writer.vectors[here], rows, writer.present[here] = _gathered(parts, block)
            yield rows
            bar.update(len(block))


def _gathered(parts: Sequence[Part], block: np.ndarray) -> tuple[np.ndarray, pa.Table, np.ndarray]:
    """Vectors, rows of `SCHEMA` and ``present`` of some molecules, from whichever parts they are in."""
    starts = _starts(parts)
    which = np.searchsorted(starts, block, side="right") - 1
    x, tables, places = np.empty((len(block), *SHAPE), np.float16), [], []
    for number in np.unique(which):
        part, place = parts[number], np.flatnonzero(which == number)
        rows = block[place] - starts[number]
        x[place] = part.vectors()[rows]
        found = part.table().take(pa.array(rows))
        tables.append(found.append_column("file", pa.array([part.file] * len(rows))))
        places.append(place)
    table = pa.concat_tables(tables).take(pa.array(np.argsort(np.concatenate(places))))
    there = np.stack([table[name].to_numpy() for name in MODALITIES], axis=1)
    table = table.append_column("split", pa.array([split_of(key) for key in table["inchikey"].to_pylist()]))
    return x, table.select(SCHEMA.names), there


def _rejects(parts: Sequence[Part], order: np.ndarray) -> Iterator[tuple[str, int, str]]:
    """File, row and reason of what was left out."""
    starts, kept = _starts(parts), np.zeros(_starts(parts)[-1], dtype=bool)
    kept[order] = True
    for part, start in zip(parts, starts[:-1], strict=True):
        again = part.table()["row"].to_numpy()[~kept[start : start + part.molecules]].tolist()
        for row, reason in heapq.merge(part.rejects(), ((row, DUPLICATE) for row in again)):
            yield part.file, row, reason

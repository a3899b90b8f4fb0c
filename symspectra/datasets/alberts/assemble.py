"""Parts joined into one folder: each molecule once, in random order, with a fixed amount of memory.

Kept in memory is an index of about 100 bytes a row; everything else is read and written a block at a time.
"""

from __future__ import annotations

import csv
import hashlib
import heapq
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from jaxtyping import Int
from tqdm import tqdm

from symspectra.datasets.alberts.columns import MODALITIES
from symspectra.datasets.alberts.parts import SHAPE, Part
from symspectra.datasets.measured.summary import evaluated
from symspectra.datasets.splits import SPLITS, split_of
from symspectra.groups.table8 import NAMES, from_bits
from symspectra.spectra.lines import file_digest

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
    counts = _write_molecules(parts, order, folder, show)
    rejects = _write_rejects(parts, order, folder / "rejects.csv")
    summary = _summary(parts, len(order), counts, rejects)
    manifest = {
        "kind": "alberts",
        "modalities": MODALITIES,
        "sources": [{name: part.card["source"][name] for name in ("file", "sha256", "rows")} for part in parts],
        "files": {path.name: file_digest(path) for path in sorted(folder.iterdir())},
        **card,
        "summary": summary,
    }
    (folder / "manifest.json").write_text(json.dumps(manifest, indent=1) + "\n")
    return summary


def _starts(parts: Sequence[Part]) -> Int[np.ndarray, " part_and_end"]:
    """Number of the first molecule of each part, counted over all parts."""
    return np.cumsum([0, *(part.molecules for part in parts)])


def _order(parts: Sequence[Part], unique: bool) -> Int[np.ndarray, " molecule"]:
    """Molecules to keep, counted over all parts, in ascending order of the sha256 of their SMILES."""
    n = _starts(parts)[-1]
    keys, digests, at = np.empty(n, "S14"), np.empty(n, "S32"), 0
    for part in parts:
        table, here = part.table(), slice(at, at := at + part.molecules)
        keys[here] = table["inchikey"].to_pylist()
        digests[here] = [hashlib.sha256(smiles.encode()).digest() for smiles in table["smiles"].to_pylist()]
    kept = np.sort(np.unique(keys, return_index=True)[1]) if unique else np.arange(n)
    return kept[np.argsort(digests[kept], kind="stable")]


def _write_molecules(parts: Sequence[Part], order: np.ndarray, folder: Path, show: bool) -> dict[str, Any]:
    """Vectors and the table, a block at a time; return how many molecules have what."""
    counts = {"spectra": np.zeros(len(MODALITIES), int), **{name: np.zeros(1 + len(NAMES), int) for name in SPLITS}}
    present = np.zeros((len(order), len(MODALITIES)), dtype=bool)
    header = {"descr": np.dtype(np.float16).str, "fortran_order": False, "shape": (len(order), *SHAPE)}
    bar = tqdm(total=len(order), desc="writing", unit="molecule", disable=not show)
    with ExitStack() as stack:
        stack.enter_context(bar)
        curves = stack.enter_context(open(folder / "vectors.npy", "wb"))
        table = stack.enter_context(pq.ParquetWriter(folder / "molecules.parquet", SCHEMA, compression="zstd"))
        np.lib.format.write_array_header_1_0(curves, header)
        for first in range(0, len(order), BLOCK):
            block = order[first : first + BLOCK]
            x, rows, there = _gathered(parts, block)
            curves.write(x.data)
            table.write_table(rows)
            present[first : first + BLOCK] = there
            _count(counts, rows, there)
            bar.update(len(block))
    np.save(folder / "present.npy", present)
    return counts


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


def _count(counts: dict[str, Any], rows: pa.Table, there: np.ndarray) -> None:
    """Add up molecules with each spectrum; and by split molecules, and those with each group."""
    counts["spectra"] += there.sum(axis=0)
    groups, split = from_bits(rows["groups"].to_numpy()), rows["split"].to_numpy(zero_copy_only=False)
    for name in SPLITS:
        counts[name] += [np.sum(split == name), *groups[split == name].sum(axis=0)]


def _write_rejects(parts: Sequence[Part], order: np.ndarray, path: Path) -> Counter:
    """What was left out of each file, by row; return how many by reason."""
    starts, kept, counts = _starts(parts), np.zeros(_starts(parts)[-1], dtype=bool), Counter()
    kept[order] = True
    with open(path, "w", newline="", encoding="utf-8") as f:
        writer = csv.writer(f)
        writer.writerow(("file", "row", "reason"))
        for part, start in zip(parts, starts[:-1], strict=True):
            again = ((row, DUPLICATE) for row in _rows(part, ~kept[start : start + part.molecules]))
            for row, reason in heapq.merge(part.rejects(), again):
                writer.writerow((part.file, row, reason))
                counts[reason] += 1
    return counts


def _rows(part: Part, wanted: np.ndarray) -> Iterator[int]:
    """Rows of the source of some molecules of a part."""
    yield from part.table()["row"].to_numpy()[wanted].tolist()


def _summary(parts: Sequence[Part], molecules: int, counts: dict[str, Any], rejects: Counter) -> dict[str, Any]:
    groups = {group: {name: int(counts[name][1 + i]) for name in SPLITS} for i, group in enumerate(NAMES)}
    return {
        "files": len(parts),
        "rows": sum(part.card["source"]["rows"] for part in parts),
        "molecules": molecules,
        "splits": {name: int(counts[name][0]) for name in SPLITS},
        "spectra": dict(zip(MODALITIES, counts["spectra"].tolist(), strict=True)),
        "groups": groups,
        "groups_evaluated_test": evaluated(groups, "test"),
        "groups_evaluated_validation": evaluated(groups, "validation"),
        "rejects": dict(rejects.most_common()),
    }

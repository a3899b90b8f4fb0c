"""A folder of the parquet files of Alberts et al. (2024) as a folder that a data set is read from.

``vectors.npy`` is what the models read, ``present.npy`` which spectra there are, ``molecules.parquet`` the structures,
labels and splits, ``rejects.csv`` what was left out and why, ``manifest.json`` where everything came from.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from rdkit import rdBase
from tqdm import tqdm

from symspectra import files
from symspectra.datasets.alberts.columns import MODALITIES, SourceFile, batches, source_files
from symspectra.datasets.alberts.vectors import vectors
from symspectra.datasets.splits import random_order, split_of
from symspectra.datasets.writer import FolderWriter, check_new, versions
from symspectra.errors import DataError
from symspectra.groups.molecules import Reject, structure
from symspectra.groups.table8 import NAMES, label_molecule, to_bits
from symspectra.parallel import Workers
from symspectra.settings import Data, choices
from symspectra.spectra.preprocessing import POINTS

SHAPE = (len(MODALITIES), POINTS)
DUPLICATE = "molecule seen before"
SCHEMA = pa.schema(
    [
        ("inchikey", pa.string()),  # first block
        ("smiles", pa.string()),  # canonical, without stereochemistry
        ("groups", pa.uint64()),
        ("reason", pa.string()),  # why the row cannot be used, empty if it can
        ("file", pa.string()),
        ("row", pa.int64()),
        *((name, pa.bool_()) for name in MODALITIES),  # whether there is a spectrum
    ]
)


Part = tuple[Path, dict[str, Any]]  # what was made of one source file, and what its manifest says of the source


def prepare(
    source: str | Path, out: str | Path, workers: int = 1, show: bool = False, how: str = "blockmax"
) -> dict[str, Any]:
    """Read the parquet files of a folder, and write a new folder; return its summary (`writer.described` prints it).

    ``vectors.npy`` is (molecule, modality, 600) in half precision with the modalities of `columns.MODALITIES`;
    ``present.npy`` says which there are. Of the rows of a molecule (one InChIKey block) the first is kept. Molecules
    are in the order of the sha256 of their SMILES, so that every prefix is a random sample. Until everything is there
    the finished files are kept in ``OUT.unfinished``: the same call goes on from them.

    Parameters
    ----------
    source : folder of parquet files
    out : folder to write, which must not exist
    workers : processes; ``show`` a progress bar
    how : see `symspectra.spectra.preprocessing.resample`; of the NMR spectra

    Raises
    ------
    DataError : the folder exists, a source cannot be read, no molecule is left, or too little of the disk is free.
    """
    source, out = Path(source), Path(out)
    check_new(out)
    if how not in choices(Data, "resample"):
        raise DataError(f"unknown resampling {how!r}; expected one of {', '.join(choices(Data, 'resample'))}")
    sources = source_files(source)
    unfinished = out.with_name(out.name + ".unfinished")
    unfinished.mkdir(parents=True, exist_ok=True)
    _check_space(sources, unfinished)
    with files.written(out) as folder, Workers(workers) as pool:
        folder.mkdir()
        parts = pool.in_order(_part, [(file, unfinished / file.path.name, how) for file in sources])
        bar = tqdm(parts, desc="preparing", total=len(sources), unit="file", disable=not show)
        summary = _join(list(bar), source, folder, how)
    shutil.rmtree(unfinished)
    return summary


def _check_space(sources: Sequence[SourceFile], folder: Path) -> None:
    """The vectors are on the disk twice while they are joined."""
    there = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    needed = 2 * sum(file.rows for file in sources) * int(np.prod(SHAPE)) * 2 - there
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise DataError(f"{folder}: {needed / 1e9:.1f} GB are needed on this disk, {free / 1e9:.1f} GB are free")


def _part(job: tuple[SourceFile, Path, str]) -> Part:
    """The part of a source file: made, unless there is one already of the same file and settings, undamaged."""
    source, folder, how = job
    stamp = _stamp(source.path)
    settings = {"format": 4, "resample": how, "versions": versions(), **stamp}
    try:
        card = files.check(folder)
        if card.get("settings") == settings:
            return folder, card["source"]
    except DataError:
        pass
    with files.written(folder) as temporary:
        temporary.mkdir()
        convert(source, temporary, how)
        stated = {"file": source.path.name, "sha256": files.digest(source.path), "rows": source.rows}
        if _stamp(source.path) != stamp:
            raise DataError(f"{source.path}: changed while it was read")
        files.write_manifest(temporary, {"source": stated, "settings": settings})
    return folder, stated


def _stamp(path: Path) -> dict[str, Any]:
    status = path.stat()
    return {"bytes": status.st_size, "modified_ns": status.st_mtime_ns}


def convert(source: SourceFile, folder: Path, how: str) -> None:
    """Write ``vectors.npy`` (row, 5, 600) in half precision and ``rows.parquet``, one row per row of the source."""
    curves = files.new_array(folder / "vectors.npy", np.float16, (source.rows, *SHAPE))
    with pq.ParquetWriter(folder / "rows.parquet", SCHEMA) as table, rdBase.BlockLogs():
        for first, batch in batches(source):
            rows = np.arange(first, first + len(batch))
            curves[rows], present, reasons = vectors(batch, source.peaks, how)
            texts = batch.column("smiles").to_pylist()
            found = [_structure(text, reason) for text, reason in zip(texts, reasons, strict=True)]
            inchikey, smiles, groups, reason = zip(*found, strict=True)
            file = [source.path.name] * len(batch)
            columns = [inchikey, smiles, to_bits(np.array(groups)), reason, file, rows, *present.T]
            table.write_table(pa.table([pa.array(c) for c in columns], schema=SCHEMA))
    curves.flush()


def _structure(text: str | None, reason: str) -> tuple[str, str, list[bool], str]:
    """InChIKey block, SMILES and labels of a row, or the reason why it cannot be used."""
    try:
        if reason:
            raise Reject(reason)
        molecule, inchikey, smiles = structure(text)
        return inchikey, smiles, label_molecule(molecule), ""
    except Reject as reject:
        return "", "", [False] * len(NAMES), str(reject)


def _join(parts: Sequence[Part], source: Path, folder: Path, how: str) -> dict[str, Any]:
    """Write a data folder from parts; in memory are all structures, and the vectors of one part."""
    rows = pa.concat_tables([pq.read_table(part / "rows.parquet") for part, _ in parts]).to_pandas()
    good = rows["reason"] == ""
    if not good.any():
        reason = rows["reason"][0] if len(rows) else "there are no rows"
        raise DataError(f"{source}: no molecule is left; the first row: {reason}")
    rows.loc[good & rows["inchikey"].where(good).duplicated(), "reason"] = DUPLICATE
    molecules = rows[rows["reason"] == ""]
    molecules = molecules.iloc[random_order(molecules["smiles"])]
    writer = FolderWriter(folder, len(molecules), MODALITIES)
    writer.present[:] = molecules[list(MODALITIES)]
    _fill(writer.vectors, parts, molecules.index.to_numpy())
    molecules = molecules[["inchikey", "smiles", "groups", "file", "row"]]
    return writer.finish(
        "alberts",
        molecules.assign(split=[split_of(key) for key in molecules["inchikey"]]),
        rows.loc[rows["reason"] != "", ["file", "row", "reason"]].itertuples(index=False, name=None),
        {"files": len(parts), "rows": len(rows)},
        sources=[stated for _, stated in parts],
        resample=how,
        versions=versions(),
    )


def _fill(vectors: np.ndarray, parts: Sequence[Part], order: np.ndarray) -> None:
    """The vectors of the rows ``order``, counted over all parts."""
    starts = np.cumsum([0, *(stated["rows"] for _, stated in parts)])
    which = np.searchsorted(starts, order, side="right") - 1
    for number, (part, _) in enumerate(parts):
        here = np.flatnonzero(which == number)
        vectors[here] = np.load(part / "vectors.npy", mmap_mode="r")[order[here] - starts[number]]

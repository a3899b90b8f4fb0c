"""A folder of the parquet files of Alberts et al. (2024) as a folder that a data set is read from.

``vectors.npy`` is what the models read, ``present.npy`` which spectra there are, ``molecules.parquet`` the structures,
labels and splits, ``rejects.csv`` what was left out and why, ``manifest.json`` where everything came from.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from jaxtyping import Int
from tqdm import tqdm

from symspectra import files
from symspectra.datasets.alberts.columns import MODALITIES, SourceFile, source_files
from symspectra.datasets.alberts.parts import SHAPE, Part, finished, make, settings
from symspectra.datasets.prepared import LEAST_TESTED, LEAST_TRAINED
from symspectra.datasets.splits import split_of
from symspectra.datasets.writer import FolderWriter, check_new, listed, random_order
from symspectra.errors import DataError
from symspectra.groups.table8 import NAMES
from symspectra.parallel import Workers
from symspectra.settings import Data, choices

BLOCK = 8192  # molecules written at a time: 49 MB
DUPLICATE = "molecule seen before"
COLUMNS = ("inchikey", "smiles", "groups", "split", "file", "row")  # of molecules.parquet


def prepare(
    source: str | Path, out: str | Path, workers: int = 1, show: bool = False, how: str = "blockmax"
) -> dict[str, Any]:
    """Read the parquet files of a folder, and write a new folder; return its summary (`described` prints it).

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
    DataError : the folder exists, a source cannot be read, no molecule is left, or the disk is full.
    """
    source, out = Path(source), Path(out)
    check_new(out)
    if how not in choices(Data, "resample"):
        raise DataError(f"unknown resampling {how!r}; expected one of {', '.join(choices(Data, 'resample'))}")
    sources = source_files(source)
    unfinished = out.with_name(out.name + ".unfinished")
    with _kept(unfinished), files.written(out) as folder:
        _check_space(sources, unfinished)
        with Workers(workers) as pool:
            parts = _parts(sources, unfinished / "parts", how, pool, show)
        folder.mkdir()
        summary = _join(parts, source, folder, how, show)
    shutil.rmtree(unfinished)
    return summary


@contextmanager
def _kept(folder: Path) -> Iterator[None]:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        yield
    except OSError as error:
        raise DataError(
            f"{folder}: cannot be finished ({error}); what is done is kept, and the same command goes on from it"
        ) from error


def _check_space(files: Sequence[SourceFile], folder: Path) -> None:
    """The vectors are on the disk twice while they are joined."""
    there = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    needed = 2 * sum(file.rows for file in files) * int(np.prod(SHAPE)) * 2 - there
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise DataError(f"{folder}: {needed / 1e9:.1f} GB are needed on this disk, {free / 1e9:.1f} GB are free")


def _parts(files: Sequence[SourceFile], folder: Path, how: str, pool: Workers, show: bool) -> list[Part]:
    """A part of each file, in order: those that are there, and those that are made now."""
    jobs = [(file, folder / file.path.name, how) for file in files]
    parts = list(pool.in_order(finished, jobs))
    missing = [i for i, part in enumerate(parts) if part is None]
    rows, there = sum(file.rows for file in files), sum(part.source["rows"] for part in parts if part)
    with tqdm(desc="preparing", total=rows, initial=there, unit="row", disable=not show) as bar:
        for i, part in zip(missing, pool.in_order(make, [jobs[i] for i in missing]), strict=True):
            parts[i] = part
            bar.update(files[i].rows)
    return parts


def _join(parts: Sequence[Part], source: Path, folder: Path, how: str, show: bool) -> dict[str, Any]:
    """Write a data folder from parts, a block of molecules at a time; in memory are all structures."""
    rows = pa.concat_tables([pq.read_table(part.folder / "rows.parquet") for part in parts])
    reasons = rows["reason"].to_numpy()
    good = np.flatnonzero(reasons == "")
    if not len(good):
        reason = reasons[0] if len(reasons) else "there are no rows"
        raise DataError(f"{source}: no molecule is left; the first row: {reason}")
    keys = rows["inchikey"].to_numpy()[good].astype("S14")
    kept = good[np.sort(np.unique(keys, return_index=True)[1])]
    reasons[np.setdiff1d(good, kept)] = DUPLICATE
    order = kept[random_order(rows["smiles"].take(pa.array(kept)).to_pylist())]
    molecules = rows.take(pa.array(order))
    writer = FolderWriter(folder, len(order), MODALITIES)
    writer.present[:] = np.stack([molecules[name].to_numpy() for name in MODALITIES], axis=1)
    split = pa.array([split_of(key) for key in molecules["inchikey"].to_pylist()])
    molecules = molecules.append_column("split", split).select(COLUMNS)
    writer.write_molecules(molecules.slice(first, BLOCK) for first in range(0, len(order), BLOCK))
    _fill(writer.vectors, parts, order, show)
    left_out = np.flatnonzero(reasons != "")
    rejected = rows.select(["file", "row"]).take(pa.array(left_out)).to_pylist()
    rejects = ((r["file"], r["row"], reason) for r, reason in zip(rejected, reasons[left_out], strict=True))
    sources = [{name: part.source[name] for name in ("file", "sha256", "rows")} for part in parts]
    spectra = dict(zip(MODALITIES, writer.present.sum(axis=0).tolist(), strict=True))
    summary = {"files": len(parts), "rows": len(rows), "spectra": spectra}
    card = {name: settings(how)[name] for name in ("resample", "versions")}
    return writer.finish("alberts", rejects, "row", summary, sources=sources, **card)


def _fill(vectors: np.ndarray, parts: Sequence[Part], order: Int[np.ndarray, " molecule"], show: bool) -> None:
    """The vectors of the rows ``order``, counted over all parts."""
    stored = [np.load(part.folder / "vectors.npy", mmap_mode="r") for part in parts]
    starts = np.cumsum([0, *(part.source["rows"] for part in parts)])
    with tqdm(total=len(order), desc="writing", unit="molecule", disable=not show) as bar:
        for first in range(0, len(order), BLOCK):
            block = order[first : first + BLOCK]
            which = np.searchsorted(starts, block, side="right") - 1
            x = np.empty((len(block), *SHAPE), np.float16)
            for number in np.unique(which):
                x[which == number] = stored[number][block[which == number] - starts[number]]
            vectors[first : first + BLOCK] = x
            bar.update(len(block))


def described(summary: Mapping[str, Any]) -> str:
    """A summary as text of several lines."""
    several = [f"molecules: {summary['molecules']} of {summary['rows']} rows in {summary['files']} files"]
    several += [f"splits: {listed(summary['splits'])}", f"spectra: {listed(summary['spectra'])}"]
    for name in ("test", "validation"):
        groups = summary[f"groups_evaluated_{name}"]
        several.append(
            f"groups with {LEAST_TRAINED} positives in training and {LEAST_TESTED} in {name}: {len(groups)} of "
            f"{len(NAMES)}"
        )
    several.append(f"rows left out: {sum(summary['rejects'].values())}, named in rejects.csv")
    several += [f"{n:8}  {reason}" for reason, n in summary["rejects"].items()]
    return "\n".join(several)

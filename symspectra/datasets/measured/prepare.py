"""Measured spectra of several sources joined by molecule, as a folder that a data set is read from.

``spectra.parquet`` is the table (`symspectra.datasets.measured.records`), ``molecules.parquet`` the structures, labels and
splits, ``vectors.npy`` what the models read, ``rejects.csv`` what was left out and why, ``manifest.json`` where
everything came from.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from tqdm import tqdm

from symspectra.datasets.measured import summary as summaries
from symspectra.datasets.measured.archives import digest
from symspectra.datasets.measured.choice import RULE, Candidate, allowed, candidate, choose, on_axis
from symspectra.datasets.measured.massbank import read_massbank
from symspectra.datasets.measured.nmrshiftdb2 import read_nmrshiftdb2
from symspectra.datasets.measured.peaks import read_peak_table
from symspectra.datasets.measured.records import MODALITIES, Measurement, Rejects, TableWriter
from symspectra.datasets.measured.vectors import write_vectors
from symspectra.datasets.splits import SPLITS, split_of
from symspectra.errors import DataError
from symspectra.groups.table8 import from_bits, label, to_bits
from symspectra.parallel import Workers, chunked
from symspectra.spectra.lines import file_digest

READERS: dict[str, Callable[..., Iterator[Measurement]]] = {
    "nmrshiftdb2": read_nmrshiftdb2,
    "massbank": read_massbank,
    "peaks": read_peak_table,
}
CHUNK = 256  # molecules labelled at a time


class _Index:
    """Molecules by InChIKey block, and their spectra by modality."""

    def __init__(self):
        self.smiles: dict[str, str] = {}
        self.candidates: dict[str, dict[str, list[Candidate]]] = defaultdict(dict)
        self.licences: dict[str, Counter] = defaultdict(Counter)
        self.licences_left_out: Counter = Counter()

    def add(self, row: int, spectrum: Measurement) -> None:
        self.smiles.setdefault(spectrum.inchikey, spectrum.smiles)
        self.candidates[spectrum.inchikey].setdefault(spectrum.modality, []).append(candidate(row, spectrum))
        self.licences[spectrum.modality][spectrum.licence or "not stated"] += 1


def prepare(
    sources: Sequence[tuple[str, str | Path]],
    out: str | Path,
    licence_allow: Sequence[str] | None = None,
    workers: int = 1,
    show: bool = False,
) -> dict[str, Any]:
    """Read the sources, join them, and write a new folder; return its summary (`summary.described` prints it).

    ``vectors.npy`` is (molecule, modality, 600) in half precision with the modalities of `records.MODALITIES`;
    ``present.npy`` says which there are. Molecules are in the order of the sha256 of their SMILES, so that every prefix
    is a random sample. Of several spectra of one kind one is drawn, by `choice.RULE`.

    Parameters
    ----------
    sources : pairs of a kind of `READERS` and a path; of two structures with one InChIKey block the first stays
    out : folder to write, which must not exist; it appears when everything is in it
    licence_allow : see `choice.allowed`
    workers : processes
    show : show progress bars

    Raises
    ------
    DataError : a source cannot be read, the folder exists, or no spectrum is left.
    """
    out = Path(out)
    if unknown := [kind for kind, _ in sources if kind not in READERS]:
        raise DataError(f"there is no reader {unknown[0]!r}; expected one of {', '.join(READERS)}")
    with _folder(out) as folder, Workers(workers) as pool:
        rejects = Rejects()
        index = _collect(sources, folder / "spectra.parquet", licence_allow, rejects, pool, show)
        if not index.smiles:
            reasons = ", ".join(f"{reason}: {n}" for reason, n in rejects.counts().items())
            raise DataError(f"{sources[0][1]}: no spectrum is left ({reasons})")
        keys = sorted(index.smiles, key=lambda key: hashlib.sha256(index.smiles[key].encode()).hexdigest())
        bits = _bits([index.smiles[key] for key in keys], pool, show)
        chosen = dict(_chosen(keys, index))
        present, peaks = write_vectors(folder, len(keys), chosen, rejects, pool, show)
        _write_molecules(folder / "molecules.parquet", keys, bits, index)
        rejects.write(folder / "rejects.csv")
        summary = _summary(keys, from_bits(bits), present, index, rejects) | {"peaks": peaks}
        _write_manifest(folder, sources, licence_allow, summary)
    return summary


@contextmanager
def _folder(out: Path) -> Iterator[Path]:
    """A folder beside ``out`` that is renamed to it at the end, and removed if anything goes wrong."""
    if out.exists():
        raise DataError(f"{out}: exists; name a new folder, or remove this one")
    folder = out.with_name(out.name + ".unfinished")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    try:
        yield folder
        os.replace(folder, out)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _collect(
    sources: Sequence[tuple[str, str | Path]],
    path: Path,
    licence_allow: Sequence[str] | None,
    rejects: Rejects,
    pool: Workers,
    show: bool,
) -> _Index:
    """Write the table of all spectra that are kept."""
    index, row = _Index(), 0
    with TableWriter(path) as table:
        for kind, source in sources:
            for spectrum in READERS[kind](source, rejects, pool, show):
                reason = _refused(spectrum, index, licence_allow)
                if reason:
                    rejects.add(spectrum.source or "", spectrum.record or "", reason)
                    continue
                table.add(spectrum)
                index.add(row, spectrum)
                row += 1
    return index


def _refused(spectrum: Measurement, index: _Index, licence_allow: Sequence[str] | None) -> str | None:
    if not allowed(spectrum.licence, licence_allow):
        index.licences_left_out[spectrum.licence or "not stated"] += 1
        return "licence not allowed"
    if not on_axis(spectrum):
        return "no peak on the model's axis"
    if index.smiles.get(spectrum.inchikey, spectrum.smiles) != spectrum.smiles:
        return "another structure has this InChIKey block"
    return None


def _bits(smiles: list[str], pool: Workers, show: bool) -> np.ndarray:
    bar = tqdm(smiles, desc="functional groups", unit="molecule", disable=not show)
    return np.concatenate(list(pool.in_order(_label, chunked(bar, CHUNK))))


def _label(smiles: list[str]) -> np.ndarray:
    return to_bits(label(smiles))


def _chosen(keys: list[str], index: _Index) -> Iterator[tuple[int, tuple[int, int]]]:
    """Row of the table, place of the molecule and place of the modality of each spectrum to draw."""
    for i, key in enumerate(keys):
        for modality, candidates in index.candidates[key].items():
            yield choose(candidates, modality).row, (i, MODALITIES.index(modality))


def _write_molecules(path: Path, keys: list[str], bits: np.ndarray, index: _Index) -> None:
    """Structures, labels, splits; by modality the number of spectra and the record of the one that was drawn."""
    columns: dict[str, Any] = {
        "inchikey": keys,
        "smiles": [index.smiles[key] for key in keys],
        "groups": pa.array(bits, pa.uint64()),
        "split": [split_of(key) for key in keys],
    }
    for name in MODALITIES:
        spectra = [index.candidates[key].get(name, []) for key in keys]
        columns[name] = pa.array([len(s) for s in spectra], pa.int32())
        columns[f"{name}_record"] = pa.array([choose(s, name).record if s else None for s in spectra], pa.string())
    pq.write_table(pa.table(columns), path, compression="zstd")


def _summary(
    keys: list[str], groups: np.ndarray, present: np.ndarray, index: _Index, rejects: Rejects
) -> dict[str, Any]:
    split = np.array([split_of(key) for key in keys])
    counts = summaries.group_counts(present, groups, split)
    return {
        "molecules": len(keys),
        "splits": {name: int((split == name).sum()) for name in SPLITS},
        "licences": {name: dict(index.licences[name].most_common()) for name in MODALITIES if name in index.licences},
        "licences_left_out": dict(index.licences_left_out.most_common()),
        "intersections": summaries.intersections(present),
        "groups": counts,
        "groups_evaluated_test": summaries.evaluated(counts, "test"),
        "groups_evaluated_validation": summaries.evaluated(counts, "validation"),
        "rejects": rejects.counts(),
    }


def _write_manifest(
    folder: Path, sources: Sequence[tuple[str, str | Path]], licence_allow: Sequence[str] | None, summary: dict
) -> None:
    manifest = {
        "kind": "measured",
        "sources": [{"kind": kind, "file": Path(p).name, "sha256": digest(Path(p))} for kind, p in sources],
        "files": {path.name: file_digest(path) for path in sorted(folder.iterdir())},
        "modalities": MODALITIES,
        "licence_allow": licence_allow or "all but non-commercial and no derivatives",
        "choice": RULE,
        "versions": {name: version(name) for name in ("symspectra", "rdkit", "numpy", "torch", "pyarrow")},
        "summary": summary,
    }
    (folder / "manifest.json").write_text(json.dumps(manifest, indent=1) + "\n")

"""Measured spectra of several sources joined by molecule, as a folder that a data set is read from.

``spectra.parquet`` is the table (`symspectra.datasets.measured.records`); the other files are those of every prepared
folder (`symspectra.datasets.writer`).
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from tqdm import tqdm

from symspectra import files
from symspectra.datasets.measured.archives import digest
from symspectra.datasets.measured.choice import RULE, Candidate, allowed, candidate, choose, on_axis
from symspectra.datasets.measured.massbank import read_massbank
from symspectra.datasets.measured.nmrshiftdb2 import read_nmrshiftdb2
from symspectra.datasets.measured.peaks import read_peak_table
from symspectra.datasets.measured.records import MODALITIES, Measurement, Rejects, TableWriter
from symspectra.datasets.measured.summary import in_evaluation, intersections
from symspectra.datasets.measured.vectors import draw_vectors
from symspectra.datasets.splits import split_of
from symspectra.datasets.writer import FolderWriter, check_new, random_order, versions
from symspectra.errors import DataError
from symspectra.groups.table8 import label, to_bits
from symspectra.parallel import Workers, chunked

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
    check_new(out)
    try:
        with files.written(out) as folder, Workers(workers) as pool:
            folder.mkdir()
            return _prepare(sources, folder, licence_allow, pool, show)
    except OSError as error:
        raise DataError(f"{out}: cannot be written ({error}); nothing of it is left") from error


def _prepare(
    sources: Sequence[tuple[str, str | Path]],
    folder: Path,
    licence_allow: Sequence[str] | None,
    pool: Workers,
    show: bool,
) -> dict[str, Any]:
    rejects, table = Rejects(), folder / "spectra.parquet"
    index = _collect(sources, table, licence_allow, rejects, pool, show)
    if not index.smiles:
        reasons = ", ".join(f"{reason}: {n}" for reason, n in rejects.counts().items())
        raise DataError(f"{sources[0][1]}: no spectrum is left ({reasons})")
    keys, smiles = list(index.smiles), list(index.smiles.values())
    keys = [keys[i] for i in random_order(smiles)]
    bits = _bits([index.smiles[key] for key in keys], pool, show)
    writer = FolderWriter(folder, len(keys), MODALITIES)
    peaks = draw_vectors(table, writer, dict(_chosen(keys, index)), rejects, pool, show)
    writer.write_molecules([_molecules(keys, bits, index)])
    licences = {name: dict(index.licences[name].most_common()) for name in MODALITIES if name in index.licences}
    return writer.finish(
        "measured",
        rejects.rows,
        "record",
        {
            "licences": licences,
            "licences_left_out": dict(index.licences_left_out.most_common()),
            "intersections": intersections(writer.present),
            "peaks": peaks,
        },
        in_evaluation(writer.present),
        sources=[{"kind": kind, "file": Path(p).name, "sha256": digest(Path(p))} for kind, p in sources],
        licence_allow=licence_allow or "all but non-commercial and no derivatives",
        choice=RULE,
        versions=versions(),
    )


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


def _molecules(keys: list[str], bits: np.ndarray, index: _Index) -> pa.Table:
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
    return pa.table(columns)

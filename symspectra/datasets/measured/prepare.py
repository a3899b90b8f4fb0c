"""Measured spectra of several sources joined by molecule, as a folder that a data set is read from.

``spectra.parquet`` is the table (`symspectra.datasets.measured.records`); the other files are those of every prepared
folder (`symspectra.datasets.writer`).
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain, combinations
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float
from tqdm import tqdm

from symspectra import files
from symspectra.datasets.measured.choice import RULE, allowed, choose, on_axis
from symspectra.datasets.measured.irexp import read_irexp
from symspectra.datasets.measured.massbank import read_massbank
from symspectra.datasets.measured.nmrshiftdb2 import read_nmrshiftdb2
from symspectra.datasets.measured.peaks import read_peak_table
from symspectra.datasets.measured.records import (
    MODALITIES,
    Measurement,
    Rejected,
    kind_of,
    write_measurements,
)
from symspectra.datasets.prepared import complete
from symspectra.datasets.splits import random_order, split_of
from symspectra.datasets.writer import FolderWriter, check_new, versions
from symspectra.errors import DataError, ReadError
from symspectra.groups.table8 import label, to_bits
from symspectra.parallel import Workers, chunked
from symspectra.spectra.conversion import SAID, prepare_all
from symspectra.spectra.spectrum import Spectrum

READERS: dict[str, Callable[..., Iterator[Measurement | Rejected]]] = {
    "nmrshiftdb2": read_nmrshiftdb2,
    "massbank": read_massbank,
    "irexp": read_irexp,
    "peaks": read_peak_table,
}
CHUNK = 256  # molecules labelled, or spectra drawn, at a time
NOT_STATED = "not stated"
ALL = "all kinds that there are"


def prepare(
    sources: Sequence[tuple[str, str | Path]],
    out: str | Path,
    licence_allow: Sequence[str] | None = None,
    workers: int = 1,
    show: bool = False,
) -> dict[str, Any]:
    """Read the sources, join them, and write a new folder; return its summary (`writer.described` prints it).

    ``vectors.npy`` is (molecule, modality, 600) in half precision with the modalities of `records.MODALITIES`, without
    ``ir`` where there is none; ``present.npy`` says which there are. Molecules are in the order of the sha256 of their
    SMILES, so that every prefix is a random sample. Of several spectra of one kind one is drawn, by `choice.RULE`.

    Parameters
    ----------
    sources : pairs of a kind of `READERS` and a path; of two structures with one InChIKey block the first stays
    out : folder to write, which must not exist; it appears when everything is in it
    licence_allow : see `choice.allowed`
    workers : processes; ``show`` a progress bar

    Raises
    ------
    DataError : a source cannot be read, the folder exists, or no spectrum is left.
    """
    out = Path(out)
    if unknown := [kind for kind, _ in sources if kind not in READERS]:
        raise DataError(f"there is no reader {unknown[0]!r}; expected one of {', '.join(READERS)}")
    check_new(out)
    with files.written(out) as folder, Workers(workers) as pool:
        folder.mkdir()
        rejects: list[Rejected] = []
        read = chain.from_iterable(READERS[kind](source, pool, show) for kind, source in sources)
        measured = list(_kept(read, licence_allow, rejects))
        if not measured:
            reasons = ", ".join(f"{reason}: {n}" for reason, n in Counter(r.reason for r in rejects).most_common())
            raise DataError(f"{sources[0][1]}: no spectrum is left ({reasons})")
        write_measurements(folder / "spectra.parquet", measured)
        names = ("inchikey", "smiles", "modality", "record", "licence", "adduct", "collision_energy")
        spectra = pd.DataFrame({name: [getattr(spectrum, name) for spectrum in measured] for name in names})
        spectra = spectra.assign(peaks=[len(spectrum.x) for spectrum in measured])
        molecules = spectra.drop_duplicates("inchikey")[["inchikey", "smiles"]]
        molecules = molecules.iloc[random_order(molecules["smiles"])].set_index("inchikey", drop=False)
        bar = tqdm(molecules["smiles"], desc="functional groups", unit="molecule", disable=not show)
        groups = np.concatenate(list(pool.in_order(label, chunked(bar, CHUNK))))
        chosen = choose(spectra)
        modalities = [name for name in MODALITIES if name != "ir" or (chosen["modality"] == "ir").any()]
        writer = FolderWriter(folder, len(molecules), modalities)
        wanted, molecule = [measured[i] for i in chosen.index], molecules.index.get_indexer(chosen["inchikey"])
        _draw(wanted, molecule, writer, rejects, pool, show)
        records = chosen.pivot(index="inchikey", columns="modality", values="record").add_suffix("_record")
        split = [split_of(key) for key in molecules.index]
        molecules = molecules.assign(groups=to_bits(groups), split=split).join(records)
        licences = spectra.fillna({"licence": NOT_STATED}).groupby("modality")["licence"].value_counts().to_dict()
        whole = complete(writer.present, modalities)
        return writer.finish(
            "measured",
            molecules,
            rejects,
            {
                "licences": {f"{name}, {licence}": n for (name, licence), n in licences.items()},
                "molecules_with": _with_several(writer.present, modalities) | {ALL: int(whole.sum())},
            },
            whole,
            sources=[{"kind": kind, "file": Path(p).name, "sha256": _digest(Path(p))} for kind, p in sources],
            licence_allow=licence_allow or "all but non-commercial and no derivatives",
            choice=RULE,
            versions=versions(),
        )


def _kept(
    read: Iterable[Measurement | Rejected], licence_allow: Sequence[str] | None, rejects: list[Rejected]
) -> Iterator[Measurement]:
    """The spectra that may be used; ``rejects`` takes the others."""
    smiles: dict[str, str] = {}
    for spectrum in read:
        if isinstance(spectrum, Rejected):
            rejects.append(spectrum)
            continue
        if not allowed(spectrum.licence, licence_allow):
            reason = f"licence not allowed: {spectrum.licence or NOT_STATED}"
        elif not on_axis(spectrum):
            reason = "no peak on the model's axis"
        elif smiles.setdefault(spectrum.inchikey, spectrum.smiles) != spectrum.smiles:
            reason = "another structure has this InChIKey block"
        else:
            yield spectrum
            continue
        rejects.append(Rejected(spectrum.source or "", spectrum.record or "", reason))


def _draw(
    wanted: list[Measurement],
    molecule: Sequence[int],
    writer: FolderWriter,
    rejects: list[Rejected],
    pool: Workers,
    show: bool,
) -> None:
    """Fill the vectors of a folder with the spectra of molecules; ``rejects`` takes what cannot be drawn."""
    bar = tqdm(wanted, desc="spectra", unit="spectrum", disable=not show)
    drawn = chain.from_iterable(pool.in_order(_drawn, chunked(bar, CHUNK)))
    for (spectrum, vector), i in zip(drawn, molecule, strict=True):
        if vector is None:
            rejects.append(Rejected(spectrum.source or "", spectrum.record or "", "not drawn"))
        else:
            j = writer.modalities.index(spectrum.modality)
            writer.vectors[i, j], writer.present[i, j] = vector, True


def _drawn(chunk: list[Measurement]) -> list[tuple[Measurement, Float[np.ndarray, " 600"] | None]]:
    """Each spectrum and its vector, None where that cannot be."""
    try:
        drawn = prepare_all([_spectrum(row) for row in chunk])
    except ReadError:
        if len(chunk) > 1:  # one of them: find it
            return [_drawn([row])[0] for row in chunk]
        return [(chunk[0], None)]
    return [(row, prepared.vector.astype(np.float16)) for row, prepared in zip(chunk, drawn, strict=True)]


def _spectrum(row: Measurement) -> Spectrum:
    kind = kind_of(row.modality)
    said = {name: getattr(row, name) for name in SAID.get(kind.name, {})}
    meta = {name: values for name, values in said.items() if values is not None}
    return Spectrum(row.x, row.y, kind.unit, "intensity", kind.name, meta, peaks=True)


def _with_several(present: Bool[np.ndarray, "molecule modality"], modalities: Sequence[str]) -> dict[str, int]:
    """Molecules that have all spectra of each set of several modalities; sets that none has are left out."""
    has = pd.DataFrame(present, columns=modalities)
    sets = chain.from_iterable(combinations(modalities, size) for size in range(2, len(modalities) + 1))
    counts = {"+".join(names): int(has[list(names)].all(axis=1).sum()) for names in sets}
    return {name: count for name, count in counts.items() if count}


def _digest(path: Path) -> str:
    """sha256 of a file, or of the names and contents of the files of a folder."""
    if not path.is_dir():
        return files.digest(path)
    names = [f"{p.relative_to(path).as_posix()} {files.digest(p)}\n" for p in sorted(path.rglob("*")) if p.is_file()]
    return hashlib.sha256("".join(names).encode()).hexdigest()

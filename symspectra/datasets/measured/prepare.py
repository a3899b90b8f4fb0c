"""Measured spectra of several sources joined by molecule, as a folder that a data set is read from.

``spectra.parquet`` is the table (`symspectra.datasets.measured.records`); the other files are those of every prepared
folder (`symspectra.datasets.writer`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from tqdm import tqdm

from symspectra.datasets.measured.archives import digest
from symspectra.datasets.measured.choice import RULE, allowed, choose, on_axis
from symspectra.datasets.measured.massbank import read_massbank
from symspectra.datasets.measured.nmrshiftdb2 import read_nmrshiftdb2
from symspectra.datasets.measured.peaks import read_peak_table
from symspectra.datasets.measured.records import MODALITIES, Measurement, Rejected, write_measurements
from symspectra.datasets.measured.summary import in_evaluation, intersections
from symspectra.datasets.measured.vectors import draw_vectors
from symspectra.datasets.splits import split_of
from symspectra.datasets.writer import FolderWriter, new_folder, random_order, versions
from symspectra.errors import DataError
from symspectra.groups.table8 import label, to_bits
from symspectra.parallel import Workers, chunked

READERS: dict[str, Callable[..., Iterator[Measurement | Rejected]]] = {
    "nmrshiftdb2": read_nmrshiftdb2,
    "massbank": read_massbank,
    "peaks": read_peak_table,
}
CHUNK = 256  # molecules labelled at a time
NOT_STATED = "not stated"


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
    workers : processes; ``show`` a progress bar

    Raises
    ------
    DataError : a source cannot be read, the folder exists, or no spectrum is left.
    """
    out = Path(out)
    if unknown := [kind for kind, _ in sources if kind not in READERS]:
        raise DataError(f"there is no reader {unknown[0]!r}; expected one of {', '.join(READERS)}")
    with new_folder(out) as folder, Workers(workers) as pool:
        rejects, licences_left_out, table = [], Counter(), folder / "spectra.parquet"
        read = chain.from_iterable(READERS[kind](source, pool, show) for kind, source in sources)
        write_measurements(table, _kept(read, licence_allow, rejects, licences_left_out))
        spectra = _read_choices(table)
        if spectra.empty:
            reasons = ", ".join(f"{reason}: {n}" for reason, n in Counter(r.reason for r in rejects).most_common())
            raise DataError(f"{sources[0][1]}: no spectrum is left ({reasons})")
        molecules = spectra.drop_duplicates("inchikey")[["inchikey", "smiles"]]
        molecules = molecules.iloc[random_order(molecules["smiles"])]
        keys = list(molecules["inchikey"])
        chosen = choose(spectra)
        chosen["molecule"] = chosen["inchikey"].map({key: i for i, key in enumerate(keys)})
        chosen["column"] = chosen["modality"].map(MODALITIES.index)
        bar = tqdm(molecules["smiles"], desc="functional groups", unit="molecule", disable=not show)
        groups = np.concatenate(list(pool.in_order(label, chunked(bar, CHUNK))))
        writer = FolderWriter(folder, len(keys), MODALITIES)
        peaks = draw_vectors(table, writer, chosen, rejects, pool, show)
        columns: dict[str, Any] = {name: list(molecules[name]) for name in molecules}
        columns |= {"groups": pa.array(to_bits(groups), pa.uint64()), "split": [split_of(key) for key in keys]}
        for name in MODALITIES:  # the number of spectra, and the record of the one that was drawn
            number = spectra.loc[spectra["modality"] == name, "inchikey"].value_counts()
            record = chosen[chosen["modality"] == name].set_index("inchikey")["record"]
            columns[name] = pa.array(number.reindex(keys, fill_value=0), pa.int32())
            columns[f"{name}_record"] = pa.array(record.reindex(keys), pa.string(), from_pandas=True)
        writer.write_molecules([pa.table(columns)])
        stated = {name: Counter(some).most_common() for name, some in spectra.groupby("modality")["licence"]}
        return writer.finish(
            "measured",
            rejects,
            "record",
            {
                "licences": {name: dict(stated[name]) for name in MODALITIES if name in stated},
                "licences_left_out": dict(licences_left_out.most_common()),
                "intersections": intersections(writer.present),
                "peaks": peaks,
            },
            in_evaluation(writer.present),
            sources=[{"kind": kind, "file": Path(p).name, "sha256": digest(Path(p))} for kind, p in sources],
            licence_allow=licence_allow or "all but non-commercial and no derivatives",
            choice=RULE,
            versions=versions(),
        )


def _kept(
    read: Iterable[Measurement | Rejected],
    licence_allow: Sequence[str] | None,
    rejects: list[Rejected],
    licences_left_out: Counter,
) -> Iterator[Measurement]:
    """The spectra that may be used; ``rejects`` and ``licences_left_out`` take the others."""
    smiles: dict[str, str] = {}
    for spectrum in read:
        if isinstance(spectrum, Rejected):
            rejects.append(spectrum)
            continue
        if not allowed(spectrum.licence, licence_allow):
            licences_left_out[spectrum.licence or NOT_STATED] += 1
            reason = "licence not allowed"
        elif not on_axis(spectrum):
            reason = "no peak on the model's axis"
        elif smiles.setdefault(spectrum.inchikey, spectrum.smiles) != spectrum.smiles:
            reason = "another structure has this InChIKey block"
        else:
            yield spectrum
            continue
        rejects.append(Rejected(spectrum.source or "", spectrum.record or "", reason))


def _read_choices(table: Path) -> pd.DataFrame:
    """What the choice needs of the table of spectra."""
    names = ["inchikey", "smiles", "modality", "record", "licence", "adduct", "collision_energy"]
    spectra = pq.read_table(table, columns=[*names, "x"])
    frame = spectra.select(names).to_pandas().assign(peaks=pc.list_value_length(spectra["x"]).to_numpy())
    return frame.assign(licence=frame["licence"].fillna(NOT_STATED))

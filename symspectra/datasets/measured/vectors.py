"""The vectors of the chosen spectra, drawn as the models read them."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from jaxtyping import Float
from tqdm import tqdm

from symspectra.datasets.measured.records import MODALITIES, Measurement, Rejects, read_measurements
from symspectra.datasets.writer import FolderWriter
from symspectra.errors import ReadError
from symspectra.parallel import Workers, chunked
from symspectra.spectra.conversion import Prepared, prepare_all
from symspectra.spectra.spectrum import Spectrum

CHUNK = 256  # spectra drawn at a time


def draw_vectors(
    table: Path,
    writer: FolderWriter,
    chosen: Mapping[int, tuple[int, int]],
    rejects: Rejects,
    pool: Workers,
    show: bool = False,
) -> dict[str, dict[str, int]]:
    """Fill the vectors of a folder with the chosen spectra.

    Parameters
    ----------
    table : ``spectra.parquet``
    chosen : the rows of the table to draw, and the molecule and modality that each belongs to
    rejects : takes those that cannot be drawn

    Returns
    -------
    By modality how many peaks the spectra have and how many are used: those off the axis are not, nor those of mass
    spectra that are weak (`symspectra.spectra.conversion.prepare_all`).
    """
    wanted = (spectrum for row, spectrum in enumerate(read_measurements(table)) if row in chosen)
    bar = tqdm(wanted, desc="spectra", total=len(chosen), unit="spectrum", disable=not show)
    places, peaks = iter(chosen[row] for row in sorted(chosen)), defaultdict(Counter)
    for drawn in pool.in_order(_drawn, chunked(bar, CHUNK)):
        for spectrum, vector, used in drawn:
            i, j = next(places)
            if vector is None:
                rejects.add(spectrum.source or "", spectrum.record or "", "not drawn")
                continue
            writer.vectors[i, j], writer.present[i, j] = vector, True
            peaks[spectrum.modality].update(given=len(spectrum.x), used=used)
    return {name: dict(peaks[name]) for name in MODALITIES if name in peaks}


def _drawn(chunk: list[Measurement]) -> list[tuple[Measurement, Float[np.ndarray, " 600"] | None, int]]:
    """Each spectrum, its vector, None where that cannot be, and how many peaks are in it."""
    try:
        ready: list[Prepared | None] = list(prepare_all([_spectrum(row) for row in chunk]))
    except ReadError:  # one of them: find it
        ready = [_prepared(row) for row in chunk]
    return [
        (row, p.vector.astype(np.float16), len(p.spectrum)) if p else (row, None, 0)
        for row, p in zip(chunk, ready, strict=True)
    ]


def _prepared(row: Measurement) -> Prepared | None:
    try:
        return prepare_all([_spectrum(row)])[0]
    except ReadError:
        return None


def _spectrum(row: Measurement) -> Spectrum:
    """Electron ionisation is converted as MS/MS is."""
    modality = "msms_pos" if row.modality == "ms" else row.modality
    unit = "ppm" if modality in ("c13", "h1") else "m/z"
    meta = {} if row.attached is None else {"attached": row.attached}
    return Spectrum(row.x, row.y, unit, "intensity", modality, meta, peaks=True)

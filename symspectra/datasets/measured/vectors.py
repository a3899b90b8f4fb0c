"""The vectors of the chosen spectra, drawn as the models read them."""

from __future__ import annotations

from collections import Counter, defaultdict
from itertools import chain
from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import Float
from tqdm import tqdm

from symspectra.datasets.measured.records import MODALITIES, Measurement, Rejected, read_measurements
from symspectra.datasets.writer import FolderWriter
from symspectra.errors import ReadError
from symspectra.parallel import Workers, chunked
from symspectra.spectra.conversion import prepare_all
from symspectra.spectra.spectrum import Spectrum

CHUNK = 256  # spectra drawn at a time


def draw_vectors(
    table: Path, writer: FolderWriter, chosen: pd.DataFrame, rejects: list[Rejected], pool: Workers, show: bool = False
) -> dict[str, dict[str, int]]:
    """Fill the vectors of a folder with the chosen spectra; ``rejects`` takes those that cannot be drawn.

    ``chosen`` are rows of the table, with the place of the ``molecule`` and of the modality (``column``). Returned is
    by modality how many peaks the spectra have and how many are used: those off the axis are not, nor those of mass
    spectra that are weak (`symspectra.spectra.conversion.prepare_all`).
    """
    rows = set(chosen.index)
    wanted = (spectrum for row, spectrum in enumerate(read_measurements(table)) if row in rows)
    bar = tqdm(wanted, desc="spectra", total=len(chosen), unit="spectrum", disable=not show)
    drawn = chain.from_iterable(pool.in_order(_drawn, chunked(bar, CHUNK)))
    peaks = defaultdict(Counter)
    for (spectrum, vector, used), i, j in zip(drawn, chosen["molecule"], chosen["column"], strict=True):
        if vector is None:
            rejects.append(Rejected(spectrum.source or "", spectrum.record or "", "not drawn"))
            continue
        writer.vectors[i, j], writer.present[i, j] = vector, True
        peaks[spectrum.modality].update(given=len(spectrum.x), used=used)
    return {name: dict(peaks[name]) for name in MODALITIES if name in peaks}


def _drawn(chunk: list[Measurement]) -> list[tuple[Measurement, Float[np.ndarray, " 600"] | None, int]]:
    """Each spectrum, its vector, None where that cannot be, and how many peaks are in it."""
    try:
        drawn = prepare_all([_spectrum(row) for row in chunk])
    except ReadError:
        if len(chunk) > 1:  # one of them: find it
            return [_drawn([row])[0] for row in chunk]
        return [(chunk[0], None, 0)]
    return [(row, p.vector.astype(np.float16), len(p.spectrum)) for row, p in zip(chunk, drawn, strict=True)]


def _spectrum(row: Measurement) -> Spectrum:
    """Electron ionisation is converted as MS/MS is."""
    modality = "msms_pos" if row.modality == "ms" else row.modality
    unit = "ppm" if modality in ("c13", "h1") else "m/z"
    meta = {} if row.attached is None else {"attached": row.attached}
    return Spectrum(row.x, row.y, unit, "intensity", modality, meta, peaks=True)

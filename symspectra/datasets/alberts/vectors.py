"""Spectra of a batch of rows as the vectors that the models read, and what is wrong with rows that have none."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch
from jaxtyping import Bool, Float16

from symspectra.datasets.alberts.columns import CURVES, MODALITIES
from symspectra.spectra.preprocessing import AXES, POINTS, ir_vector, msms_vector, nmr_vector

NAMES = {"ir": "IR", "c13": "13C", "h1": "1H", "msms_pos": "MS/MS+", "msms_neg": "MS/MS-"}


def vectors(
    batch: pa.RecordBatch, peaks: Mapping[str, tuple[str, ...]], how: str = "blockmax"
) -> tuple[Float16[np.ndarray, "row 5 600"], Bool[np.ndarray, "row 5"], np.ndarray]:
    """The vectors of the rows of a batch (`symspectra.spectra.preprocessing`), which there are, and what is wrong.

    Parameters
    ----------
    batch : columns of `columns.CURVES`, and lists of [m/z, intensity]
    peaks : the columns of each of ``msms_pos`` and ``msms_neg``, one per collision energy: their peaks add up
    how : see `symspectra.spectra.preprocessing.resample`; of the NMR spectra

    Returns
    -------
    The last array says why a row cannot be used, and is empty where it can; the vectors of other rows are without
    meaning. Curves that are missing, of another length or not finite, and peaks that are no pairs, negative or not
    finite, spoil a row. A mass spectrum without a peak below m/z 600 is absent.
    """
    x = np.zeros((len(batch), len(MODALITIES), POINTS), dtype=np.float16)
    reasons = np.full(len(batch), "")
    for i, modality in enumerate(MODALITIES):
        if modality in CURVES:
            x[:, i], found = _curves(batch.column(CURVES[modality]), modality, how)
        else:
            x[:, i], found = _mass_spectra([batch.column(column) for column in peaks[modality]], NAMES[modality])
        reasons = np.where(reasons == "", found, reasons)
    present = np.array([modality in CURVES for modality in MODALITIES]) | x.any(axis=2)
    return x, present, reasons


def _curves(lists: pa.Array, modality: str, how: str) -> tuple[np.ndarray, np.ndarray]:
    """Vectors, and what is wrong with rows."""
    name, length, points = NAMES[modality], _lengths(lists, missing=-1), len(AXES[modality])
    fits = length == points
    values = lists.filter(pa.array(fits)).flatten().to_numpy(zero_copy_only=False)
    with np.errstate(over="ignore"):
        y = torch.from_numpy(np.array(values, dtype=np.float32).reshape(-1, points))
    vector = (ir_vector(y) if modality == "ir" else nmr_vector(y, how)).half()
    x, finite = np.zeros((len(lists), POINTS), dtype=np.float16), fits.copy()
    x[fits], finite[fits] = vector.numpy(), (y.sum(dim=1).isfinite() & vector.isfinite().all(dim=1)).numpy()
    wrong = {"missing": length < 0, f"not of {points} points": ~fits, "not finite, or too large": ~finite}
    return x, np.select(list(wrong.values()), [f"{name} spectrum {what}" for what in wrong], "")


def _mass_spectra(columns: list[pa.Array], name: str) -> tuple[np.ndarray, np.ndarray]:
    """Vectors, and what is wrong with rows."""
    rows = len(columns[0])
    row = np.concatenate([np.repeat(np.arange(rows), _lengths(lists)) for lists in columns])
    peaks = [lists.flatten() for lists in columns]
    pairs = [_lengths(lists) == 2 for lists in peaks]
    is_pair = np.concatenate(pairs)
    numbers = [lists.filter(pa.array(two)).flatten() for lists, two in zip(peaks, pairs, strict=True)]
    pair = np.concatenate([n.to_numpy(zero_copy_only=False) for n in numbers]).astype(np.float64).reshape(-1, 2)
    odd = np.bincount(row[~is_pair], minlength=rows) > 0
    row = row[is_pair]
    wrong = ~((pair >= 0) & (pair <= np.finfo(np.float32).max)).all(axis=1)  # NaN, which stands for null, too
    bad = np.bincount(row[wrong], minlength=rows) > 0
    mz, intensity = torch.from_numpy(pair[~bad[row]]).unbind(dim=1)
    x = msms_vector(mz, intensity, torch.from_numpy(row[~bad[row]]), rows).half().numpy()
    reasons = ["peak not a pair of m/z and intensity", "peak negative, not finite or too large"]
    return x, np.select([odd, bad], [f"{name} {reason}" for reason in reasons], "")


def _lengths(lists: pa.Array, missing: int = 0) -> np.ndarray:
    return pc.list_value_length(lists).fill_null(missing).to_numpy(zero_copy_only=False).astype(np.int64)

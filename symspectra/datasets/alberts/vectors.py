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
    reasons = np.full(len(batch), "", dtype=object)

    def note(bad: np.ndarray, reason: str, rows: np.ndarray | slice = slice(None)) -> None:
        """A reason against some of the rows; the first one stays."""
        reasons[rows] = np.where(bad & (reasons[rows] == ""), reason, reasons[rows])

    for modality, column in CURVES.items():
        length, points = _lengths(batch.column(column), missing=-1), len(AXES[modality])
        note(length < 0, f"{NAMES[modality]} spectrum missing")
        note(length != points, f"{NAMES[modality]} spectrum not of {points} points")
    for modality, columns in peaks.items():
        for column in columns:
            row, pairs = _peaks(batch.column(column))
            bad = np.bincount(row[_lengths(pairs) != 2], minlength=len(batch)) > 0
            note(bad, f"{NAMES[modality]} peak not a pair of m/z and intensity")
    rows = np.flatnonzero(reasons == "")
    good = batch.take(pa.array(rows))
    x = np.zeros((len(batch), len(MODALITIES), POINTS), dtype=np.float16)
    for i, modality in enumerate(MODALITIES):
        if modality in CURVES:
            x[rows, i], bad = _curves(good.column(CURVES[modality]), modality, how)
            note(bad, f"{NAMES[modality]} spectrum not finite, or too large", rows)
        else:
            x[rows, i], bad = _mass_spectra([good.column(column) for column in peaks[modality]])
            note(bad, f"{NAMES[modality]} peak negative, not finite or too large", rows)
    present = np.array([modality in CURVES for modality in MODALITIES]) | x.any(axis=2)
    return x, present, reasons


def _curves(lists: pa.Array, modality: str, how: str) -> tuple[np.ndarray, np.ndarray]:
    """Vectors, and which rows are bad."""
    values = lists.flatten().to_numpy(zero_copy_only=False)
    with np.errstate(over="ignore"):
        y = torch.from_numpy(np.array(values, dtype=np.float32).reshape(len(lists), len(AXES[modality])))
    x = (ir_vector(y) if modality == "ir" else nmr_vector(y, how)).half()
    return x.numpy(), ~(y.sum(dim=1).isfinite() & x.isfinite().all(dim=1)).numpy()


def _mass_spectra(columns: list[pa.Array]) -> tuple[np.ndarray, np.ndarray]:
    """Vectors, and which rows are bad."""
    rows, pairs = zip(*(_peaks(lists) for lists in columns), strict=True)
    row, pair = np.concatenate(rows), np.concatenate([_numbers(lists).reshape(-1, 2) for lists in pairs])
    wrong = ~((pair >= 0) & (pair <= np.finfo(np.float32).max)).all(axis=1)  # NaN compares false
    bad = np.bincount(row[wrong], minlength=len(columns[0])) > 0
    mz, intensity = torch.from_numpy(pair[~bad[row]]).unbind(dim=1)
    return msms_vector(mz, intensity, torch.from_numpy(row[~bad[row]]), len(bad)).half().numpy(), bad


def _lengths(lists: pa.Array, missing: int = 0) -> np.ndarray:
    return pc.list_value_length(lists).fill_null(missing).to_numpy(zero_copy_only=False).astype(np.int64)


def _peaks(lists: pa.Array) -> tuple[np.ndarray, pa.Array]:
    """Row of each peak, and the peaks one after the other."""
    length = _lengths(lists)
    return np.repeat(np.arange(len(length)), length), lists.flatten()


def _numbers(lists: pa.Array) -> np.ndarray:
    """What is in lists, one after the other; null is NaN."""
    return np.array(lists.flatten().to_numpy(zero_copy_only=False), dtype=np.float64)

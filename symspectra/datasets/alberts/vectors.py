"""Spectra of a batch of rows as the vectors that the models read, and what is wrong with rows that have none."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch
from jaxtyping import Bool, Float16
from torch import Tensor

from symspectra.datasets.alberts.columns import CURVES, MODALITIES
from symspectra.spectra.preprocessing import AXES, POINTS, ir_vector, msms_vector, nmr_vector

NAMES = {"ir": "IR", "c13": "13C", "h1": "1H", "msms_pos": "MS/MS+", "msms_neg": "MS/MS-"}


@dataclass(frozen=True, slots=True)
class Vectors:
    """Vectors of the N rows of a batch that are good, and the reason for each row that is not (else empty)."""

    x: Float16[np.ndarray, "good 5 600"]
    present: Bool[np.ndarray, "good 5"]
    reasons: np.ndarray  # of str, one per row


class _Problems:
    """The first reason against each row."""

    def __init__(self, rows: int):
        self.reasons = np.full(rows, "", dtype=object)

    def add(self, bad: Bool[np.ndarray, " row"], reason: str) -> None:
        self.reasons[bad & (self.reasons == "")] = reason

    @property
    def good(self) -> Bool[np.ndarray, " row"]:
        return self.reasons == ""


def vectors(batch: pa.RecordBatch, peaks: Mapping[str, tuple[str, ...]], how: str = "blockmax") -> Vectors:
    """Convert a batch, see `symspectra.spectra.preprocessing`.

    Parameters
    ----------
    batch : columns of `columns.CURVES`, and lists of [m/z, intensity]
    peaks : the columns of each of ``msms_pos`` and ``msms_neg``, one per collision energy: their peaks add up
    how : see `symspectra.spectra.preprocessing.resample`; of the NMR spectra

    Returns
    -------
    Curves that are missing, of another length or not finite, and peaks that are no pairs, negative or not finite, spoil
    a row. A mass spectrum without a peak below m/z 600 is absent.
    """
    shape = _Problems(len(batch))
    for modality, column in CURVES.items():
        length = _lengths(batch.column(column), missing=-1)
        points = len(AXES[modality])
        shape.add(length < 0, f"{NAMES[modality]} spectrum missing")
        shape.add(length != points, f"{NAMES[modality]} spectrum not of {points} points")
    for modality, columns in peaks.items():
        for column in columns:
            row, pairs = _peaks(batch.column(column))
            bad = np.bincount(row[_lengths(pairs) != 2], minlength=len(batch)) > 0
            shape.add(bad, f"{NAMES[modality]} peak not a pair of m/z and intensity")
    good = batch if shape.good.all() else batch.filter(pa.array(shape.good))
    value = _Problems(len(good))
    x = torch.zeros(len(good), len(MODALITIES), POINTS, dtype=torch.float16)
    present = np.ones((len(good), len(MODALITIES)), dtype=bool)
    for i, modality in enumerate(MODALITIES):
        if modality in CURVES:
            x[:, i] = _curves(good.column(CURVES[modality]), modality, how, value)
        else:
            x[:, i] = _mass_spectra([good.column(column) for column in peaks[modality]], modality, value)
            present[:, i] = x[:, i].any(dim=1).numpy()
    shape.reasons[shape.good] = value.reasons
    return Vectors(x.numpy()[value.good], present[value.good], shape.reasons)


def _curves(lists: pa.Array, modality: str, how: str, problems: _Problems) -> Float16[Tensor, "row 600"]:
    values = lists.flatten().to_numpy(zero_copy_only=False)
    with np.errstate(over="ignore"):
        y = torch.from_numpy(np.array(values, dtype=np.float32).reshape(len(lists), len(AXES[modality])))
    x = (ir_vector(y) if modality == "ir" else nmr_vector(y, how)).half()
    finite = y.sum(dim=1).isfinite() & x.isfinite().all(dim=1)
    problems.add(~finite.numpy(), f"{NAMES[modality]} spectrum not finite, or too large")
    return x


def _mass_spectra(columns: list[pa.Array], modality: str, problems: _Problems) -> Float16[Tensor, "row 600"]:
    rows, pairs = zip(*(_peaks(lists) for lists in columns), strict=True)
    row, pair = np.concatenate(rows), np.concatenate([_numbers(lists).reshape(-1, 2) for lists in pairs])
    wrong = ~((pair >= 0) & (pair <= np.finfo(np.float32).max)).all(axis=1)  # NaN compares false
    bad = np.bincount(row[wrong], minlength=len(problems.reasons)) > 0
    problems.add(bad, f"{NAMES[modality]} peak negative, not finite or too large")
    mz, intensity = torch.from_numpy(pair[~bad[row]]).unbind(dim=1)
    return msms_vector(mz, intensity, torch.from_numpy(row[~bad[row]]), len(bad)).half()


def _lengths(lists: pa.Array, missing: int = 0) -> np.ndarray:
    return pc.list_value_length(lists).fill_null(missing).to_numpy(zero_copy_only=False).astype(np.int64)


def _peaks(lists: pa.Array) -> tuple[np.ndarray, pa.Array]:
    """Row of each peak, and the peaks one after the other."""
    length = _lengths(lists)
    return np.repeat(np.arange(len(length)), length), lists.flatten()


def _numbers(lists: pa.Array) -> np.ndarray:
    """What is in lists, one after the other; null is NaN."""
    return np.array(lists.flatten().to_numpy(zero_copy_only=False), dtype=np.float64)

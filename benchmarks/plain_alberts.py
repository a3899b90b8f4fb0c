"""The preparation of the set of Alberts et al. as a plain loop over its rows: what `prepare` is compared with."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from jaxtyping import Bool, Float16
from rdkit import Chem, rdBase

from symspectra.datasets.alberts.columns import ENERGIES, MODALITIES, POLARITIES
from symspectra.groups.table8 import label
from symspectra.spectra.preprocessing import ir_vector, msms_vector, nmr_vector


@dataclass(frozen=True, slots=True)
class Row:
    """A row of the file that is good."""

    number: int
    inchikey: str
    smiles: str
    groups: Bool[np.ndarray, " 37"]
    x: Float16[np.ndarray, "5 600"]


def plain(path: Path, rejects: list[tuple[int, str]], rows: int | None = None) -> Iterator[Row]:
    """The good rows among the first ``rows`` of a file; number and reason of the others are added to ``rejects``."""
    msms = [f"msms_cfmid_{polarity}_{energy}ev" for polarity in POLARITIES.values() for energy in ENERGIES]
    table = pd.read_parquet(path, columns=["smiles", "ir_spectra", "c_nmr_spectra", "h_nmr_spectra", *msms])
    for number, row in enumerate(table[:rows].itertuples()):
        try:
            x = np.stack(_spectra(row)).astype(np.float16)
            inchikey, smiles = _structure(row.smiles)
            yield Row(number, inchikey, smiles, label([smiles])[0], x)
        except ValueError as error:
            rejects.append((number, str(error)))


def _spectra(row: Any) -> list[np.ndarray]:
    """In the order of `MODALITIES`."""
    vectors = {
        "ir": ir_vector(_curve(row.ir_spectra, 1800, "IR")),
        "c13": nmr_vector(_curve(row.c_nmr_spectra, 10_000, "13C")),
        "h1": nmr_vector(_curve(row.h_nmr_spectra, 10_000, "1H")),
    }
    for modality, name in (("msms_pos", "MS/MS+"), ("msms_neg", "MS/MS-")):
        columns = [f"msms_cfmid_{POLARITIES[modality]}_{energy}ev" for energy in ENERGIES]
        mz, intensity = _peaks([getattr(row, column) for column in columns], name)
        vectors[modality] = msms_vector(mz, intensity, torch.zeros(len(mz), dtype=torch.int64), 1)
    return [vectors[modality][0].numpy() for modality in MODALITIES]


def _curve(values: np.ndarray | None, points: int, name: str) -> torch.Tensor:
    if values is None:
        raise ValueError(f"{name} spectrum missing")
    if len(values) != points:
        raise ValueError(f"{name} spectrum not of {points} points")
    if not np.isfinite(values).all():
        raise ValueError(f"{name} spectrum not finite, or too large")
    return torch.tensor(values).unsqueeze(0)


def _peaks(lists: list[np.ndarray | None], name: str) -> tuple[torch.Tensor, torch.Tensor]:
    """The peaks of all collision energies."""
    peaks = [peak for some in lists if some is not None for peak in some]
    if any(peak is None or len(peak) != 2 for peak in peaks):
        raise ValueError(f"{name} peak not a pair of m/z and intensity")
    pairs = np.array(peaks, dtype=np.float64).reshape(-1, 2)
    if not (np.isfinite(pairs) & (pairs >= 0)).all():
        raise ValueError(f"{name} peak negative, not finite or too large")
    return torch.tensor(pairs[:, 0]), torch.tensor(pairs[:, 1])


def _structure(text: Any) -> tuple[str, str]:
    """First block of the InChIKey, and canonical SMILES without stereochemistry."""
    with rdBase.BlockLogs():
        molecule = Chem.MolFromSmiles(text) if isinstance(text, str) and text else None
        if molecule is None:
            raise ValueError("structure not readable")
        smiles = Chem.MolToSmiles(molecule, isomericSmiles=False)
        return Chem.MolToInchiKey(molecule)[:14], smiles

"""Data sets behind one interface: spectra, which of them were measured, functional groups, molecule, split."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from symspectra.config import Config, suggest
from symspectra.lines import DataError, LineTable, read_lines
from symspectra.preprocessing import check_finite
from symspectra.rendering import CLEAN, Nuisance, render

OPEN_DIRECTORY = Path(__file__).parent / "data" / "open"
SPLITS = ("train", "validation", "test")
RENDER_CHUNK = 512  # molecules at a time: the 10,000-point axes of more do not fit the processor's caches


class SpectraDataset(Protocol):
    """What training needs of a data set."""

    modalities: tuple[str, ...]
    ids: tuple[str, ...]  # molecule of each row
    y: Bool[Tensor, "molecule 37"]
    digest: str  # changes whenever the data do

    def rows(self, split: str) -> Int[Tensor, " row"]:
        """Rows of ``train``, ``validation`` or ``test``."""
        ...

    def spectra(
        self, rows: Int[Tensor, " batch"], draw: int = 0
    ) -> tuple[Float[Tensor, "batch modality 600"], Bool[Tensor, "batch modality"]]:
        """Spectra and ``present``; ``draw`` 0 is the fixed noise of validation and test."""
        ...

    def to(self, device: torch.device | str) -> SpectraDataset:
        """The same data on another device."""
        ...


def split_of(inchikey: str) -> str:
    """Split of a molecule, from its InChIKey's first block: a tenth test, a tenth validation, the rest training.

    It depends on the molecule alone, so it stays when the data set grows.
    """
    digit = int(hashlib.sha256(inchikey.encode()).hexdigest(), 16) % 10
    return {0: "test", 1: "validation"}.get(digit, "train")


class LineDataset:
    """Molecules whose spectra are rendered from line lists when they are asked for.

    Parameters
    ----------
    lines : `symspectra.lines.LineTable`
    modalities, nuisance, resampling : see `symspectra.rendering.render`
    """

    def __init__(
        self, lines: LineTable, modalities: Sequence[str], nuisance: Nuisance = CLEAN, resampling: str = "blockmax"
    ):
        self.lines, self.modalities = lines, tuple(modalities)
        self.nuisance, self.resampling = nuisance, resampling
        self.ids, self.y = lines.smiles, lines.y
        content = (lines.digest, self.modalities, nuisance, resampling)
        self.digest = hashlib.sha256(repr(content).encode()).hexdigest()
        self._split = np.array([split_of(key) for key in lines.inchikey])

    def rows(self, split: str) -> Int[Tensor, " row"]:
        """Rows of ``train``, ``validation`` or ``test``."""
        return torch.from_numpy(np.flatnonzero(self._split == split)).to(self.y.device)

    def spectra(
        self, rows: Int[Tensor, " batch"], draw: int = 0
    ) -> tuple[Float[Tensor, "batch modality 600"], Bool[Tensor, "batch modality"]]:
        """Rendered spectra; all modalities are present."""
        chunks = rows.split(RENDER_CHUNK)
        x = torch.cat([render(self.lines, c, self.modalities, self.nuisance, draw, self.resampling) for c in chunks])
        return x, torch.ones(x.shape[:2], dtype=torch.bool, device=x.device)

    def to(self, device: torch.device | str) -> LineDataset:
        """The same data on another device."""
        return LineDataset(self.lines.to(device), self.modalities, self.nuisance, self.resampling)


class ArrayDataset:
    """Spectra of your own, already preprocessed (`symspectra.preprocessing`).

    Parameters
    ----------
    x : (N, modality, 600), zeros where a spectrum was not measured
    present : (N, modality)
    y : (N, 37)
    ids : a name a molecule, for messages and predictions
    split : ``train``, ``validation`` or ``test``, one a molecule
    modalities : names, in the order of the second axis

    Raises
    ------
    DataError : shapes do not agree, or a split is unknown.
    ValueError : a spectrum holds a value that is not finite; the message names the molecule and the modality.
    """

    def __init__(
        self,
        x: Float[Tensor, "molecule modality 600"],
        present: Bool[Tensor, "molecule modality"],
        y: Bool[Tensor, "molecule 37"],
        ids: Sequence[str],
        split: Sequence[str],
        modalities: Sequence[str],
    ):
        n, m = len(ids), len(modalities)
        shapes = {"x": (x, (n, m, 600)), "present": (present, (n, m)), "y": (y, (n, 37))}
        for name, (tensor, expected) in shapes.items():
            if tuple(tensor.shape) != expected:
                raise DataError(f"{name} has shape {tuple(tensor.shape)}; expected {expected}")
        bad = ((y != 0) & (y != 1)).nonzero()  # NaN differs from both
        if len(bad):
            row, group = bad[0].tolist()
            raise DataError(f"{ids[row]}: the label of group {group + 1} is {y[row, group].item()}; expected 0 or 1")
        unknown = sorted(set(split) - set(SPLITS))
        if unknown or len(split) != n:
            raise DataError(f"{len(split)} splits for {n} molecules, unknown ones: {unknown}; expected {SPLITS}")
        for i, modality in enumerate(modalities):
            check_finite(x[:, i], ids, modality)
        self.x, self.present, self.y = x * present.unsqueeze(-1), present, y.bool()
        self.ids, self.modalities, self._split = tuple(ids), tuple(modalities), np.array(split)
        digest = hashlib.sha256(repr((self.ids, tuple(split), self.modalities)).encode())
        for tensor in (self.x, self.present, self.y):
            digest.update(tensor.cpu().numpy().tobytes())
        self.digest = digest.hexdigest()

    def rows(self, split: str) -> Int[Tensor, " row"]:
        """Rows of ``train``, ``validation`` or ``test``."""
        return torch.from_numpy(np.flatnonzero(self._split == split)).to(self.y.device)

    def spectra(
        self, rows: Int[Tensor, " batch"], draw: int = 0
    ) -> tuple[Float[Tensor, "batch modality 600"], Bool[Tensor, "batch modality"]]:
        """Spectra as they are, whatever the draw."""
        return self.x[rows], self.present[rows]

    def to(self, device: torch.device | str) -> ArrayDataset:
        """The same data on another device."""
        other = object.__new__(ArrayDataset)
        other.__dict__.update(self.__dict__)
        other.x, other.present, other.y = self.x.to(device), self.present.to(device), self.y.to(device)
        return other


def load_dataset(config: Config) -> SpectraDataset:
    """The data set that a configuration names.

    Raises
    ------
    DataError : for an unknown name, a missing or damaged file, or more molecules than there are.
    """
    if config.dataset != "open":
        raise DataError(f"there is no data set {config.dataset!r}; {suggest(config.dataset, ['open'])}")
    nuisance = Nuisance() if config.nuisance else CLEAN
    lines = read_lines(OPEN_DIRECTORY, config.molecules)
    return LineDataset(lines, config.modalities, nuisance, config.resample)

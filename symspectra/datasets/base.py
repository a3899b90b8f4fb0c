"""Data sets behind one interface: spectra, which of them were measured, functional groups, molecule, split."""

from __future__ import annotations

import copy
import hashlib
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from symspectra.config import Config
from symspectra.datasets.prepared import PreparedDataset, find_folder, read_folder
from symspectra.datasets.splits import SPLITS, split_of
from symspectra.errors import DataError
from symspectra.spectra.lines import LineTable, read_lines
from symspectra.spectra.preprocessing import POINTS, check_finite
from symspectra.spectra.rendering import CLEAN, Nuisance, render

OPEN_DIRECTORY = Path(__file__).parent.parent / "data" / "open"
# Molecules at a time: the 10,000-point axes of more do not fit a processor's caches; a GPU has room for more.
RENDER_CHUNK = {"cpu": 512, "cuda": 8192}
CACHE_BYTES = 600_000_000  # rendered spectra that a process keeps; a third of the time of small runs is rendering
_RENDERED: OrderedDict[tuple, Tensor] = OrderedDict()


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


def evaluated_groups(dataset: SpectraDataset) -> Bool[Tensor, " 37"]:
    """Groups that count in the scores, which a data set may have as ``evaluated``; all of them otherwise."""
    groups = getattr(dataset, "evaluated", None)
    return torch.ones(dataset.y.shape[1], dtype=torch.bool) if groups is None else groups


def kept_bytes() -> int:
    """Size of the rendered spectra that this process keeps."""
    return sum(x.nbytes for x in _RENDERED.values())


class LineDataset:
    """Molecules whose spectra are rendered from line lists when they are asked for.

    Parameters
    ----------
    lines : `symspectra.spectra.lines.LineTable`
    modalities, nuisance, resampling : see `symspectra.spectra.rendering.render`; the mass spectrum ``"ms"`` is MS/MS+ here
    test_tenths : see `split_of`
    """

    def __init__(
        self,
        lines: LineTable,
        modalities: Sequence[str],
        nuisance: Nuisance = CLEAN,
        resampling: str = "blockmax",
        test_tenths: int = 1,
    ):
        self.lines, self.modalities = lines, tuple(modalities)
        self._rendered = tuple("msms_pos" if name == "ms" else name for name in self.modalities)
        self.nuisance, self.resampling = nuisance, resampling
        self.ids, self.y = lines.smiles, lines.y
        content = (lines.digest, self.modalities, nuisance, resampling)
        self.digest = hashlib.sha256(repr(content).encode()).hexdigest()
        self._split = np.array([split_of(key, test_tenths) for key in lines.inchikey])

    def rows(self, split: str) -> Int[Tensor, " row"]:
        """Rows of ``train``, ``validation`` or ``test``."""
        return torch.from_numpy(np.flatnonzero(self._split == split)).to(self.y.device)

    def spectra(
        self, rows: Int[Tensor, " batch"], draw: int = 0
    ) -> tuple[Float[Tensor, "batch modality 600"], Bool[Tensor, "batch modality"]]:
        """Rendered spectra; all modalities are present."""
        if rows.device.type == "cpu" and len(self.ids) * POINTS * 4 <= CACHE_BYTES // 60:
            x = torch.stack([self._whole(modality, draw)[rows] for modality in self._rendered], dim=1)
        else:
            x = self._render(rows, self._rendered, draw)
        return x, torch.ones(x.shape[:2], dtype=torch.bool, device=x.device)

    def _render(self, rows: Tensor, modalities: Sequence[str], draw: int) -> Tensor:
        chunks = rows.split(RENDER_CHUNK[rows.device.type])
        return torch.cat([render(self.lines, c, modalities, self.nuisance, draw, self.resampling) for c in chunks])

    def _whole(self, modality: str, draw: int) -> Float[Tensor, "molecule 600"]:
        """A small data set under one draw of the noise, kept: the next run on it sees the same draws."""
        key = (self.lines.digest, modality, self.nuisance, self.resampling, draw)
        if key not in _RENDERED:
            _RENDERED[key] = self._render(torch.arange(len(self.ids)), (modality,), draw)[:, 0]
            while kept_bytes() > CACHE_BYTES:
                _RENDERED.popitem(last=False)
        _RENDERED.move_to_end(key)
        return _RENDERED[key]

    def to(self, device: torch.device | str) -> LineDataset:
        """The same data on another device."""
        other = copy.copy(self)
        other.lines, other.y = self.lines.to(device), self.y.to(device)
        return other


class ArrayDataset:
    """Spectra of your own, already preprocessed (`symspectra.spectra.preprocessing`).

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


class DatasetView:
    """A data set seen through a change: another split, fewer training molecules, other spectra.

    It hands everything on to ``base``; a subclass overrides what it changes. ``draw`` 0 must stay what evaluation sees.
    """

    def __init__(self, base: SpectraDataset):
        self.base = base
        self.modalities, self.ids, self.y, self.digest = base.modalities, base.ids, base.y, base.digest
        self.evaluated = evaluated_groups(base)

    def rows(self, split: str) -> Int[Tensor, " row"]:
        """Rows of ``train``, ``validation`` or ``test``."""
        return self.base.rows(split)

    def spectra(
        self, rows: Int[Tensor, " batch"], draw: int = 0
    ) -> tuple[Float[Tensor, "batch modality 600"], Bool[Tensor, "batch modality"]]:
        """Spectra and ``present``, as the base has them."""
        return self.base.spectra(rows, draw)

    def to(self, device: torch.device | str) -> DatasetView:
        """The same view of the data on another device."""
        other = copy.copy(self)
        other.base, other.y = self.base.to(device), self.y.to(device)
        return other


class Resplit(DatasetView):
    """A data set with a split of your own.

    Parameters
    ----------
    split : ``train``, ``validation`` or ``test``, one a molecule of ``base``

    Raises
    ------
    DataError : there are not as many as molecules, or one is unknown.
    """

    def __init__(self, base: SpectraDataset, split: Sequence[str]):
        super().__init__(base)
        unknown = sorted(set(split) - set(SPLITS))
        if unknown or len(split) != len(base.ids):
            raise DataError(
                f"{len(split)} splits for {len(base.ids)} molecules, unknown ones: {unknown}; expected {SPLITS}"
            )
        self._split = np.array(split)
        self.digest = hashlib.sha256(repr((base.digest, tuple(split))).encode()).hexdigest()

    def rows(self, split: str) -> Int[Tensor, " row"]:
        """Rows of ``train``, ``validation`` or ``test``."""
        return torch.from_numpy(np.flatnonzero(self._split == split)).to(self.y.device)


class JoinedDataset:
    """Data sets of the same modalities, one after the other. A molecule that is in several has a row in each.

    Raises
    ------
    DataError : their modalities differ.
    """

    def __init__(self, parts: Sequence[SpectraDataset]):
        if len({part.modalities for part in parts}) != 1:
            raise DataError(f"the data sets have different modalities: {[part.modalities for part in parts]}")
        self.parts, self.modalities = tuple(parts), parts[0].modalities
        self.ids = tuple(name for part in parts for name in part.ids)
        self.y = torch.cat([part.y for part in parts])
        self.digest = hashlib.sha256(repr([part.digest for part in parts]).encode()).hexdigest()
        self._first = np.cumsum([0, *(len(part.ids) for part in parts)])

    def rows(self, split: str) -> Int[Tensor, " row"]:
        """Rows of ``train``, ``validation`` or ``test``."""
        return torch.cat([part.rows(split) + first for part, first in zip(self.parts, self._first, strict=False)])

    def spectra(
        self, rows: Int[Tensor, " batch"], draw: int = 0
    ) -> tuple[Float[Tensor, "batch modality 600"], Bool[Tensor, "batch modality"]]:
        """Spectra and ``present``, each row's from its own data set."""
        x = torch.zeros(len(rows), len(self.modalities), POINTS, device=rows.device)
        present = torch.zeros(x.shape[:2], dtype=torch.bool, device=rows.device)
        for part, first in zip(self.parts, self._first, strict=False):
            own = (rows >= first) & (rows < first + len(part.ids))
            if own.any():
                x[own], present[own] = part.spectra(rows[own] - first, draw)
        return x, present

    def to(self, device: torch.device | str) -> JoinedDataset:
        """The same data on another device."""
        return JoinedDataset([part.to(device) for part in self.parts])


def load_dataset(config: Config) -> SpectraDataset:
    """The data set that a configuration names: ``open``, a prepared folder (`symspectra.datasets.prepared`), or several.

    ``open+experimental`` is both, one after the other.

    Raises
    ------
    DataError : for an unknown name, a missing or damaged file, or more molecules than there are.
    """
    names = config.data.dataset.split("+")
    if len(names) == 1:
        return _load(names[0], config)
    return JoinedDataset([_load(name, config, partly=True) for name in names])


def _load(name: str, config: Config, partly: bool = False) -> SpectraDataset:
    """One data set; ``partly`` as in `symspectra.datasets.prepared.PreparedDataset`."""
    if name == "open":
        nuisance = Nuisance() if config.data.nuisance else CLEAN
        lines = read_lines(OPEN_DIRECTORY, config.data.molecules)
        return LineDataset(lines, config.data.modalities, nuisance, config.data.resample, config.data.test_tenths)
    folder = find_folder(f"{name}-{config.data.resample}") or find_folder(name)
    if folder is None:
        raise DataError(
            f"there is no data set {name!r}; expected 'open', or the name of a folder of `symspectra data prepare` "
            "in data/ (or in the folder that SYMSPECTRA_DATA names)"
        )
    source = read_folder(folder)
    if source.resample != config.data.resample:
        raise DataError(
            f"{folder}: was prepared with --resample {source.resample}; prepare it with --resample {config.data.resample}, "
            f"as {folder.name}-{config.data.resample}"
        )
    return PreparedDataset(source, config.data.modalities, config.data.molecules, config.data.test_tenths, partly)

"""Data sets behind one interface: spectra, which of them were measured, functional groups, molecule, split."""

from __future__ import annotations

import copy
import hashlib
import warnings
from collections import OrderedDict
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from numpy.typing import ArrayLike
from torch import Tensor

from symspectra.config import Config
from symspectra.datasets.splits import SPLITS, checked_split, chosen, random_order, split_of
from symspectra.errors import DataError
from symspectra.groups.table8 import NAMES, from_bits
from symspectra.modalities import KINDS
from symspectra.settings import Data
from symspectra.spectra.formula import formula_vectors, formulas
from symspectra.spectra.lines import LineTable, holds_lines, line_table, read_rows
from symspectra.spectra.preprocessing import POINTS, check_finite
from symspectra.spectra.rendering import CLEAN, NUISANCES, Nuisance, render

SHIPPED = {name: Path(__file__).parent.parent / "data" / name for name in ("open", "uspto")}
OPEN_DIRECTORY = SHIPPED["open"]
# Molecules at a time: the 10,000-point axes of more do not fit a processor's caches; a GPU has room for more.
RENDER_CHUNK = {"cpu": 512, "cuda": 8192}
CACHE_BYTES = 600_000_000  # rendered spectra that a process keeps; a third of the time of small runs is rendering
_RENDERED: OrderedDict[tuple, Tensor] = OrderedDict()
Spectra = tuple[Float[Tensor, "batch modality 600"], Bool[Tensor, "batch modality"]]


class SpectraDataset:
    """What training needs of a data set; a subclass says where its spectra come from."""

    modalities: tuple[str, ...]
    labels: tuple[str, ...]  # what is predicted: by default the groups of Table 8
    ids: tuple[str, ...]  # molecule of each row
    y: Bool[Tensor, "molecule label"]
    digest: str  # changes whenever the data do
    evaluated: Bool[Tensor, " label"] | None = None  # labels that count in the scores; None: all
    own: Bool[np.ndarray, " molecule"] | None = None  # molecules that may be trained on, whatever the split; None: all
    _split: np.ndarray  # of text, one per row
    _moved = ("y",)  # what `to` moves

    @property
    def measured(self) -> Bool[np.ndarray, " molecule"]:
        """Molecules whose spectra were measured; the others' are simulated."""
        return np.zeros(len(self.ids), dtype=bool)

    def rows(self, split: str) -> Int[Tensor, " row"]:
        """Rows of ``train``, ``validation`` or ``test``."""
        return torch.from_numpy(np.flatnonzero(self._split == split)).to(self.y.device)

    def spectra(self, rows: Int[Tensor, " batch"], draw: int = 0) -> Spectra:
        """Spectra and ``present``; ``draw`` 0 is the fixed noise of validation and test."""
        raise NotImplementedError

    def to(self, device: torch.device | str) -> Self:
        """The same data on another device."""
        other = copy.copy(self)
        for name in self._moved:
            setattr(other, name, getattr(self, name).to(device))
        return other


def evaluated_groups(dataset: SpectraDataset) -> Bool[Tensor, " label"]:
    """Groups that count in the scores, which a data set may have as ``evaluated``; all of them otherwise."""
    groups = getattr(dataset, "evaluated", None)
    return torch.ones(dataset.y.shape[1], dtype=torch.bool) if groups is None else groups


def kept_bytes() -> int:
    """Size of the rendered spectra that this process keeps."""
    return sum(x.nbytes for x in _RENDERED.values())


class LineDataset(SpectraDataset):
    """Molecules whose spectra are rendered from line lists when they are asked for.

    Parameters
    ----------
    lines : `symspectra.spectra.lines.LineTable`
    modalities, nuisance, resampling : see `symspectra.spectra.rendering.render`; the mass spectrum ``"ms"`` is MS/MS+
    test_tenths : see `split_of`
    own : molecules that are split so; the others are tested on. By default all
    absolute_ir : see `symspectra.spectra.rendering.render`
    """

    _moved = ("lines", "y")

    def __init__(
        self,
        lines: LineTable,
        modalities: Sequence[str],
        nuisance: Nuisance = CLEAN,
        resampling: str = "blockmax",
        test_tenths: int = 1,
        own: Bool[np.ndarray, " molecule"] | None = None,
        absolute_ir: bool = False,
    ):
        self.lines, self.modalities = lines, tuple(modalities)
        self._rendered = tuple("msms_pos" if name == "ms" else name for name in self.modalities)
        self.nuisance, self.resampling, self.absolute_ir = nuisance, resampling, absolute_ir
        self.ids, self.y, self.labels = lines.smiles, lines.y, NAMES
        self.own = np.ones(len(self.ids), dtype=bool) if own is None else np.asarray(own)
        content = (lines.digest, self.modalities, nuisance, resampling, absolute_ir, test_tenths, self.own.tobytes())
        self.digest = hashlib.sha256(repr(content).encode()).hexdigest()
        split = [split_of(key, test_tenths) for key in lines.inchikey]
        self._split = np.where(self.own, split, "test")
        self._place = torch.from_numpy(self.own.cumsum() - 1)  # of a row among those that are trained on

    def spectra(self, rows: Int[Tensor, " batch"], draw: int = 0) -> Spectra:
        molecules, share = (len(self.ids), 1 / 20) if draw == 0 else (self.own.sum(), 1 / 60)
        small = rows.device.type == "cpu" and molecules * POINTS * 4 <= share * CACHE_BYTES
        if small and (draw == 0 or self.own[rows.numpy()].all()):
            kept = rows if draw == 0 else self._place[rows]
            x = torch.stack([self._whole(modality, draw)[kept] for modality in self._rendered], dim=1)
        else:
            x = self._render(rows, self._rendered, draw)
        return x, torch.ones(x.shape[:2], dtype=torch.bool, device=x.device)

    def _render(self, rows: Tensor, modalities: Sequence[str], draw: int) -> Tensor:
        chunks = rows.split(RENDER_CHUNK[rows.device.type])
        how = (modalities, self.nuisance, draw, self.resampling, self.absolute_ir)
        return torch.cat([render(self.lines, chunk, *how) for chunk in chunks])

    def _whole(self, modality: str, draw: int) -> Float[Tensor, "molecule 600"]:
        """A small data set under one draw of the noise, kept: the next run on it sees the same draws.

        All molecules under draw 0, else those that may be trained on.
        """
        own = self.own.tobytes() if draw else b""
        key = (self.lines.digest, own, modality, self.nuisance, self.resampling, self.absolute_ir, draw)
        if key not in _RENDERED:
            rows = np.flatnonzero(self.own) if draw else np.arange(len(self.ids))
            _RENDERED[key] = self._render(torch.from_numpy(rows), (modality,), draw)[:, 0]
            while kept_bytes() > CACHE_BYTES:
                _RENDERED.popitem(last=False)
        _RENDERED.move_to_end(key)
        return _RENDERED[key]


class ArrayDataset(SpectraDataset):
    """Spectra of your own, already preprocessed (`symspectra.spectra.preprocessing`): NumPy arrays or tensors.

    Parameters
    ----------
    x : (N, modality, 600), zeros where a spectrum was not measured; of any kind of numbers, kept in single precision
    present : (N, modality), 0 and 1
    y : (N, label), 0 and 1
    ids : a name per molecule, for messages and predictions
    split : ``train``, ``validation`` or ``test``, one per molecule; a warning names those without a molecule
    modalities : names, in the order of the second axis
    labels : names of what is predicted, in the order of the columns of ``y``; by default the groups of Table 8
    name : of the data set, for messages

    Raises
    ------
    DataError : shapes do not agree, a label or ``present`` is neither 0 nor 1, a split is unknown, or a label is named
        twice.
    ValueError : a spectrum holds a value that is not finite; the message names the molecule and the modality.
    """

    _moved = ("x", "present", "y")

    def __init__(
        self,
        x: Float[ArrayLike, "molecule modality 600"],
        present: Bool[ArrayLike, "molecule modality"],
        y: Bool[ArrayLike, "molecule label"],
        ids: Sequence[str],
        split: Sequence[str],
        modalities: Sequence[str],
        labels: Sequence[str] = NAMES,
        name: str = "own spectra",
    ):
        self.ids, self.modalities, self.labels, self.name = tuple(ids), tuple(modalities), tuple(labels), name
        n, m = len(self.ids), len(self.modalities)
        x, present, y = torch.as_tensor(x), torch.as_tensor(present), torch.as_tensor(y)
        for what, array, expected in (("x", x, (n, m, 600)), ("present", present, (n, m)), ("y", y, (n, len(labels)))):
            if tuple(array.shape) != expected:
                raise DataError(f"{name}: {what} has shape {tuple(array.shape)}; expected {expected}")
        if len(set(self.labels)) < len(self.labels):
            raise DataError(f"{name}: a label occurs twice among {', '.join(self.labels)}")
        _check_binary(f"{name}: label", y, self.ids, self.labels)
        _check_binary(f"{name}: present", present, self.ids, self.modalities)
        self._split = checked_split(split, n, name)
        if empty := [split for split in SPLITS if split not in self._split]:
            warnings.warn(
                f"{name}: no molecule is in the split {' and '.join(empty)}; without training and validation molecules "
                "nothing can be trained, without test molecules there are no test scores",
                stacklevel=2,
            )
        for i, modality in enumerate(self.modalities):
            check_finite(x[:, i], self.ids, modality)
        self.present, self.y = present.bool(), y.bool()
        self.x = x.float() * self.present.unsqueeze(-1)
        content = hashlib.sha256(repr((self.ids, self._split.tolist(), self.modalities, self.labels)).encode())
        for tensor in (self.x, self.present, self.y):
            content.update(tensor.cpu().numpy().tobytes())
        self.digest = content.hexdigest()

    @property
    def measured(self) -> Bool[np.ndarray, " molecule"]:
        return np.ones(len(self.ids), dtype=bool)

    @property
    def counts(self) -> dict[str, dict[str, int]]:
        """Molecules of each split, spectra of each modality, and molecules with each label."""
        return {
            "molecules": {split: int((self._split == split).sum()) for split in SPLITS},
            "spectra": dict(zip(self.modalities, self.present.sum(dim=0).tolist(), strict=True)),
            "labels": dict(zip(self.labels, self.y.sum(dim=0).tolist(), strict=True)),
        }

    def spectra(self, rows: Int[Tensor, " batch"], draw: int = 0) -> Spectra:
        return self.x[rows], self.present[rows]


def _check_binary(what: str, values: Tensor, ids: Sequence[str], names: Sequence[str]) -> None:
    bad = ((values != 0) & (values != 1)).nonzero()  # NaN differs from both
    if len(bad):
        row, column = bad[0].tolist()
        raise DataError(f"{what} {names[column]} of {ids[row]} is {values[row, column].item()}; expected 0 or 1")


class JoinedDataset(SpectraDataset):
    """Data sets of the same modalities, one after the other. A molecule that is in several has a row in each.

    Raises
    ------
    DataError : their modalities or labels differ.
    """

    def __init__(self, parts: Sequence[SpectraDataset]):
        for what in ("labels", "modalities"):
            if len({getattr(part, what) for part in parts}) != 1:
                raise DataError(f"the data sets have different {what}: {[getattr(part, what) for part in parts]}")
        self.parts, self.modalities, self.labels = tuple(parts), parts[0].modalities, parts[0].labels
        self.ids = tuple(name for part in parts for name in part.ids)
        self.y = torch.cat([part.y for part in parts])
        self.digest = hashlib.sha256(repr([part.digest for part in parts]).encode()).hexdigest()
        self._first = np.cumsum([0, *(len(part.ids) for part in parts)])

    @property
    def measured(self) -> Bool[np.ndarray, " molecule"]:
        return np.concatenate([part.measured for part in self.parts])

    def rows(self, split: str) -> Int[Tensor, " row"]:
        return torch.cat([part.rows(split) + first for part, first in zip(self.parts, self._first, strict=False)])

    def spectra(self, rows: Int[Tensor, " batch"], draw: int = 0) -> Spectra:
        x = torch.zeros(len(rows), len(self.modalities), POINTS, device=rows.device)
        present = torch.zeros(x.shape[:2], dtype=torch.bool, device=rows.device)
        for part, first in zip(self.parts, self._first, strict=False):
            own = (rows >= first) & (rows < first + len(part.ids))
            if own.any():
                x[own], present[own] = part.spectra(rows[own] - first, draw)
        return x, present

    def to(self, device: torch.device | str) -> JoinedDataset:
        return JoinedDataset([part.to(device) for part in self.parts])


class Widened(SpectraDataset):
    """A data set with more modalities than it has: the formula of each molecule, and others, which are absent.

    ``modalities`` are all of them, in the order of the models; those of ``base`` are among them.
    """

    _moved = ("base", "y", "_formula", "_known")

    def __init__(self, base: SpectraDataset, modalities: Sequence[str]):
        self.base, self.modalities, self.labels, self.ids, self.y = (
            base,
            tuple(modalities),
            base.labels,
            base.ids,
            base.y,
        )
        self.evaluated, self.own, self.rows = evaluated_groups(base), base.own, base.rows
        self.digest = hashlib.sha256(repr((base.digest, self.modalities)).encode()).hexdigest()
        self._columns = [self.modalities.index(name) for name in base.modalities]
        counts = formulas(base.ids if "formula" in self.modalities else ())
        self._formula = torch.from_numpy(formula_vectors(counts).astype(np.float16))
        self._known = torch.from_numpy(counts.any(axis=1))

    @property
    def measured(self) -> Bool[np.ndarray, " molecule"]:
        return self.base.measured

    def spectra(self, rows: Int[Tensor, " batch"], draw: int = 0) -> Spectra:
        x = torch.zeros(len(rows), len(self.modalities), POINTS, device=rows.device)
        present = torch.zeros(x.shape[:2], dtype=torch.bool, device=rows.device)
        x[:, self._columns], present[:, self._columns] = self.base.spectra(rows, draw)
        if "formula" in self.modalities:
            column = self.modalities.index("formula")
            present[:, column] = self._known[rows]
            x[:, column] = self._formula[rows].float() * self._known[rows].unsqueeze(1)
        return x, present


def load_dataset(config: Config) -> SpectraDataset:
    """The data set that a configuration names: ``open``, a folder of `symspectra.datasets.prepared`, or several.

    ``open+uspto`` is both: of line lists one data set, in which a molecule that several have is once, as the first has
    it; prepared folders come one after the other (`JoinedDataset`).

    Raises
    ------
    DataError : for an unknown name, a missing or damaged file, or more molecules than there are.
    """
    data, folders = config.data, folders_of(config.data)
    lists = {name: folder for name, folder in folders.items() if holds_lines(folder)}
    prepared = [name for name in folders if name not in lists]
    partly = bool(lists) + len(prepared) > 1
    spectra = tuple(m for m in data.modalities if m not in KINDS or KINDS[m].spectrum)
    parts: list[SpectraDataset] = [_lines(tuple(lists.values()), data, spectra, partly)] if lists else []
    parts += [_prepared(name, folders[name], data, spectra, partly) for name in prepared]
    parts = [part if part.modalities == data.modalities else Widened(part, data.modalities) for part in parts]
    return JoinedDataset(parts) if partly else parts[0]


def _read_together(folders: Sequence[Path], ei: bool) -> tuple[Any, str]:
    """Rows of folders of line lists, and a digest; of several, each molecule once, in an order as each of them has."""
    import pyarrow as pa

    parts = [read_rows(folder, ei=ei) for folder in folders]
    if len(parts) == 1:
        return parts[0]
    table = pa.concat_tables([rows for rows, _ in parts])
    table = table.take(np.unique(table["inchikey"].to_numpy(), return_index=True)[1])
    digest = hashlib.sha256(repr([digest for _, digest in parts]).encode()).hexdigest()
    return table.take(random_order(table["smiles"].to_pylist())), digest


@lru_cache(maxsize=2)
def _chosen_lines(
    folders: tuple[Path, ...],
    molecules: int,
    least: int,
    tested: int,
    test_tenths: int,
    test_unseen: bool,
    partly: bool = False,
    ei: bool = False,
) -> tuple[LineTable, Bool[np.ndarray, " molecule"]]:
    """The molecules of a run, and which of them may be trained on.

    Beside other data (``partly``) there are no more than these: what they leave may be trained on in the other data.
    """
    table, digest = _read_together(folders, ei)
    if molecules > len(table):
        where = " + ".join(map(str, folders))
        raise DataError(f"{where} holds {len(table)} molecules; {molecules} were asked for")
    split = np.array([split_of(key, test_tenths) for key in table["inchikey"].to_pylist()])
    own = chosen(from_bits(table["groups"].to_numpy()), split, molecules, least)
    test = split == "test"
    if partly:
        test &= own
    elif test_unseen:
        test |= ~own
    if tested:
        test &= test.cumsum() <= tested
    rows = np.flatnonzero(test | (own & (split != "test")))
    digest = hashlib.sha256(digest.encode() + rows.tobytes()).hexdigest()
    return line_table(table.take(rows), digest), own[rows]


def folders_of(data: Data) -> dict[str, Path]:
    """The folders of the data sets that settings name, by their names; `DataError` where there is none."""
    from symspectra.datasets.prepared import find_folder  # imports this module

    folders = {}
    for name in data.dataset.split("+"):
        folder = SHIPPED.get(name) or find_folder(f"{name}-{data.resample}") or find_folder(name)
        if folder is None:
            raise DataError(
                f"there is no data set {name!r}; expected {' or '.join(map(repr, SHIPPED))}, or the name of a folder "
                "of `symspectra data build --smiles` or `symspectra data prepare`, with its manifest.json, in data/ "
                "(or in the folder that SYMSPECTRA_DATA names)"
            )
        folders[name] = folder
    return folders


def _lines(folders: tuple[Path, ...], data: Data, modalities: tuple[str, ...], partly: bool) -> LineDataset:
    choice = (data.molecules, data.least_positives, data.test_molecules, data.test_tenths, data.test_unseen)
    lines, own = _chosen_lines(folders, *choice, partly, "ei" in modalities)
    absolute = data.ir_intensity == "absolute"
    nuisance = NUISANCES[data.nuisance]
    return LineDataset(lines, modalities, nuisance, data.resample, data.test_tenths, own, absolute)


def _prepared(name: str, folder: Path, data: Data, modalities: tuple[str, ...], partly: bool) -> SpectraDataset:
    from symspectra.datasets.prepared import PreparedDataset, read_folder  # imports this module

    for option in ("least_positives", "test_molecules", "test_unseen", "ir_intensity"):
        if getattr(data, option) != (default := Data.model_fields[option].default):
            raise DataError(f"{option} is of data sets of line lists; expected {default!r} for {name!r}")
    source = read_folder(folder)
    if source.resample != data.resample:
        raise DataError(
            f"{folder}: was prepared with --resample {source.resample}; prepare it with --resample {data.resample}, "
            f"as {folder.name}-{data.resample}"
        )
    return PreparedDataset(source, modalities, data.molecules, data.test_tenths, partly)

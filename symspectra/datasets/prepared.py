"""Data sets in folders of `symspectra data prepare`: measured spectra, of which molecules lack some, or simulated ones.

A folder holds ``molecules.parquet`` (InChIKey block, SMILES, groups), ``vectors.npy`` (molecule, modality, 600) in half
precision, ``present.npy``, and ``manifest.json``, which names the modalities.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from jaxtyping import Bool, Float, Float16, Int
from torch import Tensor

from symspectra import files
from symspectra.datasets.base import Spectra, SpectraDataset
from symspectra.datasets.splits import split_of
from symspectra.errors import DataError
from symspectra.groups.table8 import NAMES, from_bits

MASS = ("ms", "msms_pos", "msms_neg")  # what "ms" stands for: the first of these that was measured
KINDS = (("ir",), ("c13",), ("h1",), MASS)
LEAST_TRAINED, LEAST_TESTED = 10, 5  # molecules, for a group to be evaluated on measured spectra
IN_MEMORY = 1_000_000_000  # bytes of spectra that are read at once; more stay memory-mapped


def find_folder(name: str) -> Path | None:
    """The prepared folder of this name, in ``$SYMSPECTRA_DATA`` or else in ``data`` here or one folder up."""
    own = os.environ.get("SYMSPECTRA_DATA")
    for parent in (Path(own),) if own else (Path("data"), Path("../data")):
        if (parent / name / "manifest.json").is_file():
            return parent / name
    return None


def complete(
    present: Bool[np.ndarray, "molecule modality"], modalities: Sequence[str]
) -> Bool[np.ndarray, " molecule"]:
    """Molecules with a spectrum of every kind of `KINDS` that occurs."""
    has = dict(zip(modalities, present.T, strict=True))
    kinds = [np.logical_or.reduce([has[name] for name in kind if name in has]) for kind in KINDS if {*kind} & {*has}]
    return np.logical_and.reduce([there for there in kinds if there.any()])


@dataclass(frozen=True)
class Folder:
    """What a prepared folder holds; the spectra are memory-mapped."""

    path: Path
    manifest: dict[str, Any]
    inchikey: list[str]
    smiles: list[str]
    y: Bool[np.ndarray, "molecule 37"]
    vectors: Float16[np.ndarray, "molecule modality 600"]
    present: Bool[np.ndarray, "molecule modality"]

    @property
    def modalities(self) -> list[str]:
        """Names of the second axis."""
        return self.manifest["modalities"]

    @property
    def resample(self) -> str:
        """How NMR axes became 600 points (`symspectra.spectra.preprocessing.resample`)."""
        return self.manifest.get("resample", "blockmax")

    @property
    def measured(self) -> bool:
        """Whether a molecule has the spectra that somebody measured, and not all that can be computed."""
        return self.manifest.get("kind", "measured") == "measured"

    def complete(self) -> Bool[np.ndarray, " molecule"]:
        """Molecules with a spectrum of every kind of `KINDS` that occurs; of simulated spectra, all molecules."""
        if not self.measured:
            return np.ones(len(self.smiles), dtype=bool)
        return complete(self.present, self.modalities)

    def places(self, kinds: Sequence[str]) -> tuple[Int[np.ndarray, " molecule"], Bool[np.ndarray, " molecule"]]:
        """Place on the second axis of each molecule's spectrum of the first of ``kinds`` that it has; has it any?"""
        columns = np.array([self.modalities.index(kind) for kind in kinds if kind in self.modalities])
        there = self.present[:, columns]
        return columns[there.argmax(axis=1)], there.any(axis=1)


def read_folder(path: str | Path) -> Folder:
    """Open a folder of ``symspectra data prepare``.

    `DataError` names a file that is missing or damaged (`symspectra.files.check`), or does not fit the others.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    path, instead = Path(path), "expected a folder as `symspectra data prepare` wrote it: prepare it again"
    manifest = files.check(path, instead)
    names = manifest.get("modalities")
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise DataError(f"{path / files.MANIFEST}: modalities is {names!r}, expected a list of names; {instead}")
    try:
        columns = pq.read_table(path / "molecules.parquet", columns=["inchikey", "smiles", "groups"]).to_pydict()
        vectors, present = np.load(path / "vectors.npy", mmap_mode="r"), np.load(path / "present.npy")
    except (OSError, ValueError, KeyError, TypeError, pa.ArrowException) as error:
        raise DataError(f"{path}: cannot be read ({error}); {instead}") from error
    shape = (len(columns["smiles"]), len(names))
    if vectors.shape != (*shape, 600) or present.shape != shape or present.dtype != bool:
        raise DataError(
            f"{path}: vectors.npy has shape {vectors.shape}, present.npy {present.shape} ({present.dtype}); "
            f"expected {(*shape, 600)} and {shape} (bool); prepare it again"
        )
    y = from_bits(np.array(columns["groups"], dtype=np.uint64))
    return Folder(path, manifest, columns["inchikey"], columns["smiles"], y, vectors, present)


class PreparedDataset(SpectraDataset):
    """Spectra of a prepared folder, with ``present`` false where a molecule lacks one.

    Every molecule with one of the modalities is trained on. Of measured spectra, only molecules with all kinds that
    the folder has are kept for validation and test, so that the scores of every choice of modalities are of the same
    molecules; those that lack one are trained on whatever their InChIKey. ``evaluated`` are then the groups that
    `LEAST_TRAINED` of the complete training molecules and `LEAST_TESTED` test molecules have.

    Parameters
    ----------
    folder : written by ``symspectra data prepare``, or already read
    modalities : ``"ms"`` is the first of `MASS` that a molecule has; the folder's own ``"ms"`` is electron ionisation,
        here ``"ei"``
    molecules : use at most so many, 0 for all: the complete ones, then others
    test_tenths : see `symspectra.datasets.splits.split_of`
    partly : beside other data: every molecule, complete or not, is split by its InChIKey, all groups count, and
        modalities that the folder lacks are absent

    Raises
    ------
    DataError : the folder cannot be read, has no such spectra, or nothing could be tested.
    """

    _moved = ("y", "present")

    def __init__(
        self,
        folder: str | Path | Folder,
        modalities: Sequence[str],
        molecules: int = 0,
        test_tenths: int = 1,
        partly: bool = False,
    ):
        source = folder if isinstance(folder, Folder) else read_folder(folder)
        self.modalities, self._folder, self._measured = tuple(modalities), source.path, source.measured
        places = [_place(source, modality, partly) for modality in self.modalities]
        columns, present = (np.stack(parts, axis=1) for parts in zip(*places, strict=True))
        complete = np.ones(len(present), dtype=bool) if partly else source.complete()
        usable = np.flatnonzero(present.any(axis=1))
        index = usable[np.argsort(~complete[usable], kind="stable")]
        index = index[: molecules or None]
        self._vectors, self._index, self._columns = source.vectors, index, columns[index]
        self.ids, self.labels = tuple(source.smiles[i] for i in index), NAMES
        self.y, self.present = torch.from_numpy(source.y[index]), torch.from_numpy(present[index])
        self._split = np.array([split_of(source.inchikey[i], test_tenths) if complete[i] else "train" for i in index])
        if source.measured and not partly:
            whole, y = complete[index], source.y[index]
            trained, tested = (y[whole & (self._split == name)].sum(axis=0) for name in ("train", "test"))
            self.evaluated = torch.from_numpy((trained >= LEAST_TRAINED) & (tested >= LEAST_TESTED))
            if not self.evaluated.any():
                raise DataError(
                    f"{source.path}: no group has {LEAST_TRAINED} training and {LEAST_TESTED} test molecules with all "
                    f"kinds of spectra ({whole.sum()} molecules have them); use more molecules, or a larger test_tenths"
                )
        content = (source.manifest.get("files"), self.modalities, len(index), test_tenths, partly)
        self.digest = hashlib.sha256(repr(content).encode()).hexdigest()
        self._x: Tensor | None = None
        self._nbytes = self._columns.size * 600 * 2
        if self._nbytes <= IN_MEMORY:
            self._x = self._read(np.arange(len(index)))

    @property
    def measured(self) -> Bool[np.ndarray, " molecule"]:
        return np.full(len(self.ids), self._measured)

    def _read(self, rows: np.ndarray) -> Float[Tensor, "row modality 600"]:
        """Half precision, zeros where there is no spectrum."""
        x = torch.from_numpy(self._vectors[self._index[rows][:, None], self._columns[rows]])
        if not (good := x.isfinite().all(dim=-1).all(dim=-1)).all():
            raise DataError(f"{self._folder}: a spectrum of {self.ids[rows[(~good).nonzero()[0, 0]]]} is not finite")
        return x.masked_fill_(~self.present[torch.from_numpy(rows)].cpu().unsqueeze(-1), 0)

    def spectra(self, rows: Int[Tensor, " batch"], draw: int = 0) -> Spectra:
        x = self._read(rows.cpu().numpy()).to(rows.device) if self._x is None else self._x[rows]
        return x.float(), self.present[rows]

    def to(self, device: torch.device | str) -> Self:
        """The same data for another device; a GPU takes the spectra whole where they fill at most half its memory."""
        other, device = super().to(device), torch.device(device)
        if self._x is not None:
            other._x = self._x.to(device)
        elif device.type == "cuda" and 2 * self._nbytes <= torch.cuda.mem_get_info(device)[0]:
            other._x = torch.empty(self._columns.shape + (600,), dtype=torch.float16, device=device)
            for rows in np.array_split(np.arange(len(self.ids)), max(1, self._nbytes // 2**28)):
                other._x[rows[0] : rows[-1] + 1] = self._read(rows).to(device)
        return other


def _place(source: Folder, modality: str, partly: bool) -> tuple[np.ndarray, np.ndarray]:
    kinds = MASS if modality == "ms" else ("ms",) if modality == "ei" else (modality,)
    if not set(kinds) & set(source.modalities):
        if partly:
            return np.zeros(len(source.smiles), dtype=int), np.zeros(len(source.smiles), dtype=bool)
        raise DataError(f"{source.path}: has no {modality} spectra; it has {', '.join(source.modalities)}")
    return source.places(kinds)

"""Processed NMR spectra of Bruker: ``1r`` and ``procs`` in folders or .zip archives, read without unpacking."""

from __future__ import annotations

import re
import zipfile
from functools import partial
from pathlib import Path

import numpy as np

from symspectra.errors import ReadError
from symspectra.modalities import OF_NUCLEUS
from symspectra.spectra.readers.entries import Entry
from symspectra.spectra.readers.jeol import EXPORT, MAX_POINTS, finite
from symspectra.spectra.spectrum import Spectrum

Folder = Path | zipfile.Path
_MAX_BYTES = 8 * MAX_POINTS + 4096  # of one file
_MAX_FILES = 5000  # of an archive


def read_bruker(path: Path) -> list[Entry]:
    """The processed 1H and 13C spectra of an experiment, or of a folder or .zip archive of experiments.

    The block of a spectrum is the number of its experiment (the name of its folder, or its place from 1); in one
    experiment alone it is the N of ``pdata/N``, of which the first is read unless another is picked.
    """
    experiments = _experiments(path if path.is_dir() else _archive(path))
    if len(experiments) == 1:
        return [
            Entry(int(folder.name) if folder.name.isdecimal() else 1, partial(_spectrum, folder, experiments[0]), aside)
            for folder, aside in _processed(experiments[0])
        ]
    names = [folder.name for folder in experiments]
    numbers = [int(name) for name in names] if all(map(str.isdecimal, names)) else []
    if len(set(numbers)) < len(names):  # no numbers, or not of one experiment each
        numbers = range(1, len(names) + 1)
    return [Entry(number, partial(_first, folder)) for number, folder in zip(numbers, experiments, strict=True)]


def _archive(path: Path) -> Folder:
    try:
        archive = zipfile.ZipFile(path)
    except Exception as error:  # damaged archives raise errors of many kinds, here and below
        raise ReadError("is a damaged .zip archive") from error
    if len(archive.infolist()) > _MAX_FILES:
        raise ReadError(f"is an archive of more than {_MAX_FILES} files; expected one experiment or a few")
    return zipfile.Path(archive)


def _experiments(root: Folder) -> list[Folder]:
    """The root itself, or the folders up to two levels below it, that are experiments or the ``pdata/N`` of one."""
    level = [root]
    for _ in range(3):
        if found := [folder for folder in level if _is_there(folder, "acqus", "procs") or _pdata(folder)]:
            return found
        level = [child for folder in level for child in _subfolders(folder)][:_MAX_FILES]
    if _is_there(root, "procpar"):
        raise ReadError(f"is of Varian or Agilent, a free induction decay; {EXPORT}")
    if isinstance(root, Path):
        raise ReadError("is a folder without a Bruker experiment; expected one with acqus in it, or a file")
    raise ReadError("is a zip archive without a Bruker experiment; unpack it and give the file inside")


def _is_there(folder: Folder, *names: str) -> bool:
    return any((folder / name).is_file() for name in names)


def _subfolders(folder: Folder) -> list[Folder]:
    """Those directly below, 2 before 10."""
    try:
        children = [child for child in folder.iterdir() if child.is_dir() and child.name != "__MACOSX"]
    except Exception:
        return []
    return sorted(children, key=lambda child: (len(child.name), child.name))


def _pdata(folder: Folder) -> list[Folder]:
    return [child for child in _subfolders(folder / "pdata") if child.name.isdecimal() and _is_there(child, "procs")]


def _processed(folder: Folder) -> list[tuple[Folder, str]]:
    """The processed data of an experiment that can be read, and why they are left out beside the first."""
    there = [folder] if _is_there(folder, "procs") else _pdata(folder)
    usable = [child for child in there if _is_there(child, "1r")]
    if not usable:
        for name in ("2rr", "ser", "acqu2s"):
            if any(_is_there(place, name) for place in (folder, *there)):
                raise ReadError(f"the experiment has more than one dimension ({name} is there); expected one dimension")
        decay = "only a free induction decay (fid)" if _is_there(folder, "fid") else "no processed data (pdata/1/1r)"
        raise ReadError(f"the experiment holds {decay}; {EXPORT}")
    return [(child, "processed anew" if child != usable[0] else "") for child in usable]


def _first(folder: Folder) -> Spectrum:
    return _spectrum(_processed(folder)[0][0], folder)


def _read_bytes(file: Folder) -> bytes:
    try:
        with file.open("rb") as stream:
            data = stream.read(_MAX_BYTES + 1)
    except Exception as error:
        raise ReadError(f"{file.name} is missing or cannot be read") from error
    if len(data) > _MAX_BYTES:
        raise ReadError(f"{file.name} is larger than {_MAX_BYTES:,} bytes; expected a spectrum of one dimension")
    return data


class _Parameters(dict[str, str]):
    """Texts of a parameter file by name."""

    def __init__(self, file: Folder):
        self.file = file.name
        text = _read_bytes(file).decode("utf-8", "replace")
        super().__init__(re.findall(r"^##\$(\w+)=[ \t]*([^\r\n]*)", text, re.MULTILINE))

    def text(self, name: str) -> str:
        """The value without quotes, "" where it is missing."""
        return self.get(name, "").strip().strip('<>"').strip()

    def number(self, name: str, low: float, high: float) -> float:
        """The value of a parameter; `ReadError` where it is missing or outside the limits."""
        try:
            value = float(self.get(name, "").split()[0])
        except (ValueError, IndexError):
            raise ReadError(f"{self.file} gives no number for {name} ({self.get(name, 'missing')[:40]!r})") from None
        if not low <= value <= high:
            raise ReadError(f"{self.file} gives {name} = {value:g}; expected {low:g} to {high:g}")
        return value


def _spectrum(folder: Folder, experiment: Folder) -> Spectrum:
    """The processed data in a folder ``pdata/N``, with what ``acqus`` of the experiment says."""
    procs = _Parameters(folder / "procs")
    if experiment == folder and folder.parent.name == "pdata":  # the user named pdata/N itself
        experiment = folder.parent.parent
    acqus = _Parameters(experiment / "acqus") if _is_there(experiment, "acqus") else None
    nucleus = (acqus.text("NUC1") if acqus else "") or procs.text("AXNUC")
    if nucleus not in OF_NUCLEUS:
        raise ReadError(f"the nucleus is {nucleus or 'not given'}; expected {' or '.join(OF_NUCLEUS)}")
    points = int(procs.number("SI", 2, MAX_POINTS))
    kind, order = procs.number("DTYPP", 0, 2), procs.number("BYTORDP", 0, 1)
    if kind not in (0, 2):
        raise ReadError(f"1r is said to hold numbers of kind {kind:g}; expected 0 (integers) or 2 (floats)")
    dtype = np.dtype(("<", ">")[int(order)] + ("i4" if kind == 0 else "f8"))
    data = _read_bytes(folder / "1r")
    values = finite(np.frombuffer(data, dtype, len(data) // dtype.itemsize), "1r")
    if len(values) != points:
        raise ReadError(f"1r holds {len(values):,} points; expected {points:,} (SI in procs)")
    frequency = procs.number("SF", 1, 1e5)
    width = procs.number("SW_p", 1e-3, 1e9) / frequency
    x = procs.number("OFFSET", -1e4, 1e4) - np.arange(points) * width / points
    with np.errstate(over="ignore", invalid="ignore"):
        y = np.ldexp(values, int(procs.number("NC_proc", -64, 64)))
    meta = {"frequency_mhz": frequency, "pulse_sequence": acqus.text("PULPROG") if acqus else ""}
    if solvent := acqus.text("SOLVENT") if acqus else "":
        meta["solvent"] = solvent
    if _is_there(folder, "title"):
        meta["title"] = " ".join(_read_bytes(folder / "title").decode("utf-8", "replace").split())[:200]
    step = f"processed data {folder.name} read, {points:,} points, ppm axis from OFFSET and SF"
    return Spectrum(x, y, "ppm", "intensity", OF_NUCLEUS[nucleus], meta, steps=(step,))

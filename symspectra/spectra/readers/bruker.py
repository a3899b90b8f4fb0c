"""Processed NMR spectra of Bruker: ``1r`` and ``procs`` in folders or .zip archives, read without unpacking."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from symspectra.errors import ReadError
from symspectra.modalities import OF_NUCLEUS
from symspectra.spectra.readers.jeol import EXPORT, MAGIC, MAX_POINTS, finite
from symspectra.spectra.spectrum import Spectrum

Folder = Path | zipfile.Path
_MAX_BYTES = 8 * MAX_POINTS + 4096  # of one file
_MAX_FILES = 5000  # of an archive


@contextmanager
def _opened(path: Path) -> Iterator[Folder]:
    """A folder, the folder of a ``1r`` or ``fid`` file, or the top of a .zip archive."""
    if path.is_dir():
        yield path
    elif path.name in ("1r", "fid"):
        yield path.parent
    else:
        try:
            archive = zipfile.ZipFile(path)
        except Exception as error:  # damaged archives raise errors of many kinds, here and below
            raise ReadError("the file is not a folder and not a readable .zip archive") from error
        with archive:
            if len(archive.infolist()) > _MAX_FILES:
                raise ReadError(f"the archive holds more than {_MAX_FILES} files; expected one experiment or a few")
            yield zipfile.Path(archive)


def _find(root: Folder, belongs: Callable[[Folder], bool]) -> list[Folder]:
    """The root itself, or the folders up to two levels below it."""
    level = [root]
    for _ in range(3):
        if found := [folder for folder in level if belongs(folder)]:
            return found
        level = [child for folder in level for child in _subfolders(folder)][:_MAX_FILES]
    return []


def _subfolders(folder: Folder) -> list[Folder]:
    """Those directly below, 2 before 10."""
    try:
        children = [child for child in folder.iterdir() if child.is_dir() and child.name != "__MACOSX"]
    except Exception:
        return []
    return sorted(children, key=lambda child: (len(child.name), child.name))


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


def vendor_of(path: Path) -> str | None:
    """``"Bruker"``, ``"JEOL"`` or ``"Varian"`` for a folder, zip archive or file of that maker, otherwise None.

    Bruker: an experiment folder, its ``pdata/N``, a ``1r`` or ``fid`` file, a folder or .zip archive of experiments.
    Varian / Agilent, not read: a folder with ``procpar``, its ``fid``, or one of them zipped. JEOL: a .jdf file.
    """
    try:
        if path.is_file() and path.name not in ("1r", "fid"):
            with open(path, "rb") as file:
                start = file.read(8)
            if start in MAGIC or path.suffix.lower() == ".jdf":
                return "JEOL"
            if not start.startswith(b"PK"):
                return None
        with _opened(path) as root:
            if _find(root, _is_experiment):
                return "Bruker"
            if _find(root, lambda folder: (folder / "procpar").is_file()):
                return "Varian"
    except (OSError, ReadError):
        pass
    return None


def read_bruker(path: Path, block: int | None = None) -> list[Spectrum]:
    """The processed 1H and 13C spectra of a Bruker experiment, or of a folder or .zip archive of experiments.

    ``block`` is the number of one of several experiments (the name of its folder, or its place from 1), or, in one
    experiment, the N of ``pdata/N``, by default the first.
    """
    with _opened(path) as root:
        folders = _find(root, _is_experiment)
        if not folders:
            raise ReadError("no experiment is in there; expected a folder with acqus or procs")
        if len(folders) == 1:
            return [_experiment(folders[0], block)]
        names = [folder.name for folder in folders]
        numbers = [int(name) for name in names] if all(map(str.isdecimal, names)) else []
        if len(set(numbers)) < len(names):  # no numbers, or not of one experiment each
            numbers = range(1, len(names) + 1)
        if block is not None and block not in numbers:
            raise ReadError(f"there is no experiment {block}; there are {', '.join(map(str, numbers[:20]))}")
        spectra, failed = [], []
        for number, folder in zip(numbers, folders, strict=True):
            if block not in (None, number):
                continue
            try:
                spectra.append(_experiment(folder))
                spectra[-1].meta["block"] = number
            except ReadError as error:
                failed.append((folder.name, error))
    if not spectra:
        raise failed[0][1]
    for name, error in failed:  # each spectrum says which were left out
        spectra = [spectrum.then(f"experiment {name} left out: {error}") for spectrum in spectra]
    return spectra


def _is_experiment(folder: Folder) -> bool:
    """Whether a folder is an experiment or the ``pdata/N`` of one."""
    return any((folder / name).is_file() for name in ("acqus", "procs")) or bool(_pdata(folder))


def _pdata(folder: Folder) -> list[Folder]:
    return [child for child in _subfolders(folder / "pdata") if child.name.isdecimal() and (child / "procs").is_file()]


def _experiment(folder: Folder, block: int | None = None) -> Spectrum:
    """The processed data ``pdata/block``, by default the first."""
    processed = _pdata(folder)
    if (folder / "procs").is_file():  # pdata/N itself
        processed = [folder]
        folder = folder.parent.parent if folder.parent.name == "pdata" else folder
    acqus = _Parameters(folder / "acqus") if (folder / "acqus").is_file() else None
    usable = [child for child in processed if (child / "1r").is_file()]
    if block is not None:
        numbers = ", ".join(child.name for child in usable) or "none"
        usable = [child for child in usable if child.name == str(block)]
        if not usable:
            raise ReadError(f"there are no processed data pdata/{block}; there are {numbers}")
    if not usable:
        for name in ("2rr", "ser", "acqu2s"):
            if any((place / name).is_file() for place in (folder, *processed)):
                raise ReadError(f"the experiment has more than one dimension ({name} is there); expected one dimension")
        decay = "only a free induction decay (fid)" if (folder / "fid").is_file() else "no processed data (pdata/1/1r)"
        raise ReadError(f"the experiment holds {decay}; {EXPORT}")
    spectrum = _processed(usable[0], acqus)
    if len(usable) > 1:
        others = ", ".join(child.name for child in usable[1:])
        spectrum = spectrum.then(f"pdata/{usable[0].name} taken, the first; pdata/{others} not read")
    return spectrum


def _processed(folder: Folder, acqus: _Parameters | None) -> Spectrum:
    procs = _Parameters(folder / "procs")
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
    if len(values) < points:
        raise ReadError(f"1r ends after {len(values):,} of {points:,} numbers")
    if len(values) > points:
        raise ReadError(f"1r holds {len(values):,} points; expected {points:,} (SI in procs)")
    frequency = procs.number("SF", 1, 1e5)
    width = procs.number("SW_p", 1e-3, 1e9) / frequency
    x = procs.number("OFFSET", -1e4, 1e4) - np.arange(points) * width / points
    with np.errstate(over="ignore", invalid="ignore"):
        y = np.ldexp(values, int(procs.number("NC_proc", -64, 64)))
    name = "1r"
    meta = {"format": "Bruker", "nucleus": nucleus, "frequency_mhz": frequency}
    if acqus is not None:
        meta |= {"solvent": acqus.text("SOLVENT"), "pulse_program": acqus.text("PULPROG")}
    if folder.name.isdecimal():
        name = f"pdata/{folder.name}"
        meta["block"] = int(folder.name)
    if (folder / "title").is_file():
        meta["title"] = " ".join(_read_bytes(folder / "title").decode("utf-8", "replace").split())[:200]
    meta = {key: value for key, value in meta.items() if value != ""}
    step = f"processed data {name} read, {points:,} points, ppm axis from OFFSET and SF"
    return Spectrum(x, y, "ppm", "intensity", OF_NUCLEUS[nucleus], meta, steps=(step,))

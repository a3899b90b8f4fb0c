"""Processed NMR spectra of Bruker: ``1r`` and ``procs`` in folders or .zip archives, read without unpacking."""

from __future__ import annotations

import lzma
import re
import zipfile
import zlib
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
_ZIP_ERRORS = (
    *(zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, OSError, RuntimeError, ValueError, KeyError),
    *(IndexError, OverflowError, MemoryError, NotImplementedError, TypeError),
)


@contextmanager
def opened(path: Path) -> Iterator[Folder]:
    """A folder, the folder of a ``1r`` or ``fid`` file, or the top of a .zip archive.

    Raises
    ------
    ReadError : it is none of them, or the archive is damaged or holds too many files.
    """
    if path.is_dir():
        yield path
    elif path.name in ("1r", "fid"):
        yield path.parent
    else:
        with _archive(path) as archive:
            yield zipfile.Path(archive)


def _archive(path: Path) -> zipfile.ZipFile:
    try:
        archive = zipfile.ZipFile(path)
    except _ZIP_ERRORS as error:
        raise ReadError("the file is not a folder and not a readable .zip archive") from error
    if len(archive.infolist()) > _MAX_FILES:
        archive.close()
        raise ReadError(f"the archive holds more than {_MAX_FILES} files; expected one experiment or a few")
    return archive


def find(root: Folder, belongs: Callable[[Folder], bool]) -> list[Folder]:
    """The root itself, or the folders up to two levels below it."""
    level = [root]
    for _ in range(3):
        if found := [folder for folder in level if belongs(folder)]:
            return found
        level = [child for folder in level for child in subfolders(folder)][:_MAX_FILES]
    return []


def subfolders(folder: Folder) -> list[Folder]:
    """Those directly below, 2 before 10."""
    try:
        children = [child for child in folder.iterdir() if child.is_dir() and child.name != "__MACOSX"]
    except _ZIP_ERRORS:
        return []
    return sorted(children, key=lambda child: (len(child.name), child.name))


def read_bytes(file: Folder) -> bytes:
    """The content of a file; `ReadError` where it cannot be read or is too large."""
    try:
        with file.open("rb") as stream:
            data = stream.read(_MAX_BYTES + 1)
    except _ZIP_ERRORS as error:
        raise ReadError(f"{file.name} is missing or cannot be read") from error
    if len(data) > _MAX_BYTES:
        raise ReadError(f"{file.name} is larger than {_MAX_BYTES:,} bytes; expected a spectrum of one dimension")
    return data


class Parameters(dict[str, str]):
    """Texts of a parameter file by name."""

    def __init__(self, file: Folder):
        self.file = file.name
        text = read_bytes(file).decode("utf-8", "replace")
        super().__init__(re.findall(r"^##\$(\w+)=[ \t]*([^\r\n]*)", text, re.MULTILINE))

    def text(self, name: str) -> str:
        """The value without quotes, "" where it is missing."""
        return self.get(name, "").strip().strip('<>"').strip()

    def number(self, name: str, low: float = -np.inf, high: float = np.inf) -> float:
        """The value of a parameter; `ReadError` where it is missing or outside the limits."""
        try:
            value = float(self.get(name, "").split()[0])
        except (ValueError, IndexError):
            raise ReadError(f"{self.file} gives no number for {name} ({self.get(name, 'missing')[:40]!r})") from None
        if not low <= value <= high:
            raise ReadError(f"{self.file} gives {name} = {value:g}; expected {low:g} to {high:g}")
        return value


def vendor_of(path: Path) -> str | None:
    """``"bruker"``, ``"jeol"`` or ``"varian"`` for a folder, zip archive or file of that maker, otherwise None.

    Bruker: an experiment folder, its ``pdata/N``, a ``1r`` or ``fid`` file, a folder or .zip archive of experiments.
    Varian / Agilent, not read: a folder with ``procpar``, its ``fid``, or one of them zipped. JEOL: a .jdf file.
    """
    try:
        if path.is_file() and path.name not in ("1r", "fid"):
            with open(path, "rb") as file:
                start = file.read(8)
            if start in MAGIC or path.suffix.lower() == ".jdf":
                return "jeol"
            if not start.startswith(b"PK"):
                return None
        with opened(path) as root:
            for vendor, belongs in (("bruker", is_experiment), ("varian", is_varian)):
                if find(root, belongs):
                    return vendor
    except (OSError, ReadError):
        pass
    return None


def read_bruker(path: Path, block: int | None = None) -> list[Spectrum]:
    """Read the processed 1H and 13C spectra of a Bruker experiment, or of a folder or .zip archive of experiments.

    Parameters
    ----------
    path : see `vendor_of`
    block : of several experiments, the number of one: the name of its folder, or its place from 1; of one experiment,
        the number N of its processed data ``pdata/N``, by default the first

    Raises
    ------
    ReadError : nothing can be read; the message is that of the first experiment.
    """
    with opened(path) as root:
        folders = find(root, is_experiment)
        if not folders:
            raise ReadError("no experiment is in there; expected a folder with acqus or procs")
        if len(folders) == 1:
            return [_experiment(folders[0], block)]
        numbered = _numbered(folders)
        if block is not None and block not in numbered:
            raise ReadError(f"there is no experiment {block}; there are {', '.join(map(str, list(numbered)[:20]))}")
        spectra, failed = [], []
        for number, folder in (numbered if block is None else {block: numbered[block]}).items():
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


def _numbered(folders: list[Folder]) -> dict[int, Folder]:
    """Experiments by the numbers that are their names, or from 1 where they are not."""
    names = [folder.name for folder in folders]
    if all(name.isdecimal() for name in names) and len({int(name) for name in names}) == len(names):
        return {int(name): folder for name, folder in zip(names, folders, strict=True)}
    return dict(enumerate(folders, 1))


def is_varian(folder: Folder) -> bool:
    """Whether a folder is an experiment of Varian or Agilent, which are not read."""
    return (folder / "procpar").is_file()


def is_experiment(folder: Folder) -> bool:
    """Whether a folder is an experiment or the ``pdata/N`` of one."""
    return any((folder / name).is_file() for name in ("acqus", "procs")) or bool(_pdata(folder))


def _pdata(folder: Folder) -> list[Folder]:
    return [child for child in subfolders(folder / "pdata") if child.name.isdecimal() and (child / "procs").is_file()]


def _experiment(folder: Folder, block: int | None = None) -> Spectrum:
    """The processed data ``pdata/block``, by default the first."""
    processed = _pdata(folder)
    if (folder / "procs").is_file():  # pdata/N itself
        processed = [folder]
        folder = folder.parent.parent if folder.parent.name == "pdata" else folder
    acqus = Parameters(folder / "acqus") if (folder / "acqus").is_file() else None
    usable = [child for child in processed if (child / "1r").is_file()]
    if block is not None:
        numbers = ", ".join(child.name for child in usable) or "none"
        usable = [child for child in usable if child.name == str(block)]
        if not usable:
            raise ReadError(f"there are no processed data pdata/{block}; there are {numbers}")
    two = [name for place in (folder, *processed) for name in ("2rr", "ser", "acqu2s") if (place / name).is_file()]
    if two and not usable:
        raise ReadError(f"the experiment has more than one dimension ({two[0]} is there); expected one dimension")
    if not usable:
        decay = "only a free induction decay (fid)" if (folder / "fid").is_file() else "no processed data (pdata/1/1r)"
        raise ReadError(f"the experiment holds {decay}; {EXPORT}")
    spectrum = _processed(usable[0], acqus)
    if len(usable) > 1 and block is None:
        others = ", ".join(child.name for child in usable[1:])
        spectrum = spectrum.then(f"pdata/{usable[0].name} taken, the first; pdata/{others} not read")
    return spectrum


def _meta(acqus: Parameters | None, folder: Folder | None, nucleus: str, mhz: float) -> dict[str, str | float]:
    meta = {"format": "Bruker", "nucleus": nucleus, "frequency_mhz": mhz}
    if acqus is not None:
        meta |= {"solvent": acqus.text("SOLVENT"), "pulse_program": acqus.text("PULPROG")}
    if folder is not None:
        meta |= {"block": int(folder.name)} if folder.name.isdecimal() else {}
        if (folder / "title").is_file():
            meta["title"] = " ".join(read_bytes(folder / "title").decode("utf-8", "replace").split())[:200]
    return {name: value for name, value in meta.items() if value != ""}


def _processed(folder: Folder, acqus: Parameters | None) -> Spectrum:
    procs = Parameters(folder / "procs")
    nucleus = (acqus.text("NUC1") if acqus else "") or procs.text("AXNUC")
    if nucleus not in OF_NUCLEUS:
        raise ReadError(f"the nucleus is {nucleus or 'not given'}; expected {' or '.join(OF_NUCLEUS)}")
    points = int(procs.number("SI", 2, MAX_POINTS))
    kind, order = procs.number("DTYPP", 0, 2), procs.number("BYTORDP", 0, 1)
    if kind not in (0, 2):
        raise ReadError(f"1r is said to hold numbers of kind {kind:g}; expected 0 (integers) or 2 (floats)")
    dtype = np.dtype(("<", ">")[int(order)] + ("i4" if kind == 0 else "f8"))
    data = read_bytes(folder / "1r")
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
    name = f"pdata/{folder.name}" if folder.name.isdecimal() else "1r"
    step = f"processed data {name} read, {points:,} points, ppm axis from OFFSET and SF"
    meta = _meta(acqus, folder, nucleus, frequency)
    return Spectrum(x, y, "ppm", "intensity", OF_NUCLEUS[nucleus], meta, steps=(step,))

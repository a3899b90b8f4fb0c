"""Folders on disk or in a .zip archive, and the parameter files in them; an archive is read without unpacking it."""

from __future__ import annotations

import lzma
import re
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from jaxtyping import Float

from symspectra.errors import ReadError
from symspectra.spectra.readers.fid import MAX_POINTS, MODALITIES

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

    def __init__(self, file: Folder, pattern: str):
        self.file = file.name
        super().__init__(re.findall(pattern, read_bytes(file).decode("utf-8", "replace"), re.MULTILINE))

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


def known_nucleus(name: str) -> str:
    """The name, if the nucleus can be read."""
    if name not in MODALITIES:
        raise ReadError(f"the nucleus is {name or 'not given'}; expected {' or '.join(MODALITIES)}")
    return name


def finite(values: np.ndarray, name: str) -> Float[np.ndarray, " point"]:
    """The values in double precision, if all are finite."""
    with np.errstate(invalid="ignore"):
        values = values.astype(np.float64)
    if not np.isfinite(values).all():
        raise ReadError(f"a point of {name} is not finite; expected numbers")
    return values

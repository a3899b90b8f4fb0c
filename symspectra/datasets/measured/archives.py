"""What is inside a file or a .zip, read piece by piece; and the files inside a folder or a .zip.

`DataError` says what is wrong: no such file, damaged, packed otherwise.
"""

from __future__ import annotations

import hashlib
import lzma
import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from tqdm import tqdm

from symspectra import files
from symspectra.errors import DataError

MEMBER_BYTES = 5_000_000  # what is larger is no record: it is cut there
_OTHERS = {b"\x1f\x8b": "gzip", b"\xfd7zXZ\x00": "xz", b"BZh": "bzip2"}
_DAMAGE = (EOFError, OSError, OverflowError, NotImplementedError, UnicodeError)
_DAMAGE += (struct.error, lzma.LZMAError, zlib.error, zipfile.BadZipFile)


@contextmanager
def opened(path: Path, suffixes: tuple[str, ...], show: bool = False) -> Iterator[BinaryIO]:
    """The content of a file, or of the only file inside a .zip whose name has one of ``suffixes``."""
    if path.is_dir():
        raise DataError(f"{path}: is a folder; expected a file")
    with _archive(path) as archive:
        if archive is None:
            bar = {"desc": path.name, "total": path.stat().st_size, "unit": "B", "unit_scale": True}
            with open(path, "rb") as file, tqdm.wrapattr(file, "read", **bar, disable=not show) as stream:
                yield stream
        else:
            names = [name for name in archive.namelist() if name.lower().endswith(suffixes)]
            if len(names) != 1:
                raise DataError(f"{path}: has {len(names)} files that end in {' or '.join(suffixes)}; expected one")
            with _member(archive, names[0], path) as stream:
                yield stream


def members(path: Path, suffix: str, show: bool = False) -> Iterator[tuple[str, bytes]]:
    """Name and content, to one byte after `MEMBER_BYTES`, of every file with a suffix inside a folder or a .zip."""
    bar = {"desc": path.name, "unit": "file", "disable": not show}
    if path.is_dir():
        for file in tqdm(sorted(path.rglob(f"*{suffix}")), **bar):
            with open(file, "rb") as f:
                yield file.relative_to(path).as_posix(), f.read(MEMBER_BYTES + 1)
        return
    with _archive(path) as archive:
        if archive is None:
            raise DataError(f"{path}: is no folder or .zip; expected one of these with the records in it")
        for name in tqdm([name for name in archive.namelist() if name.lower().endswith(suffix)], **bar):
            with _member(archive, name, path) as f:
                yield name, f.read(MEMBER_BYTES + 1)


@contextmanager
def _archive(path: Path) -> Iterator[zipfile.ZipFile | None]:
    """The .zip at a path, None where there is another file."""
    if not path.is_file():
        raise DataError(f"{path}: there is no such file")
    try:
        with open(path, "rb") as file:
            head = file.read(6)
        for magic, name in _OTHERS.items():
            if head.startswith(magic):
                raise DataError(f"{path}: is packed by {name}; unpack it first (a .zip is read as it is)")
        if not head.startswith(b"PK\x03\x04"):
            yield None
            return
        with zipfile.ZipFile(path) as archive:
            yield archive
    except DataError:
        raise
    except _DAMAGE as error:
        words = next(iter(str(error).splitlines()), "") or type(error).__name__
        raise DataError(f"{path}: is damaged ({words[:100]})") from error


def _member(archive: zipfile.ZipFile, name: str, path: Path) -> BinaryIO:
    try:
        return archive.open(name)
    except RuntimeError as error:  # encrypted, or compressed in a way that is not known
        raise DataError(f"{path}: {name} cannot be unpacked ({error})") from error


def digest(path: Path) -> str:
    """sha256 of a file, or of the names and contents of the files of a folder."""
    if not path.is_dir():
        return files.digest(path)
    whole = hashlib.sha256()
    for file in sorted(path.rglob("*")):
        if file.is_file():
            whole.update(f"{file.relative_to(path).as_posix()} {files.digest(file)}\n".encode())
    return whole.hexdigest()


def decoded(data: bytes) -> str:
    """Text in UTF-8, else in Latin-1."""
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode("latin-1")

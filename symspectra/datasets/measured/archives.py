"""What is inside a file, unpacked while it is read; and the files inside a folder or an archive."""

from __future__ import annotations

import bz2
import gzip
import hashlib
import lzma
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from tqdm import tqdm

from symspectra.errors import DataError
from symspectra.spectra.lines import file_digest

MEMBER_BYTES = 5_000_000  # what is larger is no record: it is cut there
_UNPACK = ((b"\x1f\x8b", gzip.open), (b"\xfd7zXZ\x00", lzma.open), (b"BZh", bz2.open))
_ZIP = b"PK\x03\x04"
_DAMAGE = (
    *(EOFError, OSError, OverflowError, NotImplementedError, UnicodeError, struct.error),
    *(lzma.LZMAError, zlib.error, zipfile.BadZipFile, tarfile.TarError),
)


@contextmanager
def opened(path: Path, suffixes: tuple[str, ...], show: bool = False) -> Iterator[BinaryIO]:
    """The content of a file: plain, .gz, .xz, .bz2, or the only file inside a .zip whose name has one of ``suffixes``.

    Raises
    ------
    DataError : no such file, a folder, damaged, or not one such file in the .zip.
    """
    with _raw(path, show) as raw, _unpacking(path):
        if _head(raw).startswith(_ZIP):
            with zipfile.ZipFile(raw) as archive:
                names = [name for name in archive.namelist() if name.lower().endswith(suffixes)]
                if len(names) != 1:
                    raise DataError(f"{path}: has {len(names)} files that end in {' or '.join(suffixes)}; expected one")
                with _member(archive, names[0], path) as stream:
                    yield stream
        else:
            yield _unpacked(raw)


def members(path: Path, suffix: str, show: bool = False) -> Iterator[tuple[str, bytes]]:
    """Name and content of every file with a suffix inside a folder, a .tar (.gz, .xz, .bz2) or a .zip.

    Of what is larger than `MEMBER_BYTES` the content ends one byte after.

    Raises
    ------
    DataError : no such file or folder, damaged, or neither of these.
    """
    if path.is_dir():
        for file in tqdm(sorted(path.rglob(f"*{suffix}")), desc=path.name, unit="file", disable=not show):
            with open(file, "rb") as f:
                yield file.relative_to(path).as_posix(), f.read(MEMBER_BYTES + 1)
        return
    with _raw(path, show) as raw, _unpacking(path):
        if _head(raw).startswith(_ZIP):
            with zipfile.ZipFile(raw) as archive:
                for name in archive.namelist():
                    if name.lower().endswith(suffix):
                        with _member(archive, name, path) as f:
                            yield name, f.read(MEMBER_BYTES + 1)
        else:
            yield from _tar_members(_unpacked(raw), path, suffix)


def _member(archive: zipfile.ZipFile, name: str, path: Path) -> BinaryIO:
    try:
        return archive.open(name)
    except RuntimeError as error:  # encrypted, or compressed in a way that is not known
        raise DataError(f"{path}: {name} cannot be unpacked ({error})") from error


def _tar_members(stream: BinaryIO, path: Path, suffix: str) -> Iterator[tuple[str, bytes]]:
    try:
        archive = tarfile.open(fileobj=stream, mode="r|")
    except tarfile.TarError as error:
        raise DataError(f"{path}: is no folder, .tar or .zip; expected one of these with the records in it") from error
    with archive:
        for member in archive:
            if member.isfile() and member.name.lower().endswith(suffix):
                yield member.name, archive.extractfile(member).read(MEMBER_BYTES + 1)


def digest(path: Path) -> str:
    """sha256 of a file, or of the names and contents of the files of a folder."""
    if not path.is_dir():
        return file_digest(path)
    whole = hashlib.sha256()
    for file in sorted(path.rglob("*")):
        if file.is_file():
            whole.update(f"{file.relative_to(path).as_posix()} {file_digest(file)}\n".encode())
    return whole.hexdigest()


def decoded(data: bytes) -> str:
    """Text in UTF-8, else in Latin-1."""
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode("latin-1")


@contextmanager
def _raw(path: Path, show: bool) -> Iterator[BinaryIO]:
    if path.is_dir():
        raise DataError(f"{path}: is a folder; expected a file")
    if not path.is_file():
        raise DataError(f"{path}: there is no such file")
    bar = {"desc": path.name, "total": path.stat().st_size, "unit": "B", "unit_scale": True, "disable": not show}
    with open(path, "rb") as file, tqdm.wrapattr(file, "read", **bar) as raw:
        yield raw


def _head(raw: BinaryIO) -> bytes:
    head = raw.read(6)
    raw.seek(0)
    return head


def _unpacked(raw: BinaryIO) -> BinaryIO:
    head = _head(raw)
    for magic, unpack in _UNPACK:
        if head.startswith(magic):
            return unpack(raw)
    return raw


@contextmanager
def _unpacking(path: Path) -> Iterator[None]:
    try:
        yield
    except _DAMAGE as error:
        words = next(iter(str(error).splitlines()), "") or type(error).__name__
        raise DataError(f"{path}: is damaged ({words[:100]})") from error

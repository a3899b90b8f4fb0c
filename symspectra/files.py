"""Files and folders that appear whole or not at all, and folders that know the checksums of what is in them."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from symspectra.errors import ConfigError, DataError

MANIFEST = "manifest.json"
SEAL = "manifest.json.sha256"  # checksum of the manifest itself, as ``sha256sum -c`` reads it


def digest(path: str | Path) -> str:
    """sha256 of a file's bytes."""
    with open(path, "rb") as f:
        return hashlib.file_digest(f, "sha256").hexdigest()


@contextmanager
def written(path: str | Path) -> Iterator[Path]:
    """A temporary path beside ``path``, to write a file or to make a folder at.

    When the block ends it is renamed to ``path``, whose earlier content it replaces; when the block raises it is
    removed. One process at a time may write a path.
    """
    path = Path(path)
    temporary = path.with_name(path.name + ".tmp")
    path.parent.mkdir(parents=True, exist_ok=True)
    _remove(temporary)
    try:
        yield temporary
        if temporary.is_dir():
            _remove(path)
        os.replace(temporary, path)
    except OSError as error:
        if error.errno and error.filename is None:  # a full disk names no file
            raise OSError(error.errno, error.strerror, str(path)) from error
        raise
    finally:
        _remove(temporary)


def _remove(path: Path) -> None:
    shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink(missing_ok=True)


def new_array(path: Path, dtype: Any, shape: tuple[int, ...]) -> np.memmap:
    """A new memory-mapped ``.npy`` file of zeros, whose space is taken at once.

    Raises
    ------
    OSError : the disk is full (a file whose space is not reserved would end the process by SIGBUS when it is filled).
    """
    array = np.lib.format.open_memmap(path, mode="w+", dtype=dtype, shape=shape)
    if hasattr(os, "posix_fallocate"):
        with open(path, "r+b") as f:
            os.posix_fallocate(f.fileno(), 0, path.stat().st_size)
    return array


def write_manifest(folder: Path, content: Mapping[str, Any], without: Collection[str] = ()) -> dict[str, Any]:
    """Write ``manifest.json``: ``content``, and under ``files`` the checksum of every file but those ``without``."""
    left_out = {MANIFEST, SEAL, *without}
    names = sorted(path.name for path in folder.iterdir() if path.is_file() and path.name not in left_out)
    manifest = {**content, "files": {name: digest(folder / name) for name in names}}
    data = (json.dumps(manifest, indent=1) + "\n").encode()
    (folder / MANIFEST).write_bytes(data)
    (folder / SEAL).write_bytes(_seal(data))
    return manifest


def check(folder: str | Path, instead: str = "make the folder again") -> dict[str, Any]:
    """The manifest of a folder, once every file that it lists has the checksum that it states.

    A process computes the checksum of a file once, and again when its size or its time of change differs: opening a
    large folder a second time costs nothing.

    Raises
    ------
    DataError : the manifest, or a file that it lists, is missing or damaged; it is named, with what to do ``instead``.
    """
    path = Path(folder) / MANIFEST
    try:
        data = path.read_bytes()
        manifest = json.loads(data)
        if path.with_name(SEAL).read_bytes() != _seal(data):
            manifest = None
    except OSError as error:
        raise DataError(f"{error.filename}: cannot be read ({error.strerror}); {instead}") from error
    except ValueError as error:
        raise DataError(f"{path}: cannot be read ({error}); {instead}") from error
    files = manifest.get("files") if isinstance(manifest, dict) else None
    if not isinstance(files, dict):
        raise DataError(f"{path}: is damaged or was changed (or {SEAL}, its checksum, was); {instead}")
    for name, expected in files.items():
        file = path.with_name(name)
        try:
            status = file.stat()
            found = _digest(file.resolve(), status.st_size, status.st_mtime_ns)
        except OSError as error:
            raise DataError(f"{file}: cannot be read ({error.strerror}); {instead}") from error
        if found != expected:
            raise DataError(f"{file}: is damaged or was changed (its checksum is not that of {MANIFEST}); {instead}")
    return manifest


@lru_cache(maxsize=4096)
def _digest(path: Path, size: int, modified_ns: int) -> str:
    return digest(path)


def _seal(manifest: bytes) -> bytes:
    return f"{hashlib.sha256(manifest).hexdigest()}  {MANIFEST}\n".encode()


def check_size(path: Path, limit: int, error: type[ValueError] = DataError, expected: str = "a file") -> None:
    """Raise ``error``, before it is opened, where a path is no file (but a device, say) or has over ``limit`` bytes."""
    if not path.is_file():
        raise error(f"{path}: {'not a file' if path.exists() else 'no such file'}; expected {expected}")
    if path.stat().st_size > limit:
        raise error(f"{path}: has {path.stat().st_size / 1e6:.0f} MB; expected at most {limit / 1e6:.0f} MB")


def check_writable(folder: Path, what: str) -> None:
    """Make a folder where there is none; `ConfigError`, before long work, where no file can be written to it."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        raise ConfigError(f"{what} cannot be written to {folder}: {error.strerror}") from error

"""Bytes read as a file."""

from pathlib import Path
from tempfile import TemporaryDirectory

from symspectra.spectra.readers import read


def read_bytes(data, modality=None, name="a", **how):
    """The spectra of a file that holds ``data``; its content tells what it is."""
    with TemporaryDirectory() as folder:
        path = Path(folder, name)
        path.write_bytes(data)
        return read(path, modality, **how)

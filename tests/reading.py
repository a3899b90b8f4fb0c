"""Bytes read as the file of a name."""

from pathlib import Path
from tempfile import TemporaryDirectory

from symspectra.spectra.readers import read


def read_bytes(name, data, modality=None, **how):
    """The spectra of a file that holds ``data``."""
    with TemporaryDirectory() as folder:
        path = Path(folder, name)
        path.write_bytes(data)
        return read(path, modality, **how)

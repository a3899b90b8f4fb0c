"""NMR spectra as the spectrometer leaves them: Bruker and Varian / Agilent folders (also zipped), JEOL files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from symspectra.errors import ReadError
from symspectra.spectra.readers import bruker
from symspectra.spectra.readers.fid import MODALITIES, Fid, transform
from symspectra.spectra.readers.folders import Folder, Parameters, find, finite, known_nucleus, opened, read_bytes
from symspectra.spectra.readers.jeol import MAGIC, read_jeol
from symspectra.spectra.spectrum import Spectrum

__all__ = ["read_bruker", "read_jeol", "read_varian", "vendor_of"]

_EXPORT = "process it with the software of the spectrometer and export it as JCAMP-DX"


def vendor_of(path: Path) -> str | None:
    """``"bruker"``, ``"jeol"`` or ``"varian"`` for a folder, zip archive or file of that maker, otherwise None.

    Bruker: an experiment folder, its ``pdata/N``, a ``1r`` or ``fid`` file, a folder or .zip archive of experiments.
    Varian / Agilent: a folder with ``procpar``, its ``fid``, or one of them zipped. JEOL: a .jdf file.
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
            for vendor, belongs in (("bruker", bruker.is_experiment), ("varian", _is_varian)):
                if find(root, belongs):
                    return vendor
    except (OSError, ReadError):
        pass
    return None


def read_bruker(path: Path, block: int | None = None) -> list[Spectrum]:
    """Read the 1H and 13C spectra of one dimension of a Bruker experiment, or of a folder or archive of experiments.

    Parameters
    ----------
    path
        See `vendor_of`.
    block
        Of several experiments, the number of one: the name of its folder, or its place from 1. Of one experiment, the
        number N of its processed data ``pdata/N``; by default the first. A free induction decay is transformed only
        where there are no processed data.

    Raises
    ------
    ReadError : nothing can be read; the message is that of the first experiment.
    """
    with opened(path) as root:
        folders = _experiments(root, bruker.is_experiment)
        if len(folders) == 1:
            return [bruker.read_experiment(folders[0], block)]
        numbered = _numbered(folders)
        if block is not None and block not in numbered:
            raise ReadError(f"there is no experiment {block}; there are {', '.join(map(str, list(numbered)[:20]))}")
        wanted = numbered if block is None else {block: numbered[block]}
        return _all(list(wanted.values()), lambda folder: _of_several(folder, numbered))


def read_varian(path: Path) -> list[Spectrum]:
    """Read and transform the free induction decay of a Varian / Agilent folder, or of a folder or archive of several.

    Raises
    ------
    ReadError : there is no single 1H or 13C decay, or the folder is damaged.
    """
    with opened(path) as root:
        return _all(_experiments(root, _is_varian), _varian)


def _experiments(root: Folder, belongs: Callable[[Folder], bool]) -> list[Folder]:
    folders = find(root, belongs)
    if not folders:
        raise ReadError("no experiment is in there; expected a folder with acqus, procs or procpar")
    return folders


def _all(folders: list[Folder], read: Callable[[Folder], Spectrum]) -> list[Spectrum]:
    """The spectra of all experiments that can be read; each says which were left out."""
    spectra, failed = [], []
    for folder in folders:
        try:
            spectra.append(read(folder))
        except ReadError as error:
            failed.append((folder.name, error))
    if not spectra:
        raise failed[0][1]
    for name, error in failed:
        spectra = [spectrum.then(f"experiment {name} left out: {error}") for spectrum in spectra]
    return spectra


def _numbered(folders: list[Folder]) -> dict[int, Folder]:
    """Experiments by the numbers that are their names, or from 1 where they are not."""
    names = [folder.name for folder in folders]
    if all(name.isdecimal() for name in names) and len({int(name) for name in names}) == len(names):
        return {int(name): folder for name, folder in zip(names, folders, strict=True)}
    return dict(enumerate(folders, 1))


def _of_several(folder: Folder, numbered: dict[int, Folder]) -> Spectrum:
    spectrum = bruker.read_experiment(folder)
    spectrum.meta["block"] = next(number for number, other in numbered.items() if other is folder)
    return spectrum


def _is_varian(folder: Folder) -> bool:
    return (folder / "procpar").is_file()


def _varian(folder: Folder) -> Spectrum:
    procpar = Parameters(folder / "procpar", r"^(\w+) \d+ \d+(?: \S+){8}[ \t]*\r?\n\d+ ([^\r\n]*)")
    if not (folder / "fid").is_file():
        raise ReadError(f"the folder has no fid, and a phasefile alone is not read; {_EXPORT}")
    name = procpar.text("tn")
    nucleus = known_nucleus({"H1": "1H", "C13": "13C"}.get(name, name))
    width, reference = procpar.number("sw"), procpar.number("reffrq" if "reffrq" in procpar else "sfrq", 1, 1e5)
    line, place = procpar.number("rfl"), procpar.number("rfp")  # Hz from the right end, Hz from 0 ppm
    if place == 0 and abs(line - width / 2) < 1e-6 * width:
        raise ReadError("the ppm axis has no reference (rfl and rfp are the defaults); set one with rl and save again")
    fid = Fid(_varian_points(read_bytes(folder / "fid")), width, reference, (place - line + width / 2) / reference)
    x, y, steps = transform(fid, MODALITIES[nucleus])
    meta = {"format": "Varian", "nucleus": nucleus, "frequency_mhz": procpar.number("sfrq")}
    for key, parameter in (("solvent", "solvent"), ("pulse_program", "seqfil"), ("title", "samplename")):
        if text := procpar.text(parameter):
            meta[key] = text
    steps = (f"free induction decay read, {len(fid.data):,} points, ppm axis from rfl, rfp and reffrq", *steps)
    return Spectrum(x, y, "ppm", "intensity", MODALITIES[nucleus], meta, steps=steps)


def _varian_points(data: bytes) -> np.ndarray:
    if len(data) < 32:
        raise ReadError(f"fid has {len(data)} bytes; expected a header of 32 bytes")
    blocks, traces, numbers, _, _, _, _, headers = np.frombuffer(data, ">i4,>i4,>i4,>i4,>i4,>i4,>i4,>i4", 1)[0]
    status = int.from_bytes(data[26:28], "big")
    if blocks != 1 or traces != 1:
        raise ReadError(f"fid holds {blocks} times {traces} decays (arrayed or of two dimensions); expected one")
    dtype = np.dtype(">f4" if status & 8 else ">i4" if status & 4 else ">i2")
    start = 32 + 28 * min(max(int(headers), 0), 10)
    there = (len(data) - start) // dtype.itemsize
    if not 32 <= numbers <= there:
        raise ReadError(f"fid ends after {max(there, 0):,} of {numbers:,} numbers")
    values = finite(np.frombuffer(data, dtype, int(numbers) // 2 * 2, start), "fid")
    return values[0::2] + 1j * values[1::2]

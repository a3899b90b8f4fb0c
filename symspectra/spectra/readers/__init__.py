"""Spectra from the files that spectrometers and databases give: `read` finds out what a file is and reads it.

Nothing is guessed that a file does not say, and whatever is done to its values is said in the steps of the `Spectrum`.
"""

from __future__ import annotations

from pathlib import Path

from symspectra.errors import ReadError
from symspectra.modalities import KINDS
from symspectra.spectra.readers.bruker import read_bruker
from symspectra.spectra.readers.entries import Entry, chosen
from symspectra.spectra.readers.infrared import read_grams, read_omnic, read_opus
from symspectra.spectra.readers.jcamp import read_jcamp
from symspectra.spectra.readers.jeol import read_jeol
from symspectra.spectra.readers.mass import read_mgf, read_msp
from symspectra.spectra.readers.mzml import read_mzml
from symspectra.spectra.readers.signatures import LIMIT_BYTES, REFUSED_NAMES, format_of, unpacked
from symspectra.spectra.readers.text import read_table
from symspectra.spectra.spectrum import Y_UNITS, Spectrum, unit

__all__ = ["FORMATS", "read", "read_one"]

#: Name, extensions and content of what is read.
FORMATS: tuple[tuple[str, str, str], ...] = (
    ("JCAMP-DX", ".jdx .dx .jcamp .jcm", "IR, 1H and 13C NMR, mass spectra; one or several blocks"),
    ("Columns of text", ".csv .tsv .txt .dpt .xy", "a position and a value per line; units from the header or given"),
    ("Bruker OPUS", ".0 .1 ..", "IR: the absorbance or else the transmittance of a measurement"),
    ("Thermo OMNIC", ".spa", "IR: absorbance, transmittance"),
    ("GRAMS", ".spc", "IR: absorbance, transmittance; one spectrum"),
    ("Bruker", "folder or .zip", "1H and 13C NMR: processed spectra (1r)"),
    ("JEOL Delta", ".jdf", "1H and 13C NMR: processed spectra"),
    ("MGF", ".mgf", "MS/MS peak lists"),
    ("MSP", ".msp", "libraries of peak lists (NIST, MoNA, MassBank, RIKEN, Golm)"),
    ("mzML", ".mzml .mzML.gz", "MS/MS scans, as peaks or as profiles"),
)
_READERS = {"JCAMP-DX": read_jcamp, "MGF": read_mgf, "MSP": read_msp, "mzML": read_mzml, "Bruker OPUS": read_opus}
_OF_ONE = {"JEOL": read_jeol, "Thermo OMNIC": read_omnic, "GRAMS": read_grams}
_UNSCALED = ("JCAMP-DX", "Bruker OPUS", "GRAMS")  # some say transmittance and hold percent


def read(
    path: str | Path,
    modality: str | None = None,
    *,
    block: int | None = None,
    x_unit: str | None = None,
    y_unit: str | None = None,
) -> list[Spectrum]:
    """All spectra of a file or folder, or the one at ``block``.

    Reads what `FORMATS` names, told by its content whatever its name is.

    Parameters
    ----------
    path : of the file or folder
    modality : what the spectra are, of `symspectra.modalities.KINDS`: for files that do not say; others must agree
    block : the one to read where a file has several, from 1
    x_unit, y_unit : for columns of text without units, keys of `symspectra.spectra.spectrum.X_UNITS` and ``Y_UNITS``;
        ``y_unit`` also corrects a JCAMP-DX, OPUS or .spc file that gives percent as transmittance

    Raises
    ------
    ReadError : it cannot be read, or is not of that modality. The message begins with the path.
    """
    path = Path(path)
    try:
        if modality is not None and modality not in KINDS:
            raise ReadError(f"was asked for as {modality!r}; expected one of {', '.join(KINDS)}")
        return [_as_asked(spectrum, modality, y_unit) for spectrum in _read(path, modality, block, x_unit, y_unit)]
    except ReadError as error:
        raise ReadError(f"{path}: {error}") from error
    except OSError as error:
        raise ReadError(f"{path}: {(error.strerror or 'cannot be opened').lower()}") from error


def read_one(path: str | Path, modality: str | None = None, **how: int | str | None) -> Spectrum:
    """The spectrum of a file or folder that holds one, or the one at ``block``; all parameters are those of `read`.

    Raises
    ------
    ReadError : as `read`, or there are several and no ``block`` is given.
    """
    spectra = read(path, modality, **how)
    if len(spectra) > 1:
        listed = "; ".join(map(_described, spectra[:5])) + f" and {len(spectra) - 5} more" * (len(spectra) > 5)
        choose = "choose one with block=N (--block N on the command line)"
        raise ReadError(f"{path}: has {len(spectra)} spectra: {listed}; {choose}")
    return spectra[0]


def _described(spectrum: Spectrum) -> str:
    title = " ".join(str(spectrum.meta.get("title", "")).split())[:60] or "no title"
    kind = KINDS[spectrum.modality].said if spectrum.modality else "kind not stated"
    return f"{spectrum.meta['block']}: {title}, {kind}"


def _read(
    path: Path, modality: str | None, block: int | None, x_unit: str | None, y_unit: str | None
) -> list[Spectrum]:
    name, data = _opened(path)
    if name != "text" and (x_unit is not None or (y_unit is not None and name not in _UNSCALED)):
        raise ReadError(f"is {name}, which states its units; x_unit and y_unit are for columns of text")
    try:
        match name:
            case "Bruker":
                entries = read_bruker(path.parent if path.name in ("1r", "fid") else path)
            case _ if name in _OF_ONE:
                entries = [Entry(1, lambda: _OF_ONE[name](data))]
            case "text":
                entries = [Entry(1, lambda: read_table(data, modality, x_unit, y_unit))]
            case _:
                entries = _READERS[name](data)
        spectra = chosen(entries, block)
    except (ReadError, OSError):
        raise
    except Exception as error:
        reason = next(iter(str(error).splitlines()), "")[:200] or type(error).__name__
        raise ReadError(f"cannot be read as {name} ({reason})") from error
    for spectrum in spectra:
        spectrum.meta.update(source=path.name, format=name)
    return spectra


def _opened(path: Path) -> tuple[str, bytes]:
    """The format of what lies at a path; and its bytes, if it is one file."""
    if not path.exists():
        raise ReadError("there is no such file")
    suffix = path.suffix.lower()
    if path.is_dir():
        if suffix in REFUSED_NAMES:
            raise ReadError(REFUSED_NAMES[suffix])
        return "Bruker", b""
    if not path.is_file():
        raise ReadError("is neither a file nor a folder")
    if path.stat().st_size > LIMIT_BYTES:
        raise ReadError(f"has {path.stat().st_size / 1e6:.0f} MB; expected at most {LIMIT_BYTES / 1e6:.0f} MB")
    if path.name in ("1r", "fid") and any((path.parent / name).is_file() for name in ("acqus", "procs", "procpar")):
        return "Bruker", b""
    data = unpacked(path.read_bytes())
    if not data:
        raise ReadError("is empty")
    return format_of(data, suffix), data


def _as_asked(spectrum: Spectrum, modality: str | None, y_unit: str | None) -> Spectrum:
    """The spectrum with the modality and the scale of transmittance that were asked for, where they can be."""
    scales = ("transmittance", "percent transmittance")
    if y_unit is not None and (scale := unit(y_unit, Y_UNITS)) != spectrum.y_unit:
        if scale not in scales or spectrum.y_unit not in scales:
            raise ReadError(f"states its values as {spectrum.y_unit}; y_unit={y_unit!r} cannot be right")
        spectrum = spectrum.then(f"values taken as {scale}, as asked; the file says {spectrum.y_unit}", y_unit=scale)
    if modality in (None, spectrum.modality):
        return spectrum
    kind = KINDS[modality]
    if spectrum.modality is not None:
        found = f"spectrum {spectrum.meta['block']} is {KINDS[spectrum.modality].said}"
        raise ReadError(f"{found}; {kind.said} was asked for")
    units = (kind.unit, *kind.other_units)
    if spectrum.x_unit not in units:
        raise ReadError(f"has an axis in {spectrum.x_unit}; expected {' or '.join(units)} for {kind.said}")
    return spectrum.then(f"taken as {kind.said}, as asked", modality=modality)

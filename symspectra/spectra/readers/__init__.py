"""Spectra from the files that spectrometers and databases give: `read` finds out what a file is and reads it.

Nothing is guessed that a file does not say, and whatever is done to its values is said in the steps of the `Spectrum`.
"""

from __future__ import annotations

from pathlib import Path

from symspectra.errors import ReadError
from symspectra.modalities import KINDS, MODALITIES
from symspectra.spectra.readers.bruker import read_bruker, vendor_of
from symspectra.spectra.readers.jcamp import read_jcamp
from symspectra.spectra.readers.jeol import read_jeol
from symspectra.spectra.readers.mass import read_mgf, read_msp
from symspectra.spectra.readers.mzml import read_mzml, unpacked
from symspectra.spectra.readers.signatures import REFUSED_NAMES, format_of
from symspectra.spectra.readers.text import read_table
from symspectra.spectra.spectrum import Y_UNITS, Spectrum, unit

__all__ = ["FORMATS", "LIMIT_BYTES", "read", "read_one"]

LIMIT_BYTES = 200_000_000

#: Name, extensions and content of what is read.
FORMATS: tuple[tuple[str, str, str], ...] = (
    ("JCAMP-DX", ".jdx .dx .jcamp .jcm", "IR, 1H and 13C NMR, mass spectra; one or several blocks"),
    ("Columns of text", ".csv .tsv .txt .dpt .xy", "a position and a value per line; units from the header or given"),
    ("Bruker", "folder or .zip", "1H and 13C NMR: processed spectra (1r)"),
    ("JEOL Delta", ".jdf", "1H and 13C NMR: processed spectra"),
    ("MGF", ".mgf", "MS/MS peak lists"),
    ("MSP", ".msp", "libraries of peak lists (NIST, MoNA, MassBank, RIKEN, Golm)"),
    ("mzML", ".mzml .mzML.gz", "MS/MS scans, as peaks or as profiles"),
)


def read(
    path: str | Path,
    modality: str | None = None,
    *,
    block: int | None = None,
    x_unit: str | None = None,
    y_unit: str | None = None,
) -> list[Spectrum]:
    """All spectra of a file or folder, or the one at ``block``.

    Reads what `FORMATS` names. The content decides, then the extension.

    Parameters
    ----------
    path : of the file or folder
    modality : what the spectra are, of `symspectra.modalities.MODALITIES`: for files that do not say; others must agree
    block : the one to read where a file has several, from 1
    x_unit, y_unit : for columns of text without units, keys of `symspectra.spectra.spectrum.X_UNITS` and ``Y_UNITS``;
        ``y_unit`` also corrects a JCAMP-DX file that gives percent as transmittance

    Raises
    ------
    ReadError : it cannot be read, or is not of that modality. The message begins with the path.
    """
    path = Path(path)
    try:
        if modality is not None and modality not in MODALITIES:
            raise ReadError(f"was asked for as {modality!r}; expected one of {', '.join(MODALITIES)}")
        found = _read(path, modality, block, x_unit, y_unit)
        if modality is not None:
            found = [_as_asked(spectrum, modality, alone=len(found) == 1) for spectrum in found]
    except ReadError as error:
        raise ReadError(f"{path}: {error}") from error
    except OSError as error:
        raise ReadError(f"{path}: {(error.strerror or 'cannot be opened').lower()}") from error
    for spectrum in found:
        spectrum.meta["source"] = path.name
    return found


def read_one(
    path: str | Path,
    modality: str | None = None,
    *,
    block: int | None = None,
    x_unit: str | None = None,
    y_unit: str | None = None,
) -> Spectrum:
    """The spectrum of a file or folder that holds one, or the one at ``block``; else as `read`.

    Raises
    ------
    ReadError : as `read`, or there are several and no ``block`` is given.
    """
    spectra = read(path, modality, block=block, x_unit=x_unit, y_unit=y_unit)
    if len(spectra) > 1:
        listed = [_described(spectrum) for spectrum in spectra[:5]]
        more = f" and {len(spectra) - 5} more" if len(spectra) > 5 else ""
        raise ReadError(
            f"{path}: has {len(spectra)} spectra: {'; '.join(listed)}{more}; "
            "choose one with block=N (--block N on the command line)"
        )
    return spectra[0]


def _described(spectrum: Spectrum) -> str:
    title = " ".join(str(spectrum.meta.get("title", "")).split())[:60] or "no title"
    kind = KINDS[spectrum.modality].said if spectrum.modality else "kind not stated"
    return f"{spectrum.meta['block']}: {title}, {kind}"


def _read(
    path: Path, modality: str | None, block: int | None, x_unit: str | None, y_unit: str | None
) -> list[Spectrum]:
    if not path.exists():
        raise ReadError("there is no such file")
    suffix = path.suffix.lower()
    if path.is_file():
        size = path.stat().st_size
        if size > LIMIT_BYTES:
            raise ReadError(f"has {size / 1e6:.0f} MB; expected at most {LIMIT_BYTES / 1e6:.0f} MB")
        if size == 0:
            raise ReadError("is empty")
    elif not path.is_dir():
        raise ReadError("is neither a file nor a folder")
    name, data = vendor_of(path), b""
    if name == "Varian":
        raise ReadError("is of Varian or Agilent, a free induction decay; export the processed spectrum as JCAMP-DX")
    if name is None and path.is_dir():
        otherwise = "is a folder, but not a Bruker experiment; expected one with acqus, or a file"
        raise ReadError(REFUSED_NAMES.get(suffix, otherwise))
    if name is None:
        data = path.read_bytes()
        if packed := data[:2] == b"\x1f\x8b":
            data, suffix = unpacked(data), ""
        name = format_of(data, suffix)
        if packed and name != "mzML":
            raise ReadError("is packed with gzip, which is read for mzML only; unpack it and give what is inside")
    corrects = name == "JCAMP-DX" and x_unit is None
    if name != "text" and not corrects and (x_unit, y_unit) != (None, None):
        raise ReadError(f"is {name}, which states its units; x_unit and y_unit are for columns of text")
    try:
        match name:
            case "Bruker":
                spectra = read_bruker(path, block)
            case "JEOL":
                spectra = _at(read_jeol(path), block)
            case "text":
                spectra = _at(read_table(data, modality, x_unit, y_unit), block)
            case _:
                readers = {"JCAMP-DX": read_jcamp, "MGF": read_mgf, "MSP": read_msp, "mzML": read_mzml}
                spectra = readers[name](data, block)
    except (ReadError, OSError):
        raise
    except Exception as error:
        reason = next(iter(str(error).splitlines()), "")[:200] or type(error).__name__
        raise ReadError(f"cannot be read as {name} ({reason})") from error
    return [_corrected(spectrum, y_unit) for spectrum in spectra] if corrects and y_unit is not None else spectra


def _at(spectra: list[Spectrum], block: int | None) -> list[Spectrum]:
    if block not in (None, 1):
        raise ReadError(f"has no spectrum {block}; there are {len(spectra)}")
    return spectra


def _corrected(spectrum: Spectrum, y_unit: str) -> Spectrum:
    """Transmittance as percent or the other way, where a file's label is wrong."""
    name = unit(y_unit, Y_UNITS)
    allowed = ("transmittance", "percent transmittance")
    if name == spectrum.y_unit:
        return spectrum
    if name not in allowed or spectrum.y_unit not in allowed:
        raise ReadError(f"states its values as {spectrum.y_unit}; y_unit={y_unit!r} cannot be right")
    return spectrum.then(f"values taken as {name}, as asked; the file says {spectrum.y_unit}", y_unit=name)


def _as_asked(spectrum: Spectrum, modality: str, alone: bool) -> Spectrum:
    """The spectrum with the modality that was asked for, if it does not say otherwise."""
    if spectrum.modality == modality:
        return spectrum
    kind = KINDS[modality]
    if spectrum.modality is not None:
        which = "" if alone else f" (spectrum {spectrum.meta.get('block', '?')})"
        article = "an" if spectrum.modality == "ir" else "a"
        raise ReadError(f"is {article} {KINDS[spectrum.modality].said} spectrum{which}; {kind.said} was asked for")
    units = (kind.unit, *kind.other_units)
    if spectrum.x_unit not in units:
        raise ReadError(f"has an axis in {spectrum.x_unit}; expected {' or '.join(units)} for {kind.said}")
    return spectrum.then(f"taken as {kind.said}, as asked", modality=modality)

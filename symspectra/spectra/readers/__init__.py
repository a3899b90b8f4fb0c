"""Spectra from the files that spectrometers and databases give: `read` finds out what a file is and reads it.

Nothing is guessed that a file does not say, and whatever is done to its values is said in the steps of the `Spectrum`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from symspectra.errors import ReadError
from symspectra.modalities import KINDS, MODALITIES
from symspectra.spectra.readers import signatures
from symspectra.spectra.spectrum import Y_UNITS, Spectrum, unit

__all__ = ["FORMATS", "LIMIT_BYTES", "read", "read_one"]

LIMIT_BYTES = 200_000_000

#: Name, extensions and content of what is read.
FORMATS: tuple[tuple[str, str, str], ...] = (
    ("JCAMP-DX", ".jdx .dx .jcamp .jcm", "IR, 1H and 13C NMR, mass spectra; one or several blocks"),
    ("Columns of text", ".csv .tsv .txt .dpt .xy", "a position and a value a line; units from the header or given"),
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
    with _errors(path):
        if modality is not None and modality not in MODALITIES:
            raise ReadError(f"was asked for as {modality!r}; expected one of {', '.join(MODALITIES)}")
        found = _read(path, modality, block, x_unit, y_unit)
        if modality is not None:
            found = [_as_asked(spectrum, modality, alone=len(found) == 1) for spectrum in found]
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
        listed = [_described(spectrum, place) for place, spectrum in enumerate(spectra[:5], 1)]
        more = f" and {len(spectra) - 5} more" if len(spectra) > 5 else ""
        raise ReadError(
            f"{path}: has {len(spectra)} spectra: {'; '.join(listed)}{more}; "
            "choose one with block=N (--block N on the command line)"
        )
    return spectra[0]


def _described(spectrum: Spectrum, place: int) -> str:
    title = " ".join(str(spectrum.meta.get("title", "")).split())[:60] or "no title"
    kind = KINDS[spectrum.modality].said if spectrum.modality else "kind not stated"
    return f"{spectrum.meta.get('block', place)}: {title}, {kind}"


@contextmanager
def _errors(path: Path) -> Iterator[None]:
    """Whatever goes wrong becomes a `ReadError` of one line that begins with the path."""
    try:
        yield
    except ReadError as error:
        raise ReadError(f"{path}: {error}") from error
    except OSError as error:
        raise ReadError(f"{path}: {(error.strerror or 'cannot be opened').lower()}") from error


def _first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), "")[:200] or type(error).__name__


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
    vendor = _vendor(path)
    if vendor:
        _no_units(x_unit, y_unit, vendor)
        return _spectra_of(vendor, path, block)
    if path.is_dir():
        raise ReadError(signatures.folder_refusal(suffix))
    data = path.read_bytes()
    name, data = _format(data, suffix)
    if name == "JCAMP-DX" and y_unit is not None:
        _no_units(x_unit, None, name)
        return [_corrected(spectrum, y_unit) for spectrum in _spectra_of(name, data, block)]
    if name != "text":
        _no_units(x_unit, y_unit, name)
    return _spectra_of(name, data, block, modality, x_unit, y_unit)


def _corrected(spectrum: Spectrum, y_unit: str) -> Spectrum:
    """Transmittance as percent or the other way, where a file's label is wrong."""
    name = unit(y_unit, Y_UNITS)
    allowed = ("transmittance", "percent transmittance")
    if name == spectrum.y_unit:
        return spectrum
    if name not in allowed or spectrum.y_unit not in allowed:
        raise ReadError(f"states its values as {spectrum.y_unit}; y_unit={y_unit!r} cannot be right")
    return spectrum.then(f"values taken as {name}, as asked; the file says {spectrum.y_unit}", y_unit=name)


def _vendor(path: Path) -> str | None:
    from symspectra.spectra.readers.bruker import vendor_of

    vendor = vendor_of(path)
    if vendor == "varian":
        raise ReadError("is of Varian or Agilent, a free induction decay; export the processed spectrum as JCAMP-DX")
    return {"bruker": "Bruker", "jeol": "JEOL", None: None}[vendor]


def _format(data: bytes, suffix: str) -> tuple[str, bytes]:
    """The name of the format, and the content, unpacked."""
    if data[:2] == b"\x1f\x8b":
        from symspectra.spectra.readers.mzml import unpacked

        data, suffix = unpacked(data), ""
        if signatures.format_of(data[: signatures.HEAD_BYTES], suffix) != "mzML":
            raise ReadError("is packed with gzip, which is read for mzML only; unpack it and give what is inside")
        return "mzML", data
    head = data[: signatures.HEAD_BYTES]
    sentence = signatures.refusal(head, suffix)
    if sentence:
        raise ReadError(sentence)
    name = signatures.format_of(head, suffix)
    if name is None:
        raise ReadError(f"is a binary file of an unknown kind; expected {', '.join(row[0] for row in FORMATS)}")
    if name in ("text", "JCAMP-DX") and (sentence := signatures.text_refusal(head)):
        raise ReadError(sentence)
    return name, data


def _no_units(x_unit: str | None, y_unit: str | None, name: str) -> None:
    if x_unit is not None or y_unit is not None:
        raise ReadError(f"is {name}, which states its units; x_unit and y_unit are for columns of text")


def _spectra_of(
    name: str,
    source: Path | bytes,
    block: int | None,
    modality: str | None = None,
    x_unit: str | None = None,
    y_unit: str | None = None,
) -> list[Spectrum]:
    """What the reader of a format finds; the readers are imported when they are needed."""
    try:
        match name:
            case "JCAMP-DX":
                from symspectra.spectra.readers.jcamp import read_jcamp

                return read_jcamp(source, block)
            case "Bruker":
                from symspectra.spectra.readers.bruker import read_bruker

                return read_bruker(source, block)
            case "MGF" | "MSP" | "mzML":
                from symspectra.spectra.readers.mass import read_mgf, read_msp
                from symspectra.spectra.readers.mzml import read_mzml

                return {"MGF": read_mgf, "MSP": read_msp, "mzML": read_mzml}[name](source, block)
            case "JEOL":
                from symspectra.spectra.readers.jeol import read_jeol

                spectra = read_jeol(source)
            case _:
                from symspectra.spectra.readers.text import read_table

                spectra = read_table(source, modality, x_unit, y_unit)
    except (ReadError, OSError):
        raise
    except Exception as error:
        raise ReadError(f"cannot be read as {name} ({_first_line(error)})") from error
    if block is None:
        return spectra
    if not 1 <= block <= len(spectra):
        raise ReadError(f"has no spectrum {block}; there are {len(spectra)}")
    return [spectra[block - 1]]


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

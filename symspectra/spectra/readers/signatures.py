"""What a file is, from its first bytes; for files that cannot be read, what to give instead."""

from __future__ import annotations

import gzip
import io
import re
import zlib

from symspectra.errors import ReadError

LIMIT_BYTES = 200_000_000  # of a file, and of what is packed in it
_HEAD_BYTES = 65_536  # enough to tell

_TEXT = "export the spectrum as JCAMP-DX or as two columns of text"
_PICTURE = f"is a picture; a picture holds no values: {_TEXT}"
_MASS = "convert it to mzML, for example with msconvert of ProteoWizard"
_SHEET = "is an Excel or Word document; save the sheet as CSV"

#: First bytes of what is often given and not read, and what is said of it.
_REFUSED: tuple[tuple[bytes, str], ...] = (
    (b"\x89PNG", _PICTURE),
    (b"\xff\xd8\xff", _PICTURE),
    (b"GIF8", _PICTURE),
    (b"%PDF", f"is a PDF; {_TEXT}"),
    (
        b"Spectral Exte",
        f"is a Thermo OMNIC group, series or map (.spg, .srs, .map); save one spectrum as .spa, or {_TEXT}",
    ),
    (b"PEPE", f"is a PerkinElmer .sp or .fsm file; {_TEXT}"),
    (b"\xd0\xcf\x11\xe0", _SHEET),
)

#: Extensions of binary files and of folders whose first bytes tell less.
REFUSED_NAMES = {
    ".raw": f"is the .raw file or folder of a mass spectrometer; {_MASS}",
    ".d": f"is the .d folder of a mass spectrometer; {_MASS}",
}

#: What a text of each format has in it.
_SIGNS = {
    "mzML": r"<(indexed)?mzML\b|<mzXML\b",
    "JCAMP-DX": r"\A\s*##|^[ \t]*##\s*TITLE\s*=",
    "MGF": r"^[ \t]*BEGIN IONS[ \t\r]*$",
    "MSP": r"^[ \t]*num ?peaks\s*:",
}


def decoded(data: bytes) -> str:
    """A text in UTF-16 with its mark, in UTF-8, or else in Latin-1."""
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return data.decode("utf-16", "replace")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode("latin-1")


def unpacked(data: bytes) -> bytes:
    """What a gzip file holds, if that is no more than `LIMIT_BYTES`; other data as they are."""
    if data[:2] != b"\x1f\x8b":
        return data
    try:
        content = gzip.GzipFile(fileobj=io.BytesIO(data)).read(LIMIT_BYTES + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise ReadError(f"is a damaged gzip file ({error})") from error
    if len(content) > LIMIT_BYTES:
        raise ReadError(f"unpacks to more than {LIMIT_BYTES / 1e6:.0f} MB; expected less")
    return content


def format_of(data: bytes, suffix: str) -> str:
    """The name of the format by which `symspectra.spectra.readers` knows it; ``"text"`` is a table.

    ``suffix`` (lower case, with the dot) tells what a binary file is that is not read.

    Raises
    ------
    ReadError : it is of another kind; the sentence says what to give instead.
    """
    head = data[:_HEAD_BYTES]
    if head.startswith((b"JEOL.NMR", b"RMN.LEOJ")):
        return "JEOL"
    if head.startswith(b"PK\x03\x04") and b"[Content_Types].xml" not in head:
        return "Bruker"
    if head.startswith(b"\x0a\x0a\xfe\xfe"):
        return "Bruker OPUS"
    if head.startswith(b"Spectral Data File"):
        return "Thermo OMNIC"
    binary = b"\0" in head and head[:2] not in (b"\xff\xfe", b"\xfe\xff")
    if binary and not head.startswith(b"PK") and (suffix == ".spc" or (head[1:2] == b"K" and head[2] < 15)):
        return "GRAMS"
    if binary and suffix in REFUSED_NAMES:
        raise ReadError(REFUSED_NAMES[suffix])
    for start, sentence in (*_REFUSED, (b"PK\x03\x04", _SHEET)):
        if head.startswith(start):
            raise ReadError(sentence)
    text = re.sub(r"^[ \t]*\$\$.*\n", "", decoded(head), flags=re.M)
    if re.match(r"\s*##title=\s*parameter file", text, re.I):
        raise ReadError("is a parameter file of a Bruker experiment; give the folder of the experiment")
    for name, sign in _SIGNS.items():
        if re.search(sign, text, re.M | re.I):
            return name
    if binary:
        raise ReadError(
            "is a binary file of an unknown kind; expected JCAMP-DX, text, MGF, MSP, mzML, Bruker, JEOL, OMNIC or GRAMS"
        )
    if re.match(r"\s*<(!doctype html|html)", text, re.I):
        raise ReadError("is a web page; save the spectrum file itself, not the page that shows it")
    if re.match(r"\s*<", text):
        raise ReadError("is an XML file of a kind that is not read; expected mzML")
    return "text"

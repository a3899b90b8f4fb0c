"""What a file is, from its first bytes and then from its name; for files that cannot be read, what to give instead."""

from __future__ import annotations

import re

from symspectra.errors import ReadError

HEAD_BYTES = 65_536  # enough to tell

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
    (b"Spectral ", f"is a Thermo OMNIC .spa file; {_TEXT}"),
    (b"\x0a\x0a\xfe\xfe", f"is a Bruker OPUS file; {_TEXT}"),
    (b"\xd0\xcf\x11\xe0", _SHEET),
    (b"PK\x03\x04", "is a zip archive without a Bruker experiment; unpack it and give the file inside"),
)

#: Extensions of binary files and of folders whose first bytes tell less.
REFUSED_NAMES = {
    ".spc": f"is a GRAMS .spc file; {_TEXT}",
    ".raw": f"is the .raw file or folder of a mass spectrometer; {_MASS}",
    ".d": f"is the .d folder of a mass spectrometer; {_MASS}",
}

_EXTENSIONS = {
    **dict.fromkeys((".jdx", ".dx", ".jcamp", ".jcm"), "JCAMP-DX"),
    ".mzml": "mzML",
    ".mgf": "MGF",
    ".msp": "MSP",
}


def decoded(data: bytes) -> str:
    """A text in UTF-16 with its mark, in UTF-8, or else in Latin-1."""
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return data.decode("utf-16", "replace")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode("latin-1")


def format_of(data: bytes, suffix: str) -> str:
    """``"JCAMP-DX"``, ``"mzML"`` (or mzXML), ``"MGF"``, ``"MSP"`` or ``"text"``; for other kinds a `ReadError`.

    What a text begins with decides, then the extension ``suffix`` (lower case, with the dot), which a binary file
    cannot claim; any other text is a table. The error says what to give instead.
    """
    head = data[:HEAD_BYTES]
    binary = b"\0" in head and head[:2] not in (b"\xff\xfe", b"\xfe\xff")
    if head.startswith(b"PK\x03\x04") and b"[Content_Types].xml" in head:
        raise ReadError(_SHEET)
    if binary and suffix in REFUSED_NAMES:
        raise ReadError(REFUSED_NAMES[suffix])
    for start, sentence in _REFUSED:
        if head.startswith(start):
            raise ReadError(sentence)
    text = decoded(head)
    start = next((line for line in map(str.strip, text.splitlines()) if line and not line.startswith("$$")), "")
    if re.match(r"##title=\s*parameter file", start, re.I):
        raise ReadError("is a parameter file of a Bruker experiment; give the folder of the experiment")
    if start.startswith("##"):
        return "JCAMP-DX"
    if re.search(r"<(indexed)?mzML\b|<mzXML\b", text):
        return "mzML"
    if re.search(r"^\s*BEGIN IONS\s*$", text, re.M | re.I):
        return "MGF"
    if re.search(r"^\s*num ?peaks\s*:", text, re.M | re.I):
        return "MSP"
    if binary:
        raise ReadError("is a binary file of an unknown kind; expected JCAMP-DX, text, MGF, MSP, mzML, Bruker or JEOL")
    name = _EXTENSIONS.get(suffix, "text")
    if name in ("text", "JCAMP-DX") and start.lower().startswith(("<!doctype html", "<html")):
        raise ReadError("is a web page; save the spectrum file itself, not the page that shows it")
    if name in ("text", "JCAMP-DX") and start.startswith("<"):
        raise ReadError("is an XML file of a kind that is not read; expected mzML")
    return name

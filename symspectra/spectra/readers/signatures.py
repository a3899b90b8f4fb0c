"""What a file is, from its first bytes and then from its name; for files that cannot be read, what to give instead."""

from __future__ import annotations

import re

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

#: Extensions of binary files whose first bytes tell less.
_REFUSED_NAMES = {
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


def refusal(head: bytes, suffix: str) -> str | None:
    """Why a file with the first bytes ``head`` and the extension ``suffix`` (lower case, with the dot) is not read."""
    if head.startswith(b"PK\x03\x04") and b"[Content_Types].xml" in head:
        return _SHEET
    named = _REFUSED_NAMES.get(suffix) if _is_binary(head) else None
    return named or next((sentence for start, sentence in _REFUSED if head.startswith(start)), None)


def folder_refusal(suffix: str) -> str:
    """Why a folder that is no NMR experiment is not read."""
    return _REFUSED_NAMES.get(suffix, "is a folder, but not a Bruker experiment; expected one with acqus, or a file")


def format_of(head: bytes, suffix: str) -> str | None:
    """``"JCAMP-DX"``, ``"mzML"`` (or mzXML), ``"MGF"``, ``"MSP"`` or ``"text"``; None for binary files.

    What the text begins with decides, then the extension, which a binary file cannot claim; any other text is a table.
    """
    text = _decoded(head)
    start = next((line for line in map(str.strip, text.splitlines()) if line and not line.startswith("$$")), "")
    if start.startswith("##"):
        return "JCAMP-DX"
    if re.search(r"<(indexed)?mzML\b|<mzXML\b", text):
        return "mzML"
    if re.search(r"^\s*BEGIN IONS\s*$", text, re.M | re.I):
        return "MGF"
    if re.search(r"^\s*num ?peaks\s*:", text, re.M | re.I):
        return "MSP"
    return None if _is_binary(head) else _EXTENSIONS.get(suffix, "text")


def text_refusal(head: bytes) -> str | None:
    """Why a text that is a web page, another kind of XML or only parameters is not read, or None."""
    start = _decoded(head).lstrip()[:200].lower()
    if re.match(r"##title=\s*parameter file", start):
        return "is a parameter file of a Bruker experiment; give the folder of the experiment"
    if start.startswith(("<!doctype html", "<html")):
        return "is a web page; save the spectrum file itself, not the page that shows it"
    if start.startswith("<"):
        return "is an XML file of a kind that is not read; expected mzML"
    return None


def _decoded(head: bytes) -> str:
    wide = head[:2] in (b"\xff\xfe", b"\xfe\xff")
    return head.decode("utf-16" if wide else "utf-8", errors="replace").removeprefix("\ufeff")


def _is_binary(head: bytes) -> bool:
    return head[:2] not in (b"\xff\xfe", b"\xfe\xff") and b"\0" in head

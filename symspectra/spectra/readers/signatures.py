"""What a file is, from its first bytes and then from its name; for files that cannot be read, what to give instead."""

from __future__ import annotations

import re

HEAD_BYTES = 65_536  # enough to tell

_TEXT = "export the spectrum as JCAMP-DX or as two columns of text"
_TABLE = "save the sheet as CSV"
_MASS = "convert it to mzML, for example with msconvert of ProteoWizard"
_PICTURE = f"is a picture ({{}}); a picture holds no values: {_TEXT}"

#: First bytes of files that are not read, and what is said of them.
_REFUSED: tuple[tuple[bytes, str], ...] = (
    (b"\x89PNG", _PICTURE.format("PNG")),
    (b"\xff\xd8\xff", _PICTURE.format("JPEG")),
    (b"GIF8", _PICTURE.format("GIF")),
    (b"II*\0", _PICTURE.format("TIFF")),
    (b"MM\0*", _PICTURE.format("TIFF")),
    (b"%PDF", f"is a PDF; {_TEXT}"),
    (b"{\\rtf", f"is a rich text document; {_TEXT}"),
    (b"\x89HDF\r\n\x1a\n", f"is an HDF5 file; {_TEXT}, or {_MASS}"),
    (b"CDF\x01", f"is a netCDF file (ANDI); {_TEXT}, or {_MASS}"),
    (b"CDF\x02", f"is a netCDF file (ANDI); {_TEXT}, or {_MASS}"),
    (b"\x01\xa1F\0i\0n\0n\0i\0g\0a\0n\0", f"is a Thermo .raw file; {_MASS}"),
    (b"SQLite format 3\0", f"is an SQLite database, as Bruker .tdf files are; {_MASS}"),
    (b"Spectral Data File", f"is a Thermo OMNIC file; {_TEXT}"),
    (b"Spectral Exte File", f"is a Thermo OMNIC file; {_TEXT}"),
    (b"\x0a\x0a\xfe\xfe", f"is a Bruker OPUS file; {_TEXT}"),
    (b"PEPE", f"is a PerkinElmer .sp file; {_TEXT}"),
    (b"7z\xbc\xaf\x27\x1c", "is a 7z archive; unpack it and give what is inside"),
    (b"Rar!", "is a RAR archive; unpack it and give what is inside"),
    (b"BZh", "is packed with bzip2; unpack it and give what is inside"),
    (b"\xfd7zXZ", "is packed with xz; unpack it and give what is inside"),
)

#: Extensions of binary formats whose first bytes tell less.
_REFUSED_NAMES: dict[str, str] = {
    ".wiff": f"is a SCIEX .wiff file; {_MASS}",
    ".jws": f"is a JASCO .jws file; {_TEXT}",
    ".spc": f"is a GRAMS .spc file; {_TEXT}",
    ".spa": f"is a Thermo OMNIC .spa file; {_TEXT}",
    ".mnova": f"is a MestReNova document; {_TEXT}",
    ".raw": f"is a .raw file of a mass spectrometer; {_MASS}",
    ".d": f"is the .d folder of a mass spectrometer; {_MASS}",
}

_EXTENSIONS = {
    **dict.fromkeys((".jdx", ".dx", ".jcamp", ".jcm"), "JCAMP-DX"),
    **dict.fromkeys((".mzml", ".mzxml"), "mzML"),
    ".mgf": "MGF",
    ".msp": "MSP",
}


def refusal(head: bytes, suffix: str, size: int) -> str | None:
    """Why a file with these first bytes is not read, or None.

    Parameters
    ----------
    head : its first `HEAD_BYTES`
    suffix : its extension, lower case, with the dot
    size : of the whole file, bytes
    """
    for start, sentence in _REFUSED:
        if head.startswith(start):
            return sentence
    if head[:2] == b"BM" and head[2:6] == size.to_bytes(8, "little")[:4]:
        return _PICTURE.format("BMP")
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return _PICTURE.format("WebP")
    if head[:4] == b"PK\x03\x04":
        if b"[Content_Types].xml" in head or b"mimetypeapplication/vnd.oasis" in head:
            return f"is an Excel, Word or OpenDocument file; {_TABLE}"
        return "is a zip archive without a Bruker or Varian experiment; unpack it and give the file inside"
    if _is_binary(head) and suffix in _REFUSED_NAMES:
        return _REFUSED_NAMES[suffix]
    if head.startswith(b"\xd0\xcf\x11\xe0"):
        return f"is an old Excel or Word document or another OLE file; {_TABLE}"
    return None


def folder_refusal(suffix: str) -> str:
    """Why a folder that is no NMR experiment is not read."""
    if suffix in (".raw", ".d"):
        return f"is the {suffix} folder of a mass spectrometer; {_MASS}"
    return "is a folder, but not a Bruker or Varian experiment; expected one with acqus or procpar, or a file"


def format_of(head: bytes, suffix: str) -> str | None:
    """``"JCAMP-DX"``, ``"mzML"`` (also mzXML), ``"MGF"``, ``"MSP"`` or ``"text"``; None for binary files.

    What the text begins with decides, then the extension; any other text is a table.
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
    if suffix in _EXTENSIONS:
        return _EXTENSIONS[suffix]
    return None if _is_binary(head) else "text"


def text_refusal(head: bytes) -> str | None:
    """Why a text that is a web page, another kind of XML or only parameters is not read, or None."""
    start = _decoded(head).lstrip()[:200].lower()
    if re.match(r"##title=\s*parameter file", start):
        return "is a parameter file of a Bruker experiment; give the folder of the experiment"
    if start.startswith(("<!doctype html", "<html")):
        return "is a web page; save the spectrum file itself, not the page that shows it"
    if start.startswith("<"):
        return "is an XML file of a kind that is not read; expected mzML or mzXML"
    return None


def _decoded(head: bytes) -> str:
    wide = head[:2] in (b"\xff\xfe", b"\xfe\xff")
    return head.decode("utf-16" if wide else "utf-8", errors="replace").removeprefix("\ufeff")


def _is_binary(head: bytes) -> bool:
    return head[:2] not in (b"\xff\xfe", b"\xfe\xff") and b"\0" in head

"""Scans of an mzML file, by the standard library's XML parser and the terms of the PSI-MS vocabulary.

Read within limits: entities are not expanded, and nothing that is packed may outgrow its file.
"""

from __future__ import annotations

import base64
import binascii
import gzip
import io
import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from xml.etree import ElementTree

import numpy as np
from jaxtyping import Float

from symspectra.errors import ReadError
from symspectra.spectra.readers.scan import Peaks, Scan, spectra
from symspectra.spectra.spectrum import Spectrum

GROUP_TERMS = 100  # of a referenceableParamGroup

LIMIT_BYTES = 200_000_000  # of a file once unpacked
EXPANSION = 30  # times the packed size, of a file or of all its arrays
SMALL_BYTES = 10_000_000  # may always be unpacked
ELEMENT_BYTES = 40  # an element of a real file takes twice as many

Event = tuple[str, ElementTree.Element]  # "start" or "end"
Terms = dict[str, ElementTree.Element]  # by accession

_NUMBER_TYPES = {"MS:1000521": "<f4", "MS:1000523": "<f8", "MS:1000519": "<i4", "MS:1000522": "<i8"}
_ARRAYS = {"MS:1000514": "m/z", "MS:1000515": "intensity"}
_UNPACKED, _ZLIB = "MS:1000576", "MS:1000574"
_POLARITY = {"MS:1000130": "positive", "MS:1000129": "negative"}
_SHAPES = {"MS:1000127": False, "MS:1000128": True}  # centroid, profile
_SOURCES = {"MS:1000389": "EI", "MS:1000073": "ESI", "MS:1000070": "APCI", "MS:1000071": "CI", "MS:1000075": "MALDI"}
_VALUES = {
    "MS:1000511": "mslevel",
    "MS:1000796": "title",
    "MS:1000744": "precursormz",
    "MS:1000041": "charge",
    "MS:1000045": "collisionenergy",
}


def read_mzml(data: bytes, block: int | None = None) -> list[Spectrum]:
    """The spectra of an mzML file, also packed with gzip; ``block`` picks one scan, from 1.

    MS1 scans are left out where there are MS/MS scans. Profiles become peaks (`symspectra.spectra.readers.scan`).

    Raises
    ------
    ReadError : not such a file, damaged or too large, compressed otherwise than by zlib, no peaks, or no such block.
    """
    room = Room.of(data)
    if data[:2] == b"\x1f\x8b":
        data = unpacked(data)
    events = _parsed(data)
    name = _tag_of(next(events)[1])
    if name == "mzXML":
        raise ReadError("is mzXML; convert it to mzML, for example with msconvert of ProteoWizard")
    if name not in ("mzML", "indexedmzML"):
        raise ReadError(f"is an XML file of another kind ({name[:40]}); expected mzML")
    return spectra(list(_scans(events, room)), "mzML", len(data), block, skip_ms1=True)


def _scans(events: Iterator[Event], room: Room) -> Iterator[Scan]:
    groups: dict[str, Terms] = {}
    sources: set[str] = set()
    number = 0
    for event, element in events:
        tag = _tag_of(element)
        if event == "start":
            continue
        if tag == "referenceableParamGroup":
            groups[element.get("id", "")] = _terms(element, {})
            if len(element) > GROUP_TERMS:
                raise ReadError(f"has a parameter group of {len(element)} terms; expected at most {GROUP_TERMS}")
        elif tag == "source":
            sources |= {_SOURCES[term] for term in _terms(element, groups) if term in _SOURCES}
        elif tag == "spectrum":
            number += 1
            yield _scan(number, element, groups, sources, room)
            element.clear()


def _terms(element: ElementTree.Element, groups: dict[str, Terms]) -> Terms:
    """The vocabulary terms anywhere in an element; of several, the first."""
    terms: Terms = {}
    references = set()
    for part in element.iter():
        if part.tag.endswith("cvParam"):
            terms.setdefault(part.get("accession", ""), part)
        elif part.tag.endswith("referenceableParamGroupRef"):
            references.add(part.get("ref", ""))
    for reference in references:
        terms = groups.get(reference, {}) | terms
    return terms


def _scan(number: int, element: ElementTree.Element, groups: dict[str, Terms], sources: set[str], room: Room) -> Scan:
    terms = _terms(element, groups)
    fields = {name: terms[term].get("value", "") for term, name in _VALUES.items() if term in terms}
    fields.setdefault("title", element.get("id", ""))
    if fields.get("collisionenergy") and terms["MS:1000045"].get("unitName") == "electronvolt":
        fields["collisionenergy"] += " eV"
    fields["ionmode"] = next((polarity for term, polarity in _POLARITY.items() if term in terms), "")
    fields["ionization"] = " ".join(sources)
    arrays = {}
    for array in element.iterfind("{*}binaryDataArrayList/{*}binaryDataArray"):
        of_array = _terms(array, groups)
        for term, what in _ARRAYS.items():
            if term in of_array:
                length = array.get("arrayLength") or element.get("defaultArrayLength", "")
                arrays[what] = (array.findtext("{*}binary", ""), of_array, length)
    shapes = [profile for term, profile in _SHAPES.items() if term in terms]
    scan = Scan(number, fields, lambda: _peaks(scan, arrays, room), shapes[0] if len(shapes) == 1 else None)
    return scan


def _peaks(scan: Scan, arrays: dict[str, tuple[str, Terms, str]], room: Room) -> Peaks:
    if len(arrays) < 2:  # no peaks, or a spectrum of another kind, such as UV
        return np.zeros(0), np.zeros(0)
    mz, intensity = (_array(f"{what} array of {scan.name}", *arrays[what], room) for what in ("m/z", "intensity"))
    return mz, intensity


def _array(where: str, text: str, terms: Terms, length: str, room: Room) -> Float[np.ndarray, " peak"]:
    for term, element in terms.items():
        name = element.get("name", "")
        if "compression" in name.lower() and term not in (_UNPACKED, _ZLIB):
            raise ReadError(f"{where} is packed by {name[:60]!r}; convert the file with zlib or without compression")
    types = [code for term, code in _NUMBER_TYPES.items() if term in terms]
    if len(types) != 1:
        raise ReadError(f"{where} states {len(types)} number types; expected one")
    values = _decoded(text, types[0], _ZLIB in terms, where, room)
    if length and str(len(values)) != length:
        raise ReadError(f"{where} has {len(values)} values; expected {length[:20]!r} as the file states")
    return values


def unpacked(data: bytes) -> bytes:
    """What a gzip file holds.

    Raises
    ------
    ReadError : damaged, or larger than `LIMIT_BYTES` or `EXPANSION` times itself.
    """
    most = min(LIMIT_BYTES, Room.of(data).left)
    try:
        content = gzip.GzipFile(fileobj=io.BytesIO(data)).read(most + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise ReadError(f"is a damaged gzip file ({error})") from error
    if len(content) > most:
        raise ReadError(f"unpacks to more than {most / 1e6:.1f} MB; expected less")
    return content


@dataclass
class Room:
    """The bytes that the arrays of a file may still take once unpacked."""

    left: int

    @classmethod
    def of(cls, data: bytes) -> Room:
        """For a file as it is stored."""
        return cls(SMALL_BYTES + EXPANSION * len(data))


def _parsed(data: bytes) -> Iterator[Event]:
    """The beginnings and ends of the elements of an XML document.

    Raises
    ------
    ReadError : not well-formed, declares entities, or has more elements than its size allows.
    """
    data = _without_declarations(data)
    most, count = 1000 + len(data) // ELEMENT_BYTES, 0
    try:
        for event, element in ElementTree.iterparse(io.BytesIO(data), events=("start", "end")):
            count += event == "start"
            if count > most:
                raise ReadError(f"has more than {most} XML elements, too many for its size; expected mzML")
            yield event, element
    except ElementTree.ParseError as error:
        raise ReadError(f"is not well-formed XML ({error})") from error


def _tag_of(element: ElementTree.Element) -> str:
    """Its name without the namespace."""
    return element.tag.rpartition("}")[2]


def _without_declarations(data: bytes) -> bytes:
    """The document in UTF-8 without its XML declaration; entities are refused, so that nothing can be expanded."""
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = data.decode("latin-1")
    if re.search(r"<!(doctype|entity)", text, re.I):
        raise ReadError("declares a DOCTYPE or an ENTITY, which no mzML file needs; it is not read")
    declaration = re.match(r"\s*<\?xml.*?\?>", text, re.S)
    return text[declaration.end() if declaration else 0 :].encode("utf-8")


def _decoded(text: str, dtype: str, packed: bool, where: str, room: Room) -> Float[np.ndarray, " value"]:
    """The numbers of base64 text, with ``packed`` behind zlib.

    Raises
    ------
    ReadError : damaged, or larger than there is room for; the message begins with ``where``.
    """
    try:
        raw = base64.b64decode("".join(text.split()), validate=True)
        if packed and raw:
            packing = zlib.decompressobj()
            raw = packing.decompress(raw, room.left + 1)
            if len(raw) > room.left:
                raise ReadError(f"{where} unpacks to more than the file's size allows")
            room.left -= len(raw)
            if not packing.eof:
                raise ReadError(f"{where} is cut off")
        with np.errstate(all="ignore"):  # NaN is refused later, with its place
            return np.frombuffer(raw, dtype).astype(np.float64)
    except (binascii.Error, zlib.error, UnicodeEncodeError, ValueError) as error:
        if isinstance(error, ReadError):
            raise
        raise ReadError(f"{where} is damaged ({error})") from error

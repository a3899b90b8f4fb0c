"""Scans of an mzML file, by the standard library's XML parser and the terms of the PSI-MS vocabulary.

Read within limits: entities are not expanded, and nothing that is packed may outgrow its file.
"""

from __future__ import annotations

import base64
import io
import re
import zlib
from collections.abc import Iterator
from xml.etree import ElementTree

import numpy as np
from jaxtyping import Float

from symspectra.errors import ReadError
from symspectra.spectra.readers.entries import Entry
from symspectra.spectra.readers.scan import Peaks, Scan
from symspectra.spectra.readers.signatures import decoded

ELEMENT_BYTES = 40  # an element of a real file takes twice as many

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


def read_mzml(data: bytes) -> list[Entry]:
    """The scans of an mzML file; of MS1, those beside MS/MS scans are left out unless they are picked."""
    scans = list(_File(10_000_000 + 30 * len(data)).scans(data))
    fragments = any(scan.level != 1 for scan in scans)
    asides = ["MS1, beside MS/MS scans" if fragments and scan.level == 1 else "" for scan in scans]
    return [Entry(i, scan.spectrum, aside) for i, (scan, aside) in enumerate(zip(scans, asides, strict=True), 1)]


def _parsed(data: bytes) -> Iterator[tuple[str, ElementTree.Element]]:
    """The beginnings and ends of the elements of an XML document, read without its declaration and any entity."""
    text = decoded(data)
    if re.search(r"<!(doctype|entity)", text, re.I):
        raise ReadError("declares a DOCTYPE or an ENTITY, which no mzML file needs; it is not read")
    document = re.sub(r"^\s*<\?xml.*?\?>", "", text, count=1, flags=re.S).encode("utf-8", "replace")
    most, count = 1000 + len(data) // ELEMENT_BYTES, 0
    try:
        for event, element in ElementTree.iterparse(io.BytesIO(document), events=("start", "end")):
            count += event == "start"
            if count > most:
                raise ReadError(f"has more than {most} XML elements, too many for its size; expected mzML")
            yield event, element
    except ElementTree.ParseError as error:
        raise ReadError(f"is not well-formed XML ({error})") from error


class _File:
    """What is said of a file as a whole, and the bytes that its arrays may still take once unpacked."""

    def __init__(self, room: int):
        self.room = room
        self.groups: dict[str, Terms] = {}
        self.sources: set[str] = set()

    def scans(self, data: bytes) -> Iterator[Scan]:
        events = _parsed(data)
        root = next(events)[1].tag.rpartition("}")[2]
        if root == "mzXML":
            raise ReadError("is mzXML; convert it to mzML, for example with msconvert of ProteoWizard")
        if root not in ("mzML", "indexedmzML"):
            raise ReadError(f"is an XML file of another kind ({root[:40]}); expected mzML")
        for event, element in events:
            match element.tag.rpartition("}")[2] if event == "end" else "":
                case "referenceableParamGroup":
                    self.groups[element.get("id", "")] = self.terms(element)
                case "source":
                    self.sources |= {_SOURCES[term] for term in self.terms(element) if term in _SOURCES}
                case "spectrum":
                    yield self.scan(element)
                    element.clear()

    def terms(self, element: ElementTree.Element) -> Terms:
        """The vocabulary terms anywhere in an element, those of groups included; of several, the first."""
        terms: Terms = {}
        references = set()
        for part in element.iter():
            if part.tag.endswith("cvParam"):
                terms.setdefault(part.get("accession", ""), part)
            elif part.tag.endswith("referenceableParamGroupRef"):
                references.add(part.get("ref", ""))
        for reference in references:
            terms = self.groups.get(reference, {}) | terms
        return terms

    def scan(self, element: ElementTree.Element) -> Scan:
        terms = self.terms(element)
        fields = {name: terms[term].get("value", "") for term, name in _VALUES.items() if term in terms}
        fields.setdefault("title", element.get("id", ""))
        if fields.get("collisionenergy") and terms["MS:1000045"].get("unitName") == "electronvolt":
            fields["collisionenergy"] += " eV"
        fields["ionmode"] = next((polarity for term, polarity in _POLARITY.items() if term in terms), "")
        fields["ionization"] = " ".join(self.sources)
        arrays = {}
        for array in element.iterfind("{*}binaryDataArrayList/{*}binaryDataArray"):
            of_array = self.terms(array)
            length = array.get("arrayLength") or element.get("defaultArrayLength", "")
            for term, what in _ARRAYS.items():
                if term in of_array:
                    arrays[what] = (array.findtext("{*}binary", ""), of_array, length)

        def peaks() -> Peaks:
            if len(arrays) < 2:  # no peaks, or a spectrum of another kind, such as UV
                return [], []
            mz, intensity = (self.array(f"the {what} array", *arrays[what]) for what in _ARRAYS.values())
            return mz, intensity

        shapes = [profile for term, profile in _SHAPES.items() if term in terms]
        return Scan(fields, peaks, shapes[0] if len(shapes) == 1 else None)

    def array(self, where: str, text: str, terms: Terms, length: str) -> Float[np.ndarray, " peak"]:
        """The numbers of base64 text, perhaps behind zlib."""
        for term, element in terms.items():
            name = element.get("name", "")
            if "compression" in name.lower() and term not in (_UNPACKED, _ZLIB):
                raise ReadError(f"{where} is packed by {name[:60]!r}; convert it with zlib or without compression")
        types = [code for term, code in _NUMBER_TYPES.items() if term in terms]
        if len(types) != 1:
            raise ReadError(f"{where} states {len(types)} number types; expected one")
        try:
            raw = base64.b64decode("".join(text.split()), validate=True)
            if _ZLIB in terms and raw:
                packing = zlib.decompressobj()
                raw = packing.decompress(raw, max(self.room, 0) + 1)
                self.room -= len(raw)
                if not packing.eof:
                    raise ValueError("cut off, or unpacks to more than the file's size allows")
            values = np.frombuffer(raw, types[0])
        except (zlib.error, ValueError) as error:  # also of base64
            raise ReadError(f"{where} is damaged ({error})") from error
        if length and str(len(values)) != length:
            raise ReadError(f"{where} has {len(values)} values; expected {length[:20]!r} as the file states")
        with np.errstate(all="ignore"):  # NaN is refused later, with its place
            return values.astype(np.float64)

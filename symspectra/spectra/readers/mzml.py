"""Scans of an mzML or mzXML file, by the standard library's XML parser and the terms of the PSI-MS vocabulary."""

from __future__ import annotations

from collections.abc import Iterator
from xml.etree import ElementTree

import numpy as np
from jaxtyping import Float

from symspectra.errors import ReadError
from symspectra.spectra.readers.scan import Peaks, Scan, spectra
from symspectra.spectra.readers.xml_data import Event, Room, decoded, parsed, tag_of, unpacked
from symspectra.spectra.spectrum import Spectrum

GROUP_TERMS = 100  # of a referenceableParamGroup

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
    """The spectra of an mzML or mzXML file, also packed with gzip; ``block`` picks one scan, from 1.

    MS1 scans are left out where there are MS/MS scans. Profiles become peaks (`symspectra.spectra.readers.scan`).

    Raises
    ------
    ReadError : not such a file, damaged or too large, compressed otherwise than by zlib, no peaks, or no such block.
    """
    room = Room.of(data)
    if data[:2] == b"\x1f\x8b":
        data = unpacked(data)
    events = parsed(data)
    name = tag_of(next(events)[1])
    if name not in ("mzML", "indexedmzML", "mzXML"):
        raise ReadError(f"is an XML file of another kind ({name[:40]}); expected mzML")
    scans = list((_mzxml_scans if name == "mzXML" else _mzml_scans)(events, room))
    return spectra(scans, "mzXML" if name == "mzXML" else "mzML", len(data), block, skip_ms1=True)


def _mzml_scans(events: Iterator[Event], room: Room) -> Iterator[Scan]:
    groups: dict[str, Terms] = {}
    sources: set[str] = set()
    number = 0
    for event, element in events:
        tag = tag_of(element)
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
            yield _mzml_scan(number, element, groups, sources, room)
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


def _mzml_scan(
    number: int, element: ElementTree.Element, groups: dict[str, Terms], sources: set[str], room: Room
) -> Scan:
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
    scan = Scan(number, fields, lambda: _mzml_peaks(scan, arrays, room), shapes[0] if len(shapes) == 1 else None)
    return scan


def _mzml_peaks(scan: Scan, arrays: dict[str, tuple[str, Terms, str]], room: Room) -> Peaks:
    if len(arrays) < 2:  # no peaks, or a spectrum of another kind, such as UV
        return np.zeros(0), np.zeros(0)
    mz, intensity = (_mzml_array(f"{what} array of {scan.name}", *arrays[what], room) for what in ("m/z", "intensity"))
    return mz, intensity


def _mzml_array(where: str, text: str, terms: Terms, length: str, room: Room) -> Float[np.ndarray, " peak"]:
    for term, element in terms.items():
        name = element.get("name", "")
        if "compression" in name.lower() and term not in (_UNPACKED, _ZLIB):
            raise ReadError(f"{where} is packed by {name[:60]!r}; convert the file with zlib or without compression")
    types = [code for term, code in _NUMBER_TYPES.items() if term in terms]
    if len(types) != 1:
        raise ReadError(f"{where} states {len(types)} number types; expected one")
    values = decoded(text, types[0], _ZLIB in terms, where, room)
    if length and str(len(values)) != length:
        raise ReadError(f"{where} has {len(values)} values; expected {length[:20]!r} as the file states")
    return values


def _mzxml_scans(events: Iterator[Event], room: Room) -> list[Scan]:
    """In the order of their beginnings: scans may lie inside the scan that they are fragments of."""
    order: dict[ElementTree.Element, int] = {}
    scans: list[Scan] = []
    source, centroided = "", None
    for event, element in events:
        tag = tag_of(element)
        if event == "start" and tag == "scan":
            order[element] = len(order) + 1
        elif event == "end" and tag == "msIonisation":
            source = element.get("value", "")
        elif event == "end" and tag == "dataProcessing":
            centroided = element.get("centroided", centroided)
        elif event == "end" and tag == "scan":
            scans.append(_mzxml_scan(order[element], element, source, centroided, room))
            element.clear()
    return sorted(scans, key=lambda scan: scan.number)


def _mzxml_scan(number: int, element: ElementTree.Element, source: str, centroided: str | None, room: Room) -> Scan:
    fields = {
        "title": f"scan {element.get('num', number)}",
        "mslevel": element.get("msLevel", ""),
        "polarity": element.get("polarity", ""),
        "collisionenergy": element.get("collisionEnergy", ""),
        "ionization": source,
    }
    precursor = element.find("{*}precursorMz")
    if precursor is not None:
        fields |= {"precursormz": precursor.text or "", "charge": precursor.get("precursorCharge", "")}
    peaks = element.find("{*}peaks")
    text, how = ("", {}) if peaks is None else (peaks.text or "", dict(peaks.attrib))
    count = element.get("peaksCount", "")
    profile = {"0": True, "1": False}.get(element.get("centroided", centroided))
    scan = Scan(number, fields, lambda: _mzxml_peaks(scan, text, how, count, room), profile)
    return scan


def _mzxml_peaks(scan: Scan, text: str, how: dict[str, str], count: str, room: Room) -> Peaks:
    where = f"peak list of {scan.name}"
    packing = how.get("compressionType", "none")
    content = how.get("contentType", how.get("pairOrder", "m/z-int"))
    if packing not in ("none", "zlib") or content != "m/z-int":
        raise ReadError(f"{where} is {content[:20]!r} packed by {packing[:20]!r}; convert the file to mzML")
    dtype = {"32": ">f4", "64": ">f8"}.get(how.get("precision", "32"))
    if dtype is None:
        raise ReadError(f"{where} has numbers of {how['precision'][:20]!r} bits; expected 32 or 64")
    values = decoded(text, dtype, packing == "zlib", where, room)
    if count and count != "0" and str(len(values) // 2) != count:
        raise ReadError(f"{where} has {len(values) // 2} peaks; expected {count[:20]!r} as the file states")
    return values[::2], values[1::2]

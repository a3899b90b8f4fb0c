"""XML documents and the packed arrays in them, read within limits: nothing is expanded, nothing outgrows its file."""

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

LIMIT_BYTES = 200_000_000  # of a file once unpacked
EXPANSION = 30  # times the packed size, of a file or of all its arrays
SMALL_BYTES = 10_000_000  # may always be unpacked
ELEMENT_BYTES = 40  # an element of a real file takes twice as many

Event = tuple[str, ElementTree.Element]  # "start" or "end"


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


def parsed(data: bytes) -> Iterator[Event]:
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


def tag_of(element: ElementTree.Element) -> str:
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


def decoded(text: str, dtype: str, packed: bool, where: str, room: Room) -> Float[np.ndarray, " value"]:
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

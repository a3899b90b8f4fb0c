"""Processed spectra of one dimension from JEOL .jdf files."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from symspectra.errors import ReadError
from symspectra.modalities import OF_NUCLEUS
from symspectra.spectra.spectrum import Spectrum

EXPORT = "export the processed spectrum as JCAMP-DX"
MAX_POINTS = 1 << 22
_NUCLEI = {"proton": "1H", "1h": "1H", "hydrogen1": "1H", "carbon13": "13C", "13c": "13C"}
_SECONDS, _PPM = 28, 26
_REAL, _COMPLEX = 1, 3
_HEADER = np.dtype(
    {
        "names": "endian dimensions kind axis unit title points first last start stop label reversed".split()
        + "parameters data".split(),
        "formats": "u1 u1 u1 u1 u1 S124 >u4 >u4 >u4 >f8 >f8 S32 u1 >u4 >u4".split(),
        "offsets": [8, 12, 14, 24, 33, 48, 176, 208, 240, 272, 336, 808, 1192, 1212, 1284],
        "itemsize": 1360,
    }
)


def _parameters(data: bytes, start: int, order: str) -> dict[str, str | int | float]:
    """Parameters by lower-case name: text, integers and floats."""
    layout = np.dtype(
        {
            "names": ["scale", "text", "integer", "float", "kind", "name"],
            "formats": [f"{order}i2", "S16", f"{order}i4", f"{order}f8", f"{order}i4", "S28"],
            "offsets": [4, 16, 16, 16, 32, 36],
            "itemsize": 64,
        }
    )
    count = int.from_bytes(data[start + 8 : start + 12], "little" if order == "<" else "big")
    if count * 64 > len(data) - start - 16:
        raise ReadError(f"{count} parameters are announced; the file of {len(data):,} bytes ends before")
    found: dict[str, str | int | float] = {}
    for entry in np.frombuffer(data, layout, count, start + 16):
        name = entry["name"].decode("latin-1").strip("\0 ").lower()
        if entry["kind"] == 0:
            found[name] = entry["text"].decode("latin-1").strip("\0 ")
        elif abs(scale := int(entry["scale"])) <= 30:
            found[name] = float(entry["integer" if entry["kind"] == 1 else "float"]) * 10.0**scale
    return found


def read_jeol(data: bytes) -> Spectrum:
    """The processed 1H or 13C spectrum of a JEOL .jdf file."""
    if len(data) < _HEADER.itemsize:
        raise ReadError(f"the file ends after {len(data)} bytes; expected the header of a JEOL .jdf file")
    head = np.frombuffer(data, _HEADER, 1)[0]
    if head["dimensions"] != 1:
        raise ReadError(f"the file holds {head['dimensions']} dimensions; expected a spectrum of one dimension")
    order = "<" if head["endian"] == 1 else ">"
    parameters = _parameters(data, int(head["parameters"]), order)
    label = head["label"].decode("latin-1").strip("\0 ")
    nucleus = _NUCLEI.get(label.lower()) or _NUCLEI.get(str(parameters.get("x_domain")).lower())
    if nucleus is None:
        raise ReadError(f"the nucleus is {label!r}; expected Proton or Carbon13")
    if head["unit"] == _SECONDS:
        raise ReadError(f"holds a free induction decay; {EXPORT}")
    if head["unit"] != _PPM:
        raise ReadError(f"the axis has JEOL unit {head['unit']}; expected ppm; {EXPORT}")
    meta = {"title": head["title"].decode("utf-8", "replace").strip("\0 "), "solvent": parameters.get("solvent")}
    frequency = parameters.get("x_freq")
    if isinstance(frequency, float) and np.isfinite(frequency):
        meta["frequency_mhz"] = frequency / 1e6
    meta = {name: value for name, value in meta.items() if value not in (None, "")}
    real = _real_part(data, head, order)
    first, last = int(head["first"]), int(head["last"])
    if not first < last < len(real):
        raise ReadError(f"the header names points {first} to {last} of {len(real)}; expected a range within them")
    ends = float(head["start"]), float(head["stop"])
    if not all(np.isfinite(ends)) or max(map(abs, ends)) > 1e4 or ends[0] == ends[1]:
        raise ReadError(f"the axis runs from {ends[0]:g} to {ends[1]:g} ppm; expected two shifts below 10,000 ppm")
    x, y = np.linspace(*ends, last - first + 1), real[first : last + 1]
    step = f"processed data read, {len(y):,} points, ppm axis from the header"
    return Spectrum(x, y, "ppm", "intensity", OF_NUCLEUS[nucleus], meta, steps=(step,))


def _real_part(data: bytes, head: np.void, order: str) -> Float[np.ndarray, " point"]:
    if head["axis"] not in (_REAL, _COMPLEX) or head["reversed"]:
        raise ReadError(f"the points are stored in an order that is not known here; {EXPORT}")
    kind = np.dtype(f"{order}f4" if head["kind"] >> 6 == 1 else f"{order}f8")
    points, start, parts = int(head["points"]), int(head["data"]), 2 if head["axis"] == _COMPLEX else 1
    if not 0 < points <= MAX_POINTS:
        raise ReadError(f"the header announces {points:,} points; expected 1 to {MAX_POINTS:,}")
    there = (len(data) - start) // (kind.itemsize * parts)
    if there < points:
        raise ReadError(f"the file ends after {max(there, 0):,} of {points:,} points")
    return finite(np.frombuffer(data, kind, points, start), "the file")


def finite(values: np.ndarray, name: str) -> Float[np.ndarray, " point"]:
    """The values in double precision, if all are finite."""
    with np.errstate(invalid="ignore"):
        values = values.astype(np.float64)
    if not np.isfinite(values).all():
        raise ReadError(f"a point of {name} is not finite; expected numbers")
    return values

"""JEOL .jdf files of one dimension: processed spectra, or free induction decays."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from symspectra.errors import ReadError
from symspectra.spectra.readers.fid import MAX_POINTS, MODALITIES, Fid, transform
from symspectra.spectra.spectrum import Spectrum

MAGIC = (b"JEOL.NMR", b"RMN.LEOJ")
_EXPORT = "export the processed spectrum as JCAMP-DX"
_NUCLEI = {"proton": "1H", "1h": "1H", "hydrogen1": "1H", "carbon13": "13C", "13c": "13C"}
_SECOND, _PPM = 28, 26
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


# nmrglue.jeol multiplies text by ten to a power that the file names, and reads a point at a time.
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


def read_jeol(path: Path) -> list[Spectrum]:
    """Read a JEOL .jdf file.

    A processed spectrum is taken as it is; a free induction decay is transformed (`symspectra.spectra.readers.fid`).

    Raises
    ------
    ReadError : the file is not a one-dimensional 1H or 13C spectrum, or is damaged.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ReadError(f"the file cannot be opened ({error.strerror})") from error
    if data[:8] not in MAGIC or len(data) < _HEADER.itemsize:
        raise ReadError(f"the file begins with {data[:8]!r}; expected the header of a JEOL .jdf file")
    head = np.frombuffer(data, _HEADER, 1)[0]
    if head["dimensions"] != 1:
        raise ReadError(f"the file holds {head['dimensions']} dimensions; expected a spectrum of one dimension")
    order = "<" if head["endian"] == 1 else ">"
    parameters = _parameters(data, int(head["parameters"]), order)
    label = head["label"].decode("latin-1").strip("\0 ")
    nucleus = _NUCLEI.get(label.lower()) or _NUCLEI.get(str(parameters.get("x_domain")).lower())
    if nucleus is None:
        raise ReadError(f"the nucleus is {label!r}; expected Proton or Carbon13")
    sections = _sections(data, head, order)
    meta = {
        "format": "JEOL JDF",
        "nucleus": nucleus,
        "title": head["title"].decode("utf-8", "replace").strip("\0 "),
        "solvent": parameters.get("solvent"),
        "pulse_program": parameters.get("experiment"),
    }
    frequency = parameters.get("x_freq")
    if isinstance(frequency, float) and np.isfinite(frequency):
        meta["frequency_mhz"] = frequency / 1e6
    meta = {name: value for name, value in meta.items() if value not in (None, "")}
    modality = MODALITIES[nucleus]
    if head["unit"] == _PPM:
        x, y, steps = *_processed(head, sections[0]), ()
        steps = (f"processed data read, {len(y):,} points, ppm axis from the header",)
    elif head["unit"] == _SECOND and len(sections) == 2:
        x, y, steps = transform(_fid(sections, parameters), modality)
        steps = ("free induction decay read, ppm axis from x_offset, not referenced to a standard", *steps)
    else:
        raise ReadError(f"the axis has JEOL unit {head['unit']}; expected ppm, or seconds of a decay; {_EXPORT}")
    return [Spectrum(x, y, "ppm", "intensity", modality, meta, steps=steps)]


def _sections(data: bytes, head: np.void, order: str) -> list[np.ndarray]:
    """Real part, and imaginary part where there is one."""
    if head["axis"] not in (_REAL, _COMPLEX) or head["reversed"]:
        raise ReadError(f"the points are stored in an order that is not known here; {_EXPORT}")
    kind = np.dtype(f"{order}f4" if head["kind"] >> 6 == 1 else f"{order}f8")
    points, start, parts = int(head["points"]), int(head["data"]), 2 if head["axis"] == _COMPLEX else 1
    if not 0 < points <= MAX_POINTS:
        raise ReadError(f"the header announces {points:,} points; expected 1 to {MAX_POINTS:,}")
    there = (len(data) - start) // (kind.itemsize * parts)
    if there < points:
        raise ReadError(f"the file ends after {max(there, 0):,} of {points:,} points")
    values = np.frombuffer(data, kind, points * parts, start).reshape(parts, points)
    with np.errstate(invalid="ignore"):
        values = values.astype(np.float64)
    if not np.isfinite(values).all():
        raise ReadError("a point is not finite; expected numbers")
    return list(values)


def _processed(head: np.void, real: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    first, last = int(head["first"]), int(head["last"])
    if not first < last < len(real):
        raise ReadError(f"the header names points {first} to {last} of {len(real)}; expected a range within them")
    ends = float(head["start"]), float(head["stop"])
    if not all(np.isfinite(ends)) or max(map(abs, ends)) > 1e4 or ends[0] == ends[1]:
        raise ReadError(f"the axis runs from {ends[0]:g} to {ends[1]:g} ppm; expected two shifts below 10,000 ppm")
    return np.linspace(*ends, last - first + 1), real[first : last + 1]


def _fid(sections: list[np.ndarray], parameters: dict[str, str | int | float]) -> Fid:
    values = {}
    for name in ("x_sweep", "x_freq", "x_offset"):
        value = parameters.get(name)
        if not isinstance(value, float) or not np.isfinite(value):
            raise ReadError(f"parameter {name} is {value!r}; expected a number")
        values[name] = value
    kept, dead_time = parameters.get("x_sweep_clipped"), parameters.get("acq_delay")
    dead_time = dead_time if isinstance(dead_time, float) and np.isfinite(dead_time) else 0.0
    return Fid(
        sections[0] - 1j * sections[1],
        values["x_sweep"],
        values["x_freq"] / 1e6,
        values["x_offset"],
        _delay(parameters) - dead_time * values["x_sweep"],
        kept if isinstance(kept, float) and kept > 0 else None,
    )


def _delay(parameters: dict[str, str | int | float]) -> float:
    """Group delay of the decimating filters in points: half the order of each, at the rate it works at."""
    if "orders" not in parameters and "factors" not in parameters:
        return 0.0
    try:
        stages, *orders = map(int, str(parameters.get("orders")).split())
        factors = [int(text) for text in str(parameters.get("factors")).split()]
        if not len(orders) == len(factors) == stages or min(factors, default=1) < 1:
            raise ValueError
    except ValueError:
        raise ReadError(
            f"the digital filter has orders {parameters.get('orders')!r} and factors {parameters.get('factors')!r}; "
            f"expected as many of both; {_EXPORT}"
        ) from None
    return sum((order - 1) / 2 / float(np.prod(factors[k:], dtype=float)) for k, order in enumerate(orders))

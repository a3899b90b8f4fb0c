"""Infrared spectra in the files of their spectrometers: Bruker OPUS, Thermo OMNIC .spa and GRAMS .spc.

Sources: Galactic Industries, Universal Data Format Specification (1997), for .spc. The makers do not publish the other
two; what is known of them is in the documentation of brukeropus (OPUS) and of SpectroChemPy (OMNIC).
"""

from __future__ import annotations

from functools import partial

import numpy as np
from jaxtyping import Float, Shaped

from symspectra.errors import ReadError
from symspectra.spectra.readers.entries import Entry
from symspectra.spectra.readers.jeol import MAX_POINTS, finite
from symspectra.spectra.readers.text import x_unit_of, y_unit_of
from symspectra.spectra.spectrum import Spectrum

_EXPORT = "export the absorbance or transmittance as JCAMP-DX or as two columns of text"
_MOST_BLOCKS = 512  # of a file of any of these kinds


def _record(data: bytes, layout: np.dtype, start: int, what: str) -> np.void:
    if not 0 <= start <= len(data) - layout.itemsize:
        raise ReadError(f"ends after {len(data):,} bytes; expected {what} at byte {start:,}")
    return np.frombuffer(data, layout, 1, start)[0]


def _numbers(data: bytes, kind: str | np.dtype, start: int, points: int) -> Shaped[np.ndarray, " point"]:
    if not 2 <= points <= MAX_POINTS:
        raise ReadError(f"announces {points:,} points; expected 2 to {MAX_POINTS:,}")
    if not 0 <= start <= len(data) - points * np.dtype(kind).itemsize:
        raise ReadError(f"ends after {len(data):,} bytes; expected {points:,} values from byte {start:,}")
    return np.frombuffer(data, kind, points, start)


def _axis(first: float, last: float, points: int) -> Float[np.ndarray, " point"]:
    ends = float(first), float(last)
    if not (np.isfinite(ends).all() and 0 <= min(ends) < max(ends) <= 1e6):
        raise ReadError(f"the axis runs from {first:g} to {last:g}; expected two positions from 0 to 1,000,000")
    return np.linspace(*ends, points)


def _text(data: bytes) -> str:
    """Up to the first zero, on one line."""
    text = data.partition(b"\0")[0].decode("latin-1")
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def _looked_up(code: int, known: dict, others: dict[int, str], what: str):
    """What a code stands for among the known; `ReadError` names it where it is another."""
    if code not in known:
        raise ReadError(f"{what} {others.get(code, f'of unknown kind {code}')}; {_EXPORT}")
    return known[code]


# ---- Bruker OPUS: a directory of blocks, each with a word of bits for its kind

_OPUS = np.dtype([("start", "<i4"), ("most", "<i4"), ("blocks", "<i4")])  # of the directory, at byte 12
_BLOCK = np.dtype([("kind", "<u4"), ("words", "<i4"), ("start", "<i4")])
_RESULTS = {4: ("absorbance", "AB"), 5: ("transmittance", "TR")}  # transmittance is a fraction
_QUANTITIES = {1: "single channel", 2: "interferogram", 3: "phase", 5: "transmittance", 6: "Kubelka-Munk", 10: "Raman"}
_QUANTITIES |= {12: "reflectance", 15: "log reflectance", 16: "ATR", 17: "photoacoustic"}
_EARLIER = "as it was before OPUS corrected it, for example for the atmosphere"  # bit 30
_OPUS_X = {"WN": "1/cm", "MI": "um"}
_NEEDED = {"NPT": int, "FXV": float, "LXV": float, "DPF": int, "CSF": float, "DXU": str}
#: First bit, number of bits, their values in a plain spectrum, and what others say.
_UNLIKE = (
    (0, 2, (0, 3), "the real or imaginary part of a complex spectrum"),
    (2, 2, (0, 3), "of the sample or the reference alone"),
    (17, 2, (0,), "a derivative"),
    (19, 3, (0,), "a series or a compact block"),
)


def _bits(kind: int, first: int, count: int) -> int:
    return (int(kind) >> first) % (1 << count)


def read_opus(data: bytes) -> list[Entry]:
    """The absorbance of a Bruker OPUS file, or its transmittance where there is no absorbance.

    The block of a spectrum is its place, from 1, among several of that kind. One that OPUS kept when it corrected it is
    left out unless it is picked.
    """
    head = _record(data, _OPUS, 12, "the header of a Bruker OPUS file")
    if not 0 < head["blocks"] <= _MOST_BLOCKS:
        raise ReadError(f"announces {head['blocks']} blocks; expected 1 to {_MOST_BLOCKS}")
    directory = range(int(head["start"]), int(head["start"]) + 12 * int(head["blocks"]), 12)
    blocks = [_record(data, _BLOCK, at, "its directory") for at in directory]
    there: dict[int, list[np.void]] = {}
    for block in blocks:
        parameters, quantity, form = (_bits(block["kind"], *place) for place in ((4, 6), (10, 7), (19, 3)))
        if quantity not in (0, 13) and not parameters and form in (0, 2, 4):  # the others are texts and the directory
            there.setdefault(quantity, []).append(block)
    taken = next((quantity for quantity in _RESULTS if quantity in there), None)
    names = ", ".join(_QUANTITIES.get(quantity, f"kind {quantity}") for quantity in there if quantity != taken)
    if taken is None:
        raise ReadError(f"holds no absorbance (AB) or transmittance (TR), but {names or 'no data'}; {_EXPORT}")
    name, short = _RESULTS[taken]
    step = f"{name} ({short}) read" + f"; left out what else is in the file: {names}" * bool(names)
    return [
        Entry(n, partial(_opus, data, block, blocks, name, step), _EARLIER * _bits(block["kind"], 30, 1))
        for n, block in enumerate(there[taken], 1)
    ]


def _opus(data: bytes, block: np.void, blocks: list[np.void], name: str, step: str) -> Spectrum:
    """The spectrum of a block, by the parameters of its kind."""
    for first, count, plain, said in _UNLIKE:
        if _bits(block["kind"], first, count) not in plain:
            raise ReadError(f"the {name} is {said}; expected one plain spectrum; {_EXPORT}")
    own = [other for other in blocks if _bits(other["kind"] ^ block["kind"], 0, 22) == 1 << 4]
    found = [[_opus_parameters(data, other).get(key) for key in _NEEDED] for other in own]
    values = {tuple(row) for row in found if all(map(isinstance, row, _NEEDED.values()))}
    if len(values) != 1:
        raise ReadError(f"has {len(values)} sets of parameters ({', '.join(_NEEDED)}) of the {name}; expected one")
    points, first, last, stored, factor, unit = values.pop()
    if unit not in _OPUS_X:
        raise ReadError(f"the axis is in the OPUS unit {unit[:10]!r}; expected {' or '.join(_OPUS_X)}; {_EXPORT}")
    if stored not in (1, 2) or not 0 <= points <= block["words"]:
        raise ReadError(f"announces {points:,} values of the kind {stored} in a block of {block['words']:,} words")
    y = finite(_numbers(data, "<f4" if stored == 1 else "<i4", int(block["start"]), points), "the file")
    titles = [_opus_parameters(data, other).get("SNM") for other in blocks if _bits(other["kind"], 4, 6) == 10]
    meta = {"title": titles[0]} if any(titles) else {}
    return Spectrum(_axis(first, last, points), factor * y, _OPUS_X[unit], name, "ir", meta, steps=(step,))


def _opus_parameters(data: bytes, block: np.void) -> dict[str, int | float | str]:
    """Parameters by name: integers, floats and texts."""
    found: dict[str, int | float | str] = {}
    at, end = int(block["start"]), min(int(block["start"]) + 4 * int(block["words"]), len(data))
    while 0 <= at <= end - 8 and (name := data[at : at + 3]) != b"END":
        kind, size = (int.from_bytes(data[at + i : at + i + 2], "little") for i in (4, 6))
        value = data[at + 8 : min(at + 8 + 2 * size, end)]
        if kind < 2 and len(value) >= (4, 8)[kind]:
            found[name.decode("latin-1")] = np.frombuffer(value, ("<i4", "<f8")[kind], 1)[0].item()
        elif kind > 1:
            found[name.decode("latin-1")] = _text(value)
        at += 8 + 2 * size
    return found


# ---- Thermo OMNIC: a directory of sections

_SECTION = np.dtype([("key", "<u2"), ("start", "<u4"), ("bytes", "<u4")])
_OMNIC = np.dtype([("", "V4"), ("points", "<u4"), ("x", "<u4"), ("y", "<u4"), ("first", "<f4"), ("last", "<f4")])
_DESCRIPTION, _VALUES = 2, 3  # sections
_OMNIC_X = {1: "1/cm", 3: "nm", 4: "um"}
_OMNIC_Y = {16: "percent transmittance", 17: "absorbance"}
_NO_OMNIC_X = {2: "in points of an interferogram", 32: "a Raman shift"}
_NO_OMNIC_Y = {11: "reflectance", 12: "log(1/R)", 15: "a single beam", 20: "Kubelka-Munk", 21: "reflectance"}
_NO_OMNIC_Y |= {22: "a detector signal", 26: "photoacoustic", 31: "Raman intensities"}


def read_omnic(data: bytes) -> Spectrum:
    """The spectrum of a Thermo OMNIC .spa file."""
    sections: dict[int, np.void] = {}
    for at in range(304, 304 + 16 * _MOST_BLOCKS, 16):
        section = _record(data, _SECTION, at, "a section of an OMNIC .spa file")
        if (key := int(section["key"]) % 256) in (0, 1):
            break
        if key in (_DESCRIPTION, _VALUES) and key in sections:
            raise ReadError(f"holds several spectra; save the wanted one alone, or {_EXPORT}")
        sections[key] = section
    if not {_DESCRIPTION, _VALUES} <= sections.keys():
        raise ReadError(f"holds no spectrum (sections {_DESCRIPTION} and {_VALUES} of a .spa file); {_EXPORT}")
    head = _record(data, _OMNIC, int(sections[_DESCRIPTION]["start"]), "the description of the spectrum")
    x_unit = _looked_up(int(head["x"]) % 256, _OMNIC_X, _NO_OMNIC_X, "the axis is")
    y_unit = _looked_up(int(head["y"]) % 256, _OMNIC_Y, _NO_OMNIC_Y, "the values are")
    points, place = int(head["points"]), sections[_VALUES]
    if place["bytes"] != 4 * points:
        raise ReadError(f"announces {points:,} points in {place['bytes']:,} bytes; expected 4 bytes of each")
    y, x = _numbers(data, "<f4", int(place["start"]), points), _axis(head["first"], head["last"], points)
    steps = [f"{y_unit} read, {points:,} points"]
    if blanked := int(np.isnan(y).sum()):
        steps.append(f"{blanked:,} points that hold no value left out")
    x, y = x[~np.isnan(y)], finite(y[~np.isnan(y)], "the file")
    meta = {"title": title} if (title := _text(data[30:286])) else {}
    return Spectrum(x, y, x_unit, y_unit, "ir", meta, steps=tuple(steps))


# ---- GRAMS (Galactic): a header of 512 bytes, positions if they are uneven, a header of 32 bytes, values

_GRAMS = np.dtype(
    {
        "names": "flags version technique exponent points first last spectra x y labels log changes".split(),
        "formats": "u1 u1 u1 i1 <u4 <f8 <f8 <u4 u1 u1 S30 <u4 <u4".split(),
        "offsets": [0, 1, 2, 3, 4, 8, 16, 24, 28, 29, 218, 248, 252],
        "itemsize": 512,
    }
)
_SHORT, _LABELLED, _EACH_ITS_X, _UNEVEN = 1, 1 << 5, 1 << 6, 1 << 7  # flags
_DERIVED = 1 << 4  # of the changes
_FLOAT = -128  # exponent
_VERSIONS = {0x4C: "with the high byte first", 0x4D: "in the older format of Lab Calc", 0xCF: "of Shimadzu"}
_TECHNIQUES = {0: None, 4: "ir"}  # 0 may be anything
_NO_TECHNIQUES = {1: "a gas chromatogram", 2: "a chromatogram", 3: "a chromatogram", 5: "a near infrared spectrum"}
_NO_TECHNIQUES |= {7: "a UV/VIS spectrum", 9: "a mass spectrum", 10: "an NMR spectrum", 11: "a Raman spectrum"}
_NO_TECHNIQUES |= {8: "an X-ray pattern", 12: "a fluorescence spectrum", 13: "an atomic spectrum", 14: "a chromatogram"}
_GRAMS_X = {0: (), 1: ("1/cm",), 2: ("um",), 3: ("nm",)}  # what a label may say, without a label the first
_GRAMS_Y = {0: (), 2: ("absorbance",), 11: ("", "percent transmittance")}
_GRAMS_Y[128] = ("transmittance", "percent transmittance")
_NO_GRAMS_X = {4: "in seconds", 5: "in minutes", 6: "in Hz", 9: "m/z", 10: "in ppm", 13: "a Raman shift"}
_NO_GRAMS_Y = {1: "an interferogram", 3: "Kubelka-Munk", 4: "counts", 5: "volts", 10: "log(1/R)", 12: "intensities"}
_NO_GRAMS_Y |= {13: "relative intensities", 129: "reflectance", 130: "a single beam", 131: "emission"}


def read_grams(data: bytes) -> Spectrum:
    """The spectrum of a GRAMS .spc file, of no stated kind where the file does not say that it is infrared."""
    head = _record(data, _GRAMS, 0, "the header of a .spc file")
    _looked_up(int(head["version"]), {0x4B: None}, _VERSIONS, "is a .spc file")
    flags, points, exponent = int(head["flags"]), int(head["points"]), int(head["exponent"])
    modality = _looked_up(int(head["technique"]), _TECHNIQUES, _NO_TECHNIQUES, "is")
    if head["spectra"] != 1 or flags & _EACH_ITS_X:
        raise ReadError(f"holds {head['spectra']} spectra or lists of peaks; expected one spectrum; {_EXPORT}")
    if head["changes"] & _DERIVED:
        raise ReadError(f"the spectrum was differentiated or integrated; {_EXPORT}")
    labels = [_text(label) for label in data[218:248].split(b"\0")] if flags & _LABELLED else []
    x_label, y_label = (*labels, "", "")[:2]
    x_units = _looked_up(int(head["x"]), _GRAMS_X, _NO_GRAMS_X, "the axis is")
    y_units = _looked_up(int(head["y"]), _GRAMS_Y, _NO_GRAMS_Y, "the values are")
    x_unit = _labelled("axis", x_units, x_label, x_unit_of(x_label))
    y_unit = _labelled("values", y_units, y_label, y_unit_of(y_label))
    kind = np.dtype("<f4" if exponent == _FLOAT else "<i2" if flags & _SHORT else "<i4")
    start = 512 + 4 * points * bool(flags & _UNEVEN)
    own = int.from_bytes(data[start + 1 : start + 2], signed=True)
    if own not in (0, exponent):
        raise ReadError(f"gives the exponents {exponent} and {own} of one spectrum; expected them to agree")
    y = finite(_numbers(data, kind, start + 32, points), "the file")
    if 0 < head["log"] < start + 32 + points * kind.itemsize:
        raise ReadError(f"announces {points:,} points, which its log at byte {head['log']:,} leaves no room for")
    if exponent != _FLOAT:
        y = np.ldexp(y, exponent - 8 * kind.itemsize)
    even = not flags & _UNEVEN
    x = _axis(head["first"], head["last"], points) if even else finite(_numbers(data, "<f4", 512, points), "the axis")
    meta = {"title": title} if (title := _text(data[88:218])) else {}
    return Spectrum(x, y, x_unit, y_unit, modality, meta, steps=(f"{y_unit} read, {points:,} points",))


def _labelled(what: str, coded: tuple[str, ...], label: str, labelled: str | None) -> str:
    """The unit of a label, which must be one that the code allows, or the one of the code where there is no label."""
    unit = labelled if label else (*coded, "")[0]
    if not unit or "raman" in label.lower():
        raise ReadError(f"the unit of the {what} is not stated, not known or not of infrared ({label!r}); {_EXPORT}")
    if coded and unit not in coded:
        raise ReadError(f"the {what} are said to be {' or '.join(coded)}, but in the label {label!r}; {_EXPORT}")
    return unit

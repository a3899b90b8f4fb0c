"""Peak lists as they are typed or copied from the experimental part of a paper."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from symspectra.errors import ReadError
from symspectra.modalities import KINDS
from symspectra.spectra.readers.multiplicity import carbon, proton
from symspectra.spectra.spectrum import Spectrum

_NUMBER = r"[+-]?\d+(?:\.\d+)?"
_PEAK = re.compile(rf"({_NUMBER})(?:\s*(?:-|to\b)\s*({_NUMBER}))?(?:\s*ppm\b)?\s*")
_INNER = re.compile(r"\([^()]*\)")
_PAIR = re.compile(r"(\d+(?:\.\d+)?)(?:\s*[:,]\s*|\s+)(\d+(?:\.\d+)?)\s*%?")
_HEAD = re.compile(r"\s*(?:(1|13)\s*\{?\s*([HC])\b[^()\d]{0,12})?.{0,20}?\bNMR\b\s*", re.IGNORECASE)
_DELTA = re.compile(r"[\s:,=.]*(?:(?:δ|delta|d)\s*_?[HC]?\s*)?(?:\(?\s*(?:in\s+)?ppm\s*\)?)?[\s:=,]*", re.IGNORECASE)
_MASS_HEAD = re.compile(r".{0,60}?\bm/z\b\s*(?:\([^()\d]*\))?[\s:=,]*", re.IGNORECASE | re.DOTALL)
_MAX_CHARACTERS = 50_000
_PLAIN = str.maketrans("‐‑‒–—−\N{NO-BREAK SPACE}×[]⁰¹²³⁴⁵⁶⁷⁸⁹₀₁₂₃₄₅₆₇₈₉", "------ x()01234567890123456789")


def parse_peaks(text: str, modality: str) -> Spectrum:
    """A list of peaks from text.

    1H: ``7.26 (m, 5H), 3.70 (q, J = 7.0 Hz, 2H)``; 13C: ``170.9, 128.5 (2C), 60.4 (CH2)``; mass spectra:
    ``43.0:100 58.1:35``, ``43.0 100; 58.1 35`` or ``77.04 (100), 51.02 (35)``. A heading such as
    ``1H NMR (400 MHz, CDCl3) δ`` is understood.

    Parameters
    ----------
    text : the list
    modality : ``h1``, ``c13``, ``msms_pos`` or ``msms_neg``

    Returns
    -------
    Positions in ppm or m/z; values are numbers of hydrogen or carbon atoms, or intensities. ``meta`` of 1H has
    ``couplings`` (`symspectra.spectra.lines.multiplet`) and ``broad``, that of 13C ``attached`` (hydrogen atoms on
    each carbon, or None), one entry per peak; both have ``solvent`` and ``frequency_mhz`` where given.

    Raises
    ------
    ReadError : a piece of the text cannot be read, or a position is outside the range of its spectrum.
    """
    if modality == "ir" or modality not in KINDS:
        raise ReadError(f"typed peaks of {modality!r} are not read; expected h1, c13, msms_pos or msms_neg")
    if len(text) > _MAX_CHARACTERS:
        raise ReadError(f"the text has {len(text):,} characters; expected at most {_MAX_CHARACTERS:,}")
    plain = text.translate(_PLAIN)
    return _shifts(plain, modality) if KINDS[modality].nucleus else _masses(plain, modality)


def looks_like_peaks(text: str) -> bool:
    """Whether a text is a typed list of peaks rather than the name of a file."""
    text = text[:_MAX_CHARACTERS].translate(_PLAIN).strip()
    if re.search(r"\.[A-Za-z]\w{1,5}$", text) or not re.search(r"\d", text):
        return False
    if re.fullmatch(r"[\d\s.,;:()%+-]+", text):
        return True
    return bool(
        re.match(rf"{_NUMBER}\s*(?:[,;:(]|-\s*\d|\s\d)", text)
        or re.match(r"(?:1|13)\s*[HC](?:\{1H\})?[\s-]*NMR\b.*\d", text, re.IGNORECASE | re.DOTALL)
        or re.match(r"(?:(?:MS|LRMS|HRMS)\b.{0,40}?)?(?:δ|m/z\b)[^\d]{0,20}\d", text)
    )


def _shifts(text: str, modality: str) -> Spectrum:
    text, meta = _heading(" ".join(text.split()), modality)
    outside = _INNER.sub("", _INNER.sub("", text))
    if re.search(r"(?<![\d.])\d+,\d", outside):  # 170,9 may be one number or two
        raise ReadError(
            f"commas stand between digits in {text[:40]!r}; expected points as decimal marks and a blank after a comma"
        )
    low, high = KINDS[modality].limits
    signals, steps = [], []
    for first, last, remark in _items(text):
        position = float(first) if last is None else round((float(first) + float(last)) / 2, 6)
        for end in (first, last or first):
            if not low <= float(end) <= high:
                raise ReadError(f"the peak at {end[:40]} is outside {low:g} to {high:g} ppm")
        signals.append((proton if modality == "h1" else carbon)(position, remark))
        steps += signals[-1].steps
    if not signals:
        raise ReadError(f"no peak is in {text[:40]!r}; expected numbers in ppm")
    if modality == "c13":
        meta["attached"] = [signal.attached for signal in signals]
    else:
        meta["couplings"] = [signal.couplings for signal in signals]
        meta["broad"] = [signal.broad for signal in signals]
        if bare := [f"{signal.position:g}" for signal in signals if not signal.atoms_given]:
            more = " ..." * (len(bare) > 8)
            steps.append(f"no number of hydrogens given at {', '.join(bare[:8])}{more}: 1 taken")
    x, y = [signal.position for signal in signals], [signal.atoms for signal in signals]
    return Spectrum(x, y, "ppm", "intensity", modality, meta, True, (f"list of peaks read ({len(signals)})", *steps))


def _heading(text: str, modality: str) -> tuple[str, dict[str, Any]]:
    """The text after the heading, and the solvent and frequency that the heading names."""
    meta: dict[str, Any] = {"format": "typed peak list"}
    match = _HEAD.match(text[:100])
    if match:
        nucleus = KINDS[modality].nucleus
        if match[2] and match[2].upper() != nucleus[-1]:
            raise ReadError(f"the text says {match[0].strip()!r}; expected {nucleus} NMR")
        text = text[match.end() :]
    conditions = ""
    if text.startswith("(") and (match or "MHz" in text[:60]):
        conditions, text = _bracket(text)
    elif match and "δ" in text:
        conditions, _, text = text.partition("δ")
    for part in re.split(r"[,;]", conditions):
        if frequency := re.search(r"(\d{1,5}(?:\.\d{1,9})?)\s*MHz", part):
            meta["frequency_mhz"] = float(frequency[1])
        elif re.match(r"\s*[A-Za-z]|\s*\d+\s*%", part) and "solvent" not in meta:
            meta["solvent"] = part.strip()
    return text[_DELTA.match(text).end() :], meta


def _bracket(text: str) -> tuple[str, str]:
    """The inside of the bracket that a text begins with, and what follows it."""
    depth = 0
    for i, letter in enumerate(text):
        depth += (letter == "(") - (letter == ")")
        if depth == 0:
            return text[1:i], text[i + 1 :].lstrip()
    raise ReadError(f"the bracket {text[:40]!r} is not closed")


def _items(text: str) -> Iterator[tuple[str, str | None, str]]:
    """First and last position and the remark of each peak."""
    while text := text.lstrip(" ,;").removeprefix("and ").removeprefix("& "):
        match = _PEAK.match(text)
        if match is None:
            if text in (".", "ppm", "ppm."):
                return
            raise ReadError(f"{text[:40]!r} cannot be read; expected a peak such as 7.26 or 7.26 (m, 5H)")
        text, remarks = text[match.end() :], []
        while text.startswith("("):
            remark, text = _bracket(text)
            remarks.append(remark)
        yield match[1], match[2], ", ".join(remarks)


def _masses(text: str, modality: str) -> Spectrum:
    head = _MASS_HEAD.match(text)
    text = (text[head.end() :] if head else text).strip().rstrip(".").strip()
    pairs, remarks = _bracketed_masses(text) if "(" in text else (_plain_masses(text), [])
    if not pairs:
        raise ReadError(f"no peak is in {text[:40]!r}; expected m/z and intensity, such as 43.0:100 58.1:35")
    _, most = KINDS[modality].limits
    for mz, _ in pairs:
        if not 0 < float(mz) <= most:
            raise ReadError(f"the peak at m/z {mz[:40]} is outside 0 to {most:g}")
    steps = [f"list of peaks read ({len(pairs)})"]
    if remarks:
        steps.append(f"remarks not used: {', '.join(remarks[:8])}")
    x, y = zip(*(map(float, pair) for pair in pairs), strict=True)
    return Spectrum(x, y, "m/z", "intensity", modality, {"format": "typed peak list"}, True, tuple(steps))


def _plain_masses(text: str) -> list[tuple[str, str]]:
    """Pairs between semicolons or on lines, or pairs joined by colons."""
    if re.search(r"[;\n]", text):
        chunks = [chunk.strip(" ,") for chunk in re.split(r"[;\n]", text) if chunk.strip(" ,")]
    else:
        joined = re.sub(r"\s*:\s*", ":", text)
        chunks = re.split(r"[,\s]+", joined) if ":" in joined else [text]
    pairs = []
    for chunk in chunks:
        match = _PAIR.fullmatch(chunk)
        if match is None or ("," in chunk and len(chunks) == 1):
            raise ReadError(f"{chunk[:40]!r} cannot be read; expected m/z and intensity, such as 43.0:100 58.1:35")
        pairs.append((match[1], match[2]))
    return pairs


def _bracketed_masses(text: str) -> tuple[list[tuple[str, str]], list[str]]:
    """Pairs written as 77.04 (100), and other remarks in the brackets."""
    pairs, remarks = [], []
    for mz, last, remark in _items(text):
        parts = [part.strip() for part in remark.split(",")]
        heights = [part.rstrip("% ") for part in parts if re.fullmatch(r"\d+(?:\.\d+)?\s*%?", part)]
        if last is not None or len(heights) != 1:
            raise ReadError(f"{f'{mz} ({remark})'[:40]!r} cannot be read; expected one intensity, such as 77.04 (100)")
        pairs.append((mz, heights[0]))
        remarks += [part[:40] for part in parts if part.rstrip("% ") != heights[0]]
    return pairs, remarks

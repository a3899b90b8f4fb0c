"""What the names of columns say about units."""

from __future__ import annotations

import re

from symspectra.spectra.spectrum import X_UNITS, Y_UNITS, unit


def _plain(name: str) -> str:
    for old, new in (("⁻¹", "-1"), ("[", "("), ("]", ")"), ("{", "("), ("}", ")"), ("_", " "), ('"', ""), ("'", "")):
        name = name.replace(old, new)
    return " ".join(name.split()).lower()


def _parts(name: str) -> tuple[str, str]:
    """What a column is called and what stands in brackets, after a slash or as the last word."""
    match = re.fullmatch(r"([^()]*)\(([^()]*)\)", name) or re.fullmatch(r"([^/]+)/ ?(.+)", name)
    match = match or re.fullmatch(r"(.+) (\S+)", name)
    return (match[1].strip(), match[2].strip()) if match else (name, "")


def x_unit_of(name: str) -> str | None:
    """The key of `X_UNITS` that the name of a column stands for, such as ``Wavenumber [cm-1]``; None if none."""
    name = _plain(name)
    label, inside = _parts(name)
    found = unit(name, X_UNITS) or unit(inside, X_UNITS)
    if found is None and (not inside or inside in ("da", "th", "amu", "u")):
        found = unit(label, X_UNITS)
    return found


def y_unit_of(name: str) -> str | None:
    """The key of `Y_UNITS` that the name of a column stands for, such as ``Transmittance (%)``; None if none."""
    name = _plain(name)
    label, inside = _parts(name)
    label = "" if len(label) == 1 and inside not in ("", "%") else label  # T (K) is no transmittance
    found = unit(name, Y_UNITS) or unit(label, Y_UNITS) or unit(inside, Y_UNITS)
    if "%" in name or "percent" in name:
        return {"transmittance": "percent transmittance", "absorbance": None}.get(found, found)
    return found


def pairs_of(line: str) -> list[tuple[str, str]]:
    """A line of the header as two names, in every way that its separators allow."""
    line = line.strip().lstrip("#/%!;").strip()[:400]
    pairs = []
    for separator in "\t;,":
        parts = [part.strip(" \"'") for part in line.rstrip(separator).split(separator)]
        if len(parts) == 2:
            pairs.append((parts[0], parts[1]))
    words = line.split()
    return pairs + [(" ".join(words[:i]), " ".join(words[i:])) for i in range(1, min(len(words), 8))]

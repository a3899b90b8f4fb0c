"""A paragraph of an experimental section: split at its headings, each part read or named as not understood."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter

from symspectra.errors import ReadError
from symspectra.spectra.formula import atoms_of, parse_formula
from symspectra.spectra.readers.peak_lists import parse_peaks
from symspectra.spectra.spectrum import Spectrum

_PARTS = {
    "h1": r"(?:1 ?H[ -]*(?:\{[^}]*\})?[ -]*NMR|H-1[ -]*NMR|δ_?H\b)",
    "c13": r"(?:13 ?C[ -]*(?:\{[^}]*\}|\(1H\))?[ -]*NMR|C-13[ -]*NMR|δ_?C\b)",
    "ir": r"(?:FT-?|ATR-?)?IR\b",
    "exact mass": r"HR-?(?:[A-Z]+-?)*MS\b|(?:[A-Z]+-)*HRMS\b",
    "elemental analysis": r"(?:Elem(?:ental)?\.? ?)?Anal(?:\.|ysis)?(?= ?Calc| ?Found| ?\()",
    "": r"(?:2 ?H|7 ?Li|11 ?B|15 ?N|19 ?F|29 ?Si|31 ?P|77 ?Se)[ -]*(?:\{[^}]*\})?[ -]*NMR"
    r"|(?:LR|GC-?|LC-?|ESI-?|EI-?)*MS\b|m\.?p\.?(?= |:)|b\.?p\.?(?= |:)|Rf\b|R_f\b|\[α\]|UV(?:-?vis)?\b|Raman\b",
}
_HEADING = re.compile("|".join(f"(?P<p{i}>(?<![\\w-]){pattern})" for i, pattern in enumerate(_PARTS.values())))
_MASSES = {"H": 1.00782503, "C": 12.0, "N": 14.0030740, "O": 15.9949146, "F": 18.9984032, "Na": 22.9897693}
_MASSES |= {"P": 30.9737620, "S": 31.9720712, "Cl": 34.9688527, "K": 38.9637065, "Br": 78.9183376, "I": 126.904473}
_ELECTRON, _EXACT = 0.00054858, 0.003  # Da
_ADDUCT = re.compile(
    r"\[ ?M ?(?:([+–-]) ?(H|Na|K|NH4))? ?\](?:\+|–|-|•|·)+|(?<![\w\[])M([+–-])(H|Na|K|NH4)\b|(?<!\w)M\+"
)


def read_paragraph(text: str) -> tuple[dict[str, Spectrum], list[str]]:
    """The spectra of a compound and, from its exact mass or analysis, its formula; and what was not used, with reasons.

    >>> spectra, unused = read_paragraph("1H NMR (400 MHz, CDCl3) 2.17 (s, 6H); 13C NMR (CDCl3) 206.7, 30.9; mp -95 °C")
    >>> sorted(spectra), unused
    (['c13', 'h1'], ["'mp -95 °C' is not used"])

    Raises
    ------
    ReadError : no part can be read.
    """
    plain = unicodedata.normalize("NFKC", text).replace("−", "-").replace("‐", "-")
    starts = list(_HEADING.finditer(plain))
    ends = [*(match.start() for match in starts), len(plain)][1:]
    spectra: dict[str, Spectrum] = {}
    unused: list[str] = []
    for match, end in zip(starts, ends, strict=True):
        kind = list(_PARTS)[int(match.lastgroup[1:])]
        part = plain[match.start() : end].strip(" \t\r\n.;,:")
        shown = " ".join(part.split())[:50]
        name = "formula" if kind in ("exact mass", "elemental analysis") else kind
        try:
            if not kind:
                raise ReadError("")
            if name in spectra:
                raise ReadError(f"a second {name} was found")
            spectra[name] = _formula(part, kind) if name == "formula" else parse_peaks(part, name)
        except ReadError as error:
            unused.append(f"{shown!r} is not used" + (f": {error}" if str(error) else ""))
    if not spectra:
        reason = f" ({'; '.join(unused[:3])})" if unused else ""
        raise ReadError(
            f"no spectrum can be read from the text; expected parts such as 1H NMR (400 MHz) 7.26 (s){reason}"
        )
    return spectra, unused


def _formula(part: str, kind: str) -> Spectrum:
    """The formula of the neutral molecule: that of an analysis, or what an ion's exact mass bears out."""
    found = re.search(r"(?<![A-Za-z])C\d*H\d*(?:[A-Z][a-z]?\d*)*", part)
    if found is None:
        raise ReadError("no formula is in it")
    if kind == "elemental analysis":
        return parse_formula(found[0])
    adduct, printed = _ADDUCT.search(part), [float(mass) for mass in re.findall(r"\d{2,4}\.\d{3,6}", part)]
    if adduct is None or not printed:
        raise ReadError("which ion the formula is of is not said with its mass")
    sign, added = adduct[1] or adduct[3] or "+", adduct[2] or adduct[4]
    change = Counter() if added is None else atoms_of(added)
    if sign != "+":
        change = Counter({element: -number for element, number in change.items()})
    charge = -1 if sign != "+" and added else 1
    given = atoms_of(found[0])
    for neutral in (given, Counter({e: given[e] - change[e] for e in given | change})):
        ion = {element: neutral[element] + change[element] for element in neutral | change}
        if not set(ion) <= set(_MASSES) or min(neutral.values()) < 0:
            continue
        mass = sum(_MASSES[element] * number for element, number in ion.items()) - charge * _ELECTRON
        if any(abs(mass - value) < _EXACT for value in printed):
            return parse_formula("".join(f"{element}{number}" for element, number in neutral.items() if number))
    raise ReadError(f"{found[0]} does not have the mass that is printed with it")

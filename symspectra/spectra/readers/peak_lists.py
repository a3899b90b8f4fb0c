"""Lists of peaks as papers print them and as chemists type or paste them: one grammar for NMR, mass and infrared.

1. Signs of every typography are one: full-width, raised and lowered letters, dashes, brackets, ends of lines.
2. The heading is what stands before the first number that is no part of a word, of a bracket or of a unit. Nucleus,
   experiment and polarity that it names must be those that are asked for.
3. A peak is a number, or two joined by a dash (a range, no wider than one signal is), and the brackets behind it. A
   dash behind a blank, a separator or an end of a line and before a digit is a minus.
4. No separator means two things. Between numbers without brackets one stands throughout: the comma, the semicolon, the
   end of the line or, where there is no bracket, the blank; and no column of counts or of atom numbers is among them.
   In a mass spectrum one stands between m/z and intensity, another one between the pairs.
5. A comma between two whole numbers without a blank may be a decimal comma: it is refused where a number is read.
6. In a bracket, commas separate number of atoms, multiplicity and coupling constants, or strength and breadth of a
   band; the rest is an assignment, and the steps say that it is not used.
7. Whatever else there is, is refused.
"""

from __future__ import annotations

import re
import unicodedata
from itertools import pairwise
from typing import Any, NamedTuple

from symspectra.errors import ReadError
from symspectra.modalities import KINDS
from symspectra.spectra.formula import parse_formula
from symspectra.spectra.spectrum import Spectrum

USUAL_HZ = 7.0  # vicinal coupling in an alkyl chain, where a list gives none
WIDEST = {"h1": 1.0, "c13": 5.0, "ir": 800.0}  # range of one signal, ppm or 1/cm; twice that where it is called broad
#: Letters for the strength of a band, weakest first; the value of a band is the place of its letters, 1 to 5.
STRENGTHS = ("vw", "w", "m", "s", "vs")
_BANDS = (100.0, 10_000.0)  # 1/cm
_MAX_CHARACTERS, _MAX_HZ, _MAX_LETTERS, _MAX_ATOMS = 50_000, 1000.0, 6, 1000.0
_MAX_WORDS = 4  # of a heading, beside those that are known

# ---- the signs that the grammar knows

_PLAIN = str.maketrans(
    "‐−‒—×[]{}、\u2028\u2029", "--––x()(),\n\n", "\u0303"
)  # – stays: it is a range more often than a minus
_NUMBER = r"[+–-]?\d+(?:\.\d+)?"
_RANGE = r"(?:[–-] *| +[–-] +| to )"
_BRACKET = r"\((?:[^()]++|\((?:[^()]++|\([^()]*+\))*+\))*+\)"
_AMBIGUOUS = r"(?<![\d.])\d+,(?=\d+(?!\.?\d))"  # 170,9 may be one number or two
_UNSPLIT = "\N{SINGLE LOW-9 QUOTATION MARK}"  # stands for such a comma inside a bracket

# ---- headings

_NUCLEUS = (
    r"(?<![\w.])(?:[123]\s?-?H|7\s?-?Li|1[01]\s?-?B|13\s?-?C|1[45]\s?-?N|17\s?-?O|19\s?-?F|29\s?-?Si|31\s?-?P|77\s?-?Se"
    r"|119\s?-?Sn|195\s?-?Pt|H-1|H-2|B-11|C-13|N-15|F-19|Si-29|P-31)(?!\w)"
)
_SYMBOLS = {"H": "1H", "C": "13C", "P": "31P", "F": "19F", "B": "11B", "N": "15N", "D": "2H", "Si": "29Si"}  # δP
_SYMBOL = r"(?:δ|(?<![\w-])d)_?(Si|[HCPFBND])(?![a-z])"
_DELTA = rf"{_SYMBOL.replace('(Si', '(?:Si')}|δ|(?<![\w-])d(?:elta)?(?=[\s,:=(]*(?:[–-]?\d|ppm|\())|ppm(?!\w)"
_EXPERIMENT = "HSQC|HMQC|HMBC|COSY|NOESY|ROESY|TOCSY|DOSY|INADEQUATE|INEPT|DEPT|(?<![A-Z])APT(?![A-Z])|Raman"
_KEYS = {
    "NMR": rf"{_NUCLEUS}|(?i:(?<![a-z])NMR)|{_EXPERIMENT}|{_DELTA}",
    "mass": r"m/z|(?<![A-Za-z])(?:[A-Z-]{0,6}MS\d?|ESI|APCI|MALDI|FAB|EI)(?![A-Za-z])",
    "infrared": r"(?i:(?<![a-z])(?:(?:FT-?)?IR(?![a-z])|ATR)|infrared|wavenumbers?|cm-1)|[νυ]|(?<!\w)v(?:max)?(?!\w)",
}
_ANY_KEY = "|".join(_KEYS.values())
_LABEL = rf"(?:{_BRACKET}[+–-]?\W{{0,3}})?(?:[A-Za-z ]{{0,20}}\d{{1,3}}[a-z]?[:.]?\s+)?(?:\d+\s?MHz\W*)?"
_KEY = "|".join(f"(?P<{name}>{pattern})" for name, pattern in _KEYS.items())
_HEAD = re.compile(rf"\s*(?:{_LABEL})?[^\d()/\\]{{0,20}}?(?:{_KEY})")
_UNIT = r"\d+(?:\.\d+)?[ -]?(?:MHz\b|Hz\b|K\b|°\s?C\b|[km]?eV\b|k?V\b|m?M\b|%)"
_WORD = r"(?![δνυ])[^\W\d_][^\s,;:=()δ]*"
_CONDITIONS = re.compile(rf"(?:[\s,;:=*]|\.(?!\d)|[+–-](?!\d)|/(?=ppm|cm|MS)|{_BRACKET}|{_ANY_KEY}|{_UNIT}|{_WORD})*+")
_POLARITY = {
    name: rf"\b{name[:3]}(?:itive|ative)?\b|(?<=[A-Z)(]){sign}(?=[\s,;:)]|$)|{sign}(?=\s*[,;)])"
    for name, sign in (("positive", r"\+"), ("negative", "-"))
}

# ---- peaks

_WORDS = {"NMR": r"ppm\b", "mass": "%", "infrared": r"(?:vs|vw|[smw]|br|sh|broad|strong|medium|weak)\b\.?"}
_PEAK = {
    kind: re.compile(
        rf"(?P<separator>[\s,;:]*(?:(?:and|&)\s+)?)(?P<first>{_NUMBER})(?:{_RANGE}(?P<last>{_NUMBER}))?"
        rf"(?P<said>(?:[ ]*(?:{words}))*+(?:\s*{_BRACKET})*+)"
    )
    for kind, words in _WORDS.items()
}
_EXPECTED = {
    "NMR": "a peak such as 7.26 or 7.26 (m, 5H)",
    "mass": "m/z and intensity, such as 43.0:100 58.1:35 or 43.0 (100), 58.1 (35)",
    "infrared": "a band such as 1715 or 1715 (s)",
}
_ONE_SEPARATOR = (
    "expected one separator throughout, a comma or a line per peak, counts as in 4.12 (2H), and no numbers of atoms"
)


class _Peak(NamedTuple):
    """A peak as it is written."""

    separator: str  #: before it: one of "", ",", ";", ":", a blank or the end of a line
    first: str
    last: str | None
    remark: str
    ends: tuple[float, float]  #: its position twice, where it is no range

    @property
    def position(self) -> float:
        return round(sum(self.ends) / 2, 6)


class _Said(NamedTuple):
    """What the bracket behind a peak says."""

    value: float | None  #: atoms, or strength; None where not stated
    meta: dict[str, Any]
    unused: list[str]
    assumed: list[str]


def parse_peaks(text: str, modality: str) -> Spectrum:
    """A list of peaks from text.

    1H: ``7.26 (m, 5H), 3.70 (q, J = 7.0 Hz, 2H)``; 13C: ``170.9, 128.5 (2C), 60.4 (CH2)``; mass spectra:
    ``43.0:100 58.1:35``, ``43.0 100; 58.1 35`` or ``77.04 (100), 51.02 (35)``; infrared: ``3400-3200 (br), 1715 (vs)``.
    A heading such as ``1H NMR (400 MHz, CDCl3) δ`` is understood, and held against what is asked for.

    Parameters
    ----------
    text : the list
    modality : one of `symspectra.modalities.KINDS`; a molecular formula is read by `parse_formula`

    Returns
    -------
    Positions in ppm, m/z or 1/cm, of a range its middle; values are numbers of hydrogen or carbon atoms, intensities,
    or strengths of bands (1 very weak to 5 very strong, 3 where not stated). ``meta`` has one entry per peak in
    ``couplings`` (`symspectra.spectra.lines.multiplet`) and ``broad`` for 1H, ``attached`` (hydrogen atoms on each
    carbon, or None) for 13C, ``strengths`` (of `STRENGTHS`, or None), ``widths`` (of a range, 1/cm, else 0) and
    ``broad`` for infrared; and ``solvent``, ``frequency_mhz`` and ``ionisation`` where given.

    Raises
    ------
    ReadError : a piece of the text cannot be read, or may mean two things; a position is outside the range of its
        spectrum; the text says that it is another spectrum.
    """
    if modality == "formula":
        return parse_formula(text)
    if modality not in KINDS:
        raise ReadError(f"typed peaks of {modality!r} are not read; expected one of {', '.join(KINDS)}")
    if len(text) > _MAX_CHARACTERS:
        raise ReadError(f"the text has {len(text):,} characters; expected at most {_MAX_CHARACTERS:,}")
    if raised := re.search(r"[0-9.][⁰¹²³⁴-⁹₀-₉]", text):
        raise ReadError(f"a raised or lowered digit follows a number in {text[max(raised.start() - 10, 0) :][:20]!r}")
    plain = _plain(text)
    kind = "NMR" if KINDS[modality].nucleus else "infrared" if modality == "ir" else "mass"
    heading, meta = _heading(plain, modality, kind)
    peaks = _peaks(plain[heading:], modality, kind)
    steps = [f"list of peaks read ({len(peaks)})"]
    if kind == "mass":
        x, y, remarks = _masses(peaks)
        steps = [f"list of peaks read ({len(x)})", *[f"remarks not used: {', '.join(remarks[:8])}"] * bool(remarks)]
    else:
        read, what, otherwise = _READ[modality]
        said, x = [read(peak) for peak in peaks], [peak.position for peak in peaks]
        y = [otherwise if one.value is None else one.value for one in said]
        meta |= {name: [one.meta[name] for one in said] for name in said[0].meta}
        for at, one in zip(x, said, strict=True):
            unused = ", ".join(part[:40].replace(_UNSPLIT, ",") for part in one.unused[:8])
            steps += [*one.assumed, *[f"remarks at {at:g} not used: {unused}"] * bool(unused)]
        if what and (bare := [f"{at:g}" for at, one in zip(x, said, strict=True) if one.value is None]):
            more = " ..." * (len(bare) > 8)
            steps.append(f"no {what} given at {', '.join(bare[:8])}{more}: {otherwise} taken")
    meta = {"format": "typed peak list"} | meta
    return Spectrum(x, y, KINDS[modality].unit, "intensity", modality, meta, True, tuple(steps))


def looks_like_peaks(text: str) -> bool:
    """Whether a text is a typed list of peaks rather than the name of a file."""
    text = _plain(text[:_MAX_CHARACTERS])
    if re.search(r"\.[A-Za-z]\w{0,5}$", text):
        return False
    head = _HEAD.match(text)
    rest = text[_CONDITIONS.match(text, head.end()).end() if head else 0 :]
    behind = rf"\s*(?:$|[,;:(.]|{_WORDS['infrared']}|ppm|cm-1)|{_RANGE}\d|\s+{_NUMBER}"
    return bool(re.match(rf"{_NUMBER}(?:{behind})", rest))


def _plain(text: str) -> str:
    """A text in the signs that the grammar knows; a line that ends or begins with a separator goes on."""
    text = unicodedata.normalize("NFKC", text).translate(_PLAIN).strip()
    text = re.sub(r"\s*[\r\n]\s*", "\n", text).replace("cm–1", "cm-1").replace("cm -1", "cm-1")
    return re.sub(r"(?<=[,;])\n|\n(?=[,;(])|[^\S\n]+", " ", text)


def _heading(text: str, modality: str, kind: str) -> tuple[int, dict[str, Any]]:
    """Where the heading ends, and what it says, which must agree with what is asked for."""
    asked, outside = KINDS[modality], re.sub(_BRACKET, "()", text)
    if not re.search(r"[^\W\d_]", outside):
        return 0, {}
    expected = f"expected a list of {asked.said} peaks"
    if found := re.search(_EXPERIMENT, outside) or re.search(r"DEPT\W?\d+", text):
        raise ReadError(f"the text says {found[0]!r}, which is another experiment; {expected}")
    head = _HEAD.match(text)
    end = _CONDITIONS.match(text, head.end()).end() if head else 0
    heading = re.sub(rf"({_NUCLEUS})\s*-?\s*\(\s*{_NUCLEUS}\s*\)", r"\1", text[:end])  # 13C(1H) is decoupled 13C
    said = re.findall(_NUCLEUS, f"{heading} {outside}")
    nuclei = {re.sub(r"\W", "", re.sub(r"^([A-Z]\w*)-(\d+)$", r"\2\1", name)) for name in said}
    nuclei |= {_SYMBOLS[symbol] for symbol in re.findall(_SYMBOL, heading)}
    if others := sorted(nuclei - {asked.nucleus}):
        raise ReadError(f"the text says {', '.join(others)}; {expected}")
    if head and head.lastgroup != kind:
        raise ReadError(f"the text says {head[head.lastgroup]!r}, as {head.lastgroup} spectra do; {expected}")
    bare = re.sub(_BRACKET, ",", heading)
    if len(re.findall(rf"(?<!\S){_WORD}", re.sub(_ANY_KEY, "", bare))) > _MAX_WORDS:
        raise ReadError(f"{heading[:60]!r} is no heading; {expected}, such as {_EXPECTED[kind]}")
    if kind == "mass":
        return end, _ionisation(heading, modality)
    meta: dict[str, Any] = {}
    conditions = ",".join(bracket[1:-1] for bracket in re.findall(_BRACKET, heading))
    words = ",".join(re.findall(r"(?<!\S)[A-Za-z]\S*\d\w*|\d+\s*MHz", bare))  # DMSO-d6
    for part in re.split(r"[,;]", f"{re.sub(_ANY_KEY, '', conditions)},{re.sub(_ANY_KEY, '', words)}"):
        if frequency := re.search(r"(\d{1,5}(?:\.\d{1,9})?)\s*MHz", part):
            meta["frequency_mhz"] = float(frequency[1])
        elif kind == "NMR" and "solvent" not in meta and re.match(r"\s*[A-Za-z(]|\s*\d+\s*%", part):
            meta["solvent"] = part.strip()
    return end, meta


def _ionisation(heading: str, modality: str) -> dict[str, Any]:
    wanted = "negative" if modality == "msms_neg" else "positive"
    signs = [sign for sign, pattern in _POLARITY.items() if re.search(pattern, heading.replace("–", "-"))]
    if signs not in ([], [wanted]):
        raise ReadError(f"the heading {heading.strip()[:60]!r} says {' and '.join(signs)} ions; expected {wanted} ones")
    if re.search(r"(?<![A-Za-z])EI(?![A-Za-z])|EI-?MS|GC-?MS|[Ee]lectron (?:impact|ioni[sz]ation)", heading):
        if modality != "ei":
            raise ReadError(f"the heading {heading.strip()[:60]!r} says electron ionisation; expected MS/MS, or 'ei'")
        return {"ionisation": "EI"}
    found = re.search(r"ESI|APCI|APPI|MALDI|FAB|MS/?MS", heading)
    if found and modality == "ei":
        raise ReadError(f"the heading {heading.strip()[:60]!r} says {found[0]}; expected electron ionisation")
    return {"ionisation": found[0]} if found else {}


def _peaks(text: str, modality: str, kind: str) -> list[_Peak]:
    """The peaks of a list after its heading; no separator means two things."""
    unit, expected = KINDS[modality].unit, f"expected {_EXPECTED[kind]}"
    low, high = _BANDS if kind == "infrared" else KINDS[modality].limits
    if kind == "infrared":  # whole numbers of three digits and more are bands
        text = re.sub(r"(?<=\d{3}),(?=\d{3})", ", ", text)
    if comma := re.search(_AMBIGUOUS + r"\d+", re.sub(_BRACKET, "()", text)):
        marks = "expected points as decimal marks and a blank after a comma"
        raise ReadError(f"a comma stands between digits in {comma[0][:20]!r}; {marks}")
    peaks, at = [], 0
    while match := _PEAK[kind].match(text, at):
        separator, at = match["separator"], match.end()
        separator = separator.strip(" ")[:1] or separator[:1]
        said = [bracket[1:-1] for bracket in re.findall(_BRACKET, match["said"])] if match["said"] else []
        if kind == "infrared":
            said.insert(0, re.sub(_BRACKET, "", match["said"]))
        remark = ", ".join(filter(str.strip, said))
        first, last = match["first"], match["last"]
        start = float(first.replace("–", "-"))
        ends = (start, float(last.replace("–", "-")) if last else start)
        peaks.append(_Peak("," if separator in ("a", "&") else separator, first, last, remark, ends))
    rest = re.sub(r"^[\s,;.]*(?:ppm|\(?cm-1\)?)?[\s,;.]*$", "", text[at:]).strip()
    if rest.startswith("("):
        raise ReadError(f"the bracket {rest[:40]!r} is not closed")
    if rest or not peaks:
        raise ReadError(
            f"{rest[:40]!r} cannot be read; {expected}" if rest else f"no peak is in {text[:40]!r}; {expected}"
        )
    _check_separators(peaks, kind)
    for peak in peaks if kind != "mass" else ():
        if not all(low <= end <= high for end in peak.ends):
            raise ReadError(f"the peak at {peak.first[:40]} is outside {low:g} to {high:g} {unit}")
        if abs(peak.ends[0] - peak.ends[1]) > WIDEST[modality] * (2 if "br" in peak.remark else 1):
            said = f"{peak.first}-{peak.last}, read as a range, is too wide for one signal"
            raise ReadError(f"{said}; expected at most {WIDEST[modality]:g} {unit}")
    return peaks


def _check_separators(peaks: list[_Peak], kind: str) -> None:
    """Between numbers without brackets: one separator throughout, and no counts or numbers of atoms among them."""
    bare = [(before, after) for before, after in pairwise(peaks) if not before.remark]
    for before, after in pairwise(peaks):
        if not after.separator and (not before.remark or after.first[0] in "+-–"):
            raise ReadError(f"nothing stands between {before.first} and {after.first}; {_ONE_SEPARATOR}")
    if kind == "mass":
        return
    found, without = {after.separator for _, after in bare}, len(bare) == len(peaks) - 1
    dashed = any(after.separator == " " and after.first[0] == "–" for _, after in bare)
    if len(found) > 1 or ":" in found or dashed or (found == {" "} and not without):
        odd = next((pair for pair in bare if pair[1].separator != bare[0][1].separator), bare[0])
        said = f"{odd[0].first}{odd[1].separator}{odd[1].first}".replace("\n", " / ")
        raise ReadError(f"{said!r} may be two peaks, a range, or a peak and its count or number; {_ONE_SEPARATOR}")
    if without and len(peaks) % 2 == 0 and (len(peaks) > 3 or found == {" "}):
        for every, other in (peaks[::2], peaks[1::2]), (peaks[1::2], peaks[::2]):
            counts = [peak.first for peak in every]
            whole = not any("." in first for first in counts) and all("." in peak.first for peak in other)
            if whole or counts == [str(i + 1) for i in range(len(counts))]:
                raise ReadError(
                    f"every second number is a count or the number of an atom ({counts[0]}); {_ONE_SEPARATOR}"
                )


def _masses(peaks: list[_Peak]) -> tuple[list[float], list[float], list[str]]:
    """m/z, intensities and remarks; of pairs one separator stands within, and another one between them."""
    pairs, remarks = [], []
    if any(peak.remark for peak in peaks):
        for peak in peaks:
            parts = [part.strip() for part in peak.remark.split(",")]
            heights = [part.rstrip("% ") for part in parts if re.fullmatch(r"\d+(?:\.\d+)?\s*%?", part)]
            if len(heights) != 1 or peak.separator == ":" or peak.last:
                said = f"{peak.first} ({peak.remark})"[:40]
                raise ReadError(f"{said!r} cannot be read; expected one intensity, such as 77.04 (100)")
            pairs.append((peak.ends[0], float(heights[0])))
            remarks += [part[:40] for part in parts if part.rstrip("% ") != heights[0]]
    else:
        within, between = ({peak.separator for peak in peaks[start::2]} for start in (1, 2))
        joins = {":", " "} if len(peaks) == 2 else {":", " ", ","}
        if len(peaks) % 2 or len(within) != 1 or len(between) > 1 or within == between or not within <= joins:
            said = ", ".join(peak.first for peak in peaks[:4])
            raise ReadError(f"{said!r} cannot be read; expected {_EXPECTED['mass']}")
        pairs = [(mz.ends[0], height.ends[0]) for mz, height in zip(peaks[::2], peaks[1::2], strict=True)]
    most = KINDS["msms_pos"].limits[1]
    for mz, height in pairs:
        if not (0 < mz <= most and height >= 0):
            raise ReadError(f"the peak at m/z {mz:g} of intensity {height:g} is outside 0 to {most:g}, or below zero")
    return [mz for mz, _ in pairs], [height for _, height in pairs], remarks


# ---- what is said of a peak

#: Equivalent partners behind the letters or the name of a splitting.
_PARTNERS = {
    **dict.fromkeys(("s", "singlet", "m", "multiplet"), 0),
    **dict.fromkeys(("d", "doublet"), 1),
    **dict.fromkeys(("t", "triplet"), 2),
    **dict.fromkeys(("q", "quartet"), 3),
    **dict.fromkeys(("p", "quint", "quin", "quintet", "pent", "pentet"), 4),
    **dict.fromkeys(("sext", "sxt", "hex", "sextet", "hextet"), 5),
    **dict.fromkeys(("h", "sept", "hept", "septet", "heptet"), 6),
    **dict.fromkeys(("oct", "octet"), 7),
    **dict.fromkeys(("non", "nonet"), 8),
}
_NAMES = ("singlet", "doublet", "triplet", "quartet", "quintet", "sextet", "septet", "octet", "nonet")
_LETTERS = re.compile("|".join(sorted(_PARTNERS, key=len, reverse=True)))
_BROAD = re.compile(r"\b(?:broad|br)\b\.?|^br?\.?(?=[sdtqm]$)|^br(?=[sdtqm])")
_APPARENT = re.compile(r"\b(?:apparent|app|pseudo|ps|virt|virtual)\b\.?|^app?(?=[dtqm])")
_COUPLING = re.compile(r"\d?\s?J(?:[^=]*=|\S*\s|(?=\d))")
_HERTZ = re.compile(r"[\s/&~+-]*(?:\d+(?:\.\d+)?(?:\s?Hz)?[\s/&~.+-]*(?:(?:and|,|ca\.?)\s*)?)+")
_HYDROGENS = re.compile(r"(?:(\d{1,3})\s?x\s?)?(\d{1,6}(?:\.\d{1,6})?)\s?H(?:\s?x\s?(\d{1,3}))?(?![\w'’-])\s*(.*)")
_COUNTED = re.compile(r"(?<![\w'-])\d+\s?H(?![\w'’-])|\b(?:each|total)\b")
_CARBONS = re.compile(r"(?:(\d{1,6})\s?(?:x\s?)?)?(Cq|CH[23]?|C)(?:\s?x\s?(\d{1,3}))?|x\s?(\d{1,6})|(\d{1,6})\s?x")
_ATTACHED = {"C": 0, "Cq": 0, "CH": 1, "CH2": 2, "CH3": 3}


def _parts(remark: str) -> list[str]:
    """Pieces between the commas that are no decimal commas; ``t J = 7 Hz`` and ``s 3H`` are two each."""
    remark = re.sub(_AMBIGUOUS, lambda match: match[0].replace(",", _UNSPLIT), " ".join(remark.split()))
    pieces = re.findall(rf"(?:{_BRACKET}|[^,;()])+", remark)
    between = r"(?<=[a-z.]) (?=\d?J)|(?<=[a-wyz.]) (?=\d+ ?H$)|(?<=\dH) (?=[a-wyz])"
    return [part.strip() for piece in pieces for part in re.split(between, piece.strip()) if part.strip()]


def _atoms(text: str, times: str | None, peak: _Peak) -> float:
    number = float(text) * int(times or 1)
    if not 0 < number <= _MAX_ATOMS:
        raise ReadError(f"the peak at {peak.position:g} has {number:g} atoms; expected 1 to {_MAX_ATOMS:g}")
    return int(number) if number == int(number) else number


def _carbon(peak: _Peak) -> _Said:
    atoms, attached, unused = None, None, []
    for part in _parts(peak.remark):
        if _HYDROGENS.fullmatch(part):
            raise ReadError(f"{part!r} at {peak.first} counts hydrogens; expected carbon atoms in a list of 13C")
        match = _CARBONS.fullmatch(part)
        number = match and next(filter(None, match.group(1, 3, 4, 5)), None)
        if match and (number or attached is None):
            atoms = _atoms(number, None, peak) if number else atoms
            attached = attached if match[2] is None or (number and match[2] == "C") else _ATTACHED[match[2]]
        else:
            unused.append(part)
    return _Said(atoms, {"attached": attached}, unused, [])


def _band(peak: _Peak) -> _Said:
    short = {"very strong": "vs", "very weak": "vw", "strong": "s", "medium": "m", "weak": "w", "broad": "br"}
    remark = re.sub("|".join(short), lambda match: short[match[0]], peak.remark.lower())
    words = [word.strip(".") for word in re.split(r"[\s,;]+", remark) if word]
    strengths = [word for word in words if word in STRENGTHS]
    if len(strengths) > 1:
        raise ReadError(f"{peak.first} ({peak.remark}) has several strengths; expected one of {', '.join(STRENGTHS)}")
    width = round(abs(peak.ends[0] - peak.ends[1]), 6)
    meta = {"strengths": next(iter(strengths), None), "widths": width, "broad": bool({"br", "b"} & {*words})}
    unused = [word for word in words if word not in (*STRENGTHS, "br", "b")]
    return _Said(STRENGTHS.index(strengths[0]) + 1 if strengths else None, meta, unused, [])


def _unread(part: str, peak: _Peak, expected: str) -> ReadError:
    said = part[:40].replace(_UNSPLIT, ",")
    return ReadError(f"{said!r} at {peak.position:g} cannot be read; expected {expected}")


def _proton(peak: _Peak) -> _Said:
    atoms, splitting, broad, hertz, unused = None, None, False, None, []
    for part in _parts(peak.remark):
        match = _HYDROGENS.fullmatch(part)
        if match or _COUNTED.search(part.replace(_UNSPLIT, " ")) or part == peak.remark.strip() and part.isdigit():
            number = _atoms(match[2], match[1] or match[3], peak) if match else None
            if number is None or atoms not in (None, number) or _COUNTED.search(match[4]):
                raise _unread(part, peak, "one number of hydrogens, such as 3H or 2 x 3H")
            atoms = number
            unused += [match[4]] if match[4] else []
        elif _COUPLING.match(part) or (hertz and re.match(rf"[\d.]+(?:\s|$)|\d+{_UNSPLIT}", part)):
            values = _COUPLING.sub(" ", part)
            if not _HERTZ.fullmatch(values):
                raise _unread(part, peak, "coupling constants with decimal points, such as J = 8.0, 1.5 Hz")
            hertz = (hertz or []) + [float(value) for value in re.findall(r"\d+(?:\.\d+)?", values)]
            if max(hertz) > _MAX_HZ:
                raise ReadError(f"the coupling constant in {part[:40]!r} is above {_MAX_HZ:g} Hz")
        elif splitting is None and (letters := _splitting(part)) is not None:
            splitting, broad = letters, broad or bool(_BROAD.search(part.lower()))
        elif re.fullmatch(r"(?:br|broad)\.?", part.lower()):
            broad = True
        else:
            unused.append(part)
    couplings, assumed = _coupled(peak.position, splitting or [], hertz or [])
    return _Said(atoms, {"couplings": couplings, "broad": broad}, unused, assumed)


def _splitting(part: str) -> list[int] | None:
    """Partners of each splitting in ``dt`` or ``br s``; None if it is not a multiplicity."""
    word = _APPARENT.sub("", _BROAD.sub("", part.lower())).replace(" of ", "").strip(" .").replace(" ", "")
    word = word.replace("doubletof", "d").replace("triplets", "t").replace("doublets", "d")
    found = _LETTERS.findall(word)
    if not word or "".join(found) != word:
        return None
    if len(found) > _MAX_LETTERS:
        raise ReadError(f"the multiplicity {part[:40]!r} has {len(found)} letters; expected at most {_MAX_LETTERS}")
    return [_PARTNERS[letters] for letters in found if _PARTNERS[letters]]


def _coupled(position: float, partners: list[int], constants: list[float]) -> tuple[str, list[str]]:
    """Couplings in the form of `symspectra.spectra.lines.multiplet`, and what had to be assumed."""
    if not partners:
        return "", [f"coupling constants at {position:g} not used: no splitting is given"] if constants else []
    name = _NAMES[partners[0]] if len(partners) == 1 else "multiple splitting"
    steps = []
    if not constants:
        steps.append(f"no coupling constant given for the {name} at {position:g}: {USUAL_HZ} Hz taken")
        constants = [USUAL_HZ] * len(partners)
    elif len(constants) != len(partners):
        steps.append(
            f"coupling constants at {position:g} are {len(constants)}, splittings {len(partners)}: "
            f"{constants[0]:g} Hz taken for all"
        )
        constants = [constants[0]] * len(partners)
    return " ".join(f"{hz}*{n}" for hz, n in zip(constants, partners, strict=True)), steps


#: Of each kind: what reads the bracket, what its value is, and what is taken where there is none.
_READ = {"c13": (_carbon, "", 1), "h1": (_proton, "number of hydrogens", 1), "ir": (_band, "strength", 3)}

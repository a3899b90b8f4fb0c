"""Lists of peaks as papers print them and as chemists type or paste them: one grammar for NMR, mass and infrared.

1. Signs of every typography are one: full-width, raised and lowered letters, dashes, brackets, ends of lines.
2. The heading is what stands before the first number that is no part of a word, of a bracket or of a unit. Nucleus,
   experiment and polarity that it names must be those that are asked for.
3. A peak is a number, or two joined by a dash (a range, no wider than one signal is), and the brackets behind it. A
   dash behind a blank, a separator or an end of a line and before a digit is a minus.
4. No separator means two things. Between numbers without brackets one stands throughout: the comma, the semicolon, the
   end of the line or, where no bracket is, the blank; and no column of counts or of atom numbers is among them. In a mass spectrum one stands between m/z
   and intensity, another one between the pairs.
5. A comma between two whole numbers without a blank may be a decimal comma: it is refused where a number is read.
6. In a bracket, commas separate number of atoms, multiplicity and coupling constants, or strength and breadth of a band;
   the rest is an assignment, and the steps say that it is not used.
7. Whatever else there is, is refused.
"""

from __future__ import annotations

import re
import unicodedata
from itertools import pairwise
from typing import Any, NamedTuple

from symspectra.errors import ReadError
from symspectra.modalities import KINDS
from symspectra.spectra.spectrum import Spectrum

USUAL_HZ = 7.0  # vicinal coupling in an alkyl chain, where a list gives none
#: Widest range of one signal, in ppm or 1/cm; twice that where it is called broad.
WIDEST = {"h1": 1.0, "c13": 5.0, "ir": 800.0}
#: Letters for the strength of a band, weakest first; the value of a band is the place of its letters, 1 to 5.
STRENGTHS = ("vw", "w", "m", "s", "vs")
_BANDS = (100.0, 10_000.0)  # 1/cm
_MAX_CHARACTERS, _MAX_HZ, _MAX_LETTERS, _MAX_ATOMS = 50_000, 1000.0, 6, 1000.0

# ---- signs, numbers, brackets

_PLAIN = str.maketrans("‐−‒—×[]{}、\u2028\u2029", "--––x()(),\n\n")  # – stays: it is a range more often than a minus
_NUMBER = r"[+–-]?\d+(?:\.\d+)?"
_RANGE = r"(?:[–-] *| +[–-] +| to )"
_BRACKET = r"\((?:[^()]++|\((?:[^()]++|\([^()]*+\))*+\))*+\)"
_AMBIGUOUS = re.compile(r"(?<![\d.])\d+,(?=\d+(?!\.?\d))")  # 170,9 may be one number or two
_UNSPLIT = "\N{SINGLE LOW-9 QUOTATION MARK}"  # stands for such a comma inside a bracket

# ---- headings

_NUCLEUS = (
    r"(?<![\w.])(?:[123]\s?-?H|7\s?-?Li|1[01]\s?-?B|13\s?-?C|1[45]\s?-?N|17\s?-?O|19\s?-?F|29\s?-?Si|31\s?-?P|77\s?-?Se"
    r"|119\s?-?Sn|195\s?-?Pt|H-1|H-2|B-11|C-13|N-15|F-19|Si-29|P-31)(?!\w)"
)
_DELTA = r"(?:δ|(?<!\w)d)_?(?:Si|[HCPFBND])(?![a-z])|δ|(?<![\w-])d(?:elta)?(?=[\s,:=(]*(?:[–-]?\d|ppm|\())|ppm(?!\w)"
_EXPERIMENT = "HSQC|HMQC|HMBC|COSY|NOESY|ROESY|TOCSY|DOSY|INADEQUATE|INEPT|DEPT|(?<![A-Z])APT(?![A-Z])|Raman"
_KEYS = {
    "NMR": rf"{_NUCLEUS}|(?i:(?<![a-z])NMR)|{_EXPERIMENT}|{_DELTA}",
    "mass": r"m/z|(?<![A-Za-z])(?:[A-Z-]{0,6}MS\d?|ESI|APCI|MALDI|FAB|EI)(?![A-Za-z])",
    "infrared": r"(?i:(?<![a-z])(?:FT-?)?IR(?![a-z])|(?<![a-z])ATR|infrared|wavenumbers?|cm-1)|[νυ]|(?<!\w)v(?:max)?(?!\w)",
}
_KEY = "|".join(f"(?P<{name}>{pattern})" for name, pattern in _KEYS.items())
_LABEL = rf"(?:{_BRACKET}[+–-]?\W{{0,3}})?(?:[A-Za-z ]{{0,20}}\d{{1,3}}[a-z]?[:.]?\s+)?(?:\d+\s?MHz\W*)?"  # of a compound
_HEAD = re.compile(rf"\s*(?:{_LABEL})?[^\d()/\\]{{0,20}}?(?:{_KEY})")
_UNIT = r"\d+(?:\.\d+)?[ -]?(?:MHz\b|Hz\b|K\b|°\s?C\b|[km]?eV\b|k?V\b|m?M\b|%)"
_WORD = r"(?![δνυ])[^\W\d_][^\s,;:=()δ]*"
_CONDITIONS = re.compile(
    rf"(?:[\s,;:=*]|\.(?!\d)|[+–-](?!\d)|/(?=ppm|cm|MS)|{_BRACKET}|{'|'.join(_KEYS.values())}|{_UNIT}|{_WORD})*+"
)
_SYMBOLS = {"H": "1H", "C": "13C", "P": "31P", "F": "19F", "B": "11B", "N": "15N", "D": "2H", "Si": "29Si"}  # δP
_POLARITY = {
    "positive": r"\bpos(?:itive)?\b|(?<=[A-Z)(])\+(?=[\s,;:)]|$)|\+(?=\s*[,;)])",
    "negative": r"\bneg(?:ative)?\b|(?<=[A-Z)(])-(?=[\s,;:)]|$)|-(?=\s*[,;)])",
}
_IDLE = r"(?i:\b(?:spectr\w*|data|shifts?|peaks?|in|at|of|and|recorded)\b)"

# ---- peaks

_WORDS = {"NMR": r"ppm\b", "mass": "%", "infrared": r"(?:vs|vw|[smw]|br|sh|broad|strong|medium|weak)\b\.?"}
_PEAK = {
    name: re.compile(
        rf"(?P<separator>[\s,;:]*(?:(?:and|&)\s+)?)(?P<first>{_NUMBER})(?:{_RANGE}(?P<last>{_NUMBER}))?"
        rf"(?P<said>(?:[ ]*(?:{words}))*+(?:\s*{_BRACKET})*+)"
    )
    for name, words in _WORDS.items()
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


def parse_peaks(text: str, modality: str) -> Spectrum:
    """A list of peaks from text.

    1H: ``7.26 (m, 5H), 3.70 (q, J = 7.0 Hz, 2H)``; 13C: ``170.9, 128.5 (2C), 60.4 (CH2)``; mass spectra:
    ``43.0:100 58.1:35``, ``43.0 100; 58.1 35`` or ``77.04 (100), 51.02 (35)``; infrared: ``3400-3200 (br), 1715 (vs)``.
    A heading such as ``1H NMR (400 MHz, CDCl3) δ`` is understood, and held against what is asked for.

    Parameters
    ----------
    text : the list
    modality : one of `symspectra.modalities.MODALITIES`

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
    if modality not in KINDS:
        raise ReadError(f"typed peaks of {modality!r} are not read; expected one of {', '.join(KINDS)}")
    if len(text) > _MAX_CHARACTERS:
        raise ReadError(f"the text has {len(text):,} characters; expected at most {_MAX_CHARACTERS:,}")
    if raised := re.search(r"[0-9.][⁰¹²³⁴-⁹₀-₉]", text):
        raise ReadError(f"a raised or lowered digit follows a number in {text[max(raised.start() - 10, 0) :][:20]!r}")
    plain = _plain(text)
    heading, meta = _heading(plain, modality)
    peaks = _peaks(plain[heading:], modality)
    read = {"c13": _carbon, "h1": _proton, "ir": _bands}.get(modality, _masses)
    x, y, steps = read(peaks, meta)
    steps = (f"list of peaks read ({len(x)})", *steps)
    return Spectrum(x, y, KINDS[modality].unit, "intensity", modality, {"format": "typed peak list"} | meta, True, steps)


def looks_like_peaks(text: str) -> bool:
    """Whether a text is a typed list of peaks rather than the name of a file."""
    text = _plain(text[:_MAX_CHARACTERS])
    if re.search(r"\.[A-Za-z]\w{0,5}$", text):
        return False
    head = _HEAD.match(text)
    start = _CONDITIONS.match(text, head.end()).end() if head else 0
    return bool(re.match(rf"{_NUMBER}(?:\s*(?:$|[,;:(.])|{_RANGE}\d|\s+{_NUMBER}|\s*(?:{_WORDS['infrared']}|ppm|cm-1))", text[start:]))


def _plain(text: str) -> str:
    """A text in the signs that the grammar knows; a line that ends or begins with a separator goes on."""
    text = unicodedata.normalize("NFKC", text).translate(_PLAIN).strip()
    text = re.sub(r"\s*[\r\n]\s*", "\n", text)
    return re.sub(r"(?<=[,;])\n|\n(?=[,;(])|[^\S\n]+", " ", text)


def _kind(modality: str) -> str:
    return "NMR" if KINDS[modality].nucleus else "infrared" if modality == "ir" else "mass"


def _heading(text: str, modality: str) -> tuple[int, dict[str, Any]]:
    """Where the heading ends, and what it says, which must agree with what is asked for."""
    asked, kind = KINDS[modality], _kind(modality)
    expected = f"expected a list of {asked.said} peaks"
    outside = re.sub(_BRACKET, "()", text)
    if found := re.search(_EXPERIMENT, outside) or re.search(r"DEPT\W?\d+", text):
        raise ReadError(f"the text says {found[0]!r}, which is another experiment; {expected}")
    head = _HEAD.match(text)
    end = _CONDITIONS.match(text, head.end()).end() if head else 0
    heading = text[:end]
    decoupled = re.sub(rf"({_NUCLEUS})\s*-?\s*\(\s*{_NUCLEUS}\s*\)", r"\1", heading)
    said = re.findall(_NUCLEUS, f"{decoupled} {outside}")
    nuclei = {re.sub(r"\W|^([A-Z]\w*)-(\d+)$", r"\2\1", name) for name in said}
    nuclei |= {_SYMBOLS[s] for s in re.findall(r"(?:δ|\bd)_?(Si|[HCPFBND])(?![a-z])", heading)}
    if others := sorted(nuclei - {asked.nucleus}):
        raise ReadError(f"the text says {', '.join(others)}; {expected}")
    if head and head.lastgroup != kind:
        raise ReadError(f"the text says {head[head.lastgroup]!r}, as {head.lastgroup} spectra do; {expected}")
    meta = _ionisation(heading, modality) if kind == "mass" else {}
    brackets = [bracket[1:-1] for bracket in re.findall(_BRACKET, decoupled)]
    words = re.sub(_BRACKET, ",", decoupled[head.end() :] if head else "")
    for part in re.split(r"[,;:]", re.sub(f"{'|'.join(_KEYS.values())}|{_IDLE}", ",", ",".join([*brackets, words]))):
        if frequency := re.search(r"(\d{1,5}(?:\.\d{1,9})?)\s*MHz", part):
            meta["frequency_mhz"] = float(frequency[1])
        elif kind == "NMR" and "solvent" not in meta and re.match(r"\s*[A-Za-z(]|\s*\d+\s*%", part):
            meta["solvent"] = part.strip()
    return end, meta


def _ionisation(heading: str, modality: str) -> dict[str, Any]:
    signs = [sign for sign, pattern in _POLARITY.items() if re.search(pattern, heading.replace("–", "-"))]
    if signs and signs != [wanted := "negative" if modality == "msms_neg" else "positive"]:
        raise ReadError(f"the heading {heading.strip()[:60]!r} says {' and '.join(signs)} ions; {wanted} were asked for")
    if re.search(r"(?<![A-Za-z])EI(?![A-Za-z])|EI-?MS|GC-?MS|electron (?:impact|ioni[sz]ation)", heading):
        return {"ionisation": "EI"}
    found = re.search(r"ESI|APCI|APPI|MALDI|FAB", heading)
    return {"ionisation": found[0]} if found else {}


def _peaks(text: str, modality: str) -> list[_Peak]:
    """The peaks of a list after its heading; no separator means two things."""
    kind, expected = _kind(modality), f"expected {_EXPECTED[_kind(modality)]}"
    if kind == "infrared":
        text = re.sub(r"(?<=\d{3}),(?=\d{3})", ", ", text)
    if comma := re.search(_AMBIGUOUS.pattern + r"\d+", re.sub(_BRACKET, "()", text)):
        raise ReadError(
            f"a comma stands between digits in {comma[0][:20]!r}; expected points as decimal marks "
            "and a blank after a comma"
        )
    peaks, at = [], 0
    while match := _PEAK[kind].match(text, at):
        separator, at = match["separator"], match.end()
        separator = "," if re.search(r"and|&", separator) else separator.strip(" ")[:1] or separator[:1]
        brackets = [bracket[1:-1] for bracket in re.findall(_BRACKET, match["said"])]
        words = re.sub(_BRACKET, "", match["said"]) if kind == "infrared" else ""
        peaks.append(_Peak(separator, match["first"], match["last"], ", ".join(filter(str.strip, [words, *brackets]))))
    rest = re.sub(r"^[\s,;.]*(?:ppm|\(?cm-1\)?)?[\s,;.]*$", "", text[at:]).strip()
    if rest.startswith("("):
        raise ReadError(f"the bracket {rest[:40]!r} is not closed")
    if rest or not peaks:
        raise ReadError(f"{rest[:40]!r} cannot be read; {expected}" if rest else f"no peak is in {text[:40]!r}; {expected}")
    _check_separators(peaks, kind)
    for peak in peaks:
        low, high = _BANDS if kind == "infrared" else KINDS[modality].limits
        for end in (peak.first, peak.last or peak.first) if kind != "mass" else ():
            if not low <= _number(end) <= high:
                raise ReadError(f"the peak at {end[:40]} is outside {low:g} to {high:g} {KINDS[modality].unit}")
        widest = WIDEST.get(modality, 0) * (2 if re.search(r"\bbr", peak.remark) else 1)
        if peak.last and abs(_number(peak.first) - _number(peak.last)) > widest:
            wide = f"expected one of at most {WIDEST[modality]:g} {KINDS[modality].unit}" if modality in WIDEST else expected
            raise ReadError(f"{peak.first}-{peak.last} is read as a range, and is too wide for one signal; {wide}")
    return peaks


def _number(text: str) -> float:
    return float(text.replace("–", "-"))


def _check_separators(peaks: list[_Peak], kind: str) -> None:
    """Rule 4; in a mass spectrum for the separators within the pairs and for those between them."""
    bare = [(before, after) for before, after in pairwise(peaks) if not before.remark]
    for before, after in pairwise(peaks):
        if after.separator == ":" and kind != "mass":
            raise ReadError(f"'{before.first}:{after.first}' cannot be read; {_ONE_SEPARATOR}")
        if not after.separator and (not before.remark or after.first[0] in "+-–"):
            raise ReadError(f"nothing stands between {before.first} and {after.first}; expected a comma or a range")
    paired = kind == "mass" and not any(peak.remark for peak in peaks)
    groups = [bare[::2], bare[1::2]] if paired else [bare]
    found = [sorted({after.separator for _, after in group}) for group in groups]
    bare_list, blanks = len(bare) == len(peaks) - 1 and not paired, " " in sum(found, [])
    dashed = any(after.separator == " " and after.first[0] == "–" for _, after in bare)
    if any(len(kinds) > 1 for kinds in found) or (blanks and not paired and (dashed or not bare_list)):
        odd = next((pair for pair in bare if pair[1].separator != bare[0][1].separator), bare[0])
        said = f"{odd[0].first}{odd[1].separator}{odd[1].first}".replace("\n", " / ")
        raise ReadError(f"{said!r} may be two peaks, a range, or a peak and its count or number; {_ONE_SEPARATOR}")
    if bare_list and len(peaks) % 2 == 0 and len(peaks) > (0 if blanks else 3):
        for every, other in (peaks[::2], peaks[1::2]), (peaks[1::2], peaks[::2]):
            counts = [peak.first for peak in every]
            whole = not any("." in first for first in counts) and all("." in peak.first for peak in other)
            if whole or counts == [str(i + 1) for i in range(len(counts))]:
                raise ReadError(f"every second number is a count or the number of an atom ({counts[0]}); {_ONE_SEPARATOR}")


# ---- mass spectra


def _masses(peaks: list[_Peak], meta: dict[str, Any]) -> tuple[list[float], list[float], list[str]]:
    steps = []
    if any(peak.remark for peak in peaks):
        pairs, remarks = [], []
        for peak in peaks:
            parts = [part.strip() for part in peak.remark.split(",")]
            heights = [part.rstrip("% ") for part in parts if re.fullmatch(r"\d+(?:\.\d+)?\s*%?", part)]
            if len(heights) != 1 or peak.separator == ":":
                said = f"{peak.first} ({peak.remark})"[:40]
                raise ReadError(f"{said!r} cannot be read; expected one intensity, such as 77.04 (100)")
            pairs.append((peak.first, heights[0]))
            remarks += [part[:40] for part in parts if part.rstrip("% ") != heights[0]]
        steps = [f"remarks not used: {', '.join(remarks[:8])}"] * bool(remarks)
    else:
        within = {peak.separator for peak in peaks[1::2]}
        between = {peak.separator for peak in peaks[2::2]} or {";"}
        if len(peaks) % 2 or within == between or not within <= ({":", " ", ","} if len(peaks) > 2 else {":", " "}):
            said = ", ".join(peak.first for peak in peaks[:4])
            raise ReadError(f"{said!r} cannot be read; expected {_EXPECTED['mass']}")
        pairs = [(mz.first, height.first) for mz, height in zip(peaks[::2], peaks[1::2], strict=True)]
    x, y = ([_number(text) for text in column] for column in zip(*pairs, strict=True))
    most = KINDS["msms_pos"].limits[1]
    for mz, height in zip(x, y, strict=True):
        if not (0 < mz <= most and height >= 0):
            raise ReadError(f"the peak at m/z {mz:g} of intensity {height:g} is outside 0 to {most:g}, or below zero")
    return x, y, steps


# ---- what is said of a peak


def _parts(remark: str) -> list[str]:
    """Pieces between the commas that are no decimal commas; ``t J = 7 Hz`` and ``s 3H`` are two each."""
    remark = _AMBIGUOUS.sub(lambda match: match[0].replace(",", _UNSPLIT), " ".join(remark.split()))
    pieces = re.findall(rf"(?:{_BRACKET}|[^,;()])+", remark)
    between = r"(?<=[a-z.]) (?=\d?J)|(?<=[a-wyz.]) (?=\d+ ?H$)|(?<=\dH) (?=[a-wyz])"
    return [part.strip() for piece in pieces for part in re.split(between, piece.strip()) if part.strip()]


def _position(peak: _Peak) -> float:
    return round((_number(peak.first) + _number(peak.last or peak.first)) / 2, 6)


def _unused(remarks: list[str], position: float) -> list[str]:
    said = ", ".join(remark[:40].replace(_UNSPLIT, ",") for remark in remarks[:8])
    return [f"remarks at {position:g} not used: {said}"] if remarks else []


def _atoms(text: str, times: str | None, position: float) -> float:
    number = float(text) * int(times or 1)
    if not 0 < number <= _MAX_ATOMS:
        raise ReadError(f"the peak at {position:g} has {number:g} atoms; expected 1 to {_MAX_ATOMS:g}")
    return int(number) if number == int(number) else number


_HYDROGENS = re.compile(r"(?:(\d{1,3})\s?x\s?)?(\d{1,6}(?:\.\d{1,6})?)\s?H(?:\s?x\s?(\d{1,3}))?(?![\w'’-])\s*(.*)")
_COUNTED = re.compile(r"(?<![\w'-])\d+\s?H(?![\w'’-])|\b(?:each|total)\b")
_CARBONS = re.compile(r"(?:(\d{1,6})\s?(?:x\s?)?)?(Cq|CH[23]?|C)(?:\s?x\s?(\d{1,3}))?|(?:x\s?(\d{1,6})|(\d{1,6})\s?x)")
_ATTACHED = {"C": 0, "Cq": 0, "CH": 1, "CH2": 2, "CH3": 3}


def _carbon(peaks: list[_Peak], meta: dict[str, Any]) -> tuple[list[float], list[float], list[str]]:
    x, y, steps = [], [], []
    meta["attached"] = []
    for peak in peaks:
        position, atoms, attached, unused = _position(peak), 1, None, []
        for part in _parts(peak.remark):
            if _HYDROGENS.fullmatch(part):
                raise ReadError(f"{part!r} at {peak.first} counts hydrogens; expected carbon atoms in a list of 13C")
            match = _CARBONS.fullmatch(part)
            number = match and next((n for n in match.group(1, 3, 4, 5) if n), None)
            if match and (number or attached is None):
                atoms = _atoms(number, None, position) if number else atoms
                if match[2] and not (number and match[2] == "C"):
                    attached = _ATTACHED[match[2]]
            else:
                unused.append(part)
        x.append(position), y.append(atoms), meta["attached"].append(attached)
        steps += _unused(unused, position)
    return x, y, steps


def _bands(peaks: list[_Peak], meta: dict[str, Any]) -> tuple[list[float], list[float], list[str]]:
    x, y, steps = [], [], []
    meta |= {"strengths": [], "widths": [], "broad": []}
    names = {"very strong": "vs", "very weak": "vw", "strong": "s", "medium": "m", "weak": "w"}
    for peak in peaks:
        words = re.sub("|".join(names), lambda match: names[match[0]], peak.remark.lower())
        words = [word.strip(".") for word in re.split(r"[\s,;]+", words) if word]
        strengths = [word for word in words if word in STRENGTHS]
        if len(strengths) > 1:
            raise ReadError(f"{peak.first} ({peak.remark}) has several strengths; expected one of {', '.join(STRENGTHS)}")
        position = _position(peak)
        x.append(position), y.append(1 + STRENGTHS.index(strengths[0] if strengths else "m"))
        meta["strengths"].append(strengths[0] if strengths else None)
        meta["widths"].append(round(abs(_number(peak.first) - _number(peak.last or peak.first)), 6))
        meta["broad"].append(bool({"br", "b", "broad"} & {*words}))
        steps += _unused([word for word in words if word not in (*STRENGTHS, "br", "b", "broad")], position)
    if missing := meta["strengths"].count(None):
        steps.append(f"no strength given of {missing} bands: medium taken")
    return x, y, steps


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


def _proton(peaks: list[_Peak], meta: dict[str, Any]) -> tuple[list[float], list[float], list[str]]:
    x, y, steps, uncounted = [], [], [], []
    meta |= {"couplings": [], "broad": []}
    for peak in peaks:
        position, atoms, splitting, broad, hertz, unused = _position(peak), None, None, False, None, []
        for part in _parts(peak.remark):
            said = f"{part[:40].replace(_UNSPLIT, ',')!r} at {position:g} cannot be read; expected"
            match = _HYDROGENS.fullmatch(part)
            coupling = None if match else _COUPLING.match(part)
            if coupling or (match is None and hertz is not None and re.match(r"[\d.]+(?:\s|$)|\d+" + _UNSPLIT, part)):
                values = _COUPLING.sub(" ", part)
                if not _HERTZ.fullmatch(values):
                    raise ReadError(f"{said} coupling constants with decimal points, such as J = 8.0, 1.5 Hz")
                hertz = (hertz or []) + [float(value) for value in re.findall(r"\d+(?:\.\d+)?", values)]
                if max(hertz) > _MAX_HZ:
                    raise ReadError(f"the coupling constant in {part[:40]!r} is above {_MAX_HZ:g} Hz")
            elif match:
                number = _atoms(match[2], match[1] or match[3], position)
                if atoms not in (None, number) or _COUNTED.search(match[4]):
                    raise ReadError(f"{said} one number of hydrogens, such as 3H or 2 x 3H")
                atoms = number
                unused += [match[4]] if match[4] else []
            elif _COUNTED.search(part.replace(_UNSPLIT, " ")):
                raise ReadError(f"{said} one number of hydrogens, such as 3H or 2 x 3H")
            elif splitting is None and (letters := _splitting(part)) is not None:
                splitting, broad = letters, broad or bool(_BROAD.search(part.lower()))
            elif re.fullmatch(r"(?:br|broad)\.?", part.lower()):
                broad = True
            else:
                unused.append(part)
        couplings, assumed = _coupled(position, splitting or [], hertz or [])
        x.append(position), y.append(1 if atoms is None else atoms)
        meta["couplings"].append(couplings), meta["broad"].append(broad)
        steps += assumed + _unused(unused, position)
        uncounted += [f"{position:g}"] if atoms is None else []
    if uncounted:
        more = " ..." * (len(uncounted) > 8)
        steps.append(f"no number of hydrogens given at {', '.join(uncounted[:8])}{more}: 1 taken")
    return x, y, steps


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

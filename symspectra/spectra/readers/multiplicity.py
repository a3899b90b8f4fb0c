"""The bracket after a chemical shift: number of atoms, multiplicity and coupling constants."""

from __future__ import annotations

import re
from dataclasses import dataclass

from symspectra.errors import ReadError

USUAL_HZ = 7.0  # vicinal coupling in an alkyl chain, where a list gives none
_MAX_HZ = 1000.0
_MAX_LETTERS = 6
_MAX_ATOMS = 1000.0

#: Equivalent partners behind the letters or the name of a splitting.
_PARTNERS = {
    **dict.fromkeys(("s", "singlet"), 0),
    **dict.fromkeys(("d", "doublet"), 1),
    **dict.fromkeys(("t", "triplet"), 2),
    **dict.fromkeys(("q", "quartet"), 3),
    **dict.fromkeys(("p", "quint", "quin", "quintet", "pent", "pentet"), 4),
    **dict.fromkeys(("sext", "sxt", "hex", "sextet", "hextet"), 5),
    **dict.fromkeys(("h", "sept", "hept", "septet", "heptet"), 6),
    **dict.fromkeys(("oct", "octet"), 7),
    **dict.fromkeys(("non", "nonet"), 8),
    **dict.fromkeys(("m", "multiplet"), 0),
}
_NAMES = {1: "doublet", 2: "triplet", 3: "quartet", 4: "quintet", 5: "sextet", 6: "septet", 7: "octet", 8: "nonet"}
_LETTERS = re.compile("|".join(sorted(_PARTNERS, key=len, reverse=True)))
_BROAD = re.compile(r"\b(?:broad|br)\b\.?|^br?\.?(?=[sdtqm]$)|^br(?=[sdtqm])")
_APPARENT = re.compile(r"\b(?:apparent|app|pseudo|ps|virt|virtual)\b\.?|^app?(?=[dtqm])")
_HYDROGENS = re.compile(r"(\d{1,6}(?:\.\d{1,6})?)\s*H")
_COUPLING = re.compile(r"\d?\s*J\b|\d?\s*J(?=[\d_(HFPC=])")
_CARBONS = re.compile(r"(?:(\d{1,6})\s*(?:x\s*)?)?(C|Cq|CH|CH2|CH3)")
_ATTACHED = {"C": 0, "Cq": 0, "CH": 1, "CH2": 2, "CH3": 3}


@dataclass
class Signal:
    """One line of a list: its position in ppm, the atoms behind it and what splits it."""

    position: float
    atoms: float = 1
    atoms_given: bool = False
    couplings: str = ""
    broad: bool = False
    attached: int | None = None
    steps: tuple[str, ...] = ()


def proton(position: float, remark: str) -> Signal:
    """A 1H signal from its position and the text in its bracket."""
    signal = Signal(position)
    splitting, constants, unused, after_coupling = None, [], [], False
    for part in _parts(remark):
        numbers = _coupling_constants(part, after_coupling)
        after_coupling = numbers is not None
        if numbers is not None:
            constants += numbers
        elif (match := _HYDROGENS.fullmatch(part)) and not signal.atoms_given:
            signal.atoms, signal.atoms_given = _atoms(match[1], position), True
        elif (letters := _splitting(part)) is not None and splitting is None:
            splitting = letters
            signal.broad |= bool(_BROAD.search(part.lower()))
        elif re.fullmatch(r"(?:br|broad)\.?", part.lower()):
            signal.broad = True
        elif part:
            unused.append(part[:40])
    signal.couplings, steps = _coupled(position, splitting or [], constants)
    if unused:
        steps.append(f"remarks at {position:g} not used: {', '.join(unused[:8])}")
    signal.steps = tuple(steps)
    return signal


def carbon(position: float, remark: str) -> Signal:
    """A 13C signal from its position and the text in its bracket."""
    signal = Signal(position)
    unused = []
    for part in _parts(remark):
        match = _CARBONS.fullmatch(part)
        if match and (match[1] or signal.attached is None):
            if match[1]:
                signal.atoms, signal.atoms_given = _atoms(match[1], position), True
            if not (match[1] and match[2] == "C"):
                signal.attached = _ATTACHED[match[2]]
        elif part:
            unused.append(part[:40])
    if unused:
        signal.steps = (f"remarks at {position:g} not used: {', '.join(unused[:8])}",)
    return signal


def _parts(remark: str) -> list[str]:
    """Pieces between the commas that are outside brackets; ``t J = 7 Hz`` and ``s 3H`` are two each."""
    pieces, depth = [""], 0
    for letter in remark:
        depth += (letter == "(") - (letter == ")")
        if letter in ",;" and depth <= 0:
            pieces.append("")
        else:
            pieces[-1] += letter
    parts = []
    for piece in pieces:
        piece = re.sub(r"(?<=[a-z.]) (?=\d?J\b)|(?<=[a-z.]) (?=\d+ ?H$)|(?<=\dH) (?=[a-z])", "\n", piece.strip())
        parts += piece.split("\n")
    return [part.strip() for part in parts]


def _atoms(text: str, position: float) -> float:
    number = float(text)
    if not 0 < number <= _MAX_ATOMS:
        raise ReadError(f"the peak at {position:g} has {text} atoms; expected 1 to {_MAX_ATOMS:g}")
    return int(number) if number == int(number) else number


def _coupling_constants(part: str, after_coupling: bool) -> list[float] | None:
    """Numbers of ``J = 8.0 Hz``, or of a piece without a name that continues one; None for other pieces."""
    if _COUPLING.match(part):
        text = re.sub(r"\d?\s*J[^=]*=", " ", part) if "=" in part else re.sub(r"^\d?\s*J", "", part)
    elif after_coupling and re.fullmatch(r"[\d.\s]+(?:and [\d.\s]+)?(?:Hz)?\.?", part):
        text = part
    else:
        return None
    values = [float(number) for number in re.findall(r"\d+(?:\.\d+)?", text)]
    for value in values:
        if not 0 <= value <= _MAX_HZ:
            raise ReadError(f"the coupling constant in {part[:40]!r} is above {_MAX_HZ:g} Hz")
    return values


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

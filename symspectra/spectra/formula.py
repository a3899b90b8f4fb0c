"""The molecular formula as a model reads it beside the spectra."""

from __future__ import annotations

import re
from collections import Counter

import numpy as np
from jaxtyping import Float, Int

from symspectra.errors import ReadError
from symspectra.spectra.spectrum import Spectrum

ELEMENTS = ("C", "H", "N", "O", "F", "P", "S", "Cl", "Br", "I")
MOST = 500  # atoms of an element
STEP = 16  # points of a number: as many as a token of the shipped model has
#: Of these elements it is said whether there is at least one atom, at least two, and so on.
COUNTED = {"N": 5, "O": 6, "F": 3, "P": 1, "S": 2, "Cl": 2, "Br": 1, "I": 1}
UNSATURATIONS = 8


def parse_formula(text: str) -> Spectrum:
    """The formula of a neutral molecule, such as C9H6O2: atoms of each of `ELEMENTS`.

    >>> parse_formula("C9H6O2").y.astype(int).tolist()
    [9, 6, 0, 2, 0, 0, 0, 0, 0, 0]

    Raises
    ------
    ReadError : it is no such formula, or has an element that no model has learned.
    """
    compact = re.sub(r"[\s_]", "", text).translate(str.maketrans("₀₁₂₃₄₅₆₇₈₉", "0123456789"))
    if not re.fullmatch(r"(?:[A-Z][a-z]?[0-9]{0,4})+", compact):
        raise ReadError(f"{text[:60]!r} is no molecular formula; expected one of a neutral molecule, such as C9H6O2")
    counts = atoms_of(compact)
    if unknown := [element for element in counts if element not in ELEMENTS]:
        raise ReadError(f"the formula {compact} has {unknown[0]}; models know {', '.join(ELEMENTS)} only")
    if not counts["C"] or max(counts.values()) > MOST:
        raise ReadError(f"the formula {compact} has C{counts['C']}; expected a molecule with 1 to {MOST} carbon atoms")
    found = np.array([counts[element] for element in ELEMENTS])
    if (doubled := _doubled_unsaturation(found[None])[0]) < 0 or doubled % 2:
        raise ReadError(
            f"the formula {compact} is of no neutral molecule: it has {doubled / 2:g} rings and double bonds"
        )
    meta = {"source": compact, "format": "formula"}
    return Spectrum(np.arange(len(ELEMENTS)), found, "element", "atoms", "formula", meta, peaks=True)


def atoms_of(formula: str) -> Counter[str]:
    """Atoms of each element that is named in a formula without brackets."""
    counts: Counter[str] = Counter()
    for element, number in re.findall(r"([A-Z][a-z]?)([0-9]*)", formula):
        counts[element] += int(number or 1)
    return counts


def formulas(smiles: tuple[str, ...]) -> Int[np.ndarray, "molecule 10"]:
    """Atoms of each of `ELEMENTS`; zeros where a molecule has others, is charged, or is no molecule of carbon."""
    from rdkit import Chem

    counts = np.zeros((len(smiles), len(ELEMENTS)), dtype=np.int64)
    for row, text in zip(counts, smiles, strict=True):
        molecule = Chem.MolFromSmiles(text)
        symbols = [atom.GetSymbol() for atom in molecule.GetAtoms()] if molecule is not None else []
        if "C" in symbols and set(symbols) <= set(ELEMENTS) and Chem.GetFormalCharge(molecule) == 0:
            hydrogens = sum(atom.GetTotalNumHs() for atom in molecule.GetAtoms())
            row += [symbols.count(element) + hydrogens * (element == "H") for element in ELEMENTS]
    return counts


def _doubled_unsaturation(counts: Int[np.ndarray, "molecule 10"]) -> Int[np.ndarray, " molecule"]:
    """Twice the rings and double bonds, of nitrogen and phosphorus with three bonds."""
    of = dict(zip(ELEMENTS, counts.T, strict=True))
    return 2 * of["C"] + 2 + of["N"] + of["P"] - of["H"] - of["F"] - of["Cl"] - of["Br"] - of["I"]


def formula_vectors(counts: Int[np.ndarray, "molecule 10"]) -> Float[np.ndarray, "molecule 600"]:
    """What a model reads: 36 numbers from 0 to 1, each held for `STEP` points.

    Sizes (C, H, heavy atoms, unsaturation), H, N and O per C, then whether there are at least 1, 2, ... of `COUNTED`
    and of rings and double bonds.
    """
    of = dict(zip(ELEMENTS, np.asarray(counts, dtype=np.float64).T, strict=True))
    carbon, unsaturation = np.maximum(of["C"], 1), _doubled_unsaturation(counts) / 2
    heavy = sum(number for element, number in of.items() if element != "H")
    numbers = [of["C"] / 40, of["H"] / 60, heavy / 50, unsaturation / 20]
    numbers += [of["H"] / (2 * carbon + 2), of["N"] / carbon, of["O"] / carbon]
    numbers += [of[element] >= k for element, most in COUNTED.items() for k in range(1, most + 1)]
    numbers += [unsaturation >= k for k in range(1, UNSATURATIONS + 1)]
    x = np.zeros((len(counts), 600), dtype=np.float32)
    x[:, : STEP * len(numbers)] = np.repeat(np.clip(np.stack(numbers, axis=1), 0, 1), STEP, axis=1)
    return x

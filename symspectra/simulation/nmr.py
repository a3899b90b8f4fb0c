"""13C and 1H line lists from shifts, symmetry and one conformer.

Equivalent atoms are merged. Couplings are first order, between hydrogens on carbon only (none to 19F or 31P), with
typical values (`*_J` below, Hz; Pretsch, Buehlmann, Badertscher, Structure Determination of Organic Compounds, 4th
ed., Springer 2009, chapter 5, except ring sp3 bonds: Karplus, J. Chem. Phys. 30, 11 (1959), from the conformer).

Hydrogens on O, N and S exchange and associate, so that a gas-phase shift has no meaning in solution. They get the
centre and spread of their kind (`labile_shift`) after the ranges for dilute solutions of the same book (chapter 5,
OH, NH and SH) and of Silverstein, Webster, Kiemle, Spectrometric Identification of Organic Compounds, 7th ed., 2005,
chapter 3.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

import numpy as np
from jaxtyping import Float, Int
from rdkit import Chem
from rdkit.Chem import BondType, HybridizationType

from symspectra.simulation.shifts import equivalence_classes

ORTHO_J = 7.8
META_J = 1.5
PYRIDINE_J = 5.0  # ortho, one carbon beside a ring nitrogen
FIVE_RING_J = 3.5  # neighbours in a five-membered aromatic ring
CIS_J = 10.5
TRANS_J = 16.5
RING_CIS_J = {3: 1.3, 4: 2.8, 5: 5.5}  # H-C=C-H in a small ring
GEMINAL_J = 1.5
ALDEHYDE_J = 2.5
CONJUGATED_ALDEHYDE_J = 8.0
CHAIN_J = 7.0
VINYLIC_J = 6.5  # H-C(sp3)-C(sp2)-H
DIENE_J = 10.5  # H-C(sp2)-C(sp2)-H
ALLYLIC_J = 1.2
PROPARGYLIC_J = 2.6
SMALLEST_J = 0.8
MOST_TERMS = 4
LABILE = (7, 8, 16)  # H on N, O, S


def nmr_lines(mol: Chem.Mol, xyz: Float[np.ndarray, "atom 3"], shifts: Float[np.ndarray, " atom"]) -> dict[str, list]:
    """NMR columns of a line-list row; 13C and 1H each by descending shift.

    Parameters
    ----------
    mol, xyz : with explicit hydrogens, and its geometry in Angstrom
    shifts : of every C and H in ppm, as `predict_shifts` returns them

    Returns
    -------
    c13_ppm, c13_count, c13_hydrogens : shift, equivalent carbons, hydrogens on each of them
    h1_ppm, h1_count : shift and equivalent hydrogens
    h1_couplings : ``"7.0*3 1.5*1"``, J in Hz times the number of equivalent partners, ``""`` for a singlet
    h1_spread : 0 for a fixed shift, else the half width in ppm of the range of a labile hydrogen
    """
    classes = magnetic_classes(mol, xyz)
    groups: dict[int, list[int]] = defaultdict(list)
    for index, rank in enumerate(classes.tolist()):
        groups[rank].append(index)
    carbon, hydrogen = [], []
    for members in groups.values():
        atom = mol.GetAtomWithIdx(members[0])
        ppm = float(np.mean(shifts[members], dtype=np.float64))
        if atom.GetAtomicNum() == 6:
            carbon.append((round(ppm, 1), len(members), len(_hydrogens(atom))))
        elif atom.GetAtomicNum() == 1:
            labile = labile_shift(atom)
            centre, spread = labile or (round(ppm, 2), 0.0)
            couplings = "" if labile else _couplings(mol, xyz, classes, members)
            hydrogen.append((centre, len(members), couplings, spread))
    columns = (
        ("c13", ("ppm", "count", "hydrogens"), carbon),
        ("h1", ("ppm", "count", "couplings", "spread"), hydrogen),
    )
    return {
        f"{nucleus}_{name}": [line[k] for line in sorted(lines, reverse=True)]
        for nucleus, names, lines in columns
        for k, name in enumerate(names)
    }


def magnetic_classes(mol: Chem.Mol, xyz: Float[np.ndarray, "atom 3"]) -> Int[np.ndarray, " atom"]:
    """Equivalence classes, the two sides of an unsymmetric double bond told apart.

    The bond graph alone makes the hydrogens of vinyl acetate's =CH2 equivalent, or the methyls of an isobutenyl group;
    each is marked here as cis or trans (from the geometry) to the other end's substituent of highest rank.
    """
    classes = equivalence_classes(mol)
    marked = None
    for bond in mol.GetBonds():
        if bond.GetBondType() != BondType.DOUBLE:
            continue
        for near, far in ((bond.GetBeginAtom(), bond.GetEndAtom()), (bond.GetEndAtom(), bond.GetBeginAtom())):
            pair = [a.GetIdx() for a in near.GetNeighbors() if a.GetIdx() != far.GetIdx()]
            others = [a.GetIdx() for a in far.GetNeighbors() if a.GetIdx() != near.GetIdx()]
            if near.GetAtomicNum() != 6 or len(pair) != 2 or classes[pair[0]] != classes[pair[1]]:
                continue
            if far.GetAtomicNum() not in (6, 7) or len(others) + (far.GetAtomicNum() == 7) != 2:
                continue  # C=O, or a cumulated bond
            if len(set(classes[others])) < len(others):
                continue  # both substituents of the far end alike
            highest = max(others, key=lambda index: classes[index])
            angles = [abs(_dihedral(xyz, a, near.GetIdx(), far.GetIdx(), highest)) for a in pair]
            marked = marked or Chem.Mol(mol)
            marked.GetAtomWithIdx(pair[int(np.argmin(angles))]).SetIsotope(1000)  # a label for the ranking alone
    return classes if marked is None else equivalence_classes(marked)


def labile_shift(hydrogen: Chem.Atom) -> tuple[float, float] | None:
    """Centre and spread in ppm of a hydrogen on O, N or S by its neighbourhood; None on another atom."""
    (x,) = hydrogen.GetNeighbors()
    if x.GetAtomicNum() not in LABILE:
        return None
    others = [atom for atom in x.GetNeighbors() if atom.GetAtomicNum() != 1]
    elements = {atom.GetAtomicNum() for atom in others}

    def beside(these: tuple[int, ...], doubly_bonded_to: tuple[int, ...]) -> bool:
        return any(_double_bonded(atom, doubly_bonded_to) for atom in others if atom.GetAtomicNum() in these)

    acyl, acidic, vinylic = beside((6,), (8, 16)), beside((7, 15, 16), (8,)), beside((6,), (6, 7))
    aromatic = any(atom.GetIsAromatic() for atom in others)
    if x.GetAtomicNum() == 8:
        if acyl or acidic:
            return 11.5, 1.5  # carboxylic, sulfonic, phosphoric
        if 7 in elements:
            return 9.5, 2.0  # oxime, hydroxamic acid, hydroxylamine
        if 8 in elements:
            return 8.5, 1.5  # hydroperoxide
        if vinylic and not aromatic:
            return 10.0, 4.0  # enol
        return (8.0, 3.0) if aromatic else (2.5, 1.5)
    if x.GetAtomicNum() == 16:
        if acyl:
            return 4.5, 1.0  # thioacid
        return (3.4, 0.4) if aromatic else (1.6, 0.5)
    if x.GetFormalCharge() > 0:
        return 7.5, 1.5  # ammonium
    if x.GetIsAromatic() or acyl:
        return 8.0, 1.5  # pyrrole-like, amide
    if acidic:
        return 6.0, 1.5  # sulfonamide, phosphoramide
    if _double_bonded(x, (6, 7)):
        return 8.5, 2.0  # imine
    if beside((7,), (6, 7)):
        return 8.0, 2.0  # hydrazone
    if vinylic and not aromatic:
        return 5.5, 1.5  # amidine, guanidine, enamine
    if aromatic:
        return 4.0, 1.0  # aniline
    return (4.5, 1.5) if elements & {7, 8} else (1.8, 1.0)  # hydrazine, hydroxylamine; amine


def _double_bonded(atom: Chem.Atom, elements: tuple[int, ...]) -> bool:
    return any(
        bond.GetBondType() == BondType.DOUBLE and bond.GetOtherAtom(atom).GetAtomicNum() in elements
        for bond in atom.GetBonds()
    )


def _couplings(mol: Chem.Mol, xyz: np.ndarray, classes: np.ndarray, members: list[int]) -> str:
    terms: dict[tuple[int, str], list[float]] = defaultdict(list)
    for h in members:
        for partner, kind, j in _partners(mol, xyz, h):
            if classes[partner] != classes[h]:
                terms[int(classes[partner]), kind].append(j)
    averaged = [(round(float(np.mean(js)), 1), max(1, round(len(js) / len(members)))) for js in terms.values()]
    kept = sorted((term for term in averaged if term[0] >= SMALLEST_J), reverse=True)[:MOST_TERMS]
    return " ".join(f"{j:.1f}*{n}" for j, n in kept)


def _partners(mol: Chem.Mol, xyz: np.ndarray, h: int) -> Iterator[tuple[int, str, float]]:
    """Coupled hydrogens of hydrogen `h`: index, kind and J in Hz."""
    (a,) = mol.GetAtomWithIdx(h).GetNeighbors()
    if a.GetAtomicNum() != 6:
        return
    if _double_bonded(a, (6,)):
        yield from ((partner, "geminal", GEMINAL_J) for partner in _hydrogens(a) if partner != h)
    for first in a.GetBonds():
        b = first.GetOtherAtom(a)
        if b.GetAtomicNum() != 6:
            continue
        for partner in _hydrogens(b):
            yield partner, "vicinal", _vicinal_j(first, _dihedral(xyz, h, a.GetIdx(), b.GetIdx(), partner))
        for second in b.GetBonds():
            c = second.GetOtherAtom(b)
            if c.GetIdx() == a.GetIdx() or c.GetAtomicNum() != 6:
                continue
            if j := _long_range_j(first, second, a, c):
                yield from ((partner, "long range", j) for partner in _hydrogens(c))


def _hydrogens(atom: Chem.Atom) -> list[int]:
    return [neighbour.GetIdx() for neighbour in atom.GetNeighbors() if neighbour.GetAtomicNum() == 1]


def _vicinal_j(bond: Chem.Bond, angle: float) -> float:
    atoms = (bond.GetBeginAtom(), bond.GetEndAtom())
    if bond.GetIsAromatic():
        if not bond.IsInRingSize(6):
            return FIVE_RING_J
        beside = any(atom.GetIsAromatic() and atom.GetAtomicNum() == 7 for x in atoms for atom in x.GetNeighbors())
        return PYRIDINE_J if beside else ORTHO_J
    if bond.GetBondType() == BondType.DOUBLE:
        in_ring = [j for size, j in RING_CIS_J.items() if bond.IsInRingSize(size)]
        return in_ring[0] if in_ring else CIS_J if abs(angle) < 90 else TRANS_J
    saturated = [atom.GetHybridization() == HybridizationType.SP3 for atom in atoms]
    if any(_double_bonded(atom, (8,)) for atom in atoms):
        return ALDEHYDE_J if any(saturated) else CONJUGATED_ALDEHYDE_J
    if bond.IsInRing() and any(saturated):
        return karplus(angle)
    if all(saturated):
        return CHAIN_J
    return VINYLIC_J if any(saturated) else DIENE_J


def _long_range_j(first: Chem.Bond, second: Chem.Bond, a: Chem.Atom, c: Chem.Atom) -> float:
    """Four-bond coupling of the hydrogens on `a` and `c`, the ends of two adjacent bonds; 0 where negligible."""
    if first.GetIsAromatic() and second.GetIsAromatic():
        rings = a.GetOwningMol().GetRingInfo().BondRings()
        return META_J if any({first.GetIdx(), second.GetIdx()} <= set(ring) for ring in rings) else 0.0
    kinds = {first.GetBondType(), second.GetBondType()}
    if HybridizationType.SP3 not in (a.GetHybridization(), c.GetHybridization()):
        return 0.0
    if kinds == {BondType.SINGLE, BondType.DOUBLE}:
        return ALLYLIC_J
    return PROPARGYLIC_J if kinds == {BondType.SINGLE, BondType.TRIPLE} else 0.0


def karplus(angle: float) -> float:
    """Vicinal coupling in Hz at a dihedral angle in degrees (Karplus, J. Chem. Phys. 30, 11 (1959))."""
    cosine = np.cos(np.radians(angle))
    return float(max(0.0, (8.5 if cosine > 0 else 9.5) * cosine**2 - 0.28))


def _dihedral(xyz: np.ndarray, i: int, j: int, k: int, m: int) -> float:
    """Dihedral angle i-j-k-m in degrees, -180 to 180."""
    axis = xyz[k] - xyz[j]
    left, right = np.cross(xyz[i] - xyz[j], axis), np.cross(xyz[m] - xyz[k], axis)
    return float(np.degrees(np.arctan2(np.cross(left, right) @ axis / np.linalg.norm(axis), left @ right)))

"""MS/MS spectra of [M+H]+ and [M-H]-, and electron ionisation, from a combinatorial bond-cut tree.

Fragments are connected sets of heavy atoms, reached by up to three steps. A step takes one side of a minimal cut: an
acyclic bond, two bonds of one ring, or, in fused rings, one bond of each ring and the bond they share. Each set is
combined with hydrogen shifts; only ions whose hydrogen count their skeleton can carry are kept, in MS/MS only
even-electron ones. The idea of bond-cut trees is that of MetFrag (Wolf et al., BMC Bioinformatics 11, 148, 2010) and
CFM-ID (Allen et al., Metabolomics 11, 98, 2015).

The intensity of an ion is ``exp(-sum_k parameter_k * descriptor_k)``, summed over all ways to the same formula; see
`DESCRIPTORS`. MS/MS are fitted on CFM-ID at 40 eV (``docs/fits/fit_fragmentation.py``): they imitate CFM-ID, not an
instrument, without odd-electron ions, isotope peaks and protonated alkanes. Electron ionisation is fitted on measured
spectra (``docs/fits/fit_electron_ionisation.py``), with the isotopes of C, Si, S, Cl and Br. Rearrangements of the
skeleton (loss of NO from nitroarenes, say) are modelled in neither.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int, UInt64
from rdkit import Chem

Polarity = Literal["positive", "negative"]
Ionisation = Literal["positive", "negative", "ei"]  # of MS/MS by its polarity, or electron ionisation
PARAMETERS = Path(__file__).parent.parent / "data" / "fragmentation.json"
MAX_PEAKS, MIN_INTENSITY = 50, 0.01  # the latter of the base peak
MAX_HEAVY_ATOMS, DEPTH = 63, 3  # one bit an atom; steps of the tree
HYDROGEN_SHIFTS = range(-5, 5)  # relative to [M+H]+, [M-H]- or M+.
MAX_SIDES, MAX_PAIRS, MAX_FRAGMENTS = 300, 40_000, 2_000  # the cheapest ones, a level of the tree

ELECTRON_MASS, HYDROGEN_MASS = 0.000548579909, 1.00782503207
AROMATIC_ORDER = 1.4  # mean Wiberg order of aromatic C-C bonds is 1.39 (GFN2-xTB)
# Valences that count for the degree of unsaturation; S=O and P=O do not count.
VALENCE = {5: 3, 6: 4, 7: 3, 8: 2, 9: 1, 14: 4, 15: 3, 16: 2, 17: 1, 34: 2, 35: 1, 53: 1}
# Mean single-bond energies, kJ/mol (Huheey, Keiter and Keiter, Inorganic Chemistry, 4th ed., appendix E; rounded).
SINGLE_BOND_ENERGY = {
    (6, 6): 347, (6, 7): 305, (6, 8): 358, (6, 9): 485, (6, 14): 318, (6, 15): 264, (6, 16): 272, (6, 17): 328,
    (6, 35): 276, (6, 53): 240, (7, 7): 163, (7, 8): 201, (7, 15): 290, (7, 16): 200, (8, 8): 146, (8, 14): 452,
    (8, 15): 335, (8, 16): 265, (5, 6): 356, (5, 8): 536, (16, 16): 240,
}  # fmt: skip
OTHER_BOND_ENERGY, CC_ENERGY = 280.0, 347.0  # the latter is the unit of energy in the descriptors
# Isotopes that count in electron ionisation: mass and abundance relative to the most common one (RDKit's table).
ISOTOPES = {
    "C": (1.003355, 0.010816), "Si": (0.999568, 0.050778), "S": (1.995796, 0.045191), "Cl": (1.99705, 0.319609),
    "Br": (1.997954, 0.972776),
}  # fmt: skip
MOST_HEAVIER, LEAST_SHARE = 6, 1e-3  # heavier atoms of an element in an ion, and share of its ions of a formula
CHARGE = {"positive": 1, "negative": -1, "ei": 1}
ADDED_HYDROGENS = {"positive": 1, "negative": -1, "ei": 0}
TYPICAL_UNSATURATION = 0.6  # rings and double bonds a heavy atom of a typical 40 eV fragment ion
DESCRIPTORS = {
    "bond_energy": "energy of the bonds cut, scaled by bond order, in units of a C-C single bond",
    "cuts": "number of bonds cut",
    "hydrogen_shift_squared": "hydrogens gained or lost relative to [M+H]+, [M-H]- or M+., squared",
    "unsaturation_deviation": "|rings and double bonds a heavy atom - 0.6|",
    "smallness": "1 / (number of heavy atoms)^2",
    "lost_atoms": "number of heavy atoms lost, at most 6",
    "heteroatom_share": "share of atoms other than carbon",
    "heavy_element_share": "share of atoms beyond oxygen",
    "saturated_carbon_share": "share of carbon atoms with single bonds only",
    "heteroatom_ends": "number of atoms other than carbon where a bond was cut",
    "odd_electron": "1 for radical cations",
    "molecular_ion": "1 for M+. itself",
    "ring_cuts": "number of ring bonds cut",
    "aromatic_molecular_ion": "share of aromatic atoms of M+. itself, 0 for other ions",
    "alpha_ends": "number of saturated carbon atoms where a bond was cut, bound to N, O or S in the fragment",
    "acyl_ends": "number of unsaturated carbon atoms where a bond was cut, bound to N, O or S in the fragment",
    "benzylic_ends": "number of saturated carbon atoms where a bond was cut, bound in the fragment to unsaturated ones",
    "unsaturated_ends": "number of unsaturated carbon atoms where a bond was cut, not bound to N, O or S",
    "aromatic_share": "share of aromatic atoms",
    "size": "number of heavy atoms",
}


class HeavyAtomGraph(NamedTuple):
    """Heavy atoms and the bonds between them, with energies; hydrogens are counts."""

    z: Int[np.ndarray, " atom"]
    hydrogens: Int[np.ndarray, " atom"]
    saturated: Bool[np.ndarray, " atom"]  # single bonds only
    aromatic: Bool[np.ndarray, " atom"]
    bonds: Int[np.ndarray, "bond 2"]
    energy: Float[np.ndarray, " bond"]  # in units of a C-C single bond
    acyclic: Bool[np.ndarray, " bond"]
    rings: tuple[tuple[int, ...], ...]  # bond indices
    neighbours: list[int]  # of every atom, as a bit mask


@lru_cache
def load_parameters() -> dict[Ionisation, Mapping[str, float]]:
    """The fitted parameters of both polarities and of electron ionisation, read once."""
    content = json.loads(PARAMETERS.read_text(encoding="utf-8"))
    return content["parameters"] | {"ei": content["ei"]["parameters"]}


def heavy_atom_graph(mol: Chem.Mol, wiberg_order: Float[np.ndarray, " bond"] | None) -> HeavyAtomGraph:
    """Graph of a neutral, connected molecule; see `fragment` for the arguments and errors."""
    atoms = [a for a in mol.GetAtoms() if a.GetAtomicNum() > 1]
    if not 1 <= len(atoms) <= MAX_HEAVY_ATOMS:
        raise ValueError(f"molecule has {len(atoms)} heavy atoms; expected 1 to {MAX_HEAVY_ATOMS}")
    if unknown := {a.GetSymbol() for a in atoms if a.GetAtomicNum() not in VALENCE}:
        raise ValueError(f"{Chem.MolToSmiles(mol)}: element {', '.join(sorted(unknown))} is not supported")
    formal = [AROMATIC_ORDER if b.GetIsAromatic() else b.GetBondTypeAsDouble() for b in mol.GetBonds()]
    order = np.asarray(formal if wiberg_order is None else wiberg_order, dtype=float)
    position = {a.GetIdx(): k for k, a in enumerate(atoms)}
    heavy = [b for b in mol.GetBonds() if b.GetBeginAtomIdx() in position and b.GetEndAtomIdx() in position]
    bonds = [(position[b.GetBeginAtomIdx()], position[b.GetEndAtomIdx()]) for b in heavy]
    number = {b.GetIdx(): k for k, b in enumerate(heavy)}
    pairs = [tuple(sorted((b.GetBeginAtom().GetAtomicNum(), b.GetEndAtom().GetAtomicNum()))) for b in heavy]
    single = np.array([SINGLE_BOND_ENERGY.get(pair, OTHER_BOND_ENERGY) for pair in pairs], dtype=float)
    rings = [list(r) for r in Chem.GetSymmSSSR(mol)]  # the symmetrised set does not depend on the atom order
    return HeavyAtomGraph(
        z=np.array([a.GetAtomicNum() for a in atoms]),
        hydrogens=np.array([a.GetTotalNumHs(includeNeighbors=True) for a in atoms]),
        saturated=np.array([all(formal[b.GetIdx()] == 1 for b in a.GetBonds()) for a in atoms]),
        aromatic=np.array([a.GetIsAromatic() for a in atoms]),
        bonds=np.array(bonds, dtype=int).reshape(-1, 2),
        energy=single * order[[b.GetIdx() for b in heavy]] / CC_ENERGY,
        acyclic=np.array([not b.IsInRing() for b in heavy], dtype=bool),
        rings=tuple(
            tuple(number[mol.GetBondBetweenAtoms(r[k - 1], r[k]).GetIdx()] for k in range(len(r))) for r in rings
        ),
        neighbours=[sum(1 << i + j - atom for i, j in bonds if atom in (i, j)) for atom in range(len(atoms))],
    )


def _sides(graph: HeavyAtomGraph) -> UInt64[np.ndarray, " fragment"]:
    """Both sides of every minimal cut, as bit masks."""
    everything, found, bonds = (1 << len(graph.z)) - 1, set(), graph.bonds.tolist()
    cuts = [(int(k),) for k in np.flatnonzero(graph.acyclic)]
    cuts += [pair for ring in graph.rings for pair in itertools.combinations(ring, 2)]
    for first, second in itertools.combinations(map(set, graph.rings), 2):
        cuts += itertools.product(first - second, first & second, second - first)
    for cut in cuts:
        left = list(graph.neighbours)
        for i, j in (bonds[k] for k in cut):
            left[i] &= ~(1 << j)
            left[j] &= ~(1 << i)
        side = frontier = 1 << bonds[cut[0]][0]
        while frontier:
            atom = (frontier & -frontier).bit_length() - 1
            new = left[atom] & ~side
            side, frontier = side | new, (frontier & (frontier - 1)) | new
        if side != everything:  # what is left over may be two pieces: `_components` separates them
            found |= {side, everything ^ side}
    return _components(np.array(sorted(found), dtype=np.uint64), graph.neighbours)


def _components(masks: UInt64[np.ndarray, " set"], neighbours: list[int]) -> UInt64[np.ndarray, " fragment"]:
    """Connected components of sets of atoms, each once."""
    one, zero = np.uint64(1), np.uint64(0)
    found, rest = [masks[:0]], np.unique(masks[masks > 0])
    while len(rest):
        piece = rest & (~rest + one)  # lowest atom
        grown = masks[:0]
        while not np.array_equal(piece, grown):
            grown = piece
            for atom, adjacent in enumerate(neighbours):
                piece = piece | np.where((piece >> np.uint64(atom)) & one, rest & np.uint64(adjacent), zero)
        found.append(piece)
        rest = np.unique((rest & ~piece)[rest != piece])
    return np.unique(np.concatenate(found))


def _cut_energy(masks: UInt64[np.ndarray, " fragment"], graph: HeavyAtomGraph) -> Float[np.ndarray, " fragment"]:
    energy = np.zeros(len(masks))
    for (i, j), bond in zip(graph.bonds.astype(np.uint64), graph.energy, strict=True):
        energy += (((masks >> i) ^ (masks >> j)) & np.uint64(1)) * bond
    return np.round(energy, 6)  # equal under renumbering of the atoms


def _cheapest(energy: Float[np.ndarray, " item"], most: int) -> Bool[np.ndarray, " item"]:
    """At most `most` items; of equals at the border none, so that the atom order does not matter."""
    return energy < (np.partition(energy, most)[most] - 1e-5 if len(energy) > most else np.inf)


def enumerate_fragments(graph: HeavyAtomGraph) -> UInt64[np.ndarray, " fragment"]:
    """Bit masks of the molecule and its fragments, at most `MAX_SIDES` + 2 * `MAX_FRAGMENTS` + 1."""
    sides = _sides(graph)
    level = sides = sides[_cheapest(_cut_energy(sides, graph), MAX_SIDES)]
    level_energy = side_energy = _cut_energy(sides, graph)
    known = np.append(sides, np.uint64((1 << len(graph.z)) - 1))
    for _ in range(DEPTH - 1):
        pairs = (level[:, None] & sides).ravel()
        pairs = pairs[_cheapest((level_energy[:, None] + side_energy).ravel(), MAX_PAIRS)]
        level = np.setdiff1d(_components(np.setdiff1d(pairs, known), graph.neighbours), known)
        level = level[_cheapest(_cut_energy(level, graph), MAX_FRAGMENTS)]
        level_energy = _cut_energy(level, graph)
        known = np.union1d(known, level)
    return known


class Tree(NamedTuple):
    """Fragments of a molecule, of which MS/MS and electron ionisation make their ions."""

    graph: HeavyAtomGraph
    masks: UInt64[np.ndarray, " fragment"]


def fragment_tree(mol: Chem.Mol, wiberg_order: Float[np.ndarray, " bond"] | None) -> Tree:
    """All fragments of a molecule; arguments and errors as of `fragment`."""
    graph = heavy_atom_graph(mol, wiberg_order)
    return Tree(graph, enumerate_fragments(graph))


def ions(
    tree: Tree, ionisation: Ionisation, names: tuple[str, ...]
) -> tuple[Float[np.ndarray, " ion"], Float[np.ndarray, "ion descriptor"]]:
    """M/z and named descriptors of all ions, once for every way to a formula; in MS/MS they are even-electron.

    In electron ionisation, a name may be a symbol of `ISOTOPES`: the number of its atoms in the ion.
    """
    charge, added, graph = CHARGE[ionisation], ADDED_HYDROGENS[ionisation], tree.graph
    z, n, most = graph.z, len(graph.z), graph.hydrogens.sum() + added
    masks = tree.masks if most >= 0 else tree.masks[:0]
    inside = ((masks[:, None] >> np.arange(n, dtype=np.uint64)) & np.uint64(1)).astype(np.int64)
    begin, end = inside[:, graph.bonds[:, 0]], inside[:, graph.bonds[:, 1]]
    cut, size, ends = begin != end, inside.sum(1), np.zeros_like(inside)
    for k, pair in enumerate(graph.bonds):
        ends[:, pair] |= cut[:, k, None] & inside[:, pair]
    descriptors = {
        "bond_energy": _cut_energy(masks, graph),
        "cuts": cut.sum(1),
        "smallness": 1 / size**2,
        "lost_atoms": np.minimum(n - size, 6),
        "heteroatom_share": inside @ (z != 6) / size,
        "heavy_element_share": inside @ (z > 8) / size,
        "saturated_carbon_share": inside @ ((z == 6) & graph.saturated) / size,
        "heteroatom_ends": ends @ (z != 6),
    }
    if ionisation == "ei":
        descriptors |= _of_electron_ionisation(graph, inside, ends, cut)
    isotope_mass = Chem.GetPeriodicTable().GetMostCommonIsotopeMass
    # mass from element counts: the same formula gives the same float
    mass = sum(inside @ (z == element) * isotope_mass(int(element)) for element in np.unique(z))
    valence = inside @ np.array([VALENCE[int(element)] - 2 for element in z])
    rings = (begin & end).sum(1) - size + 1
    # A cation saturated at a heteroatom (onium ion) has -1/2, every other ion at least its rings + 1/2.
    least = 2 * rings + np.where((inside @ (z != 6) > 0) & (charge > 0), -1, 1)
    all_mz, tables = [], []
    for shift in HYDROGEN_SHIFTS:
        hydrogens = inside @ graph.hydrogens + added + shift
        unsaturation = 2 + valence - hydrogens  # twice the rings and double bonds; odd for even-electron ions
        odd_electron = unsaturation % 2 == 0
        keep = (hydrogens >= 0) & (hydrogens <= most) & (unsaturation >= np.where(odd_electron, 2 * rings, least))
        if ionisation != "ei":
            keep &= ~odd_electron
        here = descriptors | {
            "hydrogen_shift_squared": np.full(len(masks), shift**2),
            "odd_electron": odd_electron,
            "molecular_ion": (size == n) & (shift == 0),
            "aromatic_molecular_ion": ((size == n) & (shift == 0)) * graph.aromatic.mean(),
            "unsaturation_deviation": np.abs(unsaturation / 2 / size - TYPICAL_UNSATURATION),
        }
        all_mz.append((mass + hydrogens * HYDROGEN_MASS - charge * ELECTRON_MASS)[keep])
        tables.append(np.array([here[name][keep] for name in names], dtype=float).reshape(len(names), keep.sum()).T)
    return np.concatenate(all_mz), np.concatenate(tables)


def _of_electron_ionisation(
    graph: HeavyAtomGraph,
    inside: Int[np.ndarray, "fragment atom"],
    ends: Int[np.ndarray, "fragment atom"],
    cut: Bool[np.ndarray, "fragment bond"],
) -> dict[str, np.ndarray]:
    """Descriptors that MS/MS do not use, and the numbers of atoms of `ISOTOPES`."""
    z, n = graph.z, len(graph.z)
    adjacency = np.zeros((n, n), dtype=np.int64)
    adjacency[graph.bonds[:, 0], graph.bonds[:, 1]] = adjacency[graph.bonds[:, 1], graph.bonds[:, 0]] = 1
    carbon, size = z == 6, inside.sum(1)
    donor = (inside * ((z == 7) | (z == 8) | (z == 16))) @ adjacency > 0
    unsaturated = (inside * (carbon & ~graph.saturated)) @ adjacency > 0
    return {
        "ring_cuts": (cut & ~graph.acyclic).sum(1),
        "alpha_ends": (ends * (carbon & graph.saturated) * donor).sum(1),
        "acyl_ends": (ends * (carbon & ~graph.saturated) * donor).sum(1),
        "benzylic_ends": (ends * (carbon & graph.saturated) * unsaturated).sum(1),
        "unsaturated_ends": (ends * (carbon & ~graph.saturated) * ~donor).sum(1),
        "aromatic_share": inside @ graph.aromatic / size,
        "size": size,
        **{symbol: inside @ (z == Chem.GetPeriodicTable().GetAtomicNumber(symbol)) for symbol in ISOTOPES},
    }


def isotope_peaks(
    mz: Float[np.ndarray, " formula"], atoms: Float[np.ndarray, "formula element"]
) -> tuple[Int[np.ndarray, " peak"], Float[np.ndarray, " peak"], Float[np.ndarray, " peak"]]:
    """Formula, m/z and share of its ions of every peak of at least `LEAST_SHARE`; ``atoms`` are those of `ISOTOPES`."""
    formula, share = np.arange(len(mz)), np.ones(len(mz))
    for number, (difference, ratio) in zip(atoms.T, ISOTOPES.values(), strict=True):
        n, parts = number[formula], []
        part = share * (1 + ratio) ** -n
        for heavier in range(min(MOST_HEAVIER, int(n.max(initial=0))) + 1):
            if heavier:
                part = part * (n - heavier + 1) / heavier * ratio
            kept = part >= LEAST_SHARE
            parts.append((formula[kept], mz[kept] + heavier * difference, part[kept]))
        formula, mz, share = (np.concatenate(pieces) for pieces in zip(*parts, strict=True))
    return formula, mz, share


def _at_whole_masses(
    mz: Float[np.ndarray, " formula"],
    intensity: Float[np.ndarray, " formula"],
    atoms: Float[np.ndarray, "formula element"],
) -> tuple[Float[np.ndarray, " peak"], Float[np.ndarray, " peak"]]:
    """One peak per whole mass, at the mean m/z of all isotopes there."""
    formula, mz, share = isotope_peaks(mz, atoms)
    intensity = intensity[formula] * share
    intensity, mz = intensity[intensity > 0], mz[intensity > 0]
    _, mass = np.unique(np.rint(mz), return_inverse=True)
    total = np.bincount(mass, intensity)
    return np.round(np.bincount(mass, intensity * mz) / total, 3), total


def spectrum_from_ions(
    mz: Float[np.ndarray, " ion"],
    exponent: Float[np.ndarray, " ion"],
    atoms: Float[np.ndarray, "ion element"] | None = None,
) -> tuple[Float[np.ndarray, " peak"], Float[np.ndarray, " peak"]]:
    """Sum ``exp(exponent)`` by formula and keep the `MAX_PEAKS` largest of at least `MIN_INTENSITY`.

    With ``atoms``, the numbers of those of `ISOTOPES` in each ion, the peaks are those of the isotopes at whole masses.
    """
    if not len(mz):
        return np.zeros(0), np.zeros(0)
    peak_mz, first, formula = np.unique(np.round(mz, 5), return_index=True, return_inverse=True)
    intensity = np.bincount(formula, np.exp(exponent - exponent.max()))
    if atoms is not None:
        peak_mz, intensity = _at_whole_masses(peak_mz, intensity, atoms[first])
    intensity = np.round(intensity / intensity.max(), 6)  # so that renumbered atoms give the same peaks
    best = np.lexsort((peak_mz, -intensity))[:MAX_PEAKS]
    best = np.sort(best[intensity[best] >= MIN_INTENSITY])
    return peak_mz[best], intensity[best]


def fragment(
    mol: Chem.Mol,
    wiberg_order: Float[np.ndarray, " bond"] | None,
    ionisation: Ionisation,
    parameters: Mapping[str, float] | None = None,
    tree: Tree | None = None,
) -> tuple[Float[np.ndarray, " peak"], Float[np.ndarray, " peak"]]:
    """Simulated MS/MS spectrum of [M+H]+ or [M-H]- at about 40 eV, or spectrum of electron ionisation at 70 eV.

    ``mol`` is a neutral, connected molecule of 1 to 63 heavy atoms, with or without explicit hydrogens; isotope labels
    are ignored. ``wiberg_order`` is in the order of ``mol.GetBonds()``, or of ``AddHs(mol).GetBonds()`` as in quantum
    records, None for formal orders (aromatic 1.4); only bonds between heavy atoms are read. ``parameters`` are weights
    by name of `DESCRIPTORS`, None for the fitted ones; ``tree`` is that of the molecule, None to make it.

    Returns ascending m/z, and intensity relative to the base peak (1): at most 50 peaks of at least 0.01, none for a
    molecule without hydrogen in negative mode, which has no [M-H]-. Electron ionisation has one peak per whole mass, at
    the mean m/z of the ions there. A ValueError says that the molecule is too large or
    has an element outside `VALENCE`.
    """
    if parameters is None:
        parameters = load_parameters()[ionisation]
    elements = tuple(ISOTOPES) if ionisation == "ei" else ()
    mz, table = ions(tree or fragment_tree(mol, wiberg_order), ionisation, (*parameters, *elements))
    exponent = -table[:, : len(parameters)] @ np.array(list(parameters.values()), dtype=float)
    return spectrum_from_ions(mz, exponent, table[:, len(parameters) :] if elements else None)

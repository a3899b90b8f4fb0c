"""Dipole derivatives of a molecule from fitted charges and charge flux: infrared intensities for a force field.

The dipole is a sum over bonds of a charge times the bond vector, ``sum_b q_b r_b``. The charge of a bond depends on its
own atoms and on the atoms beside them, and flows when the bond, a bond beside it or an angle at one of its ends changes
(charge flux: Decius, J. Mol. Spectrosc. 57, 348, 1975; Gussoni, J. Mol. Struct. 113, 323, 1984). An atom that leaves
the plane of a planar centre moves a charge of its own, as the pi electrons follow.

All of it is linear in the parameters, which are fitted on GFN2-xTB dipole derivatives
(``docs/fits/fit_flux.py``). Every parameter exists for coarse types (element and number of neighbours) and,
added to it, for MMFF94 types: what the data say little about stays near the coarse value.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int
from rdkit import Chem
from rdkit.Chem import AllChem

from symspectra.errors import DataError
from symspectra.simulation.quantum import SimulationError

PARAMETERS = Path(__file__).parent.parent / "data" / "charge_flux.json"
LINEAR_SINE = 0.1  # an angle with a smaller sine has no usable derivative, and no flux


class Terms(NamedTuple):
    """What the dipole consists of: term t adds ``value[name[t]] * direction[t]`` for a unit of its coordinate."""

    names: list[str]  # of the parameter of each term: kind, then types, such as "stretch C3 O1"
    coordinate: Int[np.ndarray, " term"]
    direction: Float[np.ndarray, "term 3"]  # angstrom, or 1
    slopes: Float[np.ndarray, "coordinate atoms*3"]  # of each coordinate by the positions


@lru_cache
def load_parameters() -> Mapping[str, float]:
    """The fitted parameters by name: charges in e, flux in e per angstrom or radian; read once."""
    try:
        return json.loads(PARAMETERS.read_text(encoding="utf-8"))["parameters"]
    except (LookupError, TypeError, ValueError) as error:
        raise DataError(f"{PARAMETERS}: cannot be read ({error}); install the package again") from error


def atom_types(mol: Chem.Mol) -> list[tuple[str, str]]:
    """Coarse and MMFF94 type of every atom of a molecule with explicit hydrogens.

    Raises
    ------
    SimulationError : MMFF94 has no type for an atom.
    """
    properties = AllChem.MMFFGetMoleculeProperties(mol)
    if properties is None:
        raise SimulationError("an atom has no MMFF94 type")
    return [(coarse_type(atom), str(properties.GetMMFFAtomType(k))) for k, atom in enumerate(mol.GetAtoms())]


def coarse_type(atom: Chem.Atom) -> str:
    """Element and number of neighbours, such as ``C4``; ``H`` alone."""
    return "H" if atom.GetAtomicNum() == 1 else f"{atom.GetSymbol()}{atom.GetDegree()}"


def dipole_terms(mol: Chem.Mol, xyz: Float[np.ndarray, "atom 3"]) -> Terms:
    """Terms of the dipole at a geometry (angstrom) of a molecule with explicit hydrogens; errors as of `atom_types`."""
    types = atom_types(mol)
    bonds = np.array([(b.GetBeginAtomIdx(), b.GetEndAtomIdx()) for b in mol.GetBonds()]).reshape(-1, 2)
    number = {(i, j): k for k, pair in enumerate(bonds.tolist()) for i, j in (pair, pair[::-1])}
    around = [[n.GetIdx() for n in atom.GetNeighbors()] for atom in mol.GetAtoms()]
    angles = [(i, j, k) for j, near in enumerate(around) for m, i in enumerate(near) for k in near[m + 1 :]]
    angles = np.array(angles, dtype=int).reshape(-1, 3)
    planar = [j for j, atom in enumerate(mol.GetAtoms()) if len(around[j]) == 3 and _is_sp2(atom)]
    wags = np.array([(*around[j][m:], *around[j][:m], j) for j in planar for m in range(3)], dtype=int).reshape(-1, 4)

    vectors = xyz[bonds[:, 1]] - xyz[bonds[:, 0]]
    lengths = _slopes(bonds, np.stack([-vectors, vectors], 1) / np.linalg.norm(vectors, axis=1)[:, None, None], xyz)
    out_of_plane, normals = _wag_slopes(wags, xyz)
    components = np.repeat(np.eye(3)[None], len(bonds), 0)  # of the bond vectors
    parts = [_slopes(bonds, np.stack([-components[:, :, k], components[:, :, k]], 1), xyz) for k in range(3)]
    slopes = np.concatenate([lengths, _angle_slopes(angles, xyz), out_of_plane, *parts])
    first_angle, first_wag = len(bonds), len(bonds) + len(angles)
    first_part = first_wag + len(wags)

    # Every angle twice: the charge of the bond from its centre to either end, and what is at the other end.
    near = np.concatenate([angles, angles[:, ::-1]])
    bond = np.array([number[j, i] for i, j, _ in near.tolist()], dtype=int)
    other = np.array([number[j, k] for _, j, k in near.tolist()], dtype=int)
    outward = np.where(bonds[bond, 0] == near[:, 1], 1.0, -1.0)
    angle = first_angle + np.tile(np.arange(len(angles)), 2)
    names: list[str] = []
    coordinate, direction = [], []

    def add(kind: str, keys: list[str], where: np.ndarray, direct: np.ndarray) -> None:
        names.extend([f"{kind} {key}" for key in keys])
        coordinate.append(where)
        direction.append(direct)

    for level in range(2):
        kinds = [pair[level] for pair in types]
        sense = np.array([(kinds[i] < kinds[j]) * 1.0 - (kinds[i] > kinds[j]) for i, j in bonds.tolist()])
        pairs = [" ".join(sorted((kinds[i], kinds[j]))) for i, j in bonds.tolist()]
        triples = [f"{kinds[i]} {kinds[j]} {kinds[k]}" for i, j, k in near.tolist()]
        add("stretch", pairs, np.arange(len(bonds)), sense[:, None] * vectors)
        add("beside", triples, other, outward[:, None] * vectors[bond])
        add("bend", triples, angle, outward[:, None] * vectors[bond])
        add("wag", [f"{kinds[w[0]]} {kinds[w[3]]}" for w in wags], first_wag + np.arange(len(wags)), normals)
        for axis in range(3):
            start = first_part + axis * len(bonds)
            add("charge", pairs, start + np.arange(len(bonds)), sense[:, None] * np.eye(3)[axis])
            add("charge", triples, start + bond, outward[:, None] * np.eye(3)[axis])
    return Terms(names, np.concatenate(coordinate), np.concatenate(direction), slopes)


def dipole_derivatives(
    mol: Chem.Mol, xyz: Float[np.ndarray, "atom 3"], parameters: Mapping[str, float] | None = None
) -> Float[np.ndarray, "atoms*3 3"]:
    """Derivatives of the dipole by the positions of the atoms, in e (atomic units).

    Parameters
    ----------
    mol, xyz : with explicit hydrogens, and its geometry in angstrom
    parameters : by name, None for the fitted ones

    Raises
    ------
    SimulationError : an atom has no MMFF94 type, or the fit has seen no bond between such elements.
    """
    known = load_parameters() if parameters is None else parameters
    terms = dipole_terms(mol, xyz)
    for bond in mol.GetBonds():
        _check_known(bond, known)
    value = np.array([known.get(name, 0.0) for name in terms.names])
    moved = np.zeros((len(terms.slopes), 3))
    np.add.at(moved, terms.coordinate, value[:, None] * terms.direction)
    return terms.slopes.T @ moved


def _check_known(bond: Chem.Bond, known: Mapping[str, float]) -> None:
    ends = (bond.GetBeginAtom(), bond.GetEndAtom())
    first, second = sorted(map(coarse_type, ends))
    if first != second and f"charge {first} {second}" not in known:
        symbols = "-".join(atom.GetSymbol() for atom in ends)
        raise SimulationError(f"no charge-flux parameters for the bond {symbols} ({first} {second})")


def _is_sp2(atom: Chem.Atom) -> bool:
    return atom.GetHybridization() == Chem.HybridizationType.SP2


def _slopes(atoms: np.ndarray, gradient: np.ndarray, xyz: np.ndarray) -> np.ndarray:
    """Rows of derivatives from those by the atoms of each coordinate: (coordinate, k) and (coordinate, k, 3)."""
    rows = np.zeros((len(atoms), len(xyz), 3))
    rows[np.arange(len(atoms))[:, None], atoms] = gradient
    return rows.reshape(len(atoms), xyz.size)


def _angle_slopes(angles: np.ndarray, xyz: np.ndarray) -> np.ndarray:
    """Of the angles i-j-k, in radian per angstrom; zero for a linear one."""
    first, second = xyz[angles[:, 0]] - xyz[angles[:, 1]], xyz[angles[:, 2]] - xyz[angles[:, 1]]
    long, wide = np.linalg.norm(first, axis=1)[:, None], np.linalg.norm(second, axis=1)[:, None]
    u, v = first / long, second / wide
    cosine = (u * v).sum(axis=1, keepdims=True)
    sine = np.sqrt(np.maximum(1 - cosine**2, 0))
    usable = sine > LINEAR_SINE
    safe = np.where(usable, sine, 1.0)
    at_i, at_k = usable * (cosine * u - v) / (long * safe), usable * (cosine * v - u) / (wide * safe)
    return _slopes(angles, np.stack([at_i, -at_i - at_k, at_k], 1), xyz)


def _wag_slopes(wags: np.ndarray, xyz: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of the height of the first atom above the plane of the others (the last is the centre), and the normals."""
    outer, left, right = (xyz[wags[:, k]] - xyz[wags[:, 3]] for k in range(3))
    normal = np.cross(left, right)
    normal = normal / np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-6)
    # outer = a left + b right within the plane, so that a rotation of the whole changes no height
    basis = np.stack([left, right], axis=2)
    a, b = (np.linalg.pinv(basis) @ outer[:, :, None])[:, :, 0].T[:, :, None] if len(wags) else np.zeros((2, 0, 1))
    gradient = np.stack([normal, -a * normal, -b * normal, (a + b - 1) * normal], 1)
    return _slopes(wags, gradient, xyz), normal

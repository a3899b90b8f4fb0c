"""Fit the charge flux on GFN2-xTB dipole derivatives and measure it on held-out molecules.

``python docs/fits/fit_flux.py LIST ... --slopes FOLDER --workers 2`` takes molecules from lists of SMILES
(`symspectra.simulation.molecules.read_smiles`), computes their dipole derivatives at the MMFF94 minimum into FOLDER
(half a second per molecule on one core; what is there is not computed again) and writes the parameters.

Fitted are, along the lists, the molecules that have a bond or an angle between MMFF94 types still seen in few of them:
so that rare types are covered. Held out are those whose first InChIKey block has a hash of remainder 0 (the test split
of the `open` data set), without choice.
"""

from __future__ import annotations

import argparse
import json
import os
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import rdkit
from jaxtyping import Float
from rdkit import Chem, rdBase
from tqdm import tqdm
from train_shifts import split_of

from symspectra.files import written
from symspectra.parallel import Workers, chunked
from symspectra.simulation.flux import PARAMETERS, Terms, atom_types, dipole_derivatives, dipole_terms
from symspectra.simulation.force_field import minimum
from symspectra.simulation.molecules import flat_smiles, read_smiles
from symspectra.simulation.quantum import BOHR, SimulationError, Surface, intensities
from symspectra.simulation.shifts import molecule_with_geometry

STEP = 0.01  # bohr: GFN2's field converged to its default leaves 1e-6 e bohr of noise in the dipole
ENOUGH = 15  # molecules with a type of bond or angle, after which it is no reason to take another
MAX_HEAVY = 10  # the cost grows with the third power
FEWEST = 2  # molecules in which a parameter has to occur
RIDGE = 0.5  # weight of the squared parameters (e, e per angstrom, e per radian) beside the squared errors (e)
SHARD = 25
SCHEMA = pa.schema(
    [("smiles", pa.string()), ("xyz_angstrom", pa.list_(pa.float64())), ("slopes", pa.list_(pa.float32()))]
)


class Example(NamedTuple):
    """One molecule at its MMFF94 minimum, and its GFN2 dipole derivatives in e."""

    smiles: str
    xyz: Float[np.ndarray, "atoms 3"]
    slopes: Float[np.ndarray, "atoms*3 3"]


def type_names(smiles: str) -> set[str]:
    """MMFF94 types of the bonds and angles of a molecule; empty where MMFF94 has no types."""
    mol = Chem.AddHs(Chem.MolFromSmiles(smiles))
    try:
        kinds = [fine for _, fine in atom_types(mol)]
    except SimulationError:
        return set()
    names = {" ".join(sorted((kinds[b.GetBeginAtomIdx()], kinds[b.GetEndAtomIdx()]))) for b in mol.GetBonds()}
    for atom in mol.GetAtoms():
        near = [kinds[n.GetIdx()] for n in atom.GetNeighbors()]
        ends = (sorted((a, b)) for k, a in enumerate(near) for b in near[k + 1 :])
        names |= {f"{a} {kinds[atom.GetIdx()]} {b}" for a, b in ends}
    return names


def choose(lists: Iterable[str], molecules: int, held_out: int) -> list[str]:
    """SMILES to compute: at most ``molecules`` to fit on and ``held_out`` others, in the order of the lists."""
    seen: Counter[str] = Counter()
    chosen: dict[str, bool] = {}
    fitted = tested = 0
    with rdBase.BlockLogs():
        for text in lists:
            smiles = flat_smiles(text, MAX_HEAVY)
            if smiles is None or smiles in chosen:
                continue
            if split_of(Chem.MolToInchiKey(Chem.MolFromSmiles(smiles))) == "reserved":
                if tested < held_out and type_names(smiles):
                    chosen[smiles] = True
                    tested += 1
            elif fitted < molecules and any(seen[name] < ENOUGH for name in type_names(smiles)):
                seen.update(type_names(smiles))
                chosen[smiles] = True
                fitted += 1
            if fitted == molecules and tested == held_out:
                break
    return list(chosen)


def quantum_slopes(smiles: str) -> Example:
    """GFN2-xTB dipole derivatives at the MMFF94 minimum, by forward differences; errors as of `minimum`."""
    mol = minimum(smiles)[0]
    xyz = mol.GetConformer().GetPositions()
    surface = Surface(np.array([atom.GetAtomicNum() for atom in mol.GetAtoms()]), xyz / BOHR)
    x = (xyz / BOHR).ravel()
    centre = np.array(surface.point(x).get("dipole"))
    slopes = np.array([surface.point(x + STEP * unit).get("dipole") - centre for unit in np.eye(len(x))]) / STEP
    return Example(smiles, xyz, slopes)


def _write_shard(shard: tuple[Path, list[str]]) -> int:
    path, molecules = shard
    rows = []
    for smiles in molecules:
        try:
            example = quantum_slopes(smiles)
        except SimulationError:
            continue
        rows.append({"smiles": smiles, "xyz_angstrom": example.xyz.ravel(), "slopes": example.slopes.ravel()})
    with written(path) as temporary:
        pq.write_table(pa.Table.from_pylist(rows, schema=SCHEMA), temporary, compression="zstd")
    return len(molecules)


def compute(smiles: list[str], folder: Path, workers: int = 1) -> None:
    """Write the examples of these molecules into shards of a folder; those that are there are not computed again."""
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    known = {example.smiles for example in read_examples(folder)}
    number = len(list(folder.glob("slopes-*.parquet")))
    waiting = [s for s in smiles if s not in known]
    shards = [(folder / f"slopes-{number + k:04d}.parquet", part) for k, part in enumerate(chunked(waiting, SHARD))]
    with Workers(workers) as pool, tqdm(total=len(waiting), unit=" molecules") as bar:
        for done in pool.in_order(_write_shard, shards):
            bar.update(done)


def read_examples(folder: Path) -> Iterator[Example]:
    """Every molecule of the shards in a folder."""
    for path in sorted(folder.glob("slopes-*.parquet")):
        for row in pq.read_table(path).to_pylist():
            xyz, slopes = np.array(row["xyz_angstrom"]).reshape(-1, 3), np.array(row["slopes"]).reshape(-1, 3)
            yield Example(row["smiles"], xyz, slopes)


def design(terms: Terms) -> tuple[list[str], Float[np.ndarray, "element parameter"]]:
    """Names of a molecule's parameters, and the dipole derivatives (flattened) for a unit of each."""
    names, which = np.unique(terms.names, return_inverse=True)
    moved = np.zeros((len(terms.slopes), 3, len(names)))
    np.add.at(moved, (terms.coordinate, slice(None), which), terms.direction)
    return names.tolist(), (terms.slopes.T @ moved.reshape(len(terms.slopes), -1)).reshape(-1, len(names))


def fit(examples: list[Example]) -> dict[str, float]:
    """Parameters by ridge regression, rounded; those of fewer than `FEWEST` molecules are left out."""
    parts = []
    for example in examples:
        mol = molecule_with_geometry(example.smiles, example.xyz)
        parts.append((*design(dipole_terms(mol, example.xyz)), example.slopes.ravel()))
    number = Counter(name for names, _, _ in parts for name in names)
    position = {name: k for k, name in enumerate(sorted(n for n, count in number.items() if count >= FEWEST))}
    square, product = RIDGE * np.eye(len(position)), np.zeros(len(position))
    for names, columns, target in parts:
        used = [k for k, name in enumerate(names) if name in position]
        where = [position[names[k]] for k in used]
        square[np.ix_(where, where)] += columns[:, used].T @ columns[:, used]
        product[where] += columns[:, used].T @ target
    values = np.linalg.solve(square, product)
    found = {name: round(float(v), 3) for name, v in zip(position, values, strict=True)}
    return {name: v for name, v in found.items() if v or name.startswith("charge")}  # which tell the known bonds


def broadened(cm1: np.ndarray, km_mol: np.ndarray) -> Float[np.ndarray, " point"]:
    """Spectrum of Lorentzian lines, half width 8 cm-1, every 4 cm-1 from 400 to 4000 cm-1."""
    return (km_mol / (1 + ((np.arange(400, 4001, 4)[:, None] - cm1) / 8.0) ** 2)).sum(axis=1)


def evaluate(examples: list[Example], parameters: dict[str, float]) -> dict[str, float | int]:
    """R2 of the dipole derivatives over all elements, and cosines of spectra on the same (MMFF94) modes."""
    residual = total = 0.0
    cosines = []
    for example in examples:
        mol, cm1, modes = minimum(example.smiles)
        try:
            slopes = dipole_derivatives(mol, mol.GetConformer().GetPositions(), parameters)
        except SimulationError:
            continue
        residual += ((slopes - example.slopes) ** 2).sum()
        total += (example.slopes**2).sum()
        first, second = (broadened(cm1, intensities(modes, s)) for s in (slopes, example.slopes))
        cosines.append(first @ second / np.sqrt((first @ first) * (second @ second)))
    return {
        "molecules": len(cosines),
        "r2": round(float(1 - residual / total), 4),
        "cosine_mean": round(float(np.mean(cosines)), 4),
        "cosine_median": round(float(np.median(cosines)), 4),
        "cosine_lowest_tenth": round(float(np.quantile(cosines, 0.1)), 4),
    }


def fitted(parts: dict[str, list[Example]], lists: list[Path]) -> dict:
    """Parameters, figures and provenance, as written to the parameter file."""
    parameters = fit(parts["fit"])
    return {
        "parameters": parameters,
        "held_out": evaluate(parts["held_out"], parameters),
        "provenance": {
            "command": "python docs/fits/fit_flux.py",
            "lists": [path.name for path in lists],
            "reference": f"GFN2-xTB dipole derivatives (tblite) at MMFF94 minima, forward differences, {STEP} bohr",
            "molecules": {name: len(part) for name, part in parts.items()},
            "heavy_atoms": MAX_HEAVY,
            "versions": {"rdkit": rdkit.__version__, "numpy": np.__version__},
        },
    }


def main() -> None:
    """Command line: compute what is missing, fit, print the figures, write the parameter file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("lists", type=Path, nargs="+", help="lists of SMILES")
    parser.add_argument("--slopes", type=Path, required=True, metavar="FOLDER", help="dipole derivatives")
    parser.add_argument("--molecules", type=int, default=1000, help="to fit on (1000)")
    parser.add_argument("--held-out", type=int, default=200, help="to measure on (200)")
    parser.add_argument("--workers", type=int, default=1, help="processes")
    parser.add_argument("--out", type=Path, default=PARAMETERS, help="JSON file to write (default: the package's own)")
    options = parser.parse_args()
    chosen = choose(
        (text for path in options.lists for _, text in read_smiles(path)), options.molecules, options.held_out
    )
    compute(chosen, options.slopes, options.workers)
    wanted, parts = set(chosen), {"fit": [], "held_out": []}
    for example in read_examples(options.slopes):
        if example.smiles in wanted:
            key = Chem.MolToInchiKey(Chem.MolFromSmiles(example.smiles))
            parts["held_out" if split_of(key) == "reserved" else "fit"].append(example)
    result = fitted(parts, options.lists)
    with written(options.out) as temporary:
        temporary.write_text(json.dumps(result, indent=0) + "\n", encoding="utf-8")
    print(len(result["parameters"]), "parameters;", result["held_out"])


if __name__ == "__main__":
    main()

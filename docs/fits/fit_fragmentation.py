"""Fit the fragmentation parameters on CFM-ID spectra at 40 eV and measure them on held-out molecules.

``python docs/fits/fit_fragmentation.py example.parquet --out fragmentation.json`` reads a file in the
format of Alberts et al. (NeurIPS Datasets and Benchmarks, 2024), such as the example file of the repository
rxn4chemistry/multimodal-spectroscopic-dataset; less than a minute for its hundred rows on one core.
"""

from __future__ import annotations

import argparse
import hashlib
import json
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow.parquet as pq
import rdkit
import scipy
from jaxtyping import Float, Int
from rdkit import Chem
from rdkit.Chem.Descriptors import ExactMolWt
from scipy.optimize import minimize

from symspectra import files
from symspectra.simulation.fragmentation import PARAMETERS, Polarity, fragment, fragment_tree, ions

TOLERANCE = 0.01  # Da
REGULARISATION = 2e-5
# Starting point of the fit. Which descriptors a polarity uses was decided on the fit rows only.
START: dict[Polarity, dict[str, float]] = {
    "positive": {
        "bond_energy": 1.0, "cuts": 2.9, "hydrogen_shift_squared": 0.4, "unsaturation_deviation": 9.5,
        "smallness": 11.0, "heteroatom_share": 10.0, "lost_atoms": -0.3, "heteroatom_ends": -1.0,
    },
    "negative": {
        "bond_energy": 2.0, "cuts": 0.6, "hydrogen_shift_squared": 0.45, "saturated_carbon_share": 5.3,
        "heavy_element_share": -6.9, "smallness": 4.5, "heteroatom_ends": -1.3,
    },
}  # fmt: skip


Peaks = tuple[Float[np.ndarray, " peak"], Float[np.ndarray, " peak"]]  # ascending m/z, intensity


class Reference(NamedTuple):
    """One molecule and its reference peaks."""

    smiles: str
    mol: Chem.Mol
    peaks: dict[Polarity, Peaks]


class Ions(NamedTuple):
    """Ions of a molecule, and the reference intensity of each of their formulas."""

    descriptors: Float[np.ndarray, "ion descriptor"]
    formula: Int[np.ndarray, " ion"]
    reference: Float[np.ndarray, " formula"]  # sums to at most 1


def is_fit_row(smiles: str) -> bool:
    """Whether a row is fitted on (three in five) or held out: ``int(sha256(SMILES)) % 5 < 3``."""
    return int(hashlib.sha256(smiles.encode()).hexdigest(), 16) % 5 < 3


def read_references(path: Path) -> list[Reference]:
    """Molecules with their 40 eV CFM-ID peaks; column names of the older and the newer release are both read.

    A ValueError names the column that is missing, or the row whose SMILES or peaks cannot be used.
    """
    newer = "msms_cfmid_positive_40ev" in pq.read_schema(path).names
    columns = {polarity: f"msms_{'cfmid_' if newer else ''}{polarity}_40ev" for polarity in START}
    references = []
    for number, row in enumerate(pq.read_table(path, columns=["smiles", *columns.values()]).to_pylist()):
        mol = Chem.MolFromSmiles(row["smiles"] or "")
        pairs = {polarity: np.array(row[column] or [], dtype=float) for polarity, column in columns.items()}
        if mol is None or any(x.ndim != 2 or x.shape[1] != 2 or not (x > 0).all() for x in pairs.values()):
            raise ValueError(f"{path}: row {number}: expected a SMILES and positive [m/z, intensity] pairs")
        peaks = {polarity: tuple(values[np.argsort(values[:, 0])].T) for polarity, values in pairs.items()}
        references.append(Reference(row["smiles"], mol, peaks))
    return references


def square_root_cosine(first: Peaks, second: Peaks) -> float:
    """Cosine of the square roots of intensity, peaks paired one to one within `TOLERANCE`, largest products first."""
    (mz, intensity), (other_mz, other) = first, second
    left, right = np.nonzero(np.abs(mz[:, None] - other_mz) <= TOLERANCE)
    product = np.sqrt(intensity[left] * other[right])
    used_left, used_right, total = set(), set(), 0.0
    for k in np.argsort(-product, kind="stable"):
        if left[k] not in used_left and right[k] not in used_right:
            used_left.add(left[k])
            used_right.add(right[k])
            total += product[k]
    return float(total / np.sqrt(intensity.sum() * other.sum())) if len(product) else 0.0


def ion_table(reference: Reference, polarity: Polarity, names: tuple[str, ...]) -> Ions:
    """Descriptors of the ions of a molecule with formal bond orders, and the reference intensities."""
    mz, descriptors = ions(fragment_tree(reference.mol, None), polarity, names)
    formula_mz, formula = np.unique(np.round(mz, 5), return_inverse=True)
    target = np.zeros(len(formula_mz))
    peak_mz, intensity = reference.peaks[polarity]
    distance = np.abs(formula_mz[:, None] - peak_mz)
    near = distance.min(axis=0) <= TOLERANCE
    np.add.at(target, distance.argmin(axis=0)[near], intensity[near] / intensity.sum())
    return Ions(descriptors, formula, target)


def negative_similarity(weights: Float[np.ndarray, " descriptor"], molecules: list[Ions]) -> tuple[float, np.ndarray]:
    """Minus the mean square-root cosine over molecules, slightly regularised, and its gradient."""
    value, gradient = REGULARISATION * weights @ weights, 2 * REGULARISATION * weights
    for descriptors, formula, reference in molecules:
        exponent = -descriptors @ weights
        ion = np.exp(exponent - exponent.max())
        intensity = np.maximum(np.bincount(formula, ion, len(reference)), 1e-200)
        total = intensity.sum()
        similarity = np.sqrt(intensity * reference).sum() / np.sqrt(total)
        slope = 0.5 * np.sqrt(reference / intensity / total) - 0.5 * similarity / total  # by the intensity
        value = value - similarity / len(molecules)
        gradient = gradient + descriptors.T @ (slope[formula] * ion) / len(molecules)
    return float(value), gradient


def fit(references: list[Reference], polarity: Polarity) -> dict[str, float]:
    """Parameters of one polarity by L-BFGS-B from `START`; deterministic."""
    start = START[polarity]
    molecules = [ion_table(reference, polarity, tuple(start)) for reference in references]
    result = minimize(negative_similarity, list(start.values()), args=(molecules,), jac=True, method="L-BFGS-B")
    return {name: round(float(value), 4) for name, value in zip(start, result.x, strict=True)}


def evaluate(references: list[Reference], polarity: Polarity, parameters: dict[str, float]) -> dict[str, float]:
    """Mean similarity of simulated spectra to the reference, and to that of a wrong molecule of similar mass.

    The wrong molecule is the next one by exact mass (the last one: the first).
    """
    references = sorted(references, key=lambda r: ExactMolWt(r.mol))
    truth = [r.peaks[polarity] for r in references]
    spectra = [fragment(r.mol, None, polarity, parameters) for r in references]
    wrong = spectra[1:] + spectra[:1]
    return {
        name: round(float(np.mean([square_root_cosine(*pair) for pair in zip(made, truth, strict=True)])), 4)
        for name, made in (("square_root_cosine", spectra), ("square_root_cosine_wrong_molecule", wrong))
    }


def fit_file(path: Path) -> dict:
    """Parameters of both polarities, figures and provenance, as written to the parameter file."""
    references = read_references(path)
    parts = {"fit": [r for r in references if is_fit_row(r.smiles)]}
    parts["held_out"] = [r for r in references if not is_fit_row(r.smiles)]
    parameters = {polarity: fit(parts["fit"], polarity) for polarity in START}
    return {
        "parameters": parameters,
        **{name: {p: evaluate(part, p, parameters[p]) for p in START} for name, part in parts.items()},
        "provenance": {
            "command": "python docs/fits/fit_fragmentation.py",
            "reference": "CFM-ID 40 eV columns of the multimodal spectroscopic dataset of Alberts et al. (2024)",
            "file": path.name,
            "sha256": files.digest(path),
            **{f"rows_{name}": len(part) for name, part in parts.items()},
            "split": "fit: int(sha256(smiles), 16) % 5 < 3",
            "bond_orders": "formal, aromatic 1.4",
            "tolerance_da": TOLERANCE,
            "wrong_molecule": "next row by exact mass",
            "versions": {"numpy": np.__version__, "scipy": scipy.__version__, "rdkit": rdkit.__version__},
        },
    }


def main() -> None:
    """Command line: fit, print the held-out figures, write the parameter file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("file", type=Path, help="parquet file with smiles and 40 eV CFM-ID peaks")
    parser.add_argument("--out", type=Path, default=PARAMETERS, help="JSON file to write (default: the package's own)")
    options = parser.parse_args()
    result = fit_file(options.file)
    others = json.loads(options.out.read_text(encoding="utf-8")) if options.out.exists() else {}
    with files.written(options.out) as temporary:
        temporary.write_text(json.dumps(others | result, indent=2) + "\n", encoding="utf-8")
    print(result["held_out"])


if __name__ == "__main__":
    main()

"""Structure, harmonic frequencies and infrared intensities of one molecule with GFN2-xTB, in process through tblite."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from rdkit import Chem, rdBase
from rdkit.Chem import AllChem
from scipy.optimize import minimize

BOHR = 0.529177210903  # angstrom
ELECTRON_MASSES = 1822.888486209  # in one dalton
HARTREE_CM1 = 219474.6313632
KM_MOL = 1777092.0  # km/mol for |dmu/dQ|^2 in atomic units
SEED = 20240611
STEP = 3e-3  # bohr, finite difference
SADDLE_CM1, REFUSE_CM1 = -50.0, -150.0
OPEN_BOND = 0.3  # Wiberg order
PROPERTIES = ("energy", "gradient", "dipole", "bond-orders")  # of a point, in atomic units


class SimulationError(ValueError):
    """A molecule that has no record; the message is the short reason."""


@dataclass(frozen=True, eq=False)
class QuantumRecord:
    """GFN2-xTB minimum of one molecule; atoms in the order of `Chem.AddHs(Chem.MolFromSmiles(smiles))`.

    `energy_hartree` is the energy at the minimum, `xyz_angstrom` the geometry; `freq_cm1` are harmonic wavenumbers,
    ascending, unscaled, negative if imaginary, `inten_km_mol` their infrared intensities; `wiberg_order` belongs to the
    bond between the atoms `bond_begin` and `bond_end`.
    """

    smiles: str
    energy_hartree: float
    z: Int[np.ndarray, " atoms"]
    freq_cm1: Float[np.ndarray, " modes"]
    inten_km_mol: Float[np.ndarray, " modes"]
    xyz_angstrom: Float[np.ndarray, "atoms 3"]
    bond_begin: Int[np.ndarray, " bonds"]
    bond_end: Int[np.ndarray, " bonds"]
    wiberg_order: Float[np.ndarray, " bonds"]


def embedded(smiles: str) -> Chem.Mol:
    """Molecule with hydrogens and one ETKDGv3 conformer of a fixed seed (random coordinates where that fails).

    Raises
    ------
    SimulationError : not the SMILES of one neutral closed-shell fragment of two or more atoms; no conformer (`embed`).
    """
    with rdBase.BlockLogs():
        molecule = Chem.MolFromSmiles(smiles)
        if molecule is None:
            raise SimulationError(f"not a SMILES: {smiles!r}")
        molecule = Chem.AddHs(molecule)
        if Chem.GetFormalCharge(molecule) or any(atom.GetNumRadicalElectrons() for atom in molecule.GetAtoms()):
            raise SimulationError("charged or open-shell, expected a neutral closed-shell molecule")
        if len(Chem.GetMolFrags(molecule)) != 1 or molecule.GetNumAtoms() < 2:
            raise SimulationError("expected one fragment of at least two atoms")
        parameters = AllChem.ETKDGv3()
        parameters.randomSeed = SEED
        if AllChem.EmbedMolecule(molecule, parameters) != 0:
            parameters.useRandomCoords = True
            if AllChem.EmbedMolecule(molecule, parameters) != 0:
                raise SimulationError("embed")
    return molecule


def force_field_geometry(smiles: str) -> Chem.Mol:
    """Molecule with hydrogens and one conformer: ETKDGv3, then MMFF94s (UFF where it lacks parameters)."""
    molecule = embedded(smiles)
    with rdBase.BlockLogs():
        if AllChem.MMFFHasAllMoleculeParams(molecule):
            AllChem.MMFFOptimizeMolecule(molecule, mmffVariant="MMFF94s", maxIters=2000)
        elif AllChem.UFFHasAllMoleculeParams(molecule):
            AllChem.UFFOptimizeMolecule(molecule, maxIters=2000)
    return molecule


class Surface:
    """GFN2-xTB energy surface of one molecule; each point starts from the density of the point before it."""

    def __init__(self, numbers: np.ndarray, positions: np.ndarray):
        try:
            from tblite.interface import Calculator
        except ImportError as error:
            raise ImportError('The simulation needs tblite: pip install "symspectra[simulate]"') from error
        self.calculator = Calculator("GFN2-xTB", numbers, positions)
        self.calculator.set("verbosity", 0)
        self.result = None

    def point(self, positions: np.ndarray):
        """Result at `positions` (bohr); it is overwritten by the next point."""
        self.calculator.update(np.ascontiguousarray(positions.reshape(-1, 3)))
        try:
            self.result = self.calculator.singlepoint(self.result)
        except RuntimeError as error:
            raise SimulationError("the self-consistent field did not converge") from error
        return self.result

    def minimum(self, positions: np.ndarray) -> np.ndarray:
        """Positions (bohr) at the minimum reached by L-BFGS."""

        def energy_and_gradient(x):
            result = self.point(x)
            return result.get("energy"), result.get("gradient").ravel()

        options = {"gtol": 5e-4, "ftol": 0.0, "maxiter": 250, "maxcor": 30}
        found = minimize(energy_and_gradient, positions.ravel(), jac=True, method="L-BFGS-B", options=options)
        return found.x.reshape(-1, 3)

    def derivatives(self, positions: np.ndarray, centre: dict):
        """Hessian (3 atoms, 3 atoms) and dipole derivatives (3 atoms, 3) by forward differences from `centre`."""
        hessian, dipole_slope = np.empty((positions.size, positions.size)), np.empty((positions.size, 3))
        for k in range(positions.size):
            moved = positions.ravel().copy()
            moved[k] += STEP
            result = self.point(moved)
            hessian[k] = (result.get("gradient") - centre["gradient"]).ravel() / STEP
            dipole_slope[k] = (result.get("dipole") - centre["dipole"]) / STEP
        return (hessian + hessian.T) / 2, dipole_slope


def normal_modes(
    masses: Float[np.ndarray, " atoms"],
    positions: Float[np.ndarray, "atoms 3"],
    hessian: Float[np.ndarray, "atoms*3 atoms*3"],
) -> tuple[Float[np.ndarray, " modes"], Float[np.ndarray, "modes atoms*3"]]:
    """Wavenumbers (cm-1, ascending, negative if imaginary) and displacements; masses in dalton, else atomic units.

    Translations and rotations are projected out: 3 atoms - 6 modes remain, 3 atoms - 5 of a linear molecule.
    """
    root = np.repeat(np.sqrt(masses * ELECTRON_MASSES), 3)
    centred = positions - np.average(positions, axis=0, weights=masses)
    rigid = [np.tile(axis, len(masses)) for axis in np.eye(3)]
    rigid += [np.cross(axis, centred).ravel() for axis in np.eye(3)]
    _, weights, basis = np.linalg.svd(np.array(rigid) * root, full_matrices=False)
    basis = basis[weights > 1e-6 * weights[0]]  # 6 rows, 5 for a linear molecule
    projector = np.eye(positions.size) - basis.T @ basis
    values, vectors = np.linalg.eigh(projector @ (hessian / np.outer(root, root)) @ projector)
    internal = np.sort(np.argsort(np.abs(values))[len(basis) :])
    values, modes = values[internal], vectors.T[internal] / root
    return np.sign(values) * np.sqrt(np.abs(values)) * HARTREE_CM1, modes


def intensities(
    modes: Float[np.ndarray, "modes atoms*3"], dipole_slope: Float[np.ndarray, "atoms*3 3"]
) -> Float[np.ndarray, " modes"]:
    """Infrared intensities in km/mol of `normal_modes`, from dipole derivatives in atomic units."""
    return KM_MOL * ((modes @ dipole_slope) ** 2).sum(axis=1)


def step_downhill(mode: Float[np.ndarray, " atoms*3"]) -> Float[np.ndarray, "atoms 3"]:
    """Step from a saddle point along its imaginary mode: largest component 0.1 angstrom."""
    return (0.1 / np.abs(mode).max() * mode).reshape(-1, 3)


def simulate(smiles: str, start: Chem.Mol | None = None) -> QuantumRecord:
    """GFN2-xTB record of one neutral closed-shell molecule (Bannwarth et al., doi 10.1021/acs.jctc.8b01176).

    L-BFGS to 5e-4 hartree/bohr, forward-difference Hessian and dipole derivatives. From a saddle point (lowest mode
    below -50 cm-1) a step along the mode (largest component 0.1 angstrom) and another optimisation follow, at most
    twice. The criterion can leave soft torsions short of their minimum: on 20 molecules a preconditioned optimiser
    ended up to 2e-3 hartree lower, after more points.

    ``start`` is the molecule with hydrogens and a conformer, `force_field_geometry` by default.

    Raises
    ------
    SimulationError
        The SMILES does not parse or is not one neutral closed-shell fragment; no conformer (`embed`), no
        self-consistent field, a mode left below -150 cm-1, or a bond of the graph with a Wiberg order below 0.3 at the
        end.
    """
    molecule = start or force_field_geometry(smiles)
    numbers = np.array([atom.GetAtomicNum() for atom in molecule.GetAtoms()])
    masses = np.array([atom.GetMass() for atom in molecule.GetAtoms()])
    positions = molecule.GetConformer().GetPositions() / BOHR
    surface = Surface(numbers, positions)
    for attempt in range(3):
        positions = surface.minimum(positions)
        result = surface.point(positions)
        centre = {name: np.array(result.get(name)) for name in PROPERTIES}
        hessian, dipole_slope = surface.derivatives(positions, centre)
        wavenumbers, modes = normal_modes(masses, positions, hessian)
        if wavenumbers[0] >= SADDLE_CM1 or attempt == 2:
            break
        positions = positions + step_downhill(modes[0]) / BOHR
    if wavenumbers[0] < REFUSE_CM1:
        raise SimulationError(f"still a saddle point ({wavenumbers[0]:.0f} cm-1)")
    begin, end = np.array([(b.GetBeginAtomIdx(), b.GetEndAtomIdx()) for b in molecule.GetBonds()]).T
    orders = centre["bond-orders"].reshape(len(numbers), len(numbers))[begin, end]
    if orders.min() < OPEN_BOND:
        raise SimulationError(f"a bond opened during optimisation (Wiberg order below {OPEN_BOND})")
    energy, xyz = float(centre["energy"]), positions * BOHR
    strengths = intensities(modes, dipole_slope)
    return QuantumRecord(smiles, energy, numbers, wavenumbers, strengths, xyz, begin, end, orders)

"""Structure, harmonic frequencies and infrared intensities of one molecule with MMFF94, in a few tens of milliseconds.

MMFF94 (Halgren, J. Comput. Chem. 17, 490, 1996) gives the minimum and the normal modes; the intensities are those of
fitted charges and charge flux (`symspectra.simulation.flux`), since the force field's own charges have no flux.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from rdkit import Chem, rdBase
from rdkit.Chem import AllChem

from symspectra.simulation.flux import dipole_derivatives
from symspectra.simulation.quantum import (
    BOHR,
    REFUSE_CM1,
    SADDLE_CM1,
    SimulationError,
    embedded,
    intensities,
    normal_modes,
    step_downhill,
)

HARTREE = 627.509474  # kcal/mol
STEP = 1e-5  # angstrom, forward difference of the analytic gradient
FORCE_TOLERANCE = 1e-4  # of the minimiser, kcal/mol/angstrom


@dataclass(frozen=True, eq=False)
class ForceFieldRecord:
    """MMFF94 minimum of one molecule; fields as of `symspectra.simulation.quantum.QuantumRecord`."""

    smiles: str
    freq_cm1: Float[np.ndarray, " modes"]
    inten_km_mol: Float[np.ndarray, " modes"]
    xyz_angstrom: Float[np.ndarray, "atoms 3"]


def minimum(smiles: str) -> tuple[Chem.Mol, Float[np.ndarray, " modes"], Float[np.ndarray, "modes atoms*3"]]:
    """Molecule with hydrogens and its conformer at an MMFF94 minimum, and its `normal_modes`.

    Raises
    ------
    SimulationError : as of `simulate`, but for the parameters of the charge flux.
    """
    mol = embedded(smiles)
    with rdBase.BlockLogs():
        properties = AllChem.MMFFGetMoleculeProperties(mol)
        field = AllChem.MMFFGetMoleculeForceField(mol, properties) if properties is not None else None
    if field is None:
        raise SimulationError("no MMFF94 parameters")
    masses = np.array([atom.GetMass() for atom in mol.GetAtoms()])
    conformer = mol.GetConformer()
    for attempt in range(3):
        if field.Minimize(maxIts=5000, forceTol=FORCE_TOLERANCE):
            raise SimulationError("no minimum of the force field in 5000 steps")
        positions = conformer.GetPositions()
        wavenumbers, modes = normal_modes(masses, positions / BOHR, _hessian(field, positions))
        if wavenumbers[0] >= SADDLE_CM1 or attempt == 2:
            break
        conformer.SetPositions(positions + step_downhill(modes[0]))
        field = AllChem.MMFFGetMoleculeForceField(mol, properties)
    if wavenumbers[0] < REFUSE_CM1:
        raise SimulationError(f"still a saddle point ({wavenumbers[0]:.0f} cm-1)")
    return mol, wavenumbers, modes


def _hessian(field, positions: Float[np.ndarray, "atoms 3"]) -> Float[np.ndarray, "atoms*3 atoms*3"]:
    """By forward differences, in hartree/bohr^2.

    The force field keeps the distances of the last energy: without it a gradient would be that of another geometry.
    """

    def gradient(x: list[float]) -> np.ndarray:
        field.CalcEnergy(x)
        return np.array(field.CalcGrad(x))

    x = positions.ravel().tolist()
    centre, hessian = gradient(x), np.empty((len(x), len(x)))
    for k, value in enumerate(x):
        x[k] = value + STEP
        hessian[k] = gradient(x) - centre
        x[k] = value
    return (hessian + hessian.T) / (2 * STEP) * (BOHR**2 / HARTREE)


def simulate(smiles: str) -> ForceFieldRecord:
    """MMFF94 record of one neutral closed-shell molecule: one conformer, harmonic, unscaled.

    From a saddle point the way down is that of `symspectra.simulation.quantum.simulate`.

    Raises
    ------
    SimulationError
        The SMILES does not parse or is not one neutral closed-shell fragment; no conformer (`embed`); MMFF94 has no
        parameters for it, or the charge flux none for one of its bonds; no minimum, or a mode left below -150 cm-1.
    """
    mol, wavenumbers, modes = minimum(smiles)
    positions = mol.GetConformer().GetPositions()
    return ForceFieldRecord(smiles, wavenumbers, intensities(modes, dipole_derivatives(mol, positions)), positions)

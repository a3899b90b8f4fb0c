"""Structure, harmonic frequencies and infrared intensities of one molecule with GFN2-xTB, in process through tblite."""

from __future__ import annotations

import csv
import multiprocessing
import os
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from jaxtyping import Float, Int
from rdkit import Chem, rdBase
from rdkit.Chem import AllChem
from scipy.optimize import minimize
from tqdm import tqdm

BOHR = 0.529177210903  # angstrom
ELECTRON_MASSES = 1822.888486209  # in one dalton
HARTREE_CM1 = 219474.6313632
KM_MOL = 1777092.0  # km/mol for |dmu/dQ|^2 in atomic units
SEED = 20240611
STEP = 3e-3  # bohr, finite difference
SADDLE_CM1, REFUSE_CM1 = -50.0, -150.0
OPEN_BOND = 0.3  # Wiberg order
DECIMALS = {"energy_hartree": 8, "freq_cm1": 2, "inten_km_mol": 3, "xyz_angstrom": 4}
DECIMALS |= {"charge_e": 4, "wiberg_order": 4, "dipole_au": 5}
SCHEMA = pa.schema(
    [("smiles", pa.string()), ("energy_hartree", pa.float64()), ("gradient_max", pa.float32())]
    + [(name, pa.list_(pa.float32())) for name in ("freq_cm1", "inten_km_mol")]
    + [("z", pa.list_(pa.uint8())), ("xyz_angstrom", pa.list_(pa.float32())), ("charge_e", pa.list_(pa.float32()))]
    + [(name, pa.list_(pa.uint8())) for name in ("bond_begin", "bond_end")]
    + [(name, pa.list_(pa.float32())) for name in ("wiberg_order", "dipole_au")]
)


class SimulationError(ValueError):
    """A molecule that has no record; the message is the short reason."""


@dataclass(frozen=True, eq=False)
class QuantumRecord:
    """GFN2-xTB minimum of one molecule; atoms in the order of `Chem.AddHs(Chem.MolFromSmiles(smiles))`.

    Attributes
    ----------
    smiles
        As given to `simulate`.
    energy_hartree, gradient_max
        Energy and the largest gradient component (hartree/bohr) at the minimum.
    freq_cm1, inten_km_mol
        Harmonic wavenumbers, ascending, unscaled, negative if imaginary, and infrared intensities; shape (modes,).
    z, xyz_angstrom, charge_e
        Atomic numbers (atoms,), coordinates (atoms, 3) and Mulliken charges (atoms,).
    bond_begin, bond_end, wiberg_order
        Atom indices and Wiberg orders of the bonds; shape (bonds,).
    dipole_au
        Dipole moment, shape (3,).
    """

    smiles: str
    energy_hartree: float
    gradient_max: float
    freq_cm1: Float[np.ndarray, " modes"]
    inten_km_mol: Float[np.ndarray, " modes"]
    z: Int[np.ndarray, " atoms"]
    xyz_angstrom: Float[np.ndarray, "atoms 3"]
    charge_e: Float[np.ndarray, " atoms"]
    bond_begin: Int[np.ndarray, " bonds"]
    bond_end: Int[np.ndarray, " bonds"]
    wiberg_order: Float[np.ndarray, " bonds"]
    dipole_au: Float[np.ndarray, " 3"]


def force_field_geometry(smiles: str) -> Chem.Mol:
    """Molecule with hydrogens and one conformer: ETKDGv3, then MMFF94s (UFF where it lacks parameters).

    Raises
    ------
    SimulationError
        The SMILES does not parse, is not one neutral closed-shell fragment, or finds no conformer (`embed`).
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
        if AllChem.MMFFHasAllMoleculeParams(molecule):
            AllChem.MMFFOptimizeMolecule(molecule, mmffVariant="MMFF94s", maxIters=2000)
        elif AllChem.UFFHasAllMoleculeParams(molecule):
            AllChem.UFFOptimizeMolecule(molecule, maxIters=2000)
    return molecule


class _Surface:
    """GFN2-xTB energy surface of one molecule; each point starts from the density of the point before it."""

    def __init__(self, numbers: np.ndarray, positions: np.ndarray, accuracy: float):
        try:
            from tblite.interface import Calculator
        except ImportError as error:
            raise ImportError("The simulation needs tblite: pip install symspectra[simulate]") from error
        self.calculator = Calculator("GFN2-xTB", numbers, positions)
        self.calculator.set("verbosity", 0)
        self.calculator.set("accuracy", accuracy)
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

    def properties(self, positions: np.ndarray) -> dict:
        """Energy, gradient, dipole, charges and bond orders at `positions`, in atomic units."""
        result = self.point(positions)
        names = ("energy", "gradient", "dipole", "charges", "bond-orders")
        return {name: np.array(result.get(name)) for name in names}

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


def normal_modes(masses, positions, hessian, dipole_slope):
    """Wavenumbers (cm-1, ascending), intensities (km/mol) and Cartesian displacements (modes, atoms, 3).

    Translations and rotations are projected out: 3 atoms - 6 modes remain, 3 atoms - 5 of a linear molecule.
    """
    root = np.repeat(np.sqrt(masses * ELECTRON_MASSES), 3)
    centred = positions - np.average(positions, axis=0, weights=masses)
    axes = np.eye(3)
    rigid = [np.tile(axis, len(masses)) for axis in axes] + [np.cross(axis, centred).ravel() for axis in axes]
    _, weights, basis = np.linalg.svd(np.array(rigid) * root, full_matrices=False)
    basis = basis[weights > 1e-6 * weights[0]]  # 6 rows, 5 for a linear molecule
    projector = np.eye(positions.size) - basis.T @ basis
    values, vectors = np.linalg.eigh(projector @ (hessian / np.outer(root, root)) @ projector)
    internal = np.sort(np.argsort(np.abs(values))[len(basis) :])
    values, modes = values[internal], vectors.T[internal] / root
    wavenumbers = np.sign(values) * np.sqrt(np.abs(values)) * HARTREE_CM1
    intensities = KM_MOL * ((modes @ dipole_slope) ** 2).sum(axis=1)
    return wavenumbers, intensities, modes.reshape(len(values), -1, 3)


def simulate(smiles: str, accuracy: float = 1.0) -> QuantumRecord:
    """GFN2-xTB record of one neutral closed-shell molecule (Bannwarth et al., doi 10.1021/acs.jctc.8b01176).

    ETKDGv3 and MMFF94s geometry, L-BFGS to 5e-4 hartree/bohr, forward-difference Hessian and dipole derivatives.
    From a saddle point (lowest mode below -50 cm-1) a step along the mode (largest component
    0.1 angstrom) and another optimisation follow, at most twice.

    Parameters
    ----------
    smiles
        One molecule.
    accuracy
        Threshold factor of the self-consistent field (smaller is tighter). With tblite's default of 1 the intensities
        of the record carry the noise of the finite differences; 0.01 gives converged ones in about 1.5 times the time.

    Raises
    ------
    SimulationError
        No conformer (`embed`), no self-consistent field, a mode left below -150 cm-1, or a bond of the graph with a
        Wiberg order below 0.3 at the end.
    ImportError
        tblite is not installed.
    """
    return _relax(smiles, force_field_geometry(smiles), accuracy)


def _relax(smiles: str, molecule: Chem.Mol, accuracy: float) -> QuantumRecord:
    numbers = np.array([atom.GetAtomicNum() for atom in molecule.GetAtoms()])
    masses = np.array([atom.GetMass() for atom in molecule.GetAtoms()])
    positions = molecule.GetConformer().GetPositions() / BOHR
    surface = _Surface(numbers, positions, accuracy)
    for attempt in range(3):
        positions = surface.minimum(positions)
        centre = surface.properties(positions)
        hessian, dipole_slope = surface.derivatives(positions, centre)
        wavenumbers, intensities, modes = normal_modes(masses, positions, hessian, dipole_slope)
        if wavenumbers[0] >= SADDLE_CM1 or attempt == 2:
            break
        positions = positions + 0.1 / BOHR * modes[0] / np.abs(modes[0]).max()
    if wavenumbers[0] < REFUSE_CM1:
        raise SimulationError(f"still a saddle point ({wavenumbers[0]:.0f} cm-1)")
    begin = np.array([bond.GetBeginAtomIdx() for bond in molecule.GetBonds()])
    end = np.array([bond.GetEndAtomIdx() for bond in molecule.GetBonds()])
    orders = centre["bond-orders"].reshape(len(numbers), len(numbers))[begin, end]
    if orders.min() < OPEN_BOND:
        raise SimulationError(f"a bond opened during optimisation (Wiberg order below {OPEN_BOND})")
    return QuantumRecord(
        smiles=smiles,
        energy_hartree=float(centre["energy"]),
        gradient_max=float(np.abs(centre["gradient"]).max()),
        freq_cm1=wavenumbers,
        inten_km_mol=intensities,
        z=numbers,
        xyz_angstrom=positions * BOHR,
        charge_e=centre["charges"],
        bond_begin=begin,
        bond_end=end,
        wiberg_order=orders,
        dipole_au=centre["dipole"],
    )


def write_records(path: str | Path, records: Iterable[QuantumRecord]) -> None:
    """Write records to one zstd parquet file with the columns of `SCHEMA`, floats rounded, coordinates flattened."""
    rows = [asdict(record) for record in records]
    columns = {}
    for name in SCHEMA.names:
        values = [np.ravel(row[name]) if isinstance(row[name], np.ndarray) else row[name] for row in rows]
        columns[name] = [np.round(value, DECIMALS[name]) for value in values] if name in DECIMALS else values
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    pq.write_table(pa.table(columns, schema=SCHEMA), temporary, compression="zstd")
    os.replace(temporary, path)


def read_records(path: str | Path) -> list[QuantumRecord]:
    """Read the records of one parquet file.

    Raises
    ------
    ValueError
        The file lacks columns of a record.
    """
    table = pq.read_table(path)
    if missing := [field.name for field in fields(QuantumRecord) if field.name not in table.column_names]:
        raise ValueError(f"{path}: columns {missing} missing, expected those of a quantum record")
    records = []
    for row in table.select(SCHEMA.names).to_pylist():
        arrays = {name: np.array(value) if isinstance(value, list) else value for name, value in row.items()}
        arrays["xyz_angstrom"] = arrays["xyz_angstrom"].reshape(-1, 3)
        records.append(QuantumRecord(**arrays))
    return records


def bands_agree(record: QuantumRecord, reference: QuantumRecord) -> bool:
    """Every band of the reference above 10 km/mol, in order, within 3 cm-1 and 10 % intensity."""
    if len(record.freq_cm1) != len(reference.freq_cm1):
        return False
    strong = reference.inten_km_mol > 10.0
    shift = np.abs(record.freq_cm1 - reference.freq_cm1)[strong]
    change = np.abs(record.inten_km_mol / reference.inten_km_mol.clip(1e-9) - 1.0)[strong]
    return bool((shift <= 3.0).all() and (change <= 0.1).all())


def _start_worker() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent stops its workers
    if hasattr(os, "nice"):
        os.nice(10)
    # a worker whose parent was killed ends with it
    parent = multiprocessing.parent_process()
    threading.Thread(target=lambda: (parent.join(), os._exit(1)), daemon=True).start()


@contextmanager
def _single_threaded_workers(workers: int):
    """Pool of spawned processes with one thread each, stopped at once when the block is left by an exception."""
    before, saved = set(multiprocessing.active_children()), os.environ.get("OMP_NUM_THREADS")
    os.environ["OMP_NUM_THREADS"] = "1"  # read by the workers when they load their libraries
    pool = ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), initializer=_start_worker)
    try:
        yield pool
    except BaseException:
        for child in set(multiprocessing.active_children()) - before:
            child.terminate()
        raise
    finally:
        pool.shutdown(cancel_futures=True)
        os.environ.pop("OMP_NUM_THREADS") if saved is None else os.environ.update(OMP_NUM_THREADS=saved)


def _write_shard(directory: Path, index: int, molecules: list[str], accuracy: float) -> int:
    records, failures = [], []
    for smiles in molecules:
        try:
            records.append(simulate(smiles, accuracy))
        except SimulationError as error:
            failures.append((smiles, str(error)))
    temporary = directory / f".failed-{index:05d}.csv.{os.getpid()}.tmp"
    with open(temporary, "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("smiles", "reason"), *failures])
    os.replace(temporary, directory / f"failed-{index:05d}.csv")
    write_records(directory / f"part-{index:05d}.parquet", records)  # last: its presence means the shard is done
    return len(molecules)


def _shard_done(directory: Path, index: int, molecules: list[str]) -> bool:
    part, failed = directory / f"part-{index:05d}.parquet", directory / f"failed-{index:05d}.csv"
    if not (part.exists() and failed.exists()):
        return False
    with open(failed, newline="", encoding="utf-8") as file:
        found = {row["smiles"] for row in csv.DictReader(file)}
    found |= set(pq.read_table(part, columns=["smiles"])["smiles"].to_pylist())
    if not found <= set(molecules):
        raise ValueError(f"{part}: holds other molecules, expected the same list and shard_size as in the first call")
    return found == set(molecules)  # a last shard that has grown is computed again


def build_records(
    smiles_list: list[str],
    directory: str | Path,
    workers: int = 1,
    shard_size: int = 25,
    progress: bool = True,
    accuracy: float = 1.0,
) -> None:
    """Simulate a list of molecules into `part-XXXXX.parquet` and `failed-XXXXX.csv`, one pair per `shard_size`.

    Shards already there are skipped, so a call continues where an earlier one was interrupted (Ctrl-C or SIGTERM);
    an interruption costs at most the shard each worker is at. Scripts call this under `if __name__ == "__main__"`.

    Raises
    ------
    ValueError
        `workers` or `shard_size` is below 1, or a shard in `directory` holds other molecules.
    KeyboardInterrupt
        Stopped by SIGINT or SIGTERM; what is finished stays.
    """
    if workers < 1 or shard_size < 1:
        raise ValueError(f"workers = {workers}, shard_size = {shard_size}: expected at least 1")
    directory = Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    for stale in directory.glob(".*.tmp"):
        stale.unlink()
    shards = [smiles_list[start : start + shard_size] for start in range(0, len(smiles_list), shard_size)]
    waiting = [(index, shard) for index, shard in enumerate(shards) if not _shard_done(directory, index, shard)]
    done = len(smiles_list) - sum(len(shard) for _, shard in waiting)
    main = threading.current_thread() is threading.main_thread()
    before = signal.signal(signal.SIGTERM, signal.default_int_handler) if main else None
    try:
        with (
            tqdm(total=len(smiles_list), initial=done, unit=" molecules", disable=not progress) as bar,
            _single_threaded_workers(workers) as pool,
        ):
            tasks = [pool.submit(_write_shard, directory, index, shard, accuracy) for index, shard in waiting]
            for task in as_completed(tasks):
                bar.update(task.result())
    finally:
        if main:
            signal.signal(signal.SIGTERM, before)


def _race(smiles_list: list[str], accuracy: float) -> dict:
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    seconds = {"symspectra_seconds": 0.0, "xtb_seconds": 0.0}
    for smiles in smiles_list:
        start = time.perf_counter()
        molecule = force_field_geometry(smiles)
        geometry = Chem.MolToXYZBlock(molecule)
        _relax(smiles, molecule, accuracy)
        seconds["symspectra_seconds"] += time.perf_counter() - start
        with tempfile.TemporaryDirectory() as folder:
            Path(folder, "mol.xyz").write_text(geometry)
            command = ["xtb", "mol.xyz", "--ohess", "--gfn", "2"]
            start = time.perf_counter()
            run = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
            seconds["xtb_seconds"] += time.perf_counter() - start
        if run.returncode != 0:
            raise RuntimeError(f"{smiles}: the program xtb ended with status {run.returncode}")
    return seconds


def compare_with_xtb_program(smiles: list[str], accuracy: float = 1.0) -> dict:
    """Seconds of `simulate` and of `xtb --ohess` from the same force-field geometries, one core, and their ratio.

    Returns
    -------
    dict
        `molecules`, `symspectra_seconds` (embedding included), `xtb_seconds`, `ratio` (xtb / symspectra).

    Raises
    ------
    FileNotFoundError
        The program xtb is not on PATH.
    """
    if shutil.which("xtb") is None:
        raise FileNotFoundError("the program xtb is not on PATH (Debian: apt install xtb)")
    with _single_threaded_workers(1) as pool:
        pool.submit(simulate, "CCO").result()  # loads the libraries
        seconds = pool.submit(_race, smiles, accuracy).result()
    ratio = seconds["xtb_seconds"] / seconds["symspectra_seconds"]
    return {"molecules": len(smiles), **seconds, "ratio": ratio}

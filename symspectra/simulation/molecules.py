"""Lists of molecules: that of the `open` data set, from the tables of the `chemicals` package, and files of SMILES."""

from __future__ import annotations

import csv
import gzip
import hashlib
import lzma
import zlib
from collections.abc import Iterator
from pathlib import Path

from rdkit import Chem, rdBase

from symspectra.errors import DataError
from symspectra.simulation.quantum import SimulationError

TABLES = ("chemical identifiers pubchem large.tsv", "chemical identifiers pubchem small.tsv")
ELEMENTS = frozenset({1, 6, 7, 8, 9, 15, 16, 17, 35, 53})  # H C N O F P S Cl Br I
SMILES_FIELD = 4  # the fifth field of a table row
MIN_HEAVY = 4


def flat_smiles(smiles: str, max_heavy: int = 20) -> str | None:
    """Canonical SMILES without stereo and isotopes if the molecule belongs in the list, otherwise None.

    A molecule belongs if it parses, is one neutral fragment without radicals, consists of C, H, N, O, F, P, S, Cl,
    Br and I with at least one carbon, and has 4 to `max_heavy` heavy atoms.
    """
    try:
        return checked_smiles(smiles, max_heavy)
    except SimulationError:
        return None


def checked_smiles(smiles: str, max_heavy: int = 20) -> str:
    """As `flat_smiles`, but a `SimulationError` says why a molecule does not belong in the list."""
    if "." in smiles:
        raise SimulationError("more than one fragment (a salt or a mixture), expected one molecule")
    molecule = Chem.MolFromSmiles(smiles)
    if molecule is None or not smiles:
        raise SimulationError("not a SMILES")
    if charge := Chem.GetFormalCharge(molecule):
        raise SimulationError(f"charge {charge:+d}, expected a neutral molecule")
    atoms = list(molecule.GetAtoms())
    if strange := sorted({atom.GetSymbol() for atom in atoms if atom.GetAtomicNum() not in ELEMENTS}):
        raise SimulationError(f"element {', '.join(strange)}, expected C, H, N, O, F, P, S, Cl, Br and I")
    numbers = {atom.GetAtomicNum() for atom in atoms}
    if 6 not in numbers:
        raise SimulationError("no carbon")
    if any(atom.GetNumRadicalElectrons() for atom in atoms):
        raise SimulationError("a radical, expected a closed-shell molecule")
    for atom in atoms:
        atom.SetIsotope(0)
    if 1 in numbers:  # deuterium was an explicit atom; as plain H it becomes implicit again
        molecule = Chem.RemoveHs(molecule)
    if not MIN_HEAVY <= (heavy := molecule.GetNumHeavyAtoms()) <= max_heavy:
        raise SimulationError(f"{heavy} heavy atoms, expected {MIN_HEAVY} to {max_heavy}")
    return Chem.MolToSmiles(molecule, isomericSmiles=False)


def open_molecules(max_heavy: int = 20) -> list[str]:
    """SMILES of the `open` molecules in ascending order of their sha256, so that every prefix is a random sample.

    Read from the PubChem tables of PyPI `chemicals` 1.5.2 (MIT); 40,702 molecules of at most 20 heavy atoms, in about
    ten seconds. A ValueError says that `max_heavy` is below 4, an ImportError that `chemicals` is not installed.
    """
    if max_heavy < MIN_HEAVY:
        raise ValueError(f"max_heavy is {max_heavy}, expected at least {MIN_HEAVY}")
    try:
        import chemicals
    except ImportError as error:
        raise ImportError('The molecule list needs chemicals: pip install "symspectra[simulate]"') from error
    folder = Path(chemicals.__file__).parent / "Identifiers"
    found = set()
    with rdBase.BlockLogs():  # entries that do not parse are left out by definition
        for name in TABLES:
            with open(folder / name, encoding="utf-8", newline="") as table:
                rows = csv.reader(table, delimiter="\t", quoting=csv.QUOTE_NONE)
                found.update(flat_smiles(row[SMILES_FIELD], max_heavy) for row in rows)
    found.discard(None)
    return sorted(found, key=lambda smiles: hashlib.sha256(smiles.encode()).hexdigest())


def read_smiles(path: Path) -> Iterator[tuple[int, str]]:
    """Line numbers (from 1) and SMILES of a list of molecules, one line at a time.

    ``.smi`` or ``.txt``: the first word of every line, empty lines and comments (#) left out. ``.csv`` or ``.tsv``: the
    column ``smiles`` (any capitals). Each may be compressed: ``.xz`` or ``.gz``.

    Raises
    ------
    DataError : the file is missing, no text or damaged, has another ending, or no column ``smiles``.
    """
    packed = {".xz": lzma.open, ".gz": gzip.open}.get(path.suffix, open)
    kind = path.with_suffix("").suffix if packed is not open else path.suffix
    if kind not in (".smi", ".txt", ".csv", ".tsv"):
        raise DataError(f"{path}: expected a list of SMILES that ends in .smi, .txt, .csv or .tsv, then .xz or .gz")
    number = 0
    try:
        with packed(path, "rt", encoding="utf-8-sig", newline="") as file:
            if kind in (".smi", ".txt"):
                for number, line in enumerate(file, 1):
                    if line.strip() and not line.startswith("#"):
                        yield number, line.split()[0]
                return
            rows = csv.reader(file, delimiter="," if kind == ".csv" else "\t")
            header = [name.strip().lower() for name in next(rows, [])]
            if "smiles" not in header:
                raise DataError(f"{path}: no column 'smiles' in its first line; expected a table that has one")
            column = header.index("smiles")
            for row in rows:
                number = rows.line_num
                if row:
                    yield number, row[column].strip() if len(row) > column else ""
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or error})") from error
    except (UnicodeDecodeError, csv.Error, EOFError, lzma.LZMAError, zlib.error) as error:
        raise DataError(f"{path}: no list of SMILES, or damaged, after line {number} ({error})") from error

"""The `open` data set: simulated spectra of real molecules, how it is extended, and how any molecule is simulated."""

from __future__ import annotations

import csv
import hashlib
import json
from collections.abc import Iterator
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from tqdm import tqdm

from symspectra.datasets.base import OPEN_DIRECTORY
from symspectra.errors import DataError
from symspectra.files import digest, written
from symspectra.groups.molecules import inchikey_block, parse, parsed
from symspectra.groups.table8 import label, to_bits
from symspectra.parallel import Workers, chunked
from symspectra.simulation import quantum
from symspectra.simulation import records as quantum_records
from symspectra.simulation.molecules import flat_smiles, open_molecules, read_smiles
from symspectra.simulation.quantum import QuantumRecord
from symspectra.simulation.spectra import ei_lists, line_lists, simulated
from symspectra.simulation.wavenumbers import Level
from symspectra.spectra.lines import (
    LIST_GROUPS,
    LineTable,
    add_ei,
    append_shard,
    arrow_schema,
    line_table,
    read_rows,
)

BATCH = 500  # molecules between two additions to the data set
CHUNK = 25
LIST_BATCH = {"ff": 1000, "gfn2": 100}  # entries of a list between two shards
LIST_CHUNK = {"ff": 25, "gfn2": 5}  # entries that a worker takes at once; a batch is a multiple of it


def simulate(smiles: list[str]) -> LineTable:
    """Simulate molecules that are not in the data set (needs ``symspectra[simulate]``): some seconds each.

    `ValueError` names a SMILES that does not parse, or a molecule outside what the simulation can do.
    """
    rows = line_lists([quantum.simulate(_flat(text)) for text in smiles])
    return line_table(pa.Table.from_pylist(_described(rows), schema=arrow_schema()))


def _flat(text: str) -> str:
    """Canonical SMILES without stereochemistry, as the data set has it."""
    flat = flat_smiles(text, max_heavy=60) if parsed(text) is not None else None
    if flat is None:
        raise ValueError(
            f"{text!r} cannot be simulated: expected the SMILES of one neutral molecule without radicals, of "
            "C, H, N, O, F, P, S, Cl, Br and I, with at least one carbon and 4 to 60 heavy atoms"
        )
    return flat


def _described(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows with InChIKey and functional groups: labels meet the spectra only here."""
    bits = to_bits(label([row["smiles"] for row in rows])) if rows else []
    keys = [inchikey_block(parse(row["smiles"])) for row in rows]
    return [{**row, "inchikey": key, "groups": int(b)} for row, key, b in zip(rows, keys, bits, strict=True)]


def known_molecules(directory: Path = OPEN_DIRECTORY) -> tuple[set[str], set[str]]:
    """SMILES that are in the data set or in its list of failures, and the InChIKey blocks that are in it."""
    smiles: set[str] = set()
    keys: set[str] = set()
    if (directory / "manifest.json").exists():
        table, _ = read_rows(directory)
        smiles, keys = set(table["smiles"].to_pylist()), set(table["inchikey"].to_pylist())
    if (directory / "failed.csv").exists():
        with open(directory / "failed.csv", newline="") as f:
            smiles |= {row["smiles"] for row in csv.DictReader(f)}
    return smiles, keys


def add_records(records: list[QuantumRecord], directory: Path = OPEN_DIRECTORY, workers: int = 1) -> int:
    """Turn quantum records into line lists and append them as one shard; return how many molecules were new.

    A molecule that is there already is left out; one that shares its InChIKey block with another (a tautomer, say) goes
    to ``failed.csv`` with the reason, and so does nothing else.
    """
    smiles, keys = known_molecules(directory)
    new = list({record.smiles: record for record in records if record.smiles not in smiles}.values())
    bar = tqdm(new, desc="line lists", unit="molecule", disable=not new)
    with Workers(workers) as pool:
        rows = [row for part in pool.in_order(line_lists, chunked(bar, CHUNK)) for row in part]
    kept, failed = [], []
    for row in _described(rows):
        if row["inchikey"] in keys:
            failed.append((row["smiles"], f"another molecule has the same InChIKey block {row['inchikey']}"))
        else:
            keys.add(row["inchikey"])
            kept.append(row)
    if kept:
        append_shard(directory, kept)
    add_failures(failed, directory)
    return len(kept)


def add_failures(failures: list[tuple[str, str]], directory: Path = OPEN_DIRECTORY) -> None:
    """Append molecules that are not in the data set, and why, to ``failed.csv``."""
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / "failed.csv"
    old = path.read_text() if path.exists() else "smiles,reason\r\n"
    with written(path) as temporary, open(temporary, "w", newline="") as f:
        f.write(old if old.endswith("\n") else old + "\r\n")
        csv.writer(f).writerows(failures)


def import_records(folder: Path, directory: Path = OPEN_DIRECTORY, workers: int = 1) -> int:
    """Add quantum records that were computed elsewhere: every ``part-*.parquet`` of a folder, and its failures."""
    paths = sorted(folder.glob("part-*.parquet"))
    if not paths:
        raise DataError(f"{folder}: no part-*.parquet of quantum records here")
    records = [record for path in paths for record in quantum_records.read_records(path)]
    added = add_records(records, directory, workers)
    known, _ = known_molecules(directory)
    add_failures([f for f in _failures(folder) if f[0] not in known], directory)
    return added


def _failures(folder: Path) -> Iterator[tuple[str, str]]:
    for path in sorted(folder.glob("failed-*.csv")):
        with open(path, newline="") as f:
            yield from ((row["smiles"], row["reason"]) for row in csv.DictReader(f))
    if (folder / "failed.txt").exists():
        for line in (folder / "failed.txt").read_text().splitlines():
            smiles, _, reason = line.partition("\t")
            yield smiles, reason


def build(
    records: Path,
    directory: Path = OPEN_DIRECTORY,
    max_heavy: int = 20,
    molecules: int | None = None,
    workers: int = 1,
) -> int:
    """Extend the data set along its list, by ``molecules`` or all that are missing; return how many were added.

    Every 500 molecules a shard is appended. An interruption loses at most the molecules in work; the next call
    with the same folder for quantum ``records`` goes on from there.
    """
    known, _ = known_molecules(directory)
    todo = [smiles for smiles in open_molecules(max_heavy) if smiles not in known][:molecules]
    print(f"{len(known)} molecules done or refused, {len(todo)} to go; records in {records}/")
    added = 0
    for start in range(0, len(todo), BATCH):
        batch = todo[start : start + BATCH]
        folder = records / hashlib.sha256("\n".join(batch).encode()).hexdigest()[:12]
        quantum_records.build_records(batch, folder, workers)
        added += import_records(folder, directory, workers)
    return added


def build_list(smiles: Path, out: Path, level: Level = "ff", workers: int = 1, max_heavy: int = 40) -> tuple[int, int]:
    """Simulate a list of molecules into a folder of line lists; return how many it holds and how many were rejected.

    ``smiles`` is a file as `read_smiles` takes it, ``level`` ``ff`` (MMFF94) or ``gfn2`` (GFN2-xTB). Every
    `LIST_BATCH` entries a shard is appended; entries without line list go to ``rejects.csv`` with line, SMILES and
    reason. The same call goes on where an earlier one ended, however it ended, to the same bytes with any number of
    workers. ``build.json`` says of what list and at what level the folder is.

    Raises
    ------
    DataError : the file is no list of SMILES, or the folder is of another list or level, or has no ``build.json``.
    """
    number, readable = 0, False
    for _, text in read_smiles(smiles):
        number += 1
        readable = readable or number > 100 or parsed(text) is not None
    if not readable:
        raise DataError(f"{smiles}: no SMILES among its first {min(number, 100)} entries; expected a list of SMILES")
    _check_folder(out, {"list": smiles.name, "sha256": digest(smiles), "level": level, "max_heavy": max_heavy})
    batch, chunk = LIST_BATCH[level], LIST_CHUNK[level]
    keys = known_molecules(out)[1]
    manifest = out / "manifest.json"
    done = batch * len(json.loads(manifest.read_text())["shards"]) if manifest.exists() else 0
    entries = read_smiles(smiles)
    last = max((line for line, _ in islice(entries, done)), default=0)
    rejects = out / "rejects.csv"
    rejected = _keep_rejects(rejects, last)
    simulate_chunk = partial(_simulated, level=level, max_heavy=max_heavy)
    with Workers(workers) as pool, tqdm(total=number, initial=min(done, number), unit=" molecules") as bar:
        results = (result for part in pool.in_order(simulate_chunk, chunked(entries, chunk)) for result in part)
        for part in chunked(results, batch):
            rows, left_out = [], []
            for line, text, row in part:
                if isinstance(row, dict) and row["inchikey"] in keys:
                    row = f"an earlier molecule of the list has the same InChIKey block {row['inchikey']}"
                if isinstance(row, dict):
                    keys.add(row["inchikey"])
                    rows.append(row)
                else:
                    left_out.append((line, text, row))
            with open(rejects, "a", newline="", encoding="utf-8") as file:
                csv.writer(file).writerows(left_out)
            append_shard(out, rows)  # last: its presence means that the batch is done
            rejected += len(left_out)
            bar.update(len(part))
    return len(keys), rejected


def build_ei(directory: Path, workers: int = 1) -> int:
    """Simulate electron ionisation of the molecules of a folder of line lists, beside them; return of how many.

    A shard at a time; the same call goes on with the shards that have none. `DataError` as of `read_rows`.
    """
    with Workers(workers) as pool:

        def spectra(smiles: list[str]) -> list[dict[str, Any]]:
            bar = tqdm(smiles, desc="electron ionisation", unit="molecule")
            return [row for part in pool.in_order(ei_lists, chunked(bar, CHUNK)) for row in part]

        return add_ei(directory, spectra)


def _simulated(
    entries: list[tuple[int, str]], level: Level, max_heavy: int
) -> list[tuple[int, str, dict[str, Any] | str]]:
    """As `symspectra.simulation.spectra.simulated`, the rows with InChIKey and functional groups."""
    results = simulated(entries, level, max_heavy)
    described = iter(_described([row for _, _, row in results if isinstance(row, dict)]))
    return [(line, text, next(described) if isinstance(row, dict) else row) for line, text, row in results]


def _check_folder(folder: Path, about: dict[str, Any]) -> None:
    """Write ``build.json`` to a new folder; `DataError` where one tells of another list, level or size."""
    path = folder / "build.json"
    if not path.exists():
        if folder.exists() and any(folder.iterdir()):
            raise DataError(f"{folder}: not empty, and no build.json; expected a new folder, or one to go on with")
        with written(path) as temporary:
            temporary.write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")
        return
    try:
        before = json.loads(path.read_text(encoding="utf-8"))
        different = [name for name, value in about.items() if before[name] != value]
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path}: cannot be read ({error!r}); expected what the build of a list wrote") from error
    if different:
        name = different[0]
        raise DataError(f"{folder}: was built with {name} {before[name]!r}, not {about[name]!r}; expected a new folder")


def _keep_rejects(path: Path, last: int) -> int:
    """Drop rejects after line ``last``, whose batch was not finished, and return how many are left."""
    rows = []
    if path.exists():
        try:
            with open(path, newline="", encoding="utf-8") as file:
                rows = [row for row in list(csv.reader(file))[1:] if len(row) == 3 and int(row[0]) <= last]
        except (ValueError, csv.Error) as error:
            raise DataError(f"{path}: is damaged ({error}); build the list into a new folder") from error
    with written(path) as temporary, open(temporary, "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("line", "smiles", "reason"), *rows])
    return len(rows)


def summary(directory: Path = OPEN_DIRECTORY) -> dict[str, Any]:
    """Numbers for the dataset card: molecules, failures, bytes and lines per molecule, heavy atoms."""
    table, _ = read_rows(directory)
    size = sum(path.stat().st_size for path in directory.glob("lines-*.parquet"))
    heavy = [parse(s).GetNumHeavyAtoms() for s in table["smiles"].to_pylist()]
    refused = (path.read_text(encoding="utf-8").splitlines() for path in directory.glob("*.csv"))
    positions = (columns[0] for columns in LIST_GROUPS.values())
    lines = {name: float(np.mean([len(v) for v in table[name].to_pylist()])) for name in positions}
    return {
        "molecules": table.num_rows,
        "refused": sum(len(rows) - 1 for rows in refused),
        "bytes_a_molecule": size / table.num_rows,
        "lines_a_molecule": lines,
        "heavy_atoms": (min(heavy), float(np.mean(heavy)), max(heavy)),
    }

"""Line lists: the spectra of many molecules as the positions and strengths of their lines.

A shard is a parquet file with one row per molecule, in physical units (`COLUMNS`); a directory of shards has a
``manifest.json`` with their checksums, and is only ever appended to. Spectra of electron ionisation, where a directory
has them, are in a file beside each shard, row by row (`EI_COLUMNS`): who does not ask for them does not read them.
`read_lines` turns line lists into flat tensors that `symspectra.spectra.rendering` draws.
"""

from __future__ import annotations

import csv
import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from math import comb
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from symspectra.errors import DataError
from symspectra.files import SEAL, digest, written
from symspectra.groups.table8 import from_bits
from symspectra.modalities import MODALITIES

Coded = tuple[list[str], np.ndarray]

COLUMNS: dict[str, str] = {
    "smiles": "string",  # canonical, without stereochemistry
    "inchikey": "string",  # first block
    "groups": "uint64",  # bit k: functional group k of Table 8
    "level": "string",  # of theory of the infrared lines: ff or gfn2
    "ir_cm1": "list<float>",  # harmonic wavenumber, not scaled, cm-1
    "ir_km_mol": "list<float>",
    "ir_kind": "list<string>",  # kind of mode (`symspectra.simulation.wavenumbers`), which has a factor at each level
    "c13_ppm": "list<float>",
    "c13_count": "list<uint8>",  # equivalent carbon atoms
    "c13_hydrogens": "list<uint8>",  # hydrogen atoms on each of them
    "h1_ppm": "list<float>",
    "h1_count": "list<uint8>",  # equivalent hydrogen atoms
    "h1_couplings": "list<string>",  # "7.0*3 1.5*1": J in Hz times the number of equivalent partners
    "h1_spread": "list<float>",  # ppm; above zero for exchangeable H, whose shift is drawn
    "msms_pos_mz": "list<float>",
    "msms_pos_percent": "list<uint8>",  # of the base peak
    "msms_neg_mz": "list<float>",
    "msms_neg_percent": "list<uint8>",
}
EI_COLUMNS: dict[str, str] = {
    "ei_mz": "list<float>",  # down to a tenth, which is what a model's bins tell apart
    "ei_percent": "list<uint8>",
}
FACTORS = Path(__file__).parent.parent / "data" / "wavenumbers.csv"
#: Of each kind of spectrum.
LIST_GROUPS = {kind: tuple(name for name in COLUMNS if name.startswith(f"{kind}_")) for kind in MODALITIES}
EI_GROUP = {"ei": tuple(EI_COLUMNS)}
_TEXT = {name for name, kind in COLUMNS.items() if kind == "list<string>"}


@dataclass(frozen=True)
class Ragged:
    """Lines of many molecules one after the other; those of molecule i are ``offsets[i]:offsets[i + 1]``."""

    offsets: Tensor
    columns: dict[str, Tensor]

    def select(self, rows: Tensor) -> tuple[dict[str, Tensor], Tensor, Tensor]:
        """Lines of some molecules: columns, position in ``rows`` of each line, and its number within its molecule."""
        start, length = self.offsets[rows], self.offsets[rows + 1] - self.offsets[rows]
        row = torch.repeat_interleave(length)
        first = torch.cumsum(length, 0) - length
        number = torch.arange(len(row), device=row.device) - first[row]
        index = start[row] + number
        return {name: column[index] for name, column in self.columns.items()}, row, number

    def to(self, device: torch.device | str) -> Ragged:
        """The same lines on another device."""
        return Ragged(self.offsets.to(device), {name: column.to(device) for name, column in self.columns.items()})


@dataclass(frozen=True)
class LineTable:
    """Line lists of N molecules, ready to be rendered.

    ``spectra`` maps a modality to its lines: ``ir`` (cm1, km_mol, polar for O-H and N-H stretches, ch for C-H ones),
    ``c13`` (ppm, area), ``h1`` (one entry per component of a multiplet: ppm, hz, area, spread, group), ``msms_pos``,
    ``msms_neg`` and, where they were asked for, ``ei`` (mz, intensity).
    """

    smiles: tuple[str, ...]
    inchikey: tuple[str, ...]
    y: Tensor  # (N, 37) bool
    seed: Tensor  # (N,) int32, from the SMILES: nuisance noise of a molecule is always the same
    spectra: dict[str, Ragged]
    digest: str

    def __len__(self) -> int:
        return len(self.smiles)

    def to(self, device: torch.device | str) -> LineTable:
        """The same table on another device."""
        spectra = {name: lines.to(device) for name, lines in self.spectra.items()}
        return replace(self, y=self.y.to(device), seed=self.seed.to(device), spectra=spectra)


def molecule_seed(smiles: str) -> int:
    """Signed 32-bit seed of a molecule's nuisance noise."""
    return int.from_bytes(hashlib.sha256(smiles.encode()).digest()[:4], "little", signed=True)


def arrow_schema(columns: Mapping[str, str] = COLUMNS) -> Any:
    """`COLUMNS`, or `EI_COLUMNS`, as a pyarrow schema."""
    import pyarrow as pa

    types = {"string": pa.string(), "uint64": pa.uint64(), "uint8": pa.uint8(), "float": pa.float32()}
    fields = []
    for name, kind in columns.items():
        inner = kind.removeprefix("list<").removesuffix(">")
        fields.append((name, pa.list_(types[inner]) if inner != kind else types[inner]))
    return pa.schema(fields)


def _check_row(row: dict[str, Any], where: str) -> None:
    missing = [name for name in COLUMNS if name not in row]
    if missing:
        raise DataError(f"{where}: columns {', '.join(missing)} are missing")
    for columns in LIST_GROUPS.values():
        lengths = {name: len(row[name]) for name in columns}
        if len(set(lengths.values())) > 1:
            raise DataError(f"{where}, {row['smiles']}: lists of one spectrum differ in length: {lengths}")
        for name in columns:
            if name not in _TEXT and not np.isfinite(np.asarray(row[name], dtype=float)).all():
                raise DataError(f"{where}, {row['smiles']}: {name} holds a value that is not finite")


def append_shard(directory: Path, rows: list[dict[str, Any]]) -> Path:
    """Add a shard (parquet, zstd) to a directory and to its manifest. What is there already is never rewritten.

    Raises
    ------
    DataError : a row lacks a column, the lists that describe one spectrum differ in length, or a value does not fit.
    """
    import pyarrow as pa

    manifest = directory / "manifest.json"
    shards = json.loads(manifest.read_text())["shards"] if manifest.exists() else []
    path = directory / f"lines-{len(shards):03d}.parquet"
    for i, row in enumerate(rows):
        _check_row(row, f"{path}, row {i}")
    try:
        table = pa.Table.from_pylist(rows, schema=arrow_schema())
    except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
        raise DataError(f"{path}: a value does not fit its column ({error})") from error
    _write_table(path, table)
    shards.append({"file": path.name, "molecules": len(rows), "sha256": digest(path)})
    _write_shards(directory, shards)
    return path


def _write_table(path: Path, table: Any) -> None:
    import pyarrow.parquet as pq

    with written(path) as temporary:
        pq.write_table(table, temporary, compression="zstd", compression_level=19, dictionary_pagesize_limit=1 << 22)


def _write_shards(directory: Path, shards: list[dict[str, Any]]) -> None:
    with written(directory / "manifest.json") as temporary:
        temporary.write_text(json.dumps({"shards": shards}, indent=1) + "\n")


def add_ei(directory: Path, simulated: Callable[[list[str]], list[dict[str, Any]]]) -> int:
    """Write the spectra of electron ionisation beside every shard that has none; return of how many molecules.

    ``simulated`` gives the rows (`EI_COLUMNS`) of a list of SMILES. The shards themselves are not touched. A call that
    was interrupted loses the shard it was at.

    Raises
    ------
    DataError : as `read_rows`.
    """
    import pyarrow as pa

    table, _ = read_rows(directory)
    shards = json.loads((directory / "manifest.json").read_text())["shards"]
    first = done = 0
    for shard in shards:
        smiles = table["smiles"].slice(first, shard["molecules"]).to_pylist()
        first += len(smiles)
        if "ei" not in shard:
            path = directory / shard["file"].replace("lines-", "ei-")
            _write_table(path, pa.Table.from_pylist(simulated(smiles), schema=arrow_schema(EI_COLUMNS)))
            shard["ei"] = {"file": path.name, "sha256": digest(path)}
            _write_shards(directory, shards)
            done += len(smiles)
    return done


def holds_lines(directory: Path) -> bool:
    """Whether the manifest of a folder is one of line lists, which alone have no checksum of the manifest."""
    try:
        return "shards" in json.loads((directory / "manifest.json").read_text(encoding="utf-8"))
    except (OSError, ValueError, TypeError):
        return not (directory / SEAL).exists()


def read_rows(directory: Path, molecules: int = 0, ei: bool = False) -> tuple[Any, str]:
    """The first ``molecules`` rows (0: all) as a pyarrow table, after checking every checksum; and a digest.

    With ``ei``, the columns `EI_COLUMNS` as well.

    Raises
    ------
    DataError : no manifest, a shard that is missing or whose checksum is not the manifest's, too few molecules, or
        spectra of electron ionisation are asked for that the directory does not have.
    """
    import pyarrow as pa

    manifest = directory / "manifest.json"
    try:
        described = json.loads(manifest.read_text())["shards"]
        shards = [(s["file"], s["sha256"], s["molecules"]) for s in described]
        beside = [(s["ei"]["file"], s["ei"]["sha256"]) if "ei" in s else None for s in described] if ei else []
        total = sum(n for *_, n in shards)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{manifest}: cannot be read as a manifest of line-list shards ({error})") from error
    if molecules > total:
        raise DataError(f"{directory} holds {total} molecules; {molecules} were asked for")
    tables, rows, used = [], 0, []
    for i, (name, checksum, n) in enumerate(shards):
        tables.append(_read_shard(directory, name, checksum, n, COLUMNS))
        used.append(checksum)
        if ei:
            if beside[i] is None:
                raise DataError(
                    f"{directory}: holds no spectra of electron ionisation for {name}; `symspectra data ei` adds them"
                )
            part = _read_shard(directory, *beside[i], n, EI_COLUMNS)
            for column in EI_COLUMNS:
                tables[-1] = tables[-1].append_column(column, part[column])
            used.append(beside[i][1])
        rows += n
        if molecules and rows >= molecules:
            break
    table = pa.concat_tables(tables).slice(0, molecules or rows)
    return table, hashlib.sha256(json.dumps([[*used, digest(FACTORS)], table.num_rows]).encode()).hexdigest()


def _read_shard(directory: Path, name: str, checksum: str, molecules: int, columns: Mapping[str, str]) -> Any:
    import pyarrow.parquet as pq

    path = directory / name
    if not path.exists():
        raise DataError(f"{path}: the shard is named in manifest.json but missing")
    if digest(path) != checksum:
        raise DataError(f"{path}: its checksum is not that in manifest.json; it is damaged, fetch it again")
    table = pq.read_table(path)
    if table.num_rows != molecules:
        raise DataError(
            f"{directory / 'manifest.json'}: is damaged: it gives {name} {molecules} molecules, which has "
            f"{table.num_rows}"
        )
    if missing := [name for name in columns if name not in table.column_names]:
        raise DataError(f"{path}: columns {', '.join(missing)} are missing; it is of another version, build it anew")
    return table


def read_lines(directory: Path, molecules: int = 0) -> LineTable:
    """Read line-list shards into flat tensors. Raises `DataError` like `read_rows`."""
    return line_table(*read_rows(directory, molecules))


def line_table(table: Any, digest: str = "") -> LineTable:
    """Flat tensors of a pyarrow table with the columns of `COLUMNS`, and of `EI_COLUMNS` where it has them."""
    table = table.combine_chunks()
    spectra = {}
    for kind, names in (LIST_GROUPS | (EI_GROUP if "ei_mz" in table.column_names else {})).items():
        values = []
        for name in names:
            array = table[name].chunk(0) if table[name].num_chunks else table[name].combine_chunks()
            offsets = array.offsets.to_numpy().astype(np.int64)
            flat = array.values.slice(offsets[0], offsets[-1] - offsets[0])
            values.append(_coded(flat) if name in _TEXT else flat.to_numpy(zero_copy_only=False))
        offsets -= offsets[0]
        if kind == "ir":
            values.append(_coded(table["level"].combine_chunks()))
        spectra[kind] = LINES[kind](offsets, *values)
    smiles = tuple(table["smiles"].to_pylist())
    return LineTable(
        smiles=smiles,
        inchikey=tuple(table["inchikey"].to_pylist()),
        y=torch.from_numpy(from_bits(table["groups"].to_numpy())),
        seed=torch.tensor([molecule_seed(s) for s in smiles], dtype=torch.int32),
        spectra=spectra,
        digest=digest,
    )


def _coded(array: Any) -> Coded:
    """The different texts of an arrow array, and which of them each one is."""
    array = array.dictionary_encode()
    return array.dictionary.to_pylist(), array.indices.to_numpy(zero_copy_only=False)


def _ragged(offsets: np.ndarray, **columns: np.ndarray) -> Ragged:
    """Numbers become single precision, marks (bool) and numbers of groups (int64) stay as they are."""
    kept = {
        name: torch.from_numpy(column if column.dtype in (bool, np.int64) else column.astype(np.float32))
        for name, column in columns.items()
    }
    return Ragged(torch.from_numpy(offsets), kept)


@lru_cache
def _factors() -> dict[tuple[str, str], float]:
    with open(FACTORS, newline="", encoding="utf-8") as file:
        return {(row["kind"], row["level"]): float(row["factor"]) for row in csv.DictReader(file)}


def factor(kind: str, level: str) -> float:
    """What a harmonic wavenumber is multiplied by to give that of the band of a gas.

    Raises
    ------
    DataError : there is no factor for such a kind of mode at such a level.
    """
    try:
        return _factors()[kind, level]
    except KeyError:
        raise DataError(f"{FACTORS.name}: no factor for modes {kind!r} at level {level!r}") from None


def _ir(offsets: np.ndarray, cm1: np.ndarray, km_mol: np.ndarray, kind: Coded, level: Coded) -> Ragged:
    """Lines by descending wavenumber, where the band of a gas is expected."""
    row = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))
    (kinds, which), (levels, of_molecule) = kind, level
    factors = np.array([[factor(name, level) for name in kinds] for level in levels]).reshape(len(levels), len(kinds))
    cm1 = cm1 * factors[of_molecule[row], which]
    polar, ch = (np.array([name.startswith(start) for name in kinds], dtype=bool) for start in (("O-H", "N-H"), "C-H"))
    order = np.lexsort((-cm1, row))
    which = which[order]
    return _ragged(offsets, cm1=cm1[order], km_mol=km_mol[order], polar=polar[which], ch=ch[which])


def _msms(offsets: np.ndarray, mz: np.ndarray, percent: np.ndarray) -> Ragged:
    return _ragged(offsets, mz=mz, intensity=percent)


def _c13(offsets: np.ndarray, ppm: np.ndarray, count: np.ndarray, hydrogens: np.ndarray) -> Ragged:
    """Area by number of carbons; carbons without hydrogen relax slowly and lack the Overhauser gain: half as strong."""
    return _ragged(offsets, ppm=ppm, area=count * np.where(hydrogens == 0, 0.5, 1.0))


def multiplet(couplings: str) -> tuple[np.ndarray, np.ndarray]:
    """First-order multiplet: offsets from the centre in Hz and relative areas that sum to one.

    ``"7.0*3 1.5*1"`` is a quartet of doublets. Components below 2 % of the strongest are left out.
    """
    hz, area = np.zeros(1), np.ones(1)
    for term in couplings.split():
        j, n = term.split("*")
        k = np.arange(int(n) + 1)
        hz = (hz[:, None] + float(j) * (k - int(n) / 2)).ravel()
        area = (area[:, None] * [comb(int(n), i) / 2 ** int(n) for i in k]).ravel()
    hz, index = np.unique(hz.round(2), return_inverse=True)
    area = np.bincount(index.ravel(), area)
    keep = area >= 0.02 * area.max()
    return hz[keep], area[keep] / area[keep].sum()


def _h1(offsets: np.ndarray, ppm: np.ndarray, count: np.ndarray, couplings: Coded, spread: np.ndarray) -> Ragged:
    """One entry per component of a multiplet."""
    patterns, which = couplings
    multiplets = [multiplet(p) for p in patterns]
    size = np.array([len(hz) for hz, _ in multiplets], dtype=np.int64)[which]
    group = np.repeat(np.arange(len(ppm)), size)
    hz, area = (np.concatenate([np.zeros(0), *(multiplets[w][part] for w in which)]) for part in range(2))
    first = np.repeat(offsets[:-1], np.diff(offsets))  # of the molecule
    return _ragged(
        np.concatenate([[0], np.cumsum(size)])[offsets].astype(np.int64),
        ppm=ppm[group],
        hz=hz,
        area=area * count[group],
        spread=spread[group],
        group=(np.arange(len(ppm)) - first)[group],
    )


#: What makes the lines of each kind of spectrum of its columns.
LINES = {"ir": _ir, "c13": _c13, "h1": _h1, "msms_pos": _msms, "msms_neg": _msms, "ei": _msms}

"""Tables of molecules to predict: a CSV with a file or a list of peaks per cell, or a parquet table of spectra.

Nothing here imports torch, so that a wrong table is refused at once.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from symspectra.errors import ReadError, suggest
from symspectra.files import check_size
from symspectra.modalities import KINDS
from symspectra.spectra.formula import parse_formula
from symspectra.spectra.readers import read_one
from symspectra.spectra.readers.peak_lists import looks_like_peaks, parse_peaks
from symspectra.spectra.spectrum import X_UNITS, Y_UNITS, Spectrum, unit

LIMIT_BYTES = {".csv": 200_000_000, ".parquet": 2_000_000_000}  # of a table; any other ending is read as CSV
LIMIT_VALUES = 500_000_000  # of a parquet table once it is unpacked
LONG = ("name", "modality", "x", "y")

Molecule = tuple[str, dict[str, Callable[[], Spectrum]]]  # a name, and how to read each of its spectra


def read_molecules(path: str | Path) -> list[Molecule]:
    """The molecules of a table; their spectra are read when they are asked for.

    Parameters
    ----------
    path
        CSV: a column ``name`` and one per modality (``ir``, ``c13``, ``h1``, ``msms_pos``, ``msms_neg``, ``ei``), whose
        cells are files (relative to the table), typed lists of peaks, or empty; in ``formula`` stand formulas. Parquet:
        one row per spectrum, with ``name``, ``modality``, ``x`` and ``y`` (lists of numbers), ``y_unit`` for infrared,
        ``x_unit`` where it is not 1/cm, ppm or m/z. A mass spectrum is a list of peaks; others are where a column
        ``peaks`` is true. A column ``smiles`` is for `read_structures`.

    Raises
    ------
    ReadError : the table cannot be read, lacks a column, has one of another name, or names a molecule twice.
    """
    path = Path(path)
    check_size(path, LIMIT_BYTES.get(path.suffix, LIMIT_BYTES[".csv"]), ReadError, "a CSV or parquet table")
    return _long(path) if path.suffix == ".parquet" else _wide(path)


def read_structures(path: Path) -> dict[str, str]:
    """The SMILES of each molecule of a table that `read_molecules` can read.

    Raises
    ------
    ReadError : there is no column ``smiles``, or a molecule has none, several, or one that is none; the row is named.
    """
    from symspectra.groups.molecules import parsed

    try:
        table = (
            pd.read_parquet(path, columns=["name", "smiles"])
            if path.suffix == ".parquet"
            else pd.read_csv(path, dtype=str, encoding="utf-8-sig")
        )
        columns = table[["name", "smiles"]].astype(str)
    except (OSError, ValueError, KeyError) as error:
        expected = "expected columns name and smiles beside those of the spectra"
        raise ReadError(f"{path}: {str(error).splitlines()[0]}; {expected}") from error
    structures: dict[str, str] = {}
    for number, (name, smiles) in enumerate(columns.itertuples(index=False), 2):
        if structures.setdefault(name, smiles) != smiles:
            raise ReadError(f"{path}, row {number}: {name} has two structures, {structures[name]} and {smiles}")
        if parsed(smiles) is None:
            raise ReadError(f"{path}, row {number}: {smiles!r} is no SMILES; expected the structure of {name}")
    return structures


def spectrum_of(source: str | Path, modality: str, folder: Path = Path(), **reading: Any) -> Spectrum:
    """The spectrum of a file in ``folder``, or of a typed list of peaks where no file has that name; or a formula."""
    if modality == "formula":
        return parse_formula(str(source))
    if isinstance(source, str) and not os.path.exists(folder / source):
        if looks_like_peaks(source):
            return parse_peaks(source, modality)
        if re.search(r"\d.*[\s,;]", source) and not re.search(r"\.[A-Za-z]\w{0,5}$", source):
            begin = "a list of peaks begins with a number or a heading such as 1H NMR (400 MHz, CDCl3)"
            raise ReadError(f"{source[:60]}: there is no such file, and {begin}")
    return read_one(folder / source, modality, **reading)


def _wide(path: Path) -> list[Molecule]:
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8-sig", compression=None)
    except (OSError, ValueError) as error:  # pandas' own errors are ValueErrors
        raise ReadError(f"{path}: cannot be read as CSV ({str(error).splitlines()[0]})") from error
    if "name" not in table:
        raise ReadError(f"{path}: there is no column 'name'; expected name and some of {', '.join(KINDS)}")
    for column in table.columns:
        if column not in ("name", "smiles", *KINDS):
            raise ReadError(f"{path}: column {column!r}; {suggest(column, ('smiles', *KINDS))}")
    table = table[table.apply(lambda row: row.str.strip().any(), axis=1)]
    twice = table["name"][table["name"].duplicated()]
    if len(twice):
        raise ReadError(f"{path}, row {twice.index[0] + 2}: a second molecule {twice.iloc[0]!r}; names must differ")
    molecules = []
    for row in table.to_dict("records"):
        cells = {m: row[m].strip() for m in KINDS if row.get(m, "").strip()}
        sources = {m: lambda text=text, m=m: spectrum_of(text, m, path.parent) for m, text in cells.items()}
        molecules.append((row["name"], sources))
    return molecules


def _long(path: Path) -> list[Molecule]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            groups = [file.metadata.row_group(i) for i in range(file.num_row_groups)]
            values = sum(group.column(i).num_values for group in groups for i in range(group.num_columns))
            if values > LIMIT_VALUES:
                raise ReadError(f"{path}: holds {values:,} values; expected at most {LIMIT_VALUES:,}")
            table = file.read()
    except (OSError, pa.ArrowException) as error:
        raise ReadError(f"{path}: cannot be read as parquet ({str(error).splitlines()[0]})") from error
    missing = [name for name in LONG if name not in table.column_names]
    if missing:
        raise ReadError(f"{path}: columns {', '.join(missing)} are missing; expected {', '.join(LONG)}")
    molecules: dict[str, dict[str, Callable[[], Spectrum]]] = {}
    for number, row in enumerate(table.select(["name", "modality"]).to_pylist()):
        sources, modality = molecules.setdefault(str(row["name"]), {}), row["modality"]
        if modality not in KINDS:
            raise ReadError(f"{path}, row {number + 1}: {suggest(modality, KINDS)}")
        if modality in sources:
            raise ReadError(f"{path}, row {number + 1}: a second {modality} spectrum of {row['name']}")
        sources[modality] = lambda number=number: spectrum_of_row(table.slice(number, 1).to_pylist()[0])
    return list(molecules.items())


def spectrum_of_row(row: Mapping[str, Any]) -> Spectrum:
    """The spectrum of a row of a parquet table, or of anything else that has its columns (`read_molecules`)."""
    modality = row["modality"]
    x_text, y_text = row.get("x_unit") or KINDS[modality].unit, row.get("y_unit")
    if y_text is None:
        if modality == "ir":
            raise ReadError("no y_unit is given for an infrared spectrum; expected absorbance or transmittance")
        y_text = "intensity"
    x_unit, y_unit = unit(x_text, X_UNITS), unit(y_text, Y_UNITS)
    if x_unit is None or y_unit is None:
        raise ReadError(f"units {x_text!r} and {y_text!r}; expected some of {', '.join((*X_UNITS, *Y_UNITS))}")
    peaks = bool(row.get("peaks")) or KINDS[modality].unit == "m/z"
    return Spectrum(row["x"] or (), row["y"] or (), x_unit, y_unit, modality, {}, peaks)

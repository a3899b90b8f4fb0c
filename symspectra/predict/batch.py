"""Predictions for tables of molecules: a CSV with a file or a list of peaks a cell, or a parquet table of spectra."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import compress
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from symspectra.errors import DataError, ReadError, suggest
from symspectra.files import check_size, written
from symspectra.modalities import KINDS, MODALITIES
from symspectra.predict.predictor import Predictor, spectrum_of
from symspectra.spectra.conversion import Prepared, prepare_all
from symspectra.spectra.spectrum import X_UNITS, Y_UNITS, Spectrum, unit

CHUNK = 512  # molecules at a time; the drawing of more leaves the processor's caches
LIMIT_BYTES = {".csv": 200_000_000, ".parquet": 2_000_000_000}  # of a table; any other ending is read as CSV
LIMIT_VALUES = 500_000_000  # of a parquet table once it is unpacked
TEXTS = ["name", "spectra", "groups", "warnings"]
LONG = ("name", "modality", "x", "y")

Molecule = tuple[str, dict[str, Callable[[], Spectrum]]]  # a name, and how to read each of its spectra


def predict_table(predictor: Predictor, path: str | Path, progress: bool = False) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Predict every molecule of a table.

    Parameters
    ----------
    path
        CSV: a column ``name`` and one a modality (``ir``, ``c13``, ``h1``, ``msms_pos``, ``msms_neg``), whose cells are
        files (relative to the table), typed lists of peaks, or empty. Parquet: one row a spectrum, with ``name``,
        ``modality``, ``x`` and ``y`` (lists of numbers), ``y_unit`` for infrared, ``x_unit`` where it is not 1/cm, ppm
        or m/z. A mass spectrum is a list of peaks; others are where a column ``peaks`` is true.

    Returns
    -------
    One row a molecule: name, spectra used, groups predicted, warnings, and the probability of each group. And the
    spectra that could not be read, with name, modality and reason; their molecules are predicted from the others.

    Raises
    ------
    ReadError : the table cannot be read, lacks a column, has one of another name, or names a molecule twice.
    """
    from tqdm import tqdm

    path, rejects, tables = Path(path), [], []
    check_size(path, LIMIT_BYTES.get(path.suffix, LIMIT_BYTES[".csv"]), ReadError, "a CSV or parquet table")
    molecules = _long(path) if path.suffix == ".parquet" else _wide(path)
    with tqdm(total=len(molecules), desc="predicting", unit=" molecules", disable=not progress) as bar:
        for start in range(0, len(molecules), CHUNK):
            chunk = molecules[start : start + CHUNK]
            prepared = _prepare_chunk(chunk, rejects)
            kept = [(name, spectra) for (name, _), spectra in zip(chunk, prepared, strict=True) if spectra]
            if kept:
                tables.append(_answered(predictor, *zip(*kept, strict=True)))
            bar.update(len(chunk))
    table = pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=[*TEXTS, *predictor.labels])
    return table, pd.DataFrame(rejects, columns=["name", "modality", "reason"])


def _answered(predictor: Predictor, names: Sequence[str], molecules: Sequence[Mapping[str, Prepared]]) -> pd.DataFrame:
    """The rows of some molecules: what is said in words, and the probabilities."""
    probability, warnings = predictor.answers(molecules)
    threshold = {spectra: predictor.thresholds(spectra) for spectra in {tuple(m) for m in molecules}}
    predicted = probability >= np.stack([threshold[tuple(m)] for m in molecules])
    groups = ["; ".join(compress(predictor.labels, row)) for row in predicted.tolist()]
    words = zip(names, map("+".join, molecules), groups, map("; ".join, warnings), strict=True)
    return pd.concat(
        [pd.DataFrame(words, columns=TEXTS), pd.DataFrame(probability.round(4), columns=predictor.labels)], axis=1
    )


def _prepare_chunk(chunk: list[Molecule], rejects: list[tuple[str, str, str]]) -> list[dict[str, Prepared]]:
    """Read and convert the spectra of some molecules; what cannot be read goes to ``rejects``."""
    spectra: list[tuple[int, str, Spectrum]] = []
    for i, (name, sources) in enumerate(chunk):
        for modality, make in sources.items():
            try:
                spectra.append((i, modality, make()))
            except ReadError as error:
                rejects.append((name, modality, str(error)))
    prepared: list[dict[str, Prepared]] = [{} for _ in chunk]
    try:
        ready = prepare_all([s for *_, s in spectra], [m for _, m, _ in spectra])
        done = zip(spectra, ready, strict=True)
    except ReadError:  # one of them: find it
        done = _one_by_one(spectra, chunk, rejects)
    for (i, modality, _), converted in done:
        prepared[i][modality] = converted
    return [{m: found[m] for m in MODALITIES if m in found} for found in prepared]


def _one_by_one(
    spectra: list[tuple[int, str, Spectrum]], chunk: list[Molecule], rejects: list[tuple[str, str, str]]
) -> Iterator[tuple[tuple[int, str, Spectrum], Prepared]]:
    for entry in spectra:
        i, modality, spectrum = entry
        try:
            yield entry, prepare_all([spectrum], [modality])[0]
        except ReadError as error:
            rejects.append((chunk[i][0], modality, str(error)))


def _wide(path: Path) -> list[Molecule]:
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8-sig")
    except (OSError, ValueError) as error:  # pandas' own errors are ValueErrors
        raise ReadError(f"{path}: cannot be read as CSV ({str(error).splitlines()[0]})") from error
    if "name" not in table:
        raise ReadError(f"{path}: there is no column 'name'; expected name and some of {', '.join(MODALITIES)}")
    for column in table.columns:
        if column not in ("name", *MODALITIES):
            raise ReadError(f"{path}: column {column!r}; {suggest(column, MODALITIES)}")
    twice = table["name"][table["name"].duplicated()]
    if len(twice):
        raise ReadError(f"{path}, row {twice.index[0] + 2}: a second molecule {twice.iloc[0]!r}; names must differ")
    molecules = []
    for row in table.to_dict("records"):
        cells = {m: row[m].strip() for m in MODALITIES if row.get(m, "").strip()}
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
        if modality not in MODALITIES:
            raise ReadError(f"{path}, row {number + 1}: {suggest(modality, MODALITIES)}")
        if modality in sources:
            raise ReadError(f"{path}, row {number + 1}: a second {modality} spectrum of {row['name']}")
        sources[modality] = lambda number=number: _row(table.slice(number, 1).to_pylist()[0])
    return list(molecules.items())


def _row(row: Mapping[str, Any]) -> Spectrum:
    modality = row["modality"]
    x_text, y_text = row.get("x_unit") or KINDS[modality].unit, row.get("y_unit")
    if y_text is None:
        if modality == "ir":
            raise ReadError("no y_unit is given for an infrared spectrum; expected absorbance or transmittance")
        y_text = "intensity"
    x_unit, y_unit = unit(x_text, X_UNITS), unit(y_text, Y_UNITS)
    if x_unit is None or y_unit is None:
        raise ReadError(f"units {x_text!r} and {y_text!r}; expected some of {', '.join((*X_UNITS, *Y_UNITS))}")
    peaks = bool(row.get("peaks")) or modality.startswith("ms")
    return Spectrum(row["x"] or (), row["y"] or (), x_unit, y_unit, modality, {}, peaks)


def write_csv(path: Path, table: pd.DataFrame) -> None:
    """Write a table, whole or not at all; `DataError` where it cannot be written (a full disk, say)."""
    try:
        with written(path) as temporary:
            table.to_csv(temporary, index=False)
    except OSError as error:
        raise DataError(f"{path}: cannot be written ({error.strerror or error})") from error

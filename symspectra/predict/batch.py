"""Predictions for tables of molecules: a CSV with a file or a list of peaks a cell, or a parquet table of spectra."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import compress
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from symspectra.errors import DataError, ReadError, suggest
from symspectra.files import written
from symspectra.modalities import KINDS, MODALITIES
from symspectra.predict.predictor import Predictor, spectrum_of
from symspectra.spectra.conversion import Prepared, prepare_all
from symspectra.spectra.spectrum import X_UNITS, Y_UNITS, Spectrum, unit

CHUNK = 512  # molecules at a time; the drawing of more leaves the processor's caches
TEXTS = ["name", "spectra", "groups", "warnings"]
LONG = ("name", "modality", "x", "y")


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

    path = Path(path)
    if path.exists() and not path.is_file():
        raise ReadError(f"{path}: not a file; expected a CSV or parquet table")
    rejects: list[dict[str, str]] = []
    tables: list[pd.DataFrame] = []
    molecules = list(_long(path) if path.suffix == ".parquet" else _wide(path))
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


def _prepare_chunk(
    chunk: list[tuple[str, Mapping[str, Any]]], rejects: list[dict[str, str]]
) -> list[dict[str, Prepared]]:
    """Read and convert the spectra of some molecules; what cannot be read goes to ``rejects``."""
    flat = [(i, modality, make) for i, (_, sources) in enumerate(chunk) for modality, make in sources.items()]
    spectra: list[tuple[int, str, Spectrum]] = []
    for i, modality, make in flat:
        try:
            spectra.append((i, modality, make()))
        except ReadError as error:
            rejects.append({"name": chunk[i][0], "modality": modality, "reason": str(error)})
    prepared: list[dict[str, Prepared]] = [{} for _ in chunk]
    try:
        ready = prepare_all([s for *_, s in spectra], [m for _, m, _ in spectra])
        done = zip(spectra, ready, strict=True)
    except ReadError:  # one of them: find it
        done = _one_by_one(spectra, chunk, rejects)
    for (i, modality, _), converted in done:
        prepared[i][modality] = converted
    for i, found in enumerate(prepared):
        prepared[i] = {m: found[m] for m in MODALITIES if m in found}
    return prepared


def _one_by_one(
    spectra: list[tuple[int, str, Spectrum]], chunk: list[tuple[str, Any]], rejects: list[dict[str, str]]
) -> Iterator[tuple[tuple[int, str, Spectrum], Prepared]]:
    for entry in spectra:
        i, modality, spectrum = entry
        try:
            yield entry, prepare_all([spectrum], [modality])[0]
        except ReadError as error:
            rejects.append({"name": chunk[i][0], "modality": modality, "reason": str(error)})


def _wide(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8-sig")
    except FileNotFoundError as error:
        raise ReadError(f"{path}: no such file") from error
    except (OSError, ValueError) as error:  # pandas' own errors are ValueErrors
        raise ReadError(f"{path}: cannot be read as CSV ({str(error).splitlines()[0]})") from error
    if "name" not in table:
        raise ReadError(f"{path}: there is no column 'name'; expected name and some of {', '.join(MODALITIES)}")
    for column in table.columns:
        if column not in ("name", *MODALITIES):
            raise ReadError(f"{path}: column {column!r}; {suggest(column, MODALITIES)}")
    _unique(path, table["name"])
    for row in table.to_dict("records"):
        cells = {m: row[m].strip() for m in MODALITIES if row.get(m, "").strip()}
        yield row["name"], {m: (lambda text=text, m=m: spectrum_of(text, m, path.parent)) for m, text in cells.items()}


def _long(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(path)
    except FileNotFoundError as error:
        raise ReadError(f"{path}: no such file") from error
    except (OSError, pa.ArrowException) as error:
        raise ReadError(f"{path}: cannot be read as parquet ({str(error).splitlines()[0]})") from error
    missing = [name for name in LONG if name not in table.column_names]
    if missing:
        raise ReadError(f"{path}: columns {', '.join(missing)} are missing; expected {', '.join(LONG)}")
    molecules: dict[str, dict[str, Any]] = {}
    for number, row in enumerate(table.to_pylist(), start=1):
        sources = molecules.setdefault(str(row["name"]), {})
        if row["modality"] not in MODALITIES:
            raise ReadError(f"{path}, row {number}: {suggest(row['modality'], MODALITIES)}")
        if row["modality"] in sources:
            raise ReadError(f"{path}, row {number}: a second {row['modality']} spectrum of {row['name']}")
        sources[row["modality"]] = lambda row=row: _row(row)
    yield from molecules.items()


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


def _unique(path: Path, names: pd.Series) -> None:
    twice = names[names.duplicated()]
    if len(twice):
        raise ReadError(f"{path}, row {twice.index[0] + 2}: a second molecule {twice.iloc[0]!r}; names must differ")


def write_csv(path: Path, table: pd.DataFrame) -> None:
    """Write a table, whole or not at all.

    Raises
    ------
    DataError : it cannot be written (a full disk, say); nothing of it is left.
    """
    try:
        with written(path) as temporary:
            table.to_csv(temporary, index=False)
    except OSError as error:
        raise DataError(f"{path}: cannot be written ({error.strerror or error})") from error

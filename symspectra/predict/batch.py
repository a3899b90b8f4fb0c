"""Predictions for tables of molecules, as tables."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import compress
from pathlib import Path

import numpy as np
import pandas as pd

from symspectra.errors import DataError, ReadError
from symspectra.files import written
from symspectra.parallel import chunked
from symspectra.predict.predictor import Predictor
from symspectra.predict.tables import Molecule, read_molecules
from symspectra.spectra.conversion import Prepared, prepare_all
from symspectra.spectra.spectrum import Spectrum

CHUNK = 512  # molecules at a time; the drawing of more leaves the processor's caches
TEXTS = ["name", "spectra", "groups", "warnings"]


def predict_table(
    predictor: Predictor, table: str | Path | list[Molecule], progress: bool = False
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Predict every molecule of a table, or of what `symspectra.predict.tables.read_molecules` read from one.

    Returns
    -------
    One row per molecule: name, spectra used, groups predicted, warnings, and the probability of each group. And the
    spectra that could not be read, with name, modality and reason; their molecules are predicted from the others.

    Raises
    ------
    ReadError : from `symspectra.predict.tables.read_molecules`.
    """
    from tqdm import tqdm

    molecules = table if isinstance(table, list) else read_molecules(table)
    rejects, answers = [], []
    with tqdm(total=len(molecules), desc="predicting", unit=" molecules", disable=not progress) as bar:
        for chunk in chunked(molecules, CHUNK):
            prepared = prepare_chunk(chunk, predictor.modalities, rejects)
            kept = [(name, spectra) for (name, _), spectra in zip(chunk, prepared, strict=True) if spectra]
            if kept:
                answers.append(_answered(predictor, *zip(*kept, strict=True)))
            bar.update(len(chunk))
    whole = pd.concat(answers, ignore_index=True) if answers else pd.DataFrame(columns=[*TEXTS, *predictor.labels])
    return whole, pd.DataFrame(rejects, columns=["name", "modality", "reason"])


def _answered(predictor: Predictor, names: Sequence[str], molecules: Sequence[Mapping[str, Prepared]]) -> pd.DataFrame:
    """The rows of some molecules: what is said in words, and the probabilities."""
    probability, warnings = predictor.answers(molecules)
    predicted = probability >= np.array([[predictor.threshold(list(spectra))] for spectra in molecules])
    groups = ["; ".join(compress(predictor.labels, row)) for row in predicted.tolist()]
    words = zip(names, map("+".join, molecules), groups, map("; ".join, warnings), strict=True)
    return pd.concat(
        [pd.DataFrame(words, columns=TEXTS), pd.DataFrame(probability.round(4), columns=predictor.labels)], axis=1
    )


def prepare_chunk(
    chunk: list[Molecule], modalities: Sequence[str], rejects: list[tuple[str, str, str]]
) -> list[dict[str, Prepared]]:
    """Read and convert the spectra of some molecules; what cannot be read goes to ``rejects``."""
    spectra: list[tuple[int, str, Spectrum]] = []
    for i, (name, sources) in enumerate(chunk):
        for modality, make in sources.items():
            try:
                if modality not in modalities:
                    raise ReadError(f"the predictor has not learned {modality}; it reads {', '.join(modalities)}")
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
    return [{m: found[m] for m in modalities if m in found} for found in prepared]


def _one_by_one(
    spectra: list[tuple[int, str, Spectrum]], chunk: list[Molecule], rejects: list[tuple[str, str, str]]
) -> Iterator[tuple[tuple[int, str, Spectrum], Prepared]]:
    for entry in spectra:
        i, modality, spectrum = entry
        try:
            yield entry, prepare_all([spectrum], [modality])[0]
        except ReadError as error:
            rejects.append((chunk[i][0], modality, str(error)))


def write_csv(path: Path, table: pd.DataFrame) -> None:
    """Write a table, whole or not at all; `DataError` where it cannot be written (a full disk, say)."""
    try:
        with written(path) as temporary:
            table.to_csv(temporary, index=False)
    except OSError as error:
        raise DataError(f"{path}: cannot be written ({error.strerror or error})") from error

"""A predictor that goes on learning from labelled spectra of one's own."""

from __future__ import annotations

import copy
import json
import shutil
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from symspectra.datasets.base import ArrayDataset
from symspectra.datasets.splits import split_of
from symspectra.errors import DataError
from symspectra.files import written
from symspectra.groups.molecules import inchikey_block, parse
from symspectra.groups.table8 import NAMES, label
from symspectra.models.registry import save_model
from symspectra.models.restriction import quick
from symspectra.predict.batch import prepare_chunk
from symspectra.predict.build import check_folder, judged, seal
from symspectra.predict.evaluate import scores_of
from symspectra.predict.predictor import BATCH, Predictor, subset_key, subsets
from symspectra.predict.tables import read_molecules, read_structures
from symspectra.training.fit import Report, predict_spectra, train

HELD = 0.2  # share of the molecules that is tested on, and again for calibration
LEAST = 50  # molecules in the table
LEAST_CALIBRATED = 30  # validation molecules of a combination of spectra, for calibration and thresholds of its own


def finetune(
    predictor: Predictor,
    table: str | Path,
    out: str | Path,
    epochs: int = 20,
    lr: float = 5e-4,
    report: Report | None = None,
) -> pd.DataFrame:
    """Train a predictor further and write it to a new folder; it answers as any other.

    A fifth of the molecules, of scaffolds that the others do not have, is kept for testing, and another fifth for
    calibration and thresholds of the combinations of spectra that at least `LEAST_CALIBRATED` of it have; the others
    keep theirs. Where there are too few scaffolds, molecules are kept by a hash of their InChIKey, with a warning.

    Parameters
    ----------
    table : as of `symspectra.predict.evaluate.evaluate`
    out : folder to write (`symspectra.predict.build.check_folder`)
    report : called with the numbers of each epoch

    Returns
    -------
    Scores ``before`` and ``after`` on the molecules kept for testing (`symspectra.predict.evaluate.scores_of`).

    Raises
    ------
    ReadError : the table cannot be read.
    DataError : it has fewer than `LEAST` molecules, or the predictor is of other labels.
    """
    out, table = Path(out), Path(table)
    check_folder(out)
    if predictor.labels != NAMES:
        raise DataError(
            "the predictor is of labels of its own; only one of the groups of Table 8 can be trained further"
        )
    molecules, structures, rejects = read_molecules(table), read_structures(table), []
    prepared = prepare_chunk(molecules, predictor.modalities, rejects)
    kept = [(structures[name], spectra) for (name, _), spectra in zip(molecules, prepared, strict=True) if spectra]
    if len(kept) < LEAST:
        reason = f", {len(rejects)} spectra cannot be read, the first: {rejects[0][2]}" if rejects else ""
        raise DataError(f"{table}: {len(kept)} molecules with spectra; expected at least {LEAST}{reason}")
    smiles, spectra = zip(*kept, strict=True)
    data = _split(table.name, smiles, *predictor.tensors(spectra), predictor.modalities)
    config = predictor.config.replace(epochs=epochs, lr=lr, batch=min(64, len(data.rows("train"))))
    model = train(config, data, report=report, start=predictor.folder / "model.safetensors").model
    card = copy.deepcopy(predictor.card)
    for subset in subsets(predictor.modalities):
        columns, answers = [predictor.modalities.index(name) for name in subset], []
        for split in ("validation", "test"):
            rows = data.rows(split)
            rows = rows[data.present[rows][:, columns].all(dim=1)]
            x, present = data.spectra(rows)
            p = (
                predict_spectra(quick(model, subset), x[:, columns], present[:, columns], BATCH)
                if len(rows)
                else x[:, 0]
            )
            answers += [data.y[rows].numpy(), p.double().numpy()]
        if len(answers[0]) >= LEAST_CALIBRATED:
            card["subsets"][subset_key(subset)] = {"spectra": "your", **judged(*answers)}
    with written(out) as work:
        shutil.copytree(predictor.folder, work)
        (work / "README.md").unlink(missing_ok=True)
        save_model(work / "model.safetensors", model, config)
        (work / "predictor.json").write_text(json.dumps(card) + "\n")
        seal(work)
    tested = data.rows("test")
    return pd.DataFrame(
        {name: _scores(own, data, tested) for name, own in (("before", predictor), ("after", Predictor(out)))}
    )


def _split(
    name: str, smiles: Sequence[str], x: torch.Tensor, present: torch.Tensor, modalities: Sequence[str]
) -> ArrayDataset:
    from symspectra.groups.scaffolds import scaffold_split

    try:
        split = scaffold_split(smiles, HELD, HELD).split
    except ValueError as error:  # too few scaffolds
        warnings.warn(f"{name}: {error}; molecules are held out by a hash instead", stacklevel=3)
        split = [split_of(inchikey_block(parse(text)), 2) for text in smiles]
    return ArrayDataset(x, present, label(smiles), smiles, split, modalities, name=name)


def _scores(predictor: Predictor, data: ArrayDataset, rows: torch.Tensor) -> dict[str, float]:
    x, present = data.spectra(rows)
    p = predictor.probabilities(x, present)
    names = [[m for m, there in zip(predictor.modalities, row, strict=True) if there] for row in present.tolist()]
    threshold = np.array([[predictor.threshold(own)] for own in names])
    return scores_of(data.y[rows].numpy(), p, p >= threshold)

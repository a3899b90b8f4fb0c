"""Trained models on harder test sets: noise, a spectrum not measured (App. J), molecules unlike those seen (Fig 3c)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache
from itertools import pairwise

import numpy as np
from jaxtyping import Bool

from symspectra.datasets.base import SpectraDataset, evaluated_groups
from symspectra.datasets.views import Corrupted
from symspectra.exhibits.claims import Judge, untestable
from symspectra.exhibits.scores import Predictions, Score, predictions
from symspectra.exhibits.verdicts import Verdict
from symspectra.training.fit import predict_spectra
from symspectra.training.machine import choose_device
from symspectra.training.metrics import multilabel_metrics
from symspectra.training.store import Run, derived

KEPT = 0.8  # of the micro-F1, with one spectrum withheld
STEEP = 2.0  # a step this many times the average one is a sharp drop
MOST = 1500  # test molecules whose spectra are spoiled: every model reads them once per level of noise


def corrupted(
    runs: Sequence[Run],
    dataset: SpectraDataset,
    noise: float = 0.0,
    without: Sequence[str] = (),
    device: str = "auto",
) -> Predictions:
    """What trained models predict from `symspectra.datasets.views.Corrupted` spectra of test molecules.

    Of more than `MOST` test molecules, so many are taken, always the same ones.

    Parameters
    ----------
    dataset : the data that the runs were tested on
    noise : standard deviation of the noise, as a share of each spectrum's maximum
    without : names of modalities to withhold
    device : as in `symspectra.training.runs.run`

    Raises
    ------
    ValueError : the runs read other spectra than the data set has; or as `symspectra.datasets.views.Corrupted`.

    References
    ----------
    Paper, Appendix J.
    """
    for run in runs:
        if run.config.data.modalities != tuple(dataset.modalities):
            raise ValueError(f"run {run.id} reads {run.config.data.modalities}, the data set has {dataset.modalities}")
    on = choose_device(device)
    view = Corrupted(dataset.to(on), noise, without)
    rows = view.rows("test")
    chosen = np.sort(np.random.default_rng(0).permutation(len(rows))[:MOST])
    rows = rows[chosen.tolist()]
    condition = f"noise {noise:g}, without {', '.join(without) or 'nothing'}"
    spectra = cache(lambda: view.spectra(rows))

    def predicted(run: Run) -> Bool[np.ndarray, "molecule group"]:
        return predict_spectra(run.load(on), *spectra()).numpy() >= 0.5

    found = [derived(run, f"{condition}, {MOST} of {dataset.digest}", predicted) for run in runs]
    clean = predictions(runs)
    return replace(
        clean,
        molecules=np.array([dataset.ids[row] for row in rows.tolist()]),
        labels=view.y[rows].cpu().numpy().astype(bool),
        predicted=np.array(found),
        clusters=None,
        condition=condition,
        counted=tuple(np.flatnonzero(evaluated_groups(dataset).cpu()).tolist()),
    )


def blind_score(dataset: SpectraDataset) -> float:
    """Micro-F1 on the test split without any spectrum: every molecule is given the groups that most training ones have.

    A model that is not above it has learned nothing from the spectra that noise could spoil.
    """
    frequent = dataset.y[dataset.rows("train")].double().mean(dim=0) >= 0.5
    y = dataset.y[dataset.rows("test")]
    return multilabel_metrics(y, frequent.double().expand(y.shape), groups=evaluated_groups(dataset))["micro_f1"]


def learned(claim: Verdict, clean: Score, blind: float) -> Verdict:
    """A claim on what is lost, where the clean score is above `blind_score`: else there is nothing to lose."""
    if clean.mean > blind:
        return claim
    why = f"The model has a micro-F1 of {clean} with clean and complete spectra, naming the most frequent groups for "
    why += f"every molecule has {blind:.3f}: it has not learned enough for a loss to mean anything."
    return untestable(claim.source, claim.text, why)


def no_collapse(judge: Judge, source: str, text: str, complete: Score, without: Mapping[str, Score]) -> Verdict:
    """Does the micro-F1 stay, whichever spectrum is withheld: at least `KEPT` of that with all of them?"""
    share = {name: score.mean / max(complete.mean, 1e-9) for name, score in without.items()}
    terms = {name: [(1.0, score.basis), (-KEPT, complete.basis)] for name, score in without.items()}
    kept = {f"without {name}, {share[name]:.0%} stays": row for name, row in terms.items()}
    return judge.rows(source, f"{text}: {KEPT:.0%} of it stays", kept)


def no_sharp_drop(judge: Judge, source: str, text: str, curve: Mapping[float, Score]) -> Verdict:
    """Does the micro-F1 fall smoothly along evenly spaced levels of noise: no step by `STEEP` times the average one?"""
    levels = sorted(curve)
    share, rows = STEEP / (len(levels) - 1), {}
    for a, b in pairwise(levels):
        allowed = [(share, levels[0]), (-share, levels[-1]), (-1.0, a), (1.0, b)]
        rows[f"from noise {a:g} to {b:g}"] = [(weight, curve[level].basis) for weight, level in allowed]
    return judge.rows(source, f"{text}: no step of more than {STEEP:g} times the average one", rows, margin=1e-3)

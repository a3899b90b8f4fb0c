"""Scores of runs on molecules that they have not seen, one per seed, and what a verdict on them needs besides."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, is_dataclass
from functools import lru_cache
from hashlib import sha256
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float, Shaped

from symspectra.config import Config
from symspectra.exhibits.paper import PaperValue, paper_value
from symspectra.experiments.plan import title_of
from symspectra.groups.scaffolds import scaffold_or_self
from symspectra.training.metrics import Tier
from symspectra.training.store import Run

LEAST = 10  # molecules with a positive (or clusters of them) on which a verdict may rest
METRICS = ("micro_f1", "macro_f1", "exact_match", "recall", "precision")
Metric = str | Callable[[Bool[np.ndarray, "seed molecule group"]], Shaped[np.ndarray, "seed molecule"]]


class Seed(NamedTuple):
    """One of the runs behind a score."""

    seed: int
    id: str


@dataclass(frozen=True, eq=False)
class Predictions:
    """What the runs of one setting of a model predict, one per seed, for the same molecules.

    ``clusters`` are of molecules that are alike. Settings of one ``block`` get the same start from a seed (`block_of`);
    where it is empty, each is by itself. ``condition`` tells apart predictions of the same runs, such as from
    noisy spectra. ``counted`` are the groups that count where a score names none.
    """

    model: str
    setting: str
    seeds: tuple[int, ...]
    molecules: Shaped[np.ndarray, " molecule"]
    labels: Bool[np.ndarray, "molecule group"]
    predicted: Bool[np.ndarray, "seed molecule group"]
    clusters: Shaped[np.ndarray, " molecule"] | None = None
    condition: str = ""
    counted: tuple[int, ...] = ()
    runs: tuple[Seed, ...] = ()
    block: str = ""

    def __post_init__(self):
        expected = len(set(self.seeds)), len(set(self.molecules)), self.labels.shape[1]
        if self.predicted.shape != expected or self.labels.shape != expected[1:]:
            found = f"labels have shape {self.labels.shape} and predictions {self.predicted.shape}"
            expectation = f"{expected} by the different seeds, different molecules and groups"
            raise ValueError(f"{self.model}, {self.setting}: {found}, expected {expectation}")
        if not self.labels.dtype == self.predicted.dtype == bool:
            raise ValueError(f"{self.model}, {self.setting}: labels and predictions must be bool, not probabilities")


class Scored(NamedTuple):
    """What a verdict on a score rests on: the value of every seed, and the influence of every molecule on it.

    ``metric`` says what was scored, so that the same can be scored of other runs. ``units`` are the molecules, or the
    clusters, of which the influences are.
    """

    model: str
    setting: str
    metric: tuple
    test_set: int
    seeds: tuple[int, ...]
    molecules: int
    values: Float[np.ndarray, " seed"]
    influence: Float[np.ndarray, "seed unit"]
    problem: str
    units: Shaped[np.ndarray, " unit"] | None = None
    where: Bool[np.ndarray, " molecule"] | None = None
    block: str = ""


@dataclass(frozen=True)
class Score:
    """A score over seeds: its values, what it measures, the runs they are of, and what a verdict needs (`Scored`)."""

    values: tuple[float, ...] = ()
    metric: str = ""
    runs: tuple[Seed, ...] = ()
    basis: Scored | None = field(default=None, repr=False, compare=False)

    @property
    def mean(self) -> float | None:
        """Mean over seeds; None where there is no value, such as of groups without a positive."""
        return float(np.mean(self.values)) if self.values else None

    @property
    def sd(self) -> float | None:
        """Standard deviation over seeds (n - 1); None with fewer than two."""
        return float(np.std(self.values, ddof=1)) if len(self.values) > 1 else None

    def __str__(self) -> str:
        if self.mean is None:
            return "none"
        return f"{self.mean:.3f}" if self.sd is None else f"{self.mean:.3f} ({self.sd:.3f})"


def summarise(values: Sequence[float]) -> Score:
    """Values over seeds that are not scores of predictions, such as times."""
    return Score(tuple(float(v) for v in values))


def setting_of(config: Config) -> str:
    """A name for a configuration without its seed: runs that differ only in the seed share it."""
    return sha256(repr(config.replace(seed=0).to_dict()).encode()).hexdigest()[:8]


def block_of(config: Config) -> str:
    """A name for what a seed starts alike: models of layers of the same sizes, on the same spectra and split."""
    model = config.model.model_dump()
    sizes = {k: value for k, value in model.items() if isinstance(value, int | tuple) and not isinstance(value, bool)}
    return sha256(repr((model["name"], sizes, config.data.modalities, config.data.split)).encode()).hexdigest()[:8]


def predictions(runs: Sequence[Run] | Predictions, tuned: bool = False) -> Predictions:
    """What the runs of one configuration predict for their test molecules.

    ``tuned`` takes the thresholds with the best F1 on validation instead of 0.5. On the scaffold split, molecules with
    one scaffold are a cluster.

    Raises
    ------
    ValueError : there are no runs; they differ in more than the seed, or were tested on different molecules.
    """
    return runs if isinstance(runs, Predictions) else _predictions(tuple(runs), tuned)


@lru_cache(maxsize=256)
def _predictions(runs: tuple[Run, ...], tuned: bool) -> Predictions:
    if not runs:
        raise ValueError("there is no run: train one")
    config = runs[0].config
    found = [run.predictions("test") for run in runs]
    molecules, labels, _ = found[0]
    for run, (ids, y, _) in zip(runs, found, strict=True):
        if setting_of(run.config) != setting_of(config):
            raise ValueError(f"{runs[0].path} and {run.path} are of different settings; expected other seeds only")
        if ids != molecules or not np.array_equal(y, labels):
            raise ValueError(f"{runs[0].path} and {run.path} were tested on different molecules; delete one, run again")
    thresholds = [run.metrics["thresholds"] if tuned else 0.5 for run in runs]
    predicted = np.array([p >= t for (_, _, p), t in zip(found, thresholds, strict=True)])
    clusters = np.array(_scaffolds(molecules)) if config.data.split == "scaffold" else None
    seeds = tuple(Seed(run.config.training.seed, run.id) for run in runs)
    counted, condition = tuple(runs[0].metrics.get("evaluated", ())), "tuned thresholds" if tuned else ""
    names = title_of(config), setting_of(config), tuple(seed for seed, _ in seeds), np.array(molecules)
    return Predictions(*names, labels, predicted, clusters, condition, counted, seeds, block_of(config))


@lru_cache(maxsize=4)
def _scaffolds(molecules: tuple[str, ...]) -> list[str]:
    return [scaffold_or_self(smiles) for smiles in molecules]


def score(
    runs: Sequence[Run] | Predictions,
    metric: Metric = "micro_f1",
    groups: Sequence[int] | None = None,
    where: Bool[np.ndarray, " molecule"] | None = None,
    tuned: bool = False,
) -> Score:
    """A test score of the runs of one configuration, one value per seed.

    Parameters
    ----------
    runs : runs, or what was predicted
    metric : ``micro_f1``, ``macro_f1``, ``exact_match``; ``recall`` or ``precision``, averaged over groups like
        macro-F1: those without a positive are left out; or a function that gives, from the predictions of shape (seed,
        molecule, group), one number per seed and molecule, such as whether they are plausible, to be averaged
    groups : indices, from 0; by default those that the runs count
    where : which test molecules; all by default
    tuned : as in `predictions`

    Raises
    ------
    ValueError : an unknown metric, or as `predictions`.
    """
    runs = predictions(runs, tuned)
    basis = scored(runs, metric, groups, where)
    label = metric.__name__ if callable(metric) else metric if groups is None or metric != "macro_f1" else "group_f1"
    return Score(tuple(basis.values.tolist()), label, runs.runs, basis)


def scored(
    runs: Predictions,
    metric: Metric = "micro_f1",
    groups: Sequence[int] | None = None,
    where: Bool[np.ndarray, " molecule"] | None = None,
) -> Scored:
    """As `score`, with the influence of each molecule: the score minus what it is without the molecule (jackknife).

    Where it rests on fewer than `LEAST` molecules or clusters with a positive (of exact match: at all), or there is no
    run, ``problem`` says so.
    """
    if metric not in METRICS and not callable(metric):
        raise ValueError(f"unknown metric {metric!r}; expected one of {', '.join(METRICS)}")
    groups = np.array((runs.counted or range(runs.labels.shape[1])) if groups is None else groups, dtype=int)
    where = np.ones(len(runs.labels), dtype=bool) if where is None else where
    y, p = runs.labels[:, groups] & where[:, None], runs.predicted[:, :, groups] & where[:, None]
    alike = runs.molecules if runs.clusters is None else runs.clusters
    names, clusters = _units(tuple(alike.tolist()))
    per_molecule = callable(metric) or metric == "exact_match"
    found = len(np.unique(clusters[where if per_molecule else y.any(1)]))
    problem = (
        "" if found >= LEAST else f"the score rests on {found} molecules, at least {LEAST} are needed: test on more"
    )
    if not runs.seeds:
        problem = "there is no run: train one"
    problem = problem and f"{runs.model}: {problem}"
    spec = metric, runs.condition, tuple(groups.tolist()), hash(where.tobytes())
    test_set = hash((tuple(runs.molecules.tolist()), runs.labels.tobytes(), clusters.tobytes()))
    first = runs.model, runs.setting, spec, test_set, tuple(runs.seeds), len(y)
    if not found or not runs.seeds:
        return Scored(*first, np.empty(0), np.empty((0, len(names))), problem, names, where, runs.block)
    hits, told = y & p, p.astype(np.int8)
    if per_molecule:
        values = metric(runs.predicted) if callable(metric) else (y == p).all(-1)
        part, whole = (values * where)[..., None], where[None, :, None].astype(int)
    else:  # F1 = 2 hits / (positives + predicted)
        part = hits if metric in ("recall", "precision") else 2 * hits
        whole = {"recall": np.broadcast_to(y, p.shape), "precision": told}.get(metric, y + told)
        if metric == "micro_f1":
            part, whole = part.sum(-1, keepdims=True), whole.sum(-1, keepdims=True)
        else:
            part, whole = part[..., y.any(0)], whole[..., y.any(0)]
    total = whole.sum(1, keepdims=True)
    ratio = part.sum(1, keepdims=True) / np.maximum(total, 1)
    influence = ((part - ratio * whole) / np.maximum(total - whole, 1)).mean(-1)
    influence = np.array([np.bincount(clusters, row, len(names)) for row in influence])
    return Scored(*first, ratio.mean((1, 2)), influence, problem, names, where, runs.block)


@lru_cache(maxsize=16)
def _units(names: tuple[Any, ...]) -> tuple[Shaped[np.ndarray, " unit"], Shaped[np.ndarray, " molecule"]]:
    """Numbers of the different molecules or clusters, the same in every test set, and which each molecule has."""
    number = {name: int.from_bytes(sha256(str(name).encode()).digest()[:7]) for name in set(names)}
    place, numbers = pd.factorize(np.array([number[name] for name in names]))
    return numbers, place


def tier_scores(runs: Sequence[Run] | Predictions, tiers: Mapping[str, Tier]) -> dict[str, Score]:
    """Mean F1 of the groups of each tier (`symspectra.training.metrics.frequency_tiers`).

    Groups without a positive in the test set are left out; a tier of only such groups has a `Score` without numbers.
    """
    return {name: score(runs, "macro_f1", tier.groups) for name, tier in tiers.items()}


def tested_groups(run: Run, tiers: Mapping[str, Tier]) -> dict[str, int]:
    """How many groups of each tier have a positive in the test set."""
    support = run.metrics["test"]["per_group_support"]
    return {name: sum(support[g] > 0 for g in tier.groups) for name, tier in tiers.items()}


def exact_match_by_groups(runs: Sequence[Run]) -> dict[int, tuple[Score, int]]:
    """Exact match over seeds, and the number of test molecules, by the number of groups in the molecule."""
    size = predictions(runs).labels.sum(1)
    return {int(n): (score(runs, "exact_match", where=size == n), int((size == n).sum())) for n in np.unique(size)}


def paper_row(row: str) -> str:
    """A row of `symspectra.experiments.plan.TABLE_1_SIMULATED`, as the paper's Table 1 has it."""
    return "Simulated: " + row.replace("MS/MS+", "MS/MS pos").replace("MS/MS-", "MS/MS neg")


def paper_cell(row: str, model: str) -> PaperValue:
    """Table 1, simulated half: the paper's number for a model."""
    return paper_value("table1", paper_row(row), model)


def with_spread(value: PaperValue) -> str:
    """A number of the paper as printed there, ``0.970 (0.018)``."""
    return f"{value.value:.3f}" + ("" if value.spread is None else f" ({value.spread:.3f})")


def as_json(content: Any) -> Any:
    """Scores, verdicts and cells as plain dictionaries and lists, ready for JSON."""
    if isinstance(content, Score):  # the runs behind it stand in the tidy table
        return {"mean": content.mean, "sd": content.sd, "values": list(content.values)}
    if is_dataclass(content):
        content = asdict(content)
    if isinstance(content, tuple) and hasattr(content, "_asdict"):
        content = content._asdict()
    if isinstance(content, Mapping):
        return {str(name): as_json(value) for name, value in content.items()}
    if isinstance(content, list | tuple):
        return [as_json(value) for value in content]
    return content.item() if isinstance(content, np.generic) else content

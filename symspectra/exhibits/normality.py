"""Are the compressed features normally distributed? Tests of the pooled representations T^i (App. G.2, Table 7).

Under normality p-values are uniform between 0 and 1, so that half of them lie above 0.5 and 95 % above 0.05. How small
they become otherwise depends on the number of molecules: with few of them no test can tell.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float
from scipy import stats

from symspectra.datasets.base import SpectraDataset
from symspectra.models.symspectra import SymSpectra
from symspectra.training.store import Run, derived

LEVEL, DRAWS = 0.05, 1999
SIZES = (10, 20, 30, 50, 100, 200, 500, 1000, 5000)  # of molecules, where there are more than twice as many
SHAPIRO, KOLMOGOROV, LILLIEFORS = TESTS = "Shapiro-Wilk", "Kolmogorov-Smirnov", "Lilliefors"
Features = Float[np.ndarray, "molecule channel"]


class Normality(NamedTuple):
    """Tests of the channels of one spectrum: how many molecules, and a p-value per channel by the name of the test.

    Channels that are the same for every molecule have no distribution to test; ``constant`` counts them.
    """

    molecules: int
    constant: int
    p_values: dict[str, Float[np.ndarray, " channel"]]

    def median(self, test: str) -> float:
        """Median p-value over the channels: near 0.5 for normal features."""
        return float(np.median(self.p_values[test]))

    def share_above(self, test: str) -> float:
        """Share of the channels whose normality is not rejected at 0.05: near 0.95 for normal features."""
        return float((self.p_values[test] > LEVEL).mean())


def normality(run: Run, dataset: SpectraDataset) -> dict[str, dict[int, Normality]]:
    """`channel_tests` of a run's `pooled_features`: by modality and by the number of molecules, all of them last.

    Raises
    ------
    ValueError : as these two.
    """

    def table(run: Run) -> Float[np.ndarray, "test column"]:
        """A test in every row: modality, molecules, which test, constant channels, p-values (else NaN)."""
        lines = []
        for i, features in enumerate(pooled_features(run.load(), dataset).values()):
            for size in [*(k for k in SIZES if 2 * k < len(features)), len(features)]:
                found = channel_tests(features, size)
                lines += [(i, size, k, found.constant, *found.p_values[name]) for k, name in enumerate(TESTS)]
        return pd.DataFrame(lines).to_numpy(float)

    tests = {name: {} for name in dataset.modalities}
    for i, size, k, constant, *p in derived(run, f"normality, {dataset.digest}", table).tolist():
        of_size = tests[dataset.modalities[int(i)]].setdefault(int(size), Normality(int(size), int(constant), {}))
        of_size.p_values[TESTS[int(k)]] = np.array([value for value in p if not np.isnan(value)])
    return tests


@torch.no_grad()
def pooled_features(model: SymSpectra, dataset: SpectraDataset, batch: int = 256) -> dict[str, Features]:
    """Mean over the tokens of T^i, for every test spectrum that was measured, by modality; in evaluation mode.

    Raises
    ------
    ValueError : the data have other modalities than the model.
    """
    if dataset.modalities != model.modalities:
        raise ValueError(f"the data have modalities {dataset.modalities}, the model {model.modalities}")
    model.eval()
    pooled, measured = [], []
    for rows in dataset.rows("test").split(batch):
        x, present = dataset.spectra(rows)
        pooled.append(model.represent(x, present).t.float().mean(dim=2).cpu())
        measured.append(present.cpu())
    features, there = torch.cat(pooled).numpy(), torch.cat(measured).numpy()
    return {name: features[there[:, i], i] for i, name in enumerate(dataset.modalities)}


def channel_tests(features: Features, molecules: int = 0) -> Normality:
    """Test every channel against a normal distribution with the mean and deviation of the channel itself.

    The Kolmogorov-Smirnov test takes that distribution for one given beforehand. As it was fitted to the same numbers
    it lies too close to them, and the p-values come out too high (Lilliefors, J. Am. Stat. Assoc. 1967, 62, 399). The
    Lilliefors test has the same statistic, and counts how many of `DRAWS` normal samples of the same size, each
    with its own mean and deviation, lie as far away.

    Parameters
    ----------
    molecules : test the first so many, 0 for all

    Raises
    ------
    ValueError : there are fewer than 8 molecules, or no channel varies.
    """
    sample = features[: molecules or None].astype(np.float64)
    n = len(sample)
    if n < 8:
        raise ValueError(f"{n} molecules have this spectrum; a test of normality expects 8 or more")
    varied = sample[:, np.ptp(sample, axis=0) > 1e-9 * np.abs(sample).max()]
    if not varied.shape[1]:
        raise ValueError(f"none of the {sample.shape[1]} channels varies over the {n} molecules")
    distance = _distance(varied)
    chance = _distance(np.random.default_rng(0).standard_normal((n, DRAWS)))
    beyond = (chance[:, None] >= distance).sum(axis=0)
    p_values = {
        SHAPIRO: np.array([stats.shapiro(channel).pvalue for channel in varied.T]),
        KOLMOGOROV: stats.kstwo.sf(distance, n),
        LILLIEFORS: (beyond + 1) / (DRAWS + 1),
    }
    return Normality(n, sample.shape[1] - varied.shape[1], p_values)


def _distance(sample: Float[np.ndarray, "n column"]) -> Float[np.ndarray, " column"]:
    """Largest distance of each column's distribution function from the normal one with its mean and deviation."""
    n = len(sample)
    z = np.sort((sample - sample.mean(axis=0)) / sample.std(axis=0, ddof=1), axis=0)
    below, rank = stats.norm.cdf(z), np.arange(n)[:, None]
    return np.maximum((rank + 1) / n - below, below - rank / n).max(axis=0)

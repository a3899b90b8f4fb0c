"""Is a spectrum like those that a model was trained on?"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

BINS = 60
QUANTILES = np.linspace(0, 1, 101)
UNLIKE = 0.99  # of the validation spectra are nearer
FLOOR = 0.02  # of the strongest point; below is noise, which a typed list of peaks does not have


def features(x: Float[np.ndarray, "spectrum 600"]) -> Float[np.ndarray, "spectrum 60"]:
    """Roots of the means over ten points: where there is how much, and no single line."""
    return np.sqrt(np.clip(x - FLOOR, 0, None).reshape(len(x), BINS, 600 // BINS).mean(axis=2))


@dataclass(frozen=True)
class Likeness:
    """Distances (Mahalanobis) of spectra of one modality to those of the training.

    Parameters
    ----------
    mean, precision : of the `features` of the training spectra
    distances : the percentiles, 0 to 100, of the distance of the validation spectra
    """

    mean: Float[np.ndarray, " 60"]
    precision: Float[np.ndarray, "60 60"]
    distances: Float[np.ndarray, " 101"]

    @classmethod
    def fit(cls, train: Float[np.ndarray, "spectrum 600"], validation: Float[np.ndarray, "spectrum 600"]) -> Likeness:
        """From training spectra, the covariance shrunk (Ledoit and Wolf 2004), and validation spectra."""
        from sklearn.covariance import LedoitWolf

        fitted = LedoitWolf().fit(features(train))
        bare = cls(fitted.location_, fitted.precision_, np.zeros(len(QUANTILES)))
        return cls(bare.mean, bare.precision, np.quantile(bare.distance(validation), QUANTILES))

    def distance(self, x: Float[np.ndarray, "spectrum 600"]) -> Float[np.ndarray, " spectrum"]:
        """Mahalanobis distance of each spectrum."""
        off = features(x) - self.mean
        return np.sqrt(np.einsum("ni,ij,nj->n", off, self.precision, off).clip(0))

    def rank(self, x: Float[np.ndarray, "spectrum 600"]) -> Float[np.ndarray, " spectrum"]:
        """Share of the validation spectra that are nearer to the training spectra than each of these."""
        return np.interp(self.distance(x), self.distances, QUANTILES)

"""A map of chemical space: molecules with similar fingerprints lie close (App. K, Figure 6)."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
import seaborn as sns
from jaxtyping import Bool, Float, Int
from matplotlib.figure import Figure
from scipy.spatial import cKDTree

from symspectra.exhibits.style import COLUMN, canvas, styled
from symspectra.groups.scaffolds import Bits, tanimoto

COLOURS = ("#0072B2", "#E69F00")  # training, test


def embed(bits: Bits, seed: int = 0, sample: int = 2000) -> tuple[Int[np.ndarray, " row"], Float[np.ndarray, "row 2"]]:
    """t-SNE of fingerprints by Tanimoto distance: rows that were embedded, ascending, and their places on the map.

    More than ``sample`` molecules are thinned at random. The start is the first two principal components.
    """
    from sklearn.decomposition import PCA
    from sklearn.manifold import TSNE

    rows = np.arange(len(bits))
    if len(bits) > sample:
        rows = np.sort(np.random.default_rng(seed).choice(rows, sample, replace=False))
    start = PCA(2, random_state=seed).fit_transform(bits[rows].astype(np.float32))
    start *= 1e-4 / start[:, 0].std()
    perplexity = min(30, (len(rows) - 1) / 3)
    tsne = TSNE(metric="precomputed", init=start, perplexity=perplexity, max_iter=500, random_state=seed)
    return rows, tsne.fit_transform(1 - tanimoto(bits[rows], bits[rows]))


@styled
def split_map(xy: Float[np.ndarray, "row 2"], in_test: Bool[np.ndarray, " row"]) -> Figure:
    """Fig 6: training and test molecules on the map, each with contours around half and 90 % of its density.

    ``in_test`` is one truth value per molecule on the map: leave validation molecules out of ``xy``.
    """
    names = [f"training ({(~in_test).sum():,})", f"test ({in_test.sum():,})"]
    table = pd.DataFrame({"x": xy[:, 0], "y": xy[:, 1], "side": np.array(names)[in_test.astype(int)]})
    style = {"x": "x", "y": "y", "hue": "side", "palette": dict(zip(names, COLOURS, strict=True)), "hue_order": names}
    figure, ax = canvas((COLUMN, COLUMN))
    sns.scatterplot(table, s=8, linewidth=0, alpha=0.6, ax=ax, **style)
    sns.kdeplot(table, levels=(0.1, 0.5), linewidths=(0.6, 1.1), common_norm=False, legend=False, ax=ax, **style)
    ax.set(xlabel="t-SNE 1", ylabel="t-SNE 2", xticks=[], yticks=[])
    sns.move_legend(ax, "lower left", bbox_to_anchor=(0, 1), ncols=2, title=None)
    return figure


def beside_their_own(xy: Float[np.ndarray, "row 2"], in_test: Bool[np.ndarray, " row"]) -> float:
    """Share of the test molecules whose nearest molecule on the map is another test molecule.

    Where test molecules are scattered at random, about their share of all molecules; 1 where they keep apart.
    """
    first, second = cKDTree(xy).query(xy, k=2)[1].T
    nearest = np.where(first == np.arange(len(xy)), second, first)
    return float(in_test[nearest][in_test].mean())


@styled
def similarity_curves(similarity: Mapping[str, Float[np.ndarray, " test"]]) -> Figure:
    """Share of the test molecules whose nearest training molecule is at most so similar, one curve per split.

    A dot marks each median. ``similarity`` is as from `symspectra.groups.scaffolds.nearest_similarity`; a curve farther
    to the left is of test molecules that are less like the training molecules.
    """
    figure, ax = canvas((COLUMN, 2.3))
    for (name, values), colour in zip(similarity.items(), COLOURS, strict=False):
        median = float(np.median(values))
        sns.ecdfplot(x=values, color=colour, label=f"{name} (median {median:.2f}, {len(values):,} molecules)", ax=ax)
        ax.plot(median, 0.5, "o", color=colour)
    ax.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), ylabel="share of the test molecules")
    ax.set(xlabel="Tanimoto similarity to the nearest training molecule")
    ax.grid(True)
    figure.legend(loc="outside upper left")
    return figure

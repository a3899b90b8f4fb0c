"""A map of chemical space: molecules with similar fingerprints lie close (App. K, Figure 6)."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from jaxtyping import Bool, Float, Int
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy.spatial import cKDTree
from scipy.stats import gaussian_kde

from symspectra.exhibits.style import COLUMN, styled
from symspectra.groups.scaffolds import Bits, tanimoto

TRAIN_COLOUR, TEST_COLOUR = "#0072B2", "#E69F00"


def embed(bits: Bits, seed: int = 0, sample: int = 2000) -> tuple[Int[np.ndarray, " row"], Float[np.ndarray, "row 2"]]:
    """t-SNE of fingerprints by Tanimoto distance: rows that were embedded, ascending, and their places on the map.

    More than ``sample`` molecules are thinned at random. The start is the first two principal components.

    Raises
    ------
    ValueError : there are fewer than 10 molecules.
    """
    from sklearn.decomposition import PCA
    from sklearn.manifold import TSNE

    if len(bits) < 10:
        raise ValueError(f"a map needs 10 molecules or more, got {len(bits)}")
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

    ``in_test`` is one truth value a molecule on the map: leave validation molecules out of ``xy``.

    Raises
    ------
    ValueError : fewer than 3 molecules on either side, which have no density.
    """
    in_test = np.asarray(in_test, dtype=bool)
    figure = Figure(figsize=(COLUMN, COLUMN), layout="constrained")
    ax = figure.subplots()
    for there, name, colour in ((~in_test, "training", TRAIN_COLOUR), (in_test, "test", TEST_COLOUR)):
        if there.sum() < 3:
            raise ValueError(f"{there.sum()} {name} molecules on the map; a density needs 3 or more")
        ax.scatter(*xy[there].T, s=3, color=colour, linewidth=0, alpha=0.6, label=f"{name} ({there.sum():,})")
    for there, colour in ((~in_test, TRAIN_COLOUR), (in_test, TEST_COLOUR)):
        _contours(ax, xy, there, colour)
    ax.set(xlabel="t-SNE 1", ylabel="t-SNE 2", xticks=[], yticks=[])
    ax.margins(0.05)
    figure.legend(loc="outside upper left", ncols=2, markerscale=3)
    return figure


def _contours(ax: Axes, xy: Float[np.ndarray, "row 2"], there: Bool[np.ndarray, " row"], colour: str) -> None:
    """Lines of the density that half and 90 % of the molecules exceed."""
    density = gaussian_kde(xy[there].T)
    low, high = xy.min(0), xy.max(0)
    margin = 0.2 * (high - low)
    x, y = np.linspace(low - margin, high + margin, 150).T
    grid = density(np.stack(np.meshgrid(x, y)).reshape(2, -1)).reshape(150, 150)
    levels = np.quantile(density(xy[there].T), [0.1, 0.5])
    ax.contour(x, y, grid, levels=levels, colors=colour, linewidths=[0.6, 1.1])


def beside_their_own(xy: Float[np.ndarray, "row 2"], in_test: Bool[np.ndarray, " row"]) -> float:
    """Share of the test molecules whose nearest molecule on the map is another test molecule.

    Where test molecules are scattered at random, about their share of all molecules; 1 where they keep apart.

    Raises
    ------
    ValueError : there is no test molecule, or no other molecule.
    """
    in_test = np.asarray(in_test, dtype=bool)
    if not in_test.any() or len(xy) < 2:
        raise ValueError(f"{in_test.sum()} test molecules of {len(xy)} on the map; expected 1 or more of 2 or more")
    first, second = cKDTree(xy).query(xy, k=2)[1].T
    nearest = np.where(first == np.arange(len(xy)), second, first)
    return float(in_test[nearest][in_test].mean())


@styled
def similarity_curves(similarity: Mapping[str, Float[np.ndarray, " test"]]) -> Figure:
    """Share of the test molecules whose nearest training molecule is at most so similar, one curve a split.

    A dot marks each median. ``similarity`` is as from `symspectra.groups.scaffolds.nearest_similarity`; a curve farther
    to the left is of test molecules that are less like the training molecules.

    Raises
    ------
    ValueError : a split has no test molecule.
    """
    figure = Figure(figsize=(COLUMN, 2.3), layout="constrained")
    ax = figure.subplots()
    for i, (name, values) in enumerate(similarity.items()):
        colour = (TRAIN_COLOUR, TEST_COLOUR)[i] if i < 2 else f"C{i}"
        if not len(values):
            raise ValueError(f"the split {name!r} has no test molecule")
        x, median = np.sort(values), float(np.median(values))
        steps = np.concatenate([[0.0], x, [1.0]]), np.concatenate([[0], np.arange(1, len(x) + 1) / len(x), [1]])
        ax.step(*steps, where="post", color=colour, label=f"{name} (median {median:.2f}, {len(x):,} molecules)")
        ax.plot(median, 0.5, "o", color=colour)
    ax.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), ylabel="share of the test molecules")
    ax.set(xlabel="Tanimoto similarity to the nearest training molecule", yticks=np.linspace(0, 1, 6).round(1))
    ax.grid(True)
    figure.legend(*ax.get_legend_handles_labels(), loc="outside upper left")
    return figure

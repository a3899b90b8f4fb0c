"""Exhibits: from results to a matplotlib figure, and to the files that keep picture and numbers together.

Every function returns a `matplotlib.figure.Figure` in one style (``symspectra.mplstyle``); `save_figure` writes it.
Spectra and molecules are in `symspectra.drawing`, the statistics in `symspectra.comparison`.
"""

from __future__ import annotations

import functools
import json
import os
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, ParamSpec

import matplotlib.style
import networkx as nx
import numpy as np
from jaxtyping import Bool, Float
from matplotlib.figure import Figure

from symspectra.comparison import Score, as_json
from symspectra.functional_groups import NAMES
from symspectra.metrics import Tier
from symspectra.runs import Run, code_digest

STYLE = Path(__file__).parent / "symspectra.mplstyle"
COLUMN, PAGE = 3.35, 6.7  # inches: 8.5 and 17 cm
TIER_COLOURS = {"low": "#D55E00", "medium": "#E69F00", "high": "#0072B2"}
TIER_LABELS = {"low": "low frequency", "medium": "medium frequency", "high": "high frequency"}
MODEL_COLOURS = {"1D-CNN": "#E69F00", "SymSpectra": "#0072B2"}
LABEL_BOX = {"boxstyle": "round,pad=0.05", "facecolor": "white", "edgecolor": "none", "alpha": 0.7}
P = ParamSpec("P")


def styled(draw: Callable[P, Figure]) -> Callable[P, Figure]:
    """Draw in the project's style, whatever the session's settings are."""

    @functools.wraps(draw)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> Figure:
        with matplotlib.style.context(["default", STYLE]):
            figure = draw(*args, **kwargs)
            figure.draw_without_rendering()  # ticks take the style when they are first drawn
            figure.set_layout_engine("none")  # from here on the layout stays, whatever is done with the figure
        return figure

    return wrapper


def save_figure(
    figure: Figure,
    numbers: Mapping[str, Any],
    folder: str | Path,
    exhibit: str,
    profile: str,
    runs: Sequence[Run] = (),
    molecules: Mapping[str, int] | None = None,
    dataset: str = "open",
) -> Path:
    """Write ``<exhibit>.png``, ``.pdf`` and ``.json`` to temporary names and rename them; return the PNG's path.

    Parameters
    ----------
    numbers : what is drawn; `Score` and `Comparison` become dictionaries
    runs : the runs behind it: their seeds, devices and molecule counts go into the JSON
    molecules : number of molecules by split or purpose, where there are no runs

    Raises
    ------
    ValueError : a number is not finite.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    content = {
        "exhibit": exhibit,
        "profile": profile,
        "dataset": runs[0].config.dataset if runs else dataset,
        "molecules": dict(molecules) if molecules else runs[0].metrics["molecules"] if runs else {},
        "seeds": sorted({run.config.seed for run in runs}),
        "runs": sorted({run.id for run in runs}),
        "device": sorted({run.environment["device"] for run in runs}),
        "git_commit": git_commit(),
        "code": code_digest(),
        "numbers": as_json(numbers),
    }
    try:
        text = json.dumps(content, indent=1, allow_nan=False) + "\n"
    except ValueError as error:
        raise ValueError(f"{exhibit}: a number that is not finite ({error})") from error
    paths = {kind: folder / f"{exhibit}.{kind}" for kind in ("pdf", "json", "png")}
    temporary = {kind: path.with_name(path.name + ".tmp") for kind, path in paths.items()}
    with matplotlib.style.context(["default", STYLE]):
        figure.savefig(temporary["png"], format="png")
        figure.savefig(temporary["pdf"], format="pdf", metadata={"CreationDate": None})
    temporary["json"].write_text(text)
    for kind, path in paths.items():
        os.replace(temporary[kind], path)
    return paths["png"]


def git_commit() -> str | None:
    """Commit of the package's repository, ``-dirty`` where the package differs from it; None outside of one."""
    git = ["git", "-C", str(Path(__file__).parent)]
    try:
        subprocess.run([*git, "ls-files", "--error-unmatch", "figures.py"], check=True, capture_output=True)
        answers = [
            subprocess.run([*git, *question], check=True, capture_output=True, text=True).stdout.strip()
            for question in (["rev-parse", "HEAD"], ["status", "--porcelain", "--", "."])
        ]
    except (OSError, subprocess.CalledProcessError):
        return None
    return answers[0] + ("-dirty" if answers[1] else "")


@styled
def group_frequencies(tiers: Mapping[str, Tier], what: str = "molecules in the training set") -> Figure:
    """Fig 1a: positives of each group, sorted, on a logarithmic axis, coloured by tier."""
    figure = Figure(figsize=(COLUMN, 5.0), layout="constrained")
    ax = figure.subplots()
    bars = [(name, group, n) for name in ("high", "medium", "low") for group, n in _descending(tiers[name])]
    top = max(n for _, _, n in bars)
    floor = 0.8
    for y, (tier, _, n) in enumerate(bars):
        ax.barh(y, max(n, floor) - floor, left=floor, color=TIER_COLOURS[tier], height=0.75)
        ax.text(max(n, floor) * 1.08, y, f"{n:,}", va="center", fontsize=6)
    ax.set(xscale="log", xlim=(floor, top * 20), ylim=(len(bars) - 0.4, -0.6), xlabel=what)
    ax.set_yticks(range(len(bars)), [NAMES[group] for _, group, _ in bars])
    ax.tick_params(axis="y", length=0)
    start = 0
    for name in ("high", "medium", "low"):
        counts, size = tiers[name].counts, len(tiers[name].groups)
        if start:
            ax.axhline(start - 0.5, color="0.5", linewidth=0.5, linestyle=(0, (4, 3)))
        label = f"{TIER_LABELS[name]}\n{size} groups\n{min(counts):,} to {max(counts):,}"
        place = {"transform": ax.get_yaxis_transform(), "ha": "right", "va": "bottom"}
        ax.text(0.98, start + size - 0.8, label, color=TIER_COLOURS[name], fontweight="bold", fontsize=6.5, **place)
        start += size
    return figure


def _descending(tier: Tier) -> list[tuple[int, int]]:
    return sorted(zip(tier.groups, tier.counts, strict=True), key=lambda pair: -pair[1])


@styled
def grouped_bars(
    scores: Mapping[str, Mapping[str, Score]],
    ylabel: str,
    colours: Mapping[str, str] | None = None,
    width: float = COLUMN,
    top: float = 1.0,
) -> Figure:
    """Bars with the standard deviation over seeds; ``scores[series][place]``. Places without a number are marked.

    Serves Fig 1b (model, tier), Fig 3a (model, metric), resampling and weighting.
    """
    figure = Figure(figsize=(width, 2.3), layout="constrained")
    ax = figure.subplots()
    places = list(dict.fromkeys(place for series in scores.values() for place in series))
    wide = 0.8 / len(scores)
    for i, (name, series) in enumerate(scores.items()):
        colour = (colours or {}).get(name, f"C{i}")
        for k, place in enumerate(places):
            value, x = series[place], k + (i - (len(scores) - 1) / 2) * wide
            height, sd = value.mean or 0.0, value.sd or 0.0
            ax.bar(x, height, 0.92 * wide, color=colour, label=name if k == 0 else None)
            if value.sd is not None:
                ax.errorbar(x, height, sd, color="black", linewidth=0.7)
            text = "none" if value.mean is None else f"{height:.2f}"
            above = {"textcoords": "offset points", "ha": "center", "va": "bottom", "fontsize": 6}
            ax.annotate(text, (x, height + sd), (0, 2), **above)
    highest = max((v.mean or 0) + (v.sd or 0) for series in scores.values() for v in series.values())
    ax.set(ylabel=ylabel, ylim=(0, min(top, max(0.1, highest)) * 1.12))
    ax.set_xticks(range(len(places)), places)
    ax.tick_params(axis="x", length=0)
    ax.yaxis.grid(True)
    figure.legend(loc="outside upper left", ncols=3)
    return figure


@styled
def match_by_group_count(curves: Mapping[str, Mapping[int, tuple[Score, int]]]) -> Figure:
    """Fig 3b: exact match by the number of functional groups in the molecule, with the number of test molecules."""
    figure = Figure(figsize=(COLUMN, 2.8), layout="constrained")
    ax, below = figure.subplots(2, 1, sharex=True, height_ratios=[4, 1.3])
    for i, (name, curve) in enumerate(curves.items()):
        n = np.array(list(curve)) + 0.08 * (i - (len(curves) - 1) / 2)
        mean = [value.mean for value, _ in curve.values()]
        sd = [value.sd or 0.0 for value, _ in curve.values()]
        ax.errorbar(n, mean, sd, marker="os^D"[i % 4], color=MODEL_COLOURS.get(name, f"C{i}"), label=name)
    counts = {n: molecules for curve in curves.values() for n, (_, molecules) in curve.items()}
    below.bar(list(counts), list(counts.values()), color="0.7", width=0.7)
    for n, molecules in counts.items():
        below.text(n, molecules, f"{molecules}", ha="center", va="bottom", fontsize=6)
    ax.set(ylabel="exact match", ylim=(-0.03, 1.03))
    ax.yaxis.grid(True)
    below.set(xlabel="functional groups in the molecule", ylabel="molecules", ylim=(0, 1.4 * max(counts.values())))
    below.set_xticks(list(counts))
    figure.legend(loc="outside upper left", ncols=3)
    return figure


@styled
def score_table(header: Sequence[str], rows: Sequence[Sequence[str]], bold: Sequence[tuple[int, int]] = ()) -> Figure:
    """A table of text with three rules, the first column to the left; ``bold`` holds (row, column) pairs."""
    lines = [list(header), *map(list, rows)]
    widths = [max(len(part) for line in lines for part in line[k].split("\n")) + 3 for k in range(len(header))]
    right = np.cumsum(widths)
    deep = max(cell.count("\n") + 1 for cell in header)
    inch = 0.062  # a character of 7 pt
    figure = Figure(figsize=(max(right[-1] * inch, 2.5), 0.2 * (len(rows) + deep) + 0.12))
    ax = figure.add_axes((0.01, 0, 0.98, 1))
    ax.set(xlim=(0, right[-1]), ylim=(len(rows) + 0.3, -deep - 0.3))
    ax.axis("off")
    for i, line in enumerate(lines):
        y = i - 0.5 if i else -deep / 2
        for k, cell in enumerate(line):
            x, ha = (0, "left") if k == 0 else (right[k] - widths[k] / 2, "center")
            weight = "bold" if (i - 1, k) in set(bold) else "normal"
            ax.text(x, y, cell, ha=ha, va="center", fontweight=weight)
    for y, width in ((-deep, 1.0), (0, 0.6), (len(rows), 1.0)):
        ax.axhline(y, color="black", linewidth=width)
    return figure


def cooccurrence(
    y: Bool[np.ndarray, "molecule group"], threshold: float = 0.05, least: int = 3
) -> tuple[nx.Graph, Float[np.ndarray, "group group"]]:
    """Which groups come together more often than by chance: a graph with phi coefficients as weights, and phi itself.

    Nodes are the groups that occur. An edge needs ``least`` molecules that have both, and a phi coefficient of at
    least ``threshold`` and of at least 3.5 / sqrt(N), which chance passes once in 4,300 pairs. The paper's Fig 1c
    thresholds the frequency itself, which would join everything to Alkane.
    """
    y = np.asarray(y, dtype=np.float64)
    count, together, n = y.sum(0), y.T @ y, len(y)
    norm = np.sqrt(np.outer(count * (n - count), count * (n - count)))
    phi = np.divide(n * together - np.outer(count, count), norm, out=np.zeros_like(norm), where=norm > 0)
    threshold = max(threshold, 3.5 / np.sqrt(n))
    graph = nx.Graph(threshold=float(threshold))
    graph.add_nodes_from((int(k), {"count": int(count[k])}) for k in np.flatnonzero(count))
    for i, j in zip(*np.nonzero(np.triu((phi >= threshold) & (together >= least), 1)), strict=True):
        graph.add_edge(int(i), int(j), weight=float(phi[i, j]), molecules=int(together[i, j]))
    return graph, phi


@styled
def cooccurrence_graph(graph: nx.Graph, tier_of: Mapping[int, str]) -> Figure:
    """Fig 1c: groups that come together lie close; node area by frequency, edge width by phi, colour by tier."""
    figure = Figure(figsize=(PAGE, 4.6), layout="constrained")
    ax = figure.subplots()
    linked = graph.subgraph([node for node in graph if graph.degree(node)])
    position = _untangled(linked)
    weights = [data["weight"] for *_, data in linked.edges(data=True)]
    nx.draw_networkx_edges(linked, position, ax=ax, width=[0.4 + 4 * w for w in weights], edge_color="#b5b5b5")
    count = np.array([graph.nodes[node]["count"] for node in linked], dtype=float)
    size = 12 + 260 * np.sqrt(count / max(count.max(initial=1), 1))
    colour = [TIER_COLOURS[tier_of[node]] for node in linked]
    nx.draw_networkx_nodes(linked, position, ax=ax, node_size=size, node_color=colour, edgecolors="white")
    for node, area in zip(linked, size, strict=True):
        below = (0, -0.5 * np.sqrt(area) - 1)
        place = {"textcoords": "offset points", "ha": "center", "va": "top", "fontsize": 6.5, "bbox": LABEL_BOX}
        ax.annotate(NAMES[node], position[node], below, **place)
    for tier, name in TIER_LABELS.items():
        ax.scatter([], [], s=30, color=TIER_COLOURS[tier], label=name)
    ax.margins(0.06)
    ax.axis("off")
    figure.legend(loc="outside upper left", ncols=3)
    return figure


def _untangled(graph: nx.Graph, seeds: int = 20) -> dict[int, np.ndarray]:
    """Spring layout of the seed for which fewest edges pass through a node that they do not join."""
    if not len(graph):
        return {}
    springs = nx.complete_graph(list(graph))
    nx.set_edge_attributes(springs, 0.02, "weight")  # holds the parts of the graph together
    springs.add_edges_from(graph.edges(data=True))

    def passes(position: dict[int, np.ndarray]) -> int:
        count = 0
        for i, j in graph.edges:
            a, along = position[i], position[j] - position[i]
            for node in set(graph) - {i, j}:
                t = np.clip((position[node] - a) @ along / max(along @ along, 1e-12), 0, 1)
                count += int(np.hypot(*(position[node] - a - t * along)) < 0.06)
        return count

    layouts = (nx.spring_layout(springs, weight="weight", k=0.9, iterations=200, seed=seed) for seed in range(seeds))
    return min((_spread(layout, (0.3, 0.17)) for layout in layouts), key=passes)


def _spread(position: Mapping[int, np.ndarray], box: tuple[float, float]) -> dict[int, np.ndarray]:
    """Move nodes apart until no two labels of the given width and height (axes of [-1, 1]) overlap."""
    nodes = list(position)
    xy = np.array([position[node] for node in nodes], dtype=float).reshape(len(nodes), 2)
    for _ in range(500):
        delta = xy[:, None] - xy[None]
        overlap = np.array(box) - np.abs(delta)
        clash = (overlap > 1e-6).all(2) & ~np.eye(len(nodes), dtype=bool)
        if not clash.any():
            break
        axis = (overlap / np.array(box)).argmin(2)  # the shorter way out
        push = np.where(np.arange(2) == axis[:, :, None], np.sign(delta) * overlap, 0) * clash[:, :, None]
        xy += 0.35 * push.sum(1) / np.maximum(clash.sum(1, keepdims=True), 1)
    return dict(zip(nodes, xy, strict=True))

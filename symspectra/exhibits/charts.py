"""Charts of scores: bars, curves, grids, scatter plots, histories of training, and tables of text.

Scores come as `symspectra.exhibits.comparison.Score`; error bars are standard deviations over seeds. Every function returns a
`matplotlib.figure.Figure`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullLocator

from symspectra.exhibits.comparison import Score
from symspectra.exhibits.lettering import wrapped, write_apart
from symspectra.exhibits.style import COLUMN, MODEL_COLOURS, PAGE, TIER_COLOURS, TIER_LABELS, styled
from symspectra.groups.table8 import NAMES
from symspectra.training.metrics import Tier
from symspectra.training.store import Run

MARKERS = "os^Dvp"
Curve = Mapping[float, Score]


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

    The numbers over the bars are turned where bars are narrow, and left out where they are narrower than a letter.
    Serves Fig 1b (model, tier), Fig 3a (model, metric), Fig 10, resampling and weighting.
    """
    figure = Figure(figsize=(width, 2.3), layout="constrained")
    ax = figure.subplots()
    places = list(dict.fromkeys(place for series in scores.values() for place in series))
    wide, inches = 0.8 / len(scores), 0.86 * width / len(places)
    turned, written = inches * wide < 0.2, inches * wide > 0.075
    for i, (name, series) in enumerate(scores.items()):
        colour = (colours or {}).get(name, f"C{i}")
        for k, place in enumerate(places):
            value, x = series[place], k + (i - (len(scores) - 1) / 2) * wide
            height, sd = value.mean or 0.0, value.sd or 0.0
            ax.bar(x, height, 0.92 * wide, color=colour, label=name if k == 0 else None)
            if value.sd is not None:
                ax.errorbar(x, height, sd, color="black", linewidth=0.7)
            text = "none" if value.mean is None else f"{height:.2f}" if written else ""
            above = {"textcoords": "offset points", "ha": "center", "va": "bottom", "fontsize": 6}
            ax.annotate(text, (x, height + sd), (0, 2), rotation=90 if turned else 0, **above)
    highest = max((v.mean or 0) + (v.sd or 0) for series in scores.values() for v in series.values())
    limit = min(top, max(0.1, highest))
    ax.set(ylabel=ylabel, ylim=(0, limit * (1.22 if turned and written else 1.12)))
    ax.set_yticks([tick for tick in ax.get_yticks() if tick <= top])
    ax.set_xticks(range(len(places)), [wrapped(place, inches) for place in places])
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
        style = {"marker": MARKERS[i % len(MARKERS)], "color": MODEL_COLOURS.get(name, f"C{i}")}
        ax.errorbar(n, mean, sd, label=name, **style)
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


def _draw_curves(ax: Axes, series: Mapping[str, Curve], log_x: bool, colours: Mapping[str, str] | None) -> None:
    """Lines with error bars, those of one x side by side; points without a number are left out."""
    places = sorted({x for curve in series.values() for x in curve})
    if log_x and places[0] <= 0:
        raise ValueError(f"x = {places[0]:g} cannot be drawn on a logarithmic axis, expected positive numbers")
    ratio, span = (places[-1] / places[0], 0) if log_x else (1, places[-1] - places[0])
    for i, (name, curve) in enumerate(series.items()):
        points = [(x, value) for x, value in sorted(curve.items()) if value.mean is not None]
        shift = 0.008 * (i - (len(series) - 1) / 2)
        x = [x * ratio**shift + span * shift for x, _ in points]
        colour = (MODEL_COLOURS | dict(colours or {})).get(name, f"C{i}")
        mean, sd = [v.mean for _, v in points], [v.sd or 0.0 for _, v in points]
        ax.errorbar(x, mean, sd, marker=MARKERS[i % len(MARKERS)], color=colour, label=name, elinewidth=0.6)
    if log_x:
        ax.set_xscale("log")
    elif len(places) <= 8:
        ax.set_xticks(places, [f"{x:g}" for x in places])
    ax.yaxis.grid(True)


@styled
def curves(
    series: Mapping[str, Curve],
    xlabel: str,
    ylabel: str,
    log_x: bool = False,
    colours: Mapping[str, str] | None = None,
) -> Figure:
    """Scores along a setting, such as noise (Fig 5b) or beta (Fig 11b): ``series[name][x]``, one line a name.

    Raises
    ------
    ValueError : an x that is not positive on a logarithmic axis.
    """
    figure = Figure(figsize=(COLUMN, 2.4), layout="constrained")
    ax = figure.subplots()
    _draw_curves(ax, series, log_x, colours)
    ax.set(xlabel=xlabel, ylabel=ylabel)
    if len(series) > 1:
        figure.legend(*ax.get_legend_handles_labels(), loc="outside upper left", ncols=3)
    return figure


@styled
def small_multiples(
    panels: Mapping[str, Mapping[str, Curve]],
    xlabel: str,
    ylabel: str,
    notes: Mapping[str, str] | None = None,
    columns: int = 2,
    log_x: bool = False,
    colours: Mapping[str, str] | None = None,
) -> Figure:
    """Fig 4: one panel a title with the same axes, a shared legend, and a note at the right over each panel.

    ``panels[title][name][x]`` as in `curves`; ``notes[title]`` is short, such as the share of positives.

    Raises
    ------
    ValueError : an x that is not positive on a logarithmic axis.
    """
    columns = min(columns, len(panels))
    rows = -(-len(panels) // columns)
    figure = Figure(figsize=(COLUMN if columns == 1 else PAGE, 0.4 + 1.75 * rows), layout="constrained")
    grid = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False).ravel()
    for ax, (title, series) in zip(grid, panels.items(), strict=False):
        _draw_curves(ax, series, log_x, colours)
        ax.set_title(title, fontweight="bold")
        ax.set_title((notes or {}).get(title, ""), loc="right", fontsize=6.5, color="0.35")
    for ax in grid[len(panels) :]:
        ax.axis("off")
    for ax in grid[: len(panels)][-columns:]:
        ax.tick_params(labelbottom=True)
    figure.supxlabel(xlabel, fontsize=7)
    figure.supylabel(ylabel, fontsize=7)
    found = {name: line for ax in grid for line, name in zip(*ax.get_legend_handles_labels(), strict=True)}
    figure.legend(list(found.values()), list(found), loc="outside upper left", ncols=6)
    return figure


@styled
def score_grid(
    grid: Mapping[tuple[float, float], Score],
    xlabel: str,
    ylabel: str,
    score_label: str = "micro-F1",
    ring: tuple[float, float] | None = None,
) -> Figure:
    """Fig 11a: ``grid[row, column]`` as circles; colour and number give the score, the area its error 1 - score.

    ``ring`` marks one place, such as the optimum that the paper names; places without a number are marked.
    """
    rows, columns = (sorted({place[k] for place in grid}) for k in (0, 1))
    figure = Figure(figsize=(0.95 + 0.5 * len(columns), 0.85 + 0.42 * len(rows)), layout="constrained")
    ax = figure.subplots()
    known = {place: value.mean for place, value in grid.items() if value.mean is not None}
    low, high = min(known.values()), max(known.values())
    for row, column in grid.keys() - known.keys():
        ax.text(columns.index(column), rows.index(row), "none", ha="center", va="center", fontsize=6, color="0.4")
    x, y = ([line.index(place[k]) for place in known] for k, line in ((1, columns), (0, rows)))
    error = np.array([(high - mean) / max(high - low, 1e-12) for mean in known.values()])
    drawn = ax.scatter(x, y, s=110 + 330 * error, c=list(known.values()), cmap="viridis", vmin=low, vmax=high)
    for i, j, mean, e in zip(x, y, known.values(), error, strict=True):
        ax.text(i, j, f"{mean:.3f}"[1:], ha="center", va="center", fontsize=6, color="white" if e > 0.45 else "black")
    if ring in known:
        place = columns.index(ring[1]), rows.index(ring[0])
        ax.scatter(*place, s=600, facecolors="none", edgecolors="#D55E00", linewidths=1.2)
    ax.set(xlabel=xlabel, ylabel=ylabel, xlim=(-0.6, len(columns) - 0.4), ylim=(-0.6, len(rows) - 0.4))
    ax.set_xticks(range(len(columns)), [f"{v:g}" for v in columns])
    ax.set_yticks(range(len(rows)), [f"{v:g}" for v in rows])
    ax.set_title("larger circle: larger error", fontsize=6.5, color="0.35")
    figure.colorbar(drawn, ax=ax, label=score_label, fraction=0.05)
    return figure


@styled
def scatter_groups(
    points: Mapping[str, Mapping[str, tuple[float, float]]],
    xlabel: str,
    ylabel: str,
    log_x: bool = False,
    labelled: Sequence[str] = (),
    colours: Mapping[str, str] | None = None,
    width: float = COLUMN,
) -> Figure:
    """One point a functional group or number of groups: ``points[series][label]`` is (x, y).

    Serves Fig 3d, 8 and 9. Spearman's rank correlation stands beside the name of each series (none with fewer than
    three points or without spread); the points named in ``labelled`` are written out, at the highest of the series.
    """
    from scipy.stats import spearmanr

    figure = Figure(figsize=(width, 2.8), layout="constrained")
    ax = figure.subplots()
    tops: dict[str, tuple[float, float]] = {}
    for i, (name, series) in enumerate(points.items()):
        x, y = np.array(list(series.values()), dtype=float).T
        varied = len(x) > 2 and np.ptp(x) > 0 and np.ptp(y) > 0
        rank = f" ({spearmanr(x, y).statistic:+.2f})" if varied else ""
        colour = (MODEL_COLOURS | dict(colours or {})).get(name, f"C{i}")
        style = {"marker": MARKERS[i % len(MARKERS)], "s": 12, "alpha": 0.8, "linewidths": 0}
        ax.scatter(x, y, color=colour, label=name + rank, **style)
        for label in set(labelled) & set(series):
            tops[label] = max(tops.get(label, series[label]), series[label], key=lambda place: place[1])
    ax.set(xlabel=xlabel, ylabel=ylabel, xscale="log" if log_x else "linear")
    ax.margins(0.08, 0.12)
    ax.yaxis.grid(True)
    heading = {"title": "in brackets: Spearman's rank correlation", "title_fontsize": 6, "alignment": "left"}
    figure.legend(*ax.get_legend_handles_labels(), loc="outside upper left", ncols=2 if width < PAGE else 5, **heading)
    figure.draw_without_rendering()
    write_apart(ax, tops)
    return figure


@styled
def learning_curves(runs: Mapping[str, Sequence[Run]], colours: Mapping[str, str] | None = None) -> Figure:
    """Validation micro-F1 and training loss along the training, one thin line a seed; ``runs[name]``.

    The share of the training is on x, so that models with other numbers of epochs can be compared; the number of
    epochs stands beside the name. Losses hold other terms in each model: only their course can be compared.
    """
    figure = Figure(figsize=(COLUMN, 3.2), layout="constrained")
    axes = figure.subplots(2, 1, sharex=True)
    for i, (name, seeds) in enumerate(runs.items()):
        colour = (MODEL_COLOURS | dict(colours or {})).get(name, f"C{i}")
        epochs = sorted({len(run.history) for run in seeds})
        for k, run in enumerate(seeds):
            share = 100 * np.arange(1, len(run.history) + 1) / len(run.history)
            label = f"{name} ({', '.join(map(str, epochs))} epochs)" if k == 0 else None
            for ax, key in zip(axes, ("validation_micro_f1", "loss"), strict=True):
                style = {"marker": "o", "markersize": 1.5} if len(share) < 15 else {}
                ax.plot(share, [epoch[key] for epoch in run.history], color=colour, alpha=0.8, label=label, **style)
    axes[0].set(ylabel="validation micro-F1", ylim=(-0.03, 1.03))
    axes[1].set(ylabel="training loss", yscale="log", xlabel="share of the training (%)", xlim=(0, 103))
    axes[1].yaxis.set(major_locator=LogLocator(subs=(1, 2, 5)), minor_locator=NullLocator(), major_formatter="{x:g}")
    for ax in axes:
        ax.yaxis.grid(True)
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside upper left", ncols=2)
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

"""Charts of scores: bars, curves, grids, scatter plots, histories of training, and tables of text.

Scores (`symspectra.exhibits.comparison.Score`) are brought into a tidy table (`_table`) and drawn by seaborn; error
bars are standard deviations over seeds. Every function returns a `matplotlib.figure.Figure`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import LogLocator, NullLocator

from symspectra.exhibits.comparison import Score
from symspectra.exhibits.lettering import wrapped, write_apart
from symspectra.exhibits.style import COLUMN, MODEL_COLOURS, PAGE, TIER_COLOURS, TIER_LABELS, styled
from symspectra.groups.table8 import NAMES
from symspectra.training.metrics import Tier
from symspectra.training.store import Run

Curve = Mapping[float, Score]
BARS = {"errorbar": "sd", "err_kws": {"linewidth": 0.7, "color": "black"}, "capsize": 0.15}
LINES = {"errorbar": "sd", "err_style": "bars", "err_kws": {"elinewidth": 0.6}, "markers": True, "dashes": False}


def _table(scores: Mapping[str, Mapping[Any, Score]], what: str = "series", where: str = "place") -> pd.DataFrame:
    """One line per seed: ``scores[series][place]`` with its value; one without a value where there is none."""
    lines = [
        {what: name, where: place, "score": value}
        for name, series in scores.items()
        for place, score in series.items()
        for value in score.values or (None,)
    ]
    return pd.DataFrame(lines, columns=[what, where, "score"]).astype({"score": float})


def _palette(names: Iterable[str], colours: Mapping[str, str] | None = None) -> dict[str, str]:
    known = MODEL_COLOURS | dict(colours or {})
    return {name: known.get(name, f"C{i % 7}") for i, name in enumerate(names)}


@styled
def group_frequencies(tiers: Mapping[str, Tier], what: str = "molecules in the training set") -> Figure:
    """Fig 1a: positives of each group, sorted, on a logarithmic axis, coloured by tier."""
    figure = Figure(figsize=(COLUMN, 5.0), layout="constrained")
    ax = figure.subplots()
    bars = [(NAMES[group], n, name) for name in ("high", "medium", "low") for group, n in _descending(tiers[name])]
    table = pd.DataFrame(bars, columns=["group", "count", "tier"])
    floor, top = 0.8, table["count"].max()
    shown = table.assign(count=table["count"].clip(lower=floor))
    sns.barplot(
        shown, x="count", y="group", hue="tier", palette=TIER_COLOURS, width=0.75, saturation=1, legend=False, ax=ax
    )
    for y, n in enumerate(table["count"]):
        ax.text(max(n, floor) * 1.08, y, f"{n:,}", va="center", fontsize=6)
    ax.set(xscale="log", xlim=(floor, top * 20), ylim=(len(bars) - 0.4, -0.6), xlabel=what, ylabel="")
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
    table, palette = _table(scores), _palette(scores, colours)
    places = list(dict.fromkeys(table["place"]))
    inches = 0.86 * width / len(places)
    bar = 0.8 * inches / len(scores)
    turned, written = bar < 0.2, bar > 0.075
    sns.barplot(table, x="place", y="score", hue="series", palette=palette, saturation=1, gap=0.08, ax=ax, **BARS)
    above = {"textcoords": "offset points", "ha": "center", "va": "bottom", "fontsize": 6}
    for i, series in enumerate(scores.values()):
        for k, place in enumerate(places):
            value, x = series[place], k + (i - (len(scores) - 1) / 2) * 0.8 / len(scores)
            text = "none" if value.mean is None else f"{value.mean:.2f}" if written else ""
            ax.annotate(text, (x, (value.mean or 0) + (value.sd or 0)), (0, 2), rotation=90 * turned, **above)
    highest = max((v.mean or 0) + (v.sd or 0) for series in scores.values() for v in series.values())
    limit = min(top, max(0.1, highest))
    ax.set(xlabel="", ylabel=ylabel, ylim=(0, limit * (1.22 if turned and written else 1.12)))
    ax.set_yticks([tick for tick in ax.get_yticks() if tick <= top])
    ax.set_xticks(range(len(places)), [wrapped(place, inches) for place in places])
    ax.tick_params(axis="x", length=0)
    ax.yaxis.grid(True)
    _legend_above(figure, ax)
    return figure


def _legend_above(figure: Figure, ax: Axes, columns: int = 3, **heading: Any) -> None:
    """Move the legend of the axes over the figure."""
    handles, labels = ax.get_legend_handles_labels()
    if ax.get_legend() is not None:
        ax.get_legend().remove()
    figure.legend(handles, labels, loc="outside upper left", ncols=columns, **heading)


@styled
def match_by_group_count(curves: Mapping[str, Mapping[int, tuple[Score, int]]]) -> Figure:
    """Fig 3b: exact match by the number of functional groups in the molecule, with the number of test molecules."""
    figure = Figure(figsize=(COLUMN, 2.8), layout="constrained")
    ax, below = figure.subplots(2, 1, sharex=True, height_ratios=[4, 1.3])
    table = _table({name: {n: value for n, (value, _) in curve.items()} for name, curve in curves.items()})
    hue = {"hue": "series", "style": "series", "palette": _palette(curves)}
    sns.lineplot(table, x="place", y="score", ax=ax, **hue, **LINES)
    counts = {n: molecules for curve in curves.values() for n, (_, molecules) in curve.items()}
    below.bar(list(counts), list(counts.values()), color="0.7", width=0.7)
    for n, molecules in counts.items():
        below.text(n, molecules, f"{molecules}", ha="center", va="bottom", fontsize=6)
    ax.set(ylabel="exact match", ylim=(-0.03, 1.03))
    ax.yaxis.grid(True)
    below.set(xlabel="functional groups in the molecule", ylabel="molecules", ylim=(0, 1.4 * max(counts.values())))
    below.set_xticks(list(counts))
    _legend_above(figure, ax)
    return figure


def _draw_curves(ax: Axes, series: Mapping[str, Curve], log_x: bool, colours: Mapping[str, str] | None) -> None:
    """Lines with error bars; points without a number are left out."""
    places = sorted({x for curve in series.values() for x in curve})
    if log_x and places[0] <= 0:
        raise ValueError(f"x = {places[0]:g} cannot be drawn on a logarithmic axis, expected positive numbers")
    table = _table(series).dropna()
    hue = {"hue": "series", "style": "series", "hue_order": list(series), "style_order": list(series)}
    sns.lineplot(table, x="place", y="score", palette=_palette(series, colours), ax=ax, **hue, **LINES)
    ax.set(xlabel="", ylabel="", xscale="log" if log_x else "linear")
    if not log_x and len(places) <= 8:
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
    """Scores along a setting, such as noise (Fig 5b) or beta (Fig 11b): ``series[name][x]``, one line per name.

    Raises
    ------
    ValueError : an x that is not positive on a logarithmic axis.
    """
    figure = Figure(figsize=(COLUMN, 2.4), layout="constrained")
    ax = figure.subplots()
    _draw_curves(ax, series, log_x, colours)
    ax.set(xlabel=xlabel, ylabel=ylabel)
    if len(series) > 1:
        _legend_above(figure, ax)
    else:
        ax.get_legend().remove()
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
    """Fig 4: one panel per title with the same axes, a shared legend, and a note at the right over each panel.

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
    for ax in grid[1 : len(panels)]:
        ax.get_legend().remove()
    _legend_above(figure, grid[0], columns=6)
    return figure


@styled
def score_grid(
    grid: Mapping[tuple[float, float], Score],
    xlabel: str,
    ylabel: str,
    score_label: str = "micro-F1",
    ring: tuple[float, float] | None = None,
) -> Figure:
    """Fig 11a: ``grid[row, column]`` as a heatmap with its numbers.

    ``ring`` frames one place, such as the optimum that the paper names; places without a number are marked.
    """
    lines = [{"row": row, "column": column, "score": value.mean} for (row, column), value in grid.items()]
    table = pd.DataFrame(lines).astype(float).pivot(index="row", columns="column", values="score").iloc[::-1]
    figure = Figure(figsize=(0.95 + 0.5 * table.shape[1], 0.85 + 0.42 * table.shape[0]), layout="constrained")
    ax = figure.subplots()
    numbers = table.map(lambda mean: f"{mean:.3f}"[1:])
    style = {"cmap": "viridis", "linewidths": 1, "annot_kws": {"fontsize": 6}, "cbar_kws": {"label": score_label}}
    sns.heatmap(table, annot=numbers, fmt="", ax=ax, **style)
    for row, column in np.argwhere(table.isna()):
        ax.text(column + 0.5, row + 0.5, "none", ha="center", va="center", fontsize=6, color="0.4")
    if ring is not None and ring[0] in table.index and ring[1] in table.columns:
        place = table.columns.get_loc(ring[1]), table.index.get_loc(ring[0])
        ax.add_patch(Rectangle(place, 1, 1, fill=False, edgecolor="#D55E00", linewidth=1.5))
    ax.set(xlabel=xlabel, ylabel=ylabel)
    ax.set_xticks(np.arange(table.shape[1]) + 0.5, [f"{v:g}" for v in table.columns], rotation=0)
    ax.set_yticks(np.arange(table.shape[0]) + 0.5, [f"{v:g}" for v in table.index], rotation=0)
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
    """One point per functional group or number of groups: ``points[series][label]`` is (x, y).

    Serves Fig 3d, 8 and 9. Spearman's rank correlation stands beside the name of each series (none with fewer than
    three points or without spread); the points named in ``labelled`` are written out, at the highest of the series.
    """
    from scipy.stats import spearmanr

    figure = Figure(figsize=(width, 2.8), layout="constrained")
    ax = figure.subplots()
    tops: dict[str, tuple[float, float]] = {}
    lines, names = [], {}
    for name, series in points.items():
        x, y = np.array(list(series.values()), dtype=float).T
        varied = len(x) > 2 and np.ptp(x) > 0 and np.ptp(y) > 0
        names[name] = name + (f" ({spearmanr(x, y).statistic:+.2f})" if varied else "")
        lines += [{"series": names[name], "x": a, "y": b} for a, b in zip(x, y, strict=True)]
        for label in set(labelled) & set(series):
            tops[label] = max(tops.get(label, series[label]), series[label], key=lambda place: place[1])
    palette = {names[name]: colour for name, colour in _palette(points, colours).items()}
    style = {"hue": "series", "style": "series", "palette": palette, "s": 14, "alpha": 0.8, "linewidth": 0}
    sns.scatterplot(pd.DataFrame(lines), x="x", y="y", ax=ax, **style)
    ax.set(xlabel=xlabel, ylabel=ylabel, xscale="log" if log_x else "linear")
    ax.margins(0.08, 0.12)
    ax.yaxis.grid(True)
    heading = {"title": "in brackets: Spearman's rank correlation", "title_fontsize": 6, "alignment": "left"}
    _legend_above(figure, ax, 2 if width < PAGE else 5, **heading)
    figure.draw_without_rendering()
    write_apart(ax, tops)
    return figure


@styled
def learning_curves(runs: Mapping[str, Sequence[Run]], colours: Mapping[str, str] | None = None) -> Figure:
    """Validation micro-F1 and training loss along the training, one thin line per seed; ``runs[name]``.

    The share of the training is on x, so that models with other numbers of epochs can be compared; the number of
    epochs stands beside the name. Losses hold other terms in each model: only their course can be compared.
    """
    figure = Figure(figsize=(COLUMN, 3.2), layout="constrained")
    axes = figure.subplots(2, 1, sharex=True)
    parts, palette = [], {}
    for name, colour in _palette(runs, colours).items():
        epochs = sorted({len(run.history) for run in runs[name]})
        label = f"{name} ({', '.join(map(str, epochs))} epochs)"
        palette[label] = colour
        for k, run in enumerate(runs[name]):
            share = 100 * np.arange(1, len(run.history) + 1) / len(run.history)
            parts.append(pd.DataFrame(run.history).assign(share=share, model=label, seed=k))
    table = pd.concat(parts, ignore_index=True)
    style = {"hue": "model", "palette": palette, "units": "seed", "estimator": None, "alpha": 0.8}
    for ax, key in zip(axes, ("validation_micro_f1", "loss"), strict=True):
        sns.lineplot(table, x="share", y=key, legend=ax is axes[0], ax=ax, **style)
    axes[0].set(ylabel="validation micro-F1", ylim=(-0.03, 1.03))
    axes[1].set(ylabel="training loss", yscale="log", xlabel="share of the training (%)", xlim=(0, 103))
    axes[1].yaxis.set(major_locator=LogLocator(subs=(1, 2, 5)), minor_locator=NullLocator(), major_formatter="{x:g}")
    for ax in axes:
        ax.yaxis.grid(True)
    _legend_above(figure, axes[0], columns=2)
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

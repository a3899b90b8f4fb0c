"""Charts of scores by seaborn: bars, curves, grids, scatter plots, histories of training.

Scores (`symspectra.exhibits.scores.Score`) are brought into a tidy table (`_table`); error bars are standard
deviations over seeds. Every function returns a `matplotlib.figure.Figure`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import LogLocator, NullLocator

from symspectra.exhibits.scores import Score
from symspectra.exhibits.style import (
    COLUMN,
    DASHED,
    MODEL_COLOURS,
    PAGE,
    TIER_COLOURS,
    TIER_LABELS,
    canvas,
    legend_outside,
    styled,
    wrapped,
)
from symspectra.groups.table8 import NAMES
from symspectra.training.metrics import Tier
from symspectra.training.store import Run

Curve = Mapping[float, Score]
BARS = {"errorbar": "sd", "err_kws": {"linewidth": 0.7, "color": "black"}, "capsize": 0.15, "saturation": 1}
LINES = {"errorbar": "sd", "err_style": "bars", "err_kws": {"elinewidth": 0.6}, "markers": True, "dashes": False}


def _table(scores: Mapping[str, Mapping[Any, Score]]) -> pd.DataFrame:
    """One line per seed: ``scores[series][place]`` with its value; one without a value where there is none."""
    lines = [
        {"series": name, "place": place, "score": value}
        for name, series in scores.items()
        for place, score in series.items()
        for value in score.values or (None,)
    ]
    return pd.DataFrame(lines, columns=["series", "place", "score"]).astype({"score": float})


def _palette(names: Iterable[str], colours: Mapping[str, str] | None = None) -> dict[str, str]:
    known = MODEL_COLOURS | dict(colours or {})
    return {name: known.get(name, f"C{i % 7}") for i, name in enumerate(names)}


@styled
def group_frequencies(tiers: Mapping[str, Tier]) -> Figure:
    """Fig 1a: positives of each group, sorted, on a logarithmic axis, coloured by tier."""
    figure, ax = canvas((COLUMN, 5.0))
    lines = [(n, NAMES[g], t) for t in TIER_LABELS for g, n in zip(tiers[t].groups, tiers[t].counts, strict=True)]
    order = list(TIER_LABELS)  # from low to high
    lines.sort(key=lambda line: (-order.index(line[2]), -line[0]))
    table = pd.DataFrame(lines, columns=["count", "group", "tier"])
    floor, top = 0.8, table["count"].max()
    shown = table.assign(count=table["count"].clip(lower=floor))
    style = {"hue": "tier", "palette": TIER_COLOURS, "width": 0.75, "saturation": 1}
    sns.barplot(shown, x="count", y="group", ax=ax, **style)
    for y, n in enumerate(table["count"]):
        ax.text(max(n, floor) * 1.08, y, f"{n:,}", va="center", fontsize=6)
    ax.set(xscale="log", xlim=(floor, top * 20), ylim=(len(table) - 0.4, -0.6))
    ax.set(xlabel="molecules in the training set", ylabel="")
    ax.tick_params(axis="y", length=0)
    labels = [
        f"{TIER_LABELS[name]}: {len(tiers[name].groups)} groups, {min(tiers[name].counts):,} to "
        f"{max(tiers[name].counts):,}"
        for name in table["tier"].unique()
    ]
    legend_outside(figure, ax, 1, labels)
    return figure


@styled
def grouped_bars(
    scores: Mapping[str, Mapping[str, Score]],
    ylabel: str,
    colours: Mapping[str, str] | None = None,
    width: float = COLUMN,
    intervals: Mapping[str, Mapping[str, tuple[float, float]]] | None = None,
) -> Figure:
    """Bars with the standard deviation over seeds; ``scores[series][place]``. Places without a number are marked.

    The numbers over the bars are turned where bars are narrow, and left out where they are narrower than a letter.
    ``intervals[series][place]``, from where to where, are drawn instead of the standard deviations.
    """
    figure, ax = canvas((width, 2.3))
    table = _table(scores)
    places = list(dict.fromkeys(table["place"]))
    inches = 0.86 * width / len(places)
    bar = 0.8 * inches / len(scores)
    turned, written = bar < 0.2, bar > 0.075
    style = BARS if intervals is None else {**BARS, "errorbar": None}
    sns.barplot(table, x="place", y="score", hue="series", palette=_palette(scores, colours), gap=0.08, ax=ax, **style)
    above = {"textcoords": "offset points", "ha": "center", "va": "bottom", "fontsize": 6, "rotation": 90 * turned}
    highest = 0.1
    for i, (name, series) in enumerate(scores.items()):
        for k, place in enumerate(places):
            value, x = series[place], k + (i - (len(scores) - 1) / 2) * 0.8 / len(scores)
            text = "none" if value.mean is None else f"{value.mean:.2f}" if written else ""
            ends = (intervals or {}).get(name, {}).get(place)
            if ends:
                ax.plot([x, x], ends, color="black", linewidth=0.7, marker="_", markersize=4)
            upper = ends[1] if ends else (value.mean or 0) + (value.sd or 0 if intervals is None else 0)
            ax.annotate(text, (x, upper), (0, 2), **above)
            highest = max(highest, upper)
    limit = min(1.0, highest)
    ax.set(xlabel="", ylabel=ylabel, ylim=(0, limit * (1.22 if turned and written else 1.12)))
    ax.set_yticks([tick for tick in ax.get_yticks() if tick <= 1])
    ax.set_xticks(range(len(places)), [wrapped(place, inches) for place in places])
    ax.tick_params(axis="x", length=0)
    ax.yaxis.grid(True)
    legend_outside(figure, ax)
    return figure


@styled
def curves(
    panels: Mapping[str, Mapping[str, Curve]],
    xlabel: str,
    ylabel: str,
    notes: Mapping[str, str] | None = None,
    columns: int = 2,
    log_x: bool = False,
    xticks: Mapping[float, str] | None = None,
    sharey: bool = True,
    line: float | None = None,
    intervals: Mapping[str, Mapping[str, Mapping[float, tuple[float, float]]]] | None = None,
) -> Figure:
    """Scores along a setting, such as noise (Fig 5b): ``panels[title][name][x]``, one line per name.

    Points without a number are left out.

    Parameters
    ----------
    notes : what stands at the right over each panel, such as the share of positives (Fig 4)
    xticks : places on the x axis, and what is written there
    line : an x to mark, such as the optimum that the paper names (Fig 11b)
    intervals : from where to where, in place of the standard deviations; zero is marked

    Raises
    ------
    ValueError : an x that is not positive on a logarithmic axis.
    """
    names = list(dict.fromkeys(name for series in panels.values() for name in series))
    places = sorted({x for series in panels.values() for curve in series.values() for x in curve})
    if log_x and places[0] <= 0:
        raise ValueError(f"x = {places[0]:g} cannot be drawn on a logarithmic axis, expected positive numbers")
    if xticks is None and not log_x and len(places) <= 8:
        xticks = {x: f"{x:g}" for x in places}
    columns = min(columns, len(panels))
    rows = -(-len(panels) // columns)
    size = (COLUMN if columns == 1 else PAGE, (0.4 if rows > 1 else 0.7) + (1.75 if columns > 1 else 1.4) * rows)
    figure, grid = canvas(size, rows, columns, sharex=True, sharey=sharey, squeeze=False)
    grid = grid.ravel()
    style = {"palette": _palette(names), "hue_order": names, "style_order": names, **LINES}
    style |= {"errorbar": "sd" if intervals is None else None}
    for ax, (title, series) in zip(grid, panels.items(), strict=False):
        sns.lineplot(_table(series).dropna(), x="place", y="score", hue="series", style="series", ax=ax, **style)
        ax.set(xlabel="", ylabel="", xscale="log" if log_x else "linear")
        ax.set_title(title, fontweight="bold")
        ax.set_title((notes or {}).get(title, ""), loc="right", fontsize=6.5, color="0.35")
        if xticks:
            ax.set_xticks(list(xticks), list(xticks.values()), minor=False)
            ax.xaxis.set_minor_locator(NullLocator())
        for name, ends in (intervals or {}).get(title, {}).items():
            for x, (low, high) in ends.items():
                ax.vlines(x, low, high, color=style["palette"][name], linewidth=0.6)
        if intervals:
            ax.axhline(0, color="0.4", linewidth=0.6, zorder=0)
        if line is not None:
            ax.axvline(line, color="#D55E00", linewidth=0.8, linestyle=DASHED, zorder=0)
        ax.yaxis.grid(True)
    for ax in grid[len(panels) :]:
        ax.axis("off")
    for ax in grid[: len(panels)][-columns:]:
        ax.tick_params(labelbottom=True)
    figure.supxlabel(xlabel, fontsize=7)
    figure.supylabel(ylabel, fontsize=7)
    for ax in grid[len(names) > 1 : len(panels)]:
        ax.get_legend().remove()
    if len(names) > 1:
        legend_outside(figure, grid[0], 3 if columns == 1 else 6)
    return figure


@styled
def score_grid(
    grid: Mapping[tuple[float, float], Score],
    xlabel: str,
    ylabel: str,
    ring: tuple[float, float] | None = None,
) -> Figure:
    """Fig 11a: micro-F1, ``grid[row, column]``, as a heatmap with its numbers.

    ``ring`` frames one place, such as the optimum that the paper names; places without a number are marked.
    """
    lines = [{"row": row, "column": column, "score": value.mean} for (row, column), value in grid.items()]
    table = pd.DataFrame(lines).astype(float).pivot(index="row", columns="column", values="score").iloc[::-1]
    figure, ax = canvas((0.95 + 0.5 * table.shape[1], 0.85 + 0.42 * table.shape[0]))
    style = {"cmap": "viridis", "linewidths": 1, "annot_kws": {"fontsize": 6}, "cbar_kws": {"label": "micro-F1"}}
    sns.heatmap(table, annot=table.map(lambda mean: f"{mean:.3f}"[1:]), fmt="", ax=ax, **style)
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
    points: Mapping[str, Mapping[str, tuple[float, float]]], xlabel: str, ylabel: str, labelled: Sequence[str] = ()
) -> Figure:
    """Fig 3d: one point per functional group, ``points[series][group]`` is (x, y), on a logarithmic x axis.

    Spearman's rank correlation stands beside the name of each series (none with fewer than three points or without
    spread); the groups in ``labelled`` are written out over the highest of their points.
    """
    figure, ax = canvas((PAGE, 2.8))
    dodge = {name: 1 + 0.03 * (k - (len(points) - 1) / 2) for k, name in enumerate(points)}  # markers that coincide
    lines = [(name, group, x * dodge[name], y) for name, series in points.items() for group, (x, y) in series.items()]
    table = pd.DataFrame(lines, columns=["series", "group", "x", "y"]).astype({"x": float, "y": float})
    rho = {k: part["x"].corr(part["y"], "spearman") if len(part) > 2 else np.nan for k, part in table.groupby("series")}
    titles = {name: name if np.isnan(rho[name]) else f"{name} ({rho[name]:+.2f})" for name in points}
    palette = {titles[name]: colour for name, colour in _palette(points).items()}
    style = {"hue": "series", "style": "series", "palette": palette, "s": 14, "alpha": 0.8, "linewidth": 0}
    sns.scatterplot(table.replace({"series": titles}), x="x", y="y", ax=ax, **style)
    for group in labelled:
        here = table[table["group"] == group]
        if len(here):
            ax.annotate(group, (here["x"].max(), here["y"].max()), (0, 4), textcoords="offset points", ha="center")
    ax.set(xlabel=xlabel, ylabel=ylabel, xscale="log")
    ax.margins(0.08, 0.15)
    ax.yaxis.grid(True)
    heading = {"title": "in brackets: Spearman's rank correlation", "title_fontsize": 6, "alignment": "left"}
    legend_outside(figure, ax, 5, **heading)
    return figure


@styled
def learning_curves(runs: Mapping[str, Sequence[Run]]) -> Figure:
    """Validation micro-F1 and training loss along the training, one thin line per seed; ``runs[name]``.

    The share of the training is on x, so that models with other numbers of epochs can be compared; the number of
    epochs stands beside the name. Losses hold other terms in each model: only their course can be compared.
    """
    figure, axes = canvas((COLUMN, 3.2), 2, 1, sharex=True)
    parts, palette = [], {}
    for name, colour in _palette(runs).items():
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
    legend_outside(figure, axes[0], 2)
    return figure

"""Charts of how fast models are trained: by path, with several seeds at once, and by number of spectra."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from symspectra.bench.bench_training import PLAIN
from symspectra.bench.speed import Row, at_once, plain_rate, ratio_text, single
from symspectra.exhibits.charts import score_table
from symspectra.exhibits.lettering import wrapped
from symspectra.exhibits.style import MODEL_COLOURS, PAGE, styled
from symspectra.experiments.plan import MODELS

NAMES = 1.35  # inches for the names of the paths


@styled
def speed_panels(rows: Sequence[Row]) -> Figure:
    """Samples a second of one model by every path, and of several seeds at once; rows without numbers are left out."""
    paths, rates = single(rows), at_once(rows)
    figure = Figure(figsize=(PAGE, max(2.3, 0.6 + 0.27 * len(paths))), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(3, 2))
    left.set_title("one model", fontweight="bold")
    right.set_title("several seeds at once", fontweight="bold")
    for ax, found, draw in ((left, paths, rate_bars), (right, rates, seed_curve)):
        if found:
            draw(ax, found)
        else:
            ax.axis("off")
            ax.text(0.5, 0.5, "not measured", transform=ax.transAxes, ha="center", va="center", color="0.4")
    return figure


def rate_bars(ax: Axes, paths: Sequence[Row]) -> None:
    """A bar a path; where the plain implementation was measured, its multiple of that one's rate is written at it."""
    plain = plain_rate(paths)
    for y, row in enumerate(paths):
        rate = row.samples_per_second
        ax.barh(y, rate, 0.72, color="0.6" if row.path == PLAIN else MODEL_COLOURS["SymSpectra"])
        text = f"{rate:,.0f}" if plain is None else f"{ratio_text(rate / plain)} ×"
        ax.annotate(text, (rate, y), (3, 0), textcoords="offset points", va="center", fontsize=6)
    top = max(row.samples_per_second for row in paths)
    ax.set(xlim=(0, 1.17 * top), ylim=(len(paths) - 0.4, -0.6), xlabel="samples/s")
    ax.set_yticks(range(len(paths)), [wrapped(row.name, NAMES) for row in paths])
    ax.tick_params(axis="y", length=0)
    ax.xaxis.set(major_locator=MaxNLocator(5), major_formatter="{x:,.0f}")
    ax.xaxis.grid(True)


def seed_curve(ax: Axes, rates: Mapping[int, float]) -> None:
    """Samples a second of all seeds together, with the multiple of one seed's rate, and what it would be at best."""
    seeds = list(rates)
    if 1 in rates:
        ideal = [n * rates[1] for n in seeds]
        ax.plot(seeds, ideal, color="0.5", linestyle=(0, (4, 3)), label="if further seeds cost no time")
    ax.plot(seeds, list(rates.values()), marker="o", color=MODEL_COLOURS["SymSpectra"], label="measured")
    for n, following in zip(seeds, [*seeds[1:], seeds[-1]], strict=True):
        if 1 in rates and n > 1:
            falls = rates[following] < rates[n]  # then the line leaves room above it
            beside = {"textcoords": "offset points", "va": "bottom" if falls else "top", "fontsize": 6}
            ax.annotate(f"{ratio_text(rates[n] / rates[1])} ×", (n, rates[n]), (4, 2 if falls else -3), **beside)
    ax.set(xlabel="seeds at once", ylabel="samples/s of all seeds together", xlim=(0, 1.22 * max(seeds)))
    ax.set_ylim(0, 1.2 * ax.dataLim.y1)
    ax.set_xticks(seeds)
    ax.yaxis.set_major_formatter("{x:,.0f}")
    ax.yaxis.grid(True)
    ax.legend(loc="upper left")


def model_table(rows: Sequence[Row]) -> Figure:
    """Rate, memory, and hours for the paper's training of every model, beside what the paper prints."""
    header = ["Model", "spectra", "samples/s", "batch", "ms a\nstep", "memory\npaper (GB)", "memory\nhere (GB)"]
    header += ["epochs\nhere", "time\npaper (h)", "time\nhere (h)"]
    return score_table(header, [model_line(row) for row in rows])


def model_line(row: Row) -> list[str]:
    """A line of `model_table`."""
    printed = row.printed
    hours, gb = ("", "") if printed is None else (f"{number:.1f}" for number in printed)
    line = [MODELS[row.model], str(len(row.modalities))]
    if row.error is not None:
        return [*line, "not measured", "", "", gb, "", "", hours, ""]
    memory = "unknown" if row.memory_mb is None else f"{row.memory_mb / 1024:.2f}"
    line += [f"{row.samples_per_second:,.0f}", str(row.batch), ratio_text(row.ms_per_step), gb, memory]
    return [*line, str(row.epochs), hours, ratio_text(row.hours)]

"""How exhibits look: one style (``symspectra.mplstyle``), one colour per model and tier, lines of a width."""

from __future__ import annotations

import functools
import textwrap
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, ParamSpec

import matplotlib.style
from matplotlib.axes import Axes
from matplotlib.figure import Figure

STYLE = Path(__file__).parent / "symspectra.mplstyle"
COLUMN, PAGE = 3.35, 6.7  # inches: 8.5 and 17 cm
TIER_COLOURS = {"low": "#D55E00", "medium": "#E69F00", "high": "#0072B2"}
TIER_LABELS = {"low": "low frequency", "medium": "medium frequency", "high": "high frequency"}
MODEL_COLOURS = {  # Okabe and Ito; names as in the paper's tables
    "1D-CNN": "#E69F00",
    "Transformer": "#009E73",
    "Wu et al.": "#CC79A7",
    "Alberts et al.": "#D55E00",
    "SymSpectra": "#0072B2",
    "XGBoost": "#56B4E9",
}
LABEL_BOX = {"boxstyle": "round,pad=0.05", "facecolor": "white", "edgecolor": "none", "alpha": 0.7}
DASHED = (0, (4, 3))
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


def canvas(inches: tuple[float, float], *grid: int, **options: Any) -> tuple[Figure, Any]:
    """A figure of so many inches, and its axes: one, or an array of them (`Figure.subplots`)."""
    figure = Figure(figsize=inches, layout="constrained")
    return figure, figure.subplots(*grid, **options)


def legend_outside(figure: Figure, ax: Axes, ncols: int = 3, labels: Sequence[str] | None = None, **how: Any) -> None:
    """Move the legend of the axes over the figure, with other ``labels`` where they are given."""
    handles, own = ax.get_legend_handles_labels()
    if ax.get_legend() is not None:
        ax.get_legend().remove()
    figure.legend(handles, labels or own, ncols=ncols, **{"loc": "outside upper left", **how})


def wrapped(text: str, inches: float) -> str:
    """Text in lines of at most so many inches at 6.5 pt; words are not broken, line breaks stay."""
    width = max(1, int(inches / 0.055))  # a letter
    return "\n".join(textwrap.fill(line, width, break_long_words=False) for line in text.split("\n"))

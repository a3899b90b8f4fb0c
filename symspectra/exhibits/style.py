"""Exhibits: from results to a matplotlib figure, and to the files that keep picture and numbers together.

One style (``symspectra.mplstyle``), one colour per model and tier, and `save_figure`. What is drawn is in
`charts`, `graphs` and `drawing`, the statistics in `comparison`.
"""

from __future__ import annotations

import functools
import json
import os
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ParamSpec

import matplotlib.style
from matplotlib.figure import Figure

from symspectra.exhibits.comparison import as_json
from symspectra.exhibits.tables import tidy
from symspectra.training.runs import Run, code_digest

if TYPE_CHECKING:
    from symspectra.exhibits.claims import Cell, Claim

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
    cells: Sequence[Cell] = (),
    claims: Sequence[Claim] = (),
    devices: Sequence[str] = (),
) -> Path:
    """Write ``<exhibit>.png``, ``.pdf``, ``.json`` and ``.csv`` to temporary names and rename them; the PNG's path.

    The CSV is the tidy table of the numbers (`symspectra.exhibits.tables.tidy`).

    Parameters
    ----------
    numbers : what is drawn; named tuples such as `Score` become dictionaries
    runs : the runs behind it: their seeds, devices and molecule counts go into the JSON
    molecules : number of molecules by split or purpose, where there are no runs
    cells, claims : numbers and claims of the paper that this exhibit answers; the report collects them
    devices : what the numbers were measured on, where there are no runs

    Raises
    ------
    ValueError : a number is not finite.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    content = {
        "exhibit": exhibit,
        "profile": profile,
        "dataset": runs[0].config.data.dataset if runs else dataset,
        "molecules": dict(molecules) if molecules else runs[0].metrics["molecules"] if runs else {},
        "seeds": sorted({run.config.training.seed for run in runs}),
        "runs": sorted({run.id for run in runs}),
        "device": sorted({run.environment["device"] for run in runs} | set(devices)),
        "git_commit": git_commit(),
        "code": code_digest(),
        "numbers": as_json(numbers),
        "cells": as_json(cells),
        "claims": as_json(claims),
    }
    try:
        text = json.dumps(content, indent=1, allow_nan=False) + "\n"
    except ValueError as error:
        raise ValueError(f"{exhibit}: a number that is not finite ({error})") from error
    paths = {kind: folder / f"{exhibit}.{kind}" for kind in ("pdf", "json", "csv", "png")}
    temporary = {kind: path.with_name(path.name + ".tmp") for kind, path in paths.items()}
    with matplotlib.style.context(["default", STYLE]):
        figure.savefig(temporary["png"], format="png")
        figure.savefig(temporary["pdf"], format="pdf", metadata={"CreationDate": None})
    temporary["json"].write_text(text)
    tidy(exhibit, numbers).to_csv(temporary["csv"], index=False)
    for kind, path in paths.items():
        os.replace(temporary[kind], path)
    return paths["png"]


def git_commit() -> str | None:
    """Commit of the package's repository, ``-dirty`` where the package differs from it; None outside of one."""
    git = ["git", "-C", str(Path(__file__).parent)]
    try:
        subprocess.run([*git, "ls-files", "--error-unmatch", "style.py"], check=True, capture_output=True)
        answers = [
            subprocess.run([*git, *question], check=True, capture_output=True, text=True).stdout.strip()
            for question in (["rev-parse", "HEAD"], ["status", "--porcelain", "--", ".."])
        ]
    except (OSError, subprocess.CalledProcessError):
        return None
    return answers[0] + ("-dirty" if answers[1] else "")

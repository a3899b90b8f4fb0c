"""The files of an exhibit: a picture or a table of text, and its numbers as JSON and as a tidy table (CSV)."""

from __future__ import annotations

import hashlib
import json
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import matplotlib.style
import pandas as pd
from matplotlib.figure import Figure

from symspectra.datasets.base import folders_of
from symspectra.errors import DataError
from symspectra.exhibits.scores import Score, as_json
from symspectra.exhibits.style import STYLE
from symspectra.experiments.plan import project
from symspectra.files import MANIFEST, written
from symspectra.settings import Data
from symspectra.training.runs import Run, code_digest

if TYPE_CHECKING:
    from IPython.display import Markdown

    from symspectra.exhibits.claims import Cell
    from symspectra.exhibits.verdicts import Verdict
    from symspectra.experiments.profiles import Profile

COLUMNS = ["exhibit", "row", "column", "seed", "metric", "value", "run"]


def tidy(exhibit: str, numbers: Mapping[Any, Any]) -> pd.DataFrame:
    """The scores of an exhibit as a table with `COLUMNS`.

    ``numbers`` nests mappings, the last level being the columns. A number that is no score has neither seed nor run; a
    score without values has one line, whose value is missing.
    """
    lines = []
    for path, leaf in _leaves(numbers):
        names = [" ".join(str(part).split()) for part in path]
        row, column = (" / ".join(names[:-1]), names[-1]) if names[1:] else (names[0], "")
        place = {"exhibit": exhibit, "row": row, "column": column, "metric": "", "run": ""}
        if not isinstance(leaf, Score):
            lines.append({**place, "value": leaf})
            continue
        place["metric"] = leaf.metric
        if not leaf.values:
            lines.append(place)
        for i, value in enumerate(leaf.values):
            run = {"seed": leaf.runs[i].seed, "run": leaf.runs[i].id} if leaf.runs else {"seed": i}
            lines.append({**place, "value": value, **run})
    return pd.DataFrame(lines, columns=COLUMNS).astype({"seed": "Int64"})


def _leaves(numbers: Any, path: tuple = ()) -> Iterator[tuple[tuple, Any]]:
    """Scores and plain numbers, with the keys that lead to them."""
    if isinstance(numbers, Score | int | float) and not isinstance(numbers, bool):
        yield path, numbers
    elif isinstance(numbers, Mapping):
        for name, part in numbers.items():
            yield from _leaves(part, (*path, name))
    elif isinstance(numbers, tuple) and hasattr(numbers, "_asdict"):
        yield from _leaves(numbers._asdict(), path)
    elif isinstance(numbers, tuple):  # a score and how many molecules it is of
        for part in numbers:
            if isinstance(part, Score):
                yield path, part


def results(exhibit: str, profile: str = "demo", figures: str | Path | None = None) -> pd.DataFrame:
    """The numbers of an exhibit: exhibit, row, column, seed, metric, value, and the run behind each.

    Parameters
    ----------
    exhibit : such as ``table1``
    figures : folder of the profiles' folders; ``figures`` of the project by default

    Raises
    ------
    DataError : the exhibit is not there, or its table is damaged; the message says which command makes it.
    """
    path = Path(figures or project() / "figures") / profile / f"{exhibit}.csv"
    words = dict.fromkeys(("exhibit", "row", "column", "metric", "run"), "string")
    try:
        table = pd.read_csv(path, dtype={**words, "seed": "Int64"})
    except FileNotFoundError as error:
        raise DataError(f"{path}: not there; `symspectra reproduce --profile {profile}` makes it") from error
    except ValueError as error:
        raise DataError(f"{path}: not the table of an exhibit ({error})") from error
    if list(table.columns) != COLUMNS:
        raise DataError(f"{path}: has the columns {', '.join(table.columns)}; expected {', '.join(COLUMNS)}")
    return table.fillna(dict.fromkeys(words, ""))


def save_exhibit(
    shown: Figure | pd.DataFrame,
    numbers: Mapping[str, Any],
    folder: str | Path,
    exhibit: str,
    profile: str,
    runs: Sequence[Run] = (),
    molecules: Mapping[str, int] | None = None,
    cells: Sequence[Cell] = (),
    claims: Sequence[Verdict] = (),
) -> Path:
    """Write ``<exhibit>.json`` and ``.csv`` (`tidy`), and what is shown: ``.png`` and ``.pdf``, or ``.md`` of a table.

    Returns the path of the PNG or Markdown file.

    Parameters
    ----------
    numbers : what is drawn; named tuples such as `Score` become dictionaries
    runs : the runs behind it: their seeds, devices and molecule counts go into the JSON
    molecules : number of molecules by split or purpose, where there are no runs
    cells, claims : numbers and claims of the paper that this exhibit answers; the report collects them

    Raises
    ------
    ValueError : a number is not finite.
    """
    data = runs[0].config.data if runs else Data()
    content = {
        "exhibit": exhibit,
        "profile": profile,
        "dataset": data.dataset,
        "molecules": dict(molecules) if molecules else runs[0].metrics["molecules"] if runs else {},
        "seeds": sorted({run.config.training.seed for run in runs}),
        "runs": sorted({run.id for run in runs}),
        "device": sorted({run.environment["device"] for run in runs}),
        "minutes": sum(run.metrics["seconds"] for run in runs) / 60,
        "data": data_digest(data),
        "git_commit": git_commit(),
        "code": ", ".join(sorted({run.environment["code"] for run in runs})) or code_digest(),  # that trained
        "numbers": as_json(numbers),
        "cells": as_json(cells),
        "claims": as_json(claims),
    }
    try:
        text = json.dumps(content, indent=1, allow_nan=False) + "\n"
    except ValueError as error:
        raise ValueError(f"{exhibit}: a number that is not finite ({error})") from error
    paths = {kind: Path(folder) / f"{exhibit}.{kind}" for kind in ("json", "csv", "md")}
    with written(paths["json"]) as json_file, written(paths["csv"]) as csv_file:
        json_file.write_text(text)
        tidy(exhibit, numbers).to_csv(csv_file, index=False)
    for old in ("md",) if isinstance(shown, Figure) else ("png", "pdf"):  # of an older version: other numbers
        (Path(folder) / f"{exhibit}.{old}").unlink(missing_ok=True)
    if isinstance(shown, Figure):
        return save_figure(shown, folder, exhibit)
    with written(paths["md"]) as md_file:
        md_file.write_text(markdown(shown) + "\n", encoding="utf-8")
    return paths["md"]


def save_figure(figure: Figure, folder: str | Path, name: str) -> Path:
    """Write a figure as PNG and PDF; return the path of the PNG."""
    paths = {kind: Path(folder) / f"{name}.{kind}" for kind in ("png", "pdf")}
    with matplotlib.style.context(["default", STYLE]):
        for (kind, path), metadata in zip(paths.items(), ({}, {"CreationDate": None}), strict=True):
            with written(path) as temporary:
                figure.savefig(temporary, format=kind, metadata=metadata)
    return paths["png"]


def show_exhibit(shown: Figure | pd.DataFrame, *args: Any, caption: str = "", **kwargs: Any) -> None:
    """Write an exhibit (`save_exhibit`) and show it in the notebook: its caption (Markdown) and claims below it."""
    from IPython.display import Image, Markdown, display

    from symspectra.exhibits.claims import show_claims

    path = save_exhibit(shown, *args, **kwargs)
    display(Image(path) if isinstance(shown, Figure) else look(shown))
    for text in (caption, show_claims(kwargs["claims"]) if kwargs.get("claims") else ""):
        if text:
            display(Markdown(text))


def described(runs: Sequence[Run], settings: Profile) -> str:
    """What a notebook works with, in two sentences: the profile, its molecules, runs, seeds and devices."""
    seeds, devices = ({run.config.training.seed for run in runs}, {run.environment["device"] for run in runs})
    molecules = ", ".join(f"{n:,} {split}" for split, n in runs[0].metrics["molecules"].items())
    return (
        f"Profile {settings.name}: {settings.description}. Molecules: {molecules}; {len(set(runs))} runs, seeds "
        f"{', '.join(map(str, sorted(seeds)))}, trained on {', '.join(sorted(devices))}."
    )


def look(table: pd.DataFrame) -> Markdown:
    """A table of text for a notebook (`markdown`)."""
    from IPython.display import Markdown

    return Markdown(markdown(table))


def markdown(table: pd.DataFrame) -> str:
    """A table as Markdown, empty where there is no value; the index is the first column, unless it only counts.

    Fractions have three significant digits.
    """
    if not isinstance(table.index, pd.RangeIndex):
        table = table.rename_axis(table.index.name or "").reset_index()
    cells = table.astype(object).where(table.notna(), "")
    cells = cells.map(lambda cell: f"{cell:.3g}" if isinstance(cell, float) and abs(cell) < 1 else cell)
    lines = [table.columns, ["---"] * table.shape[1], *cells.to_numpy().tolist()]
    rows = [[" ".join(str(cell).split()).replace("|", "\\|") for cell in line] for line in lines]
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def data_digest(data: Data) -> str | None:
    """sha256 of a data set's manifest, which holds the checksums of its files; None where it is not in a folder."""
    try:
        folders = folders_of(data).values()
    except DataError:
        return None
    return hashlib.sha256(b"".join((folder / MANIFEST).read_bytes() for folder in folders)).hexdigest()


@lru_cache(maxsize=1)
def git_commit() -> str | None:
    """Commit of the package's repository, ``-dirty`` where the package differs from it; None outside of one."""

    def git(*question: str) -> str:
        command = ["git", "-C", str(Path(__file__).parent), *question]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    try:
        git("ls-files", "--error-unmatch", Path(__file__).name)
        return git("rev-parse", "HEAD") + ("-dirty" if git("status", "--porcelain", "--", "..") else "")
    except (OSError, subprocess.CalledProcessError):
        return None

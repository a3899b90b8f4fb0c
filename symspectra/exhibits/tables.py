"""The tidy table of an exhibit: one line per seed and score, a CSV beside the picture, read as a DataFrame."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from symspectra.errors import DataError
from symspectra.exhibits.comparison import Score
from symspectra.experiments.plan import project

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

"""The numbers that the paper prints, to stand beside the ones computed here.

They are kept in ``data/paper_numbers.csv`` with the paper's own contradictions in the ``note`` column. Tables are
``"table1"`` to ``"table7"`` and ``"table9"`` to ``"table11"`` (Table 8 is `symspectra.groups.table8`); numbers that
the text gives for a figure are under ``"figure1b"``, ``"figure3c"``, ``"figure5a"`` and ``"figure5b"``, and the
settings and counts of the text under ``"text"``.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable
from functools import lru_cache
from importlib.resources import files
from typing import NamedTuple

import pandas as pd

from symspectra.errors import suggest


class PaperValue(NamedTuple):
    """A printed number, the spread printed with it (None: none printed), and what contradicts it elsewhere."""

    value: float
    spread: float | None
    note: str


@lru_cache(maxsize=1)
def printed_numbers() -> dict[tuple[str, str, str], PaperValue]:
    """Every number that the paper prints: (exhibit, row, column) -> value, in the paper's order."""
    numbers: dict[tuple[str, str, str], PaperValue] = {}
    with files("symspectra").joinpath("data/paper_numbers.csv").open(encoding="utf-8", newline="") as file:
        for line in csv.DictReader(file):
            spread = float(line["spread"]) if line["spread"] else None
            key = line["exhibit"], line["row"], line["column"]
            if key in numbers:
                raise ValueError(f"paper_numbers.csv has two values for {key}")
            numbers[key] = PaperValue(float(line["value"]), spread, line["note"])
    return numbers


def _check(what: str, name: str, known: Iterable[str]) -> None:
    known = list(dict.fromkeys(known))
    if name not in known:
        raise ValueError(f"the paper has no {what} {name!r}; {suggest(name, known)}")


def exhibits() -> tuple[str, ...]:
    """Names of the tables and figures with printed numbers."""
    return tuple(dict.fromkeys(exhibit for exhibit, _, _ in printed_numbers()))


def paper_value(exhibit: str, row: str, column: str) -> PaperValue:
    """One number of the paper, such as of ``"table1"``, ``"Simulated: IR"``, ``"SymSpectra"``.

    Raises
    ------
    ValueError : an unknown name (the message gives the nearest known one), or a cell that the paper leaves empty.
    """
    numbers = printed_numbers()
    _check("exhibit", exhibit, exhibits())
    _check(f"row of {exhibit}", row, (r for e, r, _ in numbers if e == exhibit))
    _check(f"column of {exhibit}", column, (c for e, _, c in numbers if e == exhibit))
    if (exhibit, row, column) not in numbers:
        raise ValueError(f"the paper prints no number for {row!r}, {column!r} in {exhibit}")
    return numbers[exhibit, row, column]


def paper_table(exhibit: str) -> pd.DataFrame:
    """A table of the paper, rows and columns as printed; a cell that the paper leaves empty is missing (NaN).

    Raises
    ------
    ValueError : an unknown exhibit (the message gives the nearest known name).
    """
    _check("exhibit", exhibit, exhibits())
    cells = {(row, column): cell.value for (e, row, column), cell in printed_numbers().items() if e == exhibit}
    rows, columns = (list(dict.fromkeys(keys)) for keys in zip(*cells, strict=True))
    return pd.Series(cells, dtype=float).unstack().reindex(index=rows, columns=columns)

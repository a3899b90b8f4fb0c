"""What every notebook does: say a sentence, and read or train the runs of an exhibit."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from IPython.display import Markdown, display

from symspectra.config import Config
from symspectra.training.runs import Run, run


def say(text: str) -> None:
    """Show a sentence with its numbers; Markdown."""
    display(Markdown(text))


def runs_of(cells: Mapping[str, list[Config]], store: str | Path) -> dict[str, list[Run]]:
    """The runs of each named cell of an exhibit, one a seed; what is not in the store yet is trained now."""
    return {name: [run(config, store) for config in configs] for name, configs in cells.items()}


def every(runs: Mapping[str, list[Run]]) -> list[Run]:
    """All runs of an exhibit, for `symspectra.exhibits.style.save_figure`."""
    return list(dict.fromkeys(r for cell in runs.values() for r in cell))

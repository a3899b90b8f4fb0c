"""What every notebook does: say what it works with, read or train the runs of an exhibit, say a sentence."""

from __future__ import annotations

import ast
import os
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path

from IPython import get_ipython
from IPython.display import Markdown, display

from symspectra.config import Config
from symspectra.errors import ConfigError, suggest
from symspectra.experiments.plan import project
from symspectra.experiments.profiles import Profile, load_profile
from symspectra.training.runs import Run, run


def begin(profile: str, store: str | Path, figures: str | Path) -> Profile:
    """Go to the project's folder, where relative paths begin from here on, and say what the notebook works with.

    Raises
    ------
    ConfigError : there is no such profile, a folder is no text (``papermill -p store 2024`` gives a number), or
        papermill was given a parameter that the notebook does not have.
    """
    for own, given in pairwise(getattr(get_ipython(), "user_ns", {}).get("In", ())):  # the cells so far
        if own and given.startswith("# Parameters\n"):  # papermill's, after the notebook's own
            for name in sorted(_assigned(given) - (known := _assigned(own))):
                raise ConfigError(f"the notebook has no parameter {name!r}; {suggest(name, sorted(known))}")
    for name, folder in (("store", store), ("figures", figures)):
        if not isinstance(folder, str | Path):
            raise ConfigError(f"{name} is {folder!r}; expected the name of a folder (`papermill -r {name} {folder}`)")
    settings = load_profile(profile)
    os.chdir(project())
    say(f"Profile **{profile}**, runs in `{Path(store).resolve()}`, figures in `{Path(figures).resolve()}`.")
    return settings


def _assigned(code: str) -> set[str]:
    return {
        node.id for node in ast.walk(ast.parse(code)) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
    }


def say(text: str) -> None:
    """Show a sentence with its numbers; Markdown."""
    display(Markdown(text))


def runs_of(cells: Mapping[str, list[Config]], store: str | Path) -> dict[str, list[Run]]:
    """The runs of each named cell of an exhibit, one per seed; what is not in the store yet is trained now."""
    return {name: [run(config, store) for config in configs] for name, configs in cells.items()}


def every(runs: Mapping[str, list[Run]]) -> list[Run]:
    """All runs of an exhibit, for `symspectra.exhibits.show_exhibit`."""
    return list(dict.fromkeys(r for cell in runs.values() for r in cell))

"""Where exhibits come from: ``PROVENANCE.md`` of a profile, from the JSON of its exhibits and the notebooks' cells."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from symspectra.exhibits.tables import markdown
from symspectra.experiments.plan import project

NAME = "PROVENANCE.md"
UNKNOWN = "not recorded"  # by the version of the package that made the exhibit


def cells(folder: str | Path | None = None) -> dict[str, tuple[str, int]]:
    """The notebook that makes each exhibit, and the number of the cell: the one that names and shows it.

    ``folder`` is that of the notebooks, by default the project's.
    """
    found: dict[str, tuple[str, int]] = {}
    for path in sorted(Path(folder or project() / "notebooks").glob("[0-9]*.ipynb")):
        for number, cell in enumerate(json.loads(path.read_text(encoding="utf-8"))["cells"]):
            source = "".join(cell["source"])
            for name in re.findall(r'show_exhibit\(.*?figures, "(\w+)", profile', source, re.DOTALL):
                found.setdefault(name, (path.stem, number))
    return found


def command(profile: str, notebook: str) -> str:
    """What makes the exhibits of a notebook again."""
    return f"symspectra reproduce --profile {profile} --only {notebook.split('_')[0]}"


def of_another_commit(contents: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    """Exhibits that another commit made than most of their profile, with that commit."""
    commits = {name: str(content.get("git_commit") or UNKNOWN) for name, content in contents.items()}
    usual = Counter(commits.values()).most_common(1)[0][0]
    return {name: commit for name, commit in commits.items() if commit != usual}


def provenance(profile: str, contents: Mapping[str, Mapping[str, Any]]) -> str:
    """Markdown that says of each exhibit what made it, from what, with what and when.

    ``contents`` are the JSON of its exhibits by name (`symspectra.exhibits.report.read_exhibits`).
    """
    made_by, other = cells(), of_another_commit(contents)
    same = next(str(c.get("git_commit") or UNKNOWN) for name, c in contents.items() if name not in other)
    rows = [_row(name, made_by.get(name, (UNKNOWN, 0))[0], content) for name, content in contents.items()]
    parts = [
        f"# Provenance of {profile}",
        "Written by `symspectra reproduce` from the JSON files beside this page; do not edit it.",
        f"{len(contents) - len(other)} of {len(contents)} exhibits were made by commit `{same[:12]}`."
        + "".join(f" **{name}.json is of another commit, `{commit[:12]}`.**" for name, commit in other.items()),
        "*Minutes* are those of training its runs, one after another; a run of several exhibits is counted in each. "
        "*Data digest* is the sha256 of the data set's manifest, which holds the checksums of its files; "
        "*trained by code* that of the modules on which the numbers of a run depend, as they were when it was trained.",
        markdown(pd.DataFrame(rows)),
    ]
    return "\n\n".join(parts) + "\n"


def _row(name: str, notebook: str, content: Mapping[str, Any]) -> dict[str, str]:
    runs, minutes = len(content.get("runs", ())), content.get("minutes")
    return {
        "exhibit": f"[{name}]({name}.json)",
        "notebook": notebook,
        "command": UNKNOWN if notebook == UNKNOWN else f"`{command(content['profile'], notebook)}`",
        "data set": content["dataset"],
        "data digest": str(content.get("data") or UNKNOWN)[:12],
        "molecules": ", ".join(f"{part} {n:,}" for part, n in content.get("molecules", {}).items()),
        "seeds": ", ".join(map(str, content.get("seeds", ()))) or "no runs",
        "runs": str(runs),
        "minutes": "0" if not runs else UNKNOWN if minutes is None else f"{minutes:.1f}",
        "device": ", ".join(content.get("device", ())) or "none",
        "trained by code": str(content.get("code") or UNKNOWN)[:12],
        "commit": str(content.get("git_commit") or UNKNOWN)[:12],
    }

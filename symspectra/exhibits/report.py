"""The report: every claim judged and every printed number of the paper beside ours, from the JSON of the exhibits.

The notebooks write what they found with `symspectra.exhibits.show_exhibit`; nothing is computed here. A number of the
paper that no exhibit answers is listed with the reason.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from symspectra.exhibits import provenance
from symspectra.exhibits.claims import RULES, Cell, count_outcomes, show_claims
from symspectra.exhibits.paper import PaperValue, exhibits, printed_numbers
from symspectra.exhibits.scores import Score, with_spread
from symspectra.exhibits.tables import markdown, save_figure
from symspectra.exhibits.verdicts import FAILS, Verdict, forest
from symspectra.files import written

NAME = "report"
MEASURED = "needs measured spectra (`symspectra data prepare experimental`), which were not there"
OUT_OF_REACH = {  # (exhibit, start of the row) -> why no notebook can answer it
    ("table1", "Experimental"): MEASURED,
    ("figure5a", ""): MEASURED,
    ("figure5b", ""): MEASURED,
    ("text", ""): "a setting or a count of the paper, not a result",
}
OF_PAPER = re.compile(r"(?:fig|table)(\d+)[a-d]?")  # an exhibit
PLACE = re.compile(r"(abstract|introduction|section|observation|appendix|table|fig|eq)", re.I)  # a source in the paper

Exhibits = Mapping[str, Mapping[str, Any]]


class ReportError(ValueError):
    """A folder of exhibits from which no report can be made; the message says what to run."""


def read_exhibits(folder: str | Path) -> dict[str, dict[str, Any]]:
    """Content of every ``<exhibit>.json`` of a folder by name, in the notebooks' order, without the report's own.

    Raises
    ------
    ReportError : no such file, a file that is not an exhibit's, or exhibits of more than one profile.
    """
    folder, order = Path(folder), list(paper_exhibits())

    def place(path: Path) -> tuple[int, str]:  # parts of an exhibit stand after it, all others at the end
        return min((i for i, exhibit in enumerate(order) if _made(exhibit, [path.stem])), default=len(order)), path.stem

    paths = sorted((path for path in folder.glob("*.json") if path.stem != NAME), key=place)
    contents = {path.stem: _read(path) for path in paths}
    if not contents:
        profile = folder.name or "demo"
        raise ReportError(f"{folder} holds no exhibits; make them with `symspectra reproduce --profile {profile}`")
    profiles = {content["profile"]: name for name, content in contents.items()}
    if len(profiles) > 1:
        found = ", ".join(f"{profile} ({name}.json)" for profile, name in profiles.items())
        raise ReportError(
            f"{folder} mixes the profiles {found}; give each a folder of its own: `symspectra reproduce --profile P`"
        )
    return contents


def paper_exhibits() -> dict[str, str]:
    """Figures and tables of the paper, with the notebook that makes each; by notebook, then by number."""
    made_by = {name: notebook for name, (notebook, _) in provenance.cells().items() if OF_PAPER.fullmatch(name)}
    return dict(sorted(made_by.items(), key=lambda item: (item[1], int(OF_PAPER.match(item[0])[1]), item[0])))


def _read(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text())
        missing = [key for key in ("exhibit", "profile", "dataset", "numbers") if key not in content]
    except (ValueError, TypeError) as error:
        raise ReportError(f"{path} cannot be read ({error}); make it again with `symspectra reproduce`") from error
    if missing:
        raise ReportError(f"{path} is not an exhibit's: it has no {', '.join(missing)}")
    return content


def collect(contents: Exhibits) -> tuple[list[Cell], list[Verdict]]:
    """Numbers beside the paper's, and judged claims, of all exhibits.

    Raises
    ------
    ReportError : two exhibits give different numbers for one cell of the paper, or one is of an older version.
    """
    cells: dict[tuple[str, ...], tuple[Cell, str]] = {}
    claims: list[Verdict] = []
    for name, content in contents.items():
        try:
            claims += [_verdict(**claim) for claim in content.get("claims", ())]
            found = [Cell(**{**c, "here": Score(tuple(c["here"]["values"]))}) for c in content.get("cells", ())]
        except (TypeError, KeyError) as error:
            raise ReportError(f"{name}.json has a cell or claim of another form ({error}); make it again") from error
        for cell in found:
            known, other = cells.setdefault(cell[:4], (cell, name))
            if known.here != cell.here:
                place = ", ".join(cell[:4])
                raise ReportError(f"{place}: {other}.json has {known.here}, {name}.json has {cell.here}")
    return [cell for cell, _ in cells.values()], list(dict.fromkeys(claims))


def _verdict(rows: Sequence[Mapping[str, Any]], needs: Sequence[int] | None, **content: Any) -> Verdict:
    return Verdict(**content, rows=tuple(_verdict(**row) for row in rows), needs=tuple(needs) if needs else None)


def missing_exhibits(contents: Iterable[str]) -> dict[str, str]:
    """Figures and tables of the paper that are not among some, with the notebook that makes each."""
    return {exhibit: notebook for exhibit, notebook in paper_exhibits().items() if not _made(exhibit, contents)}


def _made(exhibit: str, contents: Iterable[str]) -> bool:
    """Is an exhibit there, in one part (``fig7``) or several (``fig7_easy``, ``fig7_hard``)?"""
    return any(name == exhibit or name.startswith(f"{exhibit}_") for name in contents)


def write_report(folder: str | Path, profile: str) -> Path:
    """Write ``report.md``, ``report.png`` with every claim's interval, and ``PROVENANCE.md`` into a folder of exhibits.

    Returns the path of the report.

    Raises
    ------
    ReportError : as `read_exhibits` and `collect`, or the exhibits are of another profile.
    """
    folder = Path(folder)
    contents = read_exhibits(folder)
    found = next(iter(contents.values()))["profile"]
    if found != profile:
        raise ReportError(
            f"{folder} holds exhibits of profile {found!r}; run `symspectra reproduce --profile {profile}`"
        )
    cells, judged = collect(contents)
    made, notebooks = provenance.provenance(profile, contents), paper_exhibits()
    claims, own = ([c for c in judged if bool(PLACE.match(c.source)) is paper] for paper in (True, False))
    parts = [
        f"# Report of profile {profile}",
        summary(claims, cells),
        *([f"![Every claim with its difference and interval]({NAME}.png)"] if claims else []),
        "## What came out differently",
        _differently(claims),
        "## Claims of the paper",
        show_claims(claims) if claims else "No exhibit of this folder judges a claim.",
        *(["## Claims beyond the paper, ours and yours", show_claims(own)] if own else []),
        f"## How claims are judged\n\n{RULES}",
        "## Numbers of the paper",
        "Spread over seeds in brackets. Molecules and spectra of the paper and of this package differ, so that only "
        "differences and orderings can be compared.",
        *(_numbers_of(exhibit, cells, contents, notebooks) for exhibit in exhibits()),
        *_unprinted(cells),
        f"## How the exhibits were made\n\n[{provenance.NAME}]({provenance.NAME}) says of each: notebook, command, "
        "data, seeds, device, commit.",
        *_missing(contents, profile),
    ]
    if claims:
        save_figure(forest(claims), folder, NAME)
    path = folder / f"{NAME}.md"
    for file, text in ((path, "\n\n".join(parts) + "\n"), (folder / provenance.NAME, made)):
        with written(file) as temporary:
            temporary.write_text(text, encoding="utf-8")
    return path


def _differently(claims: Sequence[Verdict]) -> str:
    """The claims of the paper that do not hold, with the difference and interval that say so."""
    failed = [claim for claim in claims if claim.outcome == FAILS]
    lines = [f"- {' '.join(c.text.split())} ({c.source}) {c.interval}".rstrip() for c in failed]
    return "\n".join(lines) or "No claim of the paper is shown not to hold."


def summary(claims: Sequence[Verdict], cells: Sequence[Cell]) -> str:
    """The outcome of the paper's own claims, those among ``claims``, in two sentences."""
    claims = [claim for claim in claims if PLACE.match(claim.source)]
    count = ", ".join(f"**{outcome} {n}**" for outcome, n in count_outcomes(claims).items())
    answered = {cell[:3] for cell in cells if cell.paper is not None and cell.here.mean is not None}
    numbers = f"Of its {len(printed_numbers())} printed numbers, {len(answered)} have one of ours beside them."
    return f"{len(claims)} claims of the paper: {count}. {numbers}"


def _numbers_of(exhibit: str, cells: Sequence[Cell], contents: Exhibits, notebooks: Mapping[str, str]) -> str:
    """Table of all numbers that the paper prints in one exhibit."""
    rows = []
    for (name, row, column), printed in printed_numbers().items():
        ours = [cell for cell in cells if cell[:3] == (name, row, column)]
        if name == exhibit and ours:
            rows += [(row, column, _printed(printed), *_ours(cell, printed), cell.note) for cell in ours]
        elif name == exhibit:
            why = f"cannot be tested here: {_reason(exhibit, row, contents, notebooks)}"
            rows.append((row, column, _printed(printed), "", why, "", printed.note))
    header = ("row", "column", "paper", "measure", "here", "here - paper", "note on the paper's number")
    title = exhibit.replace("table", "Table ").replace("figure", "Figure ")
    title = "Settings and counts in the text" if exhibit == "text" else title
    return f"### {title}\n\n{markdown(pd.DataFrame(rows, columns=header))}"


def _printed(value: PaperValue) -> str:
    """All printed digits, ``0.970 (0.018)`` or ``0.4715`` or ``209``."""
    return with_spread(value) if value.value < 1 and round(value.value, 3) == value.value else f"{value.value:g}"


def _ours(cell: Cell, printed: PaperValue) -> tuple[str, str, str]:
    if cell.here.mean is None:
        return cell.metric, "cannot be tested here: no such molecule or group in the test set", ""
    small = 0.01 < abs(cell.here.mean) < 1
    here = str(cell.here) if small else f"{cell.here.mean:.3g}"
    seeds = "" if cell.metric.startswith("p-value") else f", {len(cell.here.values)} seed"
    seeds += "s" * (bool(seeds) and len(cell.here.values) != 1)
    difference = cell.here.mean - printed.value
    return cell.metric, f"{here}{seeds}", f"{difference:+.3f}" if small else f"{difference:+.3g}"


def _reason(exhibit: str, row: str, contents: Exhibits, notebooks: Mapping[str, str]) -> str:
    for (name, start), why in OUT_OF_REACH.items():
        if name == exhibit and row.startswith(start):
            return why
    short = exhibit.replace("figure", "fig")
    notebook = notebooks.get(short, provenance.UNKNOWN)
    if not _made(short, contents):
        return f"{short} is not in this folder, notebook {notebook} makes it"
    return f"not measured by notebook {notebook}"


def _unprinted(cells: Sequence[Cell]) -> list[str]:
    rows = [(c.exhibit, c.row, c.column, c.metric, c.here, c.note) for c in cells if c.paper is None]
    if not rows:
        return []
    header = ("exhibit", "row", "column", "measure", "here", "note")
    table = markdown(pd.DataFrame(rows, columns=header))
    return [f"### Ours, where the paper draws but prints no number\n\n{table}"]


def _missing(contents: Exhibits, profile: str) -> list[str]:
    missing = missing_exhibits(contents)
    if not missing:
        return []
    numbers = " ".join(sorted({notebook.split("_")[0] for notebook in missing.values()}))
    lines = [f"- {exhibit}: notebook {notebook}" for exhibit, notebook in missing.items()]
    how = f"Make them with `symspectra reproduce --profile {profile} --only {numbers}`."
    return ["## Exhibits that are not in this folder", "\n".join(lines), how]

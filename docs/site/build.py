"""Build the site in build/site from executed notebooks, exhibits, pages and docstrings (`make site`).

Nothing is executed: the notebooks are the copies that `symspectra reproduce` left. The sources are laid out in
build/site-source as in the repository, so that the links of its pages lead to the same places.
"""

import argparse
import re
import shutil
import sys
from pathlib import Path
from string import Template
from urllib.parse import unquote, urldefrag

import nbformat
from bs4 import BeautifulSoup
from sphinx.cmd.build import main as sphinx

from symspectra.exhibits.provenance import cells, command, provenance
from symspectra.exhibits.report import read_exhibits
from symspectra.experiments.plan import NOTEBOOKS
from symspectra.experiments.profiles import load_profile

HERE, ROOT = Path(__file__).parent, Path(__file__).resolve().parents[2]
SOURCE, SITE = ROOT / "build" / "site-source", ROOT / "build" / "site"
COPIED = ("*.md", "CITATION.cff", "docs/*.md", "notebooks/*.md", "benchmarks/*.py", "symspectra/**/*.[mp][dy]")
WIDGET = "application/vnd.jupyter.widget-view+json"  # lives in JupyterLab alone
LIMIT = 40  # MB of the site
LOADED = {"script": "src", "img": "src", "iframe": "src", "source": "src", "link": "href"}  # by a page as it is read


def lay_out(profile: str, store: Path) -> None:
    """Write the sources of the site; `SystemExit` where executed notebooks of the profile are not there."""
    shutil.rmtree(SOURCE, ignore_errors=True)
    for path in (path for pattern in COPIED for path in ROOT.glob(pattern)):
        copy(path)
    others = {path.parent.name for path in (ROOT / "figures").glob("*/*.json")} - {profile, "smoke"}
    results, notebooks = [], []
    for name in (profile, *sorted(others)):
        folder = store / "executed" / name
        missing = [n for n in NOTEBOOKS if not (folder / f"{n}.ipynb").exists()]
        if missing:
            sentence = f"{folder} has no {missing[0]}.ipynb; `symspectra reproduce --profile {name}` makes it"
            if name == profile:
                raise SystemExit(sentence)
            print(f"{sentence}. The notebooks of {name} are left out.")
        target = "notebooks" if name == profile else f"notebooks-{name}"
        if not missing:
            notebooks += [write_notebook(folder / f"{n}.ipynb", name, target) for n in NOTEBOOKS]
        results += write_exhibits(name, None if missing else target)
    values = {"profile": profile, "description": load_profile(profile).description, "predictor": predictor_table()}
    values |= {"summary": (ROOT / "figures" / profile / "report.md").read_text().split("\n\n")[1]}
    values |= {"results": "\n".join(results), "notebooks": "\n".join(notebooks), "api": "\n".join(write_api())}
    (SOURCE / "index.md").write_text(Template((HERE / "index.md").read_text()).substitute(values))


def copy(path: Path) -> None:
    target = SOURCE / path.relative_to(ROOT)
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(path, target)


def write_notebook(path: Path, profile: str, folder: str) -> str:
    """An executed notebook: code folded, no path of the machine, each exhibit with a target and its links."""
    text = path.read_text(encoding="utf-8")
    figures = nbformat.reads(text, 4).metadata.papermill.parameters.figures  # <the project>/figures/<profile>
    content = nbformat.reads(text.replace(f"{Path(figures).parents[1]}/", ""), 4)
    made = {json.stem for json in (ROOT / "figures" / profile).glob("*.json")}
    shown = {cell: name for name, (by, cell) in cells(path.parent).items() if by == path.stem and name in made}
    content.metadata.pop("widgets", None)
    written = []
    for number, cell in enumerate(content.cells):
        tags = cell.metadata.setdefault("tags", [])
        if "injected-parameters" in tags:
            continue
        if cell.cell_type == "code":
            tags.append("hide-input")
            cell.outputs = [output for output in cell.outputs if WIDGET not in output.get("data", {})]
            for data in (output.data for output in cell.outputs if "text/markdown" in output.get("data", {})):
                data["text/markdown"] = linked(data["text/markdown"], f"../figures/{profile}/")
        written.append(cell)
        if name := shown.get(number):
            links = f"*{name}*: {files_of(profile, name)}; `{command(profile, path.stem)}`"
            written.insert(-1, nbformat.v4.new_markdown_cell(f'<span id="{name}"></span>'))
            written.append(nbformat.v4.new_markdown_cell(links))
    content.cells = written
    (SOURCE / folder).mkdir(parents=True, exist_ok=True)
    nbformat.write(content, SOURCE / folder / path.name)
    return f"{folder}/{path.stem}"


def linked(text: str, figures: str) -> str:
    """Markdown whose links to files beside the report lead from another page to them, and to the page of exhibits."""
    text = re.sub(r"(?<=\| )([^`\s]\S*\]\([^\w.]\S*)(?= \|)", r"`\1`", text)  # a SMARTS pattern is no link
    text = re.sub(r"\]\(([a-z]\w+)\.md\)", r"](index.md#\1)", text)  # tables stand in the page of exhibits
    return re.sub(r"\]\((?=\w+\.(png|md|json)[#)])", f"]({figures}", text)


def files_of(profile: str, exhibit: str) -> str:
    """Links to the files of an exhibit, from a folder beside figures/."""
    kinds = {"csv": "data (CSV)", "json": "JSON", "pdf": "PDF"}
    there = [k for k in kinds if (ROOT / "figures" / profile / f"{exhibit}.{k}").exists()]
    return ", ".join(f"{{download}}`{kinds[k]} </figures/{profile}/{exhibit}.{k}>`" for k in there)


def write_exhibits(profile: str, notebooks: str | None) -> list[str]:
    """The page of a profile's exhibits beside its report and provenance; returns these pages."""
    folder, made_by = ROOT / "figures" / profile, cells()
    for path in folder.iterdir():
        if path.suffix != ".md":
            copy(path)
    contents = read_exhibits(folder)
    parts = [f"# Exhibits of {profile}"]
    for name in contents:
        notebook = made_by[name][0]
        cell = f'<a href="../../{notebooks}/{notebook}.html#{name}">{notebook}</a>' if notebooks else f"`{notebook}`"
        table = folder / f"{name}.md"
        parts += [f"## {name}", table.read_text() if table.exists() else f"![{name}]({name}.png)"]
        parts += [f"Notebook cell: {cell}; {files_of(profile, name)}; made by `{command(profile, notebook)}`."]
    target = SOURCE / "figures" / profile
    if (folder / "report.md").exists():
        report = (folder / "report.md").read_text(encoding="utf-8")
        (target / "report.md").write_text(linked(report, ""), encoding="utf-8")
    (target / "index.md").write_text("\n\n".join(parts) + "\n", encoding="utf-8")
    (target / "PROVENANCE.md").write_text(provenance(profile, contents), encoding="utf-8")
    return [f"figures/{profile}/{page.stem}" for page in sorted(target.glob("*.md"), reverse=True)]


def predictor_table() -> str:
    """The scores on measured spectra, from the model card."""
    card = ROOT / "symspectra" / "weights" / "predictor" / "README.md"
    table = re.search(r"^\|.*measured.*\n(\|.*\n)+", card.read_text(), re.MULTILINE)
    if table is None:
        raise SystemExit(f"{card} has no table with a column of measured spectra; the front page shows it")
    return table[0]


def write_api() -> list[str]:
    """One page per package with its modules' docstrings; returns the pages."""
    pages: dict[str, list[str]] = {}
    for path in sorted((ROOT / "symspectra").rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        if not parts[-1].startswith("_"):
            pages.setdefault(parts[1] if len(parts) > 2 else "symspectra", []).append(".".join(parts))
    (SOURCE / "api").mkdir()
    for page, modules in pages.items():
        title = page if page == "symspectra" else f"symspectra.{page}"
        blocks = [f"## {m}\n\n```{{eval-rst}}\n.. automodule:: {m}\n   :members:\n```" for m in modules]
        (SOURCE / "api" / f"{page}.md").write_text("\n\n".join([f"# {title}", *blocks]) + "\n")
    return [f"api/{page}" for page in pages]


def faults(site: Path, never: tuple[str, ...] = ()) -> list[str]:
    """Links of a built site that lead nowhere, what it loads from the network, texts that it should ``never`` show."""
    pages = {path: BeautifulSoup(path.read_text(encoding="utf-8"), "html.parser") for path in site.rglob("*.html")}
    anchors = {path: {tag.get("id") or tag.get("name") for tag in page.find_all(True)} for path, page in pages.items()}
    found = []
    for path, page in pages.items():
        here = path.relative_to(site)
        found += [f"{here}: shows {text}" for text in never if text in page.get_text()]
        for tag in page.find_all(["a", *LOADED]):
            link = tag.get(LOADED.get(tag.name, "href")) or ""
            file, anchor = urldefrag(link)
            if re.match(r"(https?:)?//", link):
                found += [f"{here}: loads {link}"] if tag.name in LOADED else []
            elif not re.match(r"(data|mailto):", link):
                target = (path.parent / unquote(file.split("?")[0])).resolve() if file else path.resolve()
                if not target.is_file() or (anchor and target in anchors and unquote(anchor) not in anchors[target]):
                    found.append(f"{here}: {link} leads nowhere")
    return found


def main() -> None:
    """Lay out, build, check."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--profile", default="demo", help="whose results are on the front page")
    parser.add_argument("--store", type=Path, default=ROOT / "runs", help="where the executed notebooks are")
    arguments = parser.parse_args()
    lay_out(arguments.profile, arguments.store)
    shutil.rmtree(SITE, ignore_errors=True)
    if sphinx(["-b", "html", "-q", "-c", str(HERE), "-d", str(ROOT / "build" / "doctrees"), str(SOURCE), str(SITE)]):
        raise SystemExit("Sphinx could not build the site; what it says is above")
    found = faults(SITE, (str(ROOT), str(Path.home())))
    size = sum(path.stat().st_size for path in SITE.rglob("*") if path.is_file()) / 1e6
    found += [f"{SITE} has {size:.0f} MB; expected at most {LIMIT}"] if size > LIMIT else []
    if found:
        sys.exit("\n".join(found))
    print(f"{SITE / 'index.html'}: {size:.1f} MB, no broken link, nothing from the network")


if __name__ == "__main__":
    main()

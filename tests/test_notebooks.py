"""Notebooks: short cells, no outputs, public names; and each of them runs at the smoke profile."""

import ast
import contextlib
import json
import math
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from conftest import write_prepared
from matplotlib.image import imread
from warm_kernel import warm_kernels

from symspectra.config import Config
from symspectra.datasets import base as datasets
from symspectra.datasets.base import load_dataset
from symspectra.errors import ConfigError
from symspectra.exhibits.provenance import cells
from symspectra.experiments.notebook import begin
from symspectra.experiments.plan import NOTEBOOKS, planned_runs
from symspectra.experiments.profiles import load_profile

FOLDER = Path(__file__).parents[1] / "notebooks"
NAMES = sorted(NOTEBOOKS)
PARAMETERS = ['profile = "smoke"', 'store = "runs"', 'figures = "figures/smoke"']
SCORES = {"mean", "sd", "gates"}
REFERENCE = Path(__file__).parent / "reference" / "smoke.json"
# Scores over all groups alone: in the smoke profile's test set, the score of one group hangs on a single molecule.
COMPARED = (
    *("fig1a", "fig3a", "fig3c", "fig5a", "fig5b", "resampling"),
    *("table1", "table2", "table5", "table6", "table9"),
)
TOLERANCE = 0.2  # of a score at the smoke profile, from one processor to another


def code_cells(name):
    cells = json.loads((FOLDER / f"{name}.ipynb").read_text())["cells"]
    return [cell for cell in cells if cell["cell_type"] == "code"]


def source(cell):
    return "".join(cell["source"])


def exhibits_in(name):
    """Names of the exhibits that a notebook shows, but for those that need the simulation or a larger profile."""
    shown = {exhibit for exhibit, (notebook, _) in cells(FOLDER).items() if notebook == name}
    return shown - {"quickstart_simulated", "redundancy", "leads"}


def test_every_notebook_is_listed_with_its_runs():
    assert sorted(path.stem for path in FOLDER.glob("*.ipynb")) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_first_code_cell_holds_the_parameters(name):
    first = code_cells(name)[0]
    assert first["metadata"]["tags"] == ["parameters"]
    assert source(first).splitlines() == PARAMETERS


@pytest.mark.parametrize("name", NAMES)
def test_cells_are_short_and_stripped(name):
    for cell in code_cells(name):
        assert len(source(cell).splitlines()) <= 15, source(cell)
        assert cell["outputs"] == [] and cell["execution_count"] is None


@pytest.mark.parametrize("name", NAMES)
def test_what_is_imported_is_there(name):
    """Also in the branches that only measured spectra reach."""
    for cell in code_cells(name):
        for node in ast.walk(ast.parse(source(cell))):
            if isinstance(node, ast.ImportFrom) and node.module.split(".")[0] == "symspectra":
                exec(ast.unparse(node), {})


@pytest.mark.parametrize("name", NAMES)
def test_only_public_names(name):
    for cell in code_cells(name):
        for node in ast.walk(ast.parse(source(cell))):
            if isinstance(node, ast.ImportFrom | ast.Import):
                names = [alias.name for alias in node.names] + (getattr(node, "module", None) or "").split(".")
            else:
                names = [node.attr] if isinstance(node, ast.Attribute) else []
            assert not [n for n in names if n.startswith("_") and n != "__file__"], source(cell)


def write_measured(folder, n=700, complete=400):
    """Simulated spectra in place of measured ones; after the first molecules, half of the spectra are missing."""
    config = Config(molecules=n, modalities=("c13", "h1", "msms_pos"))
    data = load_dataset(config)
    x, present = data.spectra(torch.arange(n), draw=1)
    present[complete:] = torch.rand(n - complete, 3, generator=torch.Generator().manual_seed(1)) < 0.5
    present[:, 0] |= ~present.any(dim=1)
    own = datasets.ArrayDataset(x, present, data.y[:n], data.lines.inchikey[:n], ["train"] * n, config.data.modalities)
    return write_prepared(folder, own)


@pytest.fixture(scope="module")
def workplace(tmp_path_factory):
    """Notebooks, run store and figures in a folder of their own, made by `symspectra reproduce --profile smoke`."""
    pytest.importorskip("papermill")
    if not (datasets.OPEN_DIRECTORY / "manifest.json").exists():
        pytest.skip("the line lists of the open data set are not in symspectra/data/open")
    folder = tmp_path_factory.mktemp("workplace")
    shutil.copytree(FOLDER, folder / "notebooks")
    with pytest.MonkeyPatch.context() as patch:
        package = str(Path(datasets.__file__).parents[1])
        patch.setenv("PYTHONPATH", os.pathsep.join([package, os.environ.get("PYTHONPATH", "")]))
        patch.setenv("OMP_NUM_THREADS", "1")
        patch.setenv("PYTHONWARNINGS", "ignore")
        patch.setenv("SYMSPECTRA_DATA", str(write_measured(folder / "data" / "experimental").parent))
        with warm_kernels() if sys.platform == "linux" else contextlib.nullcontext("") as kernels:
            patch.setenv("JUPYTER_PATH", kernels)
            command = [sys.executable, "-m", "symspectra", "reproduce", "--profile", "smoke", "--device", "cpu"]
            done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
            assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
            yield folder


def check_numbers(content, key=""):
    """Every number is finite; scores, their spreads and gates lie in [0, 1]."""
    if isinstance(content, dict):
        for name, value in content.items():
            check_numbers(value, name)
    elif isinstance(content, list):
        for value in content:
            check_numbers(value, key)
    elif isinstance(content, int | float) and not isinstance(content, bool):
        assert math.isfinite(content)
        if key in SCORES or key.endswith("_f1") or key == "p_holm":
            assert content <= 1 and (content >= 0 or key == "mean"), f"{key} = {content}"


def exhibits_of(folder):
    return {path.stem: json.loads(path.read_text()) for path in sorted((folder / "figures" / "smoke").glob("*.json"))}


def test_reproduce_trains_what_is_planned_and_nothing_else(workplace, monkeypatch):
    monkeypatch.setenv("SYMSPECTRA_DATA", str(workplace / "data"))
    finished = {path.parent.name for path in (workplace / "runs").glob("*/DONE")}
    assert len(finished) == len(planned_runs(load_profile("smoke")))
    assert any(config.training.pretrain_epochs for config in planned_runs(load_profile("smoke")))


@pytest.mark.parametrize("name", NAMES)
def test_what_a_notebook_shows_is_written(name, workplace):
    assert exhibits_in(name) <= set(exhibits_of(workplace)) and (exhibits_in(name) or name == "12_report")


def test_exhibits(workplace):
    for exhibit, content in exhibits_of(workplace).items():
        check_numbers(content["numbers"])
        dataset = "experimental" if "measured" in exhibit else "open"
        assert content["profile"] == "smoke" and content["dataset"] == dataset
        sizes = {p.suffix: p.stat().st_size for p in (workplace / "figures" / "smoke").glob(f"{exhibit}.[pm]*")}
        assert set(sizes) in ({".png", ".pdf"}, {".md"}) and all(n > 2000 or k == ".md" for k, n in sizes.items())


def test_no_picture_is_cut(workplace):
    """What leaves a picture darkens its border."""
    for path in sorted((workplace / "figures" / "smoke").glob("*.png")):
        pixels = imread(path)
        border = [pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]]
        assert min(edge.min() for edge in border) > 0.97, path.name


@pytest.mark.parametrize("name", NAMES)
def test_sentences_hold_no_gaps(name, workplace):
    executed = json.loads((workplace / "runs" / "executed" / "smoke" / f"{name}.ipynb").read_text())
    outputs = [output for cell in executed["cells"] for output in cell.get("outputs", [])]
    spoken = " ".join("".join(o.get("data", {}).get("text/markdown", [])) for o in outputs)
    assert len(spoken) > 200 and not re.search(r"\b(nan|None)\b", spoken)


def test_every_exhibit_of_the_paper_is_made(workplace):
    written = set(exhibits_of(workplace))
    for exhibit in [f"table{n}" for n in range(1, 12)] + [f"fig{n}" for n in range(1, 12)]:
        assert any(re.fullmatch(rf"{exhibit}[a-d]?", name) for name in written), exhibit


def scores(content, path=""):
    """Means of the scores, and counts, of an exhibit's numbers by their place."""
    found = {}
    if isinstance(content, dict):
        for name, value in content.items():
            if name == "mean" and isinstance(value, int | float):
                found[path] = value
            elif name == "counts":
                found[f"{path}/counts"] = value
            else:
                found |= scores(value, f"{path}/{name}")
    return found


def test_numbers_are_those_of_the_reference(workplace):
    """``SYMSPECTRA_WRITE_REFERENCE=1`` writes it anew, after a change that is meant to change numbers."""
    here = {exhibit: scores(exhibits_of(workplace)[exhibit]["numbers"]) for exhibit in COMPARED}
    if os.environ.get("SYMSPECTRA_WRITE_REFERENCE"):
        REFERENCE.parent.mkdir(exist_ok=True)
        text = json.dumps(here, indent=1, default=lambda number: round(number, 3))
        REFERENCE.write_text(re.sub(r"(\d\.\d{4})\d+", r"\1", text) + "\n")
    reference = json.loads(REFERENCE.read_text())
    assert {name: set(values) for name, values in here.items()} == {name: set(v) for name, v in reference.items()}
    assert sum(map(len, here.values())) > 80
    for exhibit, values in here.items():
        for place, value in values.items():
            if place.endswith("/counts"):
                assert value == reference[exhibit][place], (exhibit, place)
            else:
                assert value == pytest.approx(reference[exhibit][place], abs=TOLERANCE), (exhibit, place)


TRAIN_NOTHING = ("notebooks/00_quickstart.ipynb", "notebooks/12_report.ipynb")


def test_nbval_runs_the_notebooks_that_train_nothing_as_they_stand(workplace):
    """`pytest --nbval-lax`, as a user's CI would call it, without measured spectra; the runs are there already."""
    pytest.importorskip("nbval")
    before = sorted((workplace / "runs").glob("*/DONE"))
    command = [sys.executable, "-m", "pytest", "--nbval-lax", "-q", "-p", "no:cacheprovider", *TRAIN_NOTHING]
    done = subprocess.run(command, cwd=workplace, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-2000:]
    assert int(re.search(r"(\d+) passed", done.stdout)[1]) > 15
    assert sorted((workplace / "runs").glob("*/DONE")) == before


def test_a_folder_that_is_a_number_is_one_sentence():
    with pytest.raises(ConfigError, match="store is 2024; expected the name of a folder"):
        begin("smoke", 2024, "figures")


def test_a_parameter_that_the_notebook_lacks_is_refused(monkeypatch):
    cells = ["", 'profile = "smoke"\nstore = "runs"', '# Parameters\nprofil = "demo"\n', "begin()"]
    kernel = type("Kernel", (), {"user_ns": {"In": cells}})
    monkeypatch.setattr("symspectra.experiments.notebook.get_ipython", kernel)
    with pytest.raises(ConfigError, match="no parameter 'profil'; did you mean 'profile'"):
        begin("smoke", "runs", "figures")

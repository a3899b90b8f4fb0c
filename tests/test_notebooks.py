"""Notebooks: short cells, no outputs, public names; and each of them runs at the smoke profile."""

import ast
import json
import math
import os
import re
from pathlib import Path

import pytest

from symspectra import datasets
from symspectra.config import load_profile
from symspectra.experiments import NOTEBOOKS, planned_runs
from symspectra.runs import run

FOLDER = Path(__file__).parents[1] / "notebooks"
NAMES = sorted(NOTEBOOKS)
PARAMETERS = ['profile = "smoke"', 'store = "../runs"', 'figures = "../figures/smoke"']
EXHIBITS = {
    "00_quickstart": {"fig2", "quickstart_molecule", "quickstart_gates"},
    "01_dataset": {"gallery", "table8", "fig1a", "fig1b", "fig1c"},
    "02_performance": {"table1", "table1_macro_exact", "fig3a", "fig3b", "resampling", "weighting"},
}
SCORES = {"mean", "sd", "values", "gates"}
WEIGHTS = Path(datasets.__file__).parent / "weights" / "quickstart.safetensors"


def code_cells(name):
    cells = json.loads((FOLDER / f"{name}.ipynb").read_text())["cells"]
    return [cell for cell in cells if cell["cell_type"] == "code"]


def source(cell):
    return "".join(cell["source"])


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
def test_only_public_names(name):
    for cell in code_cells(name):
        for node in ast.walk(ast.parse(source(cell))):
            if isinstance(node, ast.ImportFrom | ast.Import):
                names = [alias.name for alias in node.names] + (getattr(node, "module", None) or "").split(".")
            else:
                names = [node.attr] if isinstance(node, ast.Attribute) else []
            assert not [n for n in names if n.startswith("_") and n != "__file__"], source(cell)


def run_notebook(name, folder, store, profile="smoke"):
    """Execute a notebook as `symspectra reproduce` does; return the folder of its figures."""
    papermill = pytest.importorskip("papermill")
    parameters = {"profile": profile, "store": str(store), "figures": str(folder / "figures")}
    source, target = FOLDER / f"{name}.ipynb", folder / f"{name}.ipynb"
    papermill.execute_notebook(
        source, target, parameters, kernel_name="python3", progress_bar=False, cwd=str(FOLDER), log_output=False
    )
    return folder / "figures"


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """One run store for all notebooks, on one thread a kernel, with this copy of the package."""
    if not (datasets.OPEN_DIRECTORY / "manifest.json").exists():
        pytest.skip("the line lists of the open data set are not in symspectra/data/open")
    with pytest.MonkeyPatch.context() as patch:
        package = str(Path(datasets.__file__).parents[1])
        patch.setenv("PYTHONPATH", os.pathsep.join([package, os.environ.get("PYTHONPATH", "")]))
        patch.setenv("OMP_NUM_THREADS", "1")
        patch.setenv("PYTHONWARNINGS", "ignore")
        yield tmp_path_factory.mktemp("runs")


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
            assert 0 <= content <= 1, f"{key} = {content}"


def finished(store):
    return sorted(path.parent.name for path in store.glob("*/DONE"))


@pytest.mark.parametrize("name", NAMES)
def test_notebook_runs(name, store, tmp_path):
    if name == "00_quickstart" and not WEIGHTS.exists():
        pytest.skip("weights/quickstart.safetensors is not there")
    for config in planned_runs(load_profile("smoke"), [name]):
        run(config, store, "cpu")
    trained = finished(store)
    figures = run_notebook(name, tmp_path, store)
    assert finished(store) == trained, "the notebook trains runs that symspectra.experiments.NOTEBOOKS does not list"
    written = {path.stem for path in figures.glob("*.json")}
    assert EXHIBITS[name] <= written
    for exhibit in written:
        content = json.loads((figures / f"{exhibit}.json").read_text())
        check_numbers(content["numbers"])
        assert content["profile"] == "smoke" and content["dataset"] == "open"
        for kind in ("png", "pdf"):
            assert (figures / f"{exhibit}.{kind}").stat().st_size > 2000
    executed = json.loads((tmp_path / f"{name}.ipynb").read_text())
    outputs = [output for cell in executed["cells"] for output in cell.get("outputs", [])]
    spoken = " ".join("".join(o.get("data", {}).get("text/markdown", [])) for o in outputs)
    assert len(spoken) > 200 and not re.search(r"\b(nan|None)\b", spoken)


def test_unknown_profile_gives_one_sentence(store, tmp_path):
    papermill = pytest.importorskip("papermill")
    with pytest.raises(papermill.PapermillExecutionError, match="there is no profile 'smok'; did you mean 'smoke'"):
        run_notebook("01_dataset", tmp_path, store, profile="smok")

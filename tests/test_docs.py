"""The pages: links lead somewhere, lines are short, the code in them is code."""

import importlib
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from symspectra import load_profile, run, settings
from symspectra.errors import DataError
from symspectra.models import bottleneck, registry
from symspectra.predict.build import build
from symspectra.training.store import Run

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "notebooks" / "README.md", *(ROOT / "docs").glob("*.md")]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_resolve_and_code_compiles(page):
    text = page.read_text()
    targets = [t.partition("#")[0] for t in re.findall(r"\]\(([^)\s]+)\)", text) if "://" not in t]
    assert not [target for target in targets if not (page.parent / target).exists()]
    for code in re.findall(r"```python\n(.*?)```", text, re.DOTALL):
        compile(code, page.name, "exec")


def test_the_readme_is_short():
    lines = (ROOT / "README.md").read_text().splitlines()
    assert len(lines) <= 150 and max(map(len, lines)) <= 120


def code(page, *words):
    """The one block of code of a page that has these words, at the size of the smoke profile."""
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / page).read_text(), re.DOTALL)
    (found,) = [block for block in blocks if all(word in block for word in words)]
    return found.replace('"demo"', '"smoke"')


@pytest.fixture
def here(tmp_path, monkeypatch):
    """An empty folder to work in; what is registered there is forgotten after the test."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    tables = registry._OWN, registry._BUILDERS, settings.MODELS, bottleneck.PRIORS
    before = [dict(table) for table in tables], list(settings.PRIORS)
    yield tmp_path
    for table, values in zip(tables, before[0], strict=True):
        table.clear()
        table.update(values)
    settings.PRIORS[:] = before[1]
    sys.modules.pop("my_module", None)


def test_own_spectra_and_labels_from_tables(here, capsys):
    script = code("own_models.md", "molecules.csv")
    assert len([line for line in script.splitlines() if line.strip()]) <= 25
    rng, n = np.random.default_rng(0), 60
    y = rng.integers(0, 2, (n, 2))
    axis = np.arange(4000.0, 500.0, -7.0)
    curves = {f"m{i}": np.exp(-(((axis - 1700 - 900 * y[i, 0]) / 30) ** 2)) for i in range(n)}
    pd.DataFrame({"wavenumber": axis, **curves}).to_csv("ir.csv", index=False)
    table = {"name": list(curves), "split": ["train", "train", "validation", "test"] * (n // 4)}
    table["c13"] = [f"{rng.uniform(10, 60):.1f}, {130 + 70 * own:.1f}" for own in y[:, 1]]
    pd.DataFrame({**table, "bitter": y[:, 0], "sweet": y[:, 1]}).to_csv("molecules.csv", index=False)
    exec(compile(script, "own_models.md", "exec"), {})
    assert "Prediction from c13" in capsys.readouterr().out and (here / "taste_predictor" / "predictor.json").exists()


def test_a_model_of_ones_own_has_its_row_in_table_1_and_is_read_in_another_process(here, capsys):
    (here / "my_module.py").write_text(code("own_models.md", 'register_model("linear"'))
    script = code("own_models.md", "Judge(")
    assert len([line for line in script.splitlines() if line.strip()]) <= 15
    exec(compile(script, "own_models.md", "exec"), {})
    out = capsys.readouterr().out
    assert "SymSpectra: 0." in out and "Linear is better: not testable here" in out and "second seed" in out
    (path,) = [path.parent for path in here.glob("runs/*/config.json") if '"linear"' in path.read_text()]
    with pytest.raises(DataError, match="is of linear; a predictor can be made of SymSpectra alone"):
        build(Run(path), None, here / "predictor")
    read = f"from symspectra.training.store import Run; print(len(list(Run(Path({str(path)!r})).load().parameters())))"
    for first, status in (("import my_module", 0), ("pass", 1)):
        command = [sys.executable, "-c", f"from pathlib import Path; {first}; {read}"]
        environment = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{here}"}
        done = subprocess.run(command, capture_output=True, text=True, env=environment)
        assert done.returncode == status and (status or done.stdout == "2\n"), done.stderr
    assert "import the module that registers 'linear'" in done.stderr


def test_a_prior_of_ones_own_trains(here):
    (here / "my_module.py").write_text(code("own_models.md", "register_prior"))
    importlib.import_module("my_module")
    config = load_profile("smoke").config("symspectra", prior="uniform", molecules=60, epochs=1)
    assert run(config, here).metrics["validation"]["micro_f1"] >= 0

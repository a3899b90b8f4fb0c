"""`symspectra plan` and `reproduce`: what is refused beforehand, trained, executed, and left behind."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from symspectra.config import Config
from symspectra.errors import ConfigError
from symspectra.experiments.plan import find_notebooks, planned_runs
from symspectra.experiments.profiles import load_profile
from symspectra.experiments.reproduce import OPTIONS, describe, plan, reproduce, train_missing

nbformat = pytest.importorskip("nbformat")
BEGIN = "from symspectra.experiments import begin\nbegin(profile, store, figures)"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A project of its own, seen from a folder within."""
    (tmp_path / "notebooks" / "deeper").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "notebooks" / "deeper")
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[1]))
    return tmp_path


def notebook(folder: Path, name: str, *cells: str, parameters: tuple[str, ...] = ("profile", "store", "figures")):
    """Write a notebook of these cells, the parameters before them."""
    first = "\n".join(f'{parameter} = "smoke"' for parameter in parameters)
    code = [nbformat.v4.new_code_cell(first, metadata={"tags": ["parameters"]})]
    code += [nbformat.v4.new_code_cell(cell) for cell in cells]
    kernel = {"name": "python3", "language": "python", "display_name": "Python 3"}
    content = nbformat.v4.new_notebook(cells=code, metadata={"kernelspec": kernel})
    nbformat.write(content, folder / "notebooks" / f"{name}.ipynb")


def test_runs_of_a_profile_are_told_apart_by_their_lines():
    assert all(Config().get(name) is not None for name in OPTIONS)
    planned = planned_runs(load_profile("demo"))
    lines = [describe(config) for config in planned]
    assert len(set(lines)) == len(lines)


def test_plan_says_what_is_done_and_how_long_the_rest_takes(tmp_path):
    entries = plan("demo", tmp_path, ["08"])
    assert entries and all(entry.seconds > 0 and not entry.done for entry in entries)
    assert all(entry.seconds is None for entry in plan("open", tmp_path, ["08"]))
    first = plan("smoke", tmp_path, ["11"])[0].config
    assert train_missing([first, first], tmp_path, 1, "cpu") == 1 and train_missing([first], tmp_path, 1, "cpu") == 0
    done = [entry for entry in plan("smoke", tmp_path, ["11"]) if entry.done]
    assert [entry.config for entry in done] == [first] and done[0].seconds > 0


def test_notebooks_of_your_own_are_executed_and_the_report_last(folder, capsys):
    look = "from pathlib import Path\nthere = len(list(Path(figures).glob('*.txt')))\n"
    notebook(folder, "13_own", BEGIN, look + "Path(figures, 'own.txt').write_text(str(Path.cwd()))")
    notebook(folder, "12_report", look + "Path(figures, 'report.txt').write_text(str(there))")
    written = reproduce("smoke", ["12", "13"], Path("runs"), workers=2, device="cpu")
    assert written == [folder / "figures" / "smoke" / name for name in ("own.txt", "report.txt")]
    assert written[0].read_text() == str(folder) and written[1].read_text() == "1"
    executed = json.loads((folder / "runs" / "executed" / "smoke" / "13_own.ipynb").read_text())
    first = next(output for cell in executed["cells"] for output in cell.get("outputs", []))
    text = "".join(first["data"]["text/markdown"])
    assert "**smoke**" in text and f"{folder}/runs" in text
    assert "0 runs for 12_report, 13_own" in capsys.readouterr().out


def test_a_notebook_that_fails_is_named_and_the_others_are_executed(folder):
    notebook(folder, "13_raises", "1 / 0")
    notebook(folder, "14_dies", "import os, signal\nos.kill(os.getpid(), signal.SIGKILL)")
    notebook(folder, "15_works", "open(figures + '/there', 'w').close()")
    with pytest.raises(RuntimeError) as raised:
        reproduce("smoke", ["13", "14", "15"], workers=1, device="cpu")
    assert "13_raises.ipynb: cell" in str(raised.value) and "ZeroDivisionError" in str(raised.value)
    assert "14_dies.ipynb: " in str(raised.value) and "died" in str(raised.value).lower()
    assert (folder / "figures" / "smoke" / "there").exists()


def test_what_cannot_be_executed_is_refused_before_anything_is_trained(folder, monkeypatch):
    def refused(words: str, only: str, **options) -> None:
        with pytest.raises(ConfigError, match=words):
            reproduce("smoke", [only], device="cpu", **options)

    notebook(folder, "13_own", parameters=("profile", "store", "pictures"))
    notebook(folder, "14_none", parameters=())
    notebook(folder, "15_good")
    assert find_notebooks(["13"]) == ["13_own"]
    refused("13_own.ipynb has no parameter 'figures'; its parameters are profile, store, pictures", "13")
    refused("14_none.ipynb has no parameter", "14")
    refused("02_performance.ipynb is not there", "02")
    refused("there is no notebook '15_god'; did you mean '15_good'", "15_god")
    refused("workers is 0", "15", workers=0)
    (folder / "file").write_text("")
    refused("figures cannot be written to .*file", "15", figures=Path("file"))
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    refused(r'pip install "symspectra\[notebooks\]"', "15")
    assert not (folder / "runs").exists()


SIGNALS = [signal.SIGTERM, *(pytest.param(s, marks=pytest.mark.slow) for s in (signal.SIGKILL, signal.SIGINT))]


@pytest.mark.parametrize("how", SIGNALS)
@pytest.mark.parametrize("busy", ["notebook", pytest.param("training", marks=pytest.mark.slow)])
def test_no_process_is_left_when_the_command_is_killed(folder, busy, how):
    """All processes of the command hold its output, so that it ends when the last of them has ended."""
    started = folder / "started"
    notebook(folder, "02_performance")
    notebook(folder, "13_long", f"open({str(started)!r}, 'w').close()", "import time\nwhile True: time.sleep(0.01)")
    options = ["--only", "02" if busy == "training" else "13", "--workers", "2", "--device", "cpu"]
    command = [sys.executable, "-m", "symspectra", "reproduce", "--profile", "smoke", *options]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    try:
        while not started.exists() and not list((folder / "runs").glob("*.partial")):
            assert process.poll() is None
            time.sleep(0.05)
    finally:
        process.send_signal(how)
    process.communicate(timeout=60)
    assert process.returncode == {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGKILL: -9}[how]

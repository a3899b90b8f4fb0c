"""What is installed without the repository: the wheel is whole, predicts, and gives the notebooks away."""

import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

from symspectra.cli.main import main
from symspectra.experiments.plan import NOTEBOOKS, project

ROOT = Path(__file__).parents[1]


def test_notebooks_are_copied_whole_once_and_their_folder_is_a_project(tmp_path, monkeypatch, capsys):
    command = ["notebooks", "--to", str(tmp_path / "mine")]
    assert main(command) == 0
    folder = tmp_path / "mine" / "notebooks"
    assert capsys.readouterr().out == f"{folder}\n"
    assert sorted(path.name for path in folder.iterdir()) == [f"{name}.ipynb" for name in sorted(NOTEBOOKS)]
    (folder / "00_quickstart.ipynb").write_text("mine")
    assert main(command) == 2 and f"{folder} is there already" in capsys.readouterr().err
    assert (folder / "00_quickstart.ipynb").read_text() == "mine"
    monkeypatch.chdir(folder)
    assert project() == tmp_path / "mine"


def test_notebooks_are_copied_whole_or_not_at_all(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(shutil, "copyfile", lambda *paths: (_ for _ in ()).throw(OSError(28, "No space left", "x")))
    assert main(["notebooks", "--to", str(tmp_path)]) == 2
    assert "No space left" in capsys.readouterr().err and not list(tmp_path.iterdir())


@pytest.mark.slow
def test_the_wheel_holds_the_package_and_works_without_the_repository(tmp_path):
    source, bare = tmp_path / "source", tmp_path / "bare"
    for name in ("symspectra", "notebooks"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__", ".ipynb_checkpoints"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, "wheel", "--no-deps", "--wheel-dir", tmp_path, source], check=True)
    (wheel,) = tmp_path.glob("*.whl")
    files = {path.relative_to(ROOT).as_posix() for path in (ROOT / "symspectra").rglob("*") if path.is_file()}
    assert {file for file in files if "__pycache__" not in file} <= set(zipfile.ZipFile(wheel).namelist())

    venv.create(bare)
    python = [bare / "bin" / "python", "-m", "symspectra"]
    subprocess.run(
        [*pip, "--python", bare / "bin" / "python", "install", "--no-deps", "--no-compile", wheel], check=True
    )
    # the dependencies are those of this environment, whose own .pth files, which lead to the repository, are not read
    (site,) = bare.glob("lib/python*/site-packages")
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib"))

    def run(*words):
        return subprocess.run([*python, *words], cwd=tmp_path, capture_output=True, text=True)

    answer = run("predict", "--c13", "171.36, 60.49, 21.04, 14.19")
    assert answer.returncode == 0 and "Ester" in answer.stdout, answer.stderr
    assert run("notebooks", "--to", "mine").returncode == 0
    for name in NOTEBOOKS:
        path = Path("notebooks", f"{name}.ipynb")
        assert (tmp_path / "mine" / path).read_bytes() == (ROOT / path).read_bytes()

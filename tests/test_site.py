"""The site: what its check finds, notebooks without a path of the machine, and what is said when they are missing."""

import sys
from pathlib import Path

import pytest

nbformat = pytest.importorskip("nbformat")
pytest.importorskip("myst_nb", reason='the site is built with `pip install -e ".[site]"`')
FOLDER = Path(__file__).parents[1] / "docs" / "site"


@pytest.fixture
def build(monkeypatch, tmp_path):
    monkeypatch.syspath_prepend(FOLDER)
    import build

    monkeypatch.setattr(build, "SOURCE", tmp_path / "source")
    yield build
    sys.modules.pop("build")


def test_missing_notebooks_are_one_sentence_with_the_command(build, tmp_path):
    with pytest.raises(SystemExit, match="00_quickstart.ipynb; `symspectra reproduce --profile demo` makes it"):
        build.lay_out("demo", tmp_path)


def test_a_notebook_is_folded_its_exhibits_linked_and_no_path_of_the_machine_left(build, tmp_path):
    cell = nbformat.v4.new_code_cell('show_exhibit(f, {}, figures, "table1")')
    cell.outputs = [nbformat.v4.new_output("stream", text="/home/me/project/runs/executed")]
    injected = nbformat.v4.new_code_cell("store = 1", metadata={"tags": ["injected-parameters"]})
    content = nbformat.v4.new_notebook(cells=[injected, cell])
    content.metadata["papermill"] = {"parameters": {"figures": "/home/me/project/figures/demo"}}
    nbformat.write(content, tmp_path / "02_performance.ipynb")
    assert build.write_notebook(tmp_path / "02_performance.ipynb", "demo", "notebooks") == "notebooks/02_performance"
    target, shown, links = nbformat.read(tmp_path / "source" / "notebooks" / "02_performance.ipynb", 4).cells
    assert target.source == '<span id="table1"></span>' and shown.metadata.tags == ["hide-input"]
    assert shown.outputs[0].text == "runs/executed"
    for part in ("/figures/demo/table1.csv", "/figures/demo/table1.json", "--profile demo --only 02"):
        assert part in links.source


def test_the_check_names_broken_links_what_is_loaded_and_paths(build, tmp_path):
    (tmp_path / "a.html").write_text('<a href="b.html#here">b</a> <a href="https://example.org">out</a> <p id="x">')
    (tmp_path / "b.html").write_text('<p id="here"></p> <a href="a.html#x">a</a>')
    assert build.faults(tmp_path, ("/home/me",)) == []
    (tmp_path / "b.html").write_text('<a href="c.html">/home/me/c</a> <script src="https://cdn.example/x.js"></script>')
    assert sorted(build.faults(tmp_path, ("/home/me",))) == [
        "a.html: b.html#here leads nowhere",
        "b.html: c.html leads nowhere",
        "b.html: loads https://cdn.example/x.js",
        "b.html: shows /home/me",
    ]


def test_the_built_site_has_no_fault(build):
    if not (build.SITE / "index.html").exists():
        pytest.skip(f"{build.SITE} is not built; `make site` builds it")
    assert build.faults(build.SITE, (str(build.ROOT), str(Path.home()))) == []

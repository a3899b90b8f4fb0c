"""Measured rates of training: read or refused, said in words, and drawn; and the section of the notebook on them."""

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_figures import assert_no_text_is_cut

from symspectra.bench.bench_training import PLAIN, STACKED, models, paths
from symspectra.bench.speed import (
    BenchError,
    Row,
    at_once,
    bench_path,
    findings,
    how_to_measure,
    model_findings,
    not_measured,
    plain_rate,
    ratio_text,
    read_bench,
    single,
    usual,
    where,
)
from symspectra.bench.speed_charts import model_line, model_table, speed_panels
from symspectra.experiments.plan import THREE
from symspectra.modalities import MODALITIES

NOTEBOOK = Path(__file__).parents[1] / "notebooks" / "10_cost.ipynb"
RATES = {PLAIN: 100.0, "layers": 300.0, "layers, noise not redrawn": 450.0, "products": 200.0, "compiled": None}
SEEDS = {1: 200.0, 2: 380.0, 4: 600.0, 8: 640.0}


def measured(case, rate):
    """A case as `symspectra bench` writes it; without a rate, one that failed."""
    row = {name: getattr(case, name) for name in ("name", "model", "settings", "seeds", "path", "noise")}
    row["modalities"] = list(case.modalities)
    if rate is None:
        return row | {"error": "no compiler was found"}
    numbers = {"samples_per_second": rate, "ms_per_step": 64_000 * case.seeds / rate, "first_epoch_seconds": 2.5}
    return row | numbers | {"memory_mb": 512.0 * case.seeds, "batch": 64, "epochs": 18}


def content(device="cpu"):
    """A whole file with made-up numbers."""
    own = [
        measured(case, SEEDS[case.seeds] if case.path == STACKED else RATES.get(case.name.split(", CUDA")[0], 250.0))
        for case in paths(device)
    ]
    others = [measured(case, 1000.0 / len(case.modalities)) for case in models()]
    environment = {"device": "CPU, 2 threads" if device == "cpu" else "NVIDIA H100 80GB HBM3", "torch": "2.9.1"}
    return {"profile": "smoke", "environment": environment, "steps": 12, "paths": own, "models": others}


def write(store, text):
    path = bench_path(store, "smoke")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text if isinstance(text, str) else json.dumps(text))
    return path


@pytest.fixture
def bench(tmp_path):
    write(tmp_path, content())
    return read_bench(tmp_path, "smoke")


@pytest.fixture
def gpu(tmp_path):
    write(tmp_path, content("cuda"))
    return read_bench(tmp_path, "smoke")


def test_a_file_is_read_as_it_was_written(bench):
    assert [row.name for row in bench.paths] == [case.name for case in paths("cpu")]
    assert [(row.model, row.modalities) for row in bench.models] == [(c.model, c.modalities) for c in models()]
    assert bench.device == "CPU, 2 threads" and plain_rate(bench.paths) == 100 and at_once(bench.paths) == SEEDS
    assert {row.name for row in bench.paths} - {row.name for row in single(bench.paths)} == {
        "compiled",
        *(row.name for row in bench.paths if row.path == STACKED),
    }
    assert [row.name for row in usual(bench.paths)] == ["layers", "products"]


def test_without_a_file_the_command_is_given(tmp_path):
    store = tmp_path / "a store"
    assert read_bench(store, "smoke") is None
    said = how_to_measure(store, "smoke")
    assert f"symspectra bench --only training --profile smoke --out '{store}/bench/smoke.json'" in said


@pytest.mark.parametrize(
    "change, said",
    [
        (lambda c: c.pop("paths"), "no 'paths'"),
        (lambda c: c.update(profile="demo"), "it is of profile 'demo', not 'smoke'"),
        (lambda c: c["environment"].pop("device"), "no 'device'"),
        (lambda c: c["environment"].update(torch=None), "torch is None"),
        (lambda c: c["paths"][1].update(samples_per_second=float("nan")), "layers: samples_per_second is nan"),
        (lambda c: c["paths"][1].pop("batch"), "layers: batch is None"),
        (lambda c: c["paths"][1].update(seeds=0), "layers: 0 seeds"),
        (lambda c: c["paths"][1].update(path=3), "the path 3"),
        (lambda c: c["paths"][1].update(model="resnet"), "the model 'resnet'"),
        (lambda c: c["models"][0].update(modalities=["uv"]), "on ('uv',) is not known"),
    ],
)
def test_a_damaged_file_is_named_with_what_is_wrong(tmp_path, change, said):
    broken = content()
    change(broken)
    path = write(tmp_path, broken)
    with pytest.raises(BenchError) as error:
        read_bench(tmp_path, "smoke")
    assert str(path) in str(error.value) and said in str(error.value) and "--only training" in str(error.value)


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "3", '"paths"', "[" * 100_000, "\x00", '{"paths": [3]}'])
def test_what_is_not_such_a_file_is_refused(tmp_path, text):
    path = write(tmp_path, text)
    with pytest.raises(BenchError, match="cannot be used") as error:
        read_bench(tmp_path, "smoke")
    assert str(path) in str(error.value)


def test_a_folder_in_its_place_is_refused(tmp_path):
    bench_path(tmp_path, "smoke").mkdir(parents=True)
    with pytest.raises(BenchError, match="cannot be used"):
        read_bench(tmp_path, "smoke")


VALUES = st.none() | st.booleans() | st.integers(-2, 3) | st.floats() | st.text(max_size=3) | st.lists(st.integers())


@settings(deadline=None)
@given(st.sampled_from(("paths", "models")), st.integers(0, 11), st.sampled_from(Row._fields), VALUES)
def test_any_value_in_any_place_is_told_or_refused(tmp_path_factory, part, index, name, value):
    store, broken = tmp_path_factory.getbasetemp() / "any", content()
    broken[part][index][name] = value
    write(store, broken)
    try:
        read = read_bench(store, "smoke")
    except BenchError:
        return
    said = [where(read), *findings(read), *model_findings(read), *map(str, map(model_line, read.models))]
    assert all(said) and not_measured(read.paths)


def test_words_on_the_paths(bench):
    said = "\n".join([where(bench), *findings(bench)])
    for part in (
        "profile **smoke** on **CPU, 2 threads** (torch 2.9.1)",
        "at most 12 steps of 64 molecules",
        "The fastest path, *layers, noise not redrawn* (450 samples/s), is 4.50 times as fast",
        "as the plain implementation (100 samples/s)",
        "full precision with the noise drawn anew, *layers* (300 samples/s) is the fastest: 3.00 times",
        "Without new noise in every epoch, *layers* is 1.50 times as fast",
        "2 s (*compiled, bf16*)",
        "The peak memory of the process is from 0.50 GB",
        "to 4.00 GB (*8 seeds at once*); the paper prints 7.0 GB",
        "8 seeds at once take 2.50 times as long as one by the same path",
        "One after the other by *layers*, they would take 2.13 times as long as at once",
    ):
        assert part in said, part
    assert not_measured(bench.paths) == "**Not measured:**\n\n- compiled: no compiler was found"
    assert not_measured(bench.models) == "Every row was measured."


def test_words_on_a_gpu(gpu):
    said = "\n".join(findings(gpu))
    assert "peak memory of the GPU is" in said
    assert "Without new noise in every epoch, *CUDA graph, bf16* is 1.00 times as fast." in said


def test_words_on_the_models(bench):
    first, second = model_findings(bench)
    assert "SymSpectra (333 samples/s): 1D-CNN 1.00, Transformer 1.00, Wu et al. 1.00, Alberts et al. 1.00" in first
    assert "1.67 times as long on five spectra as on three (the paper: 1.85 times)" in second


def test_what_was_not_measured_is_not_concluded(bench):
    nothing = [row._replace(error="killed") for row in bench.paths]
    empty = bench._replace(paths=nothing, models=[row._replace(error="killed") for row in bench.models])
    assert findings(empty) == ["The memory was not measured."] and model_findings(empty) == []
    assert "molecules" not in where(empty) and not_measured(nothing).count("killed") == len(nothing)
    without = bench._replace(paths=[row for row in bench.paths if row.path != PLAIN and row.seeds < 8])
    assert "the plain implementation was not measured" in findings(without)[0]
    assert any("4 seeds at once" in sentence for sentence in findings(without))
    assert not any("at once take" in s for s in findings(bench._replace(paths=single(bench.paths))))
    unknown = bench._replace(paths=[row._replace(memory_mb=None) for row in bench.paths])
    assert "The memory was not measured." in findings(unknown)


def test_hours_of_the_training_of_the_paper(bench):
    row = bench.models[2]
    assert row.modalities == THREE
    assert row.hours == pytest.approx(18 * 635_200 / (1000 / 3) / 3600)
    assert row._replace(epochs=100, samples_per_second=6535).hours == pytest.approx(2.7, abs=1e-3)
    assert row._replace(error="killed").hours is None


def test_costs_that_the_paper_prints(bench):
    costs = {(row.model, len(row.modalities)): row.printed for row in bench.models}
    assert [costs["symspectra", k][0] for k in range(1, 6)] == [2.0, 2.4, 2.7, 3.9, 5.0]
    assert costs["jung_cnn", 3] == (2.0, 5.7) and costs["token_transformer", 3] == (35.0, 1.7)
    assert sum(cost is not None for cost in costs.values()) == 7
    assert bench.models[2]._replace(modalities=("h1", "c13", "ir")).printed is None


def test_lines_of_the_table(bench):
    three = bench.models[2]
    assert model_line(three) == ["SymSpectra", "3", "333", "64", "192", "7.0", "0.50", "18", "2.7", "9.53"]
    assert model_line(three._replace(memory_mb=None))[6] == "unknown"
    failed = model_line(three._replace(error="killed"))
    assert failed[2:6] == ["not measured", "", "", "7.0"] and len(failed) == 10
    one = Row("", "jung_cnn", MODALITIES, {}, 1, "default", True, error="killed")
    assert model_line(one) == ["1D-CNN", "5", "not measured", *[""] * 7]


def test_ratios_have_three_digits():
    assert [ratio_text(x) for x in (0.224, 2.614, 9.996, 26.92, 99.96, 142.7)] == [
        *("0.22", "2.61", "10.0", "26.9", "100", "143")
    ]


def test_bars_and_points_are_the_rates(bench):
    left, right = speed_panels(bench.paths).axes
    drawn = single(bench.paths)
    assert [bar.get_width() for bar in left.patches] == [row.samples_per_second for row in drawn]
    names = [label.get_text().replace("\n", " ") for label in left.get_yticklabels()]
    assert names == [row.name for row in drawn] and "compiled" not in names
    assert [text.get_text() for text in left.texts][:3] == ["1.00 ×", "3.00 ×", "4.50 ×"]
    ideal, points = right.lines
    assert list(ideal.get_ydata()) == [200, 400, 800, 1600] and list(points.get_ydata()) == list(SEEDS.values())
    assert [text.get_text() for text in right.texts] == ["1.90 ×", "3.00 ×", "3.20 ×"]


def test_without_the_plain_implementation_or_one_seed_nothing_is_compared(bench):
    rows = [row for row in bench.paths if row.path != PLAIN and (row.path, row.seeds) != (STACKED, 1)]
    left, right = speed_panels(rows).axes
    assert left.texts[0].get_text() == "300"
    assert len(right.lines) == 1 and not right.texts


def test_empty_panels_say_so(bench):
    left, right = speed_panels([row._replace(error="killed") for row in bench.paths]).axes
    assert left.texts[0].get_text() == right.texts[0].get_text() == "not measured" and not left.patches


def test_texts_are_neither_cut_nor_over_each_other(bench, gpu):
    for rows in (bench.paths, gpu.paths, [row._replace(samples_per_second=9e6) for row in gpu.paths if not row.error]):
        figure = speed_panels(rows)
        assert_no_text_is_cut(figure)
        for ax in figure.axes:
            ticks = [axis.get_ticklabels() for axis in (ax.xaxis, ax.yaxis)]
            for texts in (ax.texts, *ticks):
                boxes = [text.get_window_extent() for text in texts if text.get_text()]
                assert not any(boxes[i].overlaps(boxes[j]) for i in range(len(boxes)) for j in range(i))
    assert_no_text_is_cut(model_table(bench.models))


def section():
    """The notebook's imports, and all code from the heading of the section on."""
    cells = json.loads(NOTEBOOK.read_text())["cells"]
    start = next(i for i, cell in enumerate(cells) if "".join(cell["source"]).startswith("## Speed"))
    code = ["".join(cell["source"]) for cell in [cells[2], *cells[start:]] if cell["cell_type"] == "code"]
    assert len(code) > 4
    return code


def run_section(folder):
    names = {"profile": "smoke", "store": str(folder / "runs"), "figures": str(folder / "figures")}
    said = []
    for k, code in enumerate(section()):
        exec(compile(code, f"cell {k} of the section", "exec"), names)
        if k == 0:
            names["say"] = said.append
    return said


def test_the_section_of_the_notebook(tmp_path):
    given_rows = content()
    write(tmp_path / "runs", given_rows)
    said = run_section(tmp_path)
    assert any("4.50 times as fast" in text for text in said) and "no compiler was found" in "\n".join(said)
    for exhibit, part in (("bench_paths", "paths"), ("bench_models", "models")):
        written = json.loads((tmp_path / "figures" / f"{exhibit}.json").read_text())
        assert written["device"] == ["CPU, 2 threads"] and written["profile"] == "smoke" and "git_commit" in written
        assert written["dataset"] == "open" and written["runs"] == []
        assert written["numbers"]["environment"] == given_rows["environment"] and written["numbers"]["steps"] == 12
        rates = [row["samples_per_second"] for row in written["numbers"][part]]
        assert rates == [row.get("samples_per_second") for row in given_rows[part]]
        assert (tmp_path / "figures" / f"{exhibit}.png").stat().st_size > 2000


def test_the_section_without_a_file_says_how_to_make_one_and_draws_nothing(tmp_path):
    said = run_section(tmp_path)
    assert said == [how_to_measure(tmp_path / "runs", "smoke")] and not (tmp_path / "figures").exists()


def test_the_section_with_a_damaged_file_names_it(tmp_path):
    path = write(tmp_path / "runs", "{")
    with pytest.raises(BenchError, match=str(path)):
        run_section(tmp_path)

from dataclasses import replace

import pytest

from symspectra.datasets.base import load_dataset
from symspectra.errors import ConfigError
from symspectra.experiments.plan import (
    BASELINES,
    COMPONENTS,
    MODELS,
    NOTEBOOKS,
    STRATEGIES,
    TABLE_1_SIMULATED,
    all_seeds,
    few_seeds,
    find_notebooks,
    learning,
    planned_runs,
    scarce,
    table_1,
)
from symspectra.experiments.profiles import PROFILES, load_profile
from symspectra.modalities import MODALITIES
from symspectra.settings import Data, choices


@pytest.mark.parametrize("name", PROFILES)
def test_every_profile_can_be_planned(name):
    profile = load_profile(name)
    planned = planned_runs(profile)
    assert len(planned) == len(set(planned)) > 0
    assert planned == planned_runs(profile)  # stable order
    assert {config.training.seed for config in planned} == set(profile.seeds)
    assert {config.model.name for config in planned} == {*MODELS, "xgboost"}
    for notebook in NOTEBOOKS:
        assert set(planned_runs(profile, [notebook])) <= set(planned)


# Runs per profile, with simulated spectra alone and with measured ones.
COUNTS = {"smoke": (77, 162), "demo": (181, 333), "evening": (237, 389), "open": (606, 1124), "paper": (590, 1108)}


@pytest.mark.parametrize(("name", "counts"), COUNTS.items())
def test_number_of_runs(name, counts, tmp_path, monkeypatch):
    simulated = planned_runs(load_profile(name))
    (tmp_path / "experimental").mkdir()
    (tmp_path / "experimental" / "manifest.json").write_text("{}")
    monkeypatch.setenv("SYMSPECTRA_DATA", str(tmp_path))
    assert (len(simulated), len(planned_runs(load_profile(name)))) == counts


def test_cells_of_table_1():
    profile = load_profile("demo")
    for row, spectra in TABLE_1_SIMULATED.items():
        assert list(spectra) == sorted(spectra, key=MODALITIES.index), row
        for model in MODELS:
            cell = table_1(profile, model, row)
            assert [config.training.seed for config in cell] == list(profile.seeds)
            assert {(c.data.modalities, c.data.resample) for c in cell} == {(spectra, "blockmax")}


def test_what_is_asked_twice_is_planned_once():
    profile = load_profile("demo")
    row = "IR, 13C-NMR, 1H-NMR"
    assert all_seeds(profile, weighting="paper") == table_1(profile, "symspectra", row)
    assert all_seeds(profile, weighting="none") != all_seeds(profile)
    assert all_seeds(profile, "jung_cnn", resample="blockmax") == table_1(profile, "jung_cnn", row)
    # 5 rows, 5 models; 3 linear ones; absolute infrared twice; one without weights. Two seeds each.
    assert len(planned_runs(profile, ["02"])) == 2 * (5 * 5 + 3 + 2 + 1)
    assert planned_runs(profile, ["01", "02"]) == list(
        dict.fromkeys(planned_runs(profile, ["01"]) + planned_runs(profile, ["02"]))
    )


def test_learning_curves_differ_in_what_is_trained_on_alone():
    profile = load_profile("evening")
    sizes, seeds = profile.grids.learning_sizes, profile.seeds
    runs = {n: learning(profile, n) for n in sizes}
    # SymSpectra, four baselines, without weights, without compression.
    without = replace(profile, grids=load_profile("demo").grids)
    more = set(planned_runs(profile, ["02"])) - set(planned_runs(without, ["02"]))
    assert len(more) == 7 * len(sizes) * len(seeds)
    epochs = [configs[0].training.epochs for configs in runs.values()]
    assert epochs == sorted(epochs, reverse=True) and epochs[0] * sizes[0] < epochs[-1] * sizes[-1]
    data = [load_dataset(runs[n][0].replace(dataset="open", test_molecules=500)) for n in sizes[:3]]
    assert [len(part.rows("train")) for part in data] == [pytest.approx(n, rel=0.08) for n in sizes[:3]]
    tested = [[part.ids[row] for row in part.rows("test")] for part in data]
    assert len(tested[0]) == 500 and tested[0] == tested[1] == tested[2]


def test_default_settings_share_the_runs_of_table_1():
    """What an experiment leaves at its default is not trained again."""
    profile = load_profile("demo")
    three = table_1(profile, "symspectra")
    assert all_seeds(profile, **COMPONENTS["SymSpectra"]) == three
    assert COMPONENTS["- Dynamic Weight"] == {"weighting": "none"}
    for settings in ({"penalty": 0.0}, {"prior": "data"}, {"decoder": "lstm"}, {"order": "iupac"}, {"s1": 0.3}):
        assert set(few_seeds(profile, **settings)) <= set(three)
    assert few_seeds(profile, beta=1e-6) == few_seeds(profile, modalities=MODALITIES[:3])
    for model in BASELINES:
        assert all_seeds(profile, model, imbalance="none") == table_1(profile, model)
        assert set(scarce(profile, model, 1.0)) <= set(table_1(profile, model))


def test_options_of_the_experiments_are_choices_of_the_configuration():
    assert tuple(STRATEGIES) and set(STRATEGIES) == set(choices(Data, "imbalance"))


def test_notebooks_by_number_or_name():
    assert find_notebooks(None) == list(NOTEBOOKS) == find_notebooks([])
    assert find_notebooks(["02", "01_dataset", "02_performance"]) == ["01_dataset", "02_performance"]
    with pytest.raises(ConfigError, match="there is no notebook '02_perfomance'; did you mean '02_performance'"):
        find_notebooks(["02_perfomance"])

"""What each notebook needs to be trained."""

import pytest

import symspectra.experiments as face
from symspectra.config import CHOICES
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
    planned_runs,
    scarce,
    table_1,
)
from symspectra.experiments.profiles import PROFILES, load_profile
from symspectra.modalities import MODALITIES


@pytest.mark.parametrize("name", PROFILES)
def test_every_profile_can_be_planned(name):
    profile = load_profile(name)
    planned = planned_runs(profile)
    assert len(planned) == len(set(planned)) > 0
    assert {config.seed for config in planned} == set(profile.seeds)
    assert {config.model for config in planned} == {*MODELS, "xgboost"}
    parts = [config for notebook in NOTEBOOKS for config in planned_runs(profile, [notebook])]
    assert list(dict.fromkeys(parts)) == planned  # stable order, each once


# Runs per profile, with simulated spectra alone and with measured ones.
COUNTS = {"smoke": (68, 153), "demo": (119, 265), "evening": (244, 462), "open": (534, 1052), "paper": (534, 1052)}


@pytest.mark.parametrize(("name", "counts"), COUNTS.items())
def test_number_of_runs(name, counts, tmp_path, monkeypatch):
    profile, found = load_profile(name), []
    for files in ((), ("manifest.json",)):
        (tmp_path / "experimental").mkdir(exist_ok=True)
        for file in files:
            (tmp_path / "experimental" / file).write_text("{}")
        monkeypatch.setenv("SYMSPECTRA_DATA", str(tmp_path))
        found.append(len(planned_runs(profile)))
    assert tuple(found) == counts


def test_cells_of_table_1():
    profile = load_profile("demo")
    for row, spectra in TABLE_1_SIMULATED.items():
        assert list(spectra) == sorted(spectra, key=MODALITIES.index), row
        for model in MODELS:
            cell = table_1(profile, model, row)
            assert [config.seed for config in cell] == list(profile.seeds)
            assert {config.modalities for config in cell} == {spectra} and {c.resample for c in cell} == {"blockmax"}


def test_default_settings_share_the_runs_of_table_1():
    """What an experiment leaves at its default is not trained again."""
    profile = load_profile("demo")
    three = table_1(profile, "symspectra")
    assert all_seeds(profile, **COMPONENTS["SymSpectra"]) == all_seeds(profile, weighting="paper") == three
    assert all_seeds(profile, weighting="none") == all_seeds(profile, **COMPONENTS["- Dynamic Weight"]) != three
    defaults = {
        "penalty": 0.0,
        "prior": "data",
        "decoder": "lstm",
        "order": "iupac",
        "s1": 0.3,
        "s2": 0.3,
        "beta": 1e-6,
    }
    for name, value in {**defaults, "modalities": MODALITIES[:3]}.items():
        assert few_seeds(profile, **{name: value}) == three[:1], name
    for model in BASELINES:
        assert all_seeds(profile, model, imbalance="none") == table_1(profile, model)
        assert scarce(profile, model, 1.0) == table_1(profile, model)[:1]
    assert set(STRATEGIES) == set(CHOICES["imbalance"])


def test_notebooks_by_number_or_name():
    assert find_notebooks(None) == list(NOTEBOOKS) == find_notebooks([])
    assert find_notebooks(["02", "01_dataset", "02_performance"]) == ["01_dataset", "02_performance"]
    with pytest.raises(ConfigError, match="there is no notebook '02_perfomance'; did you mean '02_performance'"):
        find_notebooks(["02_perfomance"])


def test_names_for_notebooks_come_from_one_place():
    assert face.table_1 is table_1 and face.load_profile is load_profile and callable(face.runs_of)
    with pytest.raises(AttributeError, match="tabel_1"):
        face.tabel_1  # noqa: B018

import pytest

from symspectra.config import MODALITIES, PROFILES, ConfigError, load_profile
from symspectra.experiments import (
    MODELS,
    NOTEBOOKS,
    TABLE_1_SIMULATED,
    find_notebooks,
    planned_runs,
    resampling,
    table_1,
    weighting,
)


@pytest.mark.parametrize("name", PROFILES)
def test_every_profile_can_be_planned(name):
    profile = load_profile(name)
    planned = planned_runs(profile)
    assert len(planned) == len(set(planned)) > 0
    assert planned == planned_runs(profile)  # stable order
    assert {config.seed for config in planned} == set(profile.seeds)
    assert {config.model for config in planned} == set(MODELS)
    for notebook in NOTEBOOKS:
        assert set(planned_runs(profile, [notebook])) <= set(planned)


def test_cells_of_table_1():
    profile = load_profile("demo")
    for row, spectra in TABLE_1_SIMULATED.items():
        assert list(spectra) == sorted(spectra, key=MODALITIES.index), row
        for model in MODELS:
            cell = table_1(profile, model, row)
            assert [config.seed for config in cell] == list(profile.seeds)
            assert {config.modalities for config in cell} == {spectra} and {c.resample for c in cell} == {"blockmax"}


def test_what_is_asked_twice_is_planned_once():
    profile = load_profile("demo")
    row = "IR, 13C-NMR, 1H-NMR"
    assert weighting(profile, "paper") == table_1(profile, "symspectra", row)
    assert weighting(profile, "none") != weighting(profile, "paper")
    assert resampling(profile, "jung_cnn", "blockmax", ("ir", "c13", "h1")) == table_1(profile, "jung_cnn", row)
    # 5 rows, 2 models; 3 linear ones; one without weights. Two seeds each.
    assert len(planned_runs(profile, ["02"])) == 2 * (5 * 2 + 3 + 1)
    assert planned_runs(profile, ["01", "02"]) == list(
        dict.fromkeys(planned_runs(profile, ["01"]) + planned_runs(profile, ["02"]))
    )


def test_notebooks_by_number_or_name():
    assert find_notebooks(None) == list(NOTEBOOKS) == find_notebooks([])
    assert find_notebooks(["02", "01_dataset", "02_performance"]) == ["01_dataset", "02_performance"]
    with pytest.raises(ConfigError, match="there is no notebook '02_perfomance'; did you mean '02_performance'"):
        find_notebooks(["02_perfomance"])

import pytest

from symspectra.config import Config
from symspectra.experiments.plan import planned_runs
from symspectra.experiments.profiles import load_profile
from symspectra.experiments.reproduce import OPTIONS, describe, plan, train_missing


def test_runs_of_a_profile_are_told_apart_by_their_lines():
    assert all(Config().get(name) is not None for name in OPTIONS)
    planned = planned_runs(load_profile("demo"))
    lines = [describe(config) for config in planned]
    assert len(set(lines)) == len(lines)


def test_plan_estimates_runs_that_were_never_trained(tmp_path):
    entries = plan("demo", tmp_path, ["08"])
    assert entries and not any(entry.done for entry in entries)
    assert all(entry.seconds > 0 for entry in entries)
    assert all(entry.seconds is None for entry in plan("open", tmp_path, ["08"]))


def test_what_is_there_is_not_trained_again(tmp_path):
    profile = load_profile("smoke")
    configs = [profile.config("symspectra", modalities=("ir",), epochs=1)]
    assert train_missing(configs, tmp_path, 1, "cpu") == 1
    assert train_missing(configs, tmp_path, 1, "cpu") == 0


def test_a_run_that_fails_is_named(tmp_path):
    config = load_profile("smoke").config("symspectra", modalities=("ir",), molecules=5)
    said = []
    other = config.replace(seed=1)
    with pytest.raises(ValueError, match="split is empty: 5 molecules are too few"):
        train_missing([config, other], tmp_path, 2, "cpu", said.append)
    assert any("failed: symspectra, ir" in text for text in said)

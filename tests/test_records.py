"""A record of runs gives the notebooks what the runs themselves give them, and says so where it cannot."""

import json
from types import SimpleNamespace

import numpy as np
import pyarrow.parquet as pq
import pytest
from conftest import damage, marker_dataset, tiny

from symspectra.config import Config
from symspectra.errors import RunError
from symspectra.exhibits.interpretation import importance, molecule_weights
from symspectra.exhibits.scores import predictions, score
from symspectra.experiments import records
from symspectra.experiments.plan import planned_runs, project
from symspectra.experiments.profiles import load_profile
from symspectra.training.runs import run
from symspectra.training.store import Run, derived, derived_path

CONFIGS = [tiny("jung_cnn"), tiny(seed=0, weight_ramp=1), tiny(seed=1, weight_ramp=1)]
PROFILE = SimpleNamespace(name="smoke")


@pytest.fixture(scope="module")
def data():
    return marker_dataset(90, missing=0.2)


@pytest.fixture(scope="module")
def runs(data, tmp_path_factory):
    """Runs of data of the test's own, filed under their configurations as if these named the data."""
    store = tmp_path_factory.mktemp("store")
    found = [run(config, store, "cpu", data) for config in CONFIGS]
    importance(found[1:], data, most=10, device="cpu")
    return dict(zip(CONFIGS, found, strict=True))


@pytest.fixture
def unpacked(runs, tmp_path, monkeypatch):
    monkeypatch.setattr(records, "planned_runs", lambda profile: CONFIGS)
    monkeypatch.setattr(records, "find_run", lambda config, store: runs.get(config))
    monkeypatch.setattr(records, "name_of", lambda config: f"again{CONFIGS.index(config)}")
    records.pack(PROFILE, runs[CONFIGS[0]].path.parent, tmp_path / "record")
    return records.unpack(PROFILE, tmp_path / "record", tmp_path / "store")


def test_a_record_gives_what_the_runs_give(runs, unpacked, data):
    for before, after in zip(runs.values(), unpacked, strict=True):
        assert after.config == before.config and after.metrics == before.metrics
        assert after.history == before.history and after.environment == before.environment
        for tuned in (False, True):
            one, two = predictions([before], tuned), predictions([after], tuned)
            assert one.molecules.tolist() == two.molecules.tolist() and (one.labels == two.labels).all()
            assert (one.predicted == two.predicted).all()
        assert score([before]).values == score([after]).values
    before, after = (molecule_weights(some, data) for some in ([*runs.values()][1:], unpacked[1:]))
    assert all((one == two).all() for one, two in zip(before, after, strict=True))
    assert unpacked[0].training_weights() is None


def test_what_was_derived_from_weights_needs_them_no_more(runs, unpacked, data):
    with pytest.raises(RunError, match="comes from a record, without trained weights"):
        unpacked[1].load()
    before, after = (importance(some, data, most=10, device="cpu") for some in ([*runs.values()][1:], unpacked[1:]))
    np.testing.assert_array_equal(before.gates, after.gates)
    with pytest.raises(RunError, match="without trained weights"):
        importance(unpacked[1:], data, most=11, device="cpu")


def test_probabilities_lie_on_their_sides_of_both_thresholds():
    steps = np.arange(1, 65_535, 97, dtype=np.float32) / np.float32(65_535)
    threshold = np.concatenate([[0.0, 0.5, 1.0], steps, steps.astype(float) + 1e-8])
    p = np.random.default_rng(0).integers(0, 65_536, (200, len(threshold))).astype(np.float32) / np.float32(65_535)
    p[0], p[1] = threshold, 0.5
    found = records._probability(p >= 0.5, p >= threshold, threshold)
    kept = np.rint(found * 65_535).astype(np.float32) / np.float32(65_535)  # as a run writes it
    assert ((kept >= 0.5) == (p >= 0.5)).all() and ((kept >= threshold) == (p >= threshold)).all()


def test_a_record_that_lacks_runs_is_refused(runs, unpacked, tmp_path, monkeypatch):
    monkeypatch.setattr(records, "planned_runs", lambda profile: [*CONFIGS, tiny(seed=9)])
    with pytest.raises(RunError, match="lacks 1 of the 4 runs that the notebooks need; .* trains"):
        records.unpack(PROFILE, tmp_path / "record", tmp_path / "other")
    with pytest.raises(RunError, match="lacks 1 of the 4 runs of profile smoke"):
        records.pack(PROFILE, tmp_path / "store", tmp_path / "record2")
    damage(tmp_path / "record" / "molecules.parquet", "flipped middle")
    with pytest.raises(RunError, match="cannot be read as the record of profile smoke"):
        records.unpack(PROFILE, tmp_path / "record", tmp_path / "other")
    (tmp_path / "record" / "runs.parquet").write_bytes(b"PAR1")
    with pytest.raises(RunError, match="cannot be read as the record of profile smoke"):
        records.unpack(PROFILE, tmp_path / "record", tmp_path / "other")
    assert not (tmp_path / "other").exists()


def test_derived_values_are_computed_once_for_their_name(runs):
    one, calls = runs[CONFIGS[0]], []

    def compute(run: Run) -> np.ndarray:
        calls.append(run)
        return np.arange(3)

    for name in ("a", "a", "b"):
        assert derived(one, name, compute).tolist() == [0, 1, 2]
    assert len(calls) == 2
    for how in ("flipped middle", "empty", "truncated"):
        damage(kept := derived_path(one, "a", compute.__module__), how)
        with pytest.raises(RunError, match="cannot be read .* delete it to compute it again"):
            derived(one, "a", compute)
        kept.unlink()
        assert derived(one, "a", compute).tolist() == [0, 1, 2]


RECORDED = [path.parent.parent.name for path in project().glob(f"figures/*/{records.FOLDER}/runs.parquet")]


@pytest.mark.parametrize("name", RECORDED)
def test_committed_records_have_all_runs_of_their_profile(name):
    rows = pq.read_table(project() / "figures" / name / records.FOLDER / "runs.parquet", columns=["config"])
    recorded = {Config.from_dict(json.loads(text)) for text in rows["config"].to_pylist()}
    assert set(planned_runs(load_profile(name))) <= recorded

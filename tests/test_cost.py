"""Time and memory: where a number comes from, and what may be concluded from it."""

import numpy as np
import pytest
from scipy.stats import t as t_distribution

from symspectra.config import Config
from symspectra.exhibits.comparison import summarise
from symspectra.exhibits.cost import (
    GPU,
    PROCESS,
    at_full_size,
    better_than_single,
    duration,
    faster,
    gb_text,
    growth,
    hours,
    late_gain,
    manageable,
    marginal_gain,
    memory_gb,
    memory_kind,
    memory_surges,
    seconds,
    time_surges,
)


class Finished:
    """As much of a run as its cost is read from."""

    def __init__(self, time, memory=None, gpu=None, device="CPU, 1 threads", model="symspectra", history=()):
        self.config = Config(model=model)
        self.metrics = {"seconds": time, "peak_memory_mb": memory, "peak_gpu_memory_mb": gpu}
        self.environment = {"device": device}
        self.history = [{"validation_micro_f1": f1} for f1 in history]


def test_time():
    runs = [Finished(3600.0), Finished(7200.0)]
    assert seconds(runs).values == (3600, 7200) and hours(runs).mean == 1.5
    assert [duration(summarise([s])) for s in (4.21, 720, 9720)] == ["4.2 s", "12 min", "2.7 h"]


def test_memory_is_of_the_gpu_where_the_model_is_trained_on_one():
    assert memory_gb([Finished(1, 2048, 1024)]).mean == 1 and memory_kind(Finished(1, 2048, 1024)) == GPU
    assert memory_gb([Finished(1, 2048)]).mean == 2 and memory_kind(Finished(1, 2048)) == PROCESS
    assert memory_gb([Finished(1, 2048, 10, model="xgboost")]).mean == 2  # trees grow on the CPU
    assert gb_text(memory_gb([Finished(1)])) == "not measured" and gb_text(summarise([1.234])) == "1.23"


def test_late_gain_is_of_the_best_epoch():
    run = Finished(1, history=[0.1, 0.5, 0.4, 0.45, 0.6, 0.55])
    assert late_gain([run]).mean == pytest.approx(0.1)
    assert late_gain([Finished(1, history=[0.1, 0.5, 0.4, 0.3, 0.2, 0.1])]).mean == 0
    assert late_gain([Finished(1, history=[0.7])]).mean is None


def test_better_than_a_single_run():
    ours = summarise([0.90, 0.91, 0.92])
    claim = better_than_single("R", "x", ours, summarise([0.8]))
    p = 2 * t_distribution.sf(0.11 / (0.01 / np.sqrt(3)), 2)
    assert claim.verdict == "holds" and f"p = {p:.2g}" in claim.why
    assert better_than_single("R", "x", ours, summarise([0.95])).verdict == "does not hold"
    assert better_than_single("R", "x", ours, summarise([0.909])).verdict == "does not hold"  # three seeds, no support
    assert better_than_single("R", "x", summarise([0.7, 0.9]), summarise([0.7])).verdict == "cannot be tested here"
    one = better_than_single("R", "x", summarise([0.9]), summarise([0.8]))
    assert one.verdict == "cannot be tested here" and "0.900 against 0.800, difference +0.100; one seed" in one.why


def test_faster_needs_half_the_time_on_one_device():
    quick, slow = [Finished(10.0)], [Finished(130.0)]
    assert faster("R", "x", quick, slow).verdict == "holds" and "a ratio of 13" in faster("R", "x", quick, slow).why
    assert faster("R", "x", quick, [Finished(19.0)]).verdict == "does not hold"
    elsewhere = faster("R", "x", quick, [Finished(130.0, device="GPU")])
    assert elsewhere.verdict == "cannot be tested here" and "not on one device" in elsewhere.why


def test_marginal_gain():
    def judged(*means, seeds=2):
        return marginal_gain("R", "x", *(summarise([mean] * seeds) for mean in means))

    assert judged(0.914, 0.970, 0.973).verdict == "holds"  # the paper's own Table 11
    assert judged(0.80, 0.85, 0.90).verdict == "does not hold" and judged(0.9, 0.8, 0.8).verdict == "does not hold"
    one = judged(0.914, 0.970, 0.973, seeds=1)
    assert one.verdict == "cannot be tested here" and "+0.056 from one spectrum to three" in one.why


def test_growth_of_time_and_memory():
    assert growth(summarise([7.0]), summarise([12.1])) == pytest.approx(0.7286, abs=1e-4)
    assert growth(summarise([]), summarise([12.1])) is None
    three, five = [Finished(9720.0, 5000, 7168.0)], [Finished(18000.0, 5500, 12390.0)]
    assert time_surges("R", "x", three, five).verdict == memory_surges("R", "x", three, five).verdict == "holds"
    assert "+85%" in time_surges("R", "x", three, five).why and "+73%" in memory_surges("R", "x", three, five).why
    assert time_surges("R", "x", three, [Finished(10000.0)]).verdict == "does not hold"
    other = [Finished(18000.0, device="another GPU")]
    assert time_surges("R", "x", three, other).verdict == "cannot be tested here"
    cpu = memory_surges("R", "x", [Finished(1, 1000)], [Finished(1, 2000)])
    assert cpu.verdict == "cannot be tested here" and "+100% for the whole process" in cpu.why
    assert memory_surges("R", "x", [Finished(1)], [Finished(1)]).why == "The memory was not measured."


def test_manageable_memory():
    assert manageable("R", "x", summarise([6.9]), 7).verdict == "holds"
    assert manageable("R", "x", summarise([7.1]), 7).verdict == "does not hold"
    assert manageable("R", "x", summarise([]), 7).verdict == "cannot be tested here"


def test_costs_of_reduced_models_are_shown_and_not_judged():
    claim = faster("R", "x", [Finished(10.0)], [Finished(130.0)])
    assert at_full_size(claim, []) == claim
    reduced = at_full_size(claim, ["SymSpectra", "Transformer"])
    assert reduced.verdict == "cannot be tested here" and reduced.why.startswith(claim.why)
    assert "trains SymSpectra and Transformer at a reduced size" in reduced.why
    unmeasured = manageable("R", "x", summarise([]), 7)
    assert at_full_size(unmeasured, ["SymSpectra"]) == unmeasured

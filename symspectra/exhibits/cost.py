"""What a run costs, in time and memory, and whether it was trained to its end (App. R)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from symspectra.exhibits.claims import FAILS, HOLDS, UNTESTED, Claim, decided, untestable
from symspectra.exhibits.comparison import LEVEL, Score, summarise
from symspectra.training.store import Run

FASTER = 2.0  # times
MARGINAL = 0.25  # of the gain before
SURGE = 0.5  # of the cost before
GPU, PROCESS = "peak memory of the GPU", "peak memory of the process"


def seconds(runs: Sequence[Run]) -> Score:
    """Training time, without what is written and tested afterwards."""
    return summarise([run.metrics["seconds"] for run in runs])


def hours(runs: Sequence[Run]) -> Score:
    """Training time in hours."""
    return summarise([run.metrics["seconds"] / 3600 for run in runs])


def memory_kind(run: Run) -> str:
    """Which memory `memory_gb` speaks of: that of the GPU, or of the process where the model is trained on a CPU."""
    gpu = run.config.model.name != "xgboost" and run.metrics.get("peak_gpu_memory_mb") is not None
    return GPU if gpu else PROCESS


def memory_gb(runs: Sequence[Run]) -> Score:
    """Peak memory in GB (`memory_kind`); a `Score` without numbers where it was not measured.

    The memory of a process holds Python, its libraries and the data besides model and gradients.
    """
    keys = ["peak_gpu_memory_mb" if memory_kind(run) == GPU else "peak_memory_mb" for run in runs]
    known = [run.metrics.get(key) for run, key in zip(runs, keys, strict=True)]
    return summarise([mb / 1024 for mb in known if mb is not None])


def gb_text(memory: Score) -> str:
    """``0.53``, or that it was not measured."""
    return "not measured" if memory.mean is None else f"{memory.mean:.2f}"


def duration(time: Score) -> str:
    """Seconds as ``4.2 s``, ``12 min`` or ``2.7 h``."""
    s = time.mean
    return f"{s:.1f} s" if s < 90 else f"{s / 60:.0f} min" if s < 5400 else f"{s / 3600:.1f} h"


def late_gain(runs: Sequence[Run]) -> Score:
    """By how much the best validation micro-F1 rose in the last third of the epochs.

    A model for which it is large would have gained from more epochs. Runs of one epoch have none.
    """
    gains = []
    for run in runs:
        f1 = [epoch["validation_micro_f1"] for epoch in run.history]
        early = 2 * len(f1) // 3
        gains += [max(f1) - max(f1[:early])] if early else []
    return summarise(gains)


def better_than_single(source: str, text: str, ours: Score, single: Score) -> Claim:
    """Is a score over seeds higher than that of one run, whose model draws no random numbers of its own?"""
    from scipy.stats import ttest_1samp

    rule = (
        f"One-sample t-test of the seeds against the other model's one run, at the {LEVEL:.0%} level. Does not hold "
        "when it passes in the reverse direction, or does not pass with three seeds or more. Cannot be tested "
        "otherwise."
    )
    difference = ours.mean - single.mean
    why = f"{ours} against {single}, difference {difference:+.3f}"
    seeds = len(ours.values)
    if seeds < 2 or np.ptp(ours.values) == 0:
        why += "; one seed." if seeds < 2 else "; the seeds have no spread."
        return Claim(source, text, UNTESTED, why, rule)
    p = float(ttest_1samp(ours.values, single.mean).pvalue)
    verdict = HOLDS if p < LEVEL and difference > 0 else FAILS if p < LEVEL or seeds > 2 else UNTESTED
    return Claim(source, text, verdict, f"{why} (p = {p:.2g}); {seeds} seeds.", rule)


def faster(source: str, text: str, quick: Sequence[Run], slow: Sequence[Run]) -> Claim:
    """Does one model train in a fraction of the other's time?"""
    devices = sorted({run.environment["device"] for run in (*quick, *slow)})
    ours, theirs = seconds(quick), seconds(slow)
    times = f"{duration(ours)} against {duration(theirs)}"
    if len(devices) > 1:
        return untestable(source, text, f"{times}, but not on one device: {'; '.join(devices)}.")
    rule = f"The mean training time is at most 1/{FASTER:g} of the other's, on one device."
    why = f"{times}, a ratio of {theirs.mean / ours.mean:.2g} ({devices[0]})."
    return decided(source, text, theirs.mean >= FASTER * ours.mean, why, rule)


def manageable(source: str, text: str, memory: Score, limit: float) -> Claim:
    """Is the memory at most what the paper calls manageable, in GB?"""
    if memory.mean is None:
        return untestable(source, text, "The memory was not measured.")
    return decided(source, text, memory.mean <= limit, f"{gb_text(memory)} GB.", f"At most the paper's {limit:g} GB.")


def at_full_size(claim: Claim, reduced: Sequence[str]) -> Claim:
    """A claim on time or memory, which says nothing where a profile trains some of its models at a reduced size.

    On small models and data, fixed costs and the drawing of spectra, which runs share, are a large part of both.
    """
    if not reduced or claim.verdict == UNTESTED:
        return claim
    why = f"{claim.why} But this profile trains {' and '.join(reduced)} at a reduced size, where the cost says little."
    return untestable(claim.source, claim.text, why)


def marginal_gain(source: str, text: str, one: Score, three: Score, five: Score) -> Claim:
    """Is the gain from three to five spectra small beside that from one to three?"""
    first, second = three.mean - one.mean, five.mean - three.mean
    why = f"{first:+.3f} from one spectrum to three, {second:+.3f} from three to five"
    if min(len(score.values) for score in (one, three, five)) < 2:
        return untestable(source, text, f"{why}, but with one seed neither can be told from noise.")
    rule = f"One to three gains, and three to five gains at most {MARGINAL:.0%} of that (means over the seeds)."
    return decided(source, text, first > 0 and second <= MARGINAL * first, f"{why}.", rule)


def growth(before: Score, after: Score) -> float | None:
    """Relative growth of a cost, 0.73 for 73 %; None where it was not measured."""
    return None if before.mean is None or after.mean is None else after.mean / before.mean - 1


def time_surges(source: str, text: str, before: Sequence[Run], after: Sequence[Run]) -> Claim:
    """Does the training time grow by half or more?"""
    devices = sorted({run.environment["device"] for run in (*before, *after)})
    if len(devices) > 1:
        return untestable(source, text, f"The runs are not on one device: {'; '.join(devices)}.")
    old, new = seconds(before), seconds(after)
    why = f"From {duration(old)} to {duration(new)}, {growth(old, new):+.0%} ({devices[0]})."
    return decided(source, text, growth(old, new) >= SURGE, why, f"It grows by {SURGE:.0%} or more, on one device.")


def memory_surges(source: str, text: str, before: Sequence[Run], after: Sequence[Run]) -> Claim:
    """Does the memory of the GPU grow by half or more? The memory of a whole process cannot tell."""
    old, new, kinds = memory_gb(before), memory_gb(after), {memory_kind(run) for run in (*before, *after)}
    if growth(old, new) is None:
        return untestable(source, text, "The memory was not measured.")
    why = f"From {gb_text(old)} to {gb_text(new)} GB, {growth(old, new):+.0%}"
    if kinds != {GPU}:
        return untestable(source, text, f"{why} for the whole process, of which Python and the data are a large part.")
    return decided(source, text, growth(old, new) >= SURGE, f"{why}.", f"It grows by {SURGE:.0%} or more.")

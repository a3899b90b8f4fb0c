"""How fast models are trained: what `symspectra bench --only training` measured, as rows and as sentences."""

from __future__ import annotations

import json
import math
import shlex
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from symspectra.bench.bench_training import EPOCHS, PLAIN, STACKED
from symspectra.exhibits.cost import GPU, PROCESS, paper_hours, printed_cost
from symspectra.exhibits.paper import paper_table
from symspectra.experiments.plan import MODELS, THREE
from symspectra.modalities import MODALITIES

NUMBERS = ("samples_per_second", "ms_per_step", "first_epoch_seconds", "batch", "epochs")


class BenchError(ValueError):
    """A file of measurements that cannot be read; the message names it and says how to make it again."""


class Row(NamedTuple):
    """A `symspectra.bench.bench_training.Case` with what was measured, or with the reason why it was not."""

    name: str
    model: str
    modalities: tuple[str, ...]
    settings: Mapping[str, Any]
    seeds: int
    path: str
    noise: bool
    samples_per_second: float | None = None  # of all seeds together
    ms_per_step: float | None = None
    first_epoch_seconds: float | None = None
    memory_mb: float | None = None  # peak; None where it is not known
    batch: int | None = None
    epochs: int | None = None  # of the profile
    error: str | None = None

    @property
    def hours(self) -> float | None:
        """Hours for the profile's epochs of the paper's molecules at this rate; None where it was not measured."""
        return None if self.error is not None else paper_hours(self.epochs, self.samples_per_second)

    @property
    def printed(self) -> tuple[float, float] | None:
        """Hours and GB that the paper prints for it, see `symspectra.exhibits.cost.printed_cost`."""
        return printed_cost(self.model, self.modalities)


class Bench(NamedTuple):
    """What was measured at one profile on one device: SymSpectra by several paths, and all models."""

    profile: str
    environment: Mapping[str, str]
    steps: int
    paths: list[Row]
    models: list[Row]

    @property
    def device(self) -> str:
        """Name of the GPU, or ``CPU, 2 threads``."""
        return self.environment["device"]


def bench_path(store: str | Path, profile: str) -> Path:
    """Where the measurements of a profile are expected."""
    return Path(store).resolve() / "bench" / f"{profile}.json"


def bench_command(store: str | Path, profile: str) -> str:
    """The command that writes them there."""
    return f"symspectra bench --only training --profile {profile} --out {shlex.quote(str(bench_path(store, profile)))}"


def how_to_measure(store: str | Path, profile: str) -> str:
    """What to do where there are no measurements."""
    return f"**There are no measurements here**: `{bench_command(store, profile)}` makes and writes them."


def read_bench(store: str | Path, profile: str) -> Bench | None:
    """The measurements of a profile; None where there are none.

    Raises
    ------
    BenchError : the file is damaged, or of another profile.
    """
    path = bench_path(store, profile)
    if not path.exists():
        return None
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        rows = {part: [_row(row) for row in content[part]] for part in ("paths", "models")}
        bench = Bench(content["profile"], dict(content["environment"]), int(content["steps"]), **rows)
        _check(bench, profile)
    except (OSError, ValueError, TypeError, LookupError, OverflowError, RecursionError) as error:
        why = f"no {error}" if isinstance(error, KeyError) else str(error)
        raise BenchError(f"{path} cannot be used ({why}); write it again: {bench_command(store, profile)}") from error
    return bench


def _check(bench: Bench, profile: str) -> None:
    if bench.profile != profile:
        raise ValueError(f"it is of profile {bench.profile!r}, not {profile!r}")
    for name in ("device", "torch"):
        if not isinstance(bench.environment[name], str):
            raise ValueError(f"{name} is {bench.environment[name]!r}, expected text")


def _row(content: Mapping[str, Any]) -> Row:
    known = {name: content[name] for name in Row._fields if name in content}
    row = Row(**{**known, "modalities": tuple(content["modalities"]), "settings": dict(content["settings"])})
    if not all(isinstance(text, str) for text in (row.name, row.path)):
        raise ValueError(f"a row has the name {row.name!r} and the path {row.path!r}, expected text")
    if row.model not in MODELS or not row.modalities or not set(row.modalities) <= set(MODALITIES):
        raise ValueError(f"{row.name}: the model {row.model!r} on {row.modalities} is not known")
    if not isinstance(row.seeds, int) or row.seeds < 1:
        raise ValueError(f"{row.name}: {row.seeds!r} seeds, expected at least 1")
    if row.error is not None:
        return row._replace(error=str(row.error))
    for name in (*NUMBERS, "memory_mb"):
        number = getattr(row, name)
        positive = isinstance(number, int | float) and 0 < number < math.inf
        if not positive and (name, number) != ("memory_mb", None):
            raise ValueError(f"{row.name}: {name} is {number!r}, expected a positive number")
    return row


def single(rows: Iterable[Row]) -> list[Row]:
    """Measured rows of one model at a time."""
    return [row for row in rows if row.error is None and row.path != STACKED]


def at_once(rows: Iterable[Row]) -> dict[int, float]:
    """Number of seeds trained at once -> samples a second of all of them together, where measured."""
    found = {row.seeds: row.samples_per_second for row in rows if row.error is None and row.path == STACKED}
    return dict(sorted(found.items()))


def plain_rate(rows: Iterable[Row]) -> float | None:
    """Samples a second of the plain implementation; None where it was not measured."""
    return next((row.samples_per_second for row in single(rows) if row.path == PLAIN), None)


def ratio_text(ratio: float) -> str:
    """``0.22``, ``2.61``, ``12.3``, ``123``."""
    digits = 2 if ratio < 9.995 else 1 if ratio < 99.95 else 0
    return f"{ratio:,.{digits}f}"


def where(bench: Bench) -> str:
    """What was measured, and on what."""
    batch = next((row.batch for row in single(bench.paths)), None)
    return (
        f"Measured at profile **{bench.profile}** on **{bench.device}** (torch {bench.environment['torch']}): after an "
        f"epoch that is not counted, the median of {EPOCHS} epochs of at most {bench.steps} steps"
        f"{'' if batch is None else f' of {batch} molecules'}. Other devices, other numbers of threads, and a machine "
        "that does something else beside it have other rates: compare only rows of one file."
    )


def not_measured(rows: Iterable[Row]) -> str:
    """The rows that have no numbers, each with the reason."""
    failed = [f"- {row.name}: {row.error}" for row in rows if row.error is not None]
    return "\n".join(["**Not measured:**\n", *failed]) if failed else "Every row was measured."


def findings(bench: Bench) -> list[str]:
    """What the paths gain and cost, in sentences; what was not measured is left out."""
    rows = bench.paths
    return [*_gain(rows), *_noise(rows), *_first_epoch(rows), *_memory(bench), *_seeds(rows)]


def usual(rows: Iterable[Row]) -> list[Row]:
    """Measured paths of the package, in full precision and with noise that is drawn anew."""
    return [r for r in single(rows) if r.path != PLAIN and r.noise and r.settings.get("precision") != "bf16"]


def _fastest(rows: Sequence[Row]) -> Row:
    return max(rows, key=lambda row: row.samples_per_second)


def _rate(row: Row) -> str:
    return f"*{row.name}* ({row.samples_per_second:,.0f} samples/s)"


def _gain(rows: Sequence[Row]) -> list[str]:
    plain, own = plain_rate(rows), [row for row in single(rows) if row.path != PLAIN]
    if not own:
        return []
    best = _fastest(own)
    if plain is None:
        return [f"The fastest path is {_rate(best)}; the plain implementation was not measured."]
    gain = f"{ratio_text(best.samples_per_second / plain)} times as fast as the plain implementation"
    text = f"The fastest path, {_rate(best)}, is {gain} ({plain:,.0f} samples/s)."
    if usual(rows) and best not in usual(rows):
        first = _fastest(usual(rows))
        text += (
            f" Of those in full precision with the noise drawn anew, {_rate(first)} is the fastest: "
            f"{ratio_text(first.samples_per_second / plain)} times."
        )
    return [text]


def _noise(rows: Sequence[Row]) -> list[str]:
    own, found = single(rows), []
    for still in (row for row in own if not row.noise):
        same = (still.path, still.settings)
        for drawn in (row for row in own if row.noise and (row.path, row.settings) == same):
            times = ratio_text(still.samples_per_second / drawn.samples_per_second)
            found.append(f"Without new noise in every epoch, *{drawn.name}* is {times} times as fast.")
    return found


def _first_epoch(rows: Sequence[Row]) -> list[str]:
    compiled = [row for row in single(rows) if row.settings.get("compile")]
    took = ", ".join(f"{row.first_epoch_seconds:.0f} s (*{row.name}*)" for row in compiled)
    return [f"The first epoch, which is not counted, holds the compilation: {took}."] if compiled else []


def _memory(bench: Bench) -> list[str]:
    known = sorted((row.memory_mb, row.name) for row in bench.paths if row.error is None and row.memory_mb is not None)
    if not known:
        return ["The memory was not measured."]
    kind = PROCESS if bench.device.startswith("CPU") else GPU
    (least, small), (most, large) = known[0], known[-1]
    gb = paper_table("table10").loc["SymSpectra", "Memory (GB)"]
    return [
        f"The {kind} is from {least / 1024:.2f} GB (*{small}*) to {most / 1024:.2f} GB (*{large}*); "
        f"the paper prints {gb:.1f} GB."
    ]


def _seeds(rows: Sequence[Row]) -> list[str]:
    rates = at_once(rows)
    most = max(rates, default=1)
    if 1 not in rates or most == 1:
        return []
    longer = ratio_text(most * rates[1] / rates[most])
    text = f"{most} seeds at once take {longer} times as long as one by the same path."
    if usual(rows):
        first = _fastest(usual(rows))
        after = ratio_text(rates[most] / first.samples_per_second)
        text += f" One after the other by *{first.name}*, they would take {after} times as long as at once."
    return [text]


def model_findings(bench: Bench) -> list[str]:
    """How fast the other models are on three spectra, and what two further spectra cost SymSpectra."""
    rates = {(row.model, row.modalities): row.samples_per_second for row in single(bench.models)}
    three, five, found = rates.get(("symspectra", THREE)), rates.get(("symspectra", MODALITIES)), []
    others = {MODELS[model]: rate for (model, spectra), rate in rates.items() if spectra == THREE}
    others.pop(MODELS["symspectra"], None)
    if three and others:
        listed = ", ".join(f"{name} {ratio_text(rate / three)}" for name, rate in others.items())
        found.append(f"On three spectra, as multiples of the rate of SymSpectra ({three:,.0f} samples/s): {listed}.")
    if three and five:
        printed = paper_table("table11")["Time (h)"]
        found.append(
            f"SymSpectra takes {ratio_text(three / five)} times as long on five spectra as on three "
            f"(the paper: {ratio_text(printed['5'] / printed['3'])} times)."
        )
    return found

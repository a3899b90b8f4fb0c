"""Verdicts: does a claim hold, judged from what several runs predict for the same unseen molecules?

Compared are means over the seeds of settings of a model, as a weighted sum of scores: a difference (+1, -1), or the
rise of a line. A verdict speaks of other seeds and of other molecules of the same kind:

    variance = sum of weight^2 (seed variance / seeds) + (variance over molecules - the part that both contain)

- Seed variance is pooled over all settings of the model with two seeds or more, so one seed of a setting suffices: it
  is taken to spread like the others. Equality is checked (Bartlett). Where it is refuted (p < 0.05), a setting has its
  own variance, drawn towards that of the others (Smyth 2004) but never below its own. Few seeds cannot show that a
  setting spreads more: of two that spread three times as much as others, the size is not 0.05 but 0.27 with two seeds,
  0.18 with three and 0.10 with five.
- Molecules: the influence of each on the score (jackknife), summed over clusters such as scaffolds where molecules are
  alike. A score that rests on few of them (`symspectra.exhibits.scores.LEAST`) has no verdict.
- That a seed does well on some molecules is part of both variances, and is subtracted once (Owen 2007).
- A seed gives all settings with layers of the same sizes, on the same spectra, the same start and samples: a block.
  Where settings of a block are compared, what a seed does to all of them cancels, and the variance is that of what is
  left (two-way analysis of variance, from `BLOCKS` settings on). Otherwise a block tells no more of the seeds than one
  setting. Seeds of different models and blocks are independent. Seeds that not all have are left out.
- A model with two seeds of one or two blocks on these molecules, such as those of another split, tells too little of
  its own seeds: it is taken to spread like the models that it is compared with, but never less than its own seeds did.
- Student's t with Satterthwaite's degrees of freedom; Holm's correction over the rows of a claim; the interval of a row
  has the level at which Holm's procedure tests it.
- "No difference" is shown by two one-sided tests against a margin (Schuirmann 1987), never by the failure of a test.

Smyth, Stat. Appl. Genet. Mol. Biol. 3 (2004) 3; Owen, Ann. Appl. Stat. 1 (2007) 386; Schuirmann, J. Pharmacokinet.
Biopharm. 15 (1987) 657.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np
import pandas as pd
import seaborn as sns
from jaxtyping import Float
from matplotlib.figure import Figure
from scipy import optimize, special, stats

from symspectra.exhibits.scores import Scored
from symspectra.exhibits.style import PAGE, canvas, legend_outside, styled
from symspectra.training.metrics import holm

HOLDS, FAILS, UNDECIDED, UNTESTED = OUTCOMES = "holds", "does not hold", "undecided", "not testable here"
COLOURS = dict(zip(OUTCOMES, ("#009E73", "#D55E00", "#E69F00", "#999999"), strict=True))
MARGIN = 0.01  # of micro-F1: smaller differences do not count
LEVEL, POWER, DOUBT = 0.05, 0.8, 0.05
BLOCKS = 4  # settings of a block that tell what a seed does to all of them
FEW = 3  # degrees of freedom that tell how the seeds of a model spread
WITHOUT_CHANCE = {"xgboost"}  # models that draw no random numbers: one run is all there is


class NoVerdict(ValueError):
    """Nothing can be concluded; the message says why, and what to do."""


Terms = Sequence[tuple[float, Scored]]  # weights and scores: a row of a claim


class Effect(NamedTuple):
    """A weighted sum of scores, its variance by source, degrees of freedom, and how seeds spread, in words."""

    difference: float
    of_seeds: float
    of_molecules: float
    df: float
    seeds: int
    molecules: int
    note: str


@dataclass(frozen=True)
class Verdict:
    """One of `OUTCOMES` on a claim, or on one of its rows, whose name is then the text.

    A positive difference is on the paper's side. The numbers of a claim are those of the row that decides it. ``needs``
    are the seeds and molecules that decide with 80 % power if the difference is the one seen.
    """

    source: str
    text: str
    outcome: str
    sentence: str
    difference: float | None = None
    low: float | None = None
    high: float | None = None
    p: float | None = None
    seeds: int = 0
    molecules: int = 0
    needs: tuple[int, int] | None = None
    rows: tuple[Verdict, ...] = field(default=(), repr=False)

    @property
    def interval(self) -> str:
        """The difference and its interval, ``+0.012 [+0.004, +0.020]``; empty where there is none."""
        return "" if self.low is None else f"{self.difference:+.3f} [{self.low:+.3f}, {self.high:+.3f}]"


def difference(first: Scored, second: Scored) -> Terms:
    """The row of a claim: how much better is the first score, which the paper finds better?"""
    return [(1.0, first), (-1.0, second)]


def rise(points: Mapping[float, Terms]) -> Terms | str:
    """The row of a claim: how much do scores, or differences of scores, rise along a setting?

    From end to end of the line through their ranks. Points may tie; for a fall, negate the setting. Points with a
    problem are left out; a trend needs three.
    """
    known = [point for _, point in sorted(points.items()) if not any(scored.problem for _, scored in point)]
    if len(known) < 3:
        return f"{len(known)} of {len(points)} points have a score, a trend needs three: train or test more points"
    x = np.arange(len(known)) - (len(known) - 1) / 2
    slope = (x * np.ptp(x) / (x @ x)).tolist()
    return [(along * weight, scored) for along, point in zip(slope, known, strict=True) for weight, scored in point]


def contrast(terms: Terms, known: Sequence[Scored] = (), across: bool = False) -> Effect:
    """A weighted sum of scores and its variance; ``known`` are further scores, which tell how the seeds spread.

    With ``across``, the scores may be of different test sets; what these share is paired.

    Raises
    ------
    NoVerdict : nothing can be concluded; the message says what to do.
    """
    first = terms[0][1]
    runs: dict[tuple, list] = {}
    if problem := next((scored.problem for _, scored in terms if scored.problem), ""):
        raise NoVerdict(problem)
    drawn = [set(scored.seeds) for _, scored in terms if scored.model not in WITHOUT_CHANCE]
    shared = sorted(set.intersection(*drawn)) if drawn else []
    for weight, scored in terms:
        names = f"{first.model} and {scored.model}"
        if scored.test_set != first.test_set and not across:
            raise NoVerdict(
                f"{names} have predictions of other molecules: predict the same ones, in the same order, with both"
            )
        if not shared and scored.model not in WITHOUT_CHANCE:
            lack = sorted({*scored.seeds, *first.seeds})
            raise NoVerdict(f"{names} have different seeds: train seed {', '.join(map(str, lack))} of both")
        runs.setdefault((scored.model, scored.setting), []).append((weight, _of_seeds(scored, shared)))
    balance: Counter = Counter()
    for weight, scored in (one for own in runs.values() for one in own):
        balance[scored.model, scored[2:4]] += weight
    unbalanced = {model for (model, _), weight in balance.items() if abs(weight) > 1e-9}
    blocks = {(scored.model, scored.block) for own in runs.values() for _, scored in own}
    shelf = {s[:4]: s for s in (*known, *(s for _, s in terms)) if not s.problem}
    value, parts, common, notes, means = 0.0, {}, 0.0, {}, []
    for (model, setting), own in runs.items():
        n = len(own[0][1].seeds)
        value += _added(own, "values").mean()
        means += [(weight * scored.influence.mean(0), scored.units) for weight, scored in own]
        if model in WITHOUT_CHANCE:
            continue
        peers = {}
        for other in sorted({key[:2] for key in shelf if key[0] not in WITHOUT_CHANCE}):
            alike = [(weight, shelf.get((*other, *scored[2:4]))) for weight, scored in own]
            if all(scored and scored.seeds == alike[0][1].seeds for _, scored in alike):
                peers[other] = alike
        one = sum(name == model for name, _ in blocks) == 1 and model not in unbalanced
        variance, df, source, interaction, note = _seed_variance(peers, model, setting, own[0][1].block, one)
        parts[source] = parts.get(source, (0.0, df))[0] + variance / n, df
        common += interaction / n
        notes[note] = None
    mean = _over_units(means)
    units = len(mean)
    of_molecules = max(mean @ mean * units / (units - 1) - common, 0.0)
    v, df = np.array([*parts.values(), (of_molecules, units - 1)]).T
    df = v.sum() ** 2 / (v**2 / df).sum() if v.any() else units - 1  # Satterthwaite
    seeds = max(len(own[0][1].seeds) for own in runs.values())
    return Effect(value, v[:-1].sum(), of_molecules, df, seeds, first.molecules, "; ".join(notes))


def _of_seeds(scored: Scored, seeds: Sequence[int]) -> Scored:
    """The score of some of its seeds, where it has others too."""
    if scored.model in WITHOUT_CHANCE or len(seeds) == len(scored.seeds):
        return scored
    at = [scored.seeds.index(seed) for seed in seeds]
    return scored._replace(seeds=tuple(seeds), values=scored.values[at], influence=scored.influence[at])


def _over_units(parts: Sequence[tuple[np.ndarray, np.ndarray | None]]) -> np.ndarray:
    """Influences added up by molecule or cluster, of which every part names its own."""
    if all(names is parts[0][1] for _, names in parts):
        return sum(part for part, _ in parts)
    names, place = np.unique(np.concatenate([names for _, names in parts]), return_inverse=True)
    return np.bincount(place, np.concatenate([part for part, _ in parts]), len(names))


def _added(terms: Terms, name: str) -> np.ndarray:
    """Values or influences of weighted scores, added seed by seed."""
    return sum(weight * getattr(scored, name) for weight, scored in terms)


def _seed_variance(
    peers: Mapping[tuple[str, str], Terms], model: str, setting: str, block: str, cancels: bool
) -> tuple[float, float, tuple[str, ...], float, str]:
    """Variance of one seed, degrees of freedom, of what it is; its part that changes with the molecules; a note.

    ``peers`` are of settings by model and name. One estimate has one name, however many settings use it. ``cancels``:
    without what a seed does to all settings of the block.
    """
    peers = {name: terms for name, terms in peers.items() if len(terms[0][1].seeds) > 1}
    own = {name: terms for name, terms in peers.items() if name[0] == model}
    if not own:
        raise NoVerdict(f"no setting of {model} has a second seed on these molecules: train one, better several")
    freedom = {terms[0][1].block or name: len(terms[0][1].seeds) - 1 for name, terms in own.items()}
    borrows = sum(freedom.values()) < FEW and not (cancels and len(own) >= BLOCKS)
    peers, setting = peers if borrows else own, (model, setting)
    first = {name: terms[0][1] for name, terms in peers.items()}
    alike = Counter(s.seeds for s in first.values() if s.block == block and block)
    seeds, n = max(alike.items(), key=lambda item: item[1], default=((), 0))
    cancels = cancels and n >= BLOCKS
    if cancels:
        peers = {
            name: terms for name, terms in peers.items() if (first[name].block, first[name].seeds) == (block, seeds)
        }
    values = [_added(terms, "values") for terms in peers.values()]
    left = 1 - 1 / n if cancels else 1.0  # (settings - 1) (seeds - 1) degrees of freedom
    if cancels:
        values = np.array(values) - np.mean(values, axis=0)
    one = {name: name if cancels else (name[0], first[name].block or name[1]) for name in peers}  # what is drawn once
    names, which = np.unique(["\n".join(name) for name in one.values()], return_inverse=True)
    members = np.bincount(which)
    d = np.bincount(which, [len(value) - 1.0 for value in values]) / members * left
    v = np.bincount(which, [value.var(ddof=1) for value in values]) / members / left
    pooled, p = d @ v / d.sum(), equality(v, d)
    what = f"{len(d)} {'setting' if cancels or not block else 'block'}{'s' * (len(d) > 1)}"
    what += " of the models compared" * (len({name[0] for name in peers}) > 1)
    note = f"seeds of {model} spread by {np.sqrt(pooled):.2g} ({'beside what they share, ' * cancels}SD over {what}"
    note += ")" if np.isnan(p) else f", {'un' if p < DOUBT else ''}equal: Bartlett p = {p:.2g})"
    place = np.flatnonzero(names == "\n".join(one.get(setting, (model, block))))
    spread, df = (v[place[0]], d[place[0]]) if len(place) else (pooled, 0.0)
    chosen = {setting: own[setting]} if setting in own else own
    parts = [_added(terms, "influence") for terms in chosen.values()]
    interaction = sum(((part - part.mean(0)) ** 2).sum() for part in parts) / sum(len(part) - 1 for part in parts)
    interaction *= not cancels  # that of a difference may be less than that of both
    if not p < DOUBT:
        if borrows and spread > pooled:
            return spread, d.sum(), setting, interaction, note
        return pooled, d.sum(), () if borrows else (model,), interaction, note
    prior, freedom = _prior(v, d)
    drawn = pooled if np.isinf(freedom) else (freedom * prior + df * spread) / (freedom + df)
    return max(drawn, spread), min(freedom + df, d.sum()), setting, interaction, note


def equality(v: Float[np.ndarray, " setting"], d: Float[np.ndarray, " setting"]) -> float:
    """Bartlett's p-value that variances with d degrees of freedom are equal; NaN where there is nothing to compare."""
    if len(v) < 2 or not v.any():
        return np.nan
    v = np.maximum(v, 1e-5 * v.mean())  # a setting without spread
    statistic = d.sum() * np.log(d @ v / d.sum()) - d @ np.log(v)
    return stats.chi2.sf(statistic / (1 + ((1 / d).sum() - 1 / d.sum()) / (3 * (len(d) - 1))), len(d) - 1)


def _prior(v: Float[np.ndarray, " setting"], d: Float[np.ndarray, " setting"]) -> tuple[float, float]:
    """Smyth's prior of the variances, from the moments of their logarithms: its centre and its degrees of freedom."""
    e = np.log(np.maximum(v, 1e-5 * v.mean())) - special.digamma(d / 2) + np.log(d / 2)
    excess = e.var(ddof=1) - special.polygamma(1, d / 2).mean()
    if excess <= 1e-6:
        return np.exp(e.mean()), np.inf
    half = optimize.brentq(lambda x: special.polygamma(1, x) - excess, 1e-4, 1e7)
    return np.exp(e.mean() + special.digamma(half) - np.log(half)), 2 * half


def judge(
    source: str,
    text: str,
    rows: Mapping[str, Terms | str],
    known: Sequence[Scored] = (),
    margin: float = MARGIN,
    across: bool = False,
) -> Verdict:
    """The verdict on a claim, from the interval of each of its rows.

    A row holds when its interval lies above zero; it does not hold when the interval lies below, or when the difference
    is shown to be within the margin, as on a plateau; undecided otherwise. The claim holds when every row does, and
    does not hold when one row does not.

    Parameters
    ----------
    rows : name -> `difference`, `rise`, other weights and scores, or a sentence that says why there are none
    known : all scores at hand, of any setting
    margin : differences below it do not count; the default is for micro-F1
    across : as in `contrast`
    """
    effects, judged = {}, {}
    for name, terms in rows.items():
        try:
            if isinstance(terms, str):
                raise NoVerdict(terms)
            effects[name] = contrast(terms, known, across)
        except NoVerdict as error:
            judged[name] = Verdict(source, name, UNTESTED, f"No verdict: {error}.")
    for name, row in zip(effects, _tested(list(effects.values()), margin), strict=True):
        judged[name] = replace(row, source=source, text=name)
    if not rows:
        return Verdict(source, text, UNTESTED, "No verdict: there are no runs: train what the claim compares.")
    found = Counter(row.outcome for row in judged.values())
    outcome = next(outcome for outcome in (FAILS, UNTESTED, UNDECIDED, HOLDS) if found[outcome])
    alike = [row for row in judged.values() if row.outcome == outcome]
    row = min(alike, key=lambda row: row.difference or 0)
    counts = [f"Holds in {found[HOLDS]} of {len(rows)} rows", *(f"{o} in {found[o]}" for o in OUTCOMES[1:] if found[o])]
    sentence = row.sentence if len(rows) == 1 else f"{', '.join(counts)}. {row.text}: {row.sentence}"
    return replace(row, text=text, sentence=sentence, rows=tuple(judged[name] for name in rows))


def _tested(effects: Sequence[Effect], margin: float) -> list[Verdict]:
    """The rows of a claim, tested together."""
    d, df = np.array([(effect.difference, effect.df) for effect in effects]).reshape(-1, 2).T
    se = np.array([max(effect.of_seeds + effect.of_molecules, 1e-24) ** 0.5 for effect in effects])
    p = 2 * stats.t.sf(abs(d) / se, df)
    p_same = stats.t.sf((margin - abs(d)) / se, df)  # the larger p of the two one-sided tests
    levels, left = np.full(len(d), LEVEL), len(d)
    for row in np.argsort(p, kind="stable"):  # Holm: the smallest p is tested first, at 0.05 / rows
        levels[row] = LEVEL / left
        left -= p[row] < levels[row]
    t = stats.t.isf(levels / 2, df)
    p, p_same = np.array(holm(p.tolist())), np.array(holm(p_same.tolist()))
    reach = np.maximum(abs(d), margin - abs(d))
    outcomes = np.where(d > t * se, HOLDS, np.where((d < -t * se) | (p_same < LEVEL), FAILS, UNDECIDED))
    quantile = stats.norm.isf(levels / 2) + stats.norm.ppf(POWER)
    goal = (np.maximum(reach, margin / 10) / quantile) ** 2  # the variance that would decide
    rows = []
    for k, effect in enumerate(effects):
        outcome, low, high = str(outcomes[k]), float(d[k] - t[k] * se[k]), float(d[k] + t[k] * se[k])
        sentence = f"{d[k]:+.3f}, {100 - 100 * levels[k]:.4g} % interval [{low:+.3f}, {high:+.3f}], p = {p[k]:.2g}"
        sentence += f" ({effect.seeds} seed{'s' * (effect.seeds > 1)}, {effect.molecules:,} molecules; {effect.note})."
        needs = None
        if outcome == UNDECIDED:
            more = 1 if effect.of_molecules < goal[k] / 2 else 2 * effect.of_molecules / goal[k]
            seeds = effect.of_seeds * effect.seeds / (goal[k] - effect.of_molecules / more)
            needs = max(effect.seeds, int(np.ceil(seeds))), int(np.ceil(effect.molecules * more))
            sentence += f" About {needs[0]} seeds and {needs[1]:,} molecules would decide it."
        elif outcome == FAILS and low <= 0 <= high:
            sentence += f" Smaller than {margin:g} is shown."
        rows.append(Verdict("", "", outcome, sentence, float(d[k]), low, high, float(p[k]), effect.seeds,
                            effect.molecules, needs))  # fmt: skip
    return rows


def table(verdict: Verdict) -> pd.DataFrame:
    """The rows of a claim: row, difference, low, high, p, verdict."""
    rows = [(row.text, row.difference, row.low, row.high, row.p, row.outcome) for row in verdict.rows or (verdict,)]
    frame = pd.DataFrame(rows, columns=["row", "difference", "low", "high", "p", "verdict"])
    return frame.astype(dict.fromkeys(["difference", "low", "high", "p"], float))


@styled
def forest(verdicts: Sequence[Verdict]) -> Figure:
    """Every claim with the difference and interval of its deciding row, on one page; squares are judged by a rule."""
    frame = pd.concat([table(replace(verdict, rows=())) for verdict in verdicts], ignore_index=True)
    frame["place"] = -np.arange(len(frame))
    size = min(6.0, 600 / len(frame))
    figure, axes = canvas((PAGE, min(9.5, 0.8 + 0.16 * len(frame))))
    axes.axvspan(-MARGIN, MARGIN, color="0.92", zorder=0)
    axes.axvline(0, color="0.4", linewidth=0.8)
    axes.hlines(frame.place, frame.low, frame.high, colors=frame.verdict.map(COLOURS), linewidth=1.2)
    frame["drawn"] = np.where(frame.low.isna() & (frame.verdict != UNTESTED), "by a rule", "")
    points = frame.fillna({"difference": 0.0})
    looks = {"hue_order": OUTCOMES, "palette": COLOURS, "style_order": OUTCOMES}
    for number, (drawn, part) in enumerate(points.groupby("drawn")):
        looks["markers"] = ["s" if drawn else "o"] * 3 + ["X"]
        style = {"hue": "verdict", "style": "verdict", "s": 3 * size, "legend": not number, **looks}
        sns.scatterplot(part, x="difference", y="place", ax=axes, **style)
    axes.set_xscale("symlog", linthresh=2 * MARGIN)
    axes.set_xticks([-1, -0.1, 0, 0.1, 1])
    axes.xaxis.set_major_formatter("{x:g}")
    names = [f"{verdict.source}: {verdict.text}" for verdict in verdicts]
    names = [name if len(name) <= 84 else f"{name[:81]}..." for name in names]
    axes.set_yticks(frame.place, names, fontsize=size)
    axes.set(xlim=(-1.5, 1.5), ylim=(-len(frame) + 0.3, 0.7), ylabel="", xlabel="difference (right: as the paper says)")
    legend_outside(figure, axes, 4, loc="outside upper center", frameon=False)
    return figure

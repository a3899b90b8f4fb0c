"""Models on spoiled spectra: the score is that of the model on those spectra, and the rules are the stated ones."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from conftest import marker_dataset
from test_verdicts import predictions

from symspectra.datasets.base import ArrayDataset
from symspectra.datasets.views import Corrupted
from symspectra.exhibits.claims import Judge
from symspectra.exhibits.robustness import blind_score, corrupted, learned, no_collapse, no_sharp_drop
from symspectra.exhibits.scores import score
from symspectra.exhibits.verdicts import UNTESTED
from symspectra.experiments.profiles import load_profile
from symspectra.training.fit import predict
from symspectra.training.metrics import multilabel_metrics


def test_score_is_that_of_each_model_on_the_spoiled_spectra(trained):
    data, runs = trained
    assert score(corrupted(runs, data, device="cpu")).values == pytest.approx(score(runs).values)
    view, rows = Corrupted(data, 1.0, ("c13",)), data.rows("test")
    expected = [multilabel_metrics(data.y[rows], predict(r.load(), view, rows))["micro_f1"] for r in runs]
    spoiled = score(corrupted(runs, data, 1.0, ["c13"], "cpu"))
    assert spoiled.values == pytest.approx(expected) and spoiled.values != score(runs).values


def test_data_of_other_spectra_are_refused(trained):
    other = marker_dataset(12, ("ir", "h1"))
    with pytest.raises(ValueError, match=r"reads \('ir', 'c13'\), the data set has \('ir', 'h1'\)"):
        corrupted(trained[1], other, device="cpu")


def test_blind_score_names_the_groups_that_most_training_molecules_have():
    y = torch.zeros(4, 37, dtype=torch.bool)
    y[:, 0], y[0, 1], y[2, 2] = True, True, True  # group 1 in half of the training molecules, group 2 in none
    x, present = torch.rand(4, 1, 600), torch.ones(4, 1, dtype=torch.bool)
    split = ["train", "train", "test", "test"]
    assert blind_score(ArrayDataset(x, present, y, "abcd", split, ["ir"])) == pytest.approx(2 * 2 / (3 + 4))


SPOILED = predictions(np.random.default_rng(0), [0.9, 0.8, 0.7, 0.6, 0, -1.5] * 5, 3000, 8)
SPOILED = [replace(p, setting=str(k // 6), condition=str(k % 6)) for k, p in enumerate(SPOILED)]
LEVELS = [score(p) for p in SPOILED[:6]]
FULL, JUDGE = LEVELS[0], Judge(load_profile("smoke"), "nowhere")
JUDGE.others = SPOILED[6:]


@pytest.mark.parametrize(
    ("without", "blind", "outcome"),
    [({"IR": 1, "1H": 2}, 0.1, "holds"), ({"IR": 5, "1H": 2}, 0.1, "does not hold"), ({"IR": 1}, 0.99, UNTESTED)],
)
def test_no_collapse(without, blind, outcome):
    claim = learned(no_collapse(JUDGE, "J", "x", FULL, {name: LEVELS[k] for name, k in without.items()}), FULL, blind)
    assert claim.outcome == outcome and (len(claim.rows) == len(without) or "not learned enough" in claim.sentence)


@pytest.mark.parametrize(
    ("steps", "blind", "outcome"),
    [([0, 1, 2, 3], 0.1, "holds"), ([0, 1, 5, 5], 0.1, "does not hold"), ([0, 1, 2], 0.99, UNTESTED)],
)
def test_no_sharp_drop_and_decline(steps, blind, outcome):
    curve = {k / 10: LEVELS[step] for k, step in enumerate(steps)}
    smooth, falls = no_sharp_drop(JUDGE, "J", "x", curve), JUDGE.trend("J", "x", curve, "falls")
    assert learned(smooth, FULL, blind).outcome == outcome
    assert learned(falls, FULL, blind).outcome == (UNTESTED if outcome == UNTESTED else "holds")

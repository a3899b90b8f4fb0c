"""Plausibility: counts of broken implications by hand, real molecules break none, the picture is legible."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from symspectra.config import Config
from symspectra.datasets import base as datasets
from symspectra.exhibits.plausibility import broken_implications, over_seeds, plausibility
from symspectra.exhibits.scores import Predictions
from symspectra.groups.table8 import IMPLICATIONS, NAMES, label

ACID, ALCOHOL, ESTER, ETHER, PHENOL = (
    NAMES.index(n) for n in ("Carboxylic acid", "Alcohol", "Ester", "Ether", "Phenol")
)


def predicted(*molecules):
    y_hat = np.zeros((len(molecules), 37), dtype=bool)
    for row, groups in enumerate(molecules):
        y_hat[row, list(groups)] = True
    return y_hat


FOUR = predicted([ACID], [ACID, ALCOHOL], [ACID, PHENOL, ESTER], [ALCOHOL, ETHER])


def of(*seeds):
    """Predictions of runs that were tested on so many molecules."""
    n = min(map(len, seeds))
    found = np.array([seed[:n] for seed in seeds])
    return Predictions("m", "s", tuple(range(len(seeds))), np.arange(n), found[0], found)


def test_counts_by_hand():
    found = plausibility(FOUR)
    assert found.implications["Carboxylic acid -> Alcohol"] == (3, 2, 2 / 3)
    assert found.implications["Phenol -> Alcohol"] == (1, 1, 1.0)
    assert found.implications["Ester -> Ether"] == (1, 1, 1.0)
    assert found.implications["Enol -> Alcohol"] == (0, 0, None)
    assert found.total == (5, 4, 0.8)
    assert found.molecules == 0.5
    assert found.by_chance == pytest.approx((3 * 0.5 + 0.5 + 0.75) / 5)  # half lack alcohol, 3 of 4 ether


def test_nothing_predicted_breaks_nothing():
    found = plausibility(predicted([], [ALCOHOL]))
    assert found.total == (0, 0, None) and found.by_chance is None and found.molecules == 0


@given(arrays(bool, st.tuples(st.integers(1, 8), st.just(37))))
def test_adding_the_conclusions_leaves_nothing_broken(y_hat):
    before = plausibility(y_hat)
    assert before.total.broken == sum(cell.broken for cell in before.implications.values())
    assert (before.molecules > 0) == (before.total.broken > 0)
    for premise, conclusion in IMPLICATIONS:
        y_hat[:, conclusion] |= y_hat[:, premise]
    after = plausibility(y_hat)
    assert after.total.broken == 0 and after.molecules == 0 and after.total.premises == before.total.premises


def test_molecules_of_the_data_set_break_none():
    if not (datasets.OPEN_DIRECTORY / "manifest.json").exists():
        pytest.skip("the line lists of the open data set are not in symspectra/data/open")
    data = datasets.load_dataset(Config(molecules=300, modalities=("ir",)))
    truth = plausibility(data.y.numpy())
    assert truth.total.premises > 50 and truth.total.broken == 0


def test_molecules_with_each_premise_break_none():
    smiles = ["CC(=O)OC(C)=O", "CC(=O)Cl", "CC(O)=O", "NC=C", "OC=C", "CC(=O)OC", "Oc1ccccc1"]
    truth = plausibility(label(smiles))
    assert all(cell.premises > 0 for cell in truth.implications.values()) and truth.total.broken == 0


@pytest.mark.parametrize("y_hat", [np.zeros((2, 36), bool), np.zeros((2, 37)), np.zeros((0, 37), bool)])
def test_other_arrays_are_refused(y_hat):
    with pytest.raises(ValueError, match=r"expected \(molecules, 37\) of bool"):
        plausibility(y_hat)


def test_seeds_without_a_premise_have_no_share():
    found = over_seeds(of(FOUR, predicted([ALCOHOL], [], [], [])))
    assert found.broken.values == (0.8,) and found.molecules.values == (0.5, 0.0)
    assert found.pooled.total == (5, 4, 0.8) and found.pooled.molecules == 0.25


def test_figure_writes_every_number_and_cuts_none():
    models = {
        "SymSpectra, IUPAC": over_seeds(of(FOUR, FOUR)),
        "SymSpectra, each label alone": over_seeds(of(FOUR)),
        "1D-CNN": over_seeds(of(predicted([ALCOHOL]))),
    }
    figure = broken_implications(models, {"1D-CNN": "#E69F00"})
    texts = [text.get_text() for ax in figure.axes for text in ax.texts]
    assert "66.7\nof 6" in texts and "80.0" in texts and "no premise predicted" in texts and texts.count("none") > 7

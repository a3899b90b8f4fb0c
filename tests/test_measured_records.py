"""The table of measured spectra, what is left out of it, and the processes that fill it."""

from __future__ import annotations

from collections import Counter

import pytest
from rdkit import Chem

from symspectra.datasets.measured.records import (
    Measurement,
    Reject,
    Rejected,
    checked_peaks,
    structure_of,
)
from symspectra.parallel import Workers, chunked


def outcomes(read):
    """The spectra that a reader gives, and what it leaves out."""
    found = list(read)
    return [r for r in found if isinstance(r, Measurement)], [r for r in found if isinstance(r, Rejected)]


def reasons(rejects):
    return dict(Counter(reject.reason for reject in rejects))


@pytest.mark.parametrize(
    ("x", "y", "modality", "reason"),
    [
        ([], [], "c13", "no peaks"),
        ([20.0], [0.0], "c13", "no peaks"),
        ([20.0], [1e-60], "c13", "no peaks"),
        ([20.0, 30.0], [1.0], "c13", "peak not readable"),
        (["20", "x"], [1.0, 1.0], "c13", "peak not readable"),
        ([[20.0]], [[1.0]], "c13", "peak not readable"),
        ([float("nan")], [1.0], "c13", "peak not readable"),
        ([20.0], [float("inf")], "c13", "peak not readable"),
        ([20.0], [1e39], "c13", "peak not readable"),
        ([20.0], [-1.0], "c13", "negative intensity"),
        ([300.5], [1.0], "c13", "peak out of range"),
        ([-6.0], [1.0], "h1", "peak out of range"),
        ([-0.1], [1.0], "ms", "peak out of range"),
    ],
)
def test_peaks_that_cannot_be_are_rejected(x, y, modality, reason):
    with pytest.raises(Reject) as error:
        checked_peaks(x, y, modality)
    assert str(error.value) == reason


def test_structures_lose_stereochemistry_isotopes_and_explicit_hydrogen():
    expected = ("BPHPUYQFMNQIOC", "CC(C)SC1OC(CO)C(O)C(O)C1O")
    assert structure_of("CC(C)S[C@@H]1O[C@H](CO)[C@H](O)[C@H](O)[C@H]1O") == expected
    assert structure_of("[2H]C([2H])([2H])C(C)SC1OC(CO)C(O)C(O)C1O") == expected
    assert structure_of("[H]C([H])([H])CO") == structure_of("InChI=1S/C2H6O/c1-2-3/h3H,2H2,1H3", Chem.MolFromInchi)


@pytest.mark.parametrize(
    ("smiles", "reason"),
    [
        ("CCO)", "structure not readable"),
        ("CCO ethanol", "structure not readable"),
        ("", "structure not readable"),
        ("[H][H]", "structure not readable"),
        ("CN(C)(C)(C)C", "structure not readable"),
        ("[Na+].CC(=O)[O-]", "several components"),
        ("C" * 501, "structure too large"),
        ("*CC", "no InChIKey"),
        ("CN(O)C=C1C=Cp(=O)C=C1", "structure not readable"),
    ],
)
def test_structures_that_are_not_used(smiles, reason):
    with pytest.raises(Reject) as error:
        structure_of(smiles)
    assert str(error.value) == reason


@pytest.mark.parametrize("number", [1, 2])
def test_workers_give_results_in_order_and_read_little_ahead(number):
    taken = []

    def pieces():
        for i in range(20):
            taken.append(i)
            yield [i, -i]

    with Workers(number) as workers:
        results = workers.in_order(max, pieces())
        assert next(results) == 0
        assert len(taken) <= 2 * number + 1
        assert list(results) == list(range(1, 20))


def test_chunks_hold_everything_once():
    assert list(chunked(range(5), 2)) == [[0, 1], [2, 3], [4]]
    assert list(chunked([], 2)) == []
    with pytest.raises(ValueError, match="workers is 0"):
        Workers(0)

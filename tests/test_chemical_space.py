import numpy as np
import pytest

from symspectra.exhibits.chemical_space import beside_their_own, embed, similarity_curves, split_map


@pytest.fixture(scope="module")
def two_kinds():
    """60 fingerprints: the first half has bits 0 to 99, the other half bits 1000 to 1099, each half of them."""
    bits = np.zeros((60, 2048), dtype=bool)
    random = np.random.default_rng(0).random((60, 100)) < 0.5
    bits[:30, :100], bits[30:, 1000:1100] = random[:30], random[30:]
    return bits


def test_like_molecules_lie_close(two_kinds):
    rows, xy = embed(two_kinds)
    assert rows.tolist() == list(range(60)) and xy.shape == (60, 2) and np.isfinite(xy).all()
    distance = np.linalg.norm(xy[:, None] - xy, axis=2) + 1e9 * np.eye(60)
    assert ((distance.argmin(1) < 30) == (np.arange(60) < 30)).all()
    np.testing.assert_array_equal(embed(two_kinds)[1], xy)


def test_many_molecules_are_thinned(two_kinds):
    rows, xy = embed(two_kinds, sample=20)
    assert len(rows) == len(xy) == 20 and (np.diff(rows) > 0).all()
    assert not np.array_equal(embed(two_kinds, sample=20, seed=1)[0], rows)


@pytest.fixture
def places():
    return np.random.default_rng(0).normal(size=(40, 2)) + np.repeat([[0, 0], [6, 0]], [30, 10], axis=0)


def test_map_shows_every_molecule_and_contours_round_its_kind(places):
    in_test = np.arange(40) >= 30
    figure = split_map(places, in_test)
    (ax,) = figure.axes
    dots = np.concatenate([c.get_offsets() for c in ax.collections if len(c.get_offsets()) > 1])
    np.testing.assert_allclose(dots, places)
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["training (30)", "test (10)"]
    contours = [c for c in ax.collections if hasattr(c, "levels")]
    for contour, there in zip(contours, (~in_test, in_test), strict=True):
        low, high = contour.get_paths()[-1].get_extents().get_points()
        middle = np.median(places[there], 0)
        assert (low < middle).all() and (middle < high).all()


def test_molecules_that_keep_apart_are_told_from_scattered_ones(places):
    assert beside_their_own(places, np.arange(40) >= 30) == 1
    many = np.random.default_rng(1).normal(size=(2000, 2))
    scattered = np.random.default_rng(2).random(2000) < 0.1
    assert beside_their_own(many, scattered) == pytest.approx(0.1, abs=0.05)
    assert beside_their_own(np.zeros((2, 2)), np.array([True, False])) == 0


def test_similarity_curves_rise_at_each_molecule_and_mark_the_median():
    figure = similarity_curves({"by molecule": np.array([0.8, 0.4, 0.6]), "by scaffold": np.array([0.2, 0.1])})
    (ax,) = figure.axes
    first, dot, second, _ = ax.lines
    np.testing.assert_allclose(first.get_xdata()[1:], [0.4, 0.6, 0.8])
    np.testing.assert_allclose(first.get_ydata(), [0, 1 / 3, 2 / 3, 1])
    np.testing.assert_allclose(dot.get_xydata(), [[0.6, 0.5]])
    assert second.get_label() == "by scaffold (median 0.15, 2 molecules)"

"""Entropy and information against closed forms and scikit-learn, the network against loops over nodes."""

import networkx as nx
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.metrics import matthews_corrcoef, mutual_info_score

from symspectra.groups.graphs import (
    GAT,
    dependency_graph,
    entropy,
    gnn_order,
    information_order,
    mutual_information,
    phi,
    spanning_tree,
    tree_order,
)

LABELS = arrays(bool, st.tuples(st.integers(1, 20), st.integers(2, 5)))


@pytest.fixture(scope="module")
def related():
    """Groups 0 to 3 come together, 4 to 7 come together, 8 is rare, 9 never occurs."""
    rng = np.random.default_rng(0)
    first, second = rng.random((2, 400, 1)) < 0.4
    y = np.concatenate([first ^ (rng.random((400, 4)) < 0.1), second ^ (rng.random((400, 4)) < 0.1)], axis=1)
    return np.concatenate([y, rng.random((400, 1)) < 0.02, np.zeros((400, 1), bool)], axis=1)


def test_entropy_in_bits():
    y = np.array([[0, 1, 0, 1], [0, 1, 1, 0], [0, 1, 0, 0], [0, 1, 1, 0]])
    quarter = 0.25 * 2 + 0.75 * np.log2(4 / 3)
    np.testing.assert_allclose(entropy(y), [0, 0, 1, quarter])


def test_information_of_equal_opposite_and_independent_groups():
    y = np.array([[0, 0, 1, 0], [0, 0, 1, 1], [1, 1, 0, 0], [1, 1, 0, 1]], dtype=bool)
    expected = [[1, 1, 1, 0], [1, 1, 1, 0], [1, 1, 1, 0], [0, 0, 0, 1]]
    np.testing.assert_allclose(mutual_information(torch.from_numpy(y)), expected, atol=1e-15)


@pytest.mark.filterwarnings("ignore:A single label")
@settings(deadline=None, max_examples=50)
@given(LABELS)
def test_information_and_phi_are_those_of_scikit_learn(y):
    information, coefficient = mutual_information(y), phi(y)
    for i, j in np.ndindex(information.shape):
        a, b = y[:, i], y[:, j]
        assert information[i, j] == pytest.approx(mutual_info_score(a, b) / np.log(2), abs=1e-12)
        assert coefficient[i, j] == pytest.approx(matthews_corrcoef(a, b), abs=1e-12)
    np.testing.assert_allclose(information, information.T, atol=1e-12)
    np.testing.assert_allclose(np.diag(information), entropy(y), atol=1e-12)
    assert (information >= 0).all() and (information <= entropy(y) + 1e-12).all()


@pytest.mark.parametrize("wrong", [np.zeros(3), np.zeros((0, 3)), np.full((2, 2), 0.5), np.full((2, 2), np.nan)])
@pytest.mark.parametrize("function", [entropy, mutual_information, phi, information_order, gnn_order])
def test_wrong_labels_are_refused(function, wrong):
    with pytest.raises(ValueError, match=r"expected \(molecule, group\) of 0 and 1"):
        function(wrong)


def test_spanning_tree_has_the_least_total_distance():
    information = np.random.default_rng(1).random((6, 6))
    information += information.T
    distance = 1 / (information + 1e-6)
    total = spanning_tree(information).size(weight="distance")
    sums = [
        sum(distance[e] for e in tree.edges)
        for tree in (nx.from_prufer_sequence(code) for code in np.ndindex(6, 6, 6, 6))
    ]
    assert len(sums) == 1296  # Cayley: 6^4 trees
    assert total == pytest.approx(min(sums))


def test_walk_is_breadth_first_by_ascending_entropy():
    tree = nx.Graph([(0, 1), (0, 2), (1, 3), (2, 4), (2, 5)])
    assert tree_order(tree, np.array([0.1, 0.9, 0.3, 0.2, 0.5, 0.5])) == (0, 2, 1, 4, 5, 3)
    assert tree_order(tree, np.array([0.4, 0.9, 0.3, 0.0, 0.5, 0.5])) == (3, 1, 0, 2, 4, 5)


def test_information_order_starts_where_nothing_is_uncertain(related):
    order, bits, tree = information_order(related)
    assert order[0] == 9 and sorted(order) == list(range(10))
    assert nx.is_tree(tree) and len(tree) == 10
    together = [set(group) for group in (range(4), range(4, 8))]
    assert all(nx.is_connected(tree.subgraph(group)) for group in together)
    np.testing.assert_array_equal(bits, entropy(related))


def test_graph_attention_against_loops():
    torch.manual_seed(0)
    layer, x = GAT(3, 4), torch.randn(5, 3)
    adjacency = (torch.rand(5, 5) < 0.4).float().triu(1)
    adjacency = adjacency + adjacency.T
    h = layer.linear(x)
    a = torch.cat([layer.here.weight, layer.there.weight], dim=1).squeeze(0)
    for i in range(5):
        near = [j for j in range(5) if adjacency[i, j] or i == j]
        e = torch.stack([torch.nn.functional.leaky_relu(a @ torch.cat([h[i], h[j]]), 0.2) for j in near])
        expected = sum(w * h[j] for w, j in zip(e.softmax(0), near, strict=True)) + layer.bias
        torch.testing.assert_close(layer(x, adjacency)[i], expected)


def test_dependency_graph_by_hand():
    z = np.array([[1.0, 0.0], [2.0, 0.0], [0.0, 1.0], [-1.0, 0.0]])
    coefficient = np.full((4, 4), -0.2)
    coefficient[0, 2] = coefficient[2, 0] = coefficient[0, 3] = coefficient[3, 0] = 0.1
    graph = dependency_graph(z, np.array([0.1, 0.2, 0.3, 0.4]), coefficient)
    weights = {(i, j): round(w, 9) for i, j, w in graph.edges(data="weight")}
    assert weights == {
        (0, 1): 0.64,  # cosine 1, phi -0.2
        (0, 2): 0.03,  # cosine 0, phi 0.1
        (0, 3): 0.0,  # cosine -1, phi 0.1: below 0
    }


def test_gnn_order_is_the_ascending_score_and_repeats(related):
    torch.manual_seed(7)
    before = torch.get_rng_state()
    first, again = gnn_order(related), gnn_order(torch.from_numpy(related))
    assert torch.equal(torch.get_rng_state(), before)
    assert first.order == again.order
    np.testing.assert_array_equal(first.score, again.score)
    assert list(first.order) == sorted(range(10), key=lambda group: first.score[group])
    assert all(first.importance[i] < first.importance[j] for i, j in first.graph.edges)
    other = gnn_order(related, seed=1)
    assert not np.array_equal(other.importance, first.importance)


def test_trained_importance_follows_entropy(related):
    bits, trained, fresh = entropy(related), gnn_order(related), gnn_order(related, epochs=0)
    assert np.corrcoef(trained.importance, bits)[0, 1] > 0.9
    assert np.abs(trained.importance - bits).mean() < 0.3 * np.abs(fresh.importance - bits).mean()

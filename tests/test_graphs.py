"""The co-occurrence graph: its edges are correlations; pictures of graphs are legible and complete."""

import networkx as nx
import numpy as np
import pytest
from conftest import overlap

from symspectra.exhibits.graphs import cooccurrence, cooccurrence_graph, order_graphs
from symspectra.groups.graphs import gnn_order, information_order, phi
from symspectra.groups.table8 import NAMES, label
from symspectra.training.metrics import frequency_tiers

SMILES = ["CCO", "CC(=O)Oc1ccccc1C(=O)O", "CC(=O)Nc1ccc(O)cc1", "CCN", "c1ccccc1", "CS(=O)(=O)N", "CC#N", "CC(C)=O"]
Y = label(SMILES * 4)
TIER_OF = {group: name for name, tier in frequency_tiers(Y).items() for group in tier.groups}


def test_without_links_no_group_is_written():
    graph = cooccurrence(Y[:2])
    assert not graph.number_of_edges() and not cooccurrence_graph(graph, TIER_OF).axes[0].texts


def test_each_linked_group_is_written_and_labels_do_not_overlap():
    graph = cooccurrence(Y)
    texts = cooccurrence_graph(graph, TIER_OF).axes[0].texts
    assert len(texts) == sum(graph.degree(node) > 0 for node in graph)
    assert not overlap(texts)


def test_cooccurrence_is_the_correlation():
    y = np.random.default_rng(1).random((400, 37)) < 0.3
    y[:, 3] = y[:, 2]  # always together
    y[:, 5] = ~y[:, 4]  # never together
    y[:, 6] = False
    graph = cooccurrence(y)
    with np.errstate(invalid="ignore"):
        expected = np.nan_to_num(np.corrcoef(y.T.astype(float)))
    np.testing.assert_allclose(phi(y), expected, atol=1e-12)
    assert graph.has_edge(2, 3) and not graph.has_edge(4, 5) and 6 not in graph
    assert graph.number_of_edges() <= 3 and isinstance(graph, nx.Graph)  # chance gives none of the other 666


@pytest.mark.parametrize("y", [Y, Y[:1], np.random.default_rng(0).random((200, 37)) < 0.2])
def test_both_orders_are_drawn_with_every_group_and_every_edge(y):
    information, gnn = information_order(y), gnn_order(y, epochs=5)
    figure = order_graphs(information, gnn, marked=[7, 8])
    left, right = figure.axes
    assert {text.get_text() for text in left.texts} == {f"{k + 1}  {NAMES[g]}" for k, g in enumerate(information.order)}
    assert [text.get_text() for text in right.texts] == [f"{NAMES[g]}  {k + 1}" for k, g in enumerate(gnn.order)]
    assert len(left.patches) == 36 and len(right.patches) == gnn.graph.number_of_edges()
    assert sorted(t.get_text()[3:].strip() for t in left.texts if t.get_fontweight() == "bold") == ["Amide", "Amine"]
    assert not any(overlap(ax.texts) for ax in figure.axes)

import numpy as np
import pytest
import torch

from symspectra.groups.graphs import gnn_order, information_order
from symspectra.groups.orders import ORDERS, label_order


@pytest.fixture(scope="module")
def labels():
    return np.random.default_rng(0).random((200, 37)) < np.linspace(0.02, 0.6, 37)


@pytest.mark.parametrize("name", ORDERS)
def test_order_is_a_permutation_of_the_37_groups(name, labels):
    assert sorted(label_order(name, labels)) == list(range(37))


def test_iupac_reproduces_the_relative_sequence_of_table_4():
    wanted = [13, 16, 8, 9, 22]
    assert [k + 1 for k in label_order("iupac") if k + 1 in wanted] == wanted


@pytest.mark.parametrize(
    ("typed", "nearest"), [("IUPAC", "iupac"), ("iupack", "iupac"), ("alphabetic", "alphabetical")]
)
def test_unknown_order_is_refused_with_the_nearest_name(typed, nearest):
    with pytest.raises(ValueError, match=f"did you mean '{nearest}'"):
        label_order(typed)


def test_learned_orders_are_those_of_label_graphs(labels):
    assert label_order("mutual_information", labels) == information_order(labels).order
    assert label_order("gnn", torch.from_numpy(labels)) == gnn_order(labels).order
    assert label_order("gnn", labels) != label_order("mutual_information", labels)


@pytest.mark.parametrize("name", ["mutual_information", "gnn"])
def test_learned_order_without_labels_of_37_groups_is_refused(name, labels):
    with pytest.raises(ValueError, match=f"'{name}' is learned from labels: y_train"):
        label_order(name)
    with pytest.raises(ValueError, match=r"shape \(200, 36\); expected \(molecule, 37\)"):
        label_order(name, labels[:, :36])

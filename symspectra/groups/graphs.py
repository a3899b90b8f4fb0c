"""Graphs of functional groups, and the prediction orders that follow from them (paper, Appendix L).

Two ways from the labels of the training set to an order: a spanning tree of mutual information (L.1, L.2) and a small
graph neural network (L.3). Both give the same order for the same labels. Groups are numbered as in Table 8, from 0.
Labels that are not a (molecule, group) array of 0 and 1, or are empty, raise ValueError.
"""

from __future__ import annotations

from itertools import combinations
from typing import NamedTuple

import networkx as nx
import numpy as np
import torch
from jaxtyping import Float
from scipy.special import entr
from torch import Tensor, nn
from torch.nn import functional as F

Labels = np.ndarray | Tensor  # (molecule, group) of 0 and 1
PerGroup = Float[np.ndarray, " group"]
PerPair = Float[np.ndarray, "group group"]
Nodes = Float[Tensor, "node outputs"]
TAU, DELTA = 0.05, 0.5  # a pair is related above this phi, or above this cosine of the embeddings (Eq. 52)
ALPHA = 0.7  # share of the cosine in the weight of a dependency (Eq. 53)
MIX = 0.6  # lambda of Eq. 54, share of the importance in the score
LEARNING_RATE = 1e-2


class InformationOrder(NamedTuple):
    """Order by mutual information, with what it comes from."""

    order: tuple[int, ...]
    entropy: PerGroup  # bits
    tree: nx.Graph


class GnnOrder(NamedTuple):
    """Order by graph neural network, with what it comes from."""

    order: tuple[int, ...]
    score: PerGroup  # o (Eq. 54)
    importance: PerGroup  # s (Eq. 51)
    graph: nx.DiGraph  # dependencies (Eq. 52), with weights (Eq. 53)


def _numbers(y: Labels) -> Float[np.ndarray, "molecule group"]:
    y = np.asarray(y.detach().cpu() if isinstance(y, Tensor) else y)
    if y.ndim != 2 or not len(y) or not np.isin(y, (0, 1)).all():
        raise ValueError(f"labels of shape {y.shape}, type {y.dtype}; expected (molecule, group) of 0 and 1, not empty")
    return y.astype(np.float64)


def _binary_entropy(p: np.ndarray) -> np.ndarray:
    """Entropy of a yes-no question in bits; ``entr(p)`` is -p ln p, and 0 for p = 0."""
    return (entr(p) + entr(1 - p)) / np.log(2)


def entropy(y: Labels) -> PerGroup:
    """Uncertainty of each group in bits: 0 for one that never or always occurs, 1 for one in half of the molecules."""
    return _binary_entropy(_numbers(y).mean(0))  # Eq. 39


def mutual_information(y: Labels) -> PerPair:
    """How many bits each group tells about each other one; the diagonal is the entropy."""
    y = _numbers(y)
    n, count, together = len(y), y.sum(0), y.T @ y
    share = np.zeros_like(together)
    with_j = np.divide(together, count, out=share.copy(), where=count > 0)  # p(f_i = 1 | f_j = 1)
    without_j = np.divide(count[:, None] - together, n - count, out=share.copy(), where=count < n)
    p = count / n
    conditional = p * _binary_entropy(with_j) + (1 - p) * _binary_entropy(without_j)  # Eqs. 40, 41
    return np.maximum(_binary_entropy(p)[:, None] - conditional, 0)  # Eq. 42; rounding may leave -1e-17


def spanning_tree(information: PerPair, eps: float = 1e-6) -> nx.Graph:
    """Minimum spanning tree over the distances 1 / (I + eps), with ``distance`` and ``information`` on its edges.

    All pairs take part: a cut-off tau on I (L.1.2) may leave groups without an edge, and a tree that "connects all
    functional groups" (L.1.3) would not exist. Of equally long edges the first in Table 8 order is taken; a group that
    never occurs, equally far from all, thus hangs on group 0.
    """
    graph = nx.Graph()
    graph.add_nodes_from(range(len(information)))
    for i, j in combinations(range(len(information)), 2):
        bits = float(information[i, j])
        graph.add_edge(i, j, distance=1 / (bits + eps), information=bits)  # Eq. 43
    return nx.minimum_spanning_tree(graph, weight="distance", algorithm="kruskal")  # Eq. 44


def tree_order(tree: nx.Graph, entropy: PerGroup) -> tuple[int, ...]:
    """Breadth-first walk from the group of least entropy; neighbours by ascending entropy, equal ones as in Table 8.

    Taken literally, as here, Eq. 45 starts from a group that never occurs where there is one: its entropy is 0.
    """

    def key(group: int) -> tuple[float, int]:
        return float(entropy[group]), group

    order = [min(tree, key=key)]  # Eq. 45
    for group in order:  # grows while it is read: a queue
        order += sorted(set(tree[group]) - set(order), key=key)
    return tuple(order)


def information_order(y: Labels) -> InformationOrder:
    """Order by mutual information (L.1, L.2), from the labels (molecule, group) of the training set."""
    bits, tree = entropy(y), spanning_tree(mutual_information(y))
    return InformationOrder(tree_order(tree, bits), bits, tree)


def phi(y: Labels) -> PerPair:
    """Phi coefficient of each pair of groups; 0 where it is not defined, for a group that never or always occurs."""
    y = _numbers(y)
    n, count, together = len(y), y.sum(0), y.T @ y  # Eq. 46: p = count / n
    spread = count * (n - count)
    norm = np.sqrt(np.outer(spread, spread))
    return np.divide(n * together - np.outer(count, count), norm, out=np.zeros_like(norm), where=norm > 0)  # Eq. 47


class GCN(nn.Module):
    """Graph convolution D^-1/2 (A + I) D^-1/2 X W + b, D the row sums of A + I (Kipf and Welling, ICLR 2017)."""

    def __init__(self, inputs: int, outputs: int):
        super().__init__()
        self.linear = nn.Linear(inputs, outputs, bias=False)
        self.bias = nn.Parameter(torch.zeros(outputs))

    def forward(self, x: Float[Tensor, "node inputs"], adjacency: Float[Tensor, "node node"]) -> Nodes:
        a = adjacency + torch.eye(len(adjacency), dtype=adjacency.dtype)
        scale = a.sum(1).rsqrt()
        return (scale[:, None] * a * scale) @ self.linear(x) + self.bias


class GAT(nn.Module):
    """Graph attention, one head: softmax over neighbours and itself of LeakyReLU(a . [h_i, h_j]) (Velickovic, 2018)."""

    def __init__(self, inputs: int, outputs: int):
        super().__init__()
        self.linear = nn.Linear(inputs, outputs, bias=False)
        self.here, self.there = nn.Linear(outputs, 1, bias=False), nn.Linear(outputs, 1, bias=False)
        self.bias = nn.Parameter(torch.zeros(outputs))

    def forward(self, x: Float[Tensor, "node inputs"], adjacency: Float[Tensor, "node node"]) -> Nodes:
        h = self.linear(x)
        logits = F.leaky_relu(self.here(h) + self.there(h).T, 0.2)
        linked = (adjacency > 0) | torch.eye(len(x), dtype=torch.bool)
        return logits.masked_fill(~linked, -torch.inf).softmax(1) @ h + self.bias


class GroupGraphNetwork(nn.Module):
    """Embeddings z and importance s of the groups, from the graph of their co-occurrence; X is the identity."""

    def __init__(self, groups: int = 37, hidden: int = 64, width: int = 32):
        super().__init__()
        self.first, self.second, self.third = GCN(groups, hidden), GAT(hidden, hidden), GCN(hidden, width)
        self.importance = nn.Linear(width, 1)

    def forward(self, weights: Float[Tensor, "group group"]) -> tuple[Tensor, Tensor]:
        """z (group, width) and s (group); ``weights`` is phi where there is an edge, and 0 elsewhere."""
        adjacency = (weights > 0).to(weights.dtype)
        h = self.first(torch.eye(len(weights), dtype=weights.dtype), weights).relu()  # Eq. 48
        h = self.second(h, adjacency).relu()  # Eq. 49
        z = self.third(h, adjacency)  # Eq. 50
        return z, self.importance(z).squeeze(1)  # Eq. 51


def _trained(
    phi: PerPair, entropy: PerGroup, seed: int, epochs: int
) -> tuple[Float[np.ndarray, "group width"], PerGroup]:
    """z and s of a network that tells the edges apart from the other pairs, and whose s is the entropy of the labels.

    The paper does not give the objective. Edges and other pairs weigh the same, however many there are of each.
    """
    weights, target = torch.from_numpy(np.where(phi > TAU, phi, 0)).fill_diagonal_(0), torch.from_numpy(entropy)
    i, j = torch.triu_indices(len(phi), len(phi), 1)
    edge = (weights[i, j] > 0).double()
    balance = edge / edge.sum().clamp(min=1) + (1 - edge) / (1 - edge).sum().clamp(min=1)
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)  # torch.manual_seed would also seed the GPUs
        network = GroupGraphNetwork(len(phi)).double()
    optimizer = torch.optim.Adam(network.parameters(), lr=LEARNING_RATE)
    for _ in range(epochs):
        z, s = network(weights)
        logits = (z[i] * z[j]).sum(1)
        loss = F.binary_cross_entropy_with_logits(logits, edge, balance, reduction="sum") + F.mse_loss(s, target)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        z, s = network(weights)
    return z.numpy(), s.numpy()


def dependency_graph(z: Float[np.ndarray, "group width"], importance: PerGroup, phi: PerPair) -> nx.DiGraph:
    """Which group should come before which: edges from lower to higher importance, between groups that are related.

    Weights below 0, which PageRank cannot use, become 0.
    """
    unit = z / np.maximum(np.linalg.norm(z, axis=1, keepdims=True), 1e-12)
    cosine = unit @ unit.T
    related = (importance[:, None] < importance) & ((cosine > DELTA) | (phi > TAU))  # Eq. 52
    weight = np.maximum(ALPHA * cosine + (1 - ALPHA) * phi, 0)  # Eq. 53
    graph = nx.DiGraph()
    graph.add_nodes_from(range(len(z)))
    graph.add_edges_from((int(i), int(j), {"weight": float(weight[i, j])}) for i, j in np.argwhere(related))
    return graph


def gnn_order(y: Labels, seed: int = 0, epochs: int = 200) -> GnnOrder:
    """Order by graph neural network (L.3), from the labels (molecule, group) of the training set.

    ``seed`` is of the network's first weights; torch's own random numbers stay where they are. Importance and PageRank
    are scaled to 0 to 1 before they are mixed.
    """
    coefficient = phi(y)
    z, importance = _trained(coefficient, entropy(y), seed, epochs)
    graph = dependency_graph(z, importance, coefficient)
    ranks = nx.pagerank(graph, max_iter=1000, tol=1e-10)
    pagerank = np.array([ranks[group] for group in range(len(z))])
    s, r = ((x - x.min()) / max(np.ptp(x), 1e-12) for x in (importance, pagerank))
    score = MIX * s + (1 - MIX) * r  # Eq. 54
    order = tuple(int(group) for group in np.argsort(score, kind="stable"))
    return GnnOrder(order, score, importance, graph)

"""Graphs of functional groups: the co-occurrence graph of Fig 1c, and pictures of the graphs behind label orders."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

import networkx as nx
import numpy as np
from jaxtyping import Bool, Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from symspectra.exhibits.style import LABEL_BOX, PAGE, TIER_COLOURS, TIER_LABELS, canvas, styled
from symspectra.groups.graphs import GnnOrder, InformationOrder, phi
from symspectra.groups.table8 import NAMES

EDGES = {"arrows": True, "arrowstyle": "-", "node_size": 0}


def cooccurrence(y: Bool[np.ndarray, "molecule group"]) -> nx.Graph:
    """Which groups come together more often than by chance: a graph with phi coefficients as weights.

    Nodes are the groups that occur. An edge needs three molecules that have both, and a phi coefficient of at least
    0.05 and of at least 3.5 / sqrt(N), which chance passes once in 4,300 pairs. The paper's Fig 1c thresholds the
    frequency itself, which would join everything to Alkane.
    """
    y = np.asarray(y, dtype=np.float64)
    count, together, coefficient = y.sum(0), y.T @ y, phi(y)
    threshold = max(0.05, 3.5 / np.sqrt(len(y)))
    graph = nx.Graph(threshold=float(threshold))
    graph.add_nodes_from((int(k), {"count": int(count[k])}) for k in np.flatnonzero(count))
    for i, j in np.argwhere(np.triu((coefficient >= threshold) & (together >= 3), 1)).tolist():
        graph.add_edge(i, j, weight=float(coefficient[i, j]), molecules=int(together[i, j]))
    return graph


@styled
def cooccurrence_graph(graph: nx.Graph, tier_of: Mapping[int, str]) -> Figure:
    """Fig 1c: groups that come together lie close; node area by frequency, edge width by phi, colour by tier."""
    figure, ax = canvas((PAGE, 4.6))
    linked = graph.subgraph([node for node in graph if graph.degree(node)])
    position = _layout(linked) if linked else {}
    weights = [data["weight"] for *_, data in linked.edges(data=True)]
    nx.draw_networkx_edges(linked, position, ax=ax, width=[0.4 + 4 * w for w in weights], edge_color="#b5b5b5")
    count = np.array([graph.nodes[node]["count"] for node in linked], dtype=float)
    size = 12 + 260 * np.sqrt(count / max(count.max(initial=1), 1))
    colour = [TIER_COLOURS[tier_of[node]] for node in linked]
    nx.draw_networkx_nodes(linked, position, ax=ax, node_size=size, node_color=colour, edgecolors="white")
    for node, area in zip(linked, size, strict=True):
        below = (0, -0.5 * np.sqrt(area) - 1)
        place = {"textcoords": "offset points", "ha": "center", "va": "top", "fontsize": 6.5, "bbox": LABEL_BOX}
        ax.annotate(NAMES[node], position[node], below, **place)
    for tier, name in TIER_LABELS.items():
        ax.scatter([], [], s=30, color=TIER_COLOURS[tier], label=name)
    ax.margins(0.06)
    ax.axis("off")
    figure.legend(loc="outside upper left", ncols=3)
    return figure


def _layout(graph: nx.Graph, seeds: int = 20) -> dict[int, np.ndarray]:
    """Spring layout of the seed for which fewest edges pass through a node that they do not join."""
    springs = nx.complete_graph(list(graph))
    nx.set_edge_attributes(springs, 0.02, "weight")  # holds the parts of the graph together
    springs.add_edges_from(graph.edges(data=True))
    layouts = (nx.spring_layout(springs, weight="weight", k=0.9, iterations=200, seed=seed) for seed in range(seeds))

    def passes(position: dict[int, np.ndarray]) -> int:
        count = 0
        for i, j in graph.edges:
            a, along = position[i], position[j] - position[i]
            off = np.array([position[node] for node in graph if node not in (i, j)]).reshape(-1, 2) - a
            t = np.clip(off @ along / max(along @ along, 1e-12), 0, 1)
            count += int((np.linalg.norm(off - t[:, None] * along, axis=1) < 0.06).sum())
        return count

    return min((_spread(layout, (0.3, 0.17)) for layout in layouts), key=passes)


def _spread(position: Mapping[int, np.ndarray], box: tuple[float, float]) -> dict[int, np.ndarray]:
    """Move nodes apart until no two labels of the given width and height (axes of [-1, 1]) overlap."""
    nodes = list(position)
    xy = np.array([position[node] for node in nodes], dtype=float).reshape(len(nodes), 2)
    for _ in range(500):
        delta = xy[:, None] - xy[None]
        overlap = np.array(box) - np.abs(delta)
        clash = (overlap > 1e-6).all(2) & ~np.eye(len(nodes), dtype=bool)
        if not clash.any():
            break
        axis = (overlap / np.array(box)).argmin(2)  # the shorter way out
        push = np.where(np.arange(2) == axis[:, :, None], np.sign(delta) * overlap, 0) * clash[:, :, None]
        xy += 0.35 * push.sum(1) / np.maximum(clash.sum(1, keepdims=True), 1)
    return dict(zip(nodes, xy, strict=True))


@styled
def order_graphs(information: InformationOrder, gnn: GnnOrder, marked: Collection[int] = ()) -> Figure:
    """What the learned label orders come from (App. L): the tree of mutual information, and the GNN's dependencies.

    Left, the tree as an outline: a group hangs below the one by which it was reached, its line as wide as their mutual
    information, and the number before it is its step. Right, the groups by step, with the dependencies as arcs, as
    wide as their weight; one that the order does not respect is orange. ``marked`` groups (0-based) are bold.
    """
    figure, (left, right) = canvas((PAGE, 0.5 + 0.125 * len(information.order)), 1, 2, width_ratios=[1.15, 1])
    step = {group: k for k, group in enumerate(information.order)}
    depth = nx.single_source_shortest_path_length(information.tree, information.order[0])
    inwards = {"sort_neighbors": lambda groups: sorted(groups, key=step.get)}
    rows = list(nx.dfs_preorder_nodes(information.tree, information.order[0], **inwards))
    place = {group: (depth[group], y) for y, group in enumerate(rows)}
    bits = {tuple(sorted(edge, key=depth.get)): bits for *edge, bits in information.tree.edges(data="information")}
    width = 0.3 + 2.2 * _relative(bits.values())
    corner = {"edge_color": "0.6", "connectionstyle": "angle,angleA=-90,angleB=180,rad=0", **EDGES}
    nx.draw_networkx_edges(information.tree, place, list(bits), width, ax=left, **corner)
    _names(left, {g: (x + 0.15, y, f"{step[g] + 1}  {NAMES[g]}") for g, (x, y) in place.items()}, marked, "left")
    deepest = max(depth.values())
    left.set(xlim=(-0.4, deepest + max(3.5, 0.45 * deepest)), ylim=(len(rows) - 0.5, -0.7))
    left.set_title("Mutual information: spanning tree, step of the walk", fontweight="bold")

    step = {group: k for k, group in enumerate(gnn.order)}
    edges = sorted(gnn.graph.edges(data="weight"), key=lambda edge: edge[2])
    colours = ["#0072B2" if step[i] < step[j] else "#D55E00" for i, j, _ in edges]
    down = [sorted((i, j), key=step.get) for i, j, _ in edges]
    width = 0.2 + 1.6 * _relative([weight for *_, weight in edges])
    bow = {"edge_color": colours, "alpha": 0.55, "connectionstyle": "arc3,rad=-0.65", **EDGES}
    nx.draw_networkx_edges(gnn.graph, {group: (0, y) for group, y in step.items()}, down, width, ax=right, **bow)
    _names(right, {group: (-0.4, y, f"{NAMES[group]}  {y + 1}") for group, y in step.items()}, marked, "right")
    right.set(xlim=(-11, len(step) / 2), ylim=(len(step) - 0.5, -0.7))
    right.set_title("GNN: dependencies, in the order of prediction", fontweight="bold")
    return figure


def _relative(values: Iterable[float]) -> Float[np.ndarray, " edge"]:
    values = np.array(list(values), dtype=float)
    return values / max(values.max(initial=0), 1e-12)


def _names(ax: Axes, texts: Mapping[int, tuple[float, float, str]], marked: Collection[int], ha: str) -> None:
    for group, (x, y, text) in texts.items():
        weight = "bold" if group in marked else "normal"
        ax.text(x, y, text, ha=ha, va="center", fontsize=6, fontweight=weight)
    ax.axis("off")

"""Graphs of functional groups: the co-occurrence graph of Fig 1c, and pictures of the graphs behind label orders."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import networkx as nx
import numpy as np
from jaxtyping import Bool, Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from symspectra.exhibits.style import LABEL_BOX, PAGE, TIER_COLOURS, TIER_LABELS, styled
from symspectra.groups.graphs import GnnOrder, InformationOrder, phi
from symspectra.groups.table8 import NAMES


def cooccurrence(
    y: Bool[np.ndarray, "molecule group"], threshold: float = 0.05, least: int = 3
) -> tuple[nx.Graph, Float[np.ndarray, "group group"]]:
    """Which groups come together more often than by chance: a graph with phi coefficients as weights, and phi itself.

    Nodes are the groups that occur. An edge needs ``least`` molecules that have both, and a phi coefficient of at
    least ``threshold`` and of at least 3.5 / sqrt(N), which chance passes once in 4,300 pairs. The paper's Fig 1c
    thresholds the frequency itself, which would join everything to Alkane.
    """
    y = np.asarray(y, dtype=np.float64)
    count, together, n = y.sum(0), y.T @ y, len(y)
    coefficient = phi(y)
    threshold = max(threshold, 3.5 / np.sqrt(n))
    graph = nx.Graph(threshold=float(threshold))
    graph.add_nodes_from((int(k), {"count": int(count[k])}) for k in np.flatnonzero(count))
    for i, j in zip(*np.nonzero(np.triu((coefficient >= threshold) & (together >= least), 1)), strict=True):
        graph.add_edge(int(i), int(j), weight=float(coefficient[i, j]), molecules=int(together[i, j]))
    return graph, coefficient


@styled
def cooccurrence_graph(graph: nx.Graph, tier_of: Mapping[int, str]) -> Figure:
    """Fig 1c: groups that come together lie close; node area by frequency, edge width by phi, colour by tier."""
    figure = Figure(figsize=(PAGE, 4.6), layout="constrained")
    ax = figure.subplots()
    linked = graph.subgraph([node for node in graph if graph.degree(node)])
    position = _untangled(linked)
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


def _untangled(graph: nx.Graph, seeds: int = 20) -> dict[int, np.ndarray]:
    """Spring layout of the seed for which fewest edges pass through a node that they do not join."""
    if not len(graph):
        return {}
    springs = nx.complete_graph(list(graph))
    nx.set_edge_attributes(springs, 0.02, "weight")  # holds the parts of the graph together
    springs.add_edges_from(graph.edges(data=True))

    def passes(position: dict[int, np.ndarray]) -> int:
        count = 0
        for i, j in graph.edges:
            a, along = position[i], position[j] - position[i]
            for node in set(graph) - {i, j}:
                t = np.clip((position[node] - a) @ along / max(along @ along, 1e-12), 0, 1)
                count += int(np.hypot(*(position[node] - a - t * along)) < 0.06)
        return count

    layouts = (nx.spring_layout(springs, weight="weight", k=0.9, iterations=200, seed=seed) for seed in range(seeds))
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
    figure = Figure(figsize=(PAGE, 0.5 + 0.125 * len(information.order)), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=[1.15, 1])
    _outline(left, information, marked)
    _arcs(right, gnn, marked)
    left.set_title("Mutual information: spanning tree, step of the walk", fontweight="bold")
    right.set_title("GNN: dependencies, in the order of prediction", fontweight="bold")
    return figure


def _outline(ax: Axes, information: InformationOrder, marked: Collection[int]) -> None:
    """One row a group, in depth-first order; the column is the depth."""
    step = {group: k + 1 for k, group in enumerate(information.order)}
    rows = list(
        nx.dfs_preorder_nodes(information.tree, information.order[0], sort_neighbors=lambda g: sorted(g, key=step.get))
    )
    parent = dict(nx.bfs_predecessors(information.tree, information.order[0]))
    depth = nx.single_source_shortest_path_length(information.tree, information.order[0])
    most = max((bits for *_, bits in information.tree.edges(data="information")), default=0)
    for y, group in enumerate(rows):
        x = depth[group]
        if group in parent:
            above = rows.index(parent[group])
            width = 0.3 + 2.2 * information.tree.edges[group, parent[group]]["information"] / max(most, 1e-12)
            ax.plot(
                [x - 1, x - 1, x - 0.35], [above + 0.4, y, y], color="0.6", linewidth=width, solid_joinstyle="miter"
            )
        _name(ax, x, y, f"{step[group]}  {NAMES[group]}", group in marked)
    deepest = max(depth.values())
    ax.set(xlim=(-0.4, deepest + max(3.5, 0.45 * deepest)), ylim=(len(rows) - 0.5, -0.7))
    ax.axis("off")


def _arcs(ax: Axes, gnn: GnnOrder, marked: Collection[int]) -> None:
    """One row a group, by step; arcs to the right, the longer the farther out."""
    step = {group: k for k, group in enumerate(gnn.order)}
    angle = np.linspace(-np.pi / 2, np.pi / 2, 40)
    top = max((w for *_, w in gnn.graph.edges(data="weight")), default=0)
    for i, j, weight in sorted(gnn.graph.edges(data="weight"), key=lambda edge: edge[2]):
        middle, half = (step[i] + step[j]) / 2, abs(step[i] - step[j]) / 2
        colour = "#0072B2" if step[i] < step[j] else "#D55E00"
        width = 0.2 + 1.6 * weight / max(top, 1e-12)
        ax.plot(half * np.cos(angle), middle + half * np.sin(angle), color=colour, linewidth=width, alpha=0.55)
    for group, y in step.items():
        _name(ax, -0.4, y, f"{NAMES[group]}  {y + 1}", group in marked, "right")
    ax.set(xlim=(-11, len(step) / 2), ylim=(len(step) - 0.5, -0.7))
    ax.axis("off")


def _name(ax: Axes, x: float, y: float, text: str, bold: bool, ha: str = "left") -> None:
    weight = "bold" if bold else "normal"
    ax.text(x, y, text, ha=ha, va="center", fontsize=6, fontweight=weight, clip_on=False)

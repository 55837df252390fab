"""The graphs of running sessions: distinct items as nodes, clicks that follow one another as edges.

The graphs of all events of a batch are one disjoint union: a node is a pair (event, item), so padding never becomes a
node, and message passing over the union never mixes two events.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from segue.data.batches import Prefixes
from segue.data.tensors import spans


class SessionGraph(NamedTuple):
    """Union of session graphs; nodes are sorted by (event, item).

    item, event [nodes]: item and event of each node. node [cells]: the node of each click, in the given order.
    source, target [transitions]: each click that follows another in its session, in that order; parallel edges and
    loops are kept.
    """

    item: Tensor
    event: Tensor
    node: Tensor
    source: Tensor
    target: Tensor

    def distinct_edges(self) -> tuple[Tensor, Tensor, Tensor]:
        """Source, target and number of links of every linked pair of nodes; sorted by (target, source)."""
        n_nodes = max(len(self.item), 1)
        key, count = torch.unique(self.target * n_nodes + self.source, return_counts=True)
        return key % n_nodes, key // n_nodes, count

    def shortcuts(self) -> tuple[Tensor, Tensor]:
        """Source and target of all pairs of nodes whose source is clicked no later than the target, loops included.

        In other words, the first click of the source does not come after the last click of the target. Sorted by
        (target, source).
        """
        n_nodes, click = len(self.item), torch.arange(len(self.node), device=self.node.device)
        first = click.new_full((n_nodes,), len(click)).scatter_reduce(0, self.node, click, "amin")
        last = click.new_full((n_nodes,), -1).scatter_reduce(0, self.node, click, "amax")
        size = torch.bincount(self.event)
        begin = torch.cumsum(size, 0) - size
        source, target = spans(begin[self.event], size[self.event])
        kept = first[source] <= last[target]
        return source[kept], target[kept]


def session_graph(event: Tensor, item: Tensor, begins: Tensor, n_items: int) -> SessionGraph:
    """The union graph of some clicks, all [cells]: sorted by event, in order of time.

    Args:
        begins: whether a click opens a session, so that no edge leads to it from the click before.
    """
    key, node = torch.unique(event * n_items + item, return_inverse=True)
    following = (~begins).nonzero().squeeze(1)
    return SessionGraph(key % n_items, key // n_items, node, node[following - 1], node[following])


def prefix_graph(prefixes: Prefixes, n_items: int) -> tuple[SessionGraph, Tensor]:
    """The graphs of all prefixes, and the node of each of their cells [events, length]; 0 where padded."""
    event, cell = prefixes.mask.nonzero(as_tuple=True)
    graph = session_graph(event, prefixes.items[event, cell], cell == 0, n_items)
    alias = torch.zeros_like(prefixes.items)
    alias[event, cell] = graph.node
    return graph, alias


def last_nodes(prefixes: Prefixes, alias: Tensor) -> tuple[Tensor, Tensor]:
    """The events whose prefix is not empty, and the node of the last click of each."""
    event = prefixes.mask[:, 0].nonzero().squeeze(1)
    return event, alias[event, prefixes.mask[event].sum(1) - 1]

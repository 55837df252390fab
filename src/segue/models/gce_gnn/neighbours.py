"""The global graph of GCE-GNN: which items came close to each other in train sessions (Wang et al. 2020).

A node of a batch is a pair (event, item), for what an item hears there depends on the session that asks. The graph is
read outwards from the nodes of the sessions, one hop at a time, and every node is there once however many hear it.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from segue.data.arrays import PAIRS_PER_BLOCK, IntArray, blocks, offsets_of
from segue.data.corpus import Sessions


class NeighbourTable(NamedTuple):
    """The most frequent neighbours of each item, ties by ascending item; both int32 [items, size].

    `counts` is 0 where an item has fewer neighbours; the entry of `items` there means nothing.
    """

    items: npt.NDArray[np.int32]
    counts: npt.NDArray[np.int32]


def nearest_items(sessions: Sessions, n_items: int, *, size: int, distance: int) -> NeighbourTable:
    """Count, for every click, the clicks of its session at most `distance` away on either side; keep the top `size`.

    An item that comes twice within reach is its own neighbour, counted from both clicks.
    """
    table = NeighbourTable(np.zeros((n_items, size), np.int32), np.zeros((n_items, size), np.int32))
    session = np.repeat(np.arange(len(sessions)), sessions.lengths)
    clicks = np.argsort(sessions.items, kind="stable")
    support = np.bincount(sessions.items, minlength=n_items)
    until = offsets_of(support)
    for block in blocks(support * 2 * distance, PAIRS_PER_BLOCK):
        chosen = clicks[until[block.start] : until[block.stop]]
        _keep_nearest(table, *_counts(sessions.items, session, chosen, distance, n_items))
    return table


def _counts(
    items: npt.NDArray[np.int32], session: IntArray, clicks: IntArray, distance: int, n_items: int
) -> tuple[IntArray, IntArray, IntArray]:
    """Item, other item and how often, sorted by (item, other), of all pairs that start at one of the clicks."""
    keys = []
    for shift in (*range(-distance, 0), *range(1, distance + 1)):
        other = clicks + shift
        inside = (other >= 0) & (other < len(items))
        inside[inside] = session[other[inside]] == session[clicks[inside]]
        keys.append(items[clicks[inside]].astype(np.int64) * n_items + items[other[inside]])
    pairs, count = np.unique(np.concatenate(keys), return_counts=True)
    return pairs // n_items, pairs % n_items, count


def _keep_nearest(table: NeighbourTable, item: IntArray, other: IntArray, count: IntArray) -> None:
    """Write the most frequent pairs of each item into its row of the table."""
    order = np.lexsort((other, -count, item))
    item, other, count = item[order], other[order], count[order]
    place = np.arange(len(item)) - np.searchsorted(item, item)
    kept = place < table.items.shape[1]
    table.items[item[kept], place[kept]] = other[kept]
    table.counts[item[kept], place[kept]] = count[kept]


class Hop(NamedTuple):
    """One step outward from some nodes, the listeners.

    event, item [wider]: listeners and all their neighbours, each once, sorted by (event, item). own [listeners], near
    [listeners, size]: indices of a listener and of its neighbours among them. counts [listeners, size]: 0 for none.
    """

    event: Tensor
    item: Tensor
    own: Tensor
    near: Tensor
    counts: Tensor


def reach(event: Tensor, item: Tensor, neighbours: Tensor, counts: Tensor) -> Hop:
    """The hop from the nodes (event, item), sorted and distinct, to their neighbours in the table [items, size]."""
    n_items = max(len(neighbours), 1)
    count = counts.index_select(0, item)
    base = event * n_items
    # Where there is no neighbour, the node itself holds the place: it adds no node.
    near = torch.where(count > 0, neighbours.index_select(0, item), item[:, None])
    keys = torch.cat([(base + item)[:, None], base[:, None] + near], dim=1)
    wider, place = torch.unique(keys, return_inverse=True)
    return Hop(wider // n_items, wider % n_items, place[:, 0], place[:, 1:], count)

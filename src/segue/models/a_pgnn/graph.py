"""A-PGNN's graph of a user's behaviour: the earlier sessions and the prefix of an event, in one (Zhang et al. 2020).

Events of one row share all earlier sessions. What the prefix of an event cannot change is computed once per row: only
the nodes that the prefix does change exist a second time for the event, as copies that replace those of the row.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from segue.data.batches import Batch
from segue.data.tensors import find, spans
from segue.graph.propagation import Csr, csr_rows
from segue.graph.session import SessionGraph, session_graph


class BehaviourGraph(NamedTuple):
    """The nodes of rows, then the copies for events, as one union; and the earlier sessions as lists of these nodes.

    Attributes:
        item, row: the item and the row of each node, [nodes].
        predecessors, successors: nodes clicked right before and right after each node, as often as they occur.
        node: [cells], the node of each click of the prefixes, event by event.
        member, session: [members], the node of each click of the earlier sessions, and the session's number.
        n_sessions: number of sessions; one that differs for an event counts again for that event.
        sessions, known: [events, most sessions], sessions before each event, the oldest first; `known` is False where
            there is none.
    """

    item: Tensor
    row: Tensor
    predecessors: Csr
    successors: Csr
    node: Tensor
    member: Tensor
    session: Tensor
    n_sessions: int
    sessions: Tensor
    known: Tensor


class _Copies:
    """Copies of nodes for single events, numbered after the nodes of the rows; sorted by (event, item)."""

    def __init__(self, keys: Tensor, past: SessionGraph, event_row: Tensor, n_items: int) -> None:
        self.keys, self.past, self.n_items = keys, past, n_items
        self.event, self.item = keys // n_items, keys % n_items
        self.row = event_row.index_select(0, self.event)
        base, found = find(past.event * n_items + past.item, self.row * n_items + self.item)
        self.copied = found.nonzero().squeeze(1)
        """Copies of a node that the row already has, [copied]."""
        self.base = base.index_select(0, self.copied)
        """Node of the row that each of them copies, [copied]."""

    def place(self, event: Tensor, base: Tensor) -> Tensor:
        """The node that stands for a row's node in an event: the copy where there is one."""
        copy, found = find(self.keys, event * self.n_items + self.past.item.index_select(0, base))
        return torch.where(found, copy + len(self.past.item), base)

    def heard(self, lists: Csr) -> tuple[Tensor, Tensor]:
        """List entries that copies take over from the nodes they copy: the copy and the entry."""
        positions, owner = csr_rows(lists.offsets, self.base)
        return self.copied.index_select(0, owner), lists.indices.index_select(0, positions)


def behaviour_graph(batch: Batch, n_items: int, *, max_items: int, max_sessions: int, spread: int) -> BehaviourGraph:
    """The union graph of all events of a batch.

    Args:
        max_items, max_sessions: bounds on the history that is read.
        spread: how far from its items a prefix changes anything: nodes up to that many edges away are copied.
    """
    history, prefixes = batch.history(max_items, max_sessions), batch.prefixes()
    past = session_graph(history.row, history.items, history.begins, n_items)
    n_past = len(past.item)
    into = Csr.from_pairs(past.target, past.source, n_past, n_past, parallel=True)
    out = Csr.from_pairs(past.source, past.target, n_past, n_past, parallel=True)
    event, cell = prefixes.mask.nonzero(as_tuple=True)
    clicks = event * n_items + prefixes.items[event, cell]
    copies = _Copies(torch.unique(clicks), past, batch.row, n_items)
    for _ in range(spread):
        near = [(copies.event[copy], past.item[node]) for copy, node in map(copies.heard, (into, out))]
        keys = torch.unique(torch.cat([copies.keys, *(event * n_items + item for event, item in near)]))
        copies = _Copies(keys, past, batch.row, n_items)
    node = torch.searchsorted(copies.keys, clicks) + n_past
    following = (cell > 0).nonzero().squeeze(1)
    before, after = node[following - 1], node[following]
    return BehaviourGraph(
        torch.cat([past.item, copies.item]),
        torch.cat([past.event, copies.row]),
        _with_copies(into, past.target, past.source, copies, after, before),
        _with_copies(out, past.source, past.target, copies, before, after),
        node,
        *_sessions(past, history.begins, copies, batch),
    )


def _with_copies(
    lists: Csr, listener: Tensor, speaker: Tensor, copies: _Copies, later_listener: Tensor, later_speaker: Tensor
) -> Csr:
    """Neighbour lists of rows' nodes and of copies, from the transitions of the past and those of the prefixes."""
    n_past = lists.n_rows
    copy, heard = copies.heard(lists)
    heard = copies.place(copies.event.index_select(0, copy), heard)
    n_nodes = n_past + len(copies.keys)
    rows, columns = torch.cat([listener, copy + n_past, later_listener]), torch.cat([speaker, heard, later_speaker])
    return Csr.from_pairs(rows, columns, n_nodes, n_nodes, parallel=True)


def _sessions(
    past: SessionGraph, begins: Tensor, copies: _Copies, batch: Batch
) -> tuple[Tensor, Tensor, int, Tensor, Tensor]:
    """member, session, n_sessions, sessions and known of the graph; a session that holds a copy differs."""
    first = begins.nonzero().squeeze(1)
    n_past = len(first)
    length = first.diff(append=first.new_tensor([len(begins)]))
    session = torch.cumsum(begins, 0) - 1
    copy, holder = copies.heard(Csr.from_pairs(past.node, session, len(past.item), max(n_past, 1)))
    differing = torch.unique(copies.event[copy] * max(n_past, 1) + holder)
    click, again = spans(first[differing % max(n_past, 1)], length[differing % max(n_past, 1)])
    member = copies.place(differing.index_select(0, again) // max(n_past, 1), past.node.index_select(0, click))

    of_row = torch.bincount(past.event[past.node[first]], minlength=len(batch.items))
    count = of_row[batch.row]
    place = torch.arange(int(count.max()) if len(count) else 0, device=count.device)
    known = place < count[:, None]
    sessions = ((torch.cumsum(of_row, 0) - of_row)[batch.row, None] + place) * known
    events = torch.arange(len(batch), device=count.device)[:, None]
    number, found = find(differing, events * max(n_past, 1) + sessions)
    return (
        torch.cat([past.node, member]),
        torch.cat([session, again + n_past]),
        n_past + len(differing),
        torch.where(found & known, number + n_past, sessions),
        known,
    )

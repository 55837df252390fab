"""Items that the counts suggest for an event, and how strongly: the memory of preset `segue` before any weight.

The counts are the graph's own, before its cuts. While training, the running session's own transitions, items and
co-occurrences are subtracted from them: otherwise the memory would know the answer and be trusted too much. The user's
history needs no such care, since it holds only sessions before the running one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
from torch import Tensor, nn

from segue.data.batches import Batch, Prefixes
from segue.data.corpus import Corpus
from segue.data.stored import Layout
from segue.data.tensors import find, spans
from segue.graph.tables import CsrTable
from segue.models.hg_gnn.config import MemorySource
from segue.settings.units import milliseconds

LARGEST_COUNT = 2**53
"""Bound on stored counts: exact also as floating point."""


@dataclass(frozen=True)
class Recalled:
    """Entries of one source, sorted by event; all [n].

    cell: reversed position of the prefix item that recalled the entry (0 = last); 0 for history.
    count: number of occurrences (1 for the source session). decayed: for history, the count decayed by age.
    """

    event: Tensor
    item: Tensor
    cell: Tensor
    count: Tensor
    decayed: Tensor | None = None


class CountBuffers(nn.Module):
    """The items that each item suggests, with counts: a CSR table as buffers."""

    offsets: Tensor
    items: Tensor
    counts: Tensor

    def __init__(self, offsets: Tensor, items: Tensor, counts: Tensor) -> None:
        super().__init__()
        self.register_buffer("offsets", offsets)
        self.register_buffer("items", items)
        self.register_buffer("counts", counts)

    @classmethod
    def of(cls, counts: CsrTable) -> Self:
        """Buffers of the counts that the graph was built from."""
        return cls(*(torch.from_numpy(array) for array in (counts.offsets, counts.ids, counts.values)))

    @classmethod
    def stored(cls, state: Mapping[str, Tensor], prefix: str) -> Self:
        """A table with the shapes that `state` holds; empty where the model has no memory."""
        none = torch.zeros(0, dtype=torch.int64)
        given = (state.get(prefix + name, none) for name in ("offsets", "items", "counts"))
        return cls(*(torch.empty(array.shape, dtype=array.dtype) for array in given))

    @staticmethod
    def layouts(n_items: int) -> dict[str, Layout]:
        """The form of a stored table of all items."""
        return {
            "offsets": Layout(torch.int64, (n_items + 1,)),
            "items": Layout(torch.int32, (None,), 0, n_items - 1),
            "counts": Layout(torch.int64, (None,), 0, LARGEST_COUNT),
        }

    def rows(self, items: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Items and counts that each of `items` suggests, and the index of the one that suggests them."""
        start = self.offsets[items]
        cells, owner = spans(start, self.offsets[items + 1] - start)
        return self.items.index_select(0, cells).long(), self.counts.index_select(0, cells), owner


class Recall(nn.Module):
    """Lookup of counts for the events of a batch. Nothing here is learned."""

    half_life: Tensor

    def __init__(
        self,
        transitions: CountBuffers,
        cooccurrence: CountBuffers,
        n_items: int,
        half_life: float,
        cooccurrence_items: int,
        history_items: int,
    ) -> None:
        super().__init__()
        self.transitions, self.cooccurrence = transitions, cooccurrence
        self.register_buffer("half_life", torch.tensor(half_life, dtype=torch.float64))
        self.n_items, self.cooccurrence_items, self.history_items = n_items, cooccurrence_items, history_items

    @torch.no_grad()
    def forward(
        self, batch: Batch, prefixes: Prefixes, sources: frozenset[MemorySource]
    ) -> tuple[dict[MemorySource, Recalled], Tensor]:
        """Entries of each of `sources`, and the facts x of each event [events, 4]."""
        last = prefixes.items.gather(1, batch.position.clamp(min=0)[:, None]).squeeze(1)
        has_prefix = batch.position >= 0
        history_key, history = self._history(batch)
        transitions = self._transitions(batch, last, has_prefix)
        recalled: dict[MemorySource, Recalled] = {}
        if "session" in sources:
            event, cell = prefixes.mask.nonzero(as_tuple=True)
            item = prefixes.items[event, cell]
            recalled["session"] = Recalled(event, item, prefixes.reversed_position[event, cell], torch.ones_like(item))
        if "history" in sources:
            recalled["history"] = history
        if "transition" in sources:
            recalled["transition"] = transitions
        if "cooccurrence" in sources:
            recalled["cooccurrence"] = self._cooccurrence(batch, prefixes)
        return recalled, self._facts(batch, prefixes, transitions, history_key)

    def _history(self, batch: Batch) -> tuple[Tensor, Recalled]:
        """Distinct items of every row's history with counts, for each of the row's events; and the sorted keys."""
        past = batch.history(self.history_items)
        key, inverse = torch.unique(past.row * self.n_items + past.items, return_inverse=True)
        # 2^-(t_e - t)/h splits into a row's part, from its earliest event on, and a factor for each event.
        earliest = torch.zeros_like(batch.user).scatter_reduce_(0, batch.row, batch.time, "amin", include_self=False)
        # A request may claim a time before the history: then nothing has aged.
        age = (earliest[past.row] - past.times).clamp(min=0)
        weight = torch.exp2(-age.double() / self.half_life)
        later = torch.exp2((earliest[batch.row] - batch.time).double() / self.half_life)
        count = torch.bincount(inverse, minlength=len(key))
        decayed = torch.zeros(len(key), dtype=weight.dtype, device=key.device).index_add_(0, inverse, weight)
        row = key // self.n_items
        first = torch.searchsorted(row, torch.arange(len(batch.user) + 1, device=key.device))
        entry, event = spans(first[batch.row], (first[1:] - first[:-1])[batch.row])
        item = (key % self.n_items).index_select(0, entry)
        aged = decayed.index_select(0, entry) * later.index_select(0, event)
        return key, Recalled(event, item, torch.zeros_like(item), count.index_select(0, entry), aged)

    def _transitions(self, batch: Batch, last: Tensor, has_prefix: Tensor) -> Recalled:
        """Successors of the last item."""
        events = has_prefix.nonzero().squeeze(1)
        item, count, owner = self.transitions.rows(last[events])
        event = events.index_select(0, owner)
        source = last.index_select(0, event)
        own, owner_session, session = batch.own_items()
        follows = (owner_session[1:] == owner_session[:-1]) & (own[1:] != own[:-1])
        key, times = torch.unique(self._pair(owner_session[1:], own[:-1], own[1:])[follows], return_counts=True)
        count = count - lookup(key, times, self._pair(session[batch.row.index_select(0, event)], source, item))
        return _present(Recalled(event, item, torch.zeros_like(item), count))

    def _cooccurrence(self, batch: Batch, prefixes: Prefixes) -> Recalled:
        """Items that shared sessions with the last few items."""
        near = prefixes.mask & (prefixes.reversed_position < self.cooccurrence_items)
        events, column = near.nonzero(as_tuple=True)
        item, count, owner = self.cooccurrence.rows(prefixes.items[events, column])
        event = events.index_select(0, owner)
        own, owner_session, session = batch.own_items()
        key = torch.unique(owner_session * self.n_items + own)
        query = session[batch.row.index_select(0, event)] * self.n_items + item
        count = count - lookup(key, torch.ones_like(key), query)
        return _present(Recalled(event, item, prefixes.reversed_position[events, column].index_select(0, owner), count))

    def _pair(self, session: Tensor, source: Tensor, target: Tensor) -> Tensor:
        return (session * self.n_items + source) * self.n_items + target

    def _facts(self, batch: Batch, prefixes: Prefixes, transitions: Recalled, history_key: Tensor) -> Tensor:
        """Facts x of each event: log(1 + prefix length), log(1 + past sessions), log(1 + successors),
        share of the prefix seen before."""
        known = lookup(history_key, torch.ones_like(history_key), batch.row[:, None] * self.n_items + prefixes.items)
        length = prefixes.mask.sum(1)
        seen = (known * prefixes.mask).sum(1) / length.clamp(min=1)
        # Counted after the running session is taken out: in training its own transition would always be among them.
        successors = torch.bincount(transitions.event, minlength=len(batch))
        counts = torch.stack([length, batch.past_sessions[batch.row], successors], 1).double().log1p()
        return torch.cat([counts, seen[:, None]], 1)


def lookup(keys: Tensor, values: Tensor, query: Tensor) -> Tensor:
    """Value of each queried key, 0 where it is not among the sorted distinct `keys`."""
    if not len(keys):
        return torch.zeros_like(query)
    index, found = find(keys, query)
    return values.take(index) * found


def half_life(asked: str | None, corpus: Corpus) -> float:
    """Half-life in milliseconds; unless set, five times the median gap between two sessions of one user in train."""
    if asked is not None:
        return float(milliseconds(asked))
    train = corpus.train
    start = train.times[train.offsets[:-1]]
    gaps = np.diff(start)[np.diff(train.user) == 0]
    return float(5 * max(np.median(gaps), 1)) if len(gaps) else 1.0


def _present(recalled: Recalled) -> Recalled:
    """Entries whose count is above zero."""
    left = (recalled.count > 0).nonzero().squeeze(1)
    columns = (recalled.event, recalled.item, recalled.cell, recalled.count)
    return Recalled(*(column.index_select(0, left) for column in columns))

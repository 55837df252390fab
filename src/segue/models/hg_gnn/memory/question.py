"""What the events of a batch ask the memory with; each part is worked out once, and only where a source needs it."""

from __future__ import annotations

from functools import cached_property

import torch
from torch import Tensor

from segue.data.batches import Batch, History, Prefixes
from segue.data.tensors import spans
from segue.graph.tables import FARTHEST, UNIT
from segue.models.hg_gnn.memory.entries import lookup


class Question:
    """The events of a batch, their prefixes, their users' histories, and what the running sessions added to counts.

    Args:
        half_life: of the decayed history, in ms.
        history_items: last items of the history that are looked at.
    """

    def __init__(self, batch: Batch, prefixes: Prefixes, n_items: int, half_life: Tensor, history_items: int) -> None:
        self.batch, self.prefixes, self.n_items = batch, prefixes, n_items
        self.half_life, self.history_items = half_life, history_items

    def __len__(self) -> int:
        """Number of events."""
        return len(self.batch)

    @cached_property
    def cells(self) -> tuple[Tensor, Tensor, Tensor]:
        """Event, item and reversed position of every item of every prefix."""
        event, column = self.prefixes.mask.nonzero(as_tuple=True)
        return event, self.prefixes.items[event, column], self.prefixes.reversed_position[event, column]

    def item_at(self, reversed_position: int) -> tuple[Tensor, Tensor]:
        """The events whose prefix is long enough, and the item at this reversed position in each."""
        column = self.batch.position - reversed_position
        events = (column >= 0).nonzero().squeeze(1)
        return events, self.prefixes.items[events, column[events]]

    def first_place(self, row: Tensor, item: Tensor) -> Tensor:
        """Where each item first stands in its row of the batch, from 1; 0 where it does not. The prefixes of the row
        hold it from there on."""
        of, position = self.batch.mask.nonzero(as_tuple=True)
        keys, number = torch.unique(of * self.n_items + self.batch.items[of, position], return_inverse=True)
        first = torch.zeros_like(keys).scatter_reduce_(0, number, position + 1, "amin", include_self=False)
        return lookup(keys, first, row * self.n_items + item)

    # The running session, as it was counted

    @property
    def counted(self) -> bool:
        """Whether any running session was counted: so in training, not when measuring or serving."""
        return len(self._own[0]) > 0

    @cached_property
    def session(self) -> Tensor:
        """The running session of each event, as a number within the batch."""
        return self._own[2].index_select(0, self.batch.row)

    @cached_property
    def _own(self) -> tuple[Tensor, Tensor, Tensor]:
        return self.batch.own_items()

    @cached_property
    def _own_members(self) -> tuple[Tensor, Tensor, Tensor]:
        """1 where a running session holds an item, one row per session and one column per item of any of them, flat;
        the first cell of each event's row, [events]; and the column of each item, [n_items], 0 where none holds it."""
        items, session, _ = self._own
        distinct = torch.unique(items)
        width = len(distinct) + 1
        column = items.new_zeros(self.n_items)
        column[distinct] = torch.arange(1, width, device=items.device)
        held = items.new_zeros(len(self.batch.user) * width)
        held[session * width + column[items]] = 1
        return held, self.session * width, column

    def counted_once(self, event: Tensor, item: Tensor) -> Tensor:
        """1 where the event's running session was counted and holds the item, else 0."""
        held, start, column = self._own_members
        return held.index_select(0, start.index_select(0, event) + column.index_select(0, item))

    @cached_property
    def counted_items(self) -> Tensor:
        """How many distinct items each event's running session added to the counts, int64 [events]."""
        items, session, _ = self._own
        held = torch.unique(session * self.n_items + items)
        distinct = torch.bincount(held // self.n_items, minlength=len(self.batch.user))
        return distinct.index_select(0, self.session)

    def counted_transitions(self, event: Tensor, first: Tensor, second: Tensor) -> Tensor:
        """How often `second` directly follows `first` in the event's running session, where that was counted."""
        return self._counted(self._own_transitions, event, first, second)

    def counted_order(self, event: Tensor, first: Tensor, second: Tensor) -> Tensor:
        """What the event's running session added to O[first, second], where it was counted."""
        return self._counted(self._own_order, event, first, second)

    def _counted(self, pairs: tuple[Tensor, Tensor], event: Tensor, first: Tensor, second: Tensor) -> Tensor:
        """The value of each pair in the event's running session; few pairs have both items in it."""
        held = self.counted_once(event, first) * self.counted_once(event, second)
        both = held.nonzero().squeeze(1)
        event, first, second = (column.index_select(0, both) for column in (event, first, second))
        found = lookup(*pairs, self._pair(self.session.index_select(0, event), first, second))
        return held.index_copy_(0, both, found)

    @cached_property
    def _own_transitions(self) -> tuple[Tensor, Tensor]:
        return self._own_pairs(1)

    @cached_property
    def _own_order(self) -> tuple[Tensor, Tensor]:
        pairs = [self._own_pairs(distance) for distance in range(1, FARTHEST + 1)]
        key, place = torch.unique(torch.cat([keys for keys, _ in pairs]), return_inverse=True)
        weights = torch.cat([times * (UNIT // distance) for distance, (_, times) in enumerate(pairs, 1)])
        return key, torch.zeros_like(key).index_add_(0, place, weights)

    def _own_pairs(self, distance: int) -> tuple[Tensor, Tensor]:
        """Sorted keys of the pairs of different items at this distance in a running session, and how often each is."""
        items, session, _ = self._own
        first, second, owner = items[:-distance], items[distance:], session[distance:]
        together = (session[:-distance] == owner) & (first != second)
        keys, times = torch.unique(self._pair(owner, first, second)[together], return_counts=True)
        return keys, times

    def _pair(self, session: Tensor, first: Tensor, second: Tensor) -> Tensor:
        return (session * self.n_items + first) * self.n_items + second

    # The user's earlier sessions

    @cached_property
    def past(self) -> History:
        """The history of every row, flat."""
        return self.batch.history(self.history_items)

    @cached_property
    def earlier(self) -> tuple[Tensor, Tensor, Tensor]:
        """Distinct items of every row's history in order of row and item: row, item, number of occurrences."""
        key, count = torch.unique(self.past.row * self.n_items + self.past.items, return_counts=True)
        return key // self.n_items, key % self.n_items, count

    def of_events(self, row: Tensor) -> tuple[Tensor, Tensor]:
        """Entries in the order of their `row`, repeated for each of the row's events: which entry, and event."""
        first = torch.searchsorted(row, torch.arange(len(self.batch.user) + 1, device=row.device))
        return spans(first[self.batch.row], (first[1:] - first[:-1])[self.batch.row])

    @cached_property
    def past_sessions(self) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """Distinct items of the sessions in every row's history: row, number of the session in the batch, item; and by
        session its row's sessions after it, and its number of distinct items."""
        session = torch.cumsum(self.past.begins, 0) - 1
        key = torch.unique(session * self.n_items + self.past.items)
        session_of, item = key // self.n_items, key % self.n_items
        row_of = self.past.row[self.past.begins.nonzero().squeeze(1)]
        sizes = torch.bincount(session_of, minlength=len(row_of))
        last = torch.searchsorted(row_of, row_of, right=True) - 1
        later = last - torch.arange(len(row_of), device=row_of.device)
        return row_of[session_of], session_of, item, later, sizes

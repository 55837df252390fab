"""The requests as the memory is asked them, and the facts x, as operators of a graph.

The equations are those of :mod:`segue.lean.hg_gnn.recall` and :mod:`segue.lean.hg_gnn.tables`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from segue.contract.memory_sources import OWN_SESSIONS
from segue.export.functions import counting, distinct, joined, kept, larger, places, smaller, sums, where
from segue.export.graph import Value
from segue.export.hg_gnn.asked import Asked
from segue.export.hg_gnn.encoder import flat
from segue.graph.tables import CUT_ROUNDING, SHRINKAGE
from segue.lean.hg_gnn.tables import Counts
from segue.settings.units import HOUR


@dataclass(frozen=True)
class Entries:
    """What a source suggests: request, item and f(item) above zero, float64; all [n], each request and item once."""

    row: Value
    item: Value
    value: Value


class Companions(NamedTuple):
    """Companions of some items, item by item, all [n]: request, companion, sessions with both, closeness, and the
    index of the item that each belongs to."""

    row: Value
    item: Value
    shared: Value
    value: Value
    owner: Value


class Question:
    """The requests, as the memory is asked them."""

    def __init__(self, asked: Asked, counts: Counts) -> None:
        self.asked, self.counts, self.graph = asked, counts, asked.graph
        self.n_items = len(counts.support)
        self.n = asked.length.length()

    def added_up(self, row: Value, item: Value, value: Value) -> Entries:
        """The sum of the values of each request and item."""
        keys, place = distinct(row * self.n_items + item)
        return Entries(keys / self.n_items, keys % self.n_items, sums(place, value, keys.length()))

    @cached_property
    def session(self) -> tuple[Value, Value, Value]:
        """Request, item and reversed position of every item of the sessions."""
        row, cell = places(self.asked.session.mask)
        return row, flat(self.asked.session.items, row, cell), cell

    def item_at(self, cell: int) -> tuple[Value, Value]:
        """Requests whose session is long enough, and the item at this reversed position in each."""
        row, item, cells = self.session
        row, item = kept(cells.equals(cell), row, item)
        return row, item

    @cached_property
    def past(self) -> tuple[Value, Value, Value, Value]:
        """Request, item, time and session of every event of the histories."""
        row, cell = places(self.asked.past.mask)
        item, time, session = (
            flat(self.asked.past.columns[name], row, cell) for name in ("items", "times", "sessions")
        )
        return row, item, time, session

    @cached_property
    def memberships(self) -> tuple[Value, Value, Value]:
        """Key of request and session, request, and item: the distinct items of the last sessions of each history."""
        row, item, _, session = self.past
        assert self.asked.sessions is not None
        age = self.asked.sessions.take(row) - session - 1
        key = (row * OWN_SESSIONS + age) * self.n_items + item
        keys = distinct(kept(age < OWN_SESSIONS, key)[0])[0]
        session_of = keys / self.n_items
        return session_of, session_of / OWN_SESSIONS, keys % self.n_items

    def shared(self, row: Value, item: Value) -> Value:
        """Whether the item of an entry is in the session of its request, bool [n]."""
        session = self.asked.session
        return (session.items.take(row).equals(item.column(1)) & session.mask.take(row)).any(1)

    def pairs(self, name: str, items: Value, most: Value | None = None) -> tuple[Value, Value, Value, Value]:
        """Items and counts that stored rows suggest, the index of each entry's source, and entries per source."""
        table = self.counts.pairs[name]
        offsets = self.graph.stored(f"{name}.offsets", table.offsets)
        first = offsets.take(items)
        length = offsets.take(items + 1) - first
        length = length if most is None else smaller(length, most)
        cell, owner = spans(first, length)
        found = self.graph.stored(f"{name}.items", never_empty(table.items)).take(cell).to(np.int64)
        return found, self.graph.stored(f"{name}.counts", never_empty(table.counts)).take(cell), owner, length

    def least(self, name: str, items: Value) -> Value:
        """The cut of stored rows, [n]."""
        return self.graph.stored(f"{name}.least", self.counts.pairs[name].least).take(items)

    def companions(self, row: Value, source: Value, most: Value) -> Companions:
        """At most `most` companions of each source. Of companions that are as close as the first that found no place
        none is left."""
        item, shared, owner, length = self.pairs("basket", source, most + 1)
        support = self.graph.stored("support", self.counts.support)
        value = _closeness(shared, support.take(item), support.take(source).take(owner))
        end = self.graph.op("CumSum", length, np.int64(0))
        at_cut = joined([value, self.graph.value(np.zeros(1))]).take(larger(end - 1, 0))
        least = where(length > most, at_cut, self.least("basket", source))
        above = value > (least * (1 + CUT_ROUNDING)).take(owner)
        return Companions(*kept(above, row.take(owner), item, shared, value, owner))

    def facts(self, transitions: Entries | None) -> Value:
        """The facts x as they are, float64 [requests, 8]; `transitions` are what source "transition" suggests."""
        asked = self.asked
        assert asked.sessions is not None
        assert asked.time is not None
        events = numbers_of(self.past[0], self.n)
        times = where(asked.past.mask, asked.past.columns["times"], 0).max(1)
        away = larger(asked.time - larger(times, 0), 0).to(np.float64) / HOUR
        row, last = self.item_at(0)
        support = sums(row, self.graph.stored("support", self.counts.support).take(last), self.n)
        successors = numbers_of(transitions.row, self.n) if transitions is not None else asked.length * 0
        known = (events > 0).to(np.float64)
        numbers = [each.to(np.float64) for each in (asked.length, asked.sessions, support, successors)]
        logs = [(1 + number).map("Log") for number in [*numbers, away * known]]
        variety = self._distinct_events() / larger(events, 1).to(np.float64)
        facts = [*logs, self._had() / asked.length.to(np.float64), variety, known]
        return joined([fact.column(1) for fact in facts], axis=1)

    def _had(self) -> Value:
        """Items of the session that are in the history, float64 [requests]."""
        session, past = self.asked.session, self.asked.past
        same = session.items.column(2).equals(past.items.column(1)) & past.mask.column(1)
        return (same.any(2) & session.mask).to(np.float64).sum(1)

    def _distinct_events(self) -> Value:
        row, item, *_ = self.past
        row = distinct(row * self.n_items + item)[0] / self.n_items
        return numbers_of(row, self.n).to(np.float64)


def spans(first: Value, length: Value) -> tuple[Value, Value]:
    """Cells of spans that begin at `first`, one after the other, and the index of the span of each."""
    widest = joined([length, length.graph.value(np.zeros(1, dtype=np.int64))]).max(0)
    owner, place = places(counting(widest).column(0) < length.column(1))
    return first.take(owner) + place, owner


def ones(like: Value) -> Value:
    return (like * 0 + 1).to(np.float64)


def numbers_of(row: Value, n: Value) -> Value:
    """How many entries each of n rows has, int64 [n]."""
    return sums(row, row * 0 + 1, n)


def _closeness(shared: Value, support: Value, other: Value) -> Value:
    """:func:`segue.graph.tables.closeness` of a graph's values."""
    return shared.to(np.float64) / ((support + SHRINKAGE) * (other + SHRINKAGE)).to(np.float64).map("Sqrt")


def present(entries: Entries) -> Entries:
    """The entries whose value is above zero."""
    return Entries(*kept(entries.value > 0, entries.row, entries.item, entries.value))


def never_empty(array: Any) -> Any:
    """An array with a cell that nothing asks for: some runtimes do not read from empty ones."""
    return np.append(array, array.dtype.type(0))

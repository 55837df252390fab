"""The sources of the memory as operators of a graph: one function per source, for all requests at once.

The equations are those of :mod:`segue.lean.hg_gnn.recall`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

import numpy as np

from segue.contract.memory_sources import BASKET_ENTRIES, OWN_SESSIONS, STEPS, MemorySource
from segue.export.functions import kept, larger, smaller, sums
from segue.export.hg_gnn.question import Entries, Question, never_empty, numbers_of, ones, present, spans


def suggested(question: Question, sources: Iterable[MemorySource]) -> dict[MemorySource, Entries]:
    """What some sources suggest; those that are off are left out."""
    return {source: _FUNCTIONS[source](question) for source in sources if source in question.counts.on}


def _session(q: Question) -> Entries:
    row, item, cell = q.session
    return q.added_up(row, item, 1.0 / (1.0 + cell.to(np.float64)))


def _history(q: Question) -> Entries:
    row, item, *_ = q.past
    return q.added_up(row, item, ones(row))


def _recent_history(q: Question) -> Entries:
    row, item, time, _ = q.past
    assert q.asked.time is not None
    age = larger(q.asked.time.take(row) - time, 0).to(np.float64)
    values = q.graph.op("Pow", np.float64(2), age / -q.counts.half_life)
    return present(q.added_up(row, item, values))


def _last_session(q: Question) -> Entries:
    session, row, item = q.memberships
    row, item = kept((session % OWN_SESSIONS).equals(0), row, item)
    return Entries(row, item, ones(row))


def _own_sessions(q: Question) -> Entries:
    session, row, item = q.memberships
    n = q.n * OWN_SESSIONS
    size = numbers_of(session, n).to(np.float64)
    overlap = sums(session, q.shared(row, item).to(np.float64), n)
    value = overlap / (size + 1).map("Sqrt")
    return present(q.added_up(row, item, value.take(session)))


def _following(name: str, cell: int = 0) -> Callable[[Question], Entries]:
    """What a table of counts says of the item at a reversed position."""

    def suggest(q: Question) -> Entries:
        row, source = q.item_at(cell)
        item, count, owner, _ = q.pairs(name, source)
        value = count.to(np.float64)
        above = value > q.least(name, source).take(owner)
        return Entries(*kept(above, row.take(owner), item, value))

    return suggest


def _companion(q: Question) -> Entries:
    row, source = q.item_at(0)
    found = q.companions(row, source, row * 0 + BASKET_ENTRIES)
    return Entries(found.row, found.item, found.value)


def _basket(q: Question) -> Entries:
    row, source, _ = q.session
    most = larger(BASKET_ENTRIES / larger(q.asked.length, 1), 1)
    found = q.companions(row, source, most.take(row))
    return q.added_up(found.row, found.item, found.value)


def _two_steps(q: Question) -> Entries:
    row, source, cell = q.session
    row, source = kept(cell < STEPS[0], row, source)
    most = larger(STEPS[0] / larger(q.asked.length, 1), 1)
    first = q.companions(row, source, most.take(row))
    second = q.companions(first.row, first.item, first.row * 0 + STEPS[1])
    start = source.take(first.owner).take(second.owner)
    degree = q.graph.stored("degree", q.counts.degree)
    reached = first.shared.to(np.float64) / larger(degree.take(first.item), 1).to(np.float64)
    ends = larger(degree.take(start) * degree.take(second.item), 1).to(np.float64).map("Sqrt")
    value = reached.take(second.owner) * second.shared.to(np.float64) / ends
    other = (second.item - start) * (second.item - start) > 0
    return q.added_up(*kept(other, second.row, second.item, value))


def _popular(name: str) -> Callable[[Question], Entries]:
    """Events of i in periods closed before the request, decayed."""

    def suggest(q: Question) -> Entries:
        table, time = q.counts.periods[name], q.asked.time
        assert time is not None
        period = (time - time % table.period) / table.period - table.start
        period = smaller(larger(period, 0), len(table.offsets) - 2)
        offsets = q.graph.stored(f"{name}.offsets", table.offsets)
        first = offsets.take(period)
        cell, row = spans(first, offsets.take(period + 1) - first)
        columns = (("items", table.items), ("values", table.values))
        item, value = (q.graph.stored(f"{name}.{part}", never_empty(array)).take(cell) for part, array in columns)
        return Entries(row, item.to(np.int64), value)

    return suggest


_FUNCTIONS: Mapping[MemorySource, Callable[[Question], Entries]] = {
    "session": _session,
    "history": _history,
    "recent_history": _recent_history,
    "last_session": _last_session,
    "own_sessions": _own_sessions,
    "transition": _following("transition"),
    "predecessor": _following("predecessor"),
    "order": _following("order"),
    "order_before": _following("order", cell=1),
    "companion": _companion,
    "basket": _basket,
    "two_steps": _two_steps,
    "recent": _popular("recent"),
    "trend": _popular("trend"),
}

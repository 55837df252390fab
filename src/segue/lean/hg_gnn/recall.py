"""What the memory suggests for one request: one function per source, and the facts x.

The equations are those of :mod:`segue.models.hg_gnn.memory.sources` and :mod:`segue.models.hg_gnn.memory.facts`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from functools import cached_property
from math import log1p
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from segue.contract.memory_sources import BASKET_ENTRIES, STEPS, MemorySource
from segue.data.arrays import FloatArray, IntArray
from segue.lean.hg_gnn.past import Earlier, sums
from segue.lean.hg_gnn.tables import Companions, Counts
from segue.lean.request import Asked
from segue.settings.units import HOUR

Items = npt.NDArray[np.integer[Any]]


class Entries(NamedTuple):
    """What was added up to a source's values: item, value, and reversed position of the item that suggests it."""

    items: Items
    values: FloatArray
    cells: IntArray


@dataclass(frozen=True)
class Suggested:
    """What a source says: distinct items and f(item), above zero.

    cell: reversed position of the one session item that suggests all of it. entries: where several do.
    """

    items: Items
    values: FloatArray
    cell: int = 0
    entries: Entries | None = None

    def of(self, chosen: IntArray, length: int) -> tuple[FloatArray, FloatArray]:
        """f of each of `chosen` [k], 0 where it is not suggested; and the share that each of the `length` items of the
        session gives, [k, length]."""
        items, values, cells = self.entries or (self.items, self.values, None)
        order = chosen.argsort()
        among = chosen[order]
        at = np.minimum(among.searchsorted(items), len(among) - 1)
        place = np.flatnonzero(among[at] == items)
        cell = np.full(len(place), self.cell) if cells is None else cells[place]
        given = np.zeros((len(chosen), length))
        np.add.at(given, (order[at[place]], length - 1 - cell), values[place])
        total = given.sum(1)
        return total, given / np.where(total > 0, total, 1.0)[:, None]


_NOTHING = Suggested(np.zeros(0, dtype=np.int64), np.zeros(0))


class Question:
    """A request, as the memory is asked it."""

    def __init__(self, asked: Asked, counts: Counts, earlier: Earlier) -> None:
        self.asked, self.counts, self.earlier = asked, counts, earlier
        self.items = asked.items
        self._found: dict[MemorySource, Suggested] = {}

    @cached_property
    def had(self) -> IntArray:
        """Places, in the user's history, of the session's items that are in it."""
        return self.earlier.places(self.items)

    @property
    def shared_out(self) -> int:
        """Most companions that are looked up for each item of the session."""
        return max(BASKET_ENTRIES // len(self.items), 1)

    @cached_property
    def companions(self) -> Companions:
        """Companions of the session's items."""
        return self.counts.companions(self.items, self.shared_out)

    def suggested(self, source: MemorySource) -> Suggested:
        """What a source suggests; nothing where it is off."""
        if source not in self._found:
            self._found[source] = _FUNCTIONS[source](self) if source in self.counts.on else _NOTHING
        return self._found[source]

    def facts(self) -> list[float]:
        """The facts x as they are, 8 numbers."""
        earlier, length = self.earlier, len(self.items)
        events = len(earlier.items)
        away = max(self.asked.time - earlier.end, 0) / HOUR if events else 0.0
        successors = len(self.suggested("transition").items)
        numbers = (length, earlier.sessions, int(self.counts.support[self.items[-1]]), successors, away)
        variety = len(earlier.distinct) / max(events, 1)
        return [*map(log1p, numbers), len(self.had) / length, variety, float(events > 0)]


def _session(q: Question) -> Suggested:
    """1 / (1 + r) for the item at reversed position r."""
    cells = np.arange(len(q.items) - 1, -1, -1)
    values = 1 / (1.0 + cells)
    total: dict[int, float] = {}
    for item, value in zip(q.items.tolist(), values.tolist(), strict=True):
        total[item] = total.get(item, 0.0) + value
    return Suggested(np.array(list(total)), np.array(list(total.values())), entries=Entries(q.items, values, cells))


def _history(q: Question) -> Suggested:
    """Events of i in the user's history."""
    return Suggested(q.earlier.distinct, q.earlier.counts)


def _recent_history(q: Question) -> Suggested:
    """Sum over the events of i in the user's history of 2^-(age / half-life)."""
    return _present(q.earlier.distinct, q.earlier.decayed(q.asked.time, q.counts.half_life))


def _last_session(q: Question) -> Suggested:
    """1 for the items of the user's last session."""
    place, session, sizes = q.earlier.memberships
    items = q.earlier.distinct[place[session == len(sizes) - 1]]
    return Suggested(items, np.ones(len(items)))


def _own_sessions(q: Question) -> Suggested:
    """Sum over the user's last 60 sessions s with i of |s and prefix| / sqrt(|s| + 1)."""
    place, session, sizes = q.earlier.memberships
    shared = np.zeros(len(q.earlier.distinct))
    shared[q.had] = 1
    overlap = sums(session, shared[place], len(sizes))
    values = (overlap / np.sqrt(sizes + 1))[session]
    return _present(q.earlier.distinct, sums(place, values, len(q.earlier.distinct)))


def _following(name: str, cell: int = 0) -> Callable[[Question], Suggested]:
    """What a table of counts says of the item at a reversed position."""

    def suggest(q: Question) -> Suggested:
        if len(q.items) <= cell:
            return _NOTHING
        items, counts = q.counts.pairs[name].row(int(q.items[-1 - cell]))
        return Suggested(items, counts.astype(np.float64), cell)

    return suggest


def _companion(q: Question) -> Suggested:
    """C[v_l, i] / sqrt((n_{v_l} + 20) (n_i + 20))."""
    found = q.companions
    if q.counts.known_companions(int(q.items[-1])) > q.shared_out:
        found = q.counts.companions(q.items[-1:], BASKET_ENTRIES)
        return Suggested(found.items, found.values)
    of_last = slice(int(found.owner.searchsorted(len(q.items) - 1)), None)
    return Suggested(found.items[of_last], found.values[of_last])


def _basket(q: Question) -> Suggested:
    """Sum over the whole prefix of C[v_j, i] / sqrt((n_{v_j} + 20) (n_i + 20))."""
    items, _, values, owner = q.companions
    return _summed(Entries(items, values, len(q.items) - 1 - owner), len(q.counts.support))


def _two_steps(q: Question) -> Suggested:
    """Sum over the last items and over m of C[v_j, m] C[m, i] / (d_m sqrt(d_{v_j} d_i)), for i other than v_j."""
    degree, last = q.counts.degree, q.items[-STEPS[0] :]
    first = q.counts.companions(last, STEPS[0] // len(last))
    second = q.counts.companions(first.items, STEPS[1])
    owner = first.owner[second.owner]
    start, reached = last[owner], first.shared / degree[first.items].clip(1)
    values = reached[second.owner] * second.shared / np.sqrt((degree[start] * degree[second.items]).clip(1))
    away = second.items != start
    found = Entries(second.items[away], values[away], len(last) - 1 - owner[away])
    return _summed(found, len(q.counts.support))


def _popular(name: str) -> Callable[[Question], Suggested]:
    """Events of i in periods closed before the request, decayed."""
    return lambda q: Suggested(*q.counts.periods[name].at(q.asked.time))


_FUNCTIONS: Mapping[MemorySource, Callable[[Question], Suggested]] = {
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


def _summed(entries: Entries, n_items: int) -> Suggested:
    """The sum of the entries of each item."""
    number = np.arange(len(entries.items))
    entry_of = np.empty(n_items, dtype=np.int64)  # one of the entries of each item that has some; nothing else is read
    entry_of[entries.items] = number
    place = entry_of[entries.items]
    one = place == number
    return Suggested(entries.items[one], sums(place, entries.values, len(number))[one], entries=entries)


def _present(items: Items, values: FloatArray) -> Suggested:
    """The items whose value is above zero."""
    above = values > 0
    return Suggested(items, values) if above.all() else Suggested(items[above], values[above])


def ask(
    asked: Asked, counts: Counts, sources: Collection[MemorySource], earlier: Earlier
) -> tuple[dict[MemorySource, Suggested], list[float]]:
    """What each of `sources` suggests for a request, and the facts x as they are."""
    question = Question(asked, counts, earlier)
    return {source: question.suggested(source) for source in sources}, question.facts()

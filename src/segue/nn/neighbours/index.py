"""Index of the train sessions by item, which finds the sessions that share an item with a running one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple, Self

import numpy as np

from segue.data.arrays import FloatArray, IntArray, blocks, offsets_of, spans
from segue.data.corpus import Sessions


class Running(NamedTuple):
    """Items of running sessions, flat: each item of an event once, at its last position; in order of event, position.

    event, item, place (position from 1), length (of the whole session): [n]; weight: [n] float64.
    """

    event: IntArray
    item: IntArray
    place: IntArray
    length: IntArray
    weight: FloatArray


class Shared(NamedTuple):
    """Pairs of an event and a session that share an item; by event, then the session that ended first; all [n].

    weight: Σ of the running session's weights of the shared items; last: which entry of the running sessions is the
    last shared item; place: its position in the session, from 1; furthest: the last position of any shared item there.
    """

    event: IntArray
    session: IntArray
    weight: FloatArray
    last: IntArray
    place: IntArray
    furthest: IntArray

    def take(self, chosen: IntArray) -> Shared:
        """The chosen pairs."""
        event, session, weight, last, place, furthest = self
        columns = (event[chosen], session[chosen], weight[chosen], last[chosen], place[chosen], furthest[chosen])
        return Shared(*columns)


@dataclass(frozen=True)
class SessionIndex:
    """Sessions in the order in which they ended, each item of a session once, at its last position.

    Shapes: offsets [sessions + 1]; item, place (position from 1) [cells]; end (epoch ms), user [sessions].
    """

    offsets: IntArray
    item: np.ndarray[Any, np.dtype[np.int32]]
    place: np.ndarray[Any, np.dtype[np.int32]]
    end: IntArray
    user: np.ndarray[Any, np.dtype[np.int32]]

    @classmethod
    def of(cls, sessions: Sessions, n_items: int) -> Self:
        """Sessions that ended at once stay in the order of their numbers."""
        ended = sessions.times[sessions.offsets[1:] - 1]
        sessions = sessions.take(np.lexsort((sessions.number, ended)))
        session = np.repeat(np.arange(len(sessions)), sessions.lengths)
        backwards = (session * n_items + sessions.items)[::-1]
        cells = np.sort(len(session) - 1 - np.unique(backwards, return_index=True)[1])
        return cls(
            offsets=offsets_of(np.bincount(session[cells], minlength=len(sessions))),
            item=sessions.items[cells],
            place=(cells - sessions.offsets[session[cells]] + 1).astype(np.int32),
            end=sessions.times[sessions.offsets[1:] - 1],
            user=sessions.user,
        )

    def check(self) -> None:
        """Raises ValueError where the arrays, whoever wrote them, are not of the same sessions in order."""
        sessions = len(self.offsets) - 1
        if not (len(self.end) == len(self.user) == sessions):
            raise ValueError(f"the arrays 'end' and 'user' are not of the {sessions:,} sessions in 'offsets'")
        if (np.diff(self.end) < 0).any():
            raise ValueError("the sessions are not in the order of their ends")

    def __len__(self) -> int:
        return len(self.end)

    @cached_property
    def lengths(self) -> IntArray:
        """Distinct items of each session."""
        return np.diff(self.offsets)

    @cached_property
    def _session(self) -> IntArray:
        """The session of each cell."""
        return np.repeat(np.arange(len(self)), self.lengths)

    @cached_property
    def _postings(self) -> IntArray:
        """item · cells + cell of every cell, sorted: the cells of an item, the session that ended first first."""
        return np.sort(self.item * np.int64(len(self.item)) + np.arange(len(self.item)))

    def shared(self, running: Running, time: IntArray, sample: int, bound: int) -> Iterator[Shared]:
        """The `sample` most recent sessions of each event that share an item and ended before its time.

        Args:
            time: [events], epoch ms.
            bound: most cells that events looked up together may share.
        """
        before = self.offsets[np.searchsorted(self.end, time, side="left")][running.event]
        base = running.item * len(self.item)
        stop = np.searchsorted(self._postings, base + before)
        # No session beyond an item's own `sample` most recent ones can be among those of all items.
        count = np.minimum(stop - np.searchsorted(self._postings, base), sample)
        cells = np.bincount(running.event, weights=count, minlength=len(time)).astype(np.int64)
        for events in blocks(cells, bound):
            entries = slice(*np.searchsorted(running.event, (events.start, events.stop)))
            posting, entry = spans((stop - count)[entries], count[entries])
            entry += entries.start
            cell = self._postings[posting] - base[entry]
            found = self._merged(running, entry, cell)
            behind = np.cumsum(np.bincount(found.event, minlength=len(time)))[found.event] - np.arange(len(found.event))
            yield found.take(np.flatnonzero(behind <= sample))

    def _merged(self, running: Running, entry: IntArray, cell: IntArray) -> Shared:
        """One pair per event and session, from all their entries and cells."""
        # Sorted as whole numbers that carry their place, which is far cheaper than finding the order of pairs.
        bits = len(cell).bit_length()
        event = running.event[entry]
        first_event = int(event[0]) if len(event) else 0
        packed = (((event - first_event) * len(self) + self._session[cell]) << bits) | np.arange(len(cell))
        packed.sort()
        order = packed & ((1 << bits) - 1)
        packed >>= bits
        begins = np.flatnonzero(np.diff(packed, prepend=-1))
        if not len(begins):
            return Shared(event, event, np.zeros(0), event, event, event)
        last = order[np.append(begins[1:], len(order)) - 1]
        return Shared(
            event=event[last],
            session=self._session[cell[last]],
            weight=np.add.reduceat(running.weight[entry[order]], begins),
            last=entry[last],
            place=self.place[cell[last]].astype(np.int64),
            furthest=np.maximum.reduceat(self.place[cell[order]], begins).astype(np.int64),
        )

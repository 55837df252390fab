"""What is popular at a time, where the log goes on: the periods of train, those since, and the one that goes on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from segue.data.arrays import FloatArray, IntArray
from segue.graph.popularity import EventsByPeriod, close_period, largest
from segue.lean.hg_gnn.tables import PopularityByPeriod

_STANDS = 8
"""Times whose counts are kept. Requests ask for now, and for the last events of sessions that still go on."""


@dataclass(eq=False)
class _Standing:
    """Decayed counts [items] at the end of a period; the `largest` of them, once asked for."""

    state: FloatArray
    largest: tuple[npt.NDArray[Any], FloatArray] | None = None


@dataclass(frozen=True, eq=False)
class _Open:
    """A period that goes on: items in ascending order, their counts when it began, and their events in it."""

    period: int
    items: IntArray
    closed: FloatArray
    counts: FloatArray


class LivePeriods:
    """Decayed counts of train and live events, closed period by period; and with the period that goes on.

    R(t, i) is that of :class:`segue.models.hg_gnn.memory.tables.PopularityByPeriod`. It follows from the events and the
    time alone, whatever was asked before; counts of some times are kept, so that another one is reached from the one
    before it. Where nothing has happened since the last period with an event, nothing changes.

    Args:
        stored: the periods of train. items, times: the events of train. half_life: in ms.
        top: items that are popular at a time.
    """

    def __init__(
        self, stored: PopularityByPeriod, items: npt.NDArray[Any], times: IntArray, n_items: int, half_life: float,
        top: int,
    ) -> None:  # fmt: skip
        self._stored, self._top = stored, top
        self._period, self._start = stored.period, stored.start
        self._decay = 2.0 ** -(stored.period / half_life)
        self._train = EventsByPeriod(items, times, stored.period)
        self._since: dict[int, Counter[int]] = {}
        self._span = (0, 0)  # the first period of these events, and the one after the last
        self._n_items = n_items
        # Periods that are closed → the counts then; those that were asked for last stand last. The last period of train
        # may go on after it, so the counts before it are always kept: no later event changes them.
        self._kept: dict[int, _Standing] = {}
        self._trained = self._train.periods - 1
        self._open: _Open | None = None  # of the period that was asked for last, until something happens

    def add(self, item: int, time: int, sign: int = 1) -> None:
        """Count one event; with `sign` -1 take one out that was counted."""
        period = self._period_of(time)
        found = self._since.setdefault(period, Counter())
        found[item] += sign
        if not found[item]:
            del found[item]
        if not found:
            del self._since[period]
        if len(found) <= 1:  # the period may have come, or gone
            self._span = (min(self._since, default=0), max(self._since, default=-1) + 1)
        self._n_items, self._open = max(self._n_items, item + 1), None
        for closed in [closed for closed in self._kept if closed > period]:
            del self._kept[closed]

    def at(self, time: int) -> tuple[npt.NDArray[Any], FloatArray]:
        """Items popular before `time` (epoch ms) with their decayed counts."""
        first, end = self._span
        closed = min(self._period_of(time), max(self._train.periods, end))
        if closed < self._train.periods and (not self._since or closed <= first):
            return self._stored.at(time)
        standing = self._standing(closed)
        if standing.largest is None:
            standing.largest = largest(standing.state, self._top)
        return standing.largest

    def with_open(self, time: int, own: Iterable[tuple[int, int]] = ()) -> tuple[npt.NDArray[Any], FloatArray]:
        """Items popular at `time` (epoch ms), the live events of the period that it lies in included.

        R'(t, i) = R(t, i) 2^(-(t - b) / half-life) + live events of i in the period, which began at b: so R' becomes R
        when the period is closed. `own`: item and time of the events of a running session, which do not count here.
        """
        period = self._period_of(time)
        if period not in self._since:
            return self.at(time)
        if self._open is None or self._open.period != period:
            self._open = self._opened(time, period)
        items, counts = self._open.items, self._open.counts.copy()
        for item in [item for item, at in own if self._period_of(at) == period and item in self._since[period]]:
            counts[items.searchsorted(item)] -= 1
        if not counts.any():
            return self.at(time)
        passed = min(max(time / self._period - self._start - period, 0.0), 1.0)
        places, values = largest(self._open.closed * self._decay**passed + counts, self._top)
        return items[places], values

    def _opened(self, time: int, period: int) -> _Open:
        """What can be among the largest in a period: closed counts all decay alike, so it was so before or happened."""
        happened = self._since[period]
        new = np.fromiter(happened, dtype=np.int64, count=len(happened))
        items = np.union1d(self.at(time)[0], new)
        counts = np.zeros(len(items))
        counts[items.searchsorted(new)] = np.fromiter(happened.values(), dtype=np.float64, count=len(happened))
        state = self._standing(period).state
        closed = np.where(items < len(state), state[np.minimum(items, len(state) - 1)], 0.0)
        return _Open(period, items, closed, counts)

    def _period_of(self, time: int) -> int:
        return max(time // self._period - self._start, 0)

    def _standing(self, closed: int) -> _Standing:
        """The counts when so many periods are closed."""
        found = self._kept.pop(closed, None) or self._reached(closed)
        self._kept[closed] = found
        if len(self._kept) > _STANDS:
            del self._kept[next(each for each in self._kept if each != self._trained)]
        return found

    def _reached(self, closed: int) -> _Standing:
        """The counts when so many periods are closed, from the nearest ones before that are kept."""
        before = max((each for each in self._kept if each < closed), default=0)
        state: FloatArray = np.zeros(self._n_items)
        if before:
            kept = self._kept[before].state
            state[: len(kept)] = kept
        while before < closed:
            close_period(state, self._events_of(before), self._decay)
            before += 1
            if before == self._trained:
                self._kept[before] = _Standing(state.copy())
            if before >= self._train.periods and not state.any():  # nothing decays until something happens
                before = min([closed, *(period for period in self._since if period >= before)])
        return _Standing(state)

    def _events_of(self, period: int) -> npt.NDArray[Any]:
        trained = self._train.of(period) if period < self._train.periods else np.zeros(0, dtype=np.int64)
        since = list(self._since.get(period, Counter()).elements())
        return np.concatenate([trained, np.array(since, dtype=np.int64)])

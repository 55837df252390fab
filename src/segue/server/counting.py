"""The live counts of a worker, kept level with the store: every event that was accepted, by whichever worker.

What is counted follows from the store alone, so it is the same in every worker and after a restart: the events of the
newest numbers that are still there, cut into sessions as histories are.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field

from segue.server.live import Sessions
from segue.server.store.event import Event, Position, Store
from segue.serving.live import LiveRecommender

_AT_ONCE = 5_000
"""Events that are read from the store at a time."""


@dataclass
class _Run:
    """A session as it is counted.

    Attributes:
        items, times: of its events, by time. numbers: of its items as they were counted; empty as long as none of the
            items is known, so that nothing is next to them.
    """

    items: list[str] = field(default_factory=list)
    times: list[int] = field(default_factory=list)
    numbers: list[int] = field(default_factory=list)


class LiveCounts:
    """Adds the events of a store to a model's memory.

    Args:
        most: of the newest events are counted; see :func:`window_start`.
        since: epoch milliseconds; what happened until then is in the model's own counts. None: everything counts.
    """

    def __init__(
        self, model: LiveRecommender, store: Store, sessions: Sessions, most: int, since: int | None
    ) -> None:
        self._model, self._store, self._sessions, self._most, self._since = model, store, sessions, most, since
        self._at = Position(0, 0)
        self._runs: dict[str, list[_Run]] = {}

    def catch_up(self) -> None:
        """Count what the store has got since the last time; from the beginning where something was removed from it."""
        position = self._store.position()
        first = window_start(position.newest, self._most)
        if position.removals != self._at.removals or first != window_start(self._at.newest, self._most):
            self._model.forget()
            self._runs.clear()
            self._at = Position(first, position.removals)
        seen = max(self._at.newest, first)
        while seen < position.newest:
            found = [pair for pair in self._store.after(seen, _AT_ONCE) if pair[0] <= position.newest]
            for _, event in found:
                self.count(event)
            seen = found[-1][0] if found else position.newest
        self._at = Position(max(seen, position.newest), position.removals)

    def own(self, session: str) -> Sequence[str]:
        """The items of the newest session with that id, as far as they are counted."""
        runs = self._runs.get(session)
        return runs[-1].items if runs and runs[-1].numbers else ()

    def count(self, event: Event) -> None:
        """Count one event."""
        if not self._sessions.counts(event) or (self._since is not None and event.time <= self._since):
            return
        runs = self._runs.setdefault(event.session, [])
        if runs and event.time < runs[-1].times[-1]:
            self._insert(runs, event)
            return
        if not runs or event.time - runs[-1].times[-1] > self._sessions.gap:
            runs.append(_Run())
        runs[-1].items.append(event.item)
        runs[-1].times.append(event.time)
        self._add(runs[-1])

    def _add(self, run: _Run, *, popular: bool = True) -> None:
        """Count what a session has got since it was counted last."""
        counted = len(run.numbers)
        known = counted > 0 or any(self._model.number(item) is not None for item in run.items)
        if not known:
            return
        for item in run.items[counted:]:
            number = self._model.number(item)
            number = self._model.learn(item) if number is None else number
            if number is None:  # too many new items: what was left out stays so
                run.items.pop(len(run.numbers))
                run.times.pop(len(run.numbers))
                continue
            run.numbers.append(number)
        if len(run.numbers) > counted:
            self._model.add(run.numbers, counted)
        if popular:
            for number, time in zip(run.numbers[counted:], run.times[counted:], strict=True):
                self._model.happened(number, time)

    def _insert(self, runs: list[_Run], event: Event) -> None:
        """Count an event that came late: the sessions with its id are cut anew."""
        events = [pair for run in runs for pair in zip(run.times, run.items, strict=True)]
        place = bisect_right([time for time, _ in events], event.time)
        events.insert(place, (event.time, event.item))
        for run in runs:
            if run.numbers:
                self._model.take_out(run.numbers)
        counted_before = any(run.numbers for run in runs)
        runs[:] = [_Run()]
        for time, item in events:
            if runs[-1].times and time - runs[-1].times[-1] > self._sessions.gap:
                runs.append(_Run())
            runs[-1].items.append(item)
            runs[-1].times.append(time)
        for run in runs:
            self._add(run, popular=not counted_before)
        number = self._model.number(event.item)
        if counted_before and number is not None:
            self._model.happened(number, event.time)


def window_start(newest: int, most: int) -> int:
    """Events with numbers above this one are counted, where `newest` is the highest: between three quarters of `most`
    and `most` of them. It moves in steps, at each of which the counts are made anew."""
    step = most // 4
    return max(0, -(-(newest - most) // step) * step)

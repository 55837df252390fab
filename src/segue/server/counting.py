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


@dataclass(eq=False)
class _Counted:
    """An event that is counted; `popular`: where popularity is counted too, which asks for no order."""

    item: str
    time: int
    popular: bool = False


@dataclass(eq=False)
class _Run:
    """A session as it is counted.

    Attributes:
        events: by time. read: how many of them were counted. numbers, times: of the items that were counted, and when
            each happened.
    """

    events: list[_Counted] = field(default_factory=list)
    read: int = 0
    numbers: list[int] = field(default_factory=list)
    times: list[int] = field(default_factory=list)


class LiveCounts:
    """Adds the events of a store to a model's memory.

    Args:
        most: of the newest events are counted; see :func:`window_start`.
        since: epoch milliseconds; what happened until then is in the model's own counts. None: everything counts.
    """

    def __init__(self, model: LiveRecommender, store: Store, sessions: Sessions, most: int, since: int | None) -> None:
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
            self._at = Position(seen, position.removals)  # the store may be away the next time

    def own(self, session: str) -> tuple[Sequence[str], Sequence[int]]:
        """The items of the newest session with that id, as far as they are counted, and when each happened."""
        runs = self._runs.get(session)
        return ([self._model.id(number) for number in runs[-1].numbers], runs[-1].times) if runs else ((), ())

    def count(self, event: Event) -> None:
        """Count one event."""
        if not self._sessions.counts(event) or (self._since is not None and event.time <= self._since):
            return
        runs = self._runs.setdefault(event.session, [])
        if runs and event.time < runs[-1].events[-1].time:
            self._insert(runs, _Counted(event.item, event.time))
            return
        self._append(runs, _Counted(event.item, event.time))
        self._count_rest(runs[-1])

    def _append(self, runs: list[_Run], event: _Counted) -> None:
        """Put an event behind those of its session, or begin another one."""
        if not runs or event.time - runs[-1].events[-1].time > self._sessions.gap:
            runs.append(_Run())
        runs[-1].events.append(event)

    def _count_rest(self, run: _Run) -> None:
        """Count the events of a session that were not counted yet."""
        first = len(run.numbers)
        before = run.events[run.read - 1].item if run.read else None
        for event in run.events[run.read :]:
            repeats, before = before is not None and self._sessions.repeats(before, event.item), event.item
            run.read += 1
            number = self._model.number(event.item)
            if number is None:
                number = self._model.learn(event.item)
            if number is None:  # there are too many new items
                continue
            if not repeats:
                run.numbers.append(number)
                run.times.append(event.time)
            if event.popular == repeats:  # an event that came late may make a repeat of another one, or undo it
                event.popular = not repeats
                self._model.happened(number, event.time, -1 if repeats else 1)
        if len(run.numbers) > first:
            self._model.add(run.numbers, first)

    def _insert(self, runs: list[_Run], late: _Counted) -> None:
        """Count an event that came late: the sessions with its id are cut anew."""
        events = [event for run in runs for event in run.events]
        events.insert(bisect_right([event.time for event in events], late.time), late)
        for run in runs:
            if run.numbers:
                self._model.take_out(run.numbers)
        runs.clear()
        for event in events:
            self._append(runs, event)
        for run in runs:
            self._count_rest(run)


def window_start(newest: int, most: int) -> int:
    """Events with numbers above this one are counted, where `newest` is the highest: between three quarters of `most`
    and `most` of them. It moves in steps, at each of which the counts are made anew."""
    step = most // 4
    return max(0, -(-(newest - most) // step) * step)

"""Live events as sessions: which of them are still going on, and which have ended and are history.

Events of one session id belong to one session as long as no idle time between them is longer than the gap. The last
session of an id goes on until the gap has passed since its last event; all others have ended.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import pairwise

from segue.server.store.event import Event
from segue.serving.past_sessions import PastSession


@dataclass(frozen=True)
class LiveSession:
    """One session of live events.

    Attributes:
        name: the session id that the client gave.
        items: ids, oldest first. times: of the events, epoch milliseconds.
        ended: whether the session is history.
    """

    name: str
    items: tuple[str, ...]
    times: tuple[int, ...]
    ended: bool

    @property
    def start(self) -> int:
        """Time of the first event."""
        return self.times[0]

    @property
    def end(self) -> int:
        """Time of the last event."""
        return self.times[-1]


@dataclass(frozen=True)
class Sessions:
    """How events become sessions.

    Attributes:
        gap: idle time in milliseconds after which a session has ended.
        types: kinds of events that the model was trained on; None where it read all. Events without a type count.
        drop_repeats: whether an event is left out whose item is that of the event just before it in its session.
    """

    gap: int
    types: Collection[str] | None = None
    drop_repeats: bool = False

    def of(self, events: Sequence[Event], now: int) -> list[LiveSession]:
        """The sessions of some events, in the order of their last events.

        Args:
            events: in time order.
            now: epoch milliseconds.
        """
        runs: list[list[Event]] = []
        newest: dict[str, list[Event]] = {}
        for event in events:
            if not self.counts(event):
                continue
            run = newest.get(event.session)
            if run is None or event.time - run[-1].time > self.gap:
                run = newest[event.session] = []
                runs.append(run)
            run.append(event)
        going_on = {id(run) for run in newest.values() if now - run[-1].time <= self.gap}
        found = [self._session(run, ended=id(run) not in going_on) for run in runs]
        return sorted(found, key=lambda session: session.end)

    def counts(self, event: Event) -> bool:
        """Whether an event is of a kind that the model was trained on."""
        return self.types is None or event.type is None or event.type in self.types

    def _session(self, run: Sequence[Event], *, ended: bool) -> LiveSession:
        kept = [run[0], *(later for earlier, later in pairwise(run) if not self.repeats(earlier.item, later.item))]
        items, times = zip(*((event.item, event.time) for event in kept), strict=True)
        return LiveSession(run[0].session, items, times, ended)

    def repeats(self, earlier: str, later: str) -> bool:
        """Whether an event is left out for the one just before it."""
        return self.drop_repeats and earlier == later


def current(sessions: Sequence[LiveSession], name: str | None = None) -> LiveSession | None:
    """The session that goes on: the one with that id, or the one with the latest event."""
    going_on = [session for session in sessions if not session.ended and name in (None, session.name)]
    return going_on[-1] if going_on else None


def finished(sessions: Sequence[LiveSession], since: int | None = None) -> list[PastSession]:
    """The sessions that have ended, in the order of their beginnings; with `since` those that began after that time."""
    ended = [session for session in sessions if session.ended and (since is None or session.start > since)]
    return [PastSession(each.items, each.times) for each in sorted(ended, key=lambda session: session.start)]

"""Live events in the memory of one process, for logs that are played again."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from segue.server.store.event import Event, Position


class MemoryStore:
    """Keeps events as long as it lives. Events of one user, and of one session, come in the order of their times."""

    def __init__(self) -> None:
        self._events: list[Event] = []
        self._ids: set[str] = set()
        self._of_user: dict[str, list[Event]] = defaultdict(list)
        self._of_session: dict[str, list[Event]] = defaultdict(list)
        self._first, self._removals = 0, 0  # number of the event before the first one that is left

    def append(self, groups: Sequence[Sequence[Event]]) -> list[int]:
        """Keep the events of several requests; returns how many of each were new."""
        return [sum(self._keep(event) for event in events) for events in groups]

    def of_user(self, user: str, limit: int) -> list[Event]:
        """The newest events of a user, oldest first."""
        return self._of_user[user][-limit:] if user in self._of_user else []

    def of_session(self, session: str, limit: int) -> list[Event]:
        """The newest events with that session id, oldest first."""
        return self._of_session[session][-limit:] if session in self._of_session else []

    def forget(self, user: str) -> int:
        """Remove all events of a user; returns how many there were."""
        return self._leave([event for event in self._events if event.user != user])

    def users(self, part: str, limit: int) -> list[str]:
        """Ids of users with events that hold a text, whatever its case, in order."""
        return sorted(user for user in self._of_user if part.casefold() in user.casefold())[:limit]

    def prune(self, before: int) -> int:
        """Remove the events from before a time; returns how many there were."""
        return self._leave([event for event in self._events if event.time >= before])

    def position(self) -> Position:
        """How far the store has come."""
        return Position(self._first + len(self._events), self._removals)

    def after(self, number: int, limit: int) -> list[tuple[int, Event]]:
        """The first events whose number is above this one, by number."""
        start = max(number - self._first, 0)
        return list(enumerate(self._events[start : start + limit], start=self._first + start + 1))

    def ping(self) -> None:
        """There is nothing that could fail."""

    def close(self) -> None:
        """There is nothing to give back."""

    def _keep(self, event: Event) -> bool:
        if event.id is not None:
            if event.id in self._ids:
                return False
            self._ids.add(event.id)
        self._events.append(event)
        self._of_session[event.session].append(event)
        if event.user is not None:
            self._of_user[event.user].append(event)
        return True

    def _leave(self, left: list[Event]) -> int:
        """Keep these events alone, under new numbers; returns how many went."""
        gone, newest = len(self._events) - len(left), self._first + len(self._events)
        if gone:
            self._removals += 1
            self._first, self._events, self._ids = newest, [], set()
            self._of_user.clear()
            self._of_session.clear()
            self.append([left])
        return gone

"""A store whose operations are measured."""

from __future__ import annotations

from collections.abc import Sequence

from segue.server import metrics
from segue.server.store.event import Event, Position, Store


class MeasuredStore:
    """Passes every operation on to another store and counts its time, see :mod:`segue.server.metrics`."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def append(self, groups: Sequence[Sequence[Event]]) -> list[int]:
        """Keep the events of several requests."""
        with metrics.stored("append"):
            return self._store.append(groups)

    def of_user(self, user: str, limit: int) -> list[Event]:
        """The newest events of a user."""
        with metrics.stored("of_user"):
            return self._store.of_user(user, limit)

    def of_session(self, session: str, limit: int) -> list[Event]:
        """The newest events with a session id."""
        with metrics.stored("of_session"):
            return self._store.of_session(session, limit)

    def forget(self, user: str) -> int:
        """Remove all events of a user."""
        with metrics.stored("forget"):
            return self._store.forget(user)

    def users(self, part: str, limit: int) -> list[str]:
        """Users with events that hold a text."""
        with metrics.stored("users"):
            return self._store.users(part, limit)

    def prune(self, before: int) -> int:
        """Remove old events."""
        with metrics.stored("prune"):
            return self._store.prune(before)

    def position(self) -> Position:
        """How far the store has come."""
        with metrics.stored("position"):
            return self._store.position()

    def after(self, number: int, limit: int) -> list[tuple[int, Event]]:
        """The first events whose number is above this one."""
        with metrics.stored("after"):
            return self._store.after(number, limit)

    def ping(self) -> None:
        """Do nothing where the store works."""
        with metrics.stored("ping"):
            self._store.ping()

    def close(self) -> None:
        """Close the other store."""
        self._store.close()

"""An event that happened while the server ran, and what every store of events offers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol


class StoreUnavailable(Exception):
    """The store cannot be reached or written at the moment. The message is one line; trying again may help."""


@dataclass(frozen=True, slots=True)
class Event:
    """One click.

    Attributes:
        session: id that the client gave the session.
        time: epoch milliseconds.
        user: id of the user; None for nobody.
        type: the kind of event, such as "view".
        id: what makes a repeated event the same one.
    """

    session: str
    item: str
    time: int
    user: str | None = None
    type: str | None = None
    id: str | None = None


class Position(NamedTuple):
    """How far a store has come.

    Attributes:
        newest: number of the newest event; numbers rise with every event that is kept, and none comes twice.
        removals: how often events were removed.
    """

    newest: int
    removals: int


class Store(Protocol):
    """Live events. All methods may be called from several threads, and raise StoreUnavailable."""

    def append(self, groups: Sequence[Sequence[Event]]) -> list[int]:
        """Keep the events of several requests, all or none; returns, once they are safe, how many of each were new.

        An event whose id is known already adds nothing.
        """

    def of_user(self, user: str, limit: int) -> list[Event]:
        """The newest events of a user, oldest first."""

    def of_session(self, session: str, limit: int) -> list[Event]:
        """The newest events with that session id, oldest first."""

    def forget(self, user: str) -> int:
        """Remove all events of a user for good; returns how many there were."""

    def users(self, part: str, limit: int) -> list[str]:
        """Ids of users with events that hold a text, whatever its case, in order."""

    def prune(self, before: int) -> int:
        """Remove the events from before a time; returns how many there were."""

    def position(self) -> Position:
        """How far the store has come."""

    def after(self, number: int, limit: int) -> list[tuple[int, Event]]:
        """The first events whose number is above this one, by number: in the order in which they were kept."""

    def ping(self) -> None:
        """Do nothing where the store can be read and written."""

    def close(self) -> None:
        """Give back files and connections."""


class ReadableStore(Store, Protocol):
    """A store that outlasts a server, all of which can be read."""

    def everything(self) -> Iterator[Event]:
        """All events, wherever they are kept, each once."""

    def lookup_keys(self) -> Iterator[str]:
        """The texts that events are found by, where the store has such beside them."""

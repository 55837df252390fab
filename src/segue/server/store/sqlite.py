"""Live events in one SQLite file that all workers of a machine share.

The file is written ahead (WAL) and every transaction is synced before it counts, so that neither a killed process nor
a machine without power loses an event that was acknowledged. Writers take turns by a lock of the system, which wakes
the next one at once, where SQLite itself would look again after a while.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from mmap import ACCESS_READ, mmap
from pathlib import Path

from segue.errors import ArtifactError
from segue.server.store.event import Event, Position, StoreUnavailable

FORMAT = 1
"""Version of the tables; the file holds it as ``user_version``."""
_APPLICATION = 0x5E6E
_SCHEMA = """
CREATE TABLE events (
    number INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT UNIQUE, user TEXT, session TEXT NOT NULL,
    item TEXT NOT NULL, time INTEGER NOT NULL, type TEXT
);
CREATE INDEX of_user ON events (user, time, number) WHERE user IS NOT NULL;
CREATE INDEX of_session ON events (session, time, number);
CREATE INDEX of_time ON events (time);
CREATE TABLE removals (times INTEGER NOT NULL);
INSERT INTO removals VALUES (0);
"""
_COLUMNS = "session, item, time, user, type, id"
_INSERT = f"INSERT OR IGNORE INTO events ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?)"

# From one user to the next in the index, whatever the number of their events.
_USERS = """
WITH RECURSIVE known (user) AS (
    SELECT min(user) FROM events WHERE user IS NOT NULL
    UNION ALL SELECT (SELECT min(user) FROM events WHERE user > known.user) FROM known WHERE known.user IS NOT NULL
)
SELECT user FROM known WHERE user IS NOT NULL AND instr(casefold(user), ?) LIMIT ?
"""


class SqliteStore:
    """Live events in ``DIR/events.sqlite``.

    Args:
        folder: DIR; made where it does not exist.

    Raises ArtifactError where the folder cannot be used, or holds the state of another version of Segue.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / "events.sqlite"
        self._local = threading.local()
        self._opened: list[sqlite3.Connection] = []
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._lock = _private(folder / "events.lock")
        except OSError as error:
            raise ArtifactError(
                f"the state folder {folder} cannot be used: {error.strerror}; give another --state"
            ) from None
        self._turn = threading.Lock()
        try:
            self._prepare()
        except (sqlite3.Error, OSError) as error:
            self.close()
            raise ArtifactError(
                f"the state {self.path} cannot be read ({error}); move it away, or give another --state"
            ) from None

    def append(self, groups: Sequence[Sequence[Event]]) -> list[int]:
        """Keep the events of several requests, all or none; returns how many of each were new."""
        with self._writing() as connection:
            return [self._insert(connection, events) for events in groups]

    def of_user(self, user: str, limit: int) -> list[Event]:
        """The newest events of a user, oldest first."""
        return self._events("user = ?", user, limit)

    def of_session(self, session: str, limit: int) -> list[Event]:
        """The newest events with that session id, oldest first."""
        return self._events("session = ?", session, limit)

    def forget(self, user: str) -> int:
        """Remove all events of a user for good, from the bytes of the file too; returns how many there were.

        A removed row is overwritten where it stood, but a copy may be left in a gap of a page that was split while it
        was there: where the bytes still hold the id, the file is written anew.
        """
        count = self._remove("user = ?", user)
        try:
            with self.path.open("rb") as file, mmap(file.fileno(), 0, access=ACCESS_READ) as held:
                is_left = held.find(user.encode()) >= 0
            if is_left:
                with self._turns():
                    self._connection().execute("VACUUM")
                self._empty_log()
        except (sqlite3.Error, OSError) as error:
            raise StoreUnavailable(f"{self.path.name} cannot be written: {error}") from None
        return count

    def users(self, part: str, limit: int) -> list[str]:
        """Ids of users with events that hold a text, whatever its case, in order."""
        with self._reading() as connection:
            return [user for (user,) in connection.execute(_USERS, (part.casefold(), limit))]

    def prune(self, before: int) -> int:
        """Remove the events from before a time; returns how many there were."""
        return self._remove("time < ?", before)

    def position(self) -> Position:
        """How far the store has come."""
        query = "SELECT (SELECT seq FROM sqlite_sequence WHERE name = 'events'), times FROM removals"
        with self._reading() as connection:
            newest, removals = connection.execute(query).fetchone()
        return Position(newest or 0, removals)

    def after(self, number: int, limit: int) -> list[tuple[int, Event]]:
        """The first events whose number is above this one, by number."""
        query = f"SELECT number, {_COLUMNS} FROM events WHERE number > ? ORDER BY number LIMIT ?"
        with self._reading() as connection:
            return [(row[0], Event(*row[1:])) for row in connection.execute(query, (number, limit))]

    def everything(self) -> Iterator[Event]:
        """All events, by number."""
        with self._reading() as connection:
            yield from (Event(*row) for row in connection.execute(f"SELECT {_COLUMNS} FROM events ORDER BY number"))

    def lookup_keys(self) -> Iterator[str]:
        """None: all that the file holds are its events."""
        return iter(())

    def ping(self) -> None:
        """Change nothing, but fail where the file cannot be read and written, or its disk is full."""
        with self._writing() as connection:
            connection.execute("UPDATE removals SET times = times")

    def close(self) -> None:
        """Close the file in all threads."""
        for connection in self._opened:
            with suppress(sqlite3.Error):
                connection.close()
        with suppress(OSError):
            os.close(self._lock)

    def _events(self, where: str, value: str, limit: int) -> list[Event]:
        query = f"SELECT {_COLUMNS} FROM events WHERE {where} ORDER BY time DESC, number DESC LIMIT ?"
        with self._reading() as connection:
            rows = connection.execute(query, (value, limit)).fetchall()
        return [Event(*row) for row in reversed(rows)]

    def _remove(self, where: str, value: str | int) -> int:
        """Remove events; returns how many there were."""
        with self._writing() as connection:
            count = connection.execute(f"DELETE FROM events WHERE {where}", (value,)).rowcount
            if count:
                connection.execute("UPDATE removals SET times = times + 1")
        self._empty_log()
        return count

    def _empty_log(self) -> None:
        """Bring what was written ahead into the file, and cut its log to nothing: removed rows stand there too.

        Readers are waited for; one that reads on and on, such as another program, leaves it to the next removal.
        """
        try:
            with self._turns():
                self._connection().execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        except (sqlite3.Error, OSError) as error:
            raise StoreUnavailable(f"{self.path.name} cannot be written: {error}") from None

    def _insert(self, connection: sqlite3.Connection, events: Sequence[Event]) -> int:
        rows = [(e.session, e.item, e.time, e.user, e.type, e.id) for e in events]
        before = connection.total_changes
        connection.executemany(_INSERT, rows)
        return connection.total_changes - before

    def _prepare(self) -> None:
        """Make the tables of a new file; refuse those of another version."""
        with self._turns():
            os.close(_private(self.path))  # SQLite would make it for all to read, and its other files like it
            made = self.path.stat()
            self._file = (made.st_dev, made.st_ino)
            connection = self._connection()
            (found,) = connection.execute("PRAGMA user_version").fetchone()
            (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
            if not found and not tables:
                connection.executescript(
                    f"BEGIN IMMEDIATE;{_SCHEMA}PRAGMA application_id = {_APPLICATION};"
                    f"PRAGMA user_version = {FORMAT};COMMIT;"
                )
                return
            (owner,) = connection.execute("PRAGMA application_id").fetchone()
        if (owner, found) != (_APPLICATION, FORMAT):
            what = f"state of version {found}" if owner == _APPLICATION else "of another program"
            raise ArtifactError(
                f"{self.path} is {what}, this Segue reads version {FORMAT}; move it away, or give another --state"
            )

    def _connection(self) -> sqlite3.Connection:
        """The connection of this thread."""
        found: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if found is None:
            # Autocommit: transactions are begun and ended by name. The lock orders writers; a reader never waits.
            found = sqlite3.connect(self.path, timeout=5.0, isolation_level=None, check_same_thread=False)
            for pragma in ("journal_mode = WAL", "synchronous = FULL", "secure_delete = ON", "cache_size = -16384"):
                found.execute(f"PRAGMA {pragma}")
            # SQLite's own lower() knows the letters of ASCII alone.
            found.create_function("casefold", 1, str.casefold, deterministic=True)
            self._local.connection = found
            self._opened.append(found)
        return found

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        try:
            yield self._connection()
        except sqlite3.Error as error:
            raise StoreUnavailable(f"{self.path.name} cannot be read: {error}") from None

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        """One transaction, on the disk when the block is left."""
        try:
            with self._turns():
                connection = self._connection()
                self._refuse_gone()
                connection.execute("BEGIN IMMEDIATE")
                try:
                    yield connection
                    connection.execute("COMMIT")
                except BaseException:
                    with suppress(sqlite3.Error):
                        connection.execute("ROLLBACK")
                    raise
        except (sqlite3.Error, OSError) as error:
            raise StoreUnavailable(f"{self.path.name} cannot be written: {error}") from None

    def _refuse_gone(self) -> None:
        """Raise OSError where the file is no longer at its place: what is written into it then would be lost."""
        now = self.path.stat()
        if (now.st_dev, now.st_ino) != self._file:
            raise OSError("another file has taken its place; start the server again")

    @contextmanager
    def _turns(self) -> Iterator[None]:
        """Wait for the turn of this thread and of this process, whose threads share one lock of the file."""
        with self._turn:
            fcntl.flock(self._lock, fcntl.LOCK_EX)
            try:
                yield
            finally:
                fcntl.flock(self._lock, fcntl.LOCK_UN)


def _private(path: Path) -> int:
    """Open a file, which is made for its owner alone where there is none; returns its descriptor."""
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)

"""Which store a server uses: ``--store sqlite`` or ``--store redis://HOST:PORT/DB``."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from segue.errors import ConfigError
from segue.server.settings import ServerSettings
from segue.server.store.event import ReadableStore
from segue.server.store.sqlite import SqliteStore

_SCHEMES = ("redis://", "rediss://", "unix://")
_WITH_DATABASE = ("redis://", "rediss://")


def check_store(store: str) -> None:
    """Raise ConfigError for what is no store."""
    if store != "sqlite" and not store.startswith(_SCHEMES):
        raise ConfigError(f"--store is sqlite or redis://HOST:PORT/DB, found {store[:100]}")
    if store.startswith(_WITH_DATABASE):
        address = urlsplit(store)
        # Redis' own client takes database 0 for a path that is no number, and lets ?db= outdo the path.
        if not re.fullmatch(r"(/[0-9]*)?", address.path) or "db" in parse_qs(address.query, keep_blank_values=True):
            found = f"{address.path}?{address.query}" if address.query else address.path
            raise ConfigError(
                f"--store {address.scheme}://HOST:PORT/DB ends with the number of a database such as /0,"
                f" found {found[:100]}"
            )


def open_store(store: str, state: Path, settings: ServerSettings, *, begun: bool = False) -> ReadableStore:
    """Open a store.

    Args:
        store: ``sqlite``, or the address of a Redis or Valkey server.
        state: folder of the SQLite file.
        begun: whether a server must have used a Redis server's database before.

    Raises UserMistake with one line where it cannot be used, or holds the state of another version.
    """
    check_store(store)
    if store == "sqlite":
        return SqliteStore(state)
    from segue.server.store.redis import RedisStore  # only where it is wanted: an extra of its own

    return RedisStore(store, settings.retention_days, settings.live_events, begun=begun)

"""Which store a server uses: ``--store sqlite`` or ``--store redis://HOST:PORT/DB``."""

from __future__ import annotations

from pathlib import Path

from segue.errors import ConfigError
from segue.server.settings import ServerSettings
from segue.server.store.event import Store
from segue.server.store.sqlite import SqliteStore

_SCHEMES = ("redis://", "rediss://", "unix://")


def check_store(store: str) -> None:
    """Raise ConfigError for what is no store."""
    if store != "sqlite" and not store.startswith(_SCHEMES):
        raise ConfigError(f"--store is sqlite or redis://HOST:PORT/DB, found {store[:100]}")


def open_store(store: str, state: Path, settings: ServerSettings) -> Store:
    """Open a store.

    Args:
        store: ``sqlite``, or the address of a Redis or Valkey server.
        state: folder of the SQLite file.

    Raises UserMistake with one line where it cannot be used, or holds the state of another version.
    """
    check_store(store)
    if store == "sqlite":
        return SqliteStore(state)
    from segue.server.store.redis import RedisStore  # only where it is wanted: an extra of its own

    return RedisStore(store, settings.retention_days, settings.live_events)

"""Settings of the server: what ``segue serve --config FILE`` may change."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from segue.errors import ConfigError
from segue.settings.base import Config
from segue.settings.toml import read_toml
from segue.settings.units import Duration, Size


class ServerSettings(Config):
    """How the server keeps what people do, and what it refuses."""

    retention_days: float = Field(90.0, gt=0, le=36_500)
    """Days for which an event is kept; older ones are removed, and an event that is older when it comes is refused."""
    session_gap: Duration | None = None
    """Idle time after which a live session has ended. Unset: `sessions.gap` of the model, or 30 minutes where the
    sessions of its log had ids of their own."""
    history_events: int = Field(1000, ge=1, le=100_000)
    """Most live events of one user, and of one session, that an answer reads: the newest ones."""
    live_events: int = Field(100_000, ge=100, le=10_000_000)
    """Most events that live counts hold (`segue serve --live`): the newest ones; between three quarters of this number
    and all of it."""
    index_above: int = Field(300_000, ge=0, le=1_000_000_000)
    """Items above which an index finds those that are scored (`pip install 'segue[index]'`); else all are scored."""
    index_breadth: float = Field(0.02, gt=0, le=1)
    """Share of the index that a search looks through at least; it is doubled until `index_recall` is reached."""
    index_recall: float = Field(0.98, ge=0, le=1)
    """Least share of the exact 20 best that the index must find, as measured when the model is loaded; where it does
    not, all items are scored."""
    body_size: Size = "4MiB"
    """Largest body of a request."""
    body_seconds: float = Field(10.0, gt=0, le=3600)
    """Seconds within which the head of a request must have arrived, and then its body."""
    answer_seconds: float = Field(10.0, gt=0, le=3600)
    """Seconds after which a request that is not answered yet is given up."""
    waiting: int = Field(256, ge=1, le=100_000)
    """Most requests of one worker that wait at a time; more are told to come back."""
    stop_seconds: float = Field(10.0, gt=0, le=3600)
    """Seconds that a stopping server takes at most to finish what it began."""
    log_requests: bool = True
    """True writes one line of JSON per request to stderr; failures are always written."""


def read_settings(path: Path | None) -> ServerSettings:
    """The settings of a TOML file, whose keys stand in a table ``[server]``. Raises ConfigError for a mistake."""
    if path is None:
        return ServerSettings()
    nested = read_toml(path, "server")
    others = sorted(nested.keys() - {"server"})
    if others:
        raise ConfigError(f"{path}: '{others[0]}' is no table of the server; write [server]")
    return ServerSettings.parse(nested.get("server", {}), "server")

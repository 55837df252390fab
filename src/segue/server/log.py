"""The log of the server: one JSON object per line on stderr."""

from __future__ import annotations

import json
import logging
import sys
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any


def line(level: str, event: str, **facts: Any) -> None:
    """Write one line. A stderr that takes nothing any more stops no answer."""
    now = datetime.now(UTC).isoformat(timespec="milliseconds")
    with suppress(OSError, ValueError):
        sys.stderr.write(json.dumps({"time": now, "level": level, "event": event, **facts}) + "\n")
        sys.stderr.flush()


class JsonLines(logging.Handler):
    """Records of the libraries as lines of the same form."""

    def emit(self, record: logging.LogRecord) -> None:
        facts = {"trace": self._trace(record)} if record.exc_info else {}
        line(record.levelname.lower(), "message", logger=record.name, message=record.getMessage(), **facts)

    def _trace(self, record: logging.LogRecord) -> str:
        return logging.Formatter().formatException(record.exc_info) if record.exc_info else ""


def take_over() -> None:
    """Send what libraries log to stderr, in the form of this log."""
    root = logging.getLogger()
    root.handlers[:] = [JsonLines()]
    root.setLevel(logging.WARNING)

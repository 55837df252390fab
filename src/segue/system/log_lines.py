"""Log lines for programs: one JSON object per line on stderr, from ``segue serve`` and from any command that is asked.

Each has ``time`` (UTC), ``level`` and ``event``. A message of the log has ``event`` "message", or the name of what is
told, such as "epoch", with its facts as further keys; ``logger`` and ``message`` are what a person would read.
"""

from __future__ import annotations

import json
import logging
import sys
import traceback
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any


def text(level: str, event: str, **facts: Any) -> str:
    """A line, without its end."""
    now = datetime.now(UTC).isoformat(timespec="milliseconds")
    return json.dumps({"time": now, "level": level, "event": event, **facts}, default=str)


def line(level: str, event: str, **facts: Any) -> None:
    """Write one line. A stderr that takes nothing any more stops no answer."""
    with suppress(OSError, ValueError):
        sys.stderr.write(text(level, event, **facts) + "\n")
        sys.stderr.flush()


def message(said: str, level: str = "info", event: str = "message", **facts: Any) -> None:
    """Write one line for what a person would read as `said`."""
    line(level, event, logger="segue", message=said, **facts)


def telling(event: str, **facts: Any) -> dict[str, Any]:
    """What a call of a logger passes as `extra`, for a line that tells `facts` to programs beside its message."""
    return {"told": {"event": event, **facts}}


class JsonLines(logging.Handler):
    """Records of loggers as lines of this form."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write the line of a record, with its traceback and with what it tells programs."""
        facts = {"event": "message", **getattr(record, "told", {})}
        if record.exc_info:
            facts["trace"] = logging.Formatter().formatException(record.exc_info)
        line(record.levelname.lower(), logger=record.name, message=record.getMessage(), **facts)


def take_over() -> None:
    """Send what libraries log or warn of to stderr, in the form of this log."""
    root = logging.getLogger()
    root.handlers[:] = [JsonLines()]
    root.setLevel(logging.WARNING)
    logging.captureWarnings(True)


def show_defect(error: Exception) -> None:
    """Write the traceback of an error that nothing has caught, as one line."""
    trace = "".join(traceback.format_exception(error))
    message(f"{type(error).__name__}: {error}", "critical", "defect", trace=trace)

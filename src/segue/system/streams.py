"""The standard streams of a process: closed, full, gone or without UTF-8, they are no reason for a traceback."""

from __future__ import annotations

import io
import os
import sys

_MODES = (os.O_RDONLY, os.O_WRONLY, os.O_WRONLY)


def open_closed_streams() -> None:
    """Let standard streams that were closed (``>&-``) lead nowhere, before a file of ours takes their number."""
    for number, mode in enumerate(_MODES):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, mode)  # gets the lowest free number, which is this one
    sys.stdin = sys.stdin or os.fdopen(0, "r", closefd=False)
    sys.stdout = sys.stdout or os.fdopen(1, "w", closefd=False)
    sys.stderr = sys.stderr or os.fdopen(2, "w", closefd=False)


def show_everything() -> None:
    """Write what the encoding of stdout and stderr lacks as escapes, and go on where stderr takes no message."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    if isinstance(sys.stderr, io.TextIOWrapper):
        sys.stderr = _Messages(sys.stderr)


def drop_stdout() -> None:
    """Let stdout lead nowhere from here on: what it could not take is not tried again when the process ends."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)


class _Messages(io.TextIOWrapper):
    """Stderr, to which a message is lost when its terminal or pipe is gone or its disk full; the work goes on."""

    def __init__(self, stderr: io.TextIOWrapper) -> None:
        super().__init__(stderr.buffer, stderr.encoding, "backslashreplace", line_buffering=True)
        self._stderr = stderr  # where nobody else holds it, its end would close the buffer

    def write(self, text: str, /) -> int:
        try:
            return super().write(text)
        except OSError:
            return len(text)

    def flush(self) -> None:
        try:
            super().flush()
        except OSError:
            return

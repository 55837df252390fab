"""Small text files that a user names, read whole: bounded in size and in time, whatever lies under the name."""

from __future__ import annotations

import errno
import os
import select
import stat
import time
from pathlib import Path

PATIENCE = 10.0
"""Seconds to wait for what a pipe such as ``<(command)`` has to say."""
_PIECE = 1 << 20


def read_text(path: Path, limit: int) -> str:
    """The text of a file or a pipe of at most `limit` bytes; a byte order mark is left out, line ends are ``\\n``.

    Raises OSError for a device or folder, a file that is larger, and a pipe that nobody fills; UnicodeDecodeError for
    bytes that are not UTF-8.
    """
    file = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        mode = os.fstat(file).st_mode
        if stat.S_ISDIR(mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        if not (stat.S_ISREG(mode) or stat.S_ISFIFO(mode)):
            raise OSError(errno.EINVAL, "it is a device, not a file")
        data = _read(file, limit, is_pipe=stat.S_ISFIFO(mode))
    finally:
        os.close(file)
    return data.decode("utf-8-sig").replace("\r\n", "\n").replace("\r", "\n")


def _read(file: int, limit: int, *, is_pipe: bool) -> bytes:
    data = bytearray()
    end = time.monotonic() + PATIENCE
    while True:
        if is_pipe and not select.select([file], [], [], max(end - time.monotonic(), 0))[0]:
            raise OSError(errno.ETIMEDOUT, f"nobody writes into this pipe within {PATIENCE:g} seconds")
        piece = os.read(file, _PIECE)
        if not piece:
            return bytes(data)
        data += piece
        if len(data) > limit:
            raise OSError(errno.EFBIG, f"it is larger than {limit:,} bytes")

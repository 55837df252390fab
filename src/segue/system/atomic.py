"""Files that are whole or not there at all; a failed write becomes one clear line."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from safetensors import SafetensorError

from segue.errors import ArtifactError

UNFINISHED = ".writing"
"""Ending of the name of a file until it is complete."""


def write_text(path: Path, text: str) -> None:
    """Write a small file under another name and rename it when it is complete.

    Names of files may hold bytes that are no UTF-8; they are written as escapes, ``\\udce9``, as in JSON.
    """
    with aside(path) as new:
        new.write_text(text, encoding="utf-8", errors="backslashreplace")


@contextmanager
def aside(path: Path) -> Iterator[Path]:
    """A temporary name under which to write `path`; renamed at the end of the block, removed when the block fails.

    The file gets the permissions of any new file, by the umask, whatever the writer of its format gives it.
    """
    new = path.with_name(path.name + UNFINISHED)
    if new.is_symlink():
        new.unlink()  # nothing is written through a link that lies in wait
    try:
        new.unlink(missing_ok=True)
        new.touch()
        permissions = new.stat().st_mode
        yield new
        new.chmod(permissions)
        os.replace(new, path)
    except BaseException as error:
        with suppress(OSError):
            new.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.filename is None:
            error.filename = str(path)  # a full disk is found while writing, when the system knows no name any more
        raise


@contextmanager
def writing(folder: Path) -> Iterator[None]:
    """Turn a full disk or a folder that cannot be written into one clear line."""
    try:
        yield
    except (OSError, SafetensorError) as error:
        reason = os.strerror(error.errno) if isinstance(error, OSError) and error.errno else str(error)
        raise ArtifactError(f"cannot write to {folder}: {reason}; nothing there was replaced") from None

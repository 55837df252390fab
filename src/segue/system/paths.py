"""Paths as users name them."""

from __future__ import annotations

import os
from pathlib import Path

from segue.errors import UserMistake


def named(text: str) -> str:
    """The path or log of that name: `~` at its beginning is the home folder, which a shell leaves to us in quotes.

    Raises UserMistake for a name that is not UTF-8: the formats that are read and written there have no such names.
    """
    try:
        text.encode()
    except UnicodeEncodeError:
        raise UserMistake(f"the name {text} is not UTF-8; rename the file or folder") from None
    return os.path.expanduser(text)


def named_path(path: str | Path) -> Path:
    """The path of that name, as :func:`named` has it."""
    return Path(named(str(path)))

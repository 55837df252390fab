"""Checksums of the files of a folder, as its manifest lists them."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection
from pathlib import Path
from typing import Any

from segue.system.json_files import check_regular

_SHA256 = re.compile("[0-9a-f]{64}")


def sha256_of(path: Path) -> str:
    """sha256, in hexadecimal, of a regular file. Raises OSError when it cannot be read, ValueError when it is none."""
    check_regular(path)
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def listed(value: Any, required: Collection[str], optional: Collection[str] = ()) -> dict[str, str]:
    """The checksums of a manifest, by the name of the file.

    A name that is neither required nor optional is refused, so that nothing outside of the folder is ever opened.
    Raises ValueError naming what is missing, or what does not belong there.
    """
    if not isinstance(value, dict):
        raise ValueError("it lists no checksums")
    for name, checksum in value.items():
        if name not in required and name not in optional:
            raise ValueError(f"it lists {_short(name)}, which is no file of this kind of folder")
        if not (isinstance(checksum, str) and _SHA256.fullmatch(checksum)):
            raise ValueError(f"the checksum of {name} is no sha256")
    missing = sorted(set(required) - set(value))
    if missing:
        raise ValueError(f"it lists no checksum of {missing[0]}")
    return dict(value)


def _short(name: str) -> str:
    return repr(name if len(name) <= 100 else name[:100] + "...")

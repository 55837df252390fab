"""Object storage: ``s3://bucket/key`` and other addresses that fsspec knows, as copies on this machine.

A log is fetched whole before it is read, and a folder is sent when it is finished: everything between works on files,
in the ways that the rest of Segue tests. fsspec, and what it needs for a kind of storage, are imported only when asked
for.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from segue.errors import ConfigError, UserMistake, first_line

logger = logging.getLogger("segue")

_ADDRESS = re.compile(r"([a-z][a-z0-9+.-]+)://")


def is_address(text: str) -> bool:
    """Whether a text is the address of something in object storage, and no path of this machine."""
    found = _ADDRESS.match(text)
    return found is not None and found[1] not in ("file", "local")


def fetch(address: str, into: Path) -> Path:
    """Copy a file, or all files below a folder, into the folder `into`, and return the copy.

    Raises ConfigError where fsspec or what it needs is missing, UserMistake for what is not there, cannot be had, or
    has not arrived whole.
    """
    storage, key = _opened(address)
    name = key.rstrip("/").rsplit("/", 1)[-1]
    with _mistakes(f"reading {address}"):
        found = {key: storage.size(key)} if storage.isfile(key) else _below(storage, key)
        if not found:
            raise UserMistake(f"nothing is at {address}; is the address right?")
        single = list(found) == [key]
        for each in found:
            place = into / name if single else into / name / each.removeprefix(key.rstrip("/")).lstrip("/")
            place.parent.mkdir(parents=True, exist_ok=True)
            storage.get_file(each, str(place))
            if place.stat().st_size != found[each]:
                raise UserMistake(f"{each} has {found[each]:,} bytes, {place.stat().st_size:,} arrived; repeat")
    logger.info("%s: %s files, %s bytes fetched", address, f"{len(found):,}", f"{sum(found.values()):,}")
    return into / name


def refuse_taken(address: str, marker: str, *, overwrite: bool) -> None:
    """Raise UserMistake when something is at `address` that may not be replaced: without `overwrite`, or without the
    file `marker`, which says that Segue wrote it."""
    storage, key = _opened(address)
    with _mistakes(f"looking for {address}"):
        found = _below(storage, key)
    if found and not overwrite:
        raise UserMistake(f"{address} exists already; choose another --out, or pass --overwrite to replace it")
    if found and f"{key.rstrip('/')}/{marker}" not in found:
        raise UserMistake(f"{address} holds files of others (no {marker}); choose another --out")


def send(folder: Path, address: str, marker: str) -> None:
    """Copy a finished folder to `address`, its file `marker` last: without it, nothing there is taken for whole.

    Object storage renames nothing at once. What stood there loses its marker first and is gone before the new files
    come; a failure leaves files without a marker, which the next run with ``--overwrite`` refuses to touch and names.

    Raises UserMistake as :func:`fetch` does.
    """
    storage, key = _opened(address)
    base = key.rstrip("/")
    files = sorted((path for path in folder.rglob("*") if path.is_file()), key=lambda path: path.name == marker)
    with _mistakes(f"writing {address}"):
        for each in sorted(_below(storage, key), key=lambda name: not name.endswith(f"/{marker}")):
            storage.rm_file(each)
        for path in files:
            target = f"{base}/{path.relative_to(folder).as_posix()}"
            storage.put_file(str(path), target)
            storage.invalidate_cache()
            if storage.size(target) != path.stat().st_size:
                raise UserMistake(f"{target} has not arrived whole; repeat with --overwrite")
    logger.info("%s: %s files sent", address, f"{len(files):,}")


def _below(storage: Any, key: str) -> dict[str, int]:
    """File → its bytes, of all files below a folder."""
    storage.invalidate_cache()
    try:
        found: dict[str, dict[str, Any]] = storage.find(key.rstrip("/") + "/", detail=True)
    except FileNotFoundError:
        return {}
    return {name: int(facts["size"]) for name, facts in found.items()}


def _opened(address: str) -> tuple[Any, str]:
    """The storage behind an address, and the key in it."""
    try:
        from fsspec.core import url_to_fs
    except ImportError:
        raise ConfigError(f"{address} needs more packages: pip install 'segue[s3]'") from None
    opener: Callable[[str], tuple[Any, str]] = url_to_fs
    try:
        return opener(address)
    except ImportError as error:
        raise ConfigError(f"{address} needs one more package: {first_line(error)}") from None
    except ValueError as error:
        raise ConfigError(f"{address} is no address of a storage: {first_line(error)}") from None


@contextmanager
def _mistakes(what: str) -> Iterator[None]:
    """What the storage says, as one line; its clients have errors of their own beside OSError."""
    try:
        yield
    except (UserMistake, KeyboardInterrupt):
        raise
    except OSError as error:
        raise UserMistake(f"input or output failed while {what}: {first_line(error) or type(error).__name__}") from None
    except Exception as error:
        if type(error).__module__.partition(".")[0] not in ("botocore", "aiobotocore", "aiohttp", "gcsfs", "adlfs"):
            raise
        raise UserMistake(f"input or output failed while {what}: {first_line(error)}") from None

"""One process works on a folder at a time: a lock file beside it says which, and dies with the process."""

from __future__ import annotations

import errno
import fcntl
import json
import logging
import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path

from segue.errors import UserMistake
from segue.system.atomic import UNFINISHED, writing
from segue.system.folders import missing_parents, remove_empty
from segue.system.replacing import beside, owner_of, settle

logger = logging.getLogger("segue")

_NO_LOCKS_HERE = (errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP)
_held: set[int] = set()
"""Descriptors of the lock files of this process."""


@contextmanager
def held(out: Path, mistake: type[UserMistake]) -> Iterator[None]:
    """Hold a folder inside the block, and put right what a killed process left beside it.

    The folder need not exist; parents that are made for its lock file disappear again unless something is written
    there. The lock is the system's: it ends with the process, however that ends, and a lock file that is left over is
    only a name.

    Raises `mistake` naming the process that holds the folder, ArtifactError when no lock file can be made.
    """
    place = Path(os.path.realpath(out))  # one folder has one lock, by whatever links it is reached
    parents = missing_parents(place)
    try:
        with writing(out):
            if parents:
                place.parent.mkdir(parents=True, exist_ok=True)
            lock, descriptor = _taken(place, out, mistake)
        _held.add(descriptor)
        try:
            with writing(out):
                settle(place)
            yield
        finally:
            if descriptor in _held:  # not in a forked child: the lock is its parent's
                _held.remove(descriptor)
                lock.unlink(missing_ok=True)
                os.close(descriptor)
    finally:
        remove_empty(parents)


def sweep(folder: Path, owns: Callable[[Path], bool]) -> None:
    """Remove what killed processes left in a folder that this process holds.

    Args:
        owns: whether a path relative to `folder` is one of Segue's files there; half-written ones among them go.
    """
    for path in sorted(folder.rglob("*")):
        owner = owner_of(path)
        if owner is not None:
            with suppress(UserMistake), held(owner, UserMistake):
                pass  # a live process beside us keeps what is its own
        elif path.name.endswith(UNFINISHED) and owns(path.relative_to(folder)):
            path.unlink(missing_ok=True)


def _taken(place: Path, out: Path, mistake: type[UserMistake]) -> tuple[Path, int]:
    """The lock file of a place, and the descriptor that locks it."""
    while True:
        lock, descriptor = _opened(place)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = _holder(descriptor)
            os.close(descriptor)
            raise mistake(f"{out} is in use by {holder}; wait until it ends, or choose another --out") from None
        except OSError as error:
            if error.errno not in _NO_LOCKS_HERE:
                os.close(descriptor)
                raise
            logger.warning("%s: this file system has no locks; do not start two processes on one folder", out)
        if _is_still(lock, descriptor):
            facts = {"pid": os.getpid(), "host": socket.gethostname(), "since": f"{datetime.now():%Y-%m-%d %H:%M:%S}"}
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, (json.dumps(facts) + "\n").encode(), 0)
            return lock, descriptor
        os.close(descriptor)  # its holder has just ended and removed the name


def _opened(place: Path) -> tuple[Path, int]:
    """Open the lock file beside the place, or in it where only the folder itself can be written."""
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW
    inside = beside(place / "this", "lock")
    if not place.name:  # the root of all folders
        return inside, os.open(inside, flags, 0o666)
    lock = beside(place, "lock")
    try:
        return lock, os.open(lock, flags, 0o666)
    except OSError as error:
        if error.errno not in (errno.EACCES, errno.EPERM, errno.EROFS) or os.path.lexists(lock) or not place.is_dir():
            raise
        return inside, os.open(inside, flags, 0o666)


def _is_still(lock: Path, descriptor: int) -> bool:
    with suppress(FileNotFoundError):
        return os.path.samestat(os.stat(lock, follow_symlinks=False), os.fstat(descriptor))
    return False


def _holder(descriptor: int) -> str:
    try:
        facts = json.loads(os.pread(descriptor, 4096, 0))
        return f"process {int(facts['pid'])} on {facts['host']} since {facts['since']}"
    except (OSError, ValueError, KeyError, TypeError):
        return "another process"


def _release_in_child() -> None:
    """A forked child gives back the descriptors of its parent's locks, which would outlive the parent in it."""
    for descriptor in _held:
        with suppress(OSError):
            os.close(descriptor)
    _held.clear()


os.register_at_fork(after_in_child=_release_in_child)

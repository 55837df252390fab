"""How a folder is replaced: its name always stands for the old one or the new one, whole, also when the process dies.

What a killed process leaves lies beside the folder under names of our own, ``.NAME.segue-...``, and is put right by
:func:`settle` at the next run.
"""

from __future__ import annotations

import ctypes
import errno
import os
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from segue.system.interrupts import undisturbed

_AT_FDCWD, _RENAME_EXCHANGE = -100, 2  # fcntl.h, linux/fs.h
_CANNOT_EXCHANGE = (errno.ENOSYS, errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP)
_BESIDE = re.compile(r"\.(.+)\.segue-(?:new|former|dropped|lock)")


def followed(out: Path) -> Path:
    """The place that is written for `out`: where it points to when it is a symbolic link, which itself stays."""
    return Path(os.path.realpath(out)) if out.is_symlink() else out


def beside(out: Path, what: str) -> Path:
    """The hidden name beside `out` for its folder under construction (``new``) or its lock (``lock``)."""
    return out.with_name(f".{out.name}.segue-{what}")


def owner_of(path: Path) -> Path | None:
    """The folder that a hidden name of :func:`beside` belongs to; None for every other name."""
    found = _BESIDE.fullmatch(path.name)
    return path.with_name(found[1]) if found else None


@contextmanager
def under_construction(out: Path, mode: int = 0o777) -> Iterator[Path]:
    """A new folder beside `out`, on the same disk; what is still there at the end of the block is removed."""
    new = beside(out, "new")
    try:
        new.mkdir(mode)
        yield new
    finally:
        with undisturbed():
            shutil.rmtree(new, ignore_errors=True)


def publish(finished: Path, out: Path) -> None:
    """Rename a finished folder into place; what it replaces disappears only once the new one is there.

    Raises OSError when it cannot be renamed; what stood at `out` is then still there.
    """
    if not out.exists() or not any(out.iterdir()):  # renaming replaces an empty folder
        finished.rename(out)
    elif exchange(finished, out):
        discard(finished)
    else:
        _replace_in_two_steps(finished, out)


def discard(folder: Path) -> None:
    """Remove a folder of ours. A killed process has removed nothing of it, or leaves the rest to :func:`settle`."""
    dropped = folder
    if owner_of(folder) is None:  # else its name says already that it may go
        dropped = beside(folder, "dropped")
        shutil.rmtree(dropped, ignore_errors=True)
        folder.rename(dropped)
    shutil.rmtree(dropped, ignore_errors=True)


def settle(out: Path) -> None:
    """Put right what a killed process left beside `out`. Only the process that holds `out` may call it.

    Where folders cannot be exchanged, it may have been killed while nothing stood at `out`: the old one comes back.
    """
    former = beside(out, "former")
    if former.is_dir() and not os.path.lexists(out):
        former.rename(out)
    for what in ("former", "dropped", "new"):
        shutil.rmtree(beside(out, what), ignore_errors=True)


def exchange(one: Path, other: Path) -> bool:
    """Exchange two names at once. False where the system or the file system cannot; raises OSError when it fails."""
    rename = _renameat2()
    if rename is None:
        return False
    if rename(_AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other), _RENAME_EXCHANGE) == 0:
        return True
    number = ctypes.get_errno()
    if number in _CANNOT_EXCHANGE:
        return False
    raise OSError(number, os.strerror(number), str(one), None, str(other))


def _replace_in_two_steps(finished: Path, out: Path) -> None:
    former = beside(out, "former")
    out.rename(former)
    try:
        finished.rename(out)
    except OSError:
        former.rename(out)
        raise
    shutil.rmtree(former, ignore_errors=True)


@cache
def _renameat2() -> Callable[..., int] | None:
    """The system call that exchanges two names; None where the C library has none."""
    try:
        function = ctypes.CDLL(None, use_errno=True).renameat2
    except (OSError, AttributeError):
        return None
    function.argtypes = [ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_char_p, ctypes.c_uint]
    return function

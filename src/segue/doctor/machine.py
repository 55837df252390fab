"""Cores, memory and disks, as this process may use them. What cannot be known is None, and is shown as that."""

from __future__ import annotations

import errno
import fcntl
import os
import platform
import re
import resource
import shutil
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from segue.system import limits


@dataclass(frozen=True)
class Cores:
    """Cores of the machine and of this process.

    Attributes:
        usable: threads that Segue takes by itself. affinity: processors that the process may run on.
        quota: cores' worth of time that its control groups grant; None without a limit.
        asked: the number of threads that the user's environment asks for (``OMP_NUM_THREADS``); None where it does not.
    """

    usable: int
    machine: int | None
    affinity: int
    quota: float | None
    asked: str | None
    processor: str | None


@dataclass(frozen=True)
class Memory:
    """Bytes of memory.

    Attributes:
        usable: what this process may use. group_limit: the least limit of its control groups; None without one.
        available: what the machine can still give without swapping.
        query_engine: what preparation takes before it spills to disk, unless ``preparation.memory_limit`` says more.
    """

    usable: int
    machine: int
    available: int | None
    group_limit: int | None
    query_engine: int


@dataclass(frozen=True)
class Disk:
    """A place where Segue writes.

    Attributes:
        role: what is written there. path: the folder that was looked at: the nearest one that exists.
        broken: why nothing can be written there; None where it can.
        locks: whether the file system has the locks that keep two processes from one folder; None where nothing can be
            written.
    """

    role: str
    path: str
    free: int | None
    file_system: str | None
    broken: str | None
    locks: bool | None


def cores() -> Cores:
    """The cores of this process."""
    asked = limits.asked_for().get(limits.THREADS)
    return Cores(limits.cores(), os.cpu_count(), limits.processors(), limits.core_quota(), asked, processor())


def memory() -> Memory:
    """The memory of this process."""
    usable, machine, group = limits.memory_limit(), limits.physical_memory(), limits.group_memory_limit()
    limited = group if group is not None and group < machine else None
    return Memory(usable, machine, _available(), limited, limits.query_engine_memory())


def open_files() -> int:
    """Most files and connections that this process may have open at a time."""
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def disk(role: str, folder: Path) -> Disk:
    """A folder that is written to, or will be made: its free space, and whether it takes files."""
    place = next(parent for parent in (folder.absolute(), *folder.absolute().parents) if parent.exists())
    broken, locks = _tried(place)
    free = None
    with suppress(OSError):
        free = shutil.disk_usage(place).free
    return Disk(role, str(place), free, _file_system(place), broken, locks)


def _tried(place: Path) -> tuple[str | None, bool | None]:
    """Write a file without a name there, and lock it."""
    try:
        with tempfile.TemporaryFile(dir=place) as file:
            file.write(b"segue")
            file.flush()
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                return None, error.errno == errno.EWOULDBLOCK
            return None, True
    except OSError as error:
        return error.strerror or str(error), None


def _available() -> int | None:
    found = re.search(r"^MemAvailable:\s+(\d+) kB", _text("/proc/meminfo"), re.MULTILINE)
    return int(found[1]) * 1024 if found else None


def processor() -> str | None:
    """The name of the processor."""
    found = re.search(r"^model name\s*:\s*(.+)$", _text("/proc/cpuinfo"), re.MULTILINE)
    return found[1].strip() if found else platform.processor() or None


def _file_system(place: Path) -> str | None:
    """The kind of file system that holds a folder: that of the mount with the longest path above it."""
    kinds: dict[str, str] = {}
    for line in _text("/proc/self/mountinfo").splitlines():
        before, _, after = line.partition(" - ")
        if len(words := before.split()) > 4 and after:
            kinds[words[4].replace("\\040", " ")] = after.split()[0]
    real = place.resolve()
    return next((kinds[str(parent)] for parent in (real, *real.parents) if str(parent) in kinds), None)


def _text(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""

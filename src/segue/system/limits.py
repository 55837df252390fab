"""The limits of this process on its machine: processors and memory."""

from __future__ import annotations

import os
import resource
from pathlib import Path

_CGROUPS = Path("/sys/fs/cgroup")
_MEMBERSHIP = Path("/proc/self/cgroup")


def usable_processors() -> int:
    """Number of processors that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def available_memory() -> int:
    """Bytes of memory that this process may use: the least of physical memory, the limits of its control groups, and
    its own RLIMITs."""
    physical = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return min(physical, *_resource_limits(), *cgroup_limits(_CGROUPS, _MEMBERSHIP))


def cgroup_limits(root: Path, membership: Path) -> list[int]:
    """Memory limits, in bytes, of the control groups this process is in and of all above them (version 2 and 1).

    Args:
        root: where the control groups are mounted.
        membership: the list of this process's groups (``/proc/self/cgroup``).
    """
    limits: list[int] = []
    for line in _read(membership).splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            mount, file = root, "memory.max"
        elif "memory" in controllers.split(","):
            mount, file = root / "memory", "memory.limit_in_bytes"
        else:
            continue
        group = mount / path.lstrip("/")
        for folder in (group, *group.parents):
            text = _read(folder / file).strip()
            if text.isdigit():
                limits.append(int(text))
            if folder == mount:
                break
    return limits


def _resource_limits() -> list[int]:
    soft = (resource.getrlimit(kind)[0] for kind in (resource.RLIMIT_AS, resource.RLIMIT_DATA))
    return [limit for limit in soft if limit != resource.RLIM_INFINITY]


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii")
    except OSError:
        return ""

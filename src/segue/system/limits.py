"""The limits of this process on its machine: cores and memory, as the system and its control groups give them.

Every part of Segue that asks how many threads or how much memory it may take asks here: the query engine, PyTorch, the
models that are solved in closed form, ``segue doctor`` and the benchmarks.
"""

from __future__ import annotations

import math
import os
import resource
from collections.abc import Iterator
from pathlib import Path

_CGROUPS = Path("/sys/fs/cgroup")
_MEMBERSHIP = Path("/proc/self/cgroup")
THREADS = "OMP_NUM_THREADS"
"""The variable that PyTorch, the BLAS libraries and Arrow read, when they start, for their number of threads."""
_set_here: set[str] = set()
"""Variables of the environment that :func:`keep_to_quota` has set."""


def cores() -> int:
    """Number of cores that this process may keep busy: those it may run on, or its share of processor time if less.

    A share of a core counts as a core, as in other runtimes: 1.5 cores are two threads, which wait now and then.
    """
    quota = core_quota()
    return processors() if quota is None else min(processors(), math.ceil(quota))


def processors() -> int:
    """Number of processors that this process may run on (its affinity), whatever its share of their time."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def core_quota() -> float | None:
    """Processor time per second of wall time that the control groups grant to this process; None without a limit."""
    return min(cgroup_core_quotas(_CGROUPS, _MEMBERSHIP), default=None)


def memory_limit() -> int:
    """Bytes of memory that this process may use: the least of physical memory, the limits of its control groups, and
    its own RLIMITs."""
    return min(physical_memory(), *_resource_limits(), *cgroup_memory_limits(_CGROUPS, _MEMBERSHIP))


def query_engine_memory() -> int:
    """Bytes of memory that the query engine takes unless it is told otherwise: the other half is for what it gives.

    Processes that work together on one machine share its memory.
    """
    return memory_limit() // (2 * processes_here())


def processes_here() -> int:
    """Number of processes that ``torchrun`` has started on this machine for one command."""
    told = os.environ.get("LOCAL_WORLD_SIZE", "")
    return max(int(told), 1) if told.isdecimal() else 1


def group_memory_limit() -> int | None:
    """Bytes of memory that the control groups grant to this process; None without a limit."""
    return min(cgroup_memory_limits(_CGROUPS, _MEMBERSHIP), default=None)


def physical_memory() -> int:
    """Bytes of memory that the machine has."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def keep_to_quota() -> None:
    """Let the libraries that have not started yet take as many threads as :func:`cores` has.

    By themselves they take one thread per processor, and those of a container with a share of a large machine then wait
    for each other. A number that the user has set stays.
    """
    if cores() < processors() and THREADS not in os.environ:
        os.environ[THREADS] = str(cores())
        _set_here.add(THREADS)


def asked_for() -> dict[str, str]:
    """The environment without what :func:`keep_to_quota` has set: what the user asked for."""
    return {name: value for name, value in os.environ.items() if name not in _set_here}


def cgroup_memory_limits(root: Path, membership: Path) -> list[int]:
    """Memory limits, in bytes, of the control groups this process is in and of all above them (version 2 and 1).

    Args:
        root: where the control groups are mounted.
        membership: the list of this process's groups (``/proc/self/cgroup``).
    """
    files = {2: "memory.max", 1: "memory.limit_in_bytes"}
    texts = [_read(group / files[version]).strip() for group, version in _groups(root, membership, "memory")]
    return [int(text) for text in texts if text.isdigit()]


def cgroup_core_quotas(root: Path, membership: Path) -> list[float]:
    """Processor time per second of wall time that the control groups grant, of those above them too (version 2 and 1).

    Args:
        root: where the control groups are mounted.
        membership: the list of this process's groups (``/proc/self/cgroup``).
    """
    quotas = []
    for group, version in _groups(root, membership, "cpu"):
        if version == 2:
            words = _read(group / "cpu.max").split()
        else:  # a quota of -1 is none
            words = [_read(group / name).strip() for name in ("cpu.cfs_quota_us", "cpu.cfs_period_us")]
        if len(words) == 2 and all(word.isdigit() and int(word) for word in words):
            quotas.append(int(words[0]) / int(words[1]))
    return quotas


def _groups(root: Path, membership: Path, controller: str) -> Iterator[tuple[Path, int]]:
    """The folders of the groups that limit this process with a controller, and the version of each: 2 or 1."""
    for line in _read(membership).splitlines():
        _, _, named = line.partition(":")
        controllers, _, path = named.partition(":")
        if controllers == "":
            mount, version = root, 2
        elif controller in controllers.split(","):
            mount, version = root / controller, 1
        else:
            continue
        # A container may name its group as the host sees it: what is not mounted here has no files, and that above has.
        within = Path(path.lstrip("/"))
        group = mount if ".." in within.parts else mount / within
        for folder in (group, *group.parents):
            yield folder, version
            if folder == mount:
                break


def _resource_limits() -> list[int]:
    soft = (resource.getrlimit(kind)[0] for kind in (resource.RLIMIT_AS, resource.RLIMIT_DATA))
    return [limit for limit in soft if limit != resource.RLIM_INFINITY]


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii")
    except (OSError, ValueError):
        return ""

"""Cores and memory that the process may use, as control groups and the machine limit them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from segue.system import limits
from segue.system.torch_runtime import threads

UNLIMITED = "9223372036854771712\n"


def written(root: Path, files: dict[str, str], membership: str) -> tuple[Path, Path]:
    """A tree of control groups, and the list of those that a process is in."""
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    (root / "membership").write_text(membership)
    return root, root / "membership"


def test_the_least_limit_of_all_groups_above_counts(tmp_path: Path) -> None:
    files = {"a/b/memory.max": "max\n", "a/memory.max": "5000\n", "memory/job/memory.limit_in_bytes": "4000\n"}
    root, membership = written(tmp_path, files, "0::/a/b\n5:cpu,memory:/job\n3:pids:/job\n")
    assert sorted(limits.cgroup_memory_limits(root, membership)) == [4000, 5000]
    assert limits.cgroup_memory_limits(tmp_path, tmp_path / "absent") == []


@pytest.mark.parametrize(
    ("files", "membership", "quotas"),
    [
        ({"a/cpu.max": "150000 100000\n"}, "0::/a\n", [1.5]),
        ({"a/b/cpu.max": "max 100000\n", "a/cpu.max": "50000 100000\n"}, "0::/a/b\n", [0.5]),
        ({"cpu.max": "400000 100000\n"}, "0::/\n", [4.0]),
        # A container without a name space of its own: the group of the host is not mounted, its files lie at the top.
        (
            {"cpu/cpu.cfs_quota_us": "200000\n", "cpu/cpu.cfs_period_us": "100000\n"},
            "4:cpu,cpuacct:/docker/1f\n",
            [2.0],
        ),
        ({"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, "1:cpu:/\n", []),
        ({"cpu.max": "200000 100000\n"}, "0::/../elsewhere\n", [2.0]),
        ({"cpu.max": "nonsense\n", "a/cpu.max": "0 0\n"}, "0::/a\n", []),
        ({}, "no list of groups\n\n", []),
    ],
)
def test_the_share_of_processor_time(
    tmp_path: Path, files: dict[str, str], membership: str, quotas: list[float]
) -> None:
    assert limits.cgroup_core_quotas(*written(tmp_path, files, membership)) == quotas


@pytest.mark.parametrize(
    ("granted", "cores"), [("max", 64), ("800000", 8), ("150000", 2), ("20000", 1), ("9900000", 64)]
)
def test_cores_are_the_lesser_of_affinity_and_quota(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, granted: str, cores: int
) -> None:
    root, membership = written(tmp_path, {"cpu.max": f"{granted} 100000\n"}, "0::/\n")
    monkeypatch.setattr(limits, "_CGROUPS", root)
    monkeypatch.setattr(limits, "_MEMBERSHIP", membership)
    monkeypatch.setattr(limits, "processors", lambda: 64)
    assert limits.cores() == cores


def test_a_memory_limit_of_the_group_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root, membership = written(tmp_path, {"memory/memory.limit_in_bytes": "64000000\n"}, "4:memory:/docker/1f\n")
    monkeypatch.setattr(limits, "_CGROUPS", root)
    monkeypatch.setattr(limits, "_MEMBERSHIP", membership)
    assert limits.memory_limit() == 64_000_000
    (root / "memory" / "memory.limit_in_bytes").write_text(UNLIMITED)
    assert limits.memory_limit() > 64_000_000


def test_the_process_may_use_no_more_than_the_machine_has() -> None:
    kib = next(int(line.split()[1]) for line in Path("/proc/meminfo").read_text().splitlines() if "MemTotal" in line)
    assert 0 < limits.memory_limit() <= kib * 1024


# A process that is granted two of the processors of a large machine, from before its first import of a library.
GRANTED = """
import os, sys
os.cpu_count = lambda: 64
os.sched_getaffinity = lambda pid: set(range(64))
from segue.system import limits
from pathlib import Path
limits._CGROUPS, limits._MEMBERSHIP = Path(sys.argv[1]), Path(sys.argv[2])
limits.keep_to_quota()
import torch, pyarrow
print(torch.get_num_threads(), pyarrow.cpu_count(), "OMP_NUM_THREADS" in limits.asked_for())
"""


@pytest.mark.parametrize(("asked", "said"), [(None, "2 2 False"), ("1", "1 1 True")])
def test_libraries_take_the_threads_of_the_quota_or_of_the_user(tmp_path: Path, asked: str | None, said: str) -> None:
    root, membership = written(tmp_path, {"cpu.max": "200000 100000\n"}, "0::/\n")
    environment = {name: value for name, value in os.environ.items() if not name.endswith("_NUM_THREADS")}
    environment |= {"OMP_NUM_THREADS": asked} if asked else {}
    command = [sys.executable, "-c", GRANTED, str(root), str(membership)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == said


def test_torch_computes_with_no_more_threads_than_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where torch was started before Segue, it has as many threads as the machine has processors."""
    monkeypatch.setattr("segue.system.torch_runtime.cores", lambda: 2)
    torch.set_num_threads(3)
    with threads(0):
        assert torch.get_num_threads() == 2
    with threads(4):
        assert torch.get_num_threads() == 4
    assert torch.get_num_threads() == 3


@pytest.mark.parametrize(("told", "processes"), [("", 1), ("2", 2), ("0", 1), ("two", 1)])
def test_processes_of_one_command_share_the_memory(monkeypatch: pytest.MonkeyPatch, told: str, processes: int) -> None:
    monkeypatch.setattr(limits, "memory_limit", lambda: 2**30)
    monkeypatch.setenv("LOCAL_WORLD_SIZE", told)
    assert limits.query_engine_memory() == 2**29 // processes

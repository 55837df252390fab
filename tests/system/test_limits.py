"""Memory that the process may use, as control groups and the machine limit it."""

from __future__ import annotations

from pathlib import Path

from segue.system import limits


def test_the_least_limit_of_all_groups_above_counts(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "b" / "memory.max").write_text("max\n")
    (tmp_path / "a" / "memory.max").write_text("5000\n")
    (tmp_path / "memory" / "job").mkdir(parents=True)
    (tmp_path / "memory" / "job" / "memory.limit_in_bytes").write_text("4000\n")
    membership = tmp_path / "cgroup"
    membership.write_text("0::/a/b\n5:cpu,memory:/job\n3:pids:/job\n")
    assert sorted(limits.cgroup_limits(tmp_path, membership)) == [4000, 5000]
    assert limits.cgroup_limits(tmp_path, tmp_path / "absent") == []


def test_the_process_may_use_no_more_than_the_machine_has() -> None:
    kib = next(int(line.split()[1]) for line in Path("/proc/meminfo").read_text().splitlines() if "MemTotal" in line)
    assert 0 < limits.available_memory() <= kib * 1024

"""Disks and packages as they are found, also broken ones."""

from __future__ import annotations

import errno
import importlib.metadata
import tempfile
from pathlib import Path
from typing import Any

import pytest

from segue.doctor import machine, packages
from segue.doctor.packages import Package
from segue.doctor.speed import _fastest, numpy_speed, torch_speed


def test_a_folder_that_is_still_to_be_made(tmp_path: Path) -> None:
    disk = machine.disk("models", tmp_path / "new" / "model")
    assert (disk.path, disk.broken, disk.locks) == (str(tmp_path), None, True)
    assert disk.free is not None
    assert not list(tmp_path.iterdir())


def test_a_folder_that_takes_no_file() -> None:
    disk = machine.disk("models", Path("/proc"))
    assert disk.broken
    assert (disk.file_system, disk.locks) == ("proc", None)


def test_a_disk_that_is_full_when_it_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(**options: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(tempfile, "TemporaryFile", full)
    assert machine.disk("models", tmp_path).broken == "No space left on device"


def test_what_the_system_does_not_tell_is_not_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "_text", lambda path: "")
    assert machine.memory().available is None
    assert machine.disk("models", tmp_path).file_system is None


def test_requirements_are_read_from_the_metadata(monkeypatch: pytest.MonkeyPatch) -> None:
    listed = [
        "numpy>=99",
        "absent >=1,<3",
        "redis>=5.2; extra == 'redis'",
        'other[x]>=1 ; python_version > "3" and extra == "y"',
    ]
    monkeypatch.setattr(importlib.metadata, "requires", lambda name: listed)
    found = {package.name: package for package in packages.packages()}
    assert found["numpy"].too_old
    assert found["numpy"].broken is None
    assert found["absent"] == Package("absent", ">=1,<3", "", None)
    assert found["redis"].extra == "redis"
    assert (found["other"].needed, found["other"].extra) == (">=1", "y")


@pytest.mark.parametrize(
    ("version", "needed", "too_old"),
    [
        ("2.6.0+cpu", ">=2.6", False),
        ("2.5.1", ">=2.6", True),
        ("2.10", ">=2.6", False),
        ("2.6.0rc1", ">=2.6", False),
        ("1", "", False),
    ],
)
def test_versions_are_compared_by_their_numbers(version: str, needed: str, too_old: bool) -> None:
    assert Package("x", needed, "", version).too_old is too_old


def test_segue_itself_has_all_that_it_needs() -> None:
    found = [package for package in packages.packages() if not package.extra]
    assert {"torch", "duckdb"} <= {package.name for package in found}
    assert not [package for package in found if package.broken or package.too_old]


@pytest.mark.parametrize("measure", [numpy_speed, torch_speed])
def test_speeds_are_measured(measure: Any) -> None:
    speed = measure(64, 2**16, 2, 1.0)
    assert speed.matmul_f32_gflops > 0
    assert speed.memory_read_gb_per_s > 0


def test_measuring_ends_with_its_time() -> None:
    calls: list[int] = []
    _fastest(lambda: calls.append(0), repeats=5, seconds=60.0)
    assert len(calls) == 6
    _fastest(lambda: calls.append(0), repeats=5, seconds=0.0)
    assert len(calls) == 7

"""What the doctor says of a machine, and that it says nothing of one that is fine."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import pytest

from segue.doctor import findings
from segue.doctor.computing import Blas, Gpu
from segue.doctor.findings import GIB, MIB, TEMPORARY, Finding
from segue.doctor.machine import Cores, Disk, Memory
from segue.doctor.packages import Package
from segue.doctor.speed import Speed

CORES = Cores(usable=8, machine=8, affinity=8, quota=None, asked=None, processor="fast")
MEMORY = Memory(usable=16 * GIB, machine=16 * GIB, available=12 * GIB, group_limit=None, query_engine=8 * GIB)
DISK = Disk("models", "/srv", 100 * GIB, "ext4", None, True)
TORCH = Blas("torch", "mkl", 8, Speed(400.0, 20.0))
NUMPY = Package("numpy", ">=1.26", "", "2.4.6")


def the_one(found: Iterable[Finding]) -> Finding:
    (finding,) = found
    return finding


def test_nothing_is_said_of_a_machine_that_is_fine() -> None:
    assert not list(findings.of_cores(CORES, [TORCH]))
    assert not list(findings.of_memory(MEMORY))
    assert not list(findings.of_disks([DISK]))
    assert not list(findings.of_blas([TORCH]))
    assert not list(findings.of_packages([NUMPY]))
    assert not list(findings.of_gpu(Gpu(None), has_driver=False))
    assert not list(findings.of_open_files(65_536))


def test_more_threads_than_the_quota_has_cores() -> None:
    cores = replace(CORES, usable=2, quota=1.5)
    granted, threads = findings.of_cores(cores, [TORCH])
    assert granted.grade == "ok"
    assert "1.5 of 8 cores" in granted.what
    assert threads == Finding(
        "note", "torch computes with 8 threads on 2 cores: they wait for each other", "set OMP_NUM_THREADS=2"
    )


@pytest.mark.parametrize(("asked", "do"), [("1", "unset OMP_NUM_THREADS"), (None, "training.threads=8")])
def test_one_thread_on_many_cores(asked: str | None, do: str) -> None:
    found = the_one(findings.of_cores(replace(CORES, asked=asked), [replace(TORCH, threads=1)]))
    assert found.do == do
    assert not list(findings.of_cores(replace(CORES, usable=1), [replace(TORCH, threads=1)]))


@pytest.mark.parametrize(("usable", "grade"), [(256 * MIB, "problem"), (2 * GIB, "note")])
def test_little_memory(usable: int, grade: str) -> None:
    assert the_one(findings.of_memory(replace(MEMORY, usable=usable, query_engine=usable // 2))).grade == grade


def test_memory_that_others_hold() -> None:
    found = the_one(findings.of_memory(replace(MEMORY, available=2 * GIB)))
    assert found.do == "--set preparation.memory_limit=1024MiB"
    assert not list(findings.of_memory(replace(MEMORY, available=None)))


@pytest.mark.parametrize(
    ("change", "grade", "said"),
    [
        ({"broken": "Read-only file system", "locks": None}, "problem", "Read-only file system"),
        ({"free": 50 * MIB}, "problem", "50 MiB are free"),
        ({"free": GIB}, "note", "1.0 GiB are free"),
        ({"locks": False}, "note", "no locks"),
        ({"file_system": "tmpfs"}, "note", "lies in memory"),
    ],
)
def test_disks(change: dict[str, object], grade: str, said: str) -> None:
    found = the_one(findings.of_disks([replace(DISK, role=TEMPORARY, **change)]))  # type: ignore[arg-type]
    assert found.grade == grade
    assert said in found.what
    assert "TMPDIR" in found.do or "two commands" in found.do
    assert not list(findings.of_disks([replace(DISK, free=None, file_system=None)]))


def test_a_slow_library() -> None:
    slow = replace(TORCH, implementation=None, speed=Speed(8.0, 20.0))
    assert "1.0 GFLOP/s per thread" in the_one(findings.of_blas([slow])).what
    assert not list(findings.of_blas([replace(slow, speed=None), replace(slow, threads=None)]))


def test_packages() -> None:
    assert the_one(findings.of_packages([replace(NUMPY, version=None)])).grade == "problem"
    assert "older" in the_one(findings.of_packages([replace(NUMPY, version="1.9.9")])).what
    broken = the_one(findings.of_packages([replace(NUMPY, broken="OSError: libfoo.so.1")]))
    assert (broken.grade, "libfoo.so.1" in broken.what) == ("problem", True)
    extra = [Package("uvloop", "", "serve", None), Package("uvicorn", "", "serve", None)]
    missing = the_one(findings.of_packages(extra))
    assert (missing.grade, missing.do) == ("note", "pip install 'segue[serve]'")


def test_a_gpu_that_pytorch_cannot_use() -> None:
    assert "finds no GPU" in the_one(findings.of_gpu(Gpu(None), has_driver=True)).what
    assert not list(findings.of_gpu(Gpu("cuda 12.4", [{"name": "H100", "memory": 1}]), has_driver=True))


def test_few_open_files() -> None:
    assert "1,024 files" in the_one(findings.of_open_files(1024)).what

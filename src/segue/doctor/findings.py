"""What would be slow or fail on this machine, why, and what to do about it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

from segue.doctor.computing import Blas, Gpu
from segue.doctor.machine import Cores, Disk, Memory
from segue.doctor.packages import Package

Grade = Literal["ok", "note", "problem"]
MIB, GIB = 2**20, 2**30
_LEAST_MEMORY, _LITTLE_MEMORY = 512 * MIB, 4 * GIB
_LEAST_DISK, _LITTLE_DISK = 100 * MIB, 2 * GIB
_FEW_FILES = 4096
_SLOW_GFLOPS_PER_THREAD = 8.0
"""A library without code for the processor's vectors reaches a few GFLOP/s per core, any other several times that."""
_USED_FOR = {
    "serve": "segue serve and segue replay refuse to start",
    "redis": "segue serve --store redis://… refuses to start; SQLite works",
    "s3": "segue prepare reads and writes nothing at s3://…",
    "spark": "segue prepare --engine spark refuses to start; DuckDB works",
    "demo": "segue demo and the log complete-journey: have no data",
    "tensorboard": "trainings write no curves for TensorBoard; metrics.jsonl has them",
}


@dataclass(frozen=True)
class Finding:
    """Something that was found.

    Attributes:
        grade: "problem" stops Segue from working, "note" makes it slow or leaves a part of it out, "ok" is fine.
        what: what was found and what follows from it. do: what to do about it.
    """

    grade: Grade
    what: str
    do: str = ""


def of_packages(packages: Iterable[Package]) -> Iterator[Finding]:
    """Packages that are missing, too old, or do not work."""
    missing: dict[str, list[str]] = {}
    for package in packages:
        grade: Grade = "note" if package.extra else "problem"
        install = f"pip install '{package.name}{package.needed}'"
        if package.version is None and package.extra:
            missing.setdefault(package.extra, []).append(package.name)
        elif package.version is None:
            yield Finding(grade, f"the package {package.name} is not installed", install)
        elif package.too_old:
            what = f"{package.name} {package.version} is older than Segue needs ({package.needed})"
            yield Finding(grade, what, install)
        elif package.broken:
            do = f"pip install --force-reinstall '{package.name}{package.needed}'"
            yield Finding(grade, f"{package.name} {package.version} cannot be imported: {package.broken}", do)
    for extra, names in missing.items():
        follows = _USED_FOR.get(extra, "a part of Segue is left out")
        yield Finding("note", f"without {', '.join(names)}: {follows}", f"pip install 'segue[{extra}]'")


def of_cores(cores: Cores, used: Iterable[Blas]) -> Iterator[Finding]:
    """More threads than cores, which wait for each other, or fewer, which leave cores idle."""
    if cores.quota is not None and cores.quota < cores.affinity:
        what = f"control groups grant the time of {cores.quota:g} of {cores.affinity} cores: Segue uses {cores.usable}"
        yield Finding("ok", what)
    for blas in used:
        if blas.threads is not None and blas.threads > cores.usable:
            what = (
                f"{blas.used_by} computes with {blas.threads} threads on {cores.usable} cores: they wait for each other"
            )
            yield Finding("note", what, f"set OMP_NUM_THREADS={cores.usable}")
        elif blas.used_by == "torch" and blas.threads == 1 < cores.usable:
            what = f"PyTorch trains with one thread, and {cores.usable} cores could work"
            yield Finding("note", what, "unset OMP_NUM_THREADS" if cores.asked else f"training.threads={cores.usable}")


def of_memory(memory: Memory) -> Iterator[Finding]:
    """Too little memory, or too little of it left."""
    usable = size(memory.usable)
    if memory.usable < _LEAST_MEMORY:
        what = f"{usable} of memory may be used: PyTorch alone takes most of it, and trainings are killed"
        yield Finding("problem", what, f"raise the memory limit to {size(_LEAST_MEMORY)} at least")
    elif memory.usable < _LITTLE_MEMORY:
        do = "lower filters.top_items, model.dim or training.batch_events where it does not fit"
        yield Finding("note", f"{usable} of memory may be used: large catalogues do not fit", do)
    if memory.available is not None and memory.available < memory.query_engine:
        what = (
            f"other processes leave {size(memory.available)}, and preparation may take {size(memory.query_engine)} "
            "before it spills to disk"
        )
        yield Finding("note", what, f"--set preparation.memory_limit={max(memory.available // 2 // MIB, 64)}MiB")


def of_disks(disks: Iterable[Disk]) -> Iterator[Finding]:
    """Folders that take no files, have little room, or lie in memory."""
    for disk in disks:
        where = f"{disk.path} ({disk.role})"
        another = "set TMPDIR to another folder" if disk.role == TEMPORARY else "choose another folder for --out"
        if disk.broken is not None:
            yield Finding("problem", f"nothing can be written to {where}: {disk.broken}", another)
        elif disk.free is not None and disk.free < _LEAST_DISK:
            yield Finding("problem", f"{size(disk.free)} are free in {where}", f"make room, or {another}")
        elif disk.free is not None and disk.free < _LITTLE_DISK:
            what = f"{size(disk.free)} are free in {where}: the preparation of a large log fills that"
            yield Finding("note", what, f"make room, or {another}")
        if disk.broken is None and disk.locks is False:
            what = f"the file system of {where} has no locks: two processes could work on one folder"
            yield Finding("note", what, "do not start two commands with one --out")
        if disk.file_system in ("tmpfs", "ramfs"):
            yield Finding("note", f"{where} lies in memory: what is spilled there takes memory", another)


def of_blas(used: Iterable[Blas]) -> Iterator[Finding]:
    """Libraries that multiply slowly."""
    for blas in used:
        if blas.speed is None or not blas.threads:
            continue
        each = blas.speed.matmul_f32_gflops / blas.threads
        if each < _SLOW_GFLOPS_PER_THREAD:
            what = (
                f"{blas.used_by} multiplies at {each:.1f} GFLOP/s per thread: other processes use the cores, or its "
                f"library ({blas.implementation or 'not known'}) has no code for this processor"
            )
            yield Finding(
                "note", what, f"repeat on an idle machine; then install {blas.used_by} from PyPI or conda-forge"
            )


def of_gpu(gpu: Gpu, *, has_driver: bool) -> Iterator[Finding]:
    """A GPU that PyTorch cannot use."""
    if gpu.broken is None and not gpu.devices and has_driver:
        what = f"a GPU driver is loaded, and PyTorch (built for {gpu.built_for or 'processors'}) finds no GPU"
        yield Finding("note", what, "install the build of PyTorch for that driver: https://pytorch.org/get-started")


def of_open_files(most: int) -> Iterator[Finding]:
    """Few files that may be open: each connection of a server is one."""
    if most < _FEW_FILES:
        what = f"{most:,} files may be open at a time: a server refuses connections beyond that"
        yield Finding("note", what, "ulimit -n 65536, or LimitNOFILE=65536 in the unit")


TEMPORARY = "temporary files"
"""The role of the folder that TMPDIR names."""


def size(count: int) -> str:
    """A number of bytes for people."""
    return f"{count / GIB:.1f} GiB" if count >= GIB else f"{count / MIB:.0f} MiB"

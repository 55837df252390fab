"""The command ``segue doctor``: what this machine can do for Segue, and what would be slow or fail."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from segue.cli.console import out, print_json
from segue.cli.options import Json
from segue.doctor.computing import Blas, Gpu
from segue.doctor.examination import Examination, examine
from segue.doctor.findings import size
from segue.doctor.machine import Disk
from segue.doctor.packages import Package
from segue.errors import UserMistake
from segue.report.text import in_one_line
from segue.system.exit_codes import Exit

UNKNOWN = "not known"


def doctor(
    folder: Annotated[Path, typer.Argument(help="Where models are to be written.")] = Path(),
    as_json: Json = False,
) -> None:
    """Show what this machine can do, what would be slow or fail, and why; exit code 1 where a problem stops Segue.

    Example: `segue doctor /srv/segue`
    """
    if folder.exists() and not folder.is_dir():
        raise UserMistake(f"{folder} is a file; name the folder where models are to be written")
    found = examine(folder)
    if as_json:
        print_json(found.as_dict())
    else:
        out.print("\n".join(map(in_one_line, lines(found))))
    if found.grade == "problem":
        raise typer.Exit(Exit.DEFECT)


def lines(found: Examination) -> Iterator[str]:
    """The screen: facts, then findings. What is not known is said."""
    for name, text in _facts(found):
        yield f"{name:<9} {text}"
    for finding in found.findings:
        yield f"{finding.grade:<9} {finding.what}{f' -> {finding.do}' if finding.do else ''}"


def _facts(found: Examination) -> Iterator[tuple[str, str]]:
    cores, memory = found.cores, found.memory
    yield "segue", f"{found.segue}, Python {found.python}, {found.system}"
    yield "packages", _packages([package for package in found.packages if not package.extra])
    for extra in sorted({package.extra for package in found.packages if package.extra}):
        yield "", f"[{extra}] {_packages([package for package in found.packages if package.extra == extra])}"
    quota = "no quota" if cores.quota is None else f"quota {cores.quota:g}"
    asked = f"OMP_NUM_THREADS={cores.asked}" if cores.asked else "OMP_NUM_THREADS not set"
    yield "cores", f"{cores.usable} of {_or(cores.machine)} (affinity {cores.affinity}, {quota}; {asked})"
    yield "processor", _or(cores.processor)
    limit = "no limit" if memory.group_limit is None else f"limit {size(memory.group_limit)}"
    yield (
        "memory",
        (
            f"{size(memory.usable)} of {size(memory.machine)} may be used ({limit}), "
            f"{_size(memory.available)} available, preparation takes {size(memory.query_engine)}"
        ),
    )
    yield "gpu", _gpu(found.gpu)
    for disk in found.disks:
        yield "disk", _disk(disk)
    for blas in found.blas:
        yield "blas", _blas(blas)
    yield "files", f"{found.open_files:,} may be open at a time"
    yield "programs", ", ".join(f"{name} {path or 'not found'}" for name, path in found.programs.items())


def _packages(packages: list[Package]) -> str:
    return ", ".join(f"{package.name} {package.version or 'not installed'}" for package in packages)


def _gpu(gpu: Gpu) -> str:
    if gpu.broken is not None:
        return f"{UNKNOWN}: {gpu.broken}"
    names = ", ".join(f"{device['name']} with {_size(device['memory'])}" for device in gpu.devices)
    return f"{names or 'none'} (PyTorch is built for {gpu.built_for or 'processors alone'})"


def _disk(disk: Disk) -> str:
    state = f"cannot be written: {disk.broken}" if disk.broken else "can be written"
    locks = {True: "has locks", False: "has no locks", None: f"locks {UNKNOWN}"}[disk.locks]
    kind = disk.file_system or f"file system {UNKNOWN}"
    return f"{_size(disk.free)} free for {disk.role} in {disk.path} ({kind}, {locks}), {state}"


def _blas(blas: Blas) -> str:
    speed = f"speed {UNKNOWN}"
    if blas.speed is not None:
        speed = f"{blas.speed.matmul_f32_gflops:.1f} GFLOP/s, reads {blas.speed.memory_read_gb_per_s:.1f} GB/s"
    return f"{blas.used_by}: implementation {_or(blas.implementation)}, threads {_or(blas.threads)}, {speed}"


def _or(value: Any) -> str:
    return UNKNOWN if value is None else str(value)


def _size(count: int | None) -> str:
    return UNKNOWN if count is None else size(count)

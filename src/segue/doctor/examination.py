"""The examination as a whole: the facts in the order in which they can be had, and what follows from them."""

from __future__ import annotations

import platform
import shutil
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from segue.doctor import computing, findings, machine
from segue.doctor.computing import Blas, Gpu
from segue.doctor.findings import Finding, Grade
from segue.doctor.machine import Cores, Disk, Memory
from segue.doctor.packages import Package, packages
from segue.version import __version__

FORMAT = 1
"""Version of the JSON shape: keys may be added within one, and are neither removed nor given another meaning."""
_PROGRAMS = ("chromium", "redis-server", "nvidia-smi")


@dataclass(frozen=True)
class Examination:
    """What was found on this machine. Values that cannot be known are None.

    Attributes:
        programs: name → path of the programs outside Python that tests, stores and GPUs use.
        open_files: most files that this process may have open.
    """

    segue: str
    python: str
    system: str
    packages: list[Package]
    cores: Cores
    memory: Memory
    open_files: int
    gpu: Gpu
    disks: list[Disk]
    blas: list[Blas]
    programs: dict[str, str | None]
    findings: list[Finding]

    @property
    def grade(self) -> Grade:
        """The gravest of the findings."""
        grades = {each.grade for each in self.findings}
        return "problem" if "problem" in grades else "note" if "note" in grades else "ok"

    def as_dict(self) -> dict[str, Any]:
        """The JSON shape; docs/guide/unattended.md describes it."""
        return {"format": FORMAT, "grade": self.grade, **asdict(self)}


def examine(folder: Path) -> Examination:
    """Look at everything; measuring takes about three seconds.

    Args:
        folder: where models are to be written.
    """
    of_numpy = computing.blas_of_numpy()  # before torch, which the packages import
    found, cores, memory = packages(), machine.cores(), machine.memory()
    blas, gpu = [of_numpy, computing.blas_of_torch()], computing.gpu()
    temporary = machine.disk(findings.TEMPORARY, Path(tempfile.gettempdir()))
    disks = [temporary, machine.disk("models", folder)]
    open_files = machine.open_files()
    programs = {name: shutil.which(name) for name in _PROGRAMS}
    follows = [
        *findings.of_packages(found),
        *findings.of_memory(memory),
        *findings.of_disks(disks),
        *findings.of_cores(cores, blas),
        *findings.of_blas(blas),
        *findings.of_gpu(gpu, has_driver=programs["nvidia-smi"] is not None),
        *findings.of_open_files(open_files),
    ]
    system = f"{platform.system()} {platform.release()} {platform.machine()}"
    return Examination(
        __version__, platform.python_version(), system, found, cores, memory, open_files, gpu, disks, blas, programs,
        follows or [Finding("ok", "nothing would be slow or fail")],
    )  # fmt: skip

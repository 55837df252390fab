"""What computes: the BLAS libraries of NumPy and PyTorch with their threads and speed, and GPUs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from segue.doctor.speed import Speed, numpy_speed, torch_speed
from segue.errors import first_line

_ROWS, _READ_BYTES, _REPEATS, _SECONDS = 1024, 2**27, 3, 0.4
"""Sizes of what is measured, and the time for each of four measurements: less than three seconds in all."""


@dataclass(frozen=True)
class Blas:
    """The library behind the matrix products of NumPy or PyTorch.

    Attributes:
        used_by: "numpy", whose products answer requests, or "torch", which trains.
        implementation: its name and version. threads: how many it takes.
        speed: in GFLOP/s and GB/s; None where it could not be measured.
    """

    used_by: str
    implementation: str | None
    threads: int | None
    speed: Speed | None


@dataclass(frozen=True)
class Gpu:
    """GPUs that PyTorch can use.

    Attributes:
        built_for: what this build of PyTorch can use: "cuda 12.4", "rocm 6.2", "mps"; None for processors alone.
        devices: the name and bytes of memory of each. broken: why that cannot be known.
    """

    built_for: str | None = None
    devices: list[dict[str, Any]] = field(default_factory=list)
    broken: str | None = None


def blas_of_numpy() -> Blas:
    """NumPy's BLAS. To be called before torch is imported, which may bring another."""
    try:
        import numpy  # noqa: F401  its library is listed once it is loaded
        from threadpoolctl import threadpool_info

        found = [each for each in threadpool_info() if each["user_api"] == "blas"]
        of_numpy = next((each for each in found if "numpy" in each["filepath"]), found[0] if found else {})
        name, version = of_numpy.get("internal_api"), of_numpy.get("version")
        named = f"{name} {version}" if name and version else name
        return Blas("numpy", named, of_numpy.get("num_threads"), _speed(numpy_speed))
    except Exception:
        return Blas("numpy", None, None, None)


def blas_of_torch() -> Blas:
    """PyTorch's BLAS, which may be linked into it, where nobody else sees it."""
    try:
        import torch

        mkl: Any = torch.backends.mkl  # its functions have no types
        named = "mkl" if mkl.is_available() else None
        return Blas("torch", named, torch.get_num_threads(), _speed(torch_speed))
    except Exception:
        return Blas("torch", None, None, None)


def _speed(measured: Callable[[int, int, int, float], Speed]) -> Speed | None:
    try:
        return measured(_ROWS, _READ_BYTES, _REPEATS, _SECONDS)
    except Exception:
        return None


def gpu() -> Gpu:
    """The GPUs. A PyTorch or driver that is broken is said, not raised."""
    try:
        import torch

        built_for = _built_for(torch)
        if torch.cuda.is_available():
            found = [torch.cuda.get_device_properties(number) for number in range(torch.cuda.device_count())]
            return Gpu(built_for, [{"name": each.name, "memory": each.total_memory} for each in found])
        if torch.backends.mps.is_available():
            return Gpu(built_for, [{"name": "mps", "memory": None}])
        return Gpu(built_for)
    except Exception as error:
        return Gpu(broken=f"{type(error).__name__}: {first_line(error)}")


def _built_for(torch: Any) -> str | None:
    if torch.version.cuda:
        return f"cuda {torch.version.cuda}"
    if torch.version.hip:
        return f"rocm {torch.version.hip}"
    return "mps" if torch.backends.mps.is_built() else None

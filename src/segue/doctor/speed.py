"""How fast the machine multiplies matrices and reads its memory, with NumPy and with PyTorch."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Speed:
    """Speed of f32 matrix products, in GFLOP/s, and of reading memory, in GB/s."""

    matmul_f32_gflops: float
    memory_read_gb_per_s: float


def numpy_speed(rows: int, read_bytes: int, repeats: int, seconds: float) -> Speed:
    """The speed of NumPy, whose sums are those of one thread. Arguments: :func:`torch_speed`."""
    import numpy as np

    left = np.random.default_rng(0).random((rows, rows), dtype=np.float32)
    product, memory = np.empty_like(left), np.ones(read_bytes // 4, dtype=np.float32)
    return _speed(lambda: np.matmul(left, left, out=product), lambda: memory.sum(), rows, read_bytes, repeats, seconds)


def torch_speed(rows: int, read_bytes: int, repeats: int, seconds: float) -> Speed:
    """The speed of PyTorch with its present number of threads.

    Args:
        rows: those of the square matrices that are multiplied. read_bytes: far more than any cache holds.
        repeats: most calls of each kind; the fastest counts. seconds: no further call of a kind begins after these.
    """
    import torch

    left, right = torch.rand(rows, rows), torch.rand(rows, rows)
    product, memory = torch.empty(rows, rows), torch.ones(read_bytes // 4)
    return _speed(lambda: torch.mm(left, right, out=product), memory.sum, rows, read_bytes, repeats, seconds)


def _speed(
    multiply: Callable[[], object], read: Callable[[], object], rows: int, read_bytes: int, repeats: int, seconds: float
) -> Speed:
    return Speed(
        matmul_f32_gflops=2 * rows**3 / _fastest(multiply, repeats, seconds) / 1e9,
        memory_read_gb_per_s=read_bytes / _fastest(read, repeats, seconds) / 1e9,
    )


def _fastest(call: Callable[[], object], repeats: int, seconds: float) -> float:
    """Seconds of the fastest call; the first one, which may start threads, counts only where it took all the time."""
    end = time.perf_counter() + seconds
    taken: list[float] = []
    while len(taken) <= repeats and not (taken and time.perf_counter() >= end):
        began = time.perf_counter()
        call()
        taken.append(time.perf_counter() - began)
    return min(taken[1:] or taken)

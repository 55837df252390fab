"""What the stored arrays of a model must look like: names, types, shapes, ranges; checked before any is used.

All checks raise ValueError with the name of the array and what was found.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from segue.data.checks import check_offsets


@dataclass(frozen=True)
class Layout:
    """The form of an array.

    Attributes:
        dtype: type of the values.
        shape: lengths of the dimensions; None: any.
        least, most: bounds of the values, both included. Floating point is finite in any case.
    """

    dtype: torch.dtype
    shape: tuple[int | None, ...]
    least: float = -math.inf
    most: float = math.inf

    @classmethod
    def of(cls, tensor: Tensor) -> Layout:
        """The layout of a tensor whose values are free."""
        return cls(tensor.dtype, tuple(tensor.shape))


@contextmanager
def forms_alone() -> Iterator[None]:
    """Inside the block, modules are built without values: their tensors have types and shapes, and take no memory."""
    with torch.device("meta"), _Unfilled():
        yield


class _Unfilled(TorchFunctionMode):
    """Leaves out what fills a tensor in place: on tensors without values it does nothing, after seconds of imports."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = getattr(func, "__name__", "")
        if name.endswith("_") and not name.endswith("__"):
            return args[0] if args else kwargs["tensor"]
        return func(*args, **(kwargs or {}))


def check_arrays(arrays: Mapping[str, Tensor], layouts: Mapping[str, Layout]) -> None:
    """Check that there are exactly the arrays that are expected, and that each fits its layout."""
    for name in sorted({*arrays, *layouts}):
        if name not in layouts:
            raise ValueError(f"array {name[:100]!r} belongs to no part of the model")
        if name not in arrays:
            raise ValueError(f"array '{name}' is missing")
        _check_array(name, arrays[name], layouts[name])


def check_rows(arrays: Mapping[str, Tensor], offsets: str, *entries: str) -> None:
    """Check lists that lie behind one another: list r is ``entries[offsets[r]:offsets[r + 1]]``, in each of `entries`.

    To be called after :func:`check_arrays`."""
    for name in entries:
        rows = len(arrays[offsets]) - 1
        check_offsets(f"the numbers in array '{offsets}'", arrays[offsets].numpy(), rows, len(arrays[name]))


def _check_array(name: str, array: Tensor, layout: Layout) -> None:
    fits = len(array.shape) == len(layout.shape) and all(
        wanted in (None, found) for found, wanted in zip(array.shape, layout.shape, strict=True)
    )
    if array.dtype != layout.dtype or not fits:
        wanted = [length if length is not None else "any" for length in layout.shape]
        raise ValueError(
            f"array '{name}' is {_plain(array.dtype)} {list(array.shape)}, expected {_plain(layout.dtype)} {wanted}"
        )
    if not array.numel():
        return
    least, most = (float(value) for value in torch.aminmax(array))
    if not (layout.least <= least and most <= layout.most):
        raise ValueError(
            f"array '{name}' holds values from {least:g} to {most:g}, expected {layout.least:g} to {layout.most:g}"
        )
    if not (math.isfinite(least) and math.isfinite(most)):
        raise ValueError(f"array '{name}' holds values that are not finite")


def _plain(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")

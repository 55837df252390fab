"""Comparing the arrays of a model with those of a second fit."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

RELATIVE = {torch.float64: 1e-9, torch.float32: 1e-5}
"""Type → most that two floats may differ, relative to the largest of their array: sums in another order, as other
processors and libraries take them, differ by less. Whole numbers are compared exactly."""

Arrays = Mapping[str, Tensor]


@dataclass(frozen=True)
class Difference:
    """An array that differs: its name, the number of its values that do, and the first row of items that does."""

    name: str
    values: int
    of: int
    item: int | None

    def words(self, item_ids: list[str]) -> str:
        """The difference in words."""
        where = f", first for item {item_ids[self.item]!r}" if self.item is not None else ""
        size = "another number of entries" if self.values < 0 else f"{self.values:,} of {self.of:,} values"
        return f"{self.name} ({size}{where})"


def differences(found: Arrays, expected: Arrays, n_items: int) -> list[Difference]:
    """The arrays of `found` that are not those of `expected`, beyond rounding."""
    return [
        Difference(name, *_counted(found.get(name), expected.get(name)), _first_item(name, found, expected, n_items))
        for name in sorted({*found, *expected})
        if not _same(found.get(name), expected.get(name))
    ]


def identical(found: Arrays, expected: Arrays) -> bool:
    """Whether two sets of arrays are the same bit by bit."""
    return found.keys() == expected.keys() and all(
        a.dtype == (b := expected[name]).dtype and torch.equal(_bits(a), _bits(b)) for name, a in found.items()
    )


def _bits(tensor: Tensor) -> Tensor:
    kinds = {torch.float32: torch.int32, torch.float64: torch.int64}
    kind = kinds.get(tensor.dtype)
    return tensor.contiguous().view(kind) if kind is not None and tensor.dim() else tensor


def _same(a: Tensor | None, b: Tensor | None) -> bool:
    if a is None or b is None or a.dtype != b.dtype or a.shape != b.shape:
        return False
    return not bool(_apart(a, b).any())


def _apart(a: Tensor, b: Tensor) -> Tensor:
    """Where two arrays of one shape differ."""
    if not a.dtype.is_floating_point:
        return a != b
    most = RELATIVE[a.dtype] * max((float(x.abs().max()) for x in (a, b) if x.numel()), default=0.0)
    return ~((a == b) | ((a - b).abs() <= most))


def _counted(a: Tensor | None, b: Tensor | None) -> tuple[int, int]:
    if a is None or b is None or a.shape != b.shape or a.dtype != b.dtype:
        return -1, 0
    return int(_apart(a, b).sum()), a.numel()


def _first_item(name: str, found: Arrays, expected: Arrays, n_items: int) -> int | None:
    """The first item whose row differs, for an array with a value, or a list behind ``offsets``, per item."""
    a, b = found.get(name), expected.get(name)
    if a is None or b is None:
        return None
    if a.shape == b.shape and a.dim() and len(a) == n_items:
        return int(_apart(a, b).reshape(n_items, -1).any(1).nonzero()[0])
    offsets = re.sub(r"\w+$", "offsets", name)
    if name == offsets or not all(offsets in each and len(each[offsets]) == n_items + 1 for each in (found, expected)):
        return None
    return next(_rows_apart(a, b, found[offsets], expected[offsets]), None)


def _rows_apart(a: Tensor, b: Tensor, of_a: Tensor, of_b: Tensor) -> Iterator[int]:
    if int(of_a[-1]) != len(a) or int(of_b[-1]) != len(b):
        return
    for row in range(len(of_a) - 1):
        left, right = a[of_a[row] : of_a[row + 1]], b[of_b[row] : of_b[row + 1]]
        if left.shape != right.shape or not torch.equal(left, right):
            yield row

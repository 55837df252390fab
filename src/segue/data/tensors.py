"""Arithmetic on flat torch tensors that several rooms share; :mod:`segue.data.arrays` has the same for numpy."""

from __future__ import annotations

import torch
from torch import Tensor


def offsets_of(lengths: Tensor) -> Tensor:
    """Running sum with a leading zero, [n] → int64 [n + 1]."""
    return torch.nn.functional.pad(lengths.cumsum(0), (1, 0))


def spans(start: Tensor, length: Tensor) -> tuple[Tensor, Tensor]:
    """Expand slices: the positions start[i] .. start[i] + length[i] - 1 of every i, and i for each; both flat."""
    owner = torch.repeat_interleave(length)
    first = torch.cumsum(length, 0) - length
    return torch.arange(len(owner), device=start.device) + (start - first).index_select(0, owner), owner


def find(keys: Tensor, wanted: Tensor) -> tuple[Tensor, Tensor]:
    """Index of each wanted key among distinct sorted keys, and whether it is there; the index means nothing if not."""
    if not len(keys):
        return torch.zeros_like(wanted), torch.zeros_like(wanted, dtype=torch.bool)
    index = torch.searchsorted(keys, wanted).clamp(max=len(keys) - 1)
    return index, keys[index] == wanted

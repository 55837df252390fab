"""What a source suggests for the events of a batch: sparse values by event and item."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from segue.data.tensors import find

_CELLS_PER_VALUE = 16
"""Size of the grid of events and items, per value, up to which values are added up in it; beyond it keys are sorted."""


@dataclass(frozen=True)
class Entries:
    """What each clicked item, or the user, or everybody suggests, sorted by event; all [n].

    event, item: int64. value: float64, above zero. cell: reversed position of the prefix item that suggests it (0 =
    last); 0 where no item of the prefix does.
    """

    event: Tensor
    item: Tensor
    value: Tensor
    cell: Tensor

    @classmethod
    def present(cls, event: Tensor, item: Tensor, value: Tensor, cell: Tensor | None = None) -> Entries:
        """The entries whose value is above zero."""
        left = (value > 0).nonzero().squeeze(1)
        cell = torch.zeros_like(item) if cell is None else cell
        columns = (event, item, value.double(), cell)
        if len(left) == len(value):
            return cls(*columns)
        return cls(*(column.index_select(0, left) for column in columns))

    @classmethod
    def none(cls, device: torch.device) -> Entries:
        """No entry."""
        empty = torch.zeros(0, dtype=torch.int64, device=device)
        return cls(empty, empty, empty.double(), empty)

    def __len__(self) -> int:
        """Number of entries."""
        return len(self.event)


@dataclass(frozen=True)
class Recalled:
    """The sum f(item) of a source's entries over the cells, for each event; all [n], sorted by event, then item.

    entries: what was summed. place [entries]: the sum that each went into.
    """

    event: Tensor
    item: Tensor
    value: Tensor
    entries: Entries
    place: Tensor

    @classmethod
    def of(cls, entries: Entries, n_events: int, n_items: int, *, sums: bool) -> Recalled:
        """Add up the entries of each event and item; unless `sums`, each event and item has one at most."""
        if not sums:
            every = torch.arange(len(entries), device=entries.event.device)
            return cls(entries.event, entries.item, entries.value, entries, every)
        key, value, place = summed(entries.event * n_items + entries.item, entries.value, n_events * n_items)
        return cls(key // n_items, key % n_items, value, entries, place)


def summed(key: Tensor, value: Tensor, n_keys: int) -> tuple[Tensor, Tensor, Tensor]:
    """Distinct keys in order, the sum of the values of each, and the index of each value's sum.

    Args:
        key: int64 [n], from 0 to n_keys - 1. value: [n], above zero.
    """
    if n_keys > _CELLS_PER_VALUE * len(key):
        keys, place = torch.unique(key, return_inverse=True)
        return keys, value.new_zeros(len(keys)).index_add_(0, place, value), place
    grid = value.new_zeros(n_keys).index_add_(0, key, value)
    keys = grid.nonzero().squeeze(1)
    number = torch.empty(n_keys, dtype=torch.int64, device=key.device)
    number[keys] = torch.arange(len(keys), device=key.device)
    return keys, grid[keys], number[key]


def lookup(keys: Tensor, values: Tensor, query: Tensor) -> Tensor:
    """Value of each queried key, 0 where it is not among the sorted distinct `keys`."""
    if not len(keys):
        return torch.zeros_like(query, dtype=values.dtype)
    index, found = find(keys, query)
    return values.index_select(0, index.flatten()).view(query.shape) * found

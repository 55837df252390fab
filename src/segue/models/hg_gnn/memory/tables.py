"""The stored counts of the memory: which items each item suggests, and which were popular in each hour."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Self

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from segue.data.arrays import IntArray, offsets_of
from segue.data.stored import Layout
from segue.data.tensors import spans
from segue.graph.popularity import EventsByPeriod, close_period, largest, period_of
from segue.graph.tables import CsrTable
from segue.settings.units import HOUR

LARGEST_COUNT = 2**53
"""Bound on stored counts: exact also as floating point."""
LARGEST_TIME = 2**62
"""Bound on stored times and numbers of periods."""


class StoredTable(nn.Module):
    """Arrays that belong together, as buffers; `FIELDS` names them in order."""

    FIELDS: ClassVar[tuple[str, ...]]

    def __init__(self, *arrays: Tensor) -> None:
        super().__init__()
        for name, array in zip(self.FIELDS, arrays, strict=True):
            self.register_buffer(name, array)

    @classmethod
    def like(cls, state: Mapping[str, Tensor], prefix: str) -> Self:
        """A table with the shapes that `state` holds under `prefix`, of which nothing is trusted yet."""
        given = (state.get(prefix + name, torch.zeros(0)) for name in cls.FIELDS)
        return cls(*(torch.empty(array.shape, dtype=array.dtype) for array in given))


class PairTable(StoredTable):
    """The items that each item suggests most strongly, with counts: a CSR table as buffers.

    least: float64 [n_items]. A row holds exactly the items whose strength is above it, the strength of the first item
    that found no place; 0 where all did. A running session that is taken out of a count must not leave its items a
    place that they have from it alone: such a trace in a count would tell what is going to be clicked.
    """

    offsets: Tensor
    items: Tensor
    counts: Tensor
    least: Tensor

    FIELDS = ("offsets", "items", "counts", "least")

    @classmethod
    def of(cls, table: CsrTable, top: int, strengths: npt.NDArray[np.float64] | None = None) -> Self:
        """The strongest items of each row, up to `top` of them.

        Args:
            table: at least top + 1 entries of each row, where there are so many, by descending strength.
            strengths: of the entries; unset: their counts.
        """
        strengths = table.values.astype(np.float64) if strengths is None else strengths
        cut = table.lengths > top
        least = np.zeros(len(table))
        least[cut] = strengths[table.offsets[:-1][cut] + top]
        row = np.repeat(np.arange(len(table)), table.lengths)
        kept = strengths > least[row]
        left = CsrTable.from_sorted(row[kept], table.ids[kept], table.values[kept], len(table))
        return cls(*(torch.from_numpy(array) for array in (left.offsets, left.ids, left.values, least)))

    @staticmethod
    def layouts(n_items: int) -> dict[str, Layout]:
        """The form of a stored table of all items."""
        return {
            "offsets": Layout(torch.int64, (n_items + 1,)),
            "items": Layout(torch.int32, (None,), 0, n_items - 1),
            "counts": Layout(torch.int64, (None,), 0, LARGEST_COUNT),
            "least": Layout(torch.float64, (n_items,), 0, LARGEST_COUNT),
        }

    def rows(self, items: Tensor, most: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
        """Items and counts that each of `items` suggests, and the index of the one that suggests them.

        most: [items], only so many of each row, the first ones.
        """
        start = self.offsets[items]
        length = self.offsets[items + 1] - start
        cells, owner = spans(start, length if most is None else torch.minimum(length, most))
        return self.items.index_select(0, cells).long(), self.counts.index_select(0, cells), owner


class PopularityByPeriod(StoredTable):
    """The most popular items at the beginning of every period of train: counts that halve every half-life.

    R(t, i) = sum over the events of item i in periods that closed before t of 2^-(age in periods / half-life). After
    the last event of train nothing changes any more.
    """

    start: Tensor
    period: Tensor
    offsets: Tensor
    items: Tensor
    values: Tensor

    FIELDS = ("start", "period", "offsets", "items", "values")

    @classmethod
    def count(cls, items: npt.NDArray[np.integer], times: IntArray, n_items: int, half_life: float, top: int) -> Self:
        """Count the events of train.

        Args:
            items, times: of every event, [events]; times in epoch ms.
            half_life: in ms. top: items kept per period.
        """
        period = period_of(times, half_life)
        events = EventsByPeriod(items, times, period)
        decay = 2.0 ** -(period / half_life)
        state = np.zeros(n_items)
        kept = [largest(state, top)]
        for number in range(events.periods):
            close_period(state, events.of(number), decay)
            kept.append(largest(state, top))
        found, values = (np.concatenate(arrays) for arrays in zip(*kept, strict=True))
        offsets = offsets_of(np.array([len(ids) for ids, _ in kept]))
        arrays = (np.array(events.start), np.array(period), offsets, found.astype(np.int32), values)
        return cls(*(torch.from_numpy(array) for array in arrays))

    @staticmethod
    def layouts(n_items: int) -> dict[str, Layout]:
        """The form of a stored table."""
        return {
            "start": Layout(torch.int64, (), -LARGEST_TIME, LARGEST_TIME),
            "period": Layout(torch.int64, (), HOUR, LARGEST_TIME),
            "offsets": Layout(torch.int64, (None,)),
            "items": Layout(torch.int32, (None,), 0, n_items - 1),
            "values": Layout(torch.float64, (None,), 0, LARGEST_COUNT),
        }

    def at(self, times: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Items popular before each of `times` (epoch ms, [n]) with their decayed counts, and the index of the time."""
        periods = len(self.offsets) - 1
        row = (torch.div(times, self.period, rounding_mode="floor") - self.start).clamp(0, periods - 1)
        start = self.offsets[row]
        cells, owner = spans(start, self.offsets[row + 1] - start)
        return self.items.index_select(0, cells).long(), self.values.index_select(0, cells), owner

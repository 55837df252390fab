"""The live counts as one request may see them: without its own session, and cut as the stored tables are."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from segue.contract.memory_sources import MemorySource
from segue.data.arrays import FloatArray, IntArray
from segue.graph.tables import CUT_ROUNDING, closeness
from segue.lean.hg_gnn.tables import Companions, Counts
from segue.lean.live.overlay import Overlay, summed
from segue.lean.live.pairs import pairs_of
from segue.lean.live.periods import LivePeriods
from segue.lean.live.train import Row

_STEPS = 2.0**30
"""Steps of closeness that order companions, as where they are counted: a tie is not decided by rounding."""


@dataclass(frozen=True)
class _Popular:
    """What is popular at a time, the period that goes on included, but for the running session's events in it."""

    periods: LivePeriods
    own: Sequence[tuple[int, int]]

    def at(self, time: int) -> tuple[npt.NDArray[Any], FloatArray]:
        """Items popular at `time` (epoch ms) with their decayed counts."""
        return self.periods.with_open(time, self.own)


@dataclass(frozen=True)
class _Table:
    """One table of a view, as the sources read it."""

    view: View
    name: str

    def row(self, item: int) -> Row:
        """Items and counts that one item suggests, those above the cut."""
        items, counts = self.view.whole(self.name, item)
        top = self.view.top
        if len(items) <= top:
            return items, counts
        least = -np.partition(-counts, top)[top]
        return items[counts > least], counts[counts > least]


class _Without:
    """Counts of all items, less a number for some (ascending); what is not asked for is not copied."""

    def __init__(self, counts: IntArray, less: IntArray, number: int) -> None:
        self._counts, self._less, self._number = counts, less, number

    def __len__(self) -> int:
        return len(self._counts)

    def __getitem__(self, items: IntArray) -> IntArray:
        at = np.minimum(self._less.searchsorted(items), len(self._less) - 1)
        return np.asarray(self._counts[items] - self._number * (self._less[at] == items))


class View:
    """The counts for one request; its attributes are those of :class:`segue.lean.hg_gnn.tables.Counts`.

    Args:
        own: items of the running session as they were counted, oldest first. happened: these, each with its time (epoch
            ms); popularity holds those that are left out here.
        top: items that each item may suggest, and the first one beyond them bounds the others.
    """

    def __init__(
        self, stored: Counts, overlay: Overlay, periods: Mapping[str, LivePeriods], own: IntArray,
        happened: Sequence[tuple[int, int]], top: int,
    ) -> None:  # fmt: skip
        self.half_life, self.centre, self.spread = stored.half_life, stored.centre, stored.spread
        self.on: frozenset[MemorySource] = stored.on
        self.top, self._overlay, self._own = top, overlay, own.tolist()
        self.periods = {name: _Popular(each, happened) for name, each in periods.items()}
        self.pairs = {name: _Table(self, name) for name in stored.pairs}

    @cached_property
    def support(self) -> IntArray:
        """Sessions that hold each item, the running one left out."""
        return self._without(self._overlay.support, 1)

    @cached_property
    def degree(self) -> IntArray:
        """Σ_j C[i, j] of each item, the running session left out."""
        return self._without(self._overlay.degree, len(set(self._own)) - 1)

    def _without(self, counts: IntArray, number: int) -> IntArray:
        """Counts of all items, to each of which the running session has added this number for each of its items."""
        return cast(IntArray, _Without(counts, np.unique(self._own), number)) if self._own else counts

    @cached_property
    def _own_rows(self) -> Mapping[tuple[str, int], Counter[int]]:
        """What the running session has added to the counts."""
        rows: dict[tuple[str, int], Counter[int]] = defaultdict(Counter)
        for table, row, item, weight in pairs_of(self._own):
            rows[table, row][item] += weight
        return rows

    def whole(self, table: str, item: int) -> Row:
        """All items and counts of a row."""
        row, own = self._overlay.row(table, item), self._own_rows.get((table, item))
        return summed(row, own, -1) if own else row

    def known_companions(self, item: int) -> int:
        """How many companions of an item there are at most, those in reach of the cut."""
        return min(len(self.whole("basket", item)[0]), self.top)

    def companions(self, sources: IntArray, most: int) -> Companions:
        """At most `most` companions of each source."""
        found = [self._closest(source, most) for source in sources.tolist()]
        nothing = (np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64), np.zeros(0))
        items, shared, values = (np.concatenate(columns) for columns in zip(nothing, *found, strict=True))
        owner = np.repeat(np.arange(len(found)), [len(items) for items, *_ in found])
        return Companions(items, shared, values, owner)

    def _closest(self, source: int, most: int) -> tuple[IntArray, IntArray, FloatArray]:
        """Companions of one item: companion, sessions with both, closeness."""
        items, shared = self.whole("basket", source)
        values = closeness(shared, self.support[items], self.support[source])
        if len(items) > min(most, self.top):
            order, least = _first(items, values, min(most, self.top))
            order = order[values[order] > least * (1 + CUT_ROUNDING)]
        else:
            order = np.lexsort((items, -np.round(values * _STEPS)))
        return items[order], shared[order], values[order]


def _first(items: IntArray, values: FloatArray, top: int) -> tuple[IntArray, float]:
    """Where the `top` closest companions are, ties by item, and the closeness of the first one beyond them."""
    steps = -np.round(values * _STEPS)
    near = np.flatnonzero(steps <= np.partition(steps, top)[top])
    near = near[np.lexsort((items[near], steps[near]))]
    return near[:top], float(values[near[top]])

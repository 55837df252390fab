"""The stored counts of the memory: which items each item suggests, and which were popular in each period."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, Self

import numpy as np
import numpy.typing as npt

from segue.artifact.arrays import Form, StoredArrays, check_lists
from segue.contract.memory_sources import FACTS, PAIR_TABLES, PERIOD_TABLES, SOURCES, MemorySource
from segue.data.arrays import FloatArray, IntArray, spans
from segue.graph.tables import CUT_ROUNDING, closeness
from segue.settings.units import HOUR

_LARGEST_COUNT, _LARGEST_TIME = 2**53, 2**62
_TINY = float(np.finfo(np.float64).tiny)


@dataclass(frozen=True)
class PairTable:
    """The items that each item suggests most strongly, with counts, as sparse rows.

    least [n_items]: a row holds the items whose strength is above it.
    """

    offsets: IntArray
    items: npt.NDArray[np.int32]
    counts: IntArray
    least: FloatArray

    @classmethod
    def read(cls, file: StoredArrays, prefix: str, n_items: int) -> Self:
        """The table stored under a prefix."""
        forms = {
            f"{prefix}offsets": Form("int64", (n_items + 1,)),
            f"{prefix}items": Form("int32", (None,), 0, n_items - 1),
            f"{prefix}counts": Form("int64", (None,), 0, _LARGEST_COUNT),
            f"{prefix}least": Form("float64", (n_items,), 0, _LARGEST_COUNT),
        }
        arrays = file.read_all(forms)
        check_lists(arrays, *list(forms)[:3])
        return cls(*arrays.values())

    def row(self, item: int) -> tuple[npt.NDArray[np.int32], IntArray]:
        """Items and counts that one item suggests, those above the cut."""
        cells = slice(self.offsets[item], self.offsets[item + 1])
        items, counts = self.items[cells], self.counts[cells]
        above = counts > self.least[item]
        return (items, counts) if above.all() else (items[above], counts[above])


@dataclass(frozen=True)
class PopularityByPeriod:
    """The most popular items at the beginning of every period of train, as sparse rows."""

    start: int
    period: int
    offsets: IntArray
    items: npt.NDArray[np.int32]
    values: FloatArray

    @classmethod
    def read(cls, file: StoredArrays, prefix: str, n_items: int) -> Self:
        """The table stored under a prefix."""
        forms = {
            f"{prefix}offsets": Form("int64", (None,)),
            f"{prefix}items": Form("int32", (None,), 0, n_items - 1),
            f"{prefix}values": Form("float64", (None,), _TINY, _LARGEST_COUNT),
        }
        start = file.read(f"{prefix}start", Form("int64", (), -_LARGEST_TIME, _LARGEST_TIME))
        period = file.read(f"{prefix}period", Form("int64", (), HOUR, _LARGEST_TIME))
        arrays = file.read_all(forms)
        check_lists(arrays, *forms)
        return cls(int(start), int(period), *arrays.values())

    def at(self, time: int) -> tuple[npt.NDArray[np.int32], FloatArray]:
        """Items popular before `time` (epoch ms) with their decayed counts."""
        row = min(max(time // self.period - self.start, 0), len(self.offsets) - 2)
        cells = slice(self.offsets[row], self.offsets[row + 1])
        return self.items[cells], self.values[cells]


class Companions(NamedTuple):
    """Companions of some items, item by item, all [n]: companion, sessions with both, C / sqrt((n + 20) (n_i + 20)),
    and the index of the item that each belongs to."""

    items: IntArray
    shared: IntArray
    values: FloatArray
    owner: IntArray


@dataclass(frozen=True)
class Counts:
    """All counts of the memory.

    support [n_items]: train sessions that hold each item. degree [n_items]: Σ_j C[i, j]. half_life: of the decayed
    history, ms. centre, spread [8]: of the facts. on: the sources that speak.
    """

    pairs: Mapping[str, PairTable]
    periods: Mapping[str, PopularityByPeriod]
    support: IntArray
    degree: IntArray
    half_life: float
    centre: FloatArray
    spread: FloatArray
    on: frozenset[MemorySource]

    @classmethod
    def read(cls, file: StoredArrays, n_items: int) -> Self:
        """The counts that a model stored."""
        forms: dict[str, Form] = {
            "support": Form("int64", (n_items,), 0, _LARGEST_COUNT),
            "degree": Form("int64", (n_items,), 0, _LARGEST_COUNT),
            "half_life": Form("float64", (), _TINY),
            "centre": Form("float64", (FACTS,)),
            "spread": Form("float64", (FACTS,), _TINY),
            "speaks": Form("int64", (len(SOURCES),), 0, 1),
        }
        read: dict[str, Any] = {name: file.read(f"recall.{name}", form) for name, form in forms.items()}
        speaks, half_life = read.pop("speaks"), float(read.pop("half_life"))
        return cls(
            {name: PairTable.read(file, f"recall.pairs.{name}.", n_items) for name in PAIR_TABLES},
            {name: PopularityByPeriod.read(file, f"recall.periods.{name}.", n_items) for name in PERIOD_TABLES},
            half_life=half_life,
            on=frozenset(name for name, speaking in zip(SOURCES, speaks, strict=True) if speaking),
            **read,
        )

    def known_companions(self, item: int) -> int:
        """How many companions of an item are stored."""
        offsets = self.pairs["basket"].offsets
        return int(offsets[item + 1] - offsets[item])

    def companions(self, sources: IntArray, most: int) -> Companions:
        """At most `most` companions of each source. Of companions that are as close as the first that found no place
        none is left."""
        table = self.pairs["basket"]
        first, last = table.offsets[sources], table.offsets[sources + 1]
        length = np.minimum(last - first, most + 1)
        cells, owner = spans(first, length)
        items, shared = table.items[cells].astype(np.int64), table.counts[cells]
        values = closeness(shared, self.support[items], self.support[sources][owner])
        least = table.least[sources]
        cut = np.flatnonzero(length > most)
        least[cut] = values[np.cumsum(length)[cut] - 1]
        kept = values > (least * (1 + CUT_ROUNDING))[owner]
        found = Companions(items, shared, values, owner)
        return found if kept.all() else Companions(*(column[kept] for column in found))

"""What is popular at a time, where the log goes on: the periods of train, and those since."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import numpy as np
import numpy.typing as npt

from segue.data.arrays import FloatArray, IntArray
from segue.graph.popularity import EventsByPeriod, close_period, largest
from segue.lean.hg_gnn.tables import PopularityByPeriod

_ROUNDING = 1e-9
"""What may be left of a count that was taken out again."""


class LivePeriods:
    """Decayed counts of train and live events, closed period by period.

    R(t, i) is that of :class:`segue.models.hg_gnn.memory.tables.PopularityByPeriod`. It stands at one time and moves on
    with the requests; an event of a period that is closed already is added decayed. Where nothing has happened since
    the last period with an event, nothing changes.

    Args:
        stored: the periods of train. items, times: the events of train. half_life: in ms.
        top: items that are popular at a time.
    """

    def __init__(
        self, stored: PopularityByPeriod, items: npt.NDArray[Any], times: IntArray, n_items: int, half_life: float,
        top: int,
    ) -> None:  # fmt: skip
        self._stored, self._top = stored, top
        self._period, self._start = stored.period, stored.start
        self._decay = 2.0 ** -(stored.period / half_life)
        self._train = EventsByPeriod(items, times, stored.period)
        self._since: dict[int, list[int]] = defaultdict(list)
        self._state: FloatArray = np.zeros(n_items)
        self._row = 0  # periods that are closed in the state
        self._rows = self._train.periods
        self._largest: tuple[npt.NDArray[Any], FloatArray] | None = None

    def add(self, item: int, time: int, sign: int = 1) -> None:
        """Count one event; with `sign` -1 take one out that was counted."""
        period = max(time // self._period - self._start, 0)
        self._rows = max(self._rows, period + 1)
        self._grow(item + 1)
        if period >= self._row:
            waiting = self._since[period]
            waiting.append(item) if sign > 0 else waiting.remove(item)
            return
        self._state[item] += sign * self._decay ** (self._row - 1 - period)
        if self._state[item] < _ROUNDING:
            self._state[item] = 0
        self._largest = None

    def at(self, time: int) -> tuple[npt.NDArray[Any], FloatArray]:
        """Items popular before `time` (epoch ms) with their decayed counts; before the time where it stands, those of
        train alone."""
        row = min(max(time // self._period - self._start, 0), self._rows)
        if row < self._row and row < self._train.periods:
            return self._stored.at(time)
        self._close(row)
        if self._largest is None:
            self._largest = largest(self._state, self._top)
        return self._largest

    def _close(self, row: int) -> None:
        while self._row < row:
            found = self._since.pop(self._row, [])
            items = self._train.of(self._row) if self._row < self._train.periods else np.zeros(0, dtype=np.int64)
            close_period(self._state, np.concatenate([items, np.array(found, dtype=np.int64)]), self._decay)
            self._row += 1
            self._largest = None
            if self._row >= self._train.periods and not self._state.any():
                self._row = min([row, *self._since])  # nothing is left to decay until something happens

    def _grow(self, n_items: int) -> None:
        if n_items > len(self._state):
            grown = np.zeros(max(n_items, len(self._state) + 256))
            grown[: len(self._state)] = self._state
            self._state = grown

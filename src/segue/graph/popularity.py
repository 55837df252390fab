"""How popular every item is at the beginning of each period of a log, for the memory of preset `segue`."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from segue.data.arrays import FloatArray, IntArray
from segue.settings.units import HOUR

_MOST_PERIODS = 5_000
_NEGLIGIBLE = 2**-10
"""Decayed counts below this are forgotten."""


def period_of(times: IntArray, half_life: float) -> int:
    """Length of a period in ms: a quarter of the half-life, at least an hour and a five-thousandth of the log."""
    span = int(times.max() - times.min()) if len(times) else 0
    return int(max(HOUR, half_life / 4, -(-span // _MOST_PERIODS)))


class EventsByPeriod:
    """The events of a log by period.

    Attributes:
        start: number of the first period, counted from the epoch. periods: how many there are, from the first event to
            the last.
    """

    def __init__(self, items: npt.NDArray[np.integer[Any]], times: IntArray, period: int) -> None:
        number = times // period
        self.start = int(number.min()) if len(number) else 0
        number = number - self.start
        order = np.argsort(number, kind="stable")
        self.periods = int(number.max(initial=-1)) + 1
        self._bounds = np.searchsorted(number[order], np.arange(self.periods + 1))
        self._items = items[order]

    def of(self, period: int) -> npt.NDArray[np.integer[Any]]:
        """The items of the events of a period, counted from the first one."""
        return self._items[self._bounds[period] : self._bounds[period + 1]]


def close_period(state: FloatArray, items: npt.NDArray[np.integer[Any]], decay: float) -> None:
    """The decayed counts [items] at the end of a period, from those at its beginning and its events, in place."""
    state *= decay
    state[state < _NEGLIGIBLE] = 0
    state += np.bincount(items, minlength=len(state))


def largest(state: FloatArray, top: int) -> tuple[npt.NDArray[Any], FloatArray]:
    """The largest values above zero with their places, by place; ties at the cut go to the lower place."""
    places = np.flatnonzero(state)
    if len(places) > top:
        places = np.sort(places[np.argsort(-state[places], kind="stable")[:top]])
    return places, state[places]

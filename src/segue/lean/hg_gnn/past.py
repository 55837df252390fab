"""What a user's history holds, worked out once and only where a source asks for it."""

from __future__ import annotations

from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from segue.contract.memory_sources import OWN_SESSIONS
from segue.data.arrays import FloatArray, IntArray
from segue.lean.request import Asked, Past

_KEPT = 512
"""Users whose history is kept worked out: they come again, click after click."""


class Memberships(NamedTuple):
    """Distinct items of the last sessions, session by session: place of the item among the distinct ones of the
    history, and session, counted from 0. sizes: distinct items by session."""

    place: IntArray
    session: IntArray
    sizes: IntArray


class Earlier:
    """The last items of a user's history.

    Attributes:
        items, times: the events, the oldest first.
        sessions, events: how many the whole history has.
    """

    def __init__(self, past: Past, most: int) -> None:
        self._past, self._cut = past, max(len(past.items) - most, 0)
        self.items, self.times = past.items[self._cut :], past.times[self._cut :]
        self.sessions, self.events = len(past.offsets) - 1, len(past.items)

    @cached_property
    def _found(self) -> tuple[IntArray, IntArray, IntArray]:
        return np.unique(self.items, return_inverse=True, return_counts=True)

    @property
    def distinct(self) -> IntArray:
        """The distinct items, ascending."""
        return self._found[0]

    @property
    def place(self) -> IntArray:
        """The place of each event's item among the distinct ones."""
        return self._found[1]

    @cached_property
    def counts(self) -> FloatArray:
        """Events of each distinct item."""
        return self._found[2].astype(np.float64)

    @cached_property
    def end(self) -> int:
        """Time of the last event, epoch ms; 0 without one."""
        return int(self.times.max(initial=0))

    def decayed(self, time: int, half_life: float) -> FloatArray:
        """Events of each distinct item, halved every half-life; an event after `time` has not aged."""
        age = np.maximum(time - self.times, 0)
        return sums(self.place, np.exp2(age / -half_life), len(self.distinct))

    @cached_property
    def memberships(self) -> Memberships:
        """Which distinct items each of the last sessions holds; a session that the cut falls into has what is left."""
        offsets = np.maximum(self._past.offsets[-1 - OWN_SESSIONS :] - self._cut, 0)
        lengths = np.diff(offsets)
        lengths = lengths[lengths > 0]
        width = max(len(self.distinct), 1)
        key = np.repeat(np.arange(len(lengths)), lengths) * width + self.place[len(self.place) - lengths.sum() :]
        key.sort()
        key = key[np.diff(key, prepend=-1) > 0]
        session = key // width
        return Memberships(key % width, session, np.bincount(session, minlength=len(lengths)))

    def places(self, items: IntArray) -> IntArray:
        """The place of each of `items` among the distinct ones; those that are not among them are left out."""
        if not len(self.items):
            return self.items
        at = np.minimum(self.distinct.searchsorted(items), len(self.distinct) - 1)
        found: IntArray = at[self.distinct[at] == items]
        return found


def sums(place: npt.NDArray[np.integer[Any]], values: FloatArray, n: int) -> FloatArray:
    """Sum of the values of each place, [n]."""
    return np.asarray(np.bincount(place, weights=values, minlength=n), dtype=np.float64)


class Histories:
    """The histories of the users who ask."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._kept: dict[int, Earlier] = {}

    def of(self, asked: Asked) -> Earlier:
        """The history of the user of a request; one that the model was fitted on is worked out once."""
        if asked.fresh:
            return Earlier(asked.past, self._most)
        earlier = self._kept.get(asked.user)
        if earlier is None or earlier.events != len(asked.past.items):  # a session may begin before the history ends
            if len(self._kept) >= _KEPT:
                self._kept.clear()
            earlier = self._kept[asked.user] = Earlier(asked.past, self._most)
        return earlier

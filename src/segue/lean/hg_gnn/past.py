"""What a user's history holds, worked out once per request and only where a source asks for it."""

from __future__ import annotations

from functools import cached_property
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from segue.data.arrays import FloatArray, IntArray
from segue.lean.request import Past


class Memberships(NamedTuple):
    """Distinct items of each session: place among the distinct items of the history, and session, in order of
    session. sizes: distinct items by session."""

    place: IntArray
    session: IntArray
    sizes: IntArray


class Earlier:
    """The last items of a user's history.

    Attributes:
        items, times: the events, the oldest first.
        sessions: sessions of the whole history.
    """

    def __init__(self, past: Past, most: int) -> None:
        self._past, self._cut = past, max(len(past.items) - most, 0)
        self.items, self.times = past.items[self._cut :], past.times[self._cut :]
        self.sessions = len(past.offsets) - 1

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

    @property
    def counts(self) -> IntArray:
        """Events of each distinct item."""
        return self._found[2]

    def decayed(self, time: int, half_life: float) -> FloatArray:
        """Events of each distinct item, halved every half-life; an event after `time` has not aged."""
        age = np.maximum(time - self.times, 0)
        return np.bincount(self.place, weights=np.exp2(-age / half_life), minlength=len(self.distinct))

    @cached_property
    def memberships(self) -> Memberships:
        """Which distinct items each session holds; a session that the cut falls into has what is left of it."""
        offsets = np.maximum(self._past.offsets - self._cut, 0)
        lengths = np.diff(offsets)
        lengths = lengths[lengths > 0]
        session = np.repeat(np.arange(len(lengths)), lengths)
        width = max(len(self.distinct), 1)
        key = np.unique(session * width + self.place)
        session_of = key // width
        return Memberships(key % width, session_of, np.bincount(session_of, minlength=len(lengths)))

    def holds(self, items: IntArray) -> npt.NDArray[np.bool_]:
        """Whether each of `items` is among the distinct ones."""
        if not len(self.items):
            return np.zeros(len(items), dtype=np.bool_)
        at = np.minimum(np.searchsorted(self.distinct, items), len(self.distinct) - 1)
        return np.asarray(self.distinct[at] == items)

"""What a lean model is asked: a request in the model's numbers."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from segue.data.arrays import IntArray


class Past(NamedTuple):
    """A user's earlier sessions as flat arrays, the oldest first: items, times [events]; offsets [sessions + 1]."""

    items: IntArray
    times: IntArray
    offsets: IntArray


def _no_items() -> IntArray:
    return np.zeros(0, dtype=np.int64)


@dataclass(frozen=True)
class Asked:
    """One request.

    Attributes:
        items: the running session within the model's window, the oldest first; at least one item.
        user: number of the user, ``n_users`` for an unknown one.
        time: epoch ms.
        past: the user's earlier sessions.
        fresh: whether `past` differs from what the model was fitted on: an unknown user, a given history.
        own, own_times: items of the running session that live counts hold, oldest first, and when each happened,
            epoch ms; they are left out of these counts.
    """

    items: IntArray
    user: int
    time: int
    past: Past
    fresh: bool
    own: IntArray = field(default_factory=_no_items)
    own_times: IntArray = field(default_factory=_no_items)

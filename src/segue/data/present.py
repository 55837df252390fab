"""The present of a log: the moment at which its events end, for whatever ages or is asked without a time."""

from __future__ import annotations

import numpy as np

from segue.data.arrays import IntArray
from segue.settings.units import DAY

_FEW = 100
"""One event of this many may be stray."""
_HANDFUL = 5
"""So many events may be stray in a smaller log, but never more than one of ten."""
_APART = 90 * DAY
"""Shortest time, in ms, between the other events and the stray ones."""


def present(times: IntArray) -> int:
    """The last of the times that is not stray, epoch ms; 0 where there is none.

    A wrong clock may date a few events years ahead, and nothing of the log would be recent beside them. The last events
    are stray when they are few (1 %, in a small log up to five and a tenth), and the time between the others and them
    is longer than 90 days and than half of the others' own span. In every other log this is the greatest time.

    Args:
        times: [events], in any order.
    """
    if not len(times):
        return 0
    few = max(len(times) // _FEW, min(_HANDFUL, len(times) // 10))
    last = np.sort(np.partition(times, -few - 1)[-few - 1 :])  # the latest time of the others, and the few after it
    # What lies a few events after the first is not moved by stray events of the past.
    first = int(np.partition(times, few)[few])
    span = np.maximum(last[:-1] - first, 0) // 2
    apart = np.flatnonzero(np.diff(last) > np.maximum(span, _APART))
    return int(last[apart[0]] if len(apart) else last[-1])

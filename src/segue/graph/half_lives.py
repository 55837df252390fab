"""How fast counts are forgotten: the half-lives that were asked for, or those that the gaps of train suggest."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from segue.data.corpus import Sessions
from segue.settings.units import HOUR, milliseconds

GAPS = 5
"""Median gaps in a half-life."""
_SLOWER = 20


@dataclass(frozen=True)
class HalfLives:
    """Half-lives in ms of the decayed history, and of the sources "recent" and "trend"."""

    history: float
    recent: float
    trend: float

    @classmethod
    def of(cls, train: Sessions, history: str | None, recent: str | None) -> Self:
        """What was asked for; else for the history five times the median gap between two sessions of one user, and for
        "recent" five times the median gap between two events of one item, at least an hour. "trend" is twenty times
        as long."""
        start = train.times[train.offsets[:-1]]
        by_user = np.lexsort((start, train.user))
        visits = _median_gap(train.user[by_user], start[by_user])
        by_item = np.lexsort((train.times, train.items))
        uses = _median_gap(train.items[by_item], train.times[by_item])
        found = float(milliseconds(recent)) if recent else max(HOUR, GAPS * uses)
        return cls(float(milliseconds(history)) if history else GAPS * max(visits, 1.0), found, _SLOWER * found)


def _median_gap(owner: npt.NDArray[Any], times: npt.NDArray[np.int64]) -> float:
    """Median time between two events of one owner that follow each other, in ms; 0 where no owner has two."""
    gaps = np.diff(times)[np.diff(owner) == 0]
    return float(np.median(gaps)) if len(gaps) else 0.0

"""Popularity as a score that never outweighs a count."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from segue.data.arrays import FloatArray


def relative_popularity(support: npt.NDArray[Any]) -> FloatArray:
    """Support of each item over the largest support plus one, [items]: in [0, 1), so it only breaks ties of counts."""
    popularity: FloatArray = support / (support.max(initial=0) + np.float64(1))
    return popularity

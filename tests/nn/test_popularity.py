"""Popularity as a fill that decides nothing but ties."""

from __future__ import annotations

import numpy as np

from segue.nn.popularity import relative_popularity


def test_popularity_by_hand() -> None:
    assert relative_popularity(np.array([0, 1, 3])).tolist() == [0.0, 0.25, 0.75]
    assert relative_popularity(np.array([0.0, 0.5])).tolist() == [0.0, 0.5 / 1.5]
    assert relative_popularity(np.zeros(0, dtype=np.int64)).tolist() == []

"""The users on whose validation sessions the passes of a training are compared."""

from __future__ import annotations

import numpy as np

from segue.data.arrays import IntArray
from segue.data.corpus import Corpus, Part
from segue.evaluation.full_ranking import evaluation_sessions


def judges(corpus: Corpus, most_events: int) -> IntArray | None:
    """Users drawn at random, always the same ones, who have about `most_events` events in validation together; None
    where everybody has no more than that, and where `most_events` is 0."""
    if not most_events:
        return None
    played, _ = evaluation_sessions(corpus, Part.VALIDATION)
    events = np.bincount(played.user, weights=played.lengths - 1)
    drawn = np.random.default_rng(0).permutation(np.flatnonzero(events))
    before = np.cumsum(events[drawn]) - events[drawn]
    enough = before >= most_events
    return np.sort(drawn[~enough]) if enough.any() else None

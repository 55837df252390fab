"""A corpus for evaluations that can be worked out by hand."""

from __future__ import annotations

from worlds import TEST, TRAIN, corpus_of

from segue.data.corpus import Corpus


def two_users() -> Corpus:
    """User 0 plays (0, 1, 2) and (0, 1), user 1 plays (3, 4) in test. Items repeat inside train sessions."""
    return corpus_of(
        [[[0, 1, 0, 2], [0, 1, 2], [0, 1]], [[3, 4, 3], [3, 4]]], [[TRAIN, TEST, TEST], [TRAIN, TEST]], n_items=40
    )

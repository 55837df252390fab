"""Lives of users that several files of tests look back at."""

from __future__ import annotations

import pytest
import worlds
from worlds import TEST, TRAIN, VALIDATION

from segue.data.corpus import Corpus


@pytest.fixture
def lives() -> Corpus:
    """User 0: two train sessions, one of validation, two of test. User 1: a train and a test session."""
    users = [[[0, 1], [2, 3], [4, 5], [6, 7], [8, 9]], [[1, 2], [3, 4]]]
    return worlds.corpus_of(users, [[TRAIN, TRAIN, VALIDATION, TEST, TEST], [TRAIN, TEST]])

"""The two users of Figure 5: whose sessions overlap and whose tastes differ."""

from __future__ import annotations

import pytest
from worlds import TEST, TRAIN, busy, corpus_of

from segue.errors import UserMistake
from segue.paper.figure5 import similar_sessions


def test_the_users_of_figure_5_overlap_and_differ() -> None:
    """Users 0 and 2 begin their last session alike and liked other things; 0 and 1 liked the same."""
    liked = {0: [3, 4, 5, 3, 4, 5], 1: [3, 4, 5, 3, 4, 5], 2: [6, 7, 8, 6, 7, 8], 3: [9, 10, 9, 10, 9]}
    last = {0: [0, 1, 3], 1: [0, 1, 4], 2: [1, 0, 6], 3: [2, 9, 10]}
    corpus = corpus_of([[liked[user], last[user]] for user in range(4)], [[TRAIN, TEST]] * 4)
    pair = similar_sessions(corpus)
    assert 2 in pair.users
    assert set(pair.users) < {0, 1, 2}
    assert {frozenset(prefix) for prefix in pair.prefixes} == {frozenset({0, 1})}
    assert pair.overlap == 1.0
    assert pair.taste == 0.0
    assert {corpus.user_ids[user][-1]: target for user, target in zip(pair.users, pair.targets, strict=True)}["2"] == 6


def test_a_short_history_is_no_taste_and_a_single_item_no_session() -> None:
    """Users 0 and 1 overlap as much as 1 and 2 and would differ more; but 0 has hardly been seen."""
    liked = {0: [9, 10], 1: [3, 4, 5] * 4, 2: [3, 6, 7] * 4, 3: [8, 6, 7] * 4}
    last = {0: [0, 1, 3], 1: [0, 1, 4], 2: [1, 0, 6], 3: [0, 1]}
    corpus = corpus_of([[liked[user], last[user]] for user in range(4)], [[TRAIN, TEST]] * 4)
    assert set(similar_sessions(corpus).users) == {1, 2}


def test_overlap_and_taste_are_what_they_say() -> None:
    corpus = corpus_of([[[2, 3, 3, 4], [0, 1, 2]], [[3, 3, 5], [1, 0, 5, 6]]], [[TRAIN, TEST]] * 2)
    pair = similar_sessions(corpus)
    assert pair.overlap == pytest.approx(2 / 3)
    assert pair.taste == pytest.approx(4 / (6**0.5 * 5**0.5))


def test_a_corpus_without_overlapping_sessions_is_refused() -> None:
    corpus = corpus_of([[[0, 1, 4], [0, 1, 4]], [[2, 3, 5], [2, 3, 5]]], [[TRAIN, TEST]] * 2)
    with pytest.raises(UserMistake, match="no two users"):
        similar_sessions(corpus)


def test_busy_worlds_have_a_case() -> None:
    pair = similar_sessions(busy())
    assert pair.users[0] != pair.users[1]
    assert set(pair.prefixes[0]) & set(pair.prefixes[1])

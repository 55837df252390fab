"""Orders that carry a state: every row once, on its own slot, right after the row it continues."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import worlds
from hypothesis import given
from hypothesis import strategies as st
from worlds import DAY

from segue.data.batches import Batch
from segue.data.corpus import Corpus
from segue.data.loader import Loader
from segue.data.schedules import Order

lives = st.lists(
    st.lists(st.lists(st.integers(0, 7), min_size=2, max_size=5), min_size=1, max_size=4), min_size=1, max_size=6
)


def played(corpus: Corpus, order: Order, batch_events: int) -> list[Batch]:
    return list(Loader(corpus, corpus.train, 3, order=order).batches(batch_events))


def pairs(batches: list[Batch]) -> Counter[tuple[int, int, int]]:
    """(session, last item of the prefix, target) of every event that is played."""
    found: Counter[tuple[int, int, int]] = Counter()
    for batch in batches:
        last = batch.items[batch.row, batch.position]
        found.update(zip(batch.session[batch.row].tolist(), last.tolist(), batch.target.tolist(), strict=True))
    return found


def wanted(corpus: Corpus) -> Counter[tuple[int, int, int]]:
    train = corpus.train
    return Counter(
        (s, int(train.items[cell]), int(train.items[cell + 1]))
        for s in range(len(train))
        for cell in range(train.offsets[s], train.offsets[s + 1] - 1)
    )


@given(lives, st.sampled_from(["session_parallel", "user_sequential"]), st.integers(1, 9))
def test_every_pair_is_played_exactly_once(users: list[list[list[int]]], order: Order, size: int) -> None:  # T18 T20
    corpus = worlds.corpus_of(users, n_items=8)
    assert pairs(played(corpus, order, size)) == wanted(corpus)


@given(lives, st.integers(1, 9))
def test_a_slot_plays_a_session_item_by_item(users: list[list[list[int]]], slots: int) -> None:  # T19 T21
    corpus = worlds.corpus_of(users, n_items=8)
    train = corpus.train
    at: dict[int, tuple[int, int]] = {}
    for batch in played(corpus, "session_parallel", slots):
        assert len(set(batch.slot.tolist())) == len(batch) <= slots
        for slot, session, goes_on in zip(
            *(x.tolist() for x in (batch.slot, batch.session, batch.continues)), strict=True
        ):
            before = at.get(slot, (-1, 0))
            place = before[1] + 1 if goes_on else 0
            assert goes_on == (before[0] == session), "a slot that goes on stays with its session"
            assert batch.items[batch.slot.tolist().index(slot), 0] == train.items[train.offsets[session] + place]
            at[slot] = (session, place)


@given(lives, st.integers(1, 20))
def test_a_slot_plays_a_user_session_by_session(users: list[list[list[int]]], size: int) -> None:
    corpus = worlds.corpus_of(users, n_items=8)
    at: dict[int, tuple[int, int]] = {}
    for batch in played(corpus, "user_sequential", size):
        columns = (batch.slot, batch.user, batch.session, batch.continues)
        assert len(set(batch.slot.tolist())) == len(batch.user)
        for slot, user, session, goes_on in zip(*(x.tolist() for x in columns), strict=True):
            if goes_on:
                assert at[slot] == (user, session - 1)
            else:
                assert session == 0 or corpus.train.user[session - 1] != user
            at[slot] = (user, session)


def test_sessions_start_in_order_of_time() -> None:
    corpus = worlds.corpus_of([[[0, 1], [2, 3]], [[4, 5], [6, 7]]], starts=[[3 * DAY, 4 * DAY], [0, 9 * DAY]])
    first = [int(batch.items[0, 0]) for batch in played(corpus, "session_parallel", 1)]
    assert first == [4, 0, 2, 6]


def test_the_longest_life_is_played_first() -> None:
    corpus = worlds.corpus_of([[[0, 1]], [[2, 3]] * 3, [[4, 5]] * 2])
    batches = played(corpus, "user_sequential", 2)
    assert [batch.user.tolist() for batch in batches] == [[1, 2], [1, 2], [1, 0]]
    assert [batch.continues.tolist() for batch in batches] == [[False, False], [True, True], [True, False]]


def test_unknown_users_share_no_life() -> None:
    corpus = worlds.corpus_of([[[0, 1]] * 2, [[2, 3]] * 2])
    nobody = corpus.train.take(np.arange(4))
    nobody.user[:] = corpus.n_users
    (batch,) = Loader(corpus, nobody, 3, order="user_sequential").batches(100)
    assert not batch.continues.any()


@pytest.mark.parametrize("order", ["session_parallel", "user_sequential"])
def test_nothing_to_play(order: Order) -> None:
    corpus = worlds.corpus_of([[[0, 1]]])
    empty = corpus.train.take(np.zeros(0, dtype=np.int64))
    assert list(Loader(corpus, empty, 3, order=order).batches(4)) == []

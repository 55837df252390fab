"""The loader plays every event once, in the order that is asked for, and knows each row's history."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Literal

import numpy as np
import pytest
import torch
import worlds
from batched import events, one_batch, past_of
from hypothesis import given, settings
from hypothesis import strategies as st
from worlds import TEST, TRAIN, VALIDATION

from segue.data.corpus import Corpus, Part
from segue.data.loader import Loader
from segue.data.schedules import Order

HOUR = 3_600_000


def test_shuffled_events_have_a_row_each() -> None:
    batch = one_batch(worlds.corpus_of([[[1, 2, 3, 4, 5]]]), length=3, shuffle="events")
    assert batch.row.tolist() == [0, 1, 2, 3]
    assert events(batch) == [((1,), 2), ((1, 2), 3), ((1, 2, 3), 4), ((2, 3, 4), 5)]


def test_a_session_of_one_item_has_no_event() -> None:
    corpus = worlds.corpus_of([[[1], [2, 3]]])
    assert events(one_batch(corpus)) == [((2,), 3)]
    alone = worlds.corpus_of([[[1]]])
    assert list(Loader(alone, alone.sessions, 5).batches(8)) == []


def test_frozen_history_ends_with_train(lives: Corpus) -> None:
    batch = one_batch(lives, part=TEST)
    assert past_of(batch) == [[0, 1, 2, 3], [0, 1, 2, 3], [1, 2]]
    assert batch.past_sessions.tolist() == [2, 2, 1]


def test_rolling_history_goes_on_to_the_session_before(lives: Corpus) -> None:
    batch = one_batch(lives, part=TEST, policy="rolling")
    assert past_of(batch) == [[0, 1, 2, 3, 4, 5], [0, 1, 2, 3, 4, 5, 6, 7], [1, 2]]
    assert batch.past_sessions.tolist() == [3, 4, 1]


@pytest.mark.parametrize("policy", ["frozen", "rolling"])
def test_a_train_session_sees_the_train_sessions_before_it(lives: Corpus, policy: str) -> None:
    batch = one_batch(lives, part=TRAIN, policy=policy)
    assert past_of(batch) == [[], [0, 1], []]
    assert batch.past_sessions.tolist() == [0, 1, 0]


def test_refitting_counts_validation_as_train(lives: Corpus) -> None:
    batch = one_batch(lives.with_train([TRAIN, VALIDATION]), part=TEST)
    assert past_of(batch)[0] == [0, 1, 2, 3, 4, 5]


def test_a_session_still_running_is_no_history() -> None:
    """Sessions by start: A 0-9 h, B 2-3 h, C 5-6 h, D 20 h. C starts while A runs, so it sees nothing, not even B."""
    corpus = worlds.corpus_of([[[0, 1], [2, 3], [4, 5], [6, 7]]], starts=[[0, 2 * HOUR, 5 * HOUR, 20 * HOUR]])
    times = corpus.sessions.times.copy()
    times[1] = worlds.BEGINNING + 9 * HOUR
    stretched = replace(corpus, sessions=replace(corpus.sessions, times=times))
    assert past_of(one_batch(stretched)) == [[], [], [], [0, 1, 2, 3, 4, 5]]


def test_a_session_that_starts_when_another_ends_does_not_see_it() -> None:
    corpus = worlds.corpus_of([[[0, 1], [2, 3]]], starts=[[0, worlds.SECOND]])
    assert past_of(one_batch(corpus)) == [[], []]


def test_own_items_are_those_of_train_sessions_whole(lives: Corpus) -> None:
    items, owner, session = one_batch(lives, length=1, part=TRAIN).own_items()
    assert (items.tolist(), owner.tolist()) == ([0, 1, 2, 3, 1, 2], [0, 0, 1, 1, 2, 2])
    assert session.tolist() == [0, 1, 2]
    assert len(one_batch(lives, part=TEST).own_items()[0]) == 0


def test_a_long_session_is_held_once_and_every_row_of_it_knows_it() -> None:
    """Held once per row, a session of 200,000 events would take gigabytes in every batch."""
    corpus = worlds.corpus_of([[[1, 2, 3, 4]], [[7, 8]], [[5, 6]]], [[TRAIN], [TRAIN], [TEST]])
    loader = Loader(corpus, corpus.sessions, 2)
    (batch,) = loader.batches(100)
    items, owner, session = batch.own_items()
    held = {number: items[owner == number].tolist() for number in session.tolist()}
    wanted: dict[int, list[int]] = {0: [1, 2, 3, 4], 1: [7, 8], 2: []}
    assert [held[number] for number in session.tolist()] == [wanted[number] for number in batch.session.tolist()]
    assert len(items) == 6
    assert batch.session.tolist().count(0) == 2


def test_a_long_row_is_divided_and_its_events_see_what_they_saw() -> None:
    session = list(range(250)) * 2
    corpus = worlds.corpus_of([[session, [1, 2]]])
    loader = Loader(corpus, corpus.sessions, 1000)
    batches = list(loader.batches(150))
    assert [len(batch) for batch in batches] == [150, 150, 150, 50]
    found = [event for batch in batches for event in events(batch)]
    assert found == [(tuple(session[:t]), session[t]) for t in range(1, 500)] + [((1,), 2)]
    assert max(len(batch) for batch in loader.batches(1)) == 100


def test_users_whom_only_test_knows_are_the_unknown_user() -> None:
    corpus = worlds.corpus_of([[[0, 1]], [[1, 2]], [[2, 3]]], [[TRAIN], [TEST], [TEST]])
    assert corpus.n_users == 1
    assert one_batch(corpus, part=TEST).user.tolist() == [1, 1]


def test_a_plan_fills_batches_to_the_wanted_number_of_events() -> None:
    corpus = worlds.corpus_of([[[0, 1, 2]] * 10])
    loader = Loader(corpus, corpus.sessions, 20)
    assert loader.n_events == 20
    assert [len(batch) for batch in loader.batches(4)] == [4] * 5
    assert [rows.session.tolist() for rows in loader.plan(6)] == [[0, 1, 2], [3, 4, 5], [6, 7, 8], [9]]


def test_the_seed_decides_the_order() -> None:
    corpus = worlds.corpus_of([[[0, 1, 2]] * 20])
    loader = Loader(corpus, corpus.sessions, 20)
    first, again, other = (
        np.concatenate([r.session for r in loader.plan(4, seed)]).tolist() for seed in ((1, 0), (1, 0), (1, 1))
    )
    assert first == again
    assert first != other
    assert sorted(first) == list(range(20))


logs = st.lists(
    st.lists(st.lists(st.integers(0, 9), min_size=1, max_size=9), min_size=1, max_size=5), min_size=1, max_size=4
)


@given(logs, st.integers(1, 6), st.integers(1, 30), st.sampled_from(["sessions", "events"]), st.integers(0, 3))
@settings(max_examples=150)
def test_an_epoch_holds_every_pair_once(  # T18, T20, T21
    users: list[list[list[int]]], length: int, batch_events: int, shuffle: str, seed: int
) -> None:
    corpus = worlds.corpus_of(users, n_items=10)
    loader = Loader(corpus, corpus.sessions, length, shuffle=shuffle)  # type: ignore[arg-type]
    found = Counter(event for batch in loader.batches(batch_events, (seed,)) for event in events(batch))
    wanted = Counter(
        (tuple(session[max(t - length, 0) : t]), session[t])
        for sessions in users
        for session in sessions
        for t in range(1, len(session))
    )
    assert found == wanted
    assert loader.n_events == wanted.total()


@st.composite
def overlapping(draw: st.DrawFn) -> Corpus:
    """Few users whose sessions start close together and last long enough to overlap; parts in any order."""
    session = st.lists(st.integers(0, 5), min_size=2, max_size=5)
    users = draw(st.lists(st.lists(session, min_size=1, max_size=6), min_size=1, max_size=3))
    starts = [[draw(st.integers(0, 30)) for _ in own] for own in users]
    parts = [[TRAIN, *(draw(st.sampled_from(list(Part))) for _ in own[1:])] for own in users]
    return worlds.corpus_of(users, parts, n_items=6, starts=starts, step=2)


@given(overlapping(), st.sampled_from(["frozen", "rolling"]))
@settings(max_examples=300)
def test_history_is_the_leading_run_that_had_ended(corpus: Corpus, policy: str) -> None:
    batch = one_batch(corpus, policy=policy)
    for row, number in enumerate(batch.session.tolist()):
        whole = corpus.sessions
        begin = whole.times[whole.offsets[number]]
        wanted: list[int] = []
        run = 0
        for other in np.flatnonzero(whole.user == whole.user[number]):
            own = slice(whole.offsets[other], whole.offsets[other + 1])
            only_train = policy == "frozen" or corpus.part[number] == TRAIN
            if whole.times[own][-1] >= begin or other >= number or (only_train and corpus.part[other] != TRAIN):
                break
            wanted += whole.items[own].tolist()
            run += 1
        assert past_of(batch)[row] == wanted
        assert batch.past_sessions[row] == run


@given(
    st.lists(
        st.lists(st.lists(st.integers(0, 9), min_size=2, max_size=9), min_size=1, max_size=4), min_size=1, max_size=5
    ),
    st.integers(1, 40),
    st.integers(1, 5),
    st.sampled_from(["shuffled", "session_parallel", "user_sequential"]),
    st.sampled_from(["sessions", "events"]),
)
def test_shares_play_every_event_of_a_batch_once(
    users: list[list[list[int]]], batch_events: int, size: int, order: Order, shuffle: Literal["sessions", "events"]
) -> None:
    corpus = worlds.corpus_of(users)
    loader = Loader(corpus, corpus.train, 5, shuffle=shuffle, order=order)
    for rows in loader.plan(batch_events, (1,)):
        whole = loader.collate(rows)
        shares = [loader.share(rows, rank, size) for rank in range(size)]
        played = [share for share in shares if not share.idle]
        assert sorted(torch.cat([share.place for share in played]).tolist()) == list(range(len(whole)))
        for share in shares:
            assert len(share.joined) == len(whole)
            assert torch.equal(share.joined.target, whole.target)
            assert torch.equal(share.target, whole.target[share.place])
            assert torch.equal(share.time, whole.time[share.place])
            assert torch.equal(share.session[share.row], whole.session[whole.row[share.place]])
            assert torch.equal(share.slot[share.row], whole.slot[whole.row[share.place]]) or order == "shuffled"
        if order != "shuffled":
            assert all(
                set((share.slot % size).tolist()) == {rank} for rank, share in enumerate(shares) if not share.idle
            )


def test_shares_of_shuffled_batches_have_about_as_many_events() -> None:
    corpus = worlds.corpus_of([[[0, 1, 2, 3]] * 40])
    loader = Loader(corpus, corpus.train, 5)
    (rows,) = loader.plan(1000, (0,))
    assert [len(loader.share(rows, rank, 4)) for rank in range(4)] == [30] * 4


def test_a_batch_of_one_process_is_its_own_whole() -> None:
    batch = one_batch(worlds.corpus_of([[[1, 2, 3]]]))
    assert batch.joined is batch
    assert batch.place.tolist() == [0, 1]

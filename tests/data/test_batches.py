"""Rows, events, history and own sessions of a batch, by hand and against slow definitions."""

from __future__ import annotations

import numpy as np
import torch
import worlds
from batched import events, one_batch, past_of
from worlds import TEST, TRAIN

from segue.data.batches import Past, request
from segue.data.corpus import Corpus

NO_HISTORY = Past(np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64), np.array([0]))


def test_a_session_that_fits_is_one_row() -> None:
    batch = one_batch(worlds.corpus_of([[[5, 6, 7], [1, 2]]]))
    assert batch.items.tolist() == [[5, 6], [1, 0]]
    assert batch.mask.tolist() == [[True, True], [True, False]]
    assert events(batch) == [((5,), 6), ((5, 6), 7), ((1,), 2)]
    assert batch.session.tolist() == [0, 1]
    begin = worlds.BEGINNING
    assert batch.time.tolist() == [begin, begin + worlds.SECOND, begin + worlds.DAY]


def test_events_beyond_the_window_get_rows_cut_to_their_last_items() -> None:
    batch = one_batch(worlds.corpus_of([[[1, 2, 3, 4, 5, 6]]]), length=3)
    assert batch.items.tolist() == [[1, 2, 3], [2, 3, 4], [3, 4, 5]]
    assert batch.row.tolist() == [0, 0, 0, 1, 2]
    assert batch.position.tolist() == [0, 1, 2, 2, 2]
    assert events(batch) == [((1,), 2), ((1, 2), 3), ((1, 2, 3), 4), ((2, 3, 4), 5), ((3, 4, 5), 6)]


def test_history_keeps_the_last_items(lives: Corpus) -> None:
    history = one_batch(lives, part=TEST).history(3)
    assert history.items.tolist() == [1, 2, 3, 1, 2, 3, 1, 2]
    assert history.row.tolist() == [0, 0, 0, 1, 1, 1, 2, 2]
    first = worlds.BEGINNING
    assert history.times.tolist()[:2] == [first + worlds.SECOND, first + 2 * worlds.DAY]


def test_prefixes_are_rows_of_their_own() -> None:
    prefixes = one_batch(worlds.corpus_of([[[5, 6, 7, 8]]])).prefixes()
    assert prefixes.items.tolist() == [[5, 0, 0], [5, 6, 0], [5, 6, 7]]
    assert prefixes.mask.tolist() == [[True, False, False], [True, True, False], [True, True, True]]
    assert prefixes.reversed_position.tolist() == [[0, 0, 0], [1, 0, 0], [2, 1, 0]]


def test_anonymous_rows_have_no_user_and_no_past(lives: Corpus) -> None:
    batch = one_batch(lives, part=TEST).anonymise(torch.tensor([True, False, True]), lives.n_users)
    assert batch.user.tolist() == [2, 0, 2]
    assert past_of(batch) == [[], [0, 1, 2, 3], []]
    assert batch.past_sessions.tolist() == [0, 2, 0]


def test_an_empty_request_is_a_row_without_items() -> None:
    batch = request(np.zeros(0, dtype=np.int64), 3, 77, NO_HISTORY, length=5)
    assert (batch.items.shape, batch.mask.tolist(), batch.position.tolist()) == ((1, 1), [[False]], [-1])
    assert not batch.prefixes().mask.any()
    assert len(batch.history(10).items) == 0


def test_a_history_knows_where_its_sessions_begin() -> None:
    corpus = worlds.corpus_of(
        [[[0, 1, 2], [3, 4], [5, 6, 7], [8, 9]], [[1, 2], [3, 1]]], [[TRAIN] * 3 + [TEST], [TRAIN] * 2]
    )
    batch = one_batch(corpus, part=TEST)
    whole = batch.history(100)
    assert whole.items.tolist() == [0, 1, 2, 3, 4, 5, 6, 7]
    assert whole.begins.tolist() == [True, False, False, True, False, True, False, False]
    assert batch.history(100, max_sessions=2).items.tolist() == [3, 4, 5, 6, 7]
    assert batch.history(100, max_sessions=0).items.tolist() == []
    cut = batch.history(4, max_sessions=2)
    assert (cut.items.tolist(), cut.begins.tolist()) == ([4, 5, 6, 7], [True, True, False, False])
    trained = one_batch(corpus, part=TRAIN).history(3, max_sessions=1)
    assert (trained.items.tolist(), trained.row.tolist()) == ([0, 1, 2, 3, 4, 1, 2], [1, 1, 1, 2, 2, 4, 4])
    assert trained.begins.tolist() == [True, False, False, True, False, True, False]


def test_a_request_is_cut_to_its_last_items() -> None:
    batch = request(np.array([1, 2, 3, 4]), 0, 77, Past(np.array([8, 9]), np.array([5, 6]), np.array([0, 2])), length=2)
    assert events(batch) == [((3, 4), -1)]
    assert batch.history(1).items.tolist() == [9]
    assert batch.history(1).times.tolist() == [6]

"""Counts by hand: of everybody, of the session, of the user, decayed or not."""

from __future__ import annotations

import pytest
import torch
import worlds
from worlds import TEST, TRAIN, VALIDATION

from segue.data.corpus import Corpus
from segue.errors import ConfigError


def scores(corpus: Corpus, preset: str, policy: str = "frozen", **options: object) -> list[list[float]]:
    model = worlds.fitted({"model": {"name": "popularity", "preset": preset, **options}}, corpus)
    return worlds.scores_of(model, worlds.events_of(model, corpus, policy=policy)).tolist()  # type: ignore[arg-type]


@pytest.fixture
def corpus() -> Corpus:
    """Support in train: item 0 three times, 1 and 2 once, 3 never. One test session, (1, 0, 1, 3)."""
    users = [[[0, 1, 0], [0, 2], [3, 3], [1, 0, 1, 3]]]
    return worlds.corpus_of(users, [[TRAIN, TRAIN, VALIDATION, TEST]])


def test_popularity_is_train_support_below_one(corpus: Corpus) -> None:
    assert scores(corpus, "global") == [[0.75, 0.25, 0.25, 0.0]] * 3


def test_the_session_counts_first_and_popularity_decides(corpus: Corpus) -> None:
    assert scores(corpus, "session") == [[0.75, 1.25, 0.25, 0.0], [1.75, 1.25, 0.25, 0.0], [1.75, 2.25, 0.25, 0.0]]


def test_the_users_own_history_counts_first(corpus: Corpus) -> None:
    assert scores(corpus, "personal") == [[3.75, 1.25, 1.25, 0.0]] * 3


def test_a_rolling_history_holds_validation_too(corpus: Corpus) -> None:
    assert scores(corpus, "personal", policy="rolling") == [[3.75, 1.25, 1.25, 2.0]] * 3


def test_mixed_is_the_sum(corpus: Corpus) -> None:
    assert scores(corpus, "mixed", history_weight=0.5, half_life=None)[2] == [3.25, 2.75, 0.75, 0.0]


def test_mixed_forgets() -> None:
    """The history lies 60 days back, two of the preset's half-lives: item 2 of the session, item 0 of the history."""
    starts = [[0, 60 * worlds.DAY]]
    corpus = worlds.corpus_of([[[0, 0], [2, 1]]], [[TRAIN, TEST]], starts=starts, step=0)
    assert scores(corpus, "mixed") == [[2 / 3 + 2 * 0.25, 0.0, 1.0]]


def test_the_items_of_the_session_by_recency_then_popularity(corpus: Corpus) -> None:
    """Of (1, 0, 1) item 1 is the last, item 0 the one before; items 2 and 3 by popularity."""
    assert scores(corpus, "repeat_last") == [[0.75, 1.25, 0.25, 0.0], [2.75, 1.25, 0.25, 0.0], [2.75, 3.25, 0.25, 0.0]]
    assert scores(corpus, "repeat_last", session_weight=2.0)[2] == [4.75, 6.25, 0.25, 0.0]


def test_only_the_last_occurrence_speaks_for_recency(corpus: Corpus) -> None:
    model = worlds.fitted({"model": {"name": "popularity", "preset": "repeat_last"}}, corpus)
    parts = model.parts(worlds.request_of(model, [1, 0, 1]), torch.tensor([1, 0]))
    assert parts.session["session"].tolist() == [[0.0, 0.0, 3.0], [0.0, 2.0, 0.0]]
    assert parts.total().tolist() == [3.25, 2.75]


def test_history_decays_with_its_age() -> None:
    """Sessions a day apart: item 0 is two days old, item 1 one day; both once in train beside two of item 2."""
    corpus = worlds.corpus_of([[[0], [1], [2, 2]]], [[TRAIN, TRAIN, TEST]], step=0)
    found = scores(corpus, "personal", half_life="1d")
    assert found == [[0.5 + 0.25, 0.5 + 0.5, 0.0]]


def test_recent_popularity_halves_each_half_life_before_the_end_of_train() -> None:
    corpus = worlds.corpus_of([[[0], [1], [1], [2], [3, 3]]], [[TRAIN] * 4 + [TEST]], step=0)
    decayed = [0.125, 0.25 + 0.5, 1.0, 0.0]
    assert scores(corpus, "recent") == [[value / 2.0 for value in decayed]]
    assert scores(corpus, "recent", recency_half_life="12h")[0][:3] == [2**-7, (2**-4 + 2**-2) / 2, 0.5]


def test_the_whole_session_counts_however_long() -> None:
    items = [0] * 30 + [1] * 40 + [2]
    corpus = worlds.corpus_of([[[3], items]], [[TRAIN, TEST]])
    assert scores(corpus, "session")[-1] == [30.0, 40.0, 0.0, 0.5]


def test_equal_counts_keep_the_order_of_popularity_on_large_catalogues() -> None:
    """float32 would make 10,000 + 1 / 2,000,001 and 10,000 equal."""
    corpus = worlds.corpus_of([[[0, 1, 2], [0, 1, 0]]], [[TRAIN, TEST]])
    model = worlds.fitted({"model": {"name": "popularity", "preset": "session", "session_weight": 10_000.0}}, corpus)
    support = torch.tensor([0.0, 1.0, 2_000_000.0], dtype=torch.float64)
    model.restore({"popularity": support / 2_000_001}, 3, 1)
    last = worlds.scores_of(model, worlds.events_of(model, corpus))[-1]
    assert last[1] > last[0]


def test_a_half_life_needs_a_unit() -> None:
    corpus = worlds.corpus_of([[[0, 1]]])
    with pytest.raises(ConfigError, match=r"model\.half_life"):
        worlds.fitted({"model": {"name": "popularity", "half_life": "3"}}, corpus)


def test_a_history_that_is_counted_is_looked_at() -> None:
    with pytest.raises(ConfigError, match=r"setting 'model\.history_weight': .*window\.history above 0, found 1\.0"):
        worlds.fitted({"model": {"name": "popularity", "preset": "personal", "window": {"history": 0}}}, worlds.busy())


def test_a_stray_event_of_the_future_is_not_the_present_of_recent_popularity() -> None:
    """Without it, and with it, the counts of the other items are the same."""
    sessions = [[day % 3] for day in range(40)]
    starts = [day * worlds.DAY for day in range(40)]
    sane = worlds.corpus_of([[*sessions, [4, 4]]], [[TRAIN] * 40 + [TEST]], starts=[[*starts, 50 * worlds.DAY]])
    stray = worlds.corpus_of(
        [[*sessions, [3], [4, 4]]], [[TRAIN] * 41 + [TEST]], starts=[[*starts, 9000 * worlds.DAY, 9001 * worlds.DAY]]
    )
    expected, found = scores(sane, "recent")[0], scores(stray, "recent")[0]
    assert found[:3] == expected[:3]
    assert 0 < found[3] <= max(expected)

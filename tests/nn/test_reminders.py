"""Reminders by hand and against a plain loop."""

from __future__ import annotations

import math

import pytest
import torch
import worlds
from hypothesis import given
from hypothesis import strategies as st
from worlds import TEST, TRAIN

from segue.data.batches import Batch
from segue.data.corpus import Corpus
from segue.data.loader import Loader
from segue.errors import ConfigError
from segue.nn.reminders import Reminding, reminders


def batch_of(corpus: Corpus) -> Batch:
    (batch,) = Loader(corpus, corpus.select(TEST), 20).batches(10**9)
    return batch


def found(batch: Batch, max_items: int, max_sessions: int, n_items: int) -> list[dict[int, tuple[float, float]]]:
    """For each event its items, each with recency and similarity."""
    event, item, recency, similarity = reminders(batch, max_items, max_sessions, n_items)
    assert event.tolist() == sorted(event.tolist())
    tables: list[dict[int, tuple[float, float]]] = [{} for _ in range(len(batch))]
    for e, i, r, s in zip(event.tolist(), item.tolist(), recency.tolist(), similarity.tolist(), strict=True):
        assert i not in tables[e]
        tables[e][i] = (r, s)
    return tables


def test_by_hand() -> None:
    """History (0, 1), (2, 0, 2), (3); runs (0), then (0, 3). Latest first: 3, 2, 0, 1."""
    corpus = worlds.corpus_of([[[0, 1], [2, 0, 2], [3], [0, 3, 4]]], [[TRAIN] * 3 + [TEST]])
    first, second = found(batch_of(corpus), 100, 5, corpus.n_items)
    half = 1 / math.sqrt(2)  # cosine of (0) and either session of two items
    assert first.keys() == {0, 1, 2, 3}
    wanted = {3: (1, 0), 2: (1 / 2, half), 0: (1 / 3, 2 * half), 1: (1 / 4, half)}
    for item, (recency, similarity) in wanted.items():
        assert first[item] == pytest.approx((recency, similarity / (2 * half)))
    # Of (0, 3): cosine 1/2 with the first two sessions, 1/√2 with (3).
    assert {item: second[item][1] for item in second} == pytest.approx({0: 1, 1: 0.5, 2: 0.5, 3: half})


def test_cosines_are_in_double_precision() -> None:
    """(0) runs: the cosine with (0, 1, 2) is 1/√3, that with (0) is 1."""
    corpus = worlds.corpus_of([[[0, 1, 2], [0], [0, 3]]], [[TRAIN] * 2 + [TEST]])
    (one,) = found(batch_of(corpus), 100, 5, corpus.n_items)
    assert one[1][1] == pytest.approx(1 / (1 + math.sqrt(3)), rel=1e-14, abs=0)


def test_only_the_last_sessions_and_items_are_looked_at() -> None:
    corpus = worlds.corpus_of([[[0, 1], [2, 0, 2], [3], [0, 4]]], [[TRAIN] * 3 + [TEST]])
    assert found(batch_of(corpus), 100, 1, 5) == [{3: (1.0, 0.0)}]
    assert found(batch_of(corpus), 2, 5, 5)[0].keys() == {2, 3}


def test_without_a_history_nothing_is_reminded_of() -> None:
    corpus = worlds.corpus_of([[[0, 1], [1, 2]], [[0, 2, 1]]], [[TRAIN, TEST], [TEST]])
    known, *stranger = found(batch_of(corpus), 100, 5, 3)
    assert known.keys() == {0, 1}
    assert stranger == [{}, {}]


HISTORIES = st.lists(
    st.lists(st.lists(st.integers(0, 6), min_size=1, max_size=5), min_size=2, max_size=5), min_size=1, max_size=3
)


@given(HISTORIES, st.integers(1, 8), st.integers(1, 4))
def test_it_equals_a_loop(users: list[list[list[int]]], max_items: int, max_sessions: int) -> None:
    users = [[*own[:-1], [*own[-1], 0]] for own in users]
    corpus = worlds.corpus_of(users, [[TRAIN] * (len(own) - 1) + [TEST] for own in users], n_items=7)
    wanted = []
    for *past, running in users:
        numbered = [(number, item) for number, session in enumerate(past) for item in session][-max_items:]
        kept = sorted({number for number, _ in numbered})[-max_sessions:]
        numbered = [(number, item) for number, item in numbered if number in kept]
        latest = list(dict.fromkeys(item for _, item in reversed(numbered)))
        sets = [{item for number, item in numbered if number == one} for one in kept]
        for length in range(1, len(running)):
            prefix = set(running[:length])
            summed = {i: sum(len(s & prefix) / math.sqrt(len(s) * len(prefix)) for s in sets if i in s) for i in latest}
            largest = max(summed.values()) or 1.0
            wanted.append({i: (1 / rank, summed[i] / largest) for rank, i in enumerate(latest, 1)})
    tables = found(batch_of(corpus), max_items, max_sessions, corpus.n_items)
    assert [table.keys() for table in tables] == [table.keys() for table in wanted]
    for table, expected in zip(tables, wanted, strict=True):
        for item, pair in expected.items():
            assert table[item] == pytest.approx(pair)


@pytest.mark.parametrize(
    "wrong",
    [
        *({"base": 0.0}, {"recency": -1.0}, {"similarity": -1.0}, {"sessions": 0}),
        *({"base": 1e308}, {"recency": 1e308}, {"similarity": 1e308}),
    ],
)
def test_weights_have_bounds(wrong: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        Reminding.parse(wrong)


def test_served_alone_as_in_the_batch() -> None:
    corpus = worlds.busy()
    batch = batch_of(corpus)
    alone = list(Loader(corpus, corpus.select(TEST), 20, shuffle="events").batches(1))
    assert torch.cat([one.target for one in alone]).equal(batch.target)
    tables = [found(one, 50, 3, corpus.n_items)[0] for one in alone]
    assert tables == found(batch, 50, 3, corpus.n_items)

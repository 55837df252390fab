"""Table 1 of a corpus small enough to count by hand."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from segue.data.corpus import Corpus, Sessions
from segue.data.stats import table1


def corpus_of(items: list[list[int]], users: list[int], parts: list[int], names: list[str | None]) -> Corpus:
    lengths = [len(session) for session in items]
    sessions = Sessions(
        items=np.array([item for session in items for item in session], dtype=np.int32),
        times=np.arange(sum(lengths), dtype=np.int64),
        offsets=np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
        user=np.array(users, dtype=np.int32),
        number=np.arange(len(users), dtype=np.int64),
    )
    table = pa.table({"user_id": pa.array(names, pa.string())})
    vocabulary = pa.table({"item_id": [str(item) for item in range(4)]})
    return Corpus(vocabulary, table, sessions, np.array(parts, dtype=np.int8), 2, {})


def test_table_1_by_hand() -> None:
    corpus = corpus_of([[0, 0, 1, 0], [1, 2], [3, 0], [2, 3, 2]], [0, 0, 1, 1], [0, 2, 0, 1], ["u", "v"])
    assert table1(corpus) == pytest.approx(
        {
            "No. of users": 2,
            "No. of items": 4,
            "No. of sessions": 4,
            "Avg. of session length": 11 / 4,
            "Session per user": 2,
            "No. of train sessions": 3,
            "No. of test sessions": 1,
            "No. of validation sessions": 1,
            "No. of interactions": 11,
            "No. of events": 7,
            "Share of immediate repeats": 1 / 7,
            "Share of repeats in session": 3 / 7,
            "Share of repeats of the user": 5 / 11,
            "Share of one-item prefixes": 4 / 7,
        }
    )
    assert list(table1(corpus))[:7] == [
        "No. of users",
        "No. of items",
        "No. of sessions",
        "Avg. of session length",
        "Session per user",
        "No. of train sessions",
        "No. of test sessions",
    ]


def test_sessions_without_a_user_are_nobodys() -> None:
    table = table1(corpus_of([[0, 1], [1, 2]], [0, 1], [0, 0], ["u", None]))
    assert table["No. of users"] == 1
    assert table["No. of sessions"] == 2


def test_a_corpus_of_no_sessions_has_no_shares() -> None:
    table = table1(corpus_of([], [], [], []))
    assert table["Share of one-item prefixes"] == 0.0
    assert table["Avg. of session length"] == 0.0

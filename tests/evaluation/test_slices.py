"""The slices of an evaluation, by hand."""

from __future__ import annotations

import numpy as np
from scorers import oracle
from worlds import BEGINNING, DAY, SECOND, TEST, TRAIN, corpus_of

from segue.evaluation.full_ranking import evaluate
from segue.evaluation.slices import SLICES, popularity_thirds


def test_slices_by_hand() -> None:
    corpus = corpus_of(
        [[[0, 1, 0], [1, 2, 1, 0, 3, 3]], [[0, 2]] * 6 + [[2, 1]], [[0, 1]]],
        [[TRAIN, TEST], [TRAIN] * 6 + [TEST], [TEST]],
    )
    measured = evaluate(oracle(4), corpus, TEST, mask_session=False)
    # Events: (user, target) = (0, 2) (0, 1) (0, 0) (0, 3) (0, 3) | (1, 1) | (2, 1); train holds 0: 8, 2: 6, 1: 1.
    columns = {name: column.tolist() for name, column in measured.slices.items()}
    assert columns == {
        "prefix_length": [0, 1, 1, 2, 2, 0, 0],
        "target": [2, 0, 1, 2, 0, 2, 2],
        "popularity": [1, 2, 0, 2, 2, 2, 2],
        "history": [1, 1, 1, 1, 1, 2, 0],
        "click": [0, 2, 2, 2, 2, 0, 1],
        "user": [1, 1, 1, 1, 1, 2, 0],
        "item_age": [1, 1, 1, 2, 2, 1, 1],
    }
    slices = measured.as_dict()["slices"]
    assert slices["target"]["repeat in session"] == {"events": 2, **measured.as_dict()["metrics"]}
    assert {name: sum(s["events"] for s in group.values()) for name, group in slices.items()} == dict.fromkeys(
        columns, 7
    )
    assert "20+" not in slices["history"], "a slice without events is left out"


def test_the_last_day_ends_at_the_event_or_at_the_end_of_train() -> None:
    """Train ends at day 9. User 0 is asked at day 20, user 1 at day 5.5, before items that train saw later."""
    corpus = corpus_of(
        [[[0, 1], [2, 0], [0, 1, 2, 3]], [[3, 0], [0, 3, 1, 2, 4]]],
        [[TRAIN, TRAIN, TEST], [TRAIN, TEST]],
        starts=[[0, 9 * DAY, 20 * DAY], [5 * DAY, 5 * DAY + DAY // 2]],
    )
    measured = evaluate(oracle(5), corpus, TEST, mask_session=False)
    assert measured.events.target.tolist() == [1, 2, 3, 3, 1, 2, 4]
    assert [SLICES["item_age"][code] for code in measured.slices["item_age"]] == [
        *("earlier", "last day", "earlier"),
        *("last day", "earlier", "last day", "never in train"),
    ]
    assert measured.events.time.tolist() == [
        *(BEGINNING + 20 * DAY + SECOND * place for place in range(3)),
        *(BEGINNING + 5 * DAY + DAY // 2 + SECOND * place for place in range(4)),
    ]


def test_a_day_is_counted_to_the_millisecond() -> None:
    """Item 1 was first seen exactly a day before the event, item 2 a millisecond earlier."""
    corpus = corpus_of(
        [[[1], [0, 1, 2]], [[2]], [[0, 0]]],
        [[TRAIN, TEST], [TRAIN], [TRAIN]],
        starts=[[10 * DAY, 11 * DAY], [10 * DAY - 1], [30 * DAY]],
        step=0,
    )
    assert evaluate(oracle(3), corpus, TEST).slices["item_age"].tolist() == [0, 1]


def test_first_clicks_and_sessions_behind_a_user() -> None:
    corpus = corpus_of(
        [[[0, 1], [0, 1, 2]], [[0, 1], [0, 2], [0, 1]], [[0, 1, 2]]],
        [[TRAIN, TEST], [TRAIN, TRAIN, TEST], [TEST]],
    )
    slices = evaluate(oracle(3), corpus, TEST).slices
    assert [SLICES["click"][code] for code in slices["click"]] == [
        *("first of a known user", "later", "first of a known user", "first of an unknown user", "later"),
    ]
    assert [SLICES["user"][code] for code in slices["user"]] == [
        *("one past session", "one past session", "more past sessions", "anonymous", "anonymous"),
    ]


def test_popularity_thirds_hold_a_third_of_the_events_each() -> None:
    assert popularity_thirds(np.array([1, 2, 4, 1, 0, 1])).tolist() == [2, 1, 0, 2, 2, 2]
    assert popularity_thirds(np.array([5, 5, 5, 5, 5, 5])).tolist() == [0, 0, 1, 1, 2, 2]
    assert popularity_thirds(np.zeros(3, dtype=np.int64)).tolist() == [2, 2, 2]

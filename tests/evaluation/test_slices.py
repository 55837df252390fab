"""The slices of an evaluation, by hand."""

from __future__ import annotations

import numpy as np
from scorers import oracle
from worlds import TEST, TRAIN, corpus_of

from segue.evaluation.full_ranking import evaluate
from segue.evaluation.slices import popularity_thirds


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
    }
    slices = measured.as_dict()["slices"]
    assert slices["target"]["repeat in session"] == {"events": 2, **measured.as_dict()["metrics"]}
    assert {name: sum(s["events"] for s in group.values()) for name, group in slices.items()} == dict.fromkeys(
        columns, 7
    )
    assert "20+" not in slices["history"], "a slice without events is left out"


def test_popularity_thirds_hold_a_third_of_the_events_each() -> None:
    assert popularity_thirds(np.array([1, 2, 4, 1, 0, 1])).tolist() == [2, 1, 0, 2, 2, 2]
    assert popularity_thirds(np.array([5, 5, 5, 5, 5, 5])).tolist() == [0, 0, 1, 1, 2, 2]
    assert popularity_thirds(np.zeros(3, dtype=np.int64)).tolist() == [2, 2, 2]

"""Transitions counted by hand."""

from __future__ import annotations

import torch

import worlds
from segue.data.batches import Batch
from segue.data.corpus import Corpus, Part
from segue.nn.protocol import SessionModel
from worlds import TEST, TRAIN


def fitted(corpus: Corpus, **options: object) -> SessionModel:
    return worlds.fitted({"model": {"name": "markov", **options}}, corpus)


def scores(model: SessionModel, batch: Batch) -> list[list[float]]:
    return worlds.scores_of(model, batch).tolist()


def world(test: list[int], last_part: Part = TEST) -> Corpus:
    """Train: 0→1 three times, 0→2 once, 1→0 once, 1→1 once. Support 0: 5, 1: 4, 2: 1, 3: 0."""
    return worlds.corpus_of([[[0, 1, 1], [0, 1, 0], [0, 2], [0, 1], test]], [[TRAIN] * 4 + [last_part]], n_items=4)


def test_counts_then_popularity() -> None:
    corpus = world([0, 1, 2, 0])
    model = fitted(corpus)
    fill = [5 / 6, 4 / 6, 1 / 6, 0.0]
    wanted = [[0, 3, 1, 0], [1, 1, 0, 0], [0, 0, 0, 0]]
    found = worlds.scores_of(model, worlds.events_of(model, corpus))
    torch.testing.assert_close(found, torch.tensor(wanted) + torch.tensor(fill, dtype=torch.float64))


def test_without_fill_the_rest_is_zero() -> None:
    corpus = world([0, 1, 2, 0])
    model = fitted(corpus, fill="none")
    assert scores(model, worlds.events_of(model, corpus)) == [[0, 3, 1, 0], [1, 1, 0, 0], [0, 0, 0, 0]]


def test_only_the_last_item_matters() -> None:
    corpus = world([2, 3, 1, 0])
    model = fitted(corpus)
    batch = worlds.events_of(model, corpus)
    assert batch.items.tolist() == [[2], [3], [1]]  # a window of one item
    one, other = world([2, 0]), world([1, 1, 1, 2, 0])
    first, last = (scores(fitted(w), worlds.events_of(model, w))[-1] for w in (one, other))
    assert first == last


def test_no_transition_leads_from_one_session_to_the_next() -> None:
    corpus = worlds.corpus_of([[[0, 1], [2, 3]]])
    assert fitted(corpus).statistics() == {"transitions": 2, "events": 2}


def test_other_parts_are_not_counted() -> None:
    for part in (Part.VALIDATION, TEST):
        counted = [fitted(world(test, part)).arrays() for test in ([0, 3, 3], [1, 0, 2, 2])]
        assert all(torch.equal(counted[0][key], counted[1][key]) for key in counted[0])

"""Transitions counted by hand."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
import torch
import worlds
from hypothesis import given
from hypothesis import strategies as st
from worlds import TEST, TRAIN

from segue.contract.model import SessionModel
from segue.data.batches import Batch
from segue.data.corpus import Corpus, Part
from segue.errors import ConfigError


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
    assert fitted(corpus).statistics() == {"transitions": 2, "weight": 2.0}


def test_other_parts_are_not_counted() -> None:
    for part in (Part.VALIDATION, TEST):
        counted = [fitted(world(test, part)).arrays() for test in ([0, 3, 3], [1, 0, 2, 2])]
        assert all(torch.equal(counted[0][key], counted[1][key]) for key in counted[0])


def test_rules_weigh_one_over_the_distance() -> None:
    """Session (0, 1, 2, 1): from 0 to 1 at distances 1 and 3, to 2 at 2; from 1 to 1 at 2; three steps have lcm 6."""
    corpus = worlds.corpus_of([[[0, 1, 2, 1], [0, 3]]], [[TRAIN, TEST]])
    fill = torch.tensor([1, 2, 1, 0], dtype=torch.float64) / 3
    for steps, smallest, wanted in ((3, 1 / 6, [0, 1 + 1 / 3, 1 / 2, 0]), (2, 1 / 2, [0, 1, 1 / 2, 0])):
        model = fitted(corpus, preset="sequential_rules", steps=steps)
        found = worlds.scores_of(model, worlds.events_of(model, corpus))[0]
        torch.testing.assert_close(found, torch.tensor(wanted, dtype=torch.float64) + fill * smallest)


@given(st.lists(st.lists(st.integers(0, 5), min_size=1, max_size=9), min_size=1, max_size=6), st.integers(1, 6))
def test_rules_equal_a_loop(sessions: list[list[int]], steps: int) -> None:
    corpus = worlds.corpus_of([sessions], n_items=6)
    model = fitted(corpus, steps=steps, fill="none")
    weight = [[Fraction(0)] * 6 for _ in range(6)]
    for session in sessions:
        for p, i in enumerate(session):
            for q in range(p + 1, min(p + steps, len(session) - 1) + 1):
                weight[i][session[q]] += Fraction(1, q - p)
    for last in range(6):
        found = scores(model, worlds.request_of(model, [last]))[0]
        np.testing.assert_allclose(found, [float(w) for w in weight[last]], rtol=1e-12)
        # Equal fractions are equal floats, whatever they are the sum of.
        assert len(set(found)) == len(set(weight[last]))


def test_popularity_never_outweighs_a_rule() -> None:
    """From 0 to 1 at distances 2 and 3 is 5/6, to 2 at 1 is 1; item 1 is far more popular."""
    corpus = worlds.corpus_of([[[0, 3, 1], [0, 3, 4, 1], [0, 2], [1] * 50]])
    model = fitted(corpus, preset="sequential_rules")
    found = scores(model, worlds.request_of(model, [0]))[0]
    assert found[2] > found[1] > 5 / 6


def test_the_number_of_steps_is_bounded() -> None:
    with pytest.raises(ConfigError, match=r"model\.steps"):
        fitted(world([0, 1]), steps=21)

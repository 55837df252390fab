"""Shortlists: what the index finds and the memory suggests, with the scores that these items have among all."""

from __future__ import annotations

import indexed
import numpy as np
import pytest
import worlds
from hypothesis import given
from hypothesis import strategies as st
from indexed import ITEMS, PRESETS

from segue.lean.index import building, sample
from segue.lean.index.lists import Lists
from segue.lean.item_vectors import ItemVectors
from segue.lean.live.model import LiveHGGNN


@pytest.mark.parametrize("preset", PRESETS)
def test_an_index_that_looks_everywhere_answers_as_all_scores_do(preset: str) -> None:
    """Whole lists and sample: the best twenty and their scores are those of scoring every item."""
    model, index, asked = indexed.world(preset)
    assert len(index.search(model.session_vectors(asked[:1]), 60)[0]) == 60
    for each, found in zip(asked, model.shortlists(asked, index, 60), strict=True):
        scores = indexed.exact(model, each)
        assert len(found.items) < ITEMS
        assert found.scores == pytest.approx(scores[found.items], rel=1e-4, abs=1e-4)
        best = np.sort(scores)[::-1][:20]
        assert np.sort(found.scores)[::-1][:20] == pytest.approx(best, rel=1e-4, abs=1e-4)


@pytest.mark.parametrize("preset", PRESETS)
def test_the_order_of_a_narrow_search_is_that_of_all_scores(preset: str) -> None:
    """Whatever the index finds: the items that are scored stand in the order that they have among all."""
    model, index, asked = indexed.world(preset)
    index = Lists(indexed.plan_of(model, asked), model.vectors)
    index.breadth = 1
    for each, found in zip(asked, model.shortlists(asked, index, 20), strict=True):
        scores = indexed.exact(model, each)[found.items]
        assert found.scores == pytest.approx(scores, rel=1e-4, abs=1e-4)
        assert np.diff(scores[np.argsort(-found.scores, kind="stable")]).max(initial=-1) <= 1e-4


def test_what_the_memory_suggests_is_scored_whatever_the_index_finds() -> None:
    model, index, asked = indexed.world("segue")
    for each, found in zip(asked, model.shortlists(asked, index, 1), strict=True):
        assert set(each.items.tolist()) <= set(found.items.tolist())  # the source `session`
        assert not found.plain[np.isin(found.items, each.items)].any()
        assert found.plain.sum() <= 1


def test_several_requests_are_shortlisted_as_each_alone() -> None:
    model, index, asked = indexed.world("segue")
    for each, found in zip(asked[:8], model.shortlists(asked[:8], index, 30), strict=True):
        alone = model.shortlists([each], index, 30)[0]
        assert alone.items.tolist() == found.items.tolist()
        assert alone.scores == pytest.approx(found.scores, rel=1e-4, abs=1e-5)


def test_a_sample_stands_for_the_items_that_are_not_scored() -> None:
    """With a third of the items sampled, the scores of what the pointer raises are near, and all others exact."""
    model, index, asked = indexed.world("segue", sampled=ITEMS // 3)
    errors = []
    for each, found in zip(asked, model.shortlists(asked, index, 60), strict=True):
        error = np.abs(found.scores - indexed.exact(model, each)[found.items])
        assert error[found.plain].max() < 1e-4
        errors.append(error.max())
    assert 1e-4 < np.mean(errors) < 0.1


def test_new_items_are_always_scored() -> None:
    """A live model: items that came after training stand beside the index, with the scores that they have among all."""
    model, index, asked = indexed.world("segue")
    live = LiveHGGNN(model, worlds.noise(ITEMS, indexed.USERS).train)
    live.add([3, ITEMS, 5, ITEMS + 1])
    for each, found in zip(asked[:10], live.shortlists(asked[:10], index, 40), strict=True):
        scores = live.score([each]).scores[0]
        assert found.items[-2:].tolist() == [ITEMS, ITEMS + 1]
        assert found.scores == pytest.approx(scores[found.items], rel=1e-4, abs=1e-4)


@given(st.integers(1, 80), st.integers(1, 120), st.integers(0, 10**6))
def test_the_sum_over_a_sample_is_right_on_average(n_items: int, most: int, seed: int) -> None:
    """All items are sampled where there are no more; else as many as asked for, each with a probability above 0."""
    random = np.random.default_rng(seed)
    items, probability = sample.draw(random.dirichlet(np.full(n_items, 0.1)), most, random)
    assert (np.diff(items) > 0).all()
    assert ((probability > 0) & (probability <= 1)).all()
    assert abs(len(items) - min(most, n_items)) <= 1
    if most >= n_items:
        assert items.tolist() == list(range(n_items))
        assert probability == pytest.approx(1)


def test_the_estimate_is_without_bias() -> None:
    random = np.random.default_rng(1)
    vectors, vector = random.standard_normal((400, 5)).astype(np.float32), random.standard_normal(5).astype(np.float32)
    left_out = np.array([0, 7, 399])
    exact = np.exp(vectors @ vector).sum() - np.exp(vectors[left_out] @ vector).sum()
    found = []
    for _ in range(300):
        items, probability = sample.draw(random.dirichlet(np.ones(400)), 100, random)
        found.append(np.exp(sample.Sample.of(items, probability, vectors[items]).log_rest(vector, left_out)))
    assert np.mean(found) == pytest.approx(exact, rel=0.05)


def test_nothing_is_left_of_a_sample_whose_items_are_all_scored() -> None:
    vectors = np.ones((3, 2), dtype=np.float32)
    of_all = sample.Sample.of(np.arange(3), np.ones(3), vectors)
    assert of_all.log_rest(vectors[0], np.arange(3)) == -np.inf
    assert of_all.log_rest(vectors[0], np.zeros(0, dtype=np.int64)) == pytest.approx(2 + np.log(3))


@given(st.integers(0, 10**6), st.integers(1, 6), st.booleans(), st.booleans())
def test_vectors_that_are_not_copied_give_the_same_products(
    seed: int, requests: int, embedding: bool, popularity: bool
) -> None:
    random = np.random.default_rng(seed)
    rows = random.standard_normal((50, 7)).astype(np.float32) if embedding or not popularity else None
    shares = random.standard_normal(50).astype(np.float32) if popularity else None
    copied, plain = ItemVectors(rows, shares), ItemVectors(rows, shares, most_copied=0)
    vectors = random.standard_normal((requests, copied.shape[1])).astype(np.float32)
    assert plain.product(vectors) == pytest.approx(copied.product(vectors), rel=1e-4, abs=1e-4)
    some = np.array([4, 0, 49])
    assert plain.products(vectors[0], some) == pytest.approx(copied.product(vectors)[0, some], rel=1e-4, abs=1e-4)


def test_turning_by_sessions_leaves_products_as_they_are() -> None:
    model, _, asked = indexed.world("segue")
    vectors = model.session_vectors(asked)
    scale = building.scale_of(vectors).astype(np.float64)
    turned = (model.vectors[:] @ scale) @ (np.linalg.inv(scale) @ vectors.T)
    wanted = model.vectors.product(vectors)
    assert pytest.approx(wanted, rel=1e-3, abs=1e-3) == turned.T

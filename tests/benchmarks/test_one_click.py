"""Where the next items stand seen from a click, and what a source adds."""

from __future__ import annotations

import numpy as np
import pytest
import small_logs
import worlds

import one_click
from segue.data.corpus import Part, load


def test_an_item_is_as_many_steps_away_as_sessions_have_to_be_walked_through() -> None:
    corpus = worlds.corpus_of([[[0, 1], [1, 2], [2, 3], [4, 5]]], n_items=6)
    last, target = np.array([0, 0, 0, 0, 0, 3]), np.array([0, 1, 2, 3, 4, 1])
    assert one_click.places_of(corpus, last, target).tolist() == [0, 1, 2, 3, 3, 2]


def test_models_are_ranked_with_and_without_the_source(caplog: pytest.LogCaptureFixture) -> None:
    folder = small_logs.corpus()
    shared = {"training": {"max_epochs": 1, "threads": 1}}
    ground, found = one_click.run(folder, shared, ["hg_gnn/memory", "markov/first_order"], 2)
    assert list(found) == ["hg_gnn/memory", "hg_gnn/memory without two_steps", "markov/first_order"]
    assert {len(rank) for ranked in found.values() for rank in ranked.ranks} == {len(ground.events)}
    text, figures = one_click.tables(ground, found)
    shares = np.array([row[:2] for row in figures["places"].values()])
    assert shares.sum(0) == pytest.approx([1, 1])
    corpus = load(folder, (Part.TRAIN, Part.VALIDATION))
    markov, _ = one_click.trained(folder, corpus, {"model": {"name": "markov", "preset": "first_order"}}, 0)
    wanted = one_click.rank_with(ground, 20, markov.scores)
    assert figures["models"]["markov/first_order"][0] == pytest.approx((wanted <= 10).mean())
    assert "hg_gnn/memory: `two_steps` adds" in text

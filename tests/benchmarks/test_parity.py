"""What the parity command adds to the models: ties in the order in which train is read."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
import worlds

import parity


@pytest.mark.parametrize("steps", [1, 3])
def test_of_equal_counts_the_first_seen_ranks_first(steps: int) -> None:
    """From 0: to 4 at once, then 2 and 3 two and three away, later to 1 at once, to 3 and 2 at once and two away."""
    corpus = worlds.corpus_of([[[0, 4, 2, 3], [0, 1], [0, 3, 2], [5, 0, 5]]])
    settings = {"model": {"name": "markov", "steps": steps, "fill": "none"}}
    model = worlds.fitted(settings, corpus)
    request = worlds.request_of(model, [0])
    before = worlds.scores_of(model, request)[0]
    parity.order_by_first_seen(model, corpus)
    after = worlds.scores_of(model, request)[0]
    order = torch.argsort(after, descending=True, stable=True).tolist()
    wanted = {1: [4, 1, 3, 5, 0, 2], 3: [3, 4, 2, 1, 5, 0]}[steps]
    assert order == wanted
    assert ((before > 0) == (after > 0)).all()
    assert all(before[a] >= before[b] for a, b in pairwise(order))


def test_every_set_names_methods_that_exist() -> None:
    for figures in parity.REFERENCE.values():
        assert figures.keys() <= parity.METHODS.keys()
        assert all(len(values) == len(parity.METRICS) for values in figures.values())

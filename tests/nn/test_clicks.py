"""The known clicks of an event: prefix and history against a plain loop over one sequence."""

from __future__ import annotations

import pytest
import torch
import worlds
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from worlds import TEST, TRAIN

from segue.data.loader import Loader
from segue.nn import sparse_rows
from segue.nn.clicks import clicks_of
from segue.nn.item_weights import strongest

ITEMS = 5
SESSIONS = st.lists(st.lists(st.integers(0, ITEMS - 1), min_size=2, max_size=5), min_size=2, max_size=4)
MATRIX = torch.arange(1.0, 1 + ITEMS**2, dtype=torch.float64).view(ITEMS, ITEMS).sin()


def by_hand(known: list[int], fade: float, *, distinct: bool) -> Tensor:
    """Σ of fade^r times the row of each known click, r clicks before the last; or the rows of the distinct items."""
    if distinct:
        return MATRIX[sorted(set(known))].sum(0)
    weights = [fade**after for after in range(len(known))][::-1]
    rows = [weight * MATRIX[item] for weight, item in zip(weights, known, strict=True)]
    return sum(rows, torch.zeros(ITEMS, dtype=torch.float64))


@given(SESSIONS, st.sampled_from([(1.0, False), (0.5, False), (0.0, False), (1.0, True)]), st.sampled_from([0, 3, 100]))
def test_scores_are_sums_over_history_and_prefix(
    sessions: list[list[int]], how: tuple[float, bool], history: int
) -> None:
    fade, distinct = how
    corpus = worlds.corpus_of([sessions], [[TRAIN] * (len(sessions) - 1) + [TEST]], n_items=ITEMS)
    (batch,) = Loader(corpus, corpus.select(TEST), 10).batches(10**9)
    clicks = clicks_of(batch, history, ITEMS, fade=fade, distinct=distinct)
    similar = strongest(MATRIX.clone(), 0)
    scores = torch.zeros(len(batch), ITEMS, dtype=torch.float64)
    clicks.add_to(scores, similar)
    earlier = [item for session in sessions[:-1] for item in session]
    for event in range(len(batch)):
        known = (earlier[-history:] if history else []) + sessions[-1][: event + 1]
        torch.testing.assert_close(scores[event], by_hand(known, fade, distinct=distinct), rtol=0, atol=1e-10)


@pytest.mark.parametrize("distinct", [False, True])
def test_an_empty_session_is_answered_from_the_history(distinct: bool) -> None:
    model = worlds.fitted({"model": {"name": "markov"}}, worlds.cycle())
    batch = worlds.request_of(model, [], past=[1, 1, 4])
    clicks = clicks_of(batch, 10, ITEMS, distinct=distinct)
    session, past = clicks.parts(strongest(MATRIX.clone(), 0), torch.tensor([3, 0]))
    assert session.shape == (2, 0)
    wanted = by_hand([1, 1, 4], 1.0, distinct=distinct)[[3, 0]]
    torch.testing.assert_close(past, wanted, rtol=0, atol=1e-10)


def test_small_blocks_add_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    similar = strongest(MATRIX.clone(), 0)
    event, row = torch.tensor([0, 0, 1, 2]), torch.tensor([1, 1, 4, 0])
    weight = torch.tensor([1.0, 0.5, 2.0, 1.0], dtype=torch.float64)
    found = []
    for bound in (2**22, 7):
        monkeypatch.setattr(sparse_rows, "CELLS_PER_BLOCK", bound)
        scores = torch.zeros(3, ITEMS, dtype=torch.float64)
        similar.add_to(scores, event, row, weight)
        found.append(scores)
    assert torch.equal(*found)
    torch.testing.assert_close(found[0][0], 1.5 * MATRIX[1], rtol=0, atol=1e-10)

"""EASE: the closed form on real rows, what an event knows, and items that train lacks."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import worlds
from torch import Tensor
from worlds import TEST, TRAIN

from segue.contract.model import SessionModel
from segue.data.corpus import Corpus
from segue.errors import CorpusError
from segue.nn import item_weights

EXACT = {"rtol": 0.0, "atol": 1e-9}


def fitted(corpus: Corpus, **options: object) -> SessionModel:
    return worlds.fitted({"model": {"name": "ease", "n_weights": 0, **options}}, corpus)


def weights(model: SessionModel) -> Tensor:
    """B, read from the scores after each single item."""
    return torch.cat([worlds.scores_of(model, worlds.request_of(model, [item])) for item in range(model.n_items)])


def closed_form(x: np.ndarray, reg: float) -> Tensor:
    inverse = np.linalg.inv(x.T @ x + reg * np.eye(x.shape[1]))
    return torch.from_numpy(np.eye(x.shape[1]) - inverse / np.diag(inverse))


def world() -> Corpus:
    users = [[[0, 1, 1], [1, 2], [3, 0]], [[0, 2, 3], [2, 3, 2], [0, 1]]]
    return worlds.corpus_of(users, [[TRAIN, TRAIN, TEST]] * 2)


SESSIONS = np.array([[1, 2, 0, 0], [0, 1, 1, 0], [1, 0, 1, 1], [0, 0, 2, 1]], dtype=float)


@pytest.mark.parametrize(
    ("options", "rows"),
    [
        ({}, SESSIONS > 0),
        ({"binary": False}, SESSIONS),
        ({"rows": "users"}, SESSIONS[::2] + SESSIONS[1::2] > 0),
        ({"rows": "users", "binary": False}, SESSIONS[::2] + SESSIONS[1::2]),
    ],
)
def test_the_closed_form_on_sessions_and_users(options: dict[str, object], rows: np.ndarray) -> None:
    found = weights(fitted(world(), reg=0.7, **options))
    torch.testing.assert_close(found, closed_form(rows.astype(float), 0.7), **EXACT)


def test_no_item_explains_itself() -> None:
    model = fitted(worlds.busy())
    assert not weights(model)[:11].diagonal().any()


def test_an_item_counts_once_however_often_it_is_known_unless_counts_are_asked_for() -> None:
    once = fitted(world(), window={"length": 20, "history": 10})
    b = weights(once)
    known = worlds.scores_of(once, worlds.request_of(once, [1, 0, 1], past=[0, 0, 2]))
    torch.testing.assert_close(known[0], b[0] + b[1] + b[2], **EXACT)
    counted = fitted(world(), binary=False, window={"length": 20, "history": 10})
    b = weights(counted)
    known = worlds.scores_of(counted, worlds.request_of(counted, [1, 0, 1], past=[0, 0, 2]))
    torch.testing.assert_close(known[0], 3 * b[0] + 2 * b[1] + b[2], **EXACT)


def test_an_item_that_train_lacks_is_not_better_than_a_negative_score() -> None:
    """Items 0 and 1 never meet, so 1 speaks against 0; item 3 is in no session."""
    corpus = worlds.corpus_of([[[0, 2], [1, 2], [0, 2], [1, 2]]], n_items=4)
    model = fitted(corpus, reg=0.1)
    (scores,) = worlds.scores_of(model, worlds.request_of(model, [0]))
    assert scores[1] < 0
    assert scores[3] == scores.min()
    parts = model.parts(worlds.request_of(model, [0]), torch.tensor([3, 1]))
    torch.testing.assert_close(parts.total(), scores[[3, 1]], **EXACT)


def test_only_the_strongest_weights_stay() -> None:
    model = fitted(worlds.busy(), n_weights=3)
    assert torch.diff(model.arrays()["offsets"]).max() == 3


def test_a_session_without_a_user_is_a_row_of_its_own() -> None:
    """Such sessions have users of their own in a corpus, after all known ones."""
    corpus = worlds.corpus_of([[[0, 1], [1, 2]], [[2, 3]]])
    found = weights(fitted(corpus, rows="users", reg=1.0))
    rows = np.array([[1, 1, 1, 0], [0, 0, 1, 1]], dtype=float)
    torch.testing.assert_close(found, closed_form(rows, 1.0), **EXACT)


def test_too_many_items_for_the_memory_are_refused_before_any_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(item_weights, "memory_limit", lambda: 100)
    for name in ("ease", "slis", "slist"):
        with pytest.raises(CorpusError, match=r"^\w+ solves for all pairs of 4 items, .*filters\.top_items=1, or use"):
            worlds.fitted({"model": {"name": name}}, world())

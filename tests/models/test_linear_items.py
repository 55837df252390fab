"""EASE, SLIS, SLIT and SLIST against the losses that they say they minimise, and by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
import worlds
from torch import Tensor
from worlds import TEST, TRAIN

from segue.contract.model import SessionModel
from segue.data.arrays import FloatArray
from segue.data.corpus import Corpus
from segue.errors import CorpusError
from segue.models import _linear_items
from segue.models._linear_items import strongest


def fitted(corpus: Corpus, name: str, **options: object) -> SessionModel:
    return worlds.fitted({"model": {"name": name, **options}}, corpus)


def weights(model: SessionModel) -> FloatArray:
    """B, dense [items, items]; row: the item that speaks."""
    arrays = model.arrays()
    rows = torch.repeat_interleave(torch.diff(arrays["offsets"]))
    dense = torch.zeros(model.n_items, model.n_items, dtype=torch.float64)
    dense[rows, arrays["items"].long()] = arrays["values"]
    found: FloatArray = dense.numpy()
    return found


def sessions_of(corpus: Corpus) -> list[list[int]]:
    train = corpus.train
    return [train.items[a:b].tolist() for a, b in zip(train.offsets[:-1], train.offsets[1:], strict=True)]


def held(sessions: list[list[int]], n_items: int) -> FloatArray:
    x = np.zeros((len(sessions), n_items))
    for row, items in enumerate(sessions):
        x[row, items] = 1.0
    return x


def least_squares(inputs: FloatArray, targets: FloatArray, reg: float, column: int, fixed: float | None) -> FloatArray:
    """One column of B by least squares on stacked rows; with the diagonal held at `fixed` where it is given."""
    free = np.array([i for i in range(inputs.shape[1]) if fixed is None or i != column])
    stacked = np.vstack([inputs[:, free], reg**0.5 * np.eye(len(free))])
    known = targets[:, column] - (0 if fixed is None else fixed * inputs[:, column])
    solution = np.linalg.lstsq(stacked, np.concatenate([known, np.zeros(len(free))]), rcond=None)[0]
    whole = np.zeros(inputs.shape[1])
    whole[free] = solution
    if fixed is not None:
        whole[column] = fixed
    return whole


@pytest.mark.parametrize("rows", ["sessions", "users"])
def test_ease_minimises_its_loss_with_a_diagonal_of_zeros(rows: str) -> None:
    corpus = worlds.busy()
    found = weights(fitted(corpus, "ease", rows=rows, reg=3.0))
    baskets = sessions_of(corpus)
    if rows == "users":
        users = corpus.train.user.tolist()
        baskets = [
            [item for basket, u in zip(baskets, users, strict=True) if u == user for item in basket]
            for user in sorted(set(users))
        ]
    x = held(baskets, corpus.n_items)
    for column in range(corpus.n_items):
        np.testing.assert_allclose(found[:, column], least_squares(x, x, 3.0, column, 0.0), atol=1e-10)


def slist_rows(corpus: Corpus, alpha: float, near: float, age_ms: float | None) -> tuple[FloatArray, FloatArray]:
    """Stacked inputs and targets of the two losses, row by row from the sessions, square roots of the weights in."""
    n, train = corpus.n_items, corpus.train
    inputs, targets = [], []
    for number, items in enumerate(sessions_of(corpus)):
        age = float(train.times.max() - train.times[train.offsets[number + 1] - 1])
        recent = math.exp(-age / age_ms) if age_ms else 1.0
        for share, before, after in [
            (alpha, [(i, 1.0) for i in sorted(set(items))], [(i, 1.0) for i in sorted(set(items))]),
            *(
                (
                    1 - alpha,
                    [(item, math.exp(-(t - k) / near)) for k, item in enumerate(items[: t + 1])],
                    [(item, math.exp(-k / near)) for k, item in enumerate(items[t + 1 :])],
                )
                for t in range(len(items) - 1)
            ),
        ]:
            row, wanted = np.zeros(n), np.zeros(n)
            for item, weight in before:
                row[item] += weight
            for item, weight in after:
                wanted[item] += weight
            root = (share * recent) ** 0.5
            inputs.append(root * row / row.sum())
            targets.append(root * wanted)
    return np.array(inputs), np.array(targets)


@pytest.mark.parametrize(
    ("name", "alpha", "age"), [("slist", 0.3, None), ("slist", 0.3, "2d"), ("slist", 0.0, None), ("slis", 1.0, "2d")]
)
def test_slist_minimises_its_two_losses(name: str, alpha: float, age: str | None) -> None:
    corpus = worlds.busy()
    options = {} if name == "slis" else {"alpha": alpha}
    model = fitted(corpus, name, reg=0.7, near=2.0, session_age=age, window={"length": 30}, **options)
    inputs, targets = slist_rows(corpus, alpha, 2.0, 2 * worlds.DAY if age else None)
    found = weights(model)
    for column in range(corpus.n_items):
        np.testing.assert_allclose(found[:, column], least_squares(inputs, targets, 0.7, column, None), atol=1e-9)


def test_no_weight_from_an_item_to_itself_exceeds_the_bound() -> None:
    corpus = worlds.busy()
    free, bounded = (weights(fitted(corpus, "slis", reg=0.05, own=own)) for own in (10.0, 0.1))
    assert np.diag(free).max() > 0.3
    assert np.diag(bounded).max() <= 0.1 + 1e-12
    inputs, targets = slist_rows(corpus, 1.0, 1.0, None)
    for column in range(corpus.n_items):
        fixed = 0.1 if free[column, column] > 0.1 else None
        wanted = least_squares(inputs, targets, 0.05, column, fixed)
        np.testing.assert_allclose(bounded[:, column], wanted, atol=1e-9)


def test_a_long_train_session_is_cut_to_its_last_items() -> None:
    long = worlds.corpus_of([[[0, 1, 2, 3, 4, 5], [1, 4]]])
    short = worlds.corpus_of([[[3, 4, 5], [1, 4]]])
    for name in ("slis", "slist"):
        model, wanted = (fitted(corpus, name, window={"length": 3}) for corpus in (long, short))
        np.testing.assert_allclose(weights(model), weights(wanted), atol=1e-12)


def scores(model: SessionModel, items: list[int], history: list[int] | None = None) -> Tensor:
    return worlds.scores_of(model, worlds.request_of(model, items, 0, history or []))[0]


def test_the_last_clicks_and_the_history_speak() -> None:
    corpus = worlds.busy()
    model = fitted(corpus, "slist", preset="history", recent=2.0, history_weight=0.25, reg=0.1)
    b = torch.from_numpy(weights(model))
    wanted = math.exp(-2 / 2.0) * b[1] + math.exp(-1 / 2.0) * b[2] + b[1] + 0.25 * (b[3] + b[4])
    known = corpus.item_support > 0
    torch.testing.assert_close(scores(model, [1, 2, 1], [3, 4, 3])[known], wanted[known])


def test_ease_asks_with_each_item_once() -> None:
    corpus = worlds.busy()
    model = fitted(corpus, "ease", preset="history")
    b = torch.from_numpy(weights(model))
    known = corpus.item_support > 0
    found = scores(model, [1, 2, 1], [2, 4, 4])
    torch.testing.assert_close(found[known], (b[1] + b[2] + b[4])[known])
    session_alone = fitted(corpus, "ease")
    assert torch.equal(scores(session_alone, [1, 2], [4]), scores(session_alone, [1, 2]))


@pytest.mark.parametrize(("name", "preset"), [("ease", "history"), ("slist", "history"), ("slist", "session")])
def test_reasons_add_up(name: str, preset: str) -> None:
    corpus = worlds.busy()
    model = fitted(corpus, name, preset=preset)
    batch = worlds.request_of(model, [1, 2, 1], 0, [3, 4])
    items = torch.arange(corpus.n_items)
    parts = model.parts(batch, items)
    total = sum(part.sum(1) for part in parts.session.values()) + sum(parts.user.values()) + parts.base
    torch.testing.assert_close(total, model.scores(batch)[0])
    assert parts.session["linear"].shape == (corpus.n_items, 3)
    assert bool(parts.user["linear_history"].any()) is (preset == "history")


def test_only_the_strongest_weights_are_kept() -> None:
    matrix = np.array([[0.0, -3.0, 1.0, 3.0], [0.5, 0.5, 0.5, 0.5], [0.0, 0.0, 0.0, 2.0]])
    rows = strongest(matrix, 2)
    assert rows.offsets.tolist() == [0, 2, 4, 5]
    assert rows.items.tolist() == [1, 3, 0, 1, 3]
    assert rows.values.tolist() == [-3.0, 3.0, 0.5, 0.5, 2.0]


@pytest.mark.parametrize("name", ["ease", "slis", "slist"])
def test_a_catalogue_beyond_the_memory_is_refused(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    corpus = worlds.corpus_of([[[0, 1, 2], [3, 4]]], [[TRAIN, TEST]])
    monkeypatch.setattr(_linear_items, "available_memory", lambda: 599)
    with pytest.raises(CorpusError, match=r"5 items take .* GiB .*filters\.top_items=\d+"):
        fitted(corpus, name)

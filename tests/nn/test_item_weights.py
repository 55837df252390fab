"""Item-to-item weights in closed form: against least squares column by column, what is kept, and the room it takes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from segue.data.arrays import FloatArray
from segue.errors import ConfigError, CorpusError
from segue.nn import item_weights
from segue.nn.item_weights import bounded_ridge, check_memory, strongest
from segue.nn.sparse_rows import SparseRows


def rows(seed: int, shape: tuple[int, int] = (12, 5)) -> FloatArray:
    return (np.random.default_rng(seed).random(shape) < 0.4).astype(np.float64)


def dense(kept: SparseRows, n_items: int) -> Tensor:
    every = torch.arange(n_items)
    return kept.block(every, every)


def without_itself(x: FloatArray, column: int, reg: float, itself: float, target: FloatArray) -> FloatArray:
    """The column of B by least squares in which B_jj is `itself`: λ as √λ I under the rows, x_j on the other side."""
    others = np.arange(x.shape[1]) != column
    left = np.vstack([x[:, others], np.sqrt(reg) * np.eye(others.sum())])
    right = np.concatenate([target[:, column] - itself * x[:, column], np.zeros(others.sum())])
    solution: FloatArray = np.insert(np.linalg.lstsq(left, right)[0], column, itself)
    return solution


@given(st.integers(0, 99), st.floats(0.1, 100))
def test_bound_0_is_a_regression_in_which_no_item_explains_itself(seed: int, reg: float) -> None:
    x = rows(seed)
    found = bounded_ridge(x.T @ x, None, reg, 0.0)
    np.testing.assert_allclose(found.diagonal().numpy(), 0, atol=1e-15)
    wanted = np.stack([without_itself(x, column, reg, 0.0, x) for column in range(x.shape[1])], axis=1)
    np.testing.assert_allclose(found.numpy(), wanted, atol=1e-9)


@given(st.integers(0, 99), st.floats(0.1, 100), st.floats(0, 1.5))
def test_a_bound_binds_only_the_columns_that_exceed_it(seed: int, reg: float, bound: float) -> None:
    """A column whose free solution exceeds the bound is the least-squares solution with the bound as its B_jj."""
    x, weight = rows(seed), np.random.default_rng(seed).random(12) + 0.1
    given_ = x / np.maximum(x.sum(1, keepdims=True), 1)
    root = np.sqrt(weight)[:, None]
    scaled, target = root * given_, root * x
    free = np.linalg.solve(scaled.T @ scaled + reg * np.eye(5), scaled.T @ target)
    found = bounded_ridge(scaled.T @ scaled, scaled.T @ target, reg, bound).numpy()
    for column in range(5):
        if free[column, column] <= bound:
            np.testing.assert_allclose(found[:, column], free[:, column], atol=1e-9)
        else:
            wanted = without_itself(scaled, column, reg, bound, target)
            np.testing.assert_allclose(found[:, column], wanted, atol=1e-8)
    assert (found.diagonal() <= bound).all()


def test_without_a_bound_it_is_plain_ridge() -> None:
    x, target = rows(1), rows(2)
    found = bounded_ridge(x.T @ x, x.T @ target, 2.0, None)
    np.testing.assert_allclose(found.numpy(), np.linalg.solve(x.T @ x + 2 * np.eye(5), x.T @ target), atol=1e-12)


def test_a_regularisation_that_rounding_hides_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"'model\.reg': 0\.001 is too small .* set it to 10$"):
        bounded_ridge(np.full((3, 3), 1e15), None, 1e-3, 0.0)


@given(st.integers(0, 99), st.integers(1, 8))
def test_the_strongest_stay_in_size(seed: int, n_kept: int) -> None:
    weights = torch.from_numpy(np.random.default_rng(seed).integers(-3, 4, (6, 6)) / 2)
    order = torch.sort(-weights.abs(), dim=1, stable=True).indices[:, :n_kept]
    wanted = torch.zeros_like(weights).scatter(1, order, weights.gather(1, order))
    kept = strongest(weights.clone(), n_kept)
    assert torch.equal(dense(kept, 6), wanted)
    assert (kept.values != 0).all()


def test_0_keeps_all_but_what_is_zero_up_to_rounding() -> None:
    kept = strongest(torch.tensor([[0.5, 1e-15], [-2.0, 3.0]], dtype=torch.float64), 0)
    assert kept.values.tolist() == [0.5, -2.0, 3.0]


def test_small_blocks_keep_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    weights = torch.randn(9, 9, dtype=torch.float64)
    whole = strongest(weights.clone(), 4).arrays()
    monkeypatch.setattr(item_weights, "_CELLS_PER_BLOCK", 20)
    in_blocks = strongest(weights.clone(), 4).arrays()
    assert all(torch.equal(whole[key], in_blocks[key]) for key in whole)


def test_too_many_items_are_refused_in_one_line_with_a_number_that_fits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(item_weights, "memory_limit", lambda: 320_000)
    check_memory("EASE", 100)
    with pytest.raises(CorpusError) as refused:
        check_memory("EASE", 101)
    assert str(refused.value) == (
        "EASE solves for all pairs of 101 items, which takes 326,432 bytes of memory, and this process may use 320,000;"
        " prepare the corpus with --set filters.top_items=100, or use a bigger machine"
    )

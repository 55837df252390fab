"""The vectors of all items in blocks: the same vectors and products as those of a plain table."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from segue.lean.item_vectors import ItemVectors


@given(
    items=st.integers(1, 200),
    widths=st.lists(st.integers(1, 20), min_size=1, max_size=3),
    requests=st.integers(1, 5),
    seed=st.integers(0, 2**32 - 1),
)
def test_blocks_hold_the_vectors_and_give_the_products_of_a_table(
    items: int, widths: list[int], requests: int, seed: int
) -> None:
    random = np.random.default_rng(seed)
    table = random.normal(size=(items, sum(widths))).astype(np.float32)
    vectors = ItemVectors(*np.split(table, np.cumsum(widths)[:-1], axis=1))

    asked = random.normal(size=(requests, sum(widths))).astype(np.float32)
    chosen = random.integers(0, items, 7)
    assert (len(vectors), vectors.shape, vectors.dtype) == (items, table.shape, table.dtype)
    assert vectors[chosen].tolist() == table[chosen].tolist()
    np.testing.assert_allclose(vectors.products(asked), asked @ table.T, rtol=1e-4, atol=1e-4)

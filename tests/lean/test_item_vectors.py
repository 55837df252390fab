"""The vectors of all items, copied in blocks or not: the same vectors and products as those of a plain table."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from segue.lean.item_vectors import ItemVectors


@given(
    items=st.integers(1, 200),
    dim=st.integers(0, 40),
    shares=st.booleans(),
    requests=st.integers(1, 9),
    copied=st.booleans(),
    seed=st.integers(0, 2**32 - 1),
)
def test_vectors_and_products_are_those_of_a_table(
    items: int, dim: int, shares: bool, requests: int, copied: bool, seed: int
) -> None:
    random = np.random.default_rng(seed)
    embedding = random.normal(size=(items, dim)).astype(np.float32) if dim else None
    log_share = random.normal(size=items).astype(np.float32) if shares or not dim else None
    table = np.concatenate([part.reshape(items, -1) for part in (embedding, log_share) if part is not None], axis=1)
    vectors = ItemVectors(embedding, log_share, most_copied=items if copied else 0)

    asked = random.normal(size=(requests, table.shape[1])).astype(np.float32)
    chosen = random.integers(0, items, 7)
    assert (len(vectors), vectors.shape, vectors.dtype) == (items, table.shape, table.dtype)
    assert vectors[chosen].tolist() == table[chosen].tolist()
    np.testing.assert_allclose(vectors.product(asked), asked @ table.T, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(vectors.products(asked[0], chosen), table[chosen] @ asked[0], rtol=1e-4, atol=1e-4)

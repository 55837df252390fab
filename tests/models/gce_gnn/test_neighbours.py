"""The global graph of GCE-GNN against a count click by click."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import torch
import worlds
from hypothesis import given
from hypothesis import strategies as st

from segue.models.gce_gnn import neighbours
from segue.models.gce_gnn.neighbours import NeighbourTable, nearest_items, reach

N_ITEMS = 7


def rows_of(table: NeighbourTable) -> list[list[tuple[int, int]]]:
    return [
        [(int(i), int(c)) for i, c in zip(items, counts, strict=True) if c]
        for items, counts in zip(table.items, table.counts, strict=True)
    ]


def counted(sessions: list[list[int]], size: int, distance: int) -> list[list[tuple[int, int]]]:
    pairs = [Counter[int]() for _ in range(N_ITEMS)]
    for session in sessions:
        for i, item in enumerate(session):
            for j, other in enumerate(session):
                if i != j and abs(i - j) <= distance:
                    pairs[item][other] += 1
    return [sorted(row.items(), key=lambda entry: (-entry[1], entry[0]))[:size] for row in pairs]


@pytest.mark.parametrize("per_block", [1, neighbours.PAIRS_PER_BLOCK])
@given(
    sessions=st.lists(st.lists(st.integers(0, N_ITEMS - 2), min_size=1, max_size=9), min_size=1, max_size=6),
    size=st.integers(1, 4),
    distance=st.integers(1, 5),
)
def test_neighbours_are_counted_as_by_hand(per_block: int, sessions: list[list[int]], size: int, distance: int) -> None:
    corpus = worlds.corpus_of([sessions], n_items=N_ITEMS)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(neighbours, "PAIRS_PER_BLOCK", per_block)
        table = nearest_items(corpus.train, N_ITEMS, size=size, distance=distance)
    assert rows_of(table) == counted(sessions, size, distance)
    assert table.items.shape == table.counts.shape == (N_ITEMS, size)


def test_reach_ends_at_the_distance_wherever_the_click_stands() -> None:
    """Trap 2: a later click pairs with the three before it, not with the first of the session."""
    corpus = worlds.corpus_of([[[1, 2, 3, 4, 5, 6]]], n_items=N_ITEMS)
    rows = rows_of(nearest_items(corpus.train, N_ITEMS, size=12, distance=3))
    assert rows[6] == [(3, 1), (4, 1), (5, 1)]
    assert rows[3] == [(1, 1), (2, 1), (4, 1), (5, 1), (6, 1)]


def test_an_item_that_comes_again_is_its_own_neighbour() -> None:
    corpus = worlds.corpus_of([[[2, 3, 2]]], n_items=N_ITEMS)
    rows = rows_of(nearest_items(corpus.train, N_ITEMS, size=12, distance=2))
    assert rows[2] == [(2, 2), (3, 2)]
    assert rows[3] == [(2, 2)]


def test_a_wider_node_is_there_once_and_only_within_its_event() -> None:
    near = torch.tensor([[1, 2], [0, 9], [9, 9]], dtype=torch.int32)
    counts = torch.tensor([[3, 1], [3, 0], [0, 0]], dtype=torch.int32)
    event, item = torch.tensor([0, 0, 3]), torch.tensor([0, 1, 2])
    found = reach(event, item, near, counts)
    nodes = list(zip(found.event.tolist(), found.item.tolist(), strict=True))
    assert nodes == [(0, 0), (0, 1), (0, 2), (3, 2)], "the place of a missing neighbour adds no node"
    assert found.own.tolist() == [0, 1, 3]
    kept = [[nodes[n] for n in row[count > 0]] for row, count in zip(found.near, found.counts, strict=True)]
    assert kept == [[(0, 1), (0, 2)], [(0, 0)], []]


def test_a_large_vocabulary_does_not_overflow() -> None:
    n_items = 3_000_000
    corpus = worlds.corpus_of([[[n_items - 1, n_items - 2]]])
    table = nearest_items(corpus.train, n_items, size=1, distance=1)
    assert (table.items[-1, 0], table.counts[-1, 0]) == (n_items - 2, 1)
    assert np.flatnonzero(table.counts[:, 0]).tolist() == [n_items - 2, n_items - 1]

"""Arithmetic on flat arrays, numpy and torch alike."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from segue.data import arrays, tensors


def test_offsets_are_a_running_sum() -> None:
    for lengths in ([2, 0, 3], []):
        wanted = [sum(lengths[:end]) for end in range(len(lengths) + 1)]
        assert arrays.offsets_of(np.array(lengths, dtype=np.int64)).tolist() == wanted
        assert tensors.offsets_of(torch.tensor(lengths, dtype=torch.int64)).tolist() == wanted


def test_spans_expand_slices() -> None:
    start, length = [4, 0, 7], [2, 0, 3]
    for cells, owner in (
        arrays.spans(np.array(start), np.array(length)),
        tensors.spans(torch.tensor(start), torch.tensor(length)),
    ):
        assert (cells.tolist(), owner.tolist()) == ([4, 5, 7, 8, 9], [0, 0, 2, 2, 2])


@given(st.lists(st.integers(0, 9), max_size=20), st.integers(1, 15))
def test_blocks_hold_every_element_once_and_stay_within_the_bound(sizes: list[int], bound: int) -> None:
    found = list(arrays.blocks(np.array(sizes, dtype=np.int64), bound))
    edges = [block.start for block in found] + [len(sizes)]
    assert edges[0] == 0
    assert [(block.start, block.stop) for block in found] == list(pairwise(edges))
    for block in found:
        assert sum(sizes[block]) <= bound or block.stop == block.start + 1
    for block in found[:-1]:
        assert sum(sizes[block.start : block.stop + 1]) > bound, "another element would not have fitted"


def test_keys_are_found_where_they_are() -> None:
    keys = torch.tensor([2, 5, 9])
    index, there = tensors.find(keys, torch.tensor([0, 2, 6, 9, 10]))
    assert there.tolist() == [False, True, False, True, False]
    assert index[there].tolist() == [0, 2]
    index, there = tensors.find(keys[:0], torch.tensor([4]))
    assert (index.tolist(), there.tolist()) == ([0], [False])

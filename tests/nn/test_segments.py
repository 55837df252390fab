"""Segment-wise blocks against a loop over segments."""

from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st

from segue.nn.segments import segment_softmax, segment_sum


@given(st.lists(st.tuples(st.integers(0, 4), st.floats(-300, 300)), min_size=1, max_size=20))
def test_each_segment_is_normalised_by_itself(entries: list[tuple[int, float]]) -> None:
    segment = torch.tensor([s for s, _ in entries])
    logits = torch.tensor([x for _, x in entries], dtype=torch.float64, requires_grad=True)
    weights = segment_softmax(logits, segment, 5)
    for number in segment.unique():
        mine = segment == number
        torch.testing.assert_close(weights[mine], torch.softmax(logits[mine], 0))
        torch.testing.assert_close(
            torch.autograd.grad(weights[mine].square().sum(), logits, retain_graph=True)[0][mine],
            torch.autograd.grad(torch.softmax(logits[mine], 0).square().sum(), logits, retain_graph=True)[0][mine],
        )


def test_sums_leave_empty_segments_at_zero() -> None:
    values = torch.tensor([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])
    found = segment_sum(values, torch.tensor([2, 0, 2]), 4)
    assert found.tolist() == [[3.0, 4.0], [0.0, 0.0], [6.0, 8.0], [0.0, 0.0]]

"""Sums and softmax within segments, which several models are built of."""

from __future__ import annotations

import torch
from torch import Tensor


def segment_softmax(logits: Tensor, segment: Tensor, n_segments: int) -> Tensor:
    """Softmax within each segment; all [n], segments in any order. Gradients are sums in a fixed order."""
    lowest = torch.full((n_segments,), torch.finfo(logits.dtype).min, dtype=logits.dtype, device=logits.device)
    # The largest logit only keeps exp in range: the result does not depend on it, so neither does the gradient.
    top = lowest.scatter_reduce(0, segment, logits.detach(), "amax")
    weight = (logits - top.index_select(0, segment)).exp()
    total = segment_sum(weight, segment, n_segments)
    return weight / total.index_select(0, segment)


def segment_sum(values: Tensor, segment: Tensor, n_segments: int) -> Tensor:
    """Sum of the values [n, ...] of each segment, [n_segments, ...]."""
    return values.new_zeros(n_segments, *values.shape[1:]).index_add(0, segment, values)

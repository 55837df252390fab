"""From scores to ranks, from ranks to metrics. Pure functions.

A rank counts from 1. Items that tie with the target are ranked before it (conservative) or after it (standard), as in
the official GRU4Rec. Results are reported with the conservative rank: a model that gives every item the same score must
not look perfect.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from segue.data.arrays import FloatArray, IntArray

Ranks = npt.NDArray[np.int64] | npt.NDArray[np.float64]

_BLOCK_CELLS = 2**20
"""Number of scores compared at a time: few enough for the cache, so that the matrix is read from memory once."""


def conservative_rank(scores: Tensor, target: Tensor) -> Tensor:
    """#(score >= score of the target): ties count against the model.

    Args:
        scores: [events, items], in either memory layout; no NaN (it would rank first: see :func:`all_finite`).
        target: [events] int64.

    Returns:
        int64 [events], from 1 to the number of items.
    """
    return _count(scores, target, torch.ge)


def standard_rank(scores: Tensor, target: Tensor) -> Tensor:
    """1 + #(score > score of the target): ties count for the model. Shapes as :func:`conservative_rank`."""
    return 1 + _count(scores, target, torch.gt)


def all_finite(scores: Tensor) -> bool:
    """Whether no score is NaN or infinite. Their sum tells it quickly; only where that is not finite all are tested."""
    return bool(torch.isfinite(scores.sum())) or bool(torch.isfinite(scores).all())


def _count(scores: Tensor, target: Tensor, compare: Callable[..., Tensor]) -> Tensor:
    """Number of items per event whose score passes `compare` with the target's, int64 [events]; counted in blocks."""
    at_target = scores.gather(1, target[:, None])
    by_item = scores.stride(0) < scores.stride(1)
    width = len(scores) if by_item else scores.shape[1]
    rows = max(1, _BLOCK_CELLS // max(width, 1))
    # Comparing into floats and adding these up is several times faster than adding booleans; exact below 2^24 items.
    buffer = torch.empty((rows, width), dtype=torch.float32, device=scores.device)
    if not by_item:
        pairs = zip(torch.split(scores, rows), torch.split(at_target, rows), strict=True)
        counts = [compare(block, score, out=buffer[: len(block)]).sum(1) for block, score in pairs]
        return torch.cat(counts).long()
    total = torch.zeros(len(scores), dtype=torch.int64, device=scores.device)
    for block in torch.split(scores.t(), rows):
        total += compare(block, at_target.t(), out=buffer[: len(block)]).sum(0).long()
    return total


def hit_rate(rank: IntArray, k: int) -> FloatArray:
    """1[rank <= k] for each event; with one target this is also Recall@k and what the literature calls P@k."""
    return (rank <= k).astype(np.float64)


def reciprocal_rank(rank: IntArray, k: int) -> FloatArray:
    """1[rank <= k] / rank for each event; their mean is MRR@k."""
    return hit_rate(rank, k) / rank


def discounted_gain(rank: IntArray, k: int) -> FloatArray:
    """1[rank <= k] / log2(rank + 1) for each event: NDCG@k with one target."""
    return hit_rate(rank, k) / np.log2(rank.astype(np.float64) + 1)


CUTOFFS = (5, 10, 20)
"""Lengths of the lists that metrics look at."""

METRICS: dict[str, Callable[[IntArray], FloatArray]] = {
    **{f"HR@{k}": partial(hit_rate, k=k) for k in CUTOFFS},
    **{f"MRR@{k}": partial(reciprocal_rank, k=k) for k in CUTOFFS},
    **{f"NDCG@{k}": partial(discounted_gain, k=k) for k in CUTOFFS},
}
"""The reported metrics, in order of report: rank [events] → value of each event [events]."""


def averages(rank: IntArray, group: IntArray | None = None) -> dict[str, float]:
    """All :data:`METRICS`, averaged over events; with `group` [events] first within each group, then over groups.

    Raises ValueError when there is no event.
    """
    if not len(rank):
        raise ValueError("there is no event to average over")
    if group is None:
        return {name: float(metric(rank).mean()) for name, metric in METRICS.items()}
    _, index, size = np.unique(group, return_inverse=True, return_counts=True)
    return {name: float((np.bincount(index, metric(rank)) / size).mean()) for name, metric in METRICS.items()}

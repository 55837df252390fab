"""Losses over few candidates instead of all items: the targets of the batch, and items sampled by popularity.

All losses take scores [events, candidates] and the column of each event's positive [events], and sum over the events.
"""

from __future__ import annotations

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional

from segue.nn.joint import JointModule

Drawn = Annotated[int, Field(ge=0, le=100_000)]
"""Items sampled per batch. The upper bound takes 200 MB of scores for 512 events; a full softmax costs no more then."""


class PopularitySampler(JointModule):
    """Sampler of items with probability proportional to support^alpha, with replacement, from torch's random state.

    That state is part of every checkpoint, so a resumed run samples what the uninterrupted one would have.

    Args:
        alpha: 0 samples all items alike, 1 by their popularity.
    """

    support: Tensor
    cumulative: Tensor

    def __init__(self, n_items: int, alpha: float) -> None:
        super().__init__()
        self.alpha = alpha
        self.register_buffer("support", torch.zeros(n_items, dtype=torch.float64))
        self.register_buffer("cumulative", torch.zeros(n_items, dtype=torch.float64))

    def count(self, support: Tensor) -> None:
        """Set the number of train events of each item, [items], to sample by; an item without any is never sampled."""
        weight = support.double().pow(self.alpha) * (support > 0)
        self.support, self.cumulative = support.double(), torch.cumsum(weight, 0)

    def draw(self, count: int) -> Tensor:
        """Sample `count` items, [count]; the same ones in all processes that train together."""
        draws = self.joint.draws if self.joint is not None else None
        point = torch.rand(count, dtype=self.cumulative.dtype, device=self.cumulative.device, generator=draws)
        point = point * self.cumulative[-1]
        # Rounding may reach the very end, behind the last item that has any support.
        return torch.searchsorted(self.cumulative, point, right=True).clamp(max=int(self.support.nonzero().max()))

    def log_weights(self, targets: Tensor, drawn: Tensor) -> Tensor:
        """Logarithm of how often each is a candidate, up to a constant, [targets + drawn].

        That is the support for a target, and support^alpha for a sampled item.
        """
        return torch.cat([self.support[targets].log(), self.alpha * self.support[drawn].log()])


def candidate_scores(vectors: Tensor, table: Tensor, bias: Tensor, candidates: Tensor) -> Tensor:
    """Scores [events, candidates]: vectors [events, dim] against the rows of table [items, dim], with bias [items]."""
    return torch.addmm(bias.index_select(0, candidates), vectors, functional.embedding(candidates, table).t())


def false_negatives(candidates: Tensor, positive: Tensor) -> Tensor:
    """Mask of columns that hold an event's target a second time, bool [events, candidates]."""
    same = candidates == candidates[positive][:, None]
    return same.scatter(1, positive[:, None], False)


def cross_entropy(scores: Tensor, positive: Tensor, left_out: Tensor | None = None) -> Tensor:
    """Cross entropy Σ −log softmax(scores)[positive]; columns `left_out` (bool, as scores) are no candidates."""
    if left_out is not None:
        scores = scores.masked_fill(left_out, float("-inf"))
    return functional.cross_entropy(scores, positive, reduction="sum")


def bpr_max(
    scores: Tensor, positive: Tensor, left_out: Tensor | None = None, *, elu: float = 0.0, penalty: float = 1.0
) -> Tensor:
    """BPR-max: Σ −log Σ_j s_j σ(r_+ − r_j) + penalty · Σ_j s_j r_j², s the softmax over the negatives j.

    Hidasi & Karatzoglou (2018). With elu > 0 the scores pass through elu(·, elu) first. An event without a negative
    costs nothing.
    """
    if elu:
        scores = functional.elu(scores, elu)
    at_positive = scores.gather(1, positive[:, None])
    barred = torch.zeros_like(scores, dtype=torch.bool) if left_out is None else left_out
    barred = barred.scatter(1, positive[:, None], True)
    alone = barred.all(1, keepdim=True)
    # The most negative number instead of -inf: a row of nothing but -inf has no gradient.
    weight = torch.log_softmax(scores.masked_fill(barred, torch.finfo(scores.dtype).min), 1)
    ranking = -torch.logsumexp(weight + functional.logsigmoid(at_positive - scores).masked_fill(barred, 0.0), 1)
    size = (weight.exp() * scores.square()).sum(1)
    return (ranking + penalty * size).masked_fill(alone.squeeze(1), 0.0).sum()


def top1(scores: Tensor, positive: Tensor, left_out: Tensor | None = None) -> Tensor:
    """TOP1: Σ mean_j [σ(r_j − r_+) + σ(r_j²)] − σ(r_+²) / candidates, r = tanh(scores).

    Hidasi et al. (2016), Quadrana et al. (2017). The mean runs over all candidates, the positive with its σ(0) among
    them, as in the authors' code.
    """
    scores = scores.tanh()
    at_positive = scores.gather(1, positive[:, None])
    cost = torch.sigmoid(scores - at_positive) + torch.sigmoid(scores.square())
    count = torch.full_like(at_positive, scores.shape[1]).squeeze(1)
    if left_out is not None:
        cost, count = cost.masked_fill(left_out, 0.0), count - left_out.sum(1)
    return ((cost.sum(1) - torch.sigmoid(at_positive.squeeze(1).square())) / count).sum()

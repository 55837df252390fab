"""Softmax over all items, in chunks: the loss with its gradient formed in place, and the scores.

Logits are bounded in bytes, never [all events, items]. The chunk is laid out [items, events]: the matrix product is
faster that way round, and the sparse scores are added inside the chunk.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal

import torch
from torch import Tensor

from segue.nn.encoding import Added, Encoding, Mixture
from segue.nn.level_loss import level_softmax_loss

CHUNK_BYTES = 128 * 2**20
_SMALLEST_CHUNK, _LARGEST_CHUNK = 16, 512
_BLOCK_CELLS = 2**18
"""Logits processed together where several passes follow each other: they fit a core's cache."""
_PLAIN_RANGE = 80.0
"""Largest logarithm of a sum of float32 that is taken directly: beyond about 87 the sum overflows, or loses digits."""

Form = Literal["cross_entropy", "eq20"]


def events_per_chunk(n_items: int, itemsize: int = 4) -> int:
    """Number of events whose scores over all items fit the bound."""
    return max(_SMALLEST_CHUNK, min(_LARGEST_CHUNK, CHUNK_BYTES // max(n_items * itemsize, 1)))


def softmax_loss(
    encoding: Encoding,
    item_vectors: Tensor,
    target: Tensor,
    form: Form = "cross_entropy",
    *,
    of: int | None = None,
) -> Tensor:
    """Mean over events of −log p(target), eq. (19) with all items as candidates; with a pointer, p is the mixture.

    Args:
        encoding: vectors [events, dim] and sparse parts.
        item_vectors: [items, dim].
        target: [events].
        form: "eq20" is the paper's equation read literally, −log y_t − Σ_{i≠t} log(1 − y_i); it takes no pointer.
        of: number of events that the sum is divided by, where these are a share of a larger batch; unset: these.
    """
    mixture = encoding.mixture
    if form == "eq20" and mixture is not None:
        raise ValueError("the literal eq. (20) is defined for a softmax alone, not for a pointer mixture")
    if item_vectors.shape[1] == 1 and not item_vectors.requires_grad and form == "cross_entropy":
        return level_softmax_loss(encoding, item_vectors, target, of=of)
    log_dense = pointed = None
    if mixture is not None:
        log_dense = mixture.log_dense
        hit = (mixture.item == target.index_select(0, mixture.event)).nonzero().squeeze(1)
        event, probability = (column.index_select(0, hit) for column in (mixture.event, mixture.probability))
        pointed = torch.zeros_like(log_dense).index_add(0, event, probability)
    places = [(added.event, added.item) for added in encoding.added]
    values = [added.value for added in encoding.added]
    loss: Tensor = _ChunkedSoftmax.apply(  # type: ignore[no-untyped-call]
        target, places, form, encoding.vectors, item_vectors, log_dense, pointed, *values
    )
    return loss / max(len(target) if of is None else of, 1)


def dense_scores(encoding: Encoding, item_vectors: Tensor) -> Tensor:
    """Scores over all items, [events, items]; the caller bounds the number of events.

    With a pointer the score of item i is ``logaddexp(s_i, logsumexp(s) + log(M_i) - log_dense)``: a monotone form of
    the mixed probability that leaves items without pointer mass as they are.
    """
    logits = _chunk_logits(encoding.vectors, item_vectors, encoding.added, 0)
    if encoding.mixture is not None:
        _fold_mixture(logits, encoding.mixture)
    return logits.t()


def _fold_mixture(logits: Tensor, mixture: Mixture) -> None:
    """Fold the pointer, in place, into logits [items, events]."""
    cell = mixture.item * logits.shape[1] + mixture.event
    cells, inverse = torch.unique(cell, return_inverse=True)
    mass = torch.zeros(len(cells), dtype=logits.dtype, device=logits.device)
    mass.index_add_(0, inverse, mixture.probability.to(logits.dtype))
    event = cells % logits.shape[1]
    pointed = mass.log() + (_logsumexp(logits) - mixture.log_dense).index_select(0, event)
    flat = logits.view(-1)
    flat.scatter_(0, cells, torch.logaddexp(flat.index_select(0, cells), pointed))


def _logsumexp(logits: Tensor) -> Tensor:
    """Log-sum-exp over the items of logits [items, events], in blocks that stay in the cache, so memory is read once.

    The largest logit need not be taken out first as long as the sum is far from what a float can hold.
    """
    total = logits.new_zeros(logits.shape[1])
    for block in torch.split(logits, max(1, _BLOCK_CELLS // max(logits.shape[1], 1))):
        total += block.exp().sum(0)
    plain = total.log_()
    return plain if bool((plain.abs() < _PLAIN_RANGE).all()) else torch.logsumexp(logits, 0)


def _chunk_logits(vectors: Tensor, item_vectors: Tensor, added: Sequence[Added], first: int) -> Tensor:
    """Logits of a chunk, [items, events of the chunk]; `added` holds entries of these events, numbered from `first`."""
    logits = item_vectors @ vectors.t()
    for source in added:
        logits.view(-1).index_add_(0, _cells(source, first, logits), source.value.to(logits.dtype))
    return logits


def _cells(source: Added, first: int, logits: Tensor) -> Tensor:
    """Indices of the entries in the flat chunk [items * events]."""
    return source.item * logits.shape[1] + (source.event - first)


class _ChunkedSoftmax(torch.autograd.Function):
    """Sum of the losses; the gradients are formed chunk by chunk in the forward pass, where the logits are at hand."""

    @staticmethod
    def forward(
        ctx: Any,
        target: Tensor,
        places: list[tuple[Tensor, Tensor]],
        form: Form,
        *inputs: Tensor | None,
    ) -> Tensor:
        vectors, items, log_dense, pointed, *values = inputs
        assert vectors is not None
        assert items is not None
        sources = [Added(*place, value) for place, value in zip(places, values, strict=True) if value is not None]
        # Every cell is written below, unless there is no event at all.
        blank = torch.empty_like if len(vectors) else torch.zeros_like
        slopes = [blank(tensor) if tensor is not None else None for tensor in inputs]
        total = vectors.new_zeros(())
        step = events_per_chunk(len(items), vectors.element_size())
        for first in range(0, len(vectors), step):
            rows = slice(first, min(first + step, len(vectors)))
            cuts = [_entries_of(source, rows) for source in sources]
            chunk = [Added(s.event[cut], s.item[cut], s.value[cut]) for s, cut in zip(sources, cuts, strict=True)]
            logits = _chunk_logits(vectors[rows], items, chunk, first)
            loss, scale = _loss_and_slope(logits, target[rows], rows, (log_dense, pointed), slopes[2:4], form)
            total += loss.sum()
            if any(ctx.needs_input_grad):
                _spread_slope(logits, scale, vectors[rows], items, chunk, cuts, slopes, rows)
        ctx.save_for_backward(*[slope for slope in slopes if slope is not None])
        ctx.present = [slope is not None for slope in slopes]
        return total

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor | None, ...]:
        saved = iter(ctx.saved_tensors)
        return (None, None, None, *[next(saved) * grad_outputs[0] if p else None for p in ctx.present])


def _entries_of(source: Added, rows: slice) -> slice:
    """The entries of a chunk's events: they are sorted by event."""
    bounds = torch.tensor([rows.start, rows.stop], device=source.event.device)
    return slice(*torch.searchsorted(source.event, bounds).tolist())


def _spread_slope(
    slope: Tensor,
    scale: Tensor,
    vectors: Tensor,
    items: Tensor,
    chunk: list[Added],
    cuts: list[slice],
    slopes: list[Tensor | None],
    rows: slice,
) -> None:
    """Spread the slope of the logits, slope [items, events] * scale [events], to the slopes of all inputs."""
    by_vectors, by_items, _, _, *by_values = slopes
    assert by_vectors is not None
    assert by_items is not None
    torch.mm(slope.t(), items, out=by_vectors[rows]).mul_(scale[:, None])
    torch.addmm(by_items, slope, vectors * scale[:, None], beta=int(rows.start > 0), out=by_items)
    for source, cut, by_value in zip(chunk, cuts, by_values, strict=True):
        assert by_value is not None
        event = source.event - rows.start
        at_entries = slope.view(-1).index_select(0, _cells(source, rows.start, slope))
        torch.mul(at_entries, scale.index_select(0, event), out=by_value[cut])


def _loss_and_slope(
    logits: Tensor,
    target: Tensor,
    rows: slice,
    pointer: tuple[Tensor | None, Tensor | None],
    pointer_slopes: Sequence[Tensor | None],
    form: Form,
) -> tuple[Tensor, Tensor]:
    """Losses and scale of a chunk [events]; `logits` [items, events] * scale becomes the slope of the losses' sum.

    softmax - onehot = (exp(logit - top) - normaliser * onehot) / normaliser: the division is left to the scale, which
    spares a pass over the chunk.
    """
    column = torch.arange(logits.shape[1], device=logits.device)
    at_target = logits[target, column]
    top = logits.amax(0)
    logits.sub_(top).exp_()
    normaliser = logits.sum(0)
    log_target = at_target - top - normaliser.log()
    if form == "eq20":
        loss = _literal_slope(logits.div_(normaliser), target, column, log_target)
        return loss, torch.ones_like(loss)
    logits[target, column] -= normaliser
    loss, share = -log_target, torch.ones_like(log_target)
    log_dense, pointed = pointer
    if log_dense is not None and pointed is not None:
        total = torch.logaddexp(log_dense[rows] + log_target, pointed[rows].log())
        loss = -total
        share = (log_dense[rows] + log_target - total).exp()
        by_log_dense, by_pointed = pointer_slopes
        assert by_log_dense is not None
        assert by_pointed is not None
        by_log_dense[rows] = -share
        # A probability below the smallest normal number counts as that: 1 / p would overflow.
        by_pointed[rows] = -(-total.clamp(min=math.log(torch.finfo(total.dtype).tiny))).exp()
    return loss, share / normaliser


def _literal_slope(y: Tensor, target: Tensor, column: Tensor, log_target: Tensor) -> Tensor:
    """Eq. (20) as written: loss −log y_t − Σ_{i≠t} log(1 − y_i); y [items, events] is overwritten by its slope."""
    rest = (1 - y).clamp_(min=torch.finfo(y.dtype).eps)
    log_rest = rest.log()
    others = log_rest.sum(0) - log_rest[target, column]
    odds = y / rest
    odds[target, column] = -1
    y.mul_(odds.sum(0)).neg_().add_(odds)
    return -log_target - others

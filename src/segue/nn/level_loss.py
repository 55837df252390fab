"""The softmax loss where item vectors have one coordinate, a level such as log popularity.

s(e, i) = factor_e · level_i, and more at the cells (event, item) that something is added to. Items of one level share
their score wherever nothing is added, so that the sum over all items follows from the distinct levels and the cells:
the work does not grow with the number of items. In float64, since cells are taken out of the sum again.
"""

from __future__ import annotations

import torch
from torch import Tensor

from segue.nn.encoding import Added, Encoding


def level_softmax_loss(encoding: Encoding, item_vectors: Tensor, target: Tensor, *, of: int | None = None) -> Tensor:
    """Mean over events of −log p(target) as of :func:`segue.nn.losses.softmax_loss`, gradients of the encoding alone.

    Args:
        encoding: vectors [events, 1] and sparse parts.
        item_vectors: [items, 1]. target: [events].
        of: as for :func:`segue.nn.losses.softmax_loss`.
    """
    log_target = _log_softmax(encoding, item_vectors[:, 0].double(), target)
    mixture = encoding.mixture
    if mixture is not None:
        hit = (mixture.item == target.index_select(0, mixture.event)).nonzero().squeeze(1)
        p = (mixture.log_dense.double() + log_target).exp()
        p = p.index_add(0, mixture.event.index_select(0, hit), mixture.probability.double().index_select(0, hit))
        log_target = p.clamp(min=torch.finfo(p.dtype).tiny).log()
    return -log_target.sum().to(encoding.vectors.dtype) / max(len(target) if of is None else of, 1)


def _log_softmax(encoding: Encoding, level: Tensor, target: Tensor) -> Tensor:
    """Log probability of the targets among all items, [events]."""
    factor = encoding.vectors[:, 0].double()
    # A target is a cell even where nothing is added to it.
    here = Added(torch.arange(len(target), device=target.device), target, factor.new_zeros(len(target)))
    sources = (*encoding.added, here)
    cell, place = _cells(sources, len(level))
    event = torch.div(cell, len(level), rounding_mode="floor")
    plain = factor.index_select(0, event) * level.index_select(0, cell - event * len(level))
    score = plain.index_add(0, place, torch.cat([source.value.double() for source in sources]))
    levels, items = torch.unique(level, return_counts=True)
    by_level = factor[:, None] * levels
    top = by_level.amax(1).scatter_reduce(0, event, score, "amax").detach()
    gained = (score - top.index_select(0, event)).exp() - (plain - top.index_select(0, event)).exp()
    total = ((by_level - top[:, None]).exp() @ items.double()).index_add(0, event, gained)
    at_target = score.index_select(0, place[len(place) - len(target) :])
    log_target: Tensor = at_target - top - total.clamp(min=torch.finfo(total.dtype).tiny).log()
    return log_target


def _cells(sources: tuple[Added, ...], n_items: int) -> tuple[Tensor, Tensor]:
    """Sorted distinct event * n_items + item, and the place of each entry's among them."""
    keys = torch.cat([source.event * n_items + source.item for source in sources])
    # 32 bits are sorted in half the time.
    narrow = len(sources[-1].event) * n_items < 2**31
    cell, place = torch.unique(keys.int() if narrow else keys, return_inverse=True)
    return cell.long(), place

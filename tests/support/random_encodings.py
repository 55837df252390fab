"""Random encodings in float64, and the loss by the plain formula."""

from __future__ import annotations

import torch
from torch import Tensor

from segue.nn.encoding import Added, Encoding, Mixture
from segue.nn.losses import Form

EVENTS, ITEMS = 37, 23


def random(*shape: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, requires_grad=True)


def added(n: int) -> Added:
    """Sorted by event, with the same cell more than once, and events without any."""
    event = torch.randint(3, EVENTS - 2, (n,)).sort().values
    item = torch.randint(ITEMS, (n,))
    item[1::2] = item[::2][: len(item[1::2])]
    return Added(event, item, random(n))


def mixture(target: Tensor) -> Mixture:
    """Gates that leave the softmax between 0.2 and 0.9; some events point nowhere, some at their target twice."""
    event = torch.cat([torch.arange(EVENTS), torch.arange(EVENTS), torch.arange(0, EVENTS, 2)])
    item = torch.cat([torch.randint(ITEMS, (EVENTS,)), target, target[::2]])
    dense = 0.2 + 0.7 * torch.rand(EVENTS, dtype=torch.float64)
    dense[5] = 1.0
    share = torch.rand(len(event), dtype=torch.float64)
    share = share / torch.zeros(EVENTS, dtype=torch.float64).index_add(0, event, share)[event]
    probability = (1 - dense)[event] * share
    return Mixture(dense.log().requires_grad_(), event, item, probability.detach().requires_grad_())


def reference_scores(encoding: Encoding, items: Tensor) -> Tensor:
    scores = encoding.vectors @ items.t()
    for source in encoding.added:
        scores = scores.index_put((source.event, source.item), source.value, accumulate=True)
    return scores


def reference_probabilities(encoding: Encoding, items: Tensor) -> Tensor:
    y = torch.softmax(reference_scores(encoding, items), 1)
    if encoding.mixture is None:
        return y
    pointer = encoding.mixture
    mixed = pointer.log_dense.exp()[:, None] * y
    return mixed.index_put((pointer.event, pointer.item), pointer.probability, accumulate=True)


def reference_loss(encoding: Encoding, items: Tensor, target: Tensor, form: Form) -> Tensor:
    y = reference_probabilities(encoding, items)
    of_target = y.gather(1, target[:, None]).squeeze(1)
    loss = -of_target.log()
    if form == "eq20":
        loss = loss - (1 - y).log().sum(1) + (1 - of_target).log()
    return loss.mean()


def leaves(encoding: Encoding) -> list[Tensor]:
    pointer = encoding.mixture
    of_pointer = [] if pointer is None else [pointer.log_dense, pointer.probability]
    return [encoding.vectors, *(source.value for source in encoding.added), *of_pointer]

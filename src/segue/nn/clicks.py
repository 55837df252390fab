"""The clicks that an event knows, each with a weight: those of the running session, and the user's earlier ones."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from segue.data.batches import Batch
from segue.data.tensors import find, spans
from segue.nn.sparse_rows import SparseRows


@dataclass(frozen=True)
class Clicks:
    """Weighted clicks of the events of a batch, for scores that are sums of rows of a matrix.

    Attributes:
        event, cell, item, weight: [n] clicks of the running sessions, event by event, the oldest first; `cell` is the
            place of the click in its row of the batch.
        past_row, past_item, past_weight: [m] distinct items of the history of each row of the batch.
        row, length: [events] row of each event, and the number of items in its prefix.
        faded: [events] share of its weight that the history keeps after the clicks of the prefix.
        rows: number of rows of the batch.
    """

    event: Tensor
    cell: Tensor
    item: Tensor
    weight: Tensor
    past_row: Tensor
    past_item: Tensor
    past_weight: Tensor
    row: Tensor
    length: Tensor
    faded: Tensor
    rows: int

    def add_to(self, scores: Tensor, similar: SparseRows) -> None:
        """Add in place, for every click of an event: the weight of the click times the row of its item.

        The history is summed once per row of the batch, however many events the row has.

        Args:
            scores: [events, items] float64, contiguous.
            similar: rows [items, items].
        """
        similar.add_to(scores, self.event, self.item, self.weight)
        if len(self.past_row):
            past = scores.new_zeros(self.rows, scores.shape[1])
            similar.add_to(past, self.past_row, self.past_item, self.past_weight)
            scores.addcmul_(past.index_select(0, self.row), self.faded[:, None])

    def parts(self, similar: SparseRows, items: Tensor) -> tuple[Tensor, Tensor]:
        """The scores of `items` [k] for a batch of one event: what each click adds [k, length], and the history [k]."""
        session = torch.zeros(len(items), int(self.length[0]), dtype=torch.float64, device=items.device)
        session[:, self.cell] = similar.block(self.item, items).t() * self.weight
        return session, similar.block(self.past_item, items).t() @ (self.past_weight * self.faded[0])


def clicks_of(batch: Batch, history: int, n_items: int, *, fade: float = 1.0, distinct: bool = False) -> Clicks:
    """The clicks of every event of a batch, of the prefix and of the last `history` items of the user before it.

    Args:
        fade: weight of a click as a share of that of the click after it, 0 to 1; with 0 the last one alone counts.
        distinct: every item weighs 1, however often it was clicked; with `fade` 1.
    """
    length = batch.position + 1
    cells, event = spans(batch.row * batch.items.shape[1], length)
    item = batch.items.flatten()[cells]
    after = (torch.cumsum(length, 0) - 1)[event] - torch.arange(len(event), device=event.device)
    weight = torch.pow(fade, after.double())
    past_row, past_item, past_weight = _past(batch, history, n_items, fade)
    if distinct:
        past_weight = torch.ones_like(past_weight)
        weight = _last_of_each(event * n_items + item).double()
        known, there = past_row * n_items + past_item, batch.row[event] * n_items + item
        weight = weight.masked_fill(find(known, there)[1], 0.0)
    kept = weight != 0
    return Clicks(
        event[kept], (cells % batch.items.shape[1])[kept], item[kept], weight[kept],
        past_row, past_item, past_weight,
        batch.row, length, torch.pow(fade, length.double()), len(batch.user),
    )  # fmt: skip


def _past(batch: Batch, history: int, n_items: int, fade: float) -> tuple[Tensor, Tensor, Tensor]:
    """Row, item and weight of the distinct items of each row's history, sorted; without the clicks of the prefix."""
    past = batch.history(history)
    until = torch.cumsum(torch.bincount(past.row, minlength=len(batch.user)), 0)
    after = until[past.row] - 1 - torch.arange(len(past.row), device=past.row.device)
    keys, place = torch.unique(past.row * n_items + past.items, return_inverse=True)
    weight = torch.zeros(len(keys), dtype=torch.float64, device=keys.device)
    weight.index_add_(0, place, torch.pow(fade, after.double()))
    return keys // n_items, keys % n_items, weight


def _last_of_each(keys: Tensor) -> Tensor:
    """Whether no later key is equal, bool [n]."""
    _, place = torch.unique(keys, return_inverse=True)
    number = torch.arange(len(keys), device=keys.device)
    last = torch.zeros_like(number).scatter_reduce_(0, place, number, "amax")
    return last[place] == number

"""Reminders: the user's earlier items, raised in addition to the scores of a session model (Jannach et al. 2017).

score(i) = w_base · base(i) + w_recency · recency(i) + w_similarity · similarity(i), each at most 1. Over the user's
last sessions, recency(i) = 1 / (1 + distinct items looked at since), and similarity(i) sums, over the sessions that
hold i, the cosine between the items of that session and those of the running one, over the largest such sum.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from pydantic import Field
from torch import Tensor

from segue.data.batches import Batch
from segue.data.tensors import spans
from segue.nn.encoding import Added, ScoreParts
from segue.settings.base import Config


class Reminding(Config):
    """Options of reminders: how far they look back, and how much each part of the score weighs."""

    sessions: int = Field(5, ge=1, le=100_000)
    """Last sessions of the user that are looked at."""
    base: float = Field(1.0, gt=0, le=1e6)
    """Weight of the model's own score of the running session."""
    recency: float = Field(1.0, ge=0, le=1e6)
    """Weight of how recently the user looked at an item."""
    similarity: float = Field(1.0, ge=0, le=1e6)
    """Weight of how similar the sessions with the item are to the running one."""


class Reminders(NamedTuple):
    """Earlier items of the users, each once per event; all [n], sorted by event. recency, similarity: in [0, 1]."""

    event: Tensor
    item: Tensor
    recency: Tensor
    similarity: Tensor


def added_reminders(batch: Batch, remind: Reminding, max_items: int, n_items: int) -> Added:
    """Added scores of the last `max_items` items: w_recency · recency(i) + w_similarity · similarity(i)."""
    event, item, recency, similarity = reminders(batch, max_items, remind.sessions, n_items)
    return Added(event, item, remind.recency * recency + remind.similarity * similarity)


def parts_of(scores: Tensor, added: Added, items: Tensor) -> ScoreParts:
    """Parts of the scores [n_items] of one event for `items` [k]: what reminders added, and the rest."""
    reminded = torch.zeros_like(scores).index_add(0, added.item, added.value)[items]
    return ScoreParts(user={"reminder": reminded}, base=scores[items] - reminded)


def reminders(batch: Batch, max_items: int, max_sessions: int, n_items: int) -> Reminders:
    """Reminders from the last `max_items` items, in the last `max_sessions` sessions, of every event's user."""
    history = batch.history(max_items, max_sessions)
    # Each item once per session; sessions are numbered through all rows, so the keys stay sorted by row.
    session = torch.cumsum(history.begins, 0) - 1
    key, place = torch.unique(session * n_items + history.items, return_inverse=True)
    last = _largest(torch.arange(len(place), device=place.device), place, len(key))
    length = torch.bincount(history.row[last], minlength=len(batch.user))
    cells, event = spans((torch.cumsum(length, 0) - length)[batch.row], length[batch.row])
    item, session = key[cells] % n_items, key[cells] // n_items
    # Each item once per event.
    pair, place = torch.unique(event * n_items + item, return_inverse=True)
    found = pair // n_items
    cosine = _cosines(batch, event, session, item, n_items)
    summed = cosine.new_zeros(len(pair)).index_add(0, place, cosine)
    largest = _largest(summed, found, len(batch))[found]
    similarity = torch.where(summed > 0, summed / largest, 0.0)
    return Reminders(found, pair % n_items, 1 / _rank(found, _largest(last[cells], place, len(pair))), similarity)


def _cosines(batch: Batch, event: Tensor, session: Tensor, item: Tensor, n_items: int) -> Tensor:
    """Cosine |A ∩ P| / √(|A| |P|) of each cell's session A and the running one P; cells sorted by event, session."""
    cells, owner = spans(batch.row * batch.items.shape[1], batch.position + 1)
    running = torch.unique(owner * n_items + batch.items.flatten()[cells])
    size = torch.bincount(running // n_items, minlength=len(batch))
    n_sessions = int(session.max()) + 1 if len(session) else 1
    _, group, length = torch.unique_consecutive(event * n_sessions + session, return_inverse=True, return_counts=True)
    shared = torch.isin(event * n_items + item, running).double()
    shared = shared.new_zeros(len(length)).index_add(0, group, shared)[group]
    # The root of whole numbers would be float32, which tells equal sums apart.
    cosine: Tensor = shared / (length[group] * size[event].clamp(min=1)).double().sqrt()
    return cosine


def _rank(event: Tensor, since: Tensor) -> Tensor:
    """Rank of each cell, from 1, among those of its event, the largest `since` first; float64."""
    order = torch.argsort(event * (since.max() + 1 if len(since) else 1) + since)
    count = torch.bincount(event)
    rank = torch.empty_like(order)
    rank[order] = torch.cumsum(count, 0)[event] - torch.arange(len(order), device=order.device)
    return rank.double()


def _largest(values: Tensor, place: Tensor, size: int) -> Tensor:
    """The largest of the non-negative values [n] at each place, [size]."""
    return values.new_zeros(size).scatter_reduce(0, place, values, "amax")

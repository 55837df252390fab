"""Facts x about an event, by which the memory's weights and gates differ from event to event."""

from __future__ import annotations

import torch
from torch import Tensor

from segue.models.hg_gnn.memory.entries import lookup
from segue.models.hg_gnn.memory.question import Question
from segue.settings.units import HOUR


def facts_of(asked: Question, transitions: Tensor, support: Tensor) -> Tensor:
    """The facts of each event as they are, float64 [events, 8].

    log(1 + n) of: the length of the prefix; the user's past sessions; the train sessions that hold the last item; its
    known successors; the hours since the user's last event before the session. Then the share of the prefix that the
    user has had before; the distinct items of the history per event of it; 1 where there is a history. What is counted
    is counted without the running session.

    Args:
        transitions: int64 [n], the event of everything that source "transition" recalls.
        support: train sessions that hold each item, [n_items].
    """
    batch, prefixes = asked.batch, asked.prefixes
    length = prefixes.mask.sum(1)
    events, last = asked.item_at(0)
    sessions = torch.zeros_like(batch.target).index_copy(0, events, support[last] - asked.counted_once(events, last))
    successors = torch.bincount(transitions, minlength=len(asked))
    seen, variety, away = (fact for fact in _of_history(asked, length))
    known = (batch.past[:, 1] > batch.past[:, 0])[batch.row]
    numbers = [length, batch.past_sessions[batch.row], sessions, successors, away]
    return torch.stack([*(n.double().log1p() for n in numbers), seen, variety, known.double()], 1)


def _of_history(asked: Question, length: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Share of the prefix seen before, distinct items per event of the history, hours since its end; 0 without one."""
    batch, prefixes, past = asked.batch, asked.prefixes, asked.past
    row, item, count = asked.earlier
    cells = batch.row[:, None] * asked.n_items + prefixes.items
    had = lookup(row * asked.n_items + item, torch.ones_like(item), cells) * prefixes.mask
    distinct = torch.bincount(row, minlength=len(batch.user)).double()
    events = torch.zeros_like(distinct).index_add_(0, row, count.double())
    end = batch.time.new_zeros(len(batch.user))
    end.scatter_reduce_(0, past.row, past.times, "amax", include_self=False)
    away = (batch.time - end[batch.row]).clamp(min=0) * (events > 0)[batch.row]
    return had.sum(1) / length.clamp(min=1).double(), (distinct / events.clamp(min=1))[batch.row], away / HOUR

"""Reminders as session-rec computes them (Latifi et al. 2021): by age, and by the model's own similarity of sessions.

recency(i) = the smallest age of any earlier item / the age of i. similarity(i) sums the similarities of those last
sessions that hold i, over the largest such sum. What is the same for all sessions of an event, such as the boost of the
user's own sessions and the norm of the running one, cancels and is left out.
"""

from __future__ import annotations

import torch
from torch import Tensor

from segue.data.batches import Batch, History
from segue.data.tensors import find, spans
from segue.models.session_knn.config import SessionKNNConfig
from segue.nn.encoding import Added
from segue.nn.neighbours.index import Running
from segue.settings.units import milliseconds


def reminders_by_age(batch: Batch, running: Running, config: SessionKNNConfig, n_items: int) -> Added:
    """Added scores of every earlier item: w_recency · recency(i) + w_similarity · similarity(i)."""
    assert config.remind is not None
    history = batch.history(config.window.history)
    length = torch.bincount(history.row, minlength=len(batch.user))
    cells, event = spans((torch.cumsum(length, 0) - length)[batch.row], length[batch.row])
    item = history.items[cells]
    pair, place = torch.unique(event * n_items + item, return_inverse=True)
    whose = pair // n_items
    last = batch.time.new_zeros(len(pair)).scatter_reduce(0, place, history.times[cells], "amax")
    age = (batch.time[whose] - last).clamp(min=1).double()
    youngest = age.new_full((len(batch),), torch.inf).scatter_reduce(0, whose, age, "amin")
    near = _similarities(batch, history, cells, event, running, config, n_items)
    summed = near.new_zeros(len(pair)).index_add(0, place, near)
    largest = near.new_zeros(len(batch)).scatter_reduce(0, whose, summed, "amax")[whose]
    similarity = torch.where(summed > 0, summed / largest, 0.0)
    return Added(
        whose, pair % n_items, config.remind.recency * youngest[whose] / age + config.remind.similarity * similarity
    )


def _similarities(
    batch: Batch,
    history: History,
    cells: Tensor,
    event: Tensor,
    running: Running,
    config: SessionKNNConfig,
    n_items: int,
) -> Tensor:
    """What each earlier item gives to its own sum: the similarity of its session, or 0; float64, as `cells`.

    A session gives to an item once; with `cosine`, as in the programs of the STAN family, as often as it holds it.
    """
    assert config.remind is not None
    session = torch.cumsum(history.begins, 0) - 1
    newest = session.new_zeros(len(batch.user)).scatter_reduce(0, history.row, session, "amax")
    recent = (newest[history.row] - session)[cells] < config.remind.sessions
    n_sessions = int(session.max()) + 1 if len(session) else 1
    group = event * n_sessions + session[cells]
    # Each item once per event and session, at its first cell.
    key, place = torch.unique(group * n_items + history.items[cells], return_inverse=True)
    first = place.new_full((len(key),), len(cells)).scatter_reduce(
        0, place, torch.arange(len(cells), device=place.device), "amin"
    )
    _, whole, size = torch.unique(group[first], return_inverse=True, return_counts=True)
    shared = size.new_zeros(len(size), dtype=torch.float64).index_add(
        0, whole, _weights(running, key, n_sessions, n_items)
    )
    similarity = shared / size.double().sqrt() if config.cosine else shared
    of_cell = similarity[whole[place]]
    if config.snh is not None:
        end = batch.time.new_zeros(len(size)).scatter_reduce(0, whole[place], history.times[cells], "amax")
        age = batch.time[event] - end[whole[place]]
        of_cell = of_cell * torch.exp(-age.double() / milliseconds(config.snh))
    once = torch.zeros_like(recent).index_fill(0, first, True)
    given: Tensor = of_cell * recent * (once | config.cosine)
    return given


def _weights(running: Running, key: Tensor, n_sessions: int, n_items: int) -> Tensor:
    """Weight in its running session of each (event, session, item), 0 where the item is not in it; float64."""
    entries, order = torch.from_numpy(running.event * n_items + running.item).to(key.device).sort()
    group, item = key // n_items, key % n_items
    index, found = find(entries, group // n_sessions * n_items + item)
    weights = torch.cat([torch.from_numpy(running.weight).to(key.device)[order], index.new_zeros(1).double()])
    shared: Tensor = torch.where(found, weights[index], 0.0)
    return shared

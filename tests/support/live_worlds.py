"""A log whose later part is live: a model of the earlier part that goes on counting, and one counted on all of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import lean_models
import numpy as np
import torch
import worlds
from worlds import DAY, TEST, TRAIN

from segue.contract.model import SessionModel
from segue.data.corpus import Corpus, Sessions
from segue.lean.hg_gnn import LeanHGGNN
from segue.lean.live.model import LiveHGGNN
from segue.models.hg_gnn import HGGNN

ITEMS = 40
OPTIONS = {"memory_items": 6, "history_half_life": "30d", "trend_half_life": "8d"}
"""Few items per row, so that many a row is cut; half-lives that are the same for both logs."""


@dataclass(frozen=True)
class World:
    """live: the model of train with the later sessions added. recounted: the same weights, counted on all of them."""

    corpus: Corpus
    later: Sessions
    live: LiveHGGNN
    recounted: LeanHGGNN
    model: SessionModel


def corpus_of(seed: int) -> Corpus:
    """Users with sessions of 1 to 12 items, repeats among them; the last sessions are live."""
    random = np.random.default_rng(seed)
    popularity = 1 / np.arange(1, ITEMS + 1)
    users = [
        [random.choice(ITEMS, random.integers(1, 13), p=popularity / popularity.sum()).tolist() for _ in range(12)]
        for _ in range(8)
    ]
    starts = [[(12 * number + user) * DAY // 3 for number in range(12)] for user in range(8)]
    return worlds.corpus_of(users, [[TRAIN] * 7 + [TEST] * 5] * 8, n_items=ITEMS, starts=starts)


def lean(model: SessionModel) -> LeanHGGNN:
    found = lean_models.lean_of(model)
    assert isinstance(found, LeanHGGNN)
    return found


def add(live: LiveHGGNN, sessions: Sessions, chosen: Sequence[int] | None = None) -> None:
    """Add sessions, event by event and in the order of their times."""
    numbers = range(len(sessions)) if chosen is None else chosen
    cells = [(int(sessions.times[c]), s, c) for s in numbers for c in range(*sessions.offsets[s : s + 2].tolist())]
    taken: dict[int, list[int]] = {}
    for time, session, cell in sorted(cells):
        items = taken.setdefault(session, [])
        items.append(int(sessions.items[cell]))
        live.add(items, len(items) - 1)
        live.happened(items[-1], time)


def counted_on(model: HGGNN, corpus: Corpus) -> LeanHGGNN:
    """A lean model with these weights whose tables were counted on all sessions of a corpus."""
    name = "memory" if not model.config.embeddings else "segue"
    other = worlds.fitted({"model": {**worlds.small("hg_gnn", name)["model"], **OPTIONS}}, corpus)
    assert isinstance(other, HGGNN)
    arrays = model.arrays()
    tables = ("recall.pairs", "recall.periods", "recall.support", "recall.degree")
    arrays |= {name: array for name, array in other.arrays().items() if name.startswith(tables)}
    made = worlds.fitted({"model": {**worlds.small("hg_gnn", name)["model"], **OPTIONS}}, corpus)
    made.restore(arrays, model.n_items, model.n_users)
    return lean(made)


@cache
def world(preset: str = "memory", seed: int = 0) -> World:
    """A world of a preset; not to be changed by a test."""
    corpus = corpus_of(seed)
    model = worlds.fitted({"model": {**worlds.small("hg_gnn", preset)["model"], **OPTIONS}}, corpus)
    assert isinstance(model, HGGNN)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.2 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(seed)))
    later = corpus.select(TEST)
    live = LiveHGGNN(lean(model), corpus.train)
    add(live, later)
    return World(corpus, later, live, counted_on(model, corpus.with_train([TRAIN, TEST])), model)

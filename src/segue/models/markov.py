"""First-order Markov and sequential rules: which items followed the last one, how often, and how soon.

Sequential rules (Ludewig & Jannach 2018) count every pair of a session, 1 / distance each.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from pydantic import Field
from scipy import sparse
from torch import Tensor

from segue.contract.model import ModelConfig, Overrides, SessionModel
from segue.data.batches import Batch, Window
from segue.data.corpus import Corpus, Sessions
from segue.data.stored import Layout
from segue.nn.encoding import ScoreParts
from segue.nn.popularity import relative_popularity
from segue.nn.sparse_rows import SparseRows
from segue.settings.search_space import Between, Space


class MarkovConfig(ModelConfig):
    """Options of Markov chains and sequential rules: how far a rule reaches, and how items without a rule rank."""

    window: Window = Window(length=1)
    """Items of the running session that are looked at; only the last one counts."""
    steps: int = Field(1, ge=1, le=20)
    """The largest distance from the last item to one that follows; 1: transitions alone."""
    fill: Literal["popularity", "none"] = "popularity"
    """Ranking of items that never followed the last one: "popularity" ranks them below all others by train popularity,
    which also decides between equal counts."""


class Markov(SessionModel):
    """score(j) = T[v_l, j] + fill(j); T[i, j] = Σ of 1 / distance, at most `steps`, from each i to each j after it.

    Repeats count as they come. All T are fractions over L = lcm(1 .. steps), and fill is popularity in [0, 1 / L).
    """

    Config = MarkovConfig
    config: MarkovConfig
    title: ClassVar[str] = "Markov"
    presets: ClassVar[Mapping[str, Overrides]] = {
        "first_order": {},
        "sequential_rules": {"model": {"steps": 10}},
    }
    space: ClassVar[Space] = {"model.steps": Between(1, 20)}
    spaces: ClassVar[Mapping[str, Space]] = {"first_order": {}}
    lean_form: ClassVar[str | None] = "markov"

    def __init__(self, config: MarkovConfig) -> None:
        super().__init__(config)
        self._transitions = SparseRows.from_matrix(sparse.csr_array((0, 0)))
        self._fill = torch.zeros(0, dtype=torch.float64)

    def fit(self, corpus: Corpus) -> None:
        """Count the pairs of train."""
        self.n_items, self.n_users = corpus.n_items, corpus.n_users
        self._transitions = SparseRows.from_matrix(_rules(corpus.train, corpus.n_items, self.config.steps))
        popularity = relative_popularity(corpus.item_support) * (self.config.fill == "popularity")
        smallest = 1 / math.lcm(*range(1, self.config.steps + 1))
        self._fill = torch.from_numpy(popularity * smallest)

    def scores(self, batch: Batch) -> Tensor:
        """Scores of all items, [events, items] float64; an empty prefix gets the fill alone."""
        device = batch.items.device
        scores = self._fill.to(device).repeat(len(batch), 1)
        event = torch.nonzero(batch.position >= 0).squeeze(1)
        last = batch.items[batch.row[event], batch.position[event]]
        self._transitions.to(device).add_to(scores, event, last, scores.new_ones(len(event)))
        return scores

    def parts(self, batch: Batch, items: Tensor) -> ScoreParts:
        """The transition from the last item, and the fill."""
        length = int(batch.position[0]) + 1
        transition = torch.zeros(len(items), length, dtype=torch.float64, device=items.device)
        if length:
            last = batch.items[batch.row, batch.position]
            transition[:, -1] = self._transitions.to(items.device).block(last, items)[0]
        base = self._fill.to(items.device)[items]
        return ScoreParts(session={"transition": transition}, base=base, popularity=self.config.fill == "popularity")

    def arrays(self) -> dict[str, Tensor]:
        """The counts as CSR, and the fill."""
        return {**self._transitions.arrays(), "fill": self._fill}

    def restore(self, arrays: Mapping[str, Tensor], n_items: int, n_users: int) -> None:
        """Take back what :meth:`arrays` returned."""
        self._transitions = SparseRows.from_arrays(arrays, n_items, fill=Layout(torch.float64, (n_items,)))
        self._fill = arrays["fill"]
        self.n_items, self.n_users = n_items, n_users

    def statistics(self) -> dict[str, Any]:
        """Number of pairs seen, and the sum of their weights."""
        return {"transitions": len(self._transitions.items), "weight": float(self._transitions.values.sum())}


def _rules(sessions: Sessions, n_items: int, steps: int) -> sparse.csr_array:
    """Transition matrix T [items, items].

    Counted in whole parts of 1 / lcm(1 .. steps), so that equal fractions are equal floats.
    """
    parts = math.lcm(*range(1, steps + 1))
    session = np.repeat(np.arange(len(sessions)), sessions.lengths)
    total = sparse.csr_array((n_items, n_items))
    for distance in range(1, steps + 1):
        before = np.flatnonzero(session[distance:] == session[:-distance])
        pairs = (sessions.items[before], sessions.items[before + distance])
        weight = np.full(len(before), float(parts // distance))
        total = total + sparse.coo_array((weight, pairs), shape=(n_items, n_items)).tocsr()
    total.data /= parts
    return total


Model = Markov

"""First-order Markov: which item followed the last one, and how often."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from scipy import sparse
from torch import Tensor

from segue.data.batches import Batch, Window
from segue.data.corpus import Corpus, Sessions
from segue.nn.protocol import ModelConfig, Overrides, Parts, SessionModel
from segue.nn.sparse_rows import SparseRows
from segue.settings import GraphSettings, PreparationSettings


class MarkovConfig(ModelConfig):
    """What ranks the items that never followed the last one."""

    window: Window = Window(length=1)
    fill: Literal["popularity", "none"] = "popularity"
    """popularity: train popularity in [0, 1), below every count; it also decides between equal counts."""


class Markov(SessionModel):
    """score(j) = T[v_l, j] + fill(j); T counts the transitions of train sessions, immediate repeats as they come."""

    Config = MarkovConfig
    config: MarkovConfig
    presets: ClassVar[Mapping[str, Overrides]] = {"first_order": {}}

    def __init__(self, config: MarkovConfig, graph: GraphSettings) -> None:
        super().__init__(config, graph)
        self._transitions = SparseRows.from_matrix(sparse.csr_array((0, 0)))
        self._fill = torch.zeros(0, dtype=torch.float64)

    def fit(self, corpus: Corpus, preparation: PreparationSettings) -> None:
        """Count the transitions of train."""
        self.n_items, self.n_users = corpus.n_items, corpus.n_users
        self._transitions = SparseRows.from_matrix(_transition_counts(corpus.train, corpus.n_items))
        support = corpus.item_support * (self.config.fill == "popularity")
        self._fill = torch.from_numpy(support / (support.max(initial=0) + 1.0))

    def scores(self, batch: Batch) -> Tensor:
        """[events, items] float64; an empty prefix gets the fill alone."""
        device = batch.items.device
        scores = self._fill.to(device).repeat(len(batch), 1)
        event = torch.nonzero(batch.position >= 0).squeeze(1)
        last = batch.items[batch.row[event], batch.position[event]]
        self._transitions.to(device).add_to(scores, event, last, scores.new_ones(len(event)))
        return scores

    def parts(self, batch: Batch, items: Tensor) -> Parts:
        """The transition from the last item, and the fill."""
        length = int(batch.position[0]) + 1
        transition = torch.zeros(len(items), length, dtype=torch.float64, device=items.device)
        if length:
            last = batch.items[batch.row, batch.position]
            transition[:, -1] = self._transitions.to(items.device).block(last, items)[0]
        base = self._fill.to(items.device)[items]
        return Parts(session={"transition": transition}, base=base, popularity=self.config.fill == "popularity")

    def arrays(self) -> dict[str, Tensor]:
        """The counts as CSR, and the fill."""
        return {**self._transitions.arrays(), "fill": self._fill}

    def restore(self, arrays: Mapping[str, Tensor], n_items: int, n_users: int) -> None:
        """The inverse of :meth:`arrays`."""
        self._transitions, self._fill = SparseRows.from_arrays(arrays), arrays["fill"]
        self.n_items, self.n_users = n_items, n_users

    def statistics(self) -> dict[str, Any]:
        """How many pairs were seen, and how often in all."""
        return {"transitions": len(self._transitions.items), "events": int(self._transitions.values.sum())}


def _transition_counts(sessions: Sessions, n_items: int) -> sparse.csr_array:
    """T [items, items]: how often j came directly after i inside a session."""
    inside = np.ones(len(sessions.items), dtype=np.bool_)
    inside[sessions.offsets[1:] - 1] = False
    before = np.flatnonzero(inside)
    pairs = (sessions.items[before], sessions.items[before + 1])
    return sparse.coo_array((np.ones(len(before)), pairs), shape=(n_items, n_items)).tocsr()


Model = Markov

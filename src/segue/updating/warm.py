"""Where the weights of today's model begin: at yesterday's, row by row."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from segue.artifact.model_folder import Artifact
from segue.contract.encoder import SessionEncoder
from segue.contract.model import SessionModel
from segue.data.arrays import IntArray
from segue.data.corpus import Corpus, Sessions
from segue.graph.attributes import values_of
from segue.graph.tables import ITEM, USER


@dataclass(frozen=True)
class Warm:
    """What a training begins with, and learns.

    Attributes:
        old: yesterday's model, whose items and known users have the same numbers in today's corpus.
        replay: the share of the sessions that it was trained on which are learned again.
        seed: they are drawn by it.
    """

    old: Artifact
    replay: float
    seed: int

    def begin(self, model: SessionModel, corpus: Corpus) -> None:
        """Copy yesterday's weights into a fitted model; rows of new items, users and values stay as they were drawn.

        A model that only counts has none.
        """
        if not isinstance(model, SessionEncoder):
            return
        old, own = self.old.model, {**dict(model.named_parameters()), **dict(model.named_buffers())}
        arrays, rows = old.arrays(), old.rows
        with torch.no_grad():
            for name in sorted(old.learned):
                source, target = arrays[name], own[name]
                if name in rows:
                    place = torch.from_numpy(self._places(rows[name], corpus))
                    target[place] = source.to(target)
                else:
                    target.copy_(source)

    def learned(self, corpus: Corpus) -> Sessions:
        """The train sessions that are learned: new ones, those that have grown, and a sample of the others."""
        train = corpus.train
        known = np.isin(_keys(train), _keys(self.old.history))
        again = np.random.default_rng(self.seed).random(len(train)) < self.replay
        return train.take(np.flatnonzero(~known | again))

    def _places(self, axis: str, corpus: Corpus) -> IntArray:
        """For each row of an old array the row of the new one, see ``SessionModel.rows``."""
        if axis == ITEM:
            return np.arange(self.old.model.n_items)
        if axis == USER:
            return np.append(np.arange(self.old.model.n_users), corpus.n_users)  # the last one is everybody unknown
        owner, _, column = axis.partition(":")
        tables = (self.old.items, corpus.items) if owner == ITEM else (self.old.users, corpus.users)
        known = (self.old.model.n_users, corpus.n_users)
        before, now = (
            values_of((table if owner == ITEM else table.slice(0, count)).column(column)).to_pylist()
            for table, count in zip(tables, known, strict=True)
        )
        place = {value: row for row, value in enumerate(now)}
        return np.array([place[value] for value in before], dtype=np.int64)


def _keys(sessions: Sessions) -> Any:
    """A text for each session: user, first and last event. Those of users that no model knows may have moved, and are
    then learned again."""
    first, last = sessions.offsets[:-1], sessions.offsets[1:] - 1
    columns = (sessions.user, sessions.times[first], sessions.times[last], sessions.lengths, sessions.items[last])
    stacked = np.stack([column.astype(np.int64) for column in columns], axis=1)
    return np.ascontiguousarray(stacked).view(np.dtype((np.void, stacked.shape[1] * 8))).ravel()

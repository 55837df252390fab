"""A model that answers and goes on counting: items that are new get a number, and sessions are added to its memory."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from segue.errors import ConfigError
from segue.lean.hg_gnn import LeanHGGNN
from segue.lean.live.model import LiveHGGNN
from segue.lean.live.weights import LiveWeights
from segue.lean.model import Floats
from segue.serving.kin import Kin, read_items
from segue.serving.recommender import Recommender

MOST_NEW = 20_000
"""Most items that are new at a time; others are unknown until the next training."""


class LiveRecommender(Recommender):
    """A recommender over a memory of its own; the model that it was made from stays as it is.

    Args:
        weights: file of what earlier live events have taught, see :class:`segue.lean.live.weights.LiveWeights`.
        items: file with names and attributes of new items, see :class:`segue.serving.kin.Kin`.

    Raises ConfigError for a model without a memory of counts, and for weights that do not fit it; LogError for items
    that cannot be read.
    """

    def __init__(self, base: Recommender, weights: Path | None = None, items: Path | None = None) -> None:
        if not isinstance(base.model, LeanHGGNN) or base.model.counts is None:
            title = base.artifact.settings.model.name
            raise ConfigError(
                f"{base.artifact.folder} ({title}) has no memory of counts that could be live: leave --live out, or"
                " train a model of preset segue or memory"
            )
        self._happened: Counter[int] = Counter()
        self.live: LiveHGGNN = LiveHGGNN(base.model, base.artifact.history)
        if weights is not None:
            self.live.weigh(LiveWeights.read(weights, self.live.options))
        super().__init__(base.artifact, self.live)
        self.index, self.index_facts = base.index.over(self.live) if base.index else None, base.index_facts
        self._kin = Kin(read_items(items, base.artifact.settings), self.known_items) if items is not None else None
        if self._kin is not None:
            self._names.update(self._kin.names)

    def number(self, item: str) -> int | None:
        """The number of an item, trained or new; None for an unknown one."""
        return self.known_items.number(item)

    def id(self, number: int) -> str:
        """The id of an item."""
        return self.known_items.ids[number]

    def learn(self, item: str) -> int | None:
        """A number for an item that is unknown so far; None where there are too many new ones."""
        if len(self.known_items) - self.live.trained_items >= MOST_NEW:
            return None
        number = self.known_items.add(item)
        if self._kin is not None:
            self.live.resembles(number, *self._kin.of(item))
        return number

    def add(self, items: Sequence[int], first: int = 0) -> None:
        """Count the events of a session from place `first` on; those before it were counted."""
        self.live.add(items, first)

    def take_out(self, items: Sequence[int]) -> None:
        """Take a session that was added out of the counts of pairs."""
        self.live.take_out(items)

    def happened(self, item: int, time: int, sign: int = 1) -> None:
        """Count an event where popularity is counted, or take one out with `sign` -1."""
        self._happened[item] += sign
        self.live.happened(item, time, sign)

    def forget(self) -> None:
        """Forget all that was added, new items too."""
        self._happened.clear()
        self.known_items.cut(self.live.trained_items)
        self.live.forget()

    def new_items(self) -> list[str]:
        """Ids of the items that training has not seen, the oldest first."""
        return self.known_items.ids[self.live.trained_items :]

    def attributes_of(self, item: str) -> dict[str, str]:
        """What the file of new items says of one of them, beside its name."""
        return self._kin.values(item) if self._kin is not None else {}

    def events_of(self, item: str) -> int:
        """Live events of an item."""
        number = self.known_items.number(item)
        return self._happened[number] if number is not None else 0

    def _popular(self) -> Floats:
        found = np.concatenate([self._support, np.zeros(self.live.n_items - len(self._support), np.float32)])
        for item, events in self._happened.items():
            if item < len(found):  # else it is alone in its session so far
                found[item] += events
        return found

"""What can be looked up in a model: items and users by name, neighbours of an item, earlier sessions of a user."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from functools import cached_property
from itertools import chain, islice
from typing import cast

import numpy as np

from segue.data.arrays import IntArray
from segue.server.answers import Named, Neighbour, Relation
from segue.serving.recommender import Recommender

_NEIGHBOURS = 12
"""Most neighbours by one relation."""
_MOST_EVENTS = 20_000
"""Most events of an item, its last ones, that are read to find its neighbours."""
_WORDS = {
    "adjacent_in": "often comes right before it",
    "adjacent_out": "often comes right after it",
    "similar": "often shares sessions with it",
    "interacted_by": "comes back to it most often",
}


class Catalogue:
    """Look-ups over the vocabularies and the train sessions of a model.

    Neighbours are counted from the train sessions themselves, so that every model has them. They are those of the
    paper's relations; a graph keeps the strongest of them.
    """

    def __init__(self, recommender: Recommender) -> None:
        artifact = recommender.artifact
        self._history = artifact.history
        self.items, self.users = recommender.known_items, recommender.known_users
        self._item_name, self._history_of = recommender.name, recommender.history_of
        table = artifact.users
        names = table.column("name").to_pylist() if "name" in table.column_names else self.users.ids
        self._user_names = {user: name or user for user, name in zip(self.users.ids, names, strict=True)}
        self.support = np.bincount(self._history.items, minlength=len(self.items))

    @property
    def sizes(self) -> dict[str, int]:
        """Numbers of items, users, train sessions and train events."""
        events = len(self._history.items)
        return {"items": len(self.items), "users": len(self.users), "sessions": len(self._history), "events": events}

    def item_name(self, item: str) -> str:
        """Name of an item for people; the id where it has none, or is unknown."""
        return self._item_name(item)

    def user_name(self, user: str) -> str:
        """Name of a user for people; the id where they have none, or are unknown."""
        return self._user_names.get(user, user)

    def find_items(self, part: str, limit: int, new: Sequence[str] = ()) -> list[Named]:
        """Items whose name or id holds a text: exactly that one first, then beginnings, then the most popular, then
        those of the `new` ones."""
        found = _ordered(self._item_texts, part.casefold(), self._by_popularity)
        texts = [(self.item_name(item).casefold(), item.casefold()) for item in new]
        found_new = (new[number] for number in _ordered(texts, part.casefold(), range(len(new))))
        ids = chain((self.items.ids[number] for number in found), found_new)
        return [Named(id=item, name=self.item_name(item)) for item in islice(ids, limit)]

    def find_users(self, part: str, limit: int, others: Sequence[str] = ()) -> list[Named]:
        """Users whose name or id holds a text. `others` are users of live events that were found already."""
        found = _ordered(self._user_texts, part.casefold(), range(len(self.users)))
        known = [self.users.ids[number] for number in islice(found, limit)]
        new = [user for user in others if user not in self.users]
        return [Named(id=user, name=self.user_name(user)) for user in (*known, *new)][:limit]

    def trained_sessions(self, user: str) -> list[tuple[Sequence[str], int]]:
        """Items of each train session of a user, oldest session first, with the time of its last event."""
        sessions = self._history_of(user)
        return [(session.items, cast("Sequence[int]", session.times)[-1]) for session in sessions]

    def relations(self, item: str) -> list[Relation]:
        """The strongest neighbours of a known item by each relation that it has some of."""
        number = self.items.number(item)
        assert number is not None
        counts: dict[str, Counter[int]] = {name: Counter() for name in _WORDS}
        for session, start, end, places in self._visits(number):
            items = self._history.items[start:end].tolist()
            counts["adjacent_in"].update(items[place - 1] for place in places if place)
            counts["adjacent_out"].update(items[place + 1] for place in places if place + 1 < len(items))
            counts["similar"].update(set(items))
            user = int(self._history.user[session])
            if user < len(self.users):
                counts["interacted_by"][user] += len(places)
        found = [(name, self._neighbours(name, count, number)) for name, count in counts.items()]
        return [Relation(relation=name, text=_WORDS[name], neighbours=near) for name, near in found if near]

    def _neighbours(self, relation: str, counts: Counter[int], item: int) -> list[Neighbour]:
        """The most frequent ones, those with equal counts in the order of their numbers."""
        if relation != "interacted_by":
            counts.pop(item, None)
        best = sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))[:_NEIGHBOURS]
        ids, name = (
            (self.users.ids, self.user_name) if relation == "interacted_by" else (self.items.ids, self.item_name)
        )
        return [Neighbour(id=ids[number], name=name(ids[number]), weight=weight) for number, weight in best]

    def _visits(self, item: int) -> Iterator[tuple[int, int, int, list[int]]]:
        """The sessions of an item: number, first and last cell, and its places in the session."""
        order, starts = self._cells_by_item
        cells = np.sort(order[starts[item] : starts[item + 1]])[-_MOST_EVENTS:]
        sessions = np.searchsorted(self._history.offsets, cells, side="right") - 1
        for session in np.unique(sessions).tolist():
            start, end = int(self._history.offsets[session]), int(self._history.offsets[session + 1])
            yield session, start, end, (cells[sessions == session] - start).tolist()

    @cached_property
    def _cells_by_item(self) -> tuple[IntArray, IntArray]:
        """Cells of the history in the order of their items, and where each item's begin."""
        order = np.argsort(self._history.items, kind="stable")
        return order, np.concatenate([[0], np.cumsum(self.support)])

    @cached_property
    def _by_popularity(self) -> list[int]:
        return [int(number) for number in np.argsort(-self.support, kind="stable")]

    @cached_property
    def _item_texts(self) -> list[tuple[str, str]]:
        return [(self.item_name(item).casefold(), item.casefold()) for item in self.items.ids]

    @cached_property
    def _user_texts(self) -> list[tuple[str, str]]:
        return [(self.user_name(user).casefold(), user.casefold()) for user in self.users.ids]


def _ordered(texts: Sequence[tuple[str, str]], part: str, order: Sequence[int]) -> Iterator[int]:
    """Numbers of the texts that hold a part: equal ones first, then those that begin with it, then the others."""
    holding = [number for number in order if part in texts[number][0] or part in texts[number][1]]
    ranks = [
        (0 if part in texts[number] else 1 if any(text.startswith(part) for text in texts[number]) else 2)
        for number in holding
    ]
    for rank in range(3):
        yield from (number for number, each in zip(holding, ranks, strict=True) if each == rank)

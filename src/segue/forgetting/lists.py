"""The lists of other people before and after: how many change, and by how much a score does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from segue.serving.asking import Request
from segue.serving.recommender import Recommender

K = 20
"""Places of a list."""
SAMPLE = 200
"""Most people whose lists are compared."""


@dataclass(frozen=True)
class ListsCompared:
    """What became of the lists of others.

    Attributes:
        people: whose lists were compared. known: all that there are. k: places of a list.
        changed: lists that hold other items, or the same ones in another order. with_other_items: the first alone.
        kept_items: share of the items of the lists before that also stand in the lists after, averaged.
        largest_change: of the score of an item that stands in both lists of a person, in the units of the model's
            scores; size_of_scores: the largest score of a list before, without its sign, to compare it with.
    """

    people: int
    known: int
    k: int
    changed: int
    with_other_items: int
    kept_items: float
    largest_change: float
    size_of_scores: float

    @property
    def words(self) -> str:
        """The comparison in one sentence."""
        share = 100 * self.changed / max(self.people, 1)
        return (
            f"the {self.k} best items of {self.people:,} of {self.known:,} others, asked from their own history: "
            f"{self.changed:,} lists changed ({share:.1f} %), {self.with_other_items:,} of them to other items; "
            f"{100 * self.kept_items:.1f} % of the items stayed; the score of an item in both lists changed by at most"
            f" {self.largest_change:.3g}, scores reach {self.size_of_scores:.3g}"
        )


def compare_lists(before: Path, after: Path) -> ListsCompared:
    """Ask both models for the lists of the same people, at the same time: some known users of the new one."""
    old, new = Recommender.load(before), Recommender.load(after)
    known = new.known_users.ids[: new.model.n_users]
    chosen = np.sort(np.random.default_rng(0).permutation(len(known))[:SAMPLE])
    requests = [Request(known[user], (), K, time=old.trained_until, explain=False) for user in chosen.tolist()]
    lists = [[{each.item: each.score for each in answer} for answer in model.recommend_many(requests)]
             for model in (old, new)]  # fmt: skip
    return _compared(list(zip(*lists, strict=True)), len(known))


def _compared(pairs: Sequence[tuple[dict[str, float], dict[str, float]]], known: int) -> ListsCompared:
    kept = [len(a.keys() & b.keys()) / max(len(a), 1) for a, b in pairs]
    changes = [abs(a[item] - b[item]) for a, b in pairs for item in a.keys() & b.keys()]
    return ListsCompared(
        people=len(pairs),
        known=known,
        k=K,
        changed=sum(list(a) != list(b) for a, b in pairs),
        with_other_items=sum(a.keys() != b.keys() for a, b in pairs),
        kept_items=float(np.mean(kept)) if kept else 1.0,
        largest_change=max(changes, default=0.0),
        size_of_scores=max((abs(score) for a, _ in pairs for score in a.values()), default=0.0),
    )

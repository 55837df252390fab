"""What a session adds to the counts of pairs: which items it holds, and which come after which."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from segue.graph.tables import FARTHEST, UNIT

Pair = tuple[str, int, int, int]
"""Table, row, item, and what is added there."""


def pairs_of(items: Sequence[int], first: int = 0) -> Iterator[Pair]:
    """What the events from place `first` on add to the counts that the events before them have made.

    T[a, b] for neighbours, O[a, b] = Σ 2520 / distance up to ten events apart, C[a, b] once per session; a is not b.
    """
    held = set(items[:first])
    for place in range(first, len(items)):
        item = items[place]
        for distance in range(1, min(place, FARTHEST) + 1):
            before = items[place - distance]
            if before == item:
                continue
            if distance == 1:
                yield "transition", before, item, 1
                yield "predecessor", item, before, 1
            yield "order", before, item, UNIT // distance
        if item not in held:
            for other in held:
                yield "basket", other, item, 1
                yield "basket", item, other, 1
            held.add(item)

"""Counting models that are played as a live memory is: before each event a list, then the event is counted."""

from __future__ import annotations

from collections import Counter, defaultdict, deque
from collections.abc import Callable
from typing import Protocol

import numpy as np

from segue.data.arrays import FloatArray, IntArray
from segue.evaluation.metrics import CUTOFFS
from segue.replay.events import Stream

Session = list[str]


class Rival(Protocol):
    """Scores items for a session, and takes events."""

    def scores(self, session: Session, time: int) -> dict[str, float]:
        """Scores of items; those that are left out come after all others, by popularity."""

    def take(self, session: Session, item: str, time: int) -> None:
        """Count an event; `session` is what came before it."""


class Markov:
    """T[last item, i]: how often i directly followed."""

    def __init__(self) -> None:
        self._following: dict[str, Counter[str]] = defaultdict(Counter)

    def scores(self, session: Session, time: int) -> dict[str, float]:
        """T of the last item."""
        return {item: float(count) for item, count in self._following[session[-1]].items()}

    def take(self, session: Session, item: str, time: int) -> None:
        """Count the transition."""
        if session and session[-1] != item:
            self._following[session[-1]][item] += 1


class RecentPopularity:
    """Σ over the events of i of 2^(-age / half-life)."""

    def __init__(self, half_life: float) -> None:
        self._half_life = half_life
        self._count: dict[str, tuple[float, int]] = {}

    def scores(self, session: Session, time: int) -> dict[str, float]:
        """Decayed counts of all items."""
        return {item: self._decayed(item, time) for item in self._count}

    def take(self, session: Session, item: str, time: int) -> None:
        """Count the event."""
        self._count[item] = (self._decayed(item, time) + 1, time)

    def _decayed(self, item: str, time: int) -> float:
        count, at = self._count.get(item, (0.0, time))
        return count * 2 ** (-(time - at) / self._half_life)


class VSKNN:
    """score(i) = Σ over the 100 nearest sessions N that hold i of sim(N) · match(N) · (1 + idf(i)).

    sim(N) = Σ over shared items of p / n, over the distinct items of N; p: place of the item among the n of the running
    session. match(N) = 1 - 0.1 (n - p*), at least 0, p* the place of the last shared item. Compared are the 500 most
    recent sessions that share an item. A session can be a neighbour of others from its first event on.
    """

    _K, _SAMPLE, _KEPT = 100, 500, 5_000

    def __init__(self) -> None:
        self._sessions: list[list[str]] = []
        self._holding: dict[str, deque[int]] = defaultdict(lambda: deque(maxlen=self._KEPT))
        self._support: Counter[str] = Counter()
        self._number: dict[int, int] = {}

    def scores(self, session: Session, time: int) -> dict[str, float]:
        """Scores from the nearest sessions."""
        places = {item: place for place, item in enumerate(session, start=1)}
        own, n = self._number.get(id(session)), len(session)
        near: set[int] = set().union(*(self._holding[item] for item in places)) - {own}
        compared = sorted(near, reverse=True)[: self._SAMPLE]
        found = []
        for number in compared:
            held = set(self._sessions[number])
            shared = [places[item] for item in held if item in places]
            match = max(0.0, 1 - 0.1 * (n - max(shared)))
            found.append((sum(shared) / n / len(held), match, held))
        scores: dict[str, float] = defaultdict(float)
        total = len(self._sessions)
        for similarity, match, held in sorted(found, key=lambda pair: -pair[0])[: self._K]:
            for item in held:
                scores[item] += similarity * match * (1 + np.log(total / self._support[item]))
        return scores

    def take(self, session: Session, item: str, time: int) -> None:
        """Add the event to its session."""
        number = self._number.setdefault(id(session), len(self._sessions))
        if number == len(self._sessions):
            self._sessions.append([])
        if item not in self._sessions[number]:
            self._sessions[number].append(item)
            self._holding[item].append(number)
            self._support[item] += 1


RIVALS: dict[str, Callable[[float], Rival]] = {
    "Markov chain, live": lambda half_life: Markov(),
    "recent popularity, live": RecentPopularity,
    "V-SKNN, live": lambda half_life: VSKNN(),
}


def play_rival(
    rival: Rival, before: Stream, stream: Stream, gap: int, *, masked: bool, drop_repeats: bool
) -> tuple[IntArray, IntArray, int]:
    """Ranks and times of the measured events, as :func:`segue.replay.run.play` gives them; and how many were of an item
    that had not been seen.

    The events of `before` are taken without being measured. Equal scores count against the rival; items that it does
    not score tie behind all others with each other but for their popularity.
    """
    running: dict[str, tuple[int, Session]] = {}
    popularity: Counter[str] = Counter()
    ranks, times, unseen = [], [], 0
    for part, counts in ((before, False), (stream, True)):
        running.clear()  # a session that goes on at that moment begins anew, as in a server that starts then
        for event in part.events:
            last, session = running.get(event.session, (event.time, []))
            if event.time - last > gap:
                session = []
            if drop_repeats and session[-1:] == [event.item]:
                running[event.session] = (event.time, session)
                continue
            if counts and session:
                barred = session if masked else []
                ranks.append(_rank(rival.scores(session, event.time), popularity, event.item, barred))
                times.append(event.time)
                unseen += event.item not in popularity
            rival.take(session, event.item, event.time)
            popularity[event.item] += 1
            session.append(event.item)
            running[event.session] = (event.time, session)
    return np.array(ranks), np.array(times), unseen


def _rank(scores: dict[str, float], popularity: Counter[str], target: str, barred: Session) -> int:
    missed = max(len(popularity), max(CUTOFFS)) + 1
    if target not in popularity or target in barred:
        return missed
    most = max(popularity.values()) + 1
    candidates = [item for item in popularity if item not in barred]

    def score(item: str) -> float:
        return scores.get(item, 0.0) + popularity[item] / most * 1e-6

    values: FloatArray = np.array([score(item) for item in candidates])
    return int((values >= score(target)).sum())

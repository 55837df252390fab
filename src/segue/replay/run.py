"""Play events: before each one ask for a list as a page would, then take the event as the server does."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch

from segue.data.arrays import IntArray
from segue.data.batches import HistoryPolicy
from segue.errors import ArtifactError, UserMistake
from segue.evaluation.candidates import Masking, masks_session
from segue.evaluation.metrics import CUTOFFS, averages, conservative_rank
from segue.lean.hg_gnn.model import ScoredHGGNN
from segue.replay.events import Stream
from segue.server.bodies import Recommend
from segue.server.engine import Engine
from segue.server.service import Replaying, Service
from segue.server.settings import ServerSettings
from segue.server.store.event import Event
from segue.server.store.in_memory import MemoryStore

Mode = Literal["frozen", "live"]
_MOST_READ = 100_000
"""Events of a user or session that are read, as many as a server can be told to."""


@dataclass(frozen=True)
class Replay:
    """What a replay found.

    Attributes:
        model: its title. source: what was played. events: events that were taken. dropped: reason → rows of the log
            that were no events. unknown: measured events whose item the model did not know when it was asked.
        rank: of the measured items, conservative, in the order in which evaluation sums them up; an item that was
            unknown or no candidate counts as one beyond every list. time: of each of these events, epoch ms.
        warnings: what has to be said of the figures.
    """

    model: str
    mode: Mode
    history: HistoryPolicy
    masked: bool
    source: str
    events: int
    dropped: dict[str, int]
    unknown: int
    rank: IntArray
    time: IntArray
    warnings: Sequence[str] = ()

    def as_dict(self) -> dict[str, Any]:
        """The JSON shape of ``segue replay --json``. Raises UserMistake when nothing was measured."""
        if not len(self.rank):
            raise UserMistake(f"{self.source}: no event follows another of its session; there is nothing to measure")
        return {
            "model": self.model,
            "mode": self.mode,
            "history": self.history,
            "masked": self.masked,
            "source": self.source,
            "events": self.events,
            "measured": len(self.rank),
            "unknown": self.unknown,
            "dropped": self.dropped,
            "warnings": list(self.warnings),
            "metrics": averages(self.rank),
        }


class _Player:
    """The server's path with a clock of its own."""

    def __init__(self, engine: Engine, stream: Stream, history: HistoryPolicy) -> None:
        gap = max(engine.gap, stream.longest_pause)
        # All events that are played stay in the counts: what is measured does not depend on their number.
        live_events = max(100, len(stream.events))
        settings = ServerSettings(session_gap=f"{gap}ms", history_events=_MOST_READ, live_events=live_events)
        replaying = Replaying(history, stream.prepared)
        self._now, self._store, self._engine = 0, MemoryStore(), engine
        self._service = Service(engine, self._store, settings, lambda: self._now, replaying=replaying)
        self._sessions = self._service.sessions(engine)
        self.gap = self._sessions.gap

    def rank(self, event: Event, *, masked: bool, learn: bool) -> int | None:
        """The rank of an event's item before it happens; 0 where its model does not know the item, None where its
        session begins with it, or it is left out as a repeat. With `learn` it then teaches the live weights."""
        self._now = event.time
        asked = Recommend(user=event.user, session=event.session, exclude_seen="session" if masked else None)
        known = self._service.known(self._engine, asked)
        if not known.items or self._sessions.repeats(known.items[-1], event.item):
            return None
        target = self._engine.recommender.known_items.number(event.item)
        if target is None:
            return 0
        scored, scores, eligible = self._engine.scored(asked, known)
        if not np.isfinite(scores).all():
            raise ArtifactError("the model gives scores that are not finite; train it again")
        if learn and self._engine.live is not None and isinstance(scored, ScoredHGGNN):
            self._engine.live.live.learn(scored, target)
        missed = max(len(scores), max(CUTOFFS) + 1)
        if eligible is None:
            return _rank(scores, scores[target])
        return _rank(scores[eligible], scores[target]) if eligible[target] else missed

    def counts(self, event: Event) -> bool:
        """Whether the model was trained on events of this kind."""
        return self._sessions.counts(event)

    def take(self, event: Event) -> None:
        """The event happens."""
        self._store.append([[event]])


def _rank(scores: npt.NDArray[Any], at_target: Any) -> int:
    """Number of scores that are no smaller than the target's."""
    both = torch.from_numpy(np.append(scores, at_target))[None]
    return int(conservative_rank(both, torch.tensor([len(scores)]))) - 1


def play(
    engine: Engine,
    stream: Stream,
    *,
    history: HistoryPolicy = "rolling",
    mask_session: Masking = "auto",
    learn: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> Replay:
    """Play a stream against a model.

    Args:
        engine: the model, with a memory that goes on counting or not.
        history: "rolling": sessions that have ended are history, as with the server; "frozen": that of training alone.
        mask_session: see :func:`segue.evaluation.candidates.masks_session`.
        learn: whether each measured event, once it is measured, teaches the live weights.
        progress: called with (number of events done, number of all events).
    """
    masked = masks_session(mask_session, engine.facts["repeats_in_sessions"])
    player = _Player(engine, stream, history)
    places, ranks, times = [], [], []
    for done, (event, measured, place) in enumerate(
        zip(stream.events, stream.measured.tolist(), stream.place.tolist(), strict=True), start=1
    ):
        rank = player.rank(event, masked=masked, learn=learn) if measured and player.counts(event) else None
        if rank is not None:
            places.append(place)
            ranks.append(rank)
            times.append(event.time)
        player.take(event)
        if progress is not None and (done % 100 == 0 or done == len(stream.events)):
            progress(done, len(stream.events))
    order = np.argsort(places, kind="stable") if places else np.zeros(0, dtype=np.int64)
    found, time = (np.array(values, dtype=np.int64)[order] for values in (ranks, times))
    unknown = found == 0
    found[unknown] = max(engine.recommender.model.n_items, max(CUTOFFS) + 1)
    doubts = stream.doubts(engine.recommender.trained_until, player.gap)
    played = (stream.source, len(stream.events), dict(stream.dropped), int(unknown.sum()))
    return Replay(engine.title, "live" if engine.live else "frozen", history, masked, *played, found, time, doubts)

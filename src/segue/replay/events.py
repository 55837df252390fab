"""The events that are played: those of a model's own test part, or those of another log."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from segue.artifact.contents import Contents
from segue.data import engine
from segue.data.corpus import Corpus, Part, Sessions, load
from segue.data.lineage import LINEAGE
from segue.data.log.read import read_log
from segue.data.sources import raw_log
from segue.errors import ArtifactError
from segue.server.store.event import Event
from segue.settings import Settings

_ROWS = """
SELECT user_id, item_id, time, session_id, event_type FROM log ORDER BY time, event_row
"""


@dataclass(frozen=True)
class Stream:
    """Events in the order of their times.

    Attributes:
        source: what they are, in words.
        events: the events. measured: whether the list before an event is measured, bool [events]; others are only
            taken. place: of each event in what :func:`segue.evaluation.full_ranking.evaluate` measures, for sums in the
            same order; [events].
        prepared: whether these are sessions as a preparation has left them. longest_pause: within one of these, ms.
        dropped: reason → rows of the log that were no events.
        with_ids: whether sessions are those of a log's own ids.
    """

    source: str
    events: Sequence[Event]
    measured: npt.NDArray[np.bool_]
    place: npt.NDArray[np.int64]
    prepared: bool = False
    longest_pause: int = 0
    dropped: Mapping[str, int] = field(default_factory=dict)
    with_ids: bool = False

    def doubts(self, trained_until: int, gap: int) -> list[str]:
        """What has to be said of figures from these events, for a model that was trained until then (epoch ms) and a
        server that ends sessions after that gap (ms)."""
        if self.prepared:  # the split that the model's evaluation has too
            return []
        found = []
        known = sum(event.time <= trained_until for event in self.events)
        if known:
            end = f"{datetime.fromtimestamp(trained_until / 1000, UTC):%Y-%m-%d %H:%M:%S}"
            found.append(
                f"{known:,} of {len(self.events):,} events are not later than the end of training, {end}"
                " UTC: the model may know them, so the figures are no forecast; play later events alone"
            )
        longer = self._longer_pauses(gap) if self.with_ids else 0
        if longer:
            found.append(
                f"sessions were cut in {longer:,} places, where a session id pauses for more than {gap / 60_000:g}"
                " minutes: so does the server, whatever the ids of the log say"
            )
        return found

    def _longer_pauses(self, gap: int) -> int:
        last: dict[str, int] = {}
        longer = 0
        for event in self.events:
            longer += event.time - last.get(event.session, event.time) > gap
            last[event.session] = event.time
        return longer


def of_test_part(contents: Contents, *, with_validation: bool) -> Stream:
    """The test part of the corpus that a model was trained on.

    Args:
        with_validation: also take, unmeasured, the validation sessions, which lie between.

    Raises ArtifactError when the model was trained on that part, the corpus is gone, or has grown since and has no
    such part.
    """
    facts, folder = contents.facts, contents.folder
    trained_on = facts["trained_on"]
    if "test" in trained_on:
        raise ArtifactError(f"{folder} was trained on the test part too; replay a log of later events")
    own = folder / facts["corpus"]
    if not own.exists():
        raise ArtifactError(f"the corpus of {folder} is no longer at {own}; name a log of later events instead")
    parts = [Part.VALIDATION] if with_validation and "validation" not in trained_on else []
    corpus = load(own, (*parts, Part.TEST))
    if LINEAGE in corpus.manifest and not (corpus.part == Part.TEST).any():
        raise ArtifactError(
            f"{folder} has grown by segue update, so it has no test part: the days to come are its test; replay their"
            " log"
        )
    return _of_sessions(corpus, f"test part of {own}")


def _of_sessions(corpus: Corpus, source: str) -> Stream:
    sessions = corpus.sessions
    owner = np.repeat(np.arange(len(sessions)), sessions.lengths)
    order = np.lexsort((np.arange(len(owner)), sessions.times))
    item_ids, user_ids = corpus.item_ids, corpus.user_ids
    names = [f"{number}" for number in sessions.number.tolist()]
    users = [user_ids[user] for user in sessions.user.tolist()]
    events = [
        Event(names[session], item_ids[item], time, users[session])
        for session, item, time in zip(
            owner[order].tolist(), sessions.items[order].tolist(), sessions.times[order].tolist(), strict=True
        )
    ]
    first = np.zeros(len(owner), dtype=np.bool_)
    first[sessions.offsets[:-1]] = True
    measured = ~first & (corpus.part == Part.TEST)[owner]
    return Stream(source, events, measured[order], order, True, _longest_pause(sessions, owner))


def _longest_pause(sessions: Sessions, owner: npt.NDArray[Any]) -> int:
    within = owner[1:] == owner[:-1]
    return int(np.diff(sessions.times)[within].max(initial=0))


def of_log(log: Any, settings: Settings) -> Stream:
    """The events of a log, read with the columns and the form of times of some settings.

    Rows that are no events are left out and counted. Without session ids every user is a session, which the model's
    gap cuts. Raises LogError for a log that cannot be read.
    """
    with (
        tempfile.TemporaryDirectory(prefix="segue-replay-") as scratch,
        closing(engine.connect(settings.preparation, Path(scratch))) as connection,
    ):
        raw = raw_log(connection, log, Path(scratch), settings)
        found = read_log(
            connection, raw.events, settings.columns, settings.csv,
            drop_invalid=True, allow_missing_user=True, allow_missing_session=True, left_out=raw.left_out,
        )  # fmt: skip
        rows = connection.execute(_ROWS).fetchall()
    events = [
        Event(session if session is not None else f"of user {user}", item, time, user, kind)
        for user, item, time, session, kind in rows
        if user is not None or session is not None
    ]
    dropped = dict(found.facts.dropped)
    if len(events) < len(rows):
        dropped["neither user nor session"] = len(rows) - len(events)
    every = np.ones(len(events), dtype=np.bool_)
    with_ids = found.facts.has_session_id
    return Stream(found.facts.source, events, every, np.arange(len(events)), dropped=dropped, with_ids=with_ids)

"""Yesterday's model and today's on the newest sessions, event by event."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

import numpy as np

from segue.artifact.model_folder import Artifact
from segue.contract.model import SessionModel
from segue.data.arrays import IntArray
from segue.data.corpus import Corpus, Part, Sessions
from segue.errors import CorpusError
from segue.evaluation.candidates import masks_session
from segue.evaluation.full_ranking import Evaluation, evaluate
from segue.evaluation.metrics import CUTOFFS, averages
from segue.evaluation.significance import FEWEST, gain

METRIC = "HR@10"
"""What decides: the share of events whose target is among ten items."""
Verdict = Literal["promoted", "worse", "nothing new"]


@dataclass(frozen=True)
class Compared:
    """The two models on the sessions that neither has seen.

    Attributes:
        since: the sessions end from this time on, epoch ms. events, users: how many there are. unknown_targets: events
            about items that yesterday's model does not know, which count as its misses.
        before, after: metrics of yesterday's and today's model, over events.
        difference: today's less yesterday's mean :data:`METRIC` over users. interval: 95 %, users drawn again.
    """

    since: int
    events: int
    users: int
    unknown_targets: int
    before: Mapping[str, float]
    after: Mapping[str, float]
    difference: float
    interval: tuple[float, float]

    @property
    def worse(self) -> bool:
        """Whether today's model is worse: the whole interval lies below zero."""
        return self.interval[1] < 0

    def as_dict(self) -> dict[str, Any]:
        """The JSON shape."""
        return {"metric": METRIC, **asdict(self)}


def compare(old: Artifact, new: SessionModel, corpus: Corpus, label: str) -> tuple[Compared, Evaluation]:
    """Measure both on the test sessions that began after all that the old model was made from.

    Both look back at the same sessions, those of train and validation, and rank the items that they know. Returns the
    comparison, and the evaluation of the new model.

    Args:
        corpus: the grown one, in memory; numbers of items and known users are those of `old`, then new ones.

    Raises CorpusError where too few users are left for a verdict.
    """
    fitted = corpus.with_train([Part.TRAIN, Part.VALIDATION])
    begun = fitted.sessions.times[fitted.sessions.offsets[:-1]]
    seen = (fitted.part == Part.TEST) & (begun <= int(old.history.times.max()))
    fresh = replace(fitted, part=np.where(seen, np.int8(Part.VALIDATION), fitted.part))
    settings = old.settings.evaluation
    masked = masks_session(settings.mask_session, fresh.repeats_in_sessions)
    how: dict[str, Any] = {"history": settings.history, "mask_session": masked, "label": label}
    test = fresh.select(Part.TEST)
    users = len(np.unique(test.user))
    if users < FEWEST:
        raise CorpusError(
            f"{users} {'user has' if users == 1 else 'users have'} sessions that can be compared, a verdict needs"
            f" {FEWEST}; give the log of more days, or another --newest"
        )
    (before, _), (after, evaluation) = (ranks_of(model, fresh, **how) for model in (old.model, new))
    target = targets(test)
    user = np.repeat(test.user, test.lengths)[target].astype(np.int64)
    difference = gain(METRIC, after, before, user)
    found = Compared(
        since=int(test.times[test.offsets[1:] - 1].min()),
        events=len(target),
        users=difference.users,
        unknown_targets=int((test.items[target] >= old.model.n_items).sum()),
        before=averages(before),
        after=averages(after),
        difference=difference.by_user,
        interval=difference.by_user_interval,
    )
    return found, evaluation


def ranks_of(model: SessionModel, corpus: Corpus, **how: Any) -> tuple[IntArray, Evaluation]:
    """The rank of every target of test, in the order of :func:`targets`, by a model that knows but the first items and
    users of a corpus; beyond every cut-off where it knows not the target, or nothing before it. And its evaluation.

    Args:
        how: as for :func:`segue.evaluation.full_ranking.evaluate`.
    """
    view, cells = _as_known(corpus, model.n_items, model.n_users)
    found = evaluate(model, view, Part.TEST, **how)
    test = corpus.select(Part.TEST)
    rank = np.full(len(test.items), max(corpus.n_items, max(CUTOFFS)) + 1, dtype=np.int64)
    rank[cells[found.events.first + found.events.position + 1]] = found.rank
    return rank[targets(test)], found


def targets(sessions: Sessions) -> IntArray:
    """Where the targets are among the flat events of some sessions: all but the first of each."""
    marks = np.ones(len(sessions.items), dtype=np.bool_)
    marks[sessions.offsets[:-1]] = False
    return np.flatnonzero(marks)


def _as_known(corpus: Corpus, n_items: int, n_users: int) -> tuple[Corpus, IntArray]:
    """The corpus as a model of the first items and users sees it; and of each test event that is left its place among
    the flat test events of `corpus`."""
    sessions, known = corpus.sessions, corpus.sessions.items < n_items
    test = np.repeat(corpus.part == Part.TEST, sessions.lengths)
    own = replace(sessions, number=np.arange(len(sessions)))
    kept = own.keep_events(known, 1)
    enough = (kept.lengths > 1) | (corpus.part[kept.number] != Part.TEST)
    kept = kept.take(np.flatnonzero(enough))
    part = corpus.part[kept.number]
    numbered: Sessions = replace(kept, number=sessions.number[kept.number])
    view = replace(corpus, items=corpus.items.slice(0, n_items), sessions=numbered, part=part, n_users=n_users)
    flat = np.cumsum(test) - 1
    marked = replace(own, items=flat.astype(np.int32)).keep_events(known, 1).take(np.flatnonzero(enough))
    cells: IntArray = marked.take(np.flatnonzero(part == Part.TEST)).items.astype(np.int64)
    return view, cells

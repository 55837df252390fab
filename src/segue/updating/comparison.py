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
from segue.evaluation.significance import FEWEST, differences, user_means

METRIC = "HR@10"
"""What decides: the share of events whose target is among ten items."""
Verdict = Literal["promoted", "worse", "nothing new"]


@dataclass(frozen=True)
class Compared:
    """The two models on the sessions that neither has seen.

    Attributes:
        events, users: how many there are. unknown_targets: events about items that yesterday's model does not know,
            which count as its misses.
        before, after: metrics of yesterday's and today's model, over events.
        difference: today's less yesterday's mean :data:`METRIC` over users. interval: 95 %, users drawn again.
    """

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
    users = len(np.unique(fresh.select(Part.TEST).user))
    if users < FEWEST:
        raise CorpusError(
            f"{users} users have sessions that can be compared, a verdict needs {FEWEST}; raise --newest, or give the"
            " log of more days"
        )
    after = evaluate(new, fresh, Part.TEST, **how)
    as_before, cells = _as_known(fresh, old.model.n_items, old.model.n_users)
    before = evaluate(old.model, as_before, Part.TEST, **how)
    rank = _aligned(after, before, cells)
    user = after.events.user
    difference = differences(user_means([after.rank], user), {"before": user_means([rank], user)})["before"][METRIC]
    found = Compared(
        events=len(rank),
        users=difference.users,
        unknown_targets=int((after.events.target >= old.model.n_items).sum()),
        before=averages(rank),
        after=averages(after.rank),
        difference=difference.by_user,
        interval=difference.by_user_interval,
    )
    return found, after


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


def _aligned(after: Evaluation, before: Evaluation, cells: IntArray) -> IntArray:
    """The ranks of `before` for the events of `after`; beyond every cut-off where it has no such event."""
    missed = max(after.corpus.n_items, max(CUTOFFS)) + 1
    by_cell = np.full(int(after.corpus.select(Part.TEST).offsets[-1]), missed, dtype=np.int64)
    by_cell[cells[before.events.first + before.events.position + 1]] = before.rank
    return np.asarray(by_cell[after.events.first + after.events.position + 1])

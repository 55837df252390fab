"""The measurement of a model on events it has not seen: the rank of every target among all items, and metrics of it.

All items are candidates, ties count against the model, non-finite scores are refused, and every model sees the same
events: :func:`event_hash` says so. Test data enters a program here and nowhere else.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from segue.contract.model import SessionModel
from segue.data.arrays import IntArray
from segue.data.batches import HistoryPolicy
from segue.data.corpus import Corpus, Part, Sessions
from segue.data.lineage import LINEAGE
from segue.data.loader import Loader
from segue.distributed.processes import ALONE, Processes
from segue.errors import CorpusError
from segue.evaluation.candidates import Candidates, Masking, masks_session
from segue.evaluation.discovery import Discoveries
from segue.evaluation.measurement import Discovery, Measurement
from segue.evaluation.metrics import averages
from segue.evaluation.ranking import Ranking
from segue.evaluation.slices import SLICES, Events, events_of, slice_column, slice_columns

logger = logging.getLogger("segue")

TIE_METRICS = ("HR@20", "MRR@20")
SUSPICIOUS_GAP = 0.0005
"""Largest difference between standard and conservative metrics that is not reported; a larger one means saturated or
constant scores."""


@dataclass(frozen=True)
class Skipped:
    """Numbers of clicks on items unseen in train, and of sessions too short without these; no model could know them."""

    clicks: int = 0
    sessions: int = 0


def evaluation_sessions(corpus: Corpus, part: Part) -> tuple[Sessions, Skipped]:
    """The sessions of a part that are played, and what was left out of them.

    Clicks on validation items unseen in train are removed, then sessions with fewer than 2 clicks. The test part was
    treated so at preparation, against the vocabulary of train and validation.
    """
    sessions = corpus.select(part)
    if part != Part.VALIDATION:
        return sessions, Skipped()
    seen = corpus.item_support[sessions.items] > 0
    playable = sessions.keep_events(seen, min_length=2)
    return playable, Skipped(int((~seen).sum()), len(sessions) - len(playable))


def event_hash(sessions: Sessions) -> str:
    """sha256 over (session number, position, target) of every event: equal for all models that are compared."""
    return _hash(events_of(sessions))


def _hash(events: Events) -> str:
    keys = np.stack([events.session, events.position, events.target], axis=1)
    return hashlib.sha256(keys.astype("<i8").tobytes()).hexdigest()


@dataclass(frozen=True, eq=False)
class Evaluation:
    """The ranks of one model on one part of a corpus.

    Attributes:
        model: label of the model.
        masked: whether items of the running session were no candidates.
        rank: conservative rank, from 1, int64 [events]; where the target itself was masked, one beyond every cut-off.
        standard_rank: the rank with ties counted for the model, int64 [events].
        slices: for each of ``slices.SLICES`` the slice of each event, [events].
        seconds: time spent on scores, from the snapshot on; ranking them is not counted.
        coverage: share of the items that any top-k list shows, where that was measured.
        discoveries: the places in lists that reserve some for new items, where such lists were measured.
    """

    model: str
    part: Part
    history: HistoryPolicy
    masked: bool
    corpus: Corpus = field(repr=False)
    events: Events = field(repr=False)
    skipped: Skipped
    rank: IntArray = field(repr=False)
    standard_rank: IntArray = field(repr=False)
    slices: Mapping[str, IntArray] = field(repr=False)
    seconds: float = 0.0
    coverage: Mapping[str, float] | None = None
    discoveries: Discoveries | None = field(default=None, repr=False)

    def write_ranks(self, path: Path) -> None:
        """Write Parquet with one row per event: user (id), session (number), position, target (item id), rank.

        The slice of the event follows for each of ``slices.SLICES``, as text, in a column such as ``slice_target``.
        """
        columns = {
            "user": _ids(self.corpus.user_ids, self.events.user),
            "session": pa.array(self.events.session),
            "position": pa.array(self.events.position),
            "target": _ids(self.corpus.item_ids, self.events.target),
            "rank": pa.array(self.rank),
            **{slice_column(kind): _ids(labels, self.slices[kind]) for kind, labels in SLICES.items()},
        }
        pq.write_table(pa.table(columns), path)

    def tie_gap(self) -> dict[str, float]:
        """How much better the metrics would look with ties counted for the model."""
        lenient, strict = averages(self.standard_rank), averages(self.rank)
        return {name: lenient[name] - strict[name] for name in TIE_METRICS}

    def measurement(self) -> Measurement:
        """All averages. Raises CorpusError when there was nothing to measure."""
        if not len(self.rank):
            advice = "prepare it with weaker filters or a larger share"
            if LINEAGE in self.corpus.manifest and self.part == Part.TEST:
                advice = (
                    "it has grown by segue update, so the days to come are its test: give their log to the next update,"
                    " which says how this model ranks them"
                )
            raise CorpusError(
                f"the {self.part.name.lower()} part of the corpus holds no session that can be measured; {advice}"
            )
        settings = self.corpus.manifest.get("settings", {})
        return Measurement(
            split=self.part.name.lower(),
            protocol=settings.get("split", {}).get("protocol"),
            history=self.history,
            model=self.model,
            corpus_fingerprint=self.corpus.fingerprint,
            events=len(self.events),
            sessions=len(np.unique(self.events.session)),
            users=len(np.unique(self.events.user)),
            metrics=averages(self.rank),
            metrics_by_session=averages(self.rank, self.events.session),
            metrics_by_user=averages(self.rank, self.events.user),
            slices=self._by_slice(lambda chosen: averages(self.rank[chosen])),
            masked=self.masked,
            event_hash=_hash(self.events),
            tie_gap=self.tie_gap(),
            skipped=asdict(self.skipped),
            coverage=dict(self.coverage) if self.coverage is not None else None,
            discovery=self._discovery(self.discoveries) if self.discoveries else None,
        )

    def as_dict(self) -> dict[str, Any]:
        """All averages in the JSON shape. Raises CorpusError when there was nothing to measure."""
        return self.measurement().as_dict()

    def _discovery(self, found: Discoveries) -> Discovery:
        places = {str(k): number for k, number in found.reserved.items()}
        return Discovery(found.share, places, found.averages(), self._by_slice(found.averages))

    def _by_slice(self, averages_of: Callable[[IntArray], dict[str, float]]) -> dict[str, dict[str, dict[str, float]]]:
        """Kind of slice → slice → its events and the metrics of these events; slices without an event are left out."""
        by_kind: dict[str, dict[str, dict[str, float]]] = {}
        for kind, labels in SLICES.items():
            chosen = {label: np.flatnonzero(self.slices[kind] == code) for code, label in enumerate(labels)}
            by_kind[kind] = {
                label: {"events": len(events), **averages_of(events)} for label, events in chosen.items() if len(events)
            }
        return by_kind


def evaluate(
    model: SessionModel,
    corpus: Corpus,
    part: Part,
    *,
    history: HistoryPolicy = "frozen",
    mask_session: Masking = "auto",
    progress: Callable[[int, int], None] | None = None,
    device: torch.device | None = None,
    label: str | None = None,
    coverage: bool = False,
    discover: float | None = None,
    users: IntArray | None = None,
    processes: Processes = ALONE,
) -> Evaluation:
    """Rank the target of every event of `part` among all items, each event once.

    Args:
        model: fitted or trained on the train part of `corpus`; its training mode is as before afterwards.
        history: what the model may look back at: train alone, or every earlier session of the user.
        mask_session: see :func:`segue.evaluation.candidates.masks_session`.
        progress: called with (number of events done, number of all events).
        device: where the model is; unset: the CPU.
        label: name of the model in the result; unset: the name of its module.
        coverage: also measure which items stand in the lists, which takes one more sort.
        discover: also measure lists that reserve this share of their places for items new to the user.
        users: numbers of the users whose sessions alone are measured; unset: everybody.
        processes: those that share the work; all of them must ask for the same, and all get the whole result.

    Raises ModelError when scores are not finite, or not [events, items].
    """
    sessions, skipped = evaluation_sessions(corpus, part)
    if users is not None:
        sessions = sessions.take(np.flatnonzero(np.isin(sessions.user, users)))
    events = events_of(sessions)
    label = label or type(model).__module__.rpartition(".")[2]
    masked = masks_session(mask_session, corpus.repeats_in_sessions)
    loader = Loader(corpus, sessions, model.config.window.length, policy=history, device=device)
    candidates = Candidates(sessions, events, masked)
    ranking = Ranking(model, label, events, candidates, corpus.n_items, coverage=coverage, discover=discover)
    ranking.run(loader, progress, processes)
    (rank, standard_rank), slices = ranking.ranks, slice_columns(corpus, events)
    measured = (rank, standard_rank, slices, ranking.seconds, ranking.shares(), ranking.discoveries)
    evaluation = Evaluation(label, part, history, masked, corpus, events, skipped, *measured)
    _report_ties(evaluation)
    return evaluation


def _report_ties(evaluation: Evaluation) -> None:
    if not len(evaluation.rank):
        return
    gap = evaluation.tie_gap()
    level = logging.WARNING if max(gap.values()) > SUSPICIOUS_GAP else logging.DEBUG
    text = ", ".join(f"{name} {100 * value:.3f}" for name, value in gap.items())
    logger.log(level, "%s: ties hide %s points (standard minus conservative)", evaluation.model, text)


def _ids(vocabulary: Sequence[str], numbers: IntArray) -> pa.Array:
    return pa.array(vocabulary, type=pa.string()).take(pa.array(numbers))

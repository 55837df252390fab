"""What a model does with users and items that it has never met, beside popularity and Markov: ``evaluate --cold``."""

from __future__ import annotations

import logging
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from segue import models
from segue.artifact.model_folder import read_facts
from segue.artifact.seal import check_seal
from segue.data.arrays import IntArray
from segue.data.batches import HistoryPolicy
from segue.data.corpus import Part, load
from segue.evaluation.candidates import Masking, masks_session
from segue.evaluation.cold import GROUPS, ITEMS, LIVE, OTHERS, UNKNOWN, Cold, Draw, check_measurable, hold_out
from segue.evaluation.full_ranking import Evaluation, evaluate, evaluation_sessions
from segue.evaluation.measurement import Metrics
from segue.evaluation.metrics import averages
from segue.evaluation.slices import BoolArray, events_of
from segue.pipeline.measurement import sealed_corpus
from segue.pipeline.stages import Options, fitted
from segue.settings import Settings
from segue.training.state import Progress

logger = logging.getLogger("segue")

FORMAT = "segue-cold-1"
REFEREES = ("popularity", "markov")
NO_USERS = "the corpus knows no user, so none could be held out"


@dataclass(frozen=True)
class Group:
    """Events that were measured together: how many, of how many users, and the metrics of each model by its label."""

    events: int
    users: int
    metrics: Mapping[str, Metrics]


@dataclass(frozen=True)
class ColdMeasurement:
    """The shape of ``segue evaluate --cold --json``; keys are only ever added under one `format`.

    Attributes:
        history: what the events of other users look back at. masked: whether items of the running session were no
            candidates. seed, shares: of the draw. held_out: users and items, and the train and validation sessions
            and events that went with them. models: labels, the model first.
        groups: `users_unknown`, `users_live_history`, `items`, `others` → what was measured; without the first two
            where the corpus knows no user.
        notes: what has to be said about the figures.
    """

    format: str
    split: str
    protocol: str | None
    history: str
    masked: bool
    corpus_fingerprint: str
    seed: int
    shares: Mapping[str, float]
    held_out: Mapping[str, int]
    models: list[str]
    groups: Mapping[str, Group]
    notes: list[str]

    def as_dict(self) -> dict[str, Any]:
        """The JSON shape."""
        return asdict(self)


@dataclass(frozen=True)
class How:
    """How the events are measured, where that is not as the model's settings say, and who is told of the progress."""

    history: HistoryPolicy | None = None
    mask_session: Masking | None = None
    progress: Callable[[Progress], None] | None = None


class Ranks(NamedTuple):
    """Rank and user of some events, [events]."""

    rank: IntArray
    user: IntArray

    @classmethod
    def joined(cls, parts: Sequence[Ranks]) -> Ranks:
        """Several of them as one."""
        return cls(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))


Found = Mapping[str, Ranks]
"""Name of a group → the ranks of its events."""


def measure_cold(folder: Path, corpus_folder: Path | None, draw: Draw, how: How = How()) -> ColdMeasurement:
    """Train the model's settings, popularity and Markov on what is left of its train part, and measure all three.

    The model folder is read for its settings and its corpus alone; nothing is written there.

    Raises ArtifactError for a model or corpus that cannot be read, CorpusError where too little can be held out.
    """
    check_seal(folder)
    facts, settings = read_facts(folder)
    corpus = load(sealed_corpus(folder, facts, corpus_folder))
    cold = hold_out(corpus, draw)
    asked = [UNKNOWN, ITEMS] if cold.held_users.any() else [ITEMS]
    check_measurable(cold.groups(events_of(evaluation_sessions(cold.measuring, Part.TEST)[0])), asked)
    history = how.history or settings.evaluation.history
    mask = settings.evaluation.mask_session if how.mask_session is None else how.mask_session
    masked = masks_session(mask, corpus.repeats_in_sessions)
    others = [name for name in REFEREES if name != settings.model.name]
    every = [settings, *(models.with_preset({"model": {"name": name}}) for name in others)]
    logger.info("training anew without what is held out; this takes about as long as the training of %s did", folder)
    measured = {models.label(each): _measured(cold, each, history, masked, how) for each in every}
    held_out = {
        "users": int(cold.held_users.sum()), "items": int(cold.held_items.sum()),
        "sessions": cold.sessions, "events": cold.events,
    }  # fmt: skip
    return ColdMeasurement(
        format=FORMAT,
        split="test",
        protocol=corpus.manifest.get("settings", {}).get("split", {}).get("protocol"),
        history=history,
        masked=masked,
        corpus_fingerprint=corpus.fingerprint,
        seed=draw.seed,
        shares={"users": draw.users, "items": draw.items},
        held_out=held_out,
        models=list(measured),
        groups=_groups(measured),
        notes=_notes(cold, measured),
    )


def _measured(cold: Cold, settings: Settings, history: HistoryPolicy, masked: bool, how: How) -> Found:
    """The ranks of a new model, by group."""
    began, label = time.monotonic(), models.label(settings)
    with tempfile.TemporaryDirectory(prefix="segue-cold-") as scratch:
        model = fitted(cold.training, Path(scratch), settings, Options(progress=how.progress))
    logger.info("%s: trained without what is held out in %.0f s", label, time.monotonic() - began)

    def measured(users: IntArray, policy: HistoryPolicy) -> tuple[Evaluation, dict[str, BoolArray]]:
        found = evaluate(
            model, cold.measuring, Part.TEST, history=policy, mask_session=masked, label=label, users=users
        )
        return found, cold.groups(found.events)

    kept, groups = measured(np.flatnonzero(~cold.held_users), history)
    taken = {ITEMS: [_of(kept, groups[ITEMS])], OTHERS: [_of(kept, groups[OTHERS])]}
    if cold.held_users.any():
        held = np.flatnonzero(cold.held_users)
        unknown, groups = measured(held, "frozen")
        taken[UNKNOWN] = [_of(unknown, groups[UNKNOWN])]
        taken[ITEMS].append(_of(unknown, groups[ITEMS]))
        live, groups = measured(held, "rolling")
        taken[LIVE] = [_of(live, groups[UNKNOWN])]
    return {name: Ranks.joined(parts) for name, parts in taken.items()}


def _of(evaluation: Evaluation, marks: BoolArray) -> Ranks:
    return Ranks(evaluation.rank[marks], evaluation.events.user[marks])


def _groups(measured: Mapping[str, Found]) -> dict[str, Group]:
    """The groups in their order; those without an event are left out."""
    first = next(iter(measured.values()))
    sizes = {name: first[name] for name in GROUPS if name in first and len(first[name].rank)}
    return {
        name: Group(
            len(ranks.rank),
            len(np.unique(ranks.user)),
            {label: averages(found[name].rank) for label, found in measured.items()},
        )
        for name, ranks in sizes.items()
    }


def _notes(cold: Cold, measured: Mapping[str, Found]) -> list[str]:
    """What has to be said: no users at all, and who never recommends an item that is held out."""
    notes = [] if cold.held_users.any() else [NO_USERS]
    never = [label for label, found in measured.items() if not averages(found[ITEMS].rank)["HR@20"]]
    if never:
        notes.append(
            f"{', '.join(never)}: 0.00 for held-out items, which have no event in train: what ranks items by what it"
            " has seen of them ranks these last"
        )
    return notes

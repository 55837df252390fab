"""Users and items that are held out of training, to measure what a model does with those it has never met.

Users and items are drawn from train alone, by a seed. What is drawn leaves train and validation:

- **a held-out user** with all train and validation sessions; there is no row for the user in any table;
- **a held-out item** with every event in the train and validation sessions of everybody else; sessions of which fewer
  than two events are left go too. The item stays a candidate, with its name and attributes.

Test sessions stay as they are.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from segue.data.arrays import IntArray
from segue.data.corpus import Corpus, Part, Sessions
from segue.errors import CorpusError
from segue.evaluation.slices import BoolArray, Events

UNKNOWN, LIVE, ITEMS, OTHERS = "users_unknown", "users_live_history", "items", "others"
GROUPS = (UNKNOWN, LIVE, ITEMS, OTHERS)
"""Names of the groups of events: of held-out users without and with their history, of held-out items, the others."""


@dataclass(frozen=True)
class Draw:
    """How much is held out: shares of the known users and of the items in train, and the seed of the draw."""

    users: float = 0.2
    items: float = 0.1
    seed: int = 0


@dataclass(frozen=True)
class Cold:
    """A corpus from which users and items were held out.

    Attributes:
        training: its train and validation parts, without anything that is held out; no test session.
        measuring: the same with test, and with the earlier sessions of the held-out users as validation sessions: no
            model is made from them, and a history that rolls holds them.
        held_users: whether a row of the users table is held out. held_items: the same of the items.
        sessions, events: train and validation sessions and events that were taken away.
    """

    training: Corpus
    measuring: Corpus
    held_users: BoolArray
    held_items: BoolArray
    sessions: int
    events: int

    def groups(self, events: Events) -> dict[str, BoolArray]:
        """The events of held-out users whose target is known, those of held-out items, and the others, bool [events]
        each; every event is in one of them."""
        item = self.held_items[events.target]
        user = self.held_users[events.user] & ~item
        return {UNKNOWN: user, ITEMS: item, OTHERS: ~(user | item)}


def hold_out(corpus: Corpus, draw: Draw) -> Cold:
    """Hold users and items out of a corpus that is loaded with all parts.

    Raises CorpusError where a share holds nothing out, or leaves nothing.
    """
    rng = np.random.default_rng(draw.seed)
    known = np.arange(corpus.n_users)
    held_users = _marks(_drawn(rng, known, draw.users, "--cold-users") if len(known) else known, corpus.users.num_rows)
    in_train = np.flatnonzero(corpus.item_support)
    held_items = _marks(_drawn(rng, in_train, draw.items, "--cold-items"), corpus.n_items)
    order = np.argsort(np.where(np.arange(len(held_users)) < corpus.n_users, held_users, 2), kind="stable")
    sessions, part = _left(corpus, held_users, held_items, np.argsort(order))
    held_users = held_users[order]
    stamp = f"{corpus.fingerprint} {draw}"
    measuring = replace(
        corpus, users=corpus.users.take(order), sessions=sessions, part=part,
        n_users=corpus.n_users - int(held_users.sum()),
        manifest={**corpus.manifest, "fingerprint": hashlib.sha256(stamp.encode()).hexdigest()},
    )  # fmt: skip
    chosen = np.flatnonzero((part != Part.TEST) & ~held_users[sessions.user])
    training = replace(measuring, sessions=sessions.take(chosen), part=part[chosen])
    if not (training.part == Part.TRAIN).any():
        raise CorpusError("nothing is left to train on; lower --cold-users or --cold-items")
    before = np.flatnonzero(corpus.part != Part.TEST)
    gone_sessions = len(before) - len(chosen)
    gone_events = int(corpus.sessions.lengths[before].sum() - len(training.sessions.items))
    return Cold(training, measuring, held_users, held_items, gone_sessions, gone_events)


def _drawn(rng: np.random.Generator, among: IntArray, share: float, option: str) -> IntArray:
    count = round(share * len(among))
    if not 0 < count < len(among):
        found = "nothing" if not count else "everything"
        what = option.rpartition("-")[2]
        raise CorpusError(
            f"{option} {share:g} of {len(among):,} {what} in train holds out {found}; choose another share"
        )
    return rng.choice(among, count, replace=False)


def _marks(numbers: IntArray, n: int) -> BoolArray:
    marks = np.zeros(n, dtype=np.bool_)
    marks[numbers] = True
    return marks


def _left(
    corpus: Corpus, held_users: BoolArray, held_items: BoolArray, row: IntArray
) -> tuple[Sessions, npt.NDArray[np.int8]]:
    """The sessions with the users' new rows [users], without the events of held-out items where these count, and the
    part of each."""
    whole = corpus.sessions
    of_held = held_users[whole.user]
    touched = ~of_held & (corpus.part != Part.TEST)
    kept = whole.keep_events(~(held_items[whole.items] & np.repeat(touched, whole.lengths)), min_length=0)
    stays = (kept.lengths > 1) | (kept.lengths == whole.lengths)
    part = np.where(of_held & (corpus.part != Part.TEST), np.int8(Part.VALIDATION), corpus.part).astype(np.int8)
    user = row[whole.user].astype(np.int32)
    order = np.flatnonzero(stays)
    order = order[np.argsort(user[order], kind="stable")]
    sessions = replace(kept, user=user).take(order)
    return replace(sessions, number=np.arange(len(order))), part[order]


def check_measurable(groups: dict[str, BoolArray], names: Sequence[str]) -> None:
    """Raise CorpusError where a group that was asked for has no event in the test part."""
    for name in names:
        if not groups[name].any():
            what, option = ("user", "--cold-users") if name == UNKNOWN else ("item", "--cold-items")
            raise CorpusError(f"no test event is of a held-out {what}; raise {option}, or choose another --cold-seed")

"""Opens the index of a model with many items: made once and kept, measured at every load, left out where it errs."""

from __future__ import annotations

import fcntl
import hashlib
import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

import numpy as np
from safetensors import SafetensorError

from segue.artifact.names import MANIFEST
from segue.errors import ConfigError, first_line
from segue.lean.hg_gnn import LeanHGGNN
from segue.lean.index import building, lists, sample
from segue.lean.index.lists import Lists
from segue.lean.index.plan import Plan
from segue.serving.asking import Request, Running, Understood
from segue.serving.ranking import best
from segue.serving.shortlisting import Shortlisting
from segue.system.paths import named_path

if TYPE_CHECKING:
    from segue.serving.recommender import Recommender

logger = logging.getLogger("segue")

ABOVE = 300_000
"""Items above which the best are found by an index, unless said otherwise."""
RECALL = 0.98
"""Least share of the best 20 that an index must find, unless said otherwise."""
FILE = "index.safetensors"
"""Name of the file that an index is kept in."""
K = 20
_SESSIONS, _LEARNED_FROM = 1_000, 500
"""Sessions of train that an index is measured with, and others that it is learned from."""
_SAMPLE = 8_192
"""Items that are sampled for the sum over all items."""
_TOGETHER = 32
_TIED = 1e-6
"""Largest relative difference of two scores that are equal but for rounding."""


@dataclass(frozen=True)
class IndexSettings:
    """When and how an index finds the best items of a model with many.

    Attributes:
        above: number of items above which it does; up to it every item is scored.
        breadth: share of the lists of items that a search looks through at least, above 0 and at most 1.
        recall: least share of the exact 20 best that must be found. Where fewer are, the breadth is doubled until
            enough are; where even half of the lists are too few, every item is scored.
        folder: where the index is kept from one load to the next; None: it is made anew at every load.

    Raises ConfigError for a number out of its range.
    """

    above: int = ABOVE
    breadth: float = 0.02
    recall: float = RECALL
    folder: str | Path | None = None

    def __post_init__(self) -> None:
        if self.above < 0 or not 0 < self.breadth <= 1 or not 0 <= self.recall <= 1:
            raise ConfigError(
                f"an index has above of at least 0, breadth above 0 and at most 1 and recall from 0 to 1; found"
                f" {self.above}, {self.breadth:g} and {self.recall:g}"
            )


def open_index(recommender: Recommender, settings: IndexSettings) -> tuple[Shortlisting | None, dict[str, Any]]:
    """The index of a model, or None where every item is scored; and what has to be said of it."""
    model = recommender.model
    if not isinstance(model, LeanHGGNN) or not model.options.embeddings or model.n_items <= settings.above:
        return None, {"kind": "exact"}
    if not lists.available():
        why = f"all {model.n_items:,} items are scored for every answer: for an index pip install 'segue[index]'"
        logger.warning(why)
        return None, {"kind": "exact", "why": why}
    began = perf_counter()
    measured = sessions_of(recommender, slice(_SESSIONS))
    plan, kept = _plan(recommender, named_path(settings.folder) if settings.folder else None, measured)
    found = Lists(plan, model.vectors)
    found.breadth = max(1, round(settings.breadth * found.lists))
    opened = Shortlisting(model, found, {})
    recall, error = _measure(opened, measured, plan)
    while recall < settings.recall and found.breadth < found.lists / 2:
        found.breadth *= 2
        recall, error = _measure(opened, measured, plan)
    facts = {
        "library": lists.LIBRARY, "lists": found.lists, "breadth": found.breadth, f"recall_at_{K}": round(recall, 4),
        "sessions": len(measured), "score_error": round(error, 5), "bytes": found.size, "kept": kept,
        "seconds": round(perf_counter() - began, 1),
    }  # fmt: skip
    if recall < settings.recall:
        why = f"an index finds {recall:.4f} of the best {K}, less than {settings.recall:g}: every item is scored"
        logger.warning(why)
        return None, {"kind": "exact", "why": why, **facts}
    opened.facts = {"kind": "lists", **facts}
    return opened, opened.facts


def sessions_of(recommender: Recommender, which: slice) -> list[Understood]:
    """Some sessions of train, in an order that chance has made, as they were while they went on: cut at a random place
    and asked for K items."""
    history, random = recommender.artifact.history, np.random.default_rng(0)
    items, users = recommender.known_items.ids, recommender.known_users.ids
    found = []
    for session in random.permutation(len(history))[which].tolist():
        first, last = int(history.offsets[session]), int(history.offsets[session + 1])
        end, user = int(random.integers(first, last)) + 1, int(history.user[session])
        request = Request(
            users[user] if user < len(users) else None, [items[item] for item in history.items[first:end]], K,
            time=int(history.times[end - 1]), explain=False,
        )  # fmt: skip
        found.append(recommender.understand(request, Running(start=int(history.times[first]))))
    return found


def _plan(recommender: Recommender, folder: Path | None, measured: Sequence[Understood]) -> tuple[Plan, bool]:
    """The plan that is kept, or a new one, which is kept from now on; and whether it was there."""
    model, of = recommender.model, _fingerprint(recommender)
    assert isinstance(model, LeanHGGNN)
    with _alone(folder) if folder is not None else nullcontext():
        if folder is not None:
            try:
                return Plan.read(folder / FILE, of, *model.vectors.shape), True
            except (FileNotFoundError, NotADirectoryError):
                pass
            except (OSError, ValueError) as error:
                logger.warning("the index in %s is made anew: %s", folder / FILE, first_line(error))
        others = sessions_of(recommender, slice(_SESSIONS, _SESSIONS + _LEARNED_FROM)) or measured
        plan = _made(model, measured, others)
        if folder is not None:
            try:
                plan.write(folder / FILE, of)
            except (OSError, SafetensorError) as error:
                logger.warning("the index cannot be kept in %s: %s", folder, first_line(error))
    return plan, False


def _made(model: LeanHGGNN, measured: Sequence[Understood], others: Sequence[Understood]) -> Plan:
    random = np.random.default_rng(0)
    vectors = np.concatenate([model.session_vectors(block) for block in _blocks(others)])
    scale = building.scale_of(vectors)
    centres, list_of = building.cluster(model.vectors, scale, random)
    mass = building.mean_share(model.vectors, np.array_split(vectors, -(-len(vectors) // _TOGETHER)))
    sampled, probability = sample.draw(mass, _SAMPLE, random)
    items, scores = [], []
    for block in _blocks(measured):
        for row in model.score(block).scores:
            items.append(best(row, min(K, len(row))))
            scores.append(row[items[-1]])
    best_items, best_scores = np.array(items, dtype=np.int32), np.array(scores, dtype=np.float32)
    return Plan(scale, centres, list_of, sampled.astype(np.int32), probability, best_items, best_scores)


def _blocks(requests: Sequence[Understood]) -> Iterator[list[Any]]:
    asked = [request.asked for request in requests if request.asked is not None]
    for first in range(0, len(asked), _TOGETHER):
        yield asked[first : first + _TOGETHER]


def _measure(opened: Shortlisting, sessions: Sequence[Understood], plan: Plan) -> tuple[float, float]:
    """Share of the exact best K items that the index finds; and the error that 99 of 100 of their scores keep below.

    An item as good as the last of the exact list, with which it may be tied, counts as found.
    """
    share, errors = [], [np.zeros(1)]
    for first in range(0, len(sessions), _TOGETHER):
        found = opened.shortlists(sessions[first : first + _TOGETHER])
        for shortlist, items, scores in zip(found, plan.best[first:], plan.best_scores[first:], strict=False):
            chosen = best(shortlist.scores, len(items))
            least = float(scores[-1]) - _TIED * max(1.0, abs(float(scores[-1])))
            tied = shortlist.plain[chosen] & (shortlist.scores[chosen] >= least)
            own = np.isin(shortlist.items[chosen], items) | tied
            share.append(float(own.sum()) / len(items))
            at = np.minimum(shortlist.items.searchsorted(items), len(shortlist.items) - 1)
            there = shortlist.items[at] == items
            errors.append(np.abs(shortlist.scores[at] - scores)[there])
    return float(np.mean(share)) if share else 1.0, float(np.percentile(np.concatenate(errors), 99))


def _fingerprint(recommender: Recommender) -> str:
    """What an index is made for: the model that the manifest seals."""
    return hashlib.sha256((recommender.artifact.folder / MANIFEST).read_bytes()).hexdigest()


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Wait until no other process makes an index in the folder, which is made where it does not exist."""
    with suppress(OSError):
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    try:
        lock = (folder / f"{FILE}.lock").open("ab")
    except OSError:  # nothing can be written there; several processes may then make the same
        yield
        return
    with lock:
        with suppress(OSError):  # some file systems have no locks
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield

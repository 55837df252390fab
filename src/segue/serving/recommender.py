"""Answers requests: from a user and the items of the running session to the next items, with reasons."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor

from segue.artifact.model_folder import Artifact, load_model, publish_model, refuse_existing
from segue.contract.model import SessionEncoder
from segue.data.arrays import IntArray
from segue.data.batches import Batch, Past
from segue.data.batches import request as request_batch
from segue.data.present import present
from segue.errors import ArtifactError
from segue.nn.encoding import Attention, ScoreParts
from segue.serving.answer import Answer, Recommendation
from segue.serving.discovery import NO_HISTORY, with_discoveries
from segue.serving.reasons import Reasons
from segue.serving.request import Seen, count_of, ids_of, seen_of, share_of, time_of, user_of
from segue.serving.vocabulary import Vocabulary
from segue.system.atomic import writing
from segue.system.folders import refuse_nameless
from segue.system.holding import held
from segue.system.paths import named_path
from segue.system.replacing import followed, under_construction
from segue.system.torch_runtime import compute_after_forks

_NOBODY = "nothing is known of this session or user"
_NO_ITEM = "neither the session nor the history holds an item that the model knows"


@dataclass(frozen=True)
class _Request:
    """A request in the model's numbers.

    Attributes:
        batch: what the model reads.
        session: items that the recommendations follow; empty where nothing is known.
        shown: known items of the running session, empty where `session` starts from the history.
        past: items of the user's history.
        skipped: ids of the request that the model does not know.
        warnings: what has to be said about the request; answering it may add more.
    """

    batch: Batch
    session: IntArray
    shown: IntArray
    past: IntArray
    user_known: bool
    skipped: tuple[str, ...]
    warnings: list[str]


class Recommender:
    """A trained model that answers. Make one with :func:`segue.load`."""

    def __init__(self, artifact: Artifact) -> None:
        compute_after_forks()
        self.artifact = artifact
        self._keep_alive: object = None
        self.model = artifact.model
        if isinstance(self.model, SessionEncoder):
            self.model.eval()
            with torch.inference_mode():
                self.model.snapshot()
        self.known_items = Vocabulary(artifact.items.column("item_id").to_pylist())
        self.known_users = Vocabulary(artifact.users.column("user_id").to_pylist())
        self._names = _names(artifact.items)
        self._explained = Reasons(self.model, self.known_items.ids, self._names)
        self._user_sessions = np.searchsorted(artifact.history.user, np.arange(len(self.known_users) + 1))
        self._trained_until = present(artifact.history.times)
        self._support = np.bincount(artifact.history.items, minlength=self.model.n_items)

    @classmethod
    def load(cls, folder: str | Path, keep_alive: object = None) -> Recommender:
        """Read a trained model. Raises ArtifactError when it is missing or damaged.

        `keep_alive` is an object that lives as long as the model, such as a temporary folder that is removed after it.
        """
        model = cls(load_model(named_path(folder)))
        model._keep_alive = keep_alive
        return model

    def save(self, folder: str | Path) -> None:
        """Copy the model to a new folder. Raises ArtifactError when that exists or cannot be written."""
        out = named_path(folder)
        refuse_nameless(out, ArtifactError)
        with held(out, ArtifactError):
            place = followed(out)
            refuse_existing(place, overwrite=False)
            with writing(out), under_construction(place) as new:
                shutil.copytree(self.artifact.folder, new, dirs_exist_ok=True)
                publish_model(new, place)

    def name(self, item: str) -> str:
        """The name from the items file, or the id."""
        return self._names.get(item, item)

    def recommend(
        self,
        user: str | None,
        items: Sequence[str] = (),
        k: int = 10,
        exclude: Iterable[str] = (),
        candidates: Iterable[str] | None = None,
        *,
        history: Sequence[str] | None = None,
        exclude_seen: Seen | None = None,
        time: int | datetime | np.datetime64 | None = None,
        discover: float = 0.0,
    ) -> Answer:
        """Recommend the k best next items, best first.

        Args:
            user: id, or None for an anonymous session. An unknown id is answered like a new user, with a warning.
            items: the running session, oldest first. Unknown items are skipped and named in the answer. Empty: the
                session starts from the user's last history items.
            k: how many, at least 1. Fewer eligible items: all of them, with a warning.
            exclude, candidates: items never shown, and the only ones that may be; unknown ones are warned of. Nothing
                is excluded by default.
            history: earlier items of the user, oldest first, used instead of what training saw of them.
            exclude_seen: "session" leaves out the session's items, "history" those of the history too.
            time: the time of the request, epoch ms or a datetime (without a zone: UTC); by default the end of the
                training data.
            discover: share of the k places, rounded to the nearest whole number (a half up), that is reserved for items
                neither in the history nor in the session. Where fewer of the k best are such items, the lowest others
                give way to the best of them; the list stays in the order of scores. Such items are marked
                ``discovery``. Too few of them, or a user without a history, are warned of.

        Raises:
            RequestError: an argument that is not what it says above, such as k < 1, one id where a list of ids is
                due, or several where one is.
        """
        k, seen, share = count_of(k), seen_of(exclude_seen), share_of(discover)
        request = self._request(user_of(user), ids_of(items, "items"), history, time_of(time, self._trained_until))
        barred = self._barred(ids_of(exclude, "exclude"), seen, request)
        eligible = self._eligible(barred, candidates, request.warnings)
        scores = self._scores(request)
        ordered = self._ordered(scores, eligible, k, request.warnings)
        if share and not len(request.past):
            request.warnings.append(NO_HISTORY)
        if not share or not len(request.past):
            return self._answer(request, ordered[:k], scores)
        new = self._new(request)
        best = with_discoveries(ordered, new, k, share, request.warnings)
        return self._answer(request, best, scores, new)

    def attention(
        self, user: str | None, items: Sequence[str] = (), *, history: Sequence[str] | None = None
    ) -> Attention | None:
        """How the model weighs the items of a session, see :meth:`recommend`; None where it cannot tell."""
        now = time_of(None, self._trained_until)
        request = self._request(user_of(user), ids_of(items, "items"), history, now)
        if not len(request.session):
            return None
        with torch.inference_mode():
            return self.model.attention(request.batch)

    def _request(self, user: str | None, items: Sequence[str], history: Sequence[str] | None, now: int) -> _Request:
        """The request in the model's numbers, with what has to be said about it."""
        warnings: list[str] = []
        shown, skipped = self.known_items.numbers(items)
        number, past, known, past_skipped = self._past(user, history)
        if user is not None and not known:
            warnings.append(self._about_user(user, history is not None))
        length = self.model.config.window.length
        session = shown
        if not len(session) and len(past.items):
            session = past.items[-length:]
            warnings.append("the session is empty: it starts from the user's last history items")
        if not len(session):
            missing = _NOBODY if history is None and not known else _NO_ITEM
            warnings.append(f"{missing}: these are the most popular items")
        batch = request_batch(session, number, now, past, length, fresh=history is not None or not known)
        return _Request(batch, session, shown, past.items, known, (*skipped, *past_skipped), warnings)

    def _answer(self, request: _Request, best: Tensor, scores: Tensor, new: Tensor | None = None) -> Answer:
        """The answer; items are marked as discoveries where `new` [items] says that they are new to the user."""
        reasons = self._reasons(request, best, scores)
        items = [
            Recommendation(self.known_items.ids[item], float(scores[item]), reason, new is not None and bool(new[item]))
            for item, reason in zip(best.tolist(), reasons, strict=True)
        ]
        return Answer(tuple(items), request.skipped, request.user_known, tuple(request.warnings))

    def _scores(self, request: _Request) -> Tensor:
        """Scores of all items, [items]: the model's, or popularity where nothing is known to ask the model about."""
        if not len(request.session):
            return torch.from_numpy(self._support.astype(np.float32))
        with torch.inference_mode():
            scores = self.model.scores(request.batch)[0].clone()
        if not bool(torch.isfinite(scores).all()):
            raise ArtifactError(
                f"the model {self.artifact.folder} gives scores that are not finite; train it again, with a lower"
                " training.learning_rate"
            )
        return scores

    def _about_user(self, user: str, with_history: bool) -> str:
        if user in self.known_users:
            return f"user '{user}' had too few sessions to be learned: answered with the vector of unknown users"
        answered = "answered from the given history" if with_history else "answered as an anonymous session"
        return f"user {self.known_users.in_words([user])} is unknown to the model: {answered}"

    def _past(self, user: str | None, history: Sequence[str] | None) -> tuple[int, Past, bool, list[str]]:
        """The user's number, their history, whether the model knows the user, and unknown items of the history."""
        row = self.known_users.number(user) if user is not None else None
        n_users = self.model.n_users
        number = min(row, n_users) if row is not None else n_users
        if history is not None:
            items, skipped = self.known_items.numbers(ids_of(history, "history"))
            times = np.full(len(items), self._trained_until, dtype=np.int64)
            whole = np.array([0, len(items)] if len(items) else [0])  # without times: one session
            return number, Past(items, times, whole), number < n_users, skipped
        first, last = (self._user_sessions[row], self._user_sessions[row + 1]) if row is not None else (0, 0)
        stored = self.artifact.history
        cells = slice(int(stored.offsets[first]), int(stored.offsets[last]))
        offsets = stored.offsets[first : last + 1] - stored.offsets[first]
        past = Past(stored.items[cells].astype(np.int64), stored.times[cells], offsets)
        return number, past, number < n_users, []

    def _barred(self, exclude: Sequence[str], seen: Seen | None, request: _Request) -> IntArray:
        """Numbers of the items that must not be recommended."""
        excluded, unknown = self.known_items.numbers(exclude)
        if unknown:
            request.warnings.append(
                f"{len(unknown)} of {len(exclude)} excluded items are unknown to the model and exclude nothing: "
                f"{self.known_items.in_words(unknown)}"
            )
        barred = [excluded]
        if seen in ("session", "history"):
            barred.append(request.shown)
        if seen == "history":
            barred.append(request.past)
        return np.concatenate(barred)

    def _eligible(self, barred: IntArray, candidates: Iterable[str] | None, warnings: list[str]) -> Tensor:
        """Whether each item may be recommended, [items]."""
        eligible = torch.ones(len(self.known_items), dtype=torch.bool)
        if candidates is not None:
            wanted = ids_of(candidates, "candidates")
            allowed, unknown = self.known_items.numbers(wanted)
            eligible.fill_(False)
            eligible[torch.from_numpy(allowed)] = True
            if unknown:
                warnings.append(
                    f"{len(unknown)} of {len(wanted)} candidates are unknown to the model: "
                    f"{self.known_items.in_words(unknown)}"
                )
        eligible[torch.from_numpy(barred)] = False
        return eligible

    def _ordered(self, scores: Tensor, eligible: Tensor, k: int, warnings: list[str]) -> Tensor:
        """Numbers of the eligible items, best first; items with equal scores in the order of their ids."""
        count = int(eligible.sum())
        if count < k:
            warnings.append(f"only {count} items are eligible, {k} were asked for")
        ordered = torch.sort(scores.masked_fill(~eligible, float("-inf")), descending=True, stable=True).indices
        return ordered[:count]

    def _new(self, request: _Request) -> Tensor:
        """Whether each item is neither in the user's history nor in the running session, bool [items]."""
        new = torch.ones(len(self.known_items), dtype=torch.bool)
        new[torch.from_numpy(np.concatenate([request.past, request.shown]))] = False
        return new

    def _reasons(self, request: _Request, best: Tensor, scores: Tensor) -> list[dict[str, Any]]:
        if not len(best):
            return []
        batch = request.batch
        if not len(request.session):
            parts = ScoreParts(base=scores[best], popularity=True)
        else:
            with torch.inference_mode():
                parts = self.model.parts(batch, best)
        session = batch.items[0][batch.mask[0]].tolist()
        # An anonymous session gets a user term too, that of everybody unknown: it speaks of no earlier session.
        has_past = int(batch.user[0]) < self.model.n_users or bool(batch.past[0, 1] > batch.past[0, 0])
        return self._explained.of(parts, best, session, has_past=has_past)


def _names(items: pa.Table) -> dict[str, str]:
    """Item id → name for people; the id itself where an item has no name."""
    ids = items.column("item_id").to_pylist()
    names = items.column("name").to_pylist() if "name" in items.column_names else ids
    return {item: name or item for item, name in zip(ids, names, strict=True)}

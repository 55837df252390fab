"""Answers requests: from a user and the items of the running session to the next items, with reasons."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from itertools import islice, pairwise
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from segue.artifact.contents import Contents
from segue.data.arrays import IntArray
from segue.errors import ArtifactError, RequestError
from segue.lean import folder as lean_folder
from segue.lean.model import Answering, Attention, Floats, Parts, Scored
from segue.serving.answer import Answer, Recommendation
from segue.serving.asking import NOTHING_LIVE, Reader, Request, Running, Understood
from segue.serving.discovery import NO_HISTORY, with_discoveries
from segue.serving.past_sessions import PastSession
from segue.serving.ranking import best
from segue.serving.reasons import Reasons
from segue.serving.request import Seen, count_of, item_of
from segue.system.atomic import writing
from segue.system.folders import refuse_nameless
from segue.system.forks import compute_after_forks
from segue.system.holding import held
from segue.system.paths import named_path
from segue.system.replacing import followed, under_construction

if TYPE_CHECKING:
    from segue.serving.index import IndexSettings
    from segue.serving.shortlisting import Shortlisting

_BLOCK_SCORES = 2**20
"""Scores that are formed at a time where there are many requests: they stay near the processor."""
_MOST_TOGETHER = 64


class Recommender:
    """A trained model that answers. Make one with :func:`segue.load`.

    Most models answer without torch; what they answer is what torch would.
    """

    def __init__(self, artifact: Contents, model: Answering) -> None:
        compute_after_forks()
        self.artifact = artifact
        self.model = model
        self.index: Shortlisting | None = None
        """What finds the best items of a large catalogue; None: all items are scored for every answer."""
        self.index_facts: Mapping[str, Any] = {"kind": "exact"}
        """What has to be said of how the best items are found."""
        self._keep_alive: object = None
        self._reader = Reader(artifact, model)
        self.known_items, self.known_users = self._reader.items, self._reader.users
        self._names = _names(artifact.items)
        self._explained = Reasons(model, self.known_items.ids, self._names)
        self._support = np.bincount(artifact.history.items, minlength=model.n_items).astype(np.float32)

    @classmethod
    def load(cls, folder: str | Path, keep_alive: object = None, *, index: IndexSettings | None = None) -> Recommender:
        """Read a trained model. Raises ArtifactError when it is missing or damaged.

        Args:
            keep_alive: an object that lives as long as the model, such as a temporary folder that is removed after it.
            index: when an index finds the best items; None: every item is scored for every answer.
        """
        artifact, answering = lean_folder.load(named_path(folder))
        if answering is None:
            from segue.serving.through_torch import answering_of  # torch takes seconds to import

            answering = answering_of(artifact)
        model = cls(artifact, answering)
        model._keep_alive = keep_alive
        if index is not None:
            from segue.serving.index import open_index

            model.index, model.index_facts = open_index(model, index)
        return model

    def save(self, folder: str | Path) -> None:
        """Copy the model to a new folder. Raises ArtifactError when that exists or cannot be written."""
        from segue.artifact.model_folder import publish_model, refuse_existing  # with torch

        out = named_path(folder)
        refuse_nameless(out, ArtifactError)
        with held(out, ArtifactError):
            place = followed(out)
            refuse_existing(place, overwrite=False)
            with writing(out), under_construction(place) as new:
                shutil.copytree(self.artifact.folder, new, dirs_exist_ok=True)
                publish_model(new, place)

    @property
    def trained_until(self) -> int:
        """End of the training data, epoch ms."""
        return self._reader.trained_until

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
        history: Sequence[str] | Sequence[PastSession] | None = None,
        exclude_seen: Seen | None = None,
        time: int | datetime | np.datetime64 | None = None,
        discover: float = 0.0,
        explain: bool = True,
    ) -> Answer:
        """Recommend the k best next items, best first.

        Args:
            user: id, or None for an anonymous session. An unknown id is answered like a new user, with a warning.
            items: the running session, oldest first. Unknown items are skipped and named in the answer. Empty: the
                session starts from the user's last history items.
            k: how many, at least 1. Fewer eligible items: all of them, with a warning.
            exclude, candidates: items never shown, and the only ones that may be; unknown ones are warned of. Nothing
                is excluded by default.
            history: the user's earlier sessions, oldest first, used instead of what training saw of them: each a
                :class:`PastSession`, or a mapping with its ``items`` and ``times``. A plain list of ids is one session
                at the end of the training data.
            exclude_seen: "session" leaves out the session's items, "history" those of the history too.
            time: the time of the request, epoch ms or a datetime (without a zone: UTC); by default the end of the
                training data.
            discover: share of the k places, rounded to the nearest whole number (a half up), that is reserved for items
                neither in the history nor in the session. Where fewer of the k best are such items, the lowest others
                give way to the best of them; the list stays in the order of scores. Such items are marked
                ``discovery``. Too few of them, or a user without a history, are warned of.
            explain: whether each item comes with its reasons; without them an answer takes half the time.

        Raises:
            RequestError: an argument that is not what it says above, such as k < 1, one id where a list of ids is
                due, or several where one is.
        """
        request = Request(user, items, k, exclude, candidates, history, exclude_seen, time, discover, explain)
        return self._answers([self.understand(request)])[0]

    def answer(self, request: Request, running: Running) -> Answer:
        """The answer to a request of a live session."""
        return self.answer_all([(request, running)])[0]

    def answer_all(self, requests: Sequence[tuple[Request, Running]]) -> list[Answer]:
        """The answers to several requests of live sessions, scored together.

        Raises RequestError where one of them cannot be understood.
        """
        return self._answers([self._reader.understand(request, running) for request, running in requests])

    def scores(self, request: Request, running: Running) -> tuple[Floats, npt.NDArray[np.bool_] | None]:
        """The scores of all items for such a request, [items], and which may be recommended, bool [items] or None for
        all."""
        _, scores, eligible = self.scored(request, running)
        return scores, eligible

    def scored(self, request: Request, running: Running) -> tuple[Scored | None, Floats, npt.NDArray[np.bool_] | None]:
        """What :meth:`scores` gives, and before it what the model found, None without a question."""
        understood = self._reader.understand(request, running)
        scored = self.model.score([understood.asked]) if understood.asked is not None else None
        return scored, scored.scores[0] if scored is not None else self._popular(), understood.eligible.mask

    def attention(self, request: Request, running: Running = NOTHING_LIVE) -> Attention | None:
        """How the model weighs the items of the session; None where it cannot tell."""
        asked = self._reader.understand(request, running).asked
        return self.model.score([asked]).attention(0) if asked is not None else None

    def history_of(self, user: str) -> list[PastSession]:
        """What training saw of a user, oldest session first: with later sessions behind it a `history`."""
        past = self._reader.trained_history(user)
        ids, cells = self.known_items.ids, list(pairwise(past.offsets.tolist()))
        return [PastSession([ids[i] for i in past.items[a:b]], past.times[a:b].tolist()) for a, b in cells]

    def understand(self, request: Request | Mapping[str, Any], running: Running = NOTHING_LIVE) -> Understood:
        """A request for :meth:`recommend_many`, read and checked before it is answered.

        Raises RequestError for a request that cannot be understood.
        """
        return self._reader.understand(Request.of(request), running)

    def recommend_many(self, requests: Iterable[Request | Mapping[str, Any] | Understood]) -> Iterator[Answer]:
        """Answer many requests, in their order and as :meth:`recommend` answers each; some are scored together.

        Args:
            requests: mappings of the arguments of :meth:`recommend`, such as ``{"user": "anna", "items": ["milk"],
                "k": 5, "explain": False}``; they are read as the answers are taken.

        Raises RequestError for a request that cannot be understood, with its number, counted from 1.
        """
        understood = (self._numbered(number, request) for number, request in enumerate(requests, start=1))
        together = max(1, min(_MOST_TOGETHER, _BLOCK_SCORES // self.model.n_items))
        while block := list(islice(understood, together)):
            yield from self._answers(block)

    def similar(self, item: str, k: int = 10) -> list[Recommendation]:
        """The k items most similar to one, best first: by the cosine of their vectors where the model has vectors.

        Raises RequestError for an unknown item, for what is no id, and for a model that cannot tell.
        """
        k, item = count_of(k), item_of(item)
        number = self.known_items.number(item)
        if number is None:
            raise RequestError(f"item {self.known_items.in_words([item])} is unknown to the model")
        scores = np.array(self.model.similar(number), dtype=np.float64)
        scores[number] = -np.inf
        found = best(scores, min(k, len(scores) - 1))
        return [Recommendation(self.known_items.ids[each], float(scores[each])) for each in found]

    def _numbered(self, number: int, request: Request | Mapping[str, Any] | Understood) -> Understood:
        try:
            return request if isinstance(request, Understood) else self.understand(request)
        except RequestError as error:
            raise RequestError(f"request {number}: {error}") from None

    def _answers(self, requests: Sequence[Understood]) -> list[Answer]:
        """The answers to some requests, scored together."""
        answers = self.index.answers(requests, self._listed) if self.index is not None else {}
        others = [number for number in range(len(requests)) if number not in answers]
        answers.update(zip(others, self._exact([requests[number] for number in others]), strict=True))
        return [answers[number] for number in range(len(requests))]

    def _exact(self, requests: Sequence[Understood]) -> list[Answer]:
        """The answers to some requests for which all items are scored."""
        asked = [request.asked for request in requests if request.asked is not None]
        scored = self.model.score(asked) if asked else None
        if scored is not None and not np.isfinite(scored.scores).all():
            raise self._not_finite()
        answers, row = [], 0
        for request in requests:
            if request.asked is None or scored is None:
                answers.append(self._answer(request, self._popular(), None, 0))
            else:
                answers.append(self._answer(request, scored.scores[row], scored, row))
                row += 1
        return answers

    def _popular(self) -> Floats:
        """Scores of all items where nothing is known to ask the model about, [items]."""
        return self._support

    def _answer(self, request: Understood, scores: Floats, scored: Scored | None, row: int) -> Answer:
        """The answer to one request, from its scores [items]."""
        chosen, new = self._chosen(request, scores)
        reasons = self._reasons(request, chosen, scores, scored, row) if request.explain else [{}] * len(chosen)
        marks = new[chosen].tolist() if new is not None else [False] * len(chosen)
        return self._listed(request, chosen, scores[chosen], zip(reasons, marks, strict=True))

    def _listed(
        self, request: Understood, items: IntArray, scores: Floats, more: Iterable[tuple[Any, ...]] | None = None
    ) -> Answer:
        """The answer with these items, best first; `more` has what else is to be said of each."""
        ids, values, marked = self.known_items.ids, scores.tolist(), more if more is not None else [()] * len(items)
        if not all(map(isfinite, values)):
            raise self._not_finite()
        found = [
            Recommendation(ids[item], value, *each)
            for item, value, each in zip(items.tolist(), values, marked, strict=True)
        ]
        return Answer(tuple(found), request.skipped, request.user_known, tuple(request.warnings))

    def _not_finite(self) -> ArtifactError:
        return ArtifactError(
            f"the model {self.artifact.folder} gives scores that are not finite; train it again, with a lower"
            " training.learning_rate"
        )

    def _chosen(self, request: Understood, scores: Floats) -> tuple[IntArray, npt.NDArray[np.bool_] | None]:
        """Numbers of the recommended items, best first; and whether each item is new to the user, where that counts."""
        k, eligible, count = request.k, request.eligible.mask, len(scores)
        if eligible is not None:
            scores, count = np.where(eligible, scores, -np.inf), int(eligible.sum())
        if count < k:
            request.warnings.append(f"only {count} items are eligible, {k} were asked for")
        if request.discover and not len(request.past):
            request.warnings.append(NO_HISTORY)
        if not request.discover or not len(request.past):
            return best(scores, min(k, count)), None
        new = np.ones(len(scores), dtype=np.bool_)
        new[request.past] = new[request.shown] = False
        return with_discoveries(best(scores, len(scores))[:count], new, k, request.discover, request.warnings), new

    def _reasons(
        self, request: Understood, chosen: IntArray, scores: Floats, scored: Scored | None, row: int
    ) -> list[dict[str, Any]]:
        popular = Parts(base=scores[chosen], popularity=True)
        parts = scored.parts(row, chosen) if scored is not None and len(chosen) else popular
        return self._explained.of(parts, chosen, request.session, has_past=request.has_past)


def _names(items: pa.Table) -> dict[str, str]:
    """Item id → name for people, of the items that have a name beside their id."""
    if "name" not in items.column_names:
        return {}
    pairs = zip(items.column("item_id").to_pylist(), items.column("name").to_pylist(), strict=True)
    return {item: name for item, name in pairs if name and name != item}

"""The seam between the server and the model: every question to a model goes through here."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from segue.artifact.names import MANIFEST
from segue.errors import RequestError
from segue.lean.model import Floats, Scored
from segue.server.answers import Gate, Weighed
from segue.server.bodies import Recommend
from segue.server.catalogue import Catalogue
from segue.server.counting import LiveCounts
from segue.server.evaluations import evaluations_of
from segue.server.filters import Attributes
from segue.server.problems import Refusal
from segue.serving.answer import Answer
from segue.serving.asking import NOTHING_LIVE, Request, Running
from segue.serving.index import IndexSettings
from segue.serving.live import LiveRecommender
from segue.serving.recommender import Recommender
from segue.settings.units import milliseconds
from segue.system.json_files import read_object

_GAP_WITHOUT = "30min"
"""Gap where the sessions of the model's log had ids, so that nobody chose one."""


@dataclass(frozen=True)
class Known:
    """What is known of whom a request is for, beside the request itself.

    Attributes:
        items: the session, oldest first.
        running: what else is known of it, and the user's sessions since training.
        time: of the request, epoch milliseconds; None: the end of training.
        live: whether live events name the user.
        about: what has to be said about the live session.
    """

    items: Sequence[str]
    running: Running = NOTHING_LIVE
    time: int | None = None
    live: bool = False
    about: Sequence[str] = ()


class Engine:
    """A loaded model, and what can be asked of it. A new model is a new engine.

    Args:
        folder: the model. Raises ArtifactError when it is missing or damaged.
        live: whether its memory goes on counting, see :class:`segue.server.counting.LiveCounts`. Raises ConfigError for
            a model without one.
        live_weights: file of what earlier live events have taught, see :class:`segue.lean.live.weights.LiveWeights`.
            Raises ConfigError where it does not fit.
        live_items: file with names and attributes of new items, see :class:`segue.serving.kin.Kin`. Raises LogError
            where it cannot be read.
        index: when an index finds the best items; None: all are scored for every answer.

    Attributes:
        counts: what keeps a live memory level with a store, once :meth:`segue.server.service.Service.begin` was called.
    """

    def __init__(
        self,
        folder: Path,
        *,
        live: bool = False,
        live_weights: Path | None = None,
        live_items: Path | None = None,
        index: IndexSettings | None = None,
    ) -> None:
        # Taken before the model is read: when the folder is replaced meanwhile, reading notices or a reload follows.
        self.version = version_of(folder)
        loaded = Recommender.load(folder, index=index)
        self.live = LiveRecommender(loaded, live_weights, live_items) if live else None
        self.counts: LiveCounts | None = None
        self.recommender = self.live or loaded
        artifact = self.recommender.artifact
        self.settings, self.facts = artifact.settings, artifact.facts
        self.attributes = Attributes(artifact.items)
        self.catalogue = Catalogue(loaded)

    def recommend(self, asked: Recommend, known: Known) -> Answer:
        """The answer to a request: ``recommend(user, items, history=trained and finished live sessions, time=…)``.

        Raises Refusal for what the model cannot be asked.
        """
        try:
            return self.recommender.answer(self._request(asked, known), known.running)
        except RequestError as error:
            raise Refusal(422, str(error)) from None

    def recommend_all(self, asked: Sequence[Recommend], known: Sequence[Known]) -> list[Answer | Exception]:
        """The answers to several requests, scored together; or what each of them ends with instead."""
        try:
            requests = [(self._request(each, its), its.running) for each, its in zip(asked, known, strict=True)]
            return list(self.recommender.answer_all(requests))
        except Exception:  # asked one by one, only the one that is the matter fails
            return [self._tried(each, its) for each, its in zip(asked, known, strict=True)]

    def _tried(self, asked: Recommend, known: Known) -> Answer | Exception:
        try:
            return self.recommend(asked, known)
        except Exception as failure:
            return failure

    def scores(self, asked: Recommend, known: Known) -> tuple[Floats, npt.NDArray[np.bool_] | None]:
        """The scores of all items for a request, and which of them may be recommended; None: all."""
        return self.recommender.scores(self._request(asked, known), known.running)

    def scored(self, asked: Recommend, known: Known) -> tuple[Scored | None, Floats, npt.NDArray[np.bool_] | None]:
        """What the model found, None where there was nothing to ask it about; then as :meth:`scores`."""
        return self.recommender.scored(self._request(asked, known), known.running)

    def _request(self, asked: Recommend, known: Known) -> Request:
        return Request(
            asked.user,
            known.items,
            asked.k,
            asked.exclude,
            self._candidates(asked),
            exclude_seen=asked.exclude_seen,
            time=known.time,
            explain=asked.explain,
        )

    def explain(self, asked: Recommend, known: Known) -> tuple[Answer, list[Weighed], Gate | None]:
        """The answer with its reasons, the items that the model looked at, and its gate where it has one."""
        answer = self.recommend(asked, known)
        found = self.recommender.attention(self._request(asked, known), known.running)
        ids = [part["item"] for part in answer[0].because["session"]] if len(answer) else []
        current, general, gate = (found.current, found.general, found.gate) if found else (None, None, None)
        session = [
            Weighed(
                id=item,
                name=self.name(item),
                current=current[place] if current else None,
                general=general[place] if general else None,
            )
            for place, item in enumerate(ids)
        ]
        mixed = Gate(current=float(np.mean(gate)), least=min(gate), most=max(gate)) if gate else None
        return answer, session, mixed

    def knows_user(self, user: str) -> bool:
        """Whether train or validation sessions named the user."""
        return user in self.recommender.known_users

    def has_vector(self, user: str) -> bool:
        """Whether the model has learned something of the user, so that it does not answer as for everybody unknown."""
        row = self.recommender.known_users.number(user)
        return row is not None and row < self.recommender.model.n_users

    @property
    def title(self) -> str:
        """Name of the model, with its preset."""
        model = self.settings.model
        return f"{model.name}/{model.preset}" if model.preset else model.name

    def name(self, item: str) -> str:
        """Name of an item for people, or its id."""
        return self.recommender.name(item)

    def _candidates(self, asked: Recommend) -> list[str] | None:
        """The items that may be shown, by candidates and filter together; None for all."""
        if asked.filter is None:
            return asked.candidates
        ids = self.recommender.known_items.ids
        matching = [ids[number] for number in np.flatnonzero(self.attributes.matching(asked.filter))]
        if asked.candidates is None:
            return matching
        allowed = set(matching)
        return [item for item in asked.candidates if item in allowed]

    @cached_property
    def gap(self) -> int:
        """Idle time in milliseconds that ends a session: the model's own, unless its sessions had ids."""
        folder = self.recommender.artifact.folder
        try:
            log = read_object(folder / self.facts["corpus"] / "manifest.json").get("log", {})
        except (OSError, ValueError):  # a model that was trained on a corpus elsewhere
            log = {}
        had_ids = self.settings.columns.session_id or (isinstance(log, dict) and log.get("has_session_id"))
        return milliseconds(_GAP_WITHOUT if had_ids else self.settings.sessions.gap)

    @cached_property
    def metrics(self) -> dict[str, Any]:
        """Part → what its evaluation wrote, where the model was measured."""
        found = evaluations_of(self.recommender.artifact.folder)
        return {part: {"metrics": each["metrics"], "events": each.get("events")} for part, each in found.items()}


def version_of(folder: Path) -> str:
    """The version of the model in a folder: the beginning of the hash of its manifest; empty where there is none."""
    try:
        return hashlib.sha256((folder / MANIFEST).read_bytes()).hexdigest()[:12]
    except OSError:
        return ""

"""What the routes do: the model and the live events together. It runs in threads of a worker, not on its event loop."""

from __future__ import annotations

import secrets
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Literal

from segue.server import answers
from segue.server.bodies import Explain, Happened, Recommend
from segue.server.card import card_of
from segue.server.counting import LiveCounts
from segue.server.engine import Engine, Known
from segue.server.live import LiveSession, Sessions, current, finished
from segue.server.problems import Refusal
from segue.server.settings import ServerSettings
from segue.server.store.event import Event, Store, StoreUnavailable
from segue.serving.answer import Answer
from segue.serving.asking import Running
from segue.settings.units import DAY, milliseconds

_SHOWN = 5
"""Favourites and earlier sessions of a user that are shown."""
_AHEAD = 60 * 60 * 1000
"""Milliseconds by which the clock of a client may be ahead."""


@dataclass(frozen=True)
class Replaying:
    """How events are played again; those from before the end of training count too.

    Attributes:
        history: whether sessions that have ended become history ("rolling") or not ("frozen").
        prepared: whether the events are those that a preparation has left.
    """

    history: Literal["frozen", "rolling"]
    prepared: bool


class Service:
    """Answers from a model and a store. The model is exchanged by setting :attr:`engine`; a request reads it
    once. An engine that comes later is told to :meth:`begin` before.

    An engine is asked by one thread alone (``recommend_all``, ``explain``, ``known``), see
    :class:`segue.server.answering.Answering`; everything else may be called from others meanwhile.

    Args:
        clock: the time now, epoch milliseconds.
        replaying: how events are played again; None: they happen now.
    """

    def __init__(
        self,
        engine: Engine,
        store: Store,
        settings: ServerSettings,
        clock: Callable[[], int] | None = None,
        *,
        replaying: Replaying | None = None,
    ) -> None:
        self.store, self.settings, self.clock, self._replaying = store, settings, clock or now_ms, replaying
        self.engine = engine
        self.begin(engine)
        self._process = secrets.token_hex(4)
        self._count = 0

    def begin(self, engine: Engine) -> None:
        """Let an engine whose memory is live count what has happened since its training, and from now on."""
        if engine.live is not None:
            most, since = self.settings.live_events, self._since(engine)
            engine.counts = LiveCounts(engine.live, self.store, self.sessions(engine), most, since)
            with suppress(StoreUnavailable):  # the next answer tries again
                engine.counts.catch_up()

    def recommend_all(self, engine: Engine, asked: Sequence[Recommend]) -> list[answers.Recommendation | Exception]:
        """The answers to several requests by one model, or what each of them ends with instead."""
        try:
            self._catch_up(engine)
        except StoreUnavailable as failure:
            return [failure] * len(asked)
        known = [self._tried(engine, each) for each in asked]
        able = [(each, its) for each, its in zip(asked, known, strict=True) if isinstance(its, Known)]
        given = iter(engine.recommend_all([each for each, _ in able], [its for _, its in able]))
        return [
            self._answer(engine, each, its, next(given)) if isinstance(its, Known) else its
            for each, its in zip(asked, known, strict=True)
        ]

    def _tried(self, engine: Engine, asked: Recommend) -> Known | Exception:
        """What is known of a request, or why that cannot be found out: the matter of this request alone."""
        try:
            return self._known(engine, asked)
        except Exception as failure:
            return failure

    def _answer(
        self, engine: Engine, asked: Recommend, known: Known, answer: Answer | Exception
    ) -> answers.Recommendation | Exception:
        if isinstance(answer, Exception):
            return answer
        doubts = engine.attributes.doubts(asked.filter or {})
        return answers.Recommendation(
            recommendation_id=self._next_id(),
            model_version=engine.version,
            items=self._shown(engine, answer, explain=asked.explain),
            skipped=list(answer.skipped),
            user_known=answer.user_known or known.live,
            warnings=[*known.about, *doubts, *answer.warnings],
        )

    def explain(self, engine: Engine, asked: Explain) -> answers.Explanation:
        """Why some items have the scores that they have."""
        request = asked.request()
        known = self.known(engine, request)
        answer, session, gate = engine.explain(request, known)
        return answers.Explanation(
            model_version=engine.version,
            items=self._shown(engine, answer, explain=True),
            session=session,
            gate=gate,
            skipped=list(answer.skipped),
            user_known=answer.user_known or known.live,
            warnings=[*known.about, *answer.warnings],
        )

    def _shown(self, engine: Engine, answer: Answer, *, explain: bool) -> list[answers.Recommended]:
        return [
            answers.Recommended(
                item=entry.item,
                name=engine.name(entry.item),
                score=entry.score,
                because=answers.Reason.model_validate(entry.because) if explain else None,
            )
            for entry in answer
        ]

    def known(self, engine: Engine, asked: Recommend) -> Known:
        """What live events say of whom a request is for."""
        self._catch_up(engine)
        return self._known(engine, asked)

    def _catch_up(self, engine: Engine) -> None:
        """Bring live counts level with the store. What is known of requests is read after it, so it is never older than
        the counts: an event that they hold and a session lacks would vouch for itself."""
        if engine.counts is not None:
            engine.counts.catch_up()

    def _known(self, engine: Engine, asked: Recommend) -> Known:
        counts = engine.counts
        now, cut, limit = self.clock(), self.sessions(engine), self.settings.history_events
        of_user = cut.of(self.store.of_user(asked.user, limit), now) if asked.user is not None else []
        standing = self._replaying is not None and self._replaying.history == "frozen"
        past = [] if standing else finished(of_user, self._since(engine))
        going_on, about = current(of_user), list[str]()
        if asked.session is not None:
            going_on = current(cut.of(self.store.of_session(asked.session, limit), now), asked.session)
            about = [] if going_on else [f"session '{asked.session}' has no live events, or has ended"]
        own = counts.own(going_on.name) if counts is not None and going_on else ((), ())
        running = Running(*own, going_on.start if going_on else None, past, bool(of_user))
        items: Sequence[str] = going_on.items if going_on else ()
        time = going_on.end if going_on else now if past or counts is not None else None
        if asked.items is not None:
            items, time = asked.items, now if time is not None else None
        return Known(items, running, time, bool(of_user), about)

    def _since(self, engine: Engine) -> int | None:
        """The end of the training data: what happened before is in the model already."""
        return None if self._replaying is not None else engine.recommender.trained_until

    def sessions(self, engine: Engine) -> Sessions:
        """How live events become sessions: as the model's own did."""
        chosen = self.settings.session_gap
        gap = milliseconds(chosen) if chosen is not None else engine.gap
        prepared = self._replaying is not None and self._replaying.prepared
        drop_repeats = engine.settings.sessions.drop_repeats and not prepared
        return Sessions(gap, engine.settings.filters.event_types, drop_repeats)

    def events(self, happened: Sequence[Happened]) -> list[Event]:
        """The events to keep. Raises Refusal for a time that is older than what is kept, or lies in the future, and for
        an item whose id is blank, which live counts would take for a new one."""
        now = self.clock()
        oldest = self.kept_from(now)
        events = [Event(e.session, e.item, e.time(now), e.user, e.type, e.id) for e in happened]
        for place, event in enumerate(events):
            if not event.item.strip():
                raise Refusal(422, f"event {place} has a blank item; send the item's id; nothing was kept")
            if not oldest <= event.time <= now + _AHEAD:
                why = f"older than the {self.settings.retention_days:g} days that are kept"
                why = why if event.time < oldest else "in the future"
                if 0 < event.time * 1000 <= now + _AHEAD and event.time * 1000 >= oldest:
                    why += "; it looks like seconds, and is read as milliseconds"
                raise Refusal(422, f"event {place} has the timestamp {event.time}, which is {why}; nothing was kept")
        return events

    def unknown_items(self, events: Sequence[Event]) -> int:
        """How many events are about an item that the model does not know, or not yet."""
        known = self.engine.recommender.known_items
        return sum(known.number(event.item) is None for event in events)

    def kept_from(self, now: int) -> int:
        """Time before which events are removed."""
        return now - int(self.settings.retention_days * DAY)

    def item(self, item: str) -> answers.Item:
        """An item with its neighbours. Raises Refusal for an unknown one."""
        engine = self.engine
        number = engine.catalogue.items.number(item)
        if number is None and engine.live is not None and engine.live.number(item) is not None:
            events, attributes = engine.live.events_of(item), engine.live.attributes_of(item)
            return answers.Item(
                item=item, name=engine.name(item), attributes=attributes, events=events, relations=[]
            )  # fmt: skip
        if number is None:
            raise Refusal(404, f"item {engine.catalogue.items.in_words([item[:256]])} is unknown to the model")
        return answers.Item(
            item=item,
            name=engine.name(item),
            attributes=engine.attributes.of(number),
            events=int(engine.catalogue.support[number]),
            relations=engine.catalogue.relations(item),
        )

    def find_items(self, part: str, limit: int) -> answers.Found:
        """Items by name or id; those that only live events name come last."""
        engine = self.engine
        new = engine.live.new_items() if engine.live is not None else []
        return answers.Found(results=engine.catalogue.find_items(part, limit, new))

    def find_users(self, part: str, limit: int) -> answers.Found:
        """Users by name or id, those that only live events name among them."""
        live = self.store.users(part, limit)
        return answers.Found(results=self.engine.catalogue.find_users(part, limit, live))

    def user(self, user: str) -> answers.User:
        """What is known of a user; an unknown one is known from the first event on."""
        engine, now = self.engine, self.clock()
        of_user = self.sessions(engine).of(self.store.of_user(user, self.settings.history_events), now)
        since = self._since(engine)  # of what began before, the model knows
        live = [session for session in of_user if not session.ended or since is None or session.start > since]
        trained = engine.catalogue.trained_sessions(user)
        counts = Counter(item for items, _ in trained for item in items)
        counts.update(item for session in live for item in session.items)
        ended = [self._visit(engine, session) for session in live if session.ended]
        before = [answers.Visit(items=self._named(engine, items), end=end, live=False) for items, end in trained]
        going_on = current(live)
        return answers.User(
            user=user,
            name=engine.catalogue.user_name(user),
            known=bool(of_user) or engine.knows_user(user),
            trained=engine.has_vector(user),
            favourites=[
                answers.Favourite(id=item, name=engine.name(item), events=count)
                for item, count in counts.most_common(_SHOWN)
            ],
            sessions=[*before, *ended][: -_SHOWN - 1 : -1],
            live_session=self._visit(engine, going_on) if going_on else None,
        )

    def forget(self, user: str) -> answers.Forgotten:
        """Remove a user's live events."""
        return answers.Forgotten(user=user, events=self.store.forget(user))

    def model(self) -> answers.Model:
        """The model that answers."""
        engine = self.engine
        live: dict[str, Any] = {
            "gap_ms": self.sessions(engine).gap,
            "event_types": engine.settings.filters.event_types,
            "retention_days": self.settings.retention_days,
            "counts": engine.counts is not None,
        }
        return answers.Model(
            model_version=engine.version,
            name=engine.title,
            fingerprint=engine.facts["corpus_fingerprint"],
            sizes=engine.catalogue.sizes,
            index=dict(engine.recommender.index_facts),
            settings=engine.settings.model_dump(mode="json"),
            metrics=engine.metrics,
            live=live,
        )

    def card(self) -> answers.ModelCard:
        """What the model was made of and how good it is."""
        return card_of(self.engine)

    def _visit(self, engine: Engine, session: LiveSession) -> answers.Visit:
        return answers.Visit(items=self._named(engine, session.items), end=session.end, live=True, session=session.name)

    def _named(self, engine: Engine, items: Sequence[str]) -> list[answers.Named]:
        return [answers.Named(id=item, name=engine.name(item)) for item in items]

    def _next_id(self) -> str:
        self._count += 1
        return f"{self._process}-{self._count:x}"


def now_ms() -> int:
    """The time now, epoch milliseconds."""
    return time.time_ns() // 1_000_000

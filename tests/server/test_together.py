"""Requests that wait at the same time are written, or answered, together, and each gets its own outcome."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from typing import cast

import in_process
import pytest

from segue.server.answering import TOGETHER, Answering
from segue.server.answers import Recommendation
from segue.server.bodies import Recommend
from segue.server.engine import Engine
from segue.server.problems import Refusal
from segue.server.service import Service
from segue.server.store.event import Event, Store, StoreUnavailable
from segue.server.store.writer import Writer


class SlowStore:
    """Notes what comes in one call; the first call waits until it is let go."""

    def __init__(self) -> None:
        self.calls: list[list[str]] = []
        self.go = threading.Event()
        self.fails = False

    def append(self, groups: Sequence[Sequence[Event]]) -> list[int]:
        self.calls.append([event.item for events in groups for event in events])
        self.go.wait(10)
        if self.fails:
            raise StoreUnavailable("the disk is full")
        return [len(events) for events in groups]


def clicks(*items: str) -> list[Event]:
    return [Event("s", item, 0) for item in items]


def test_events_that_come_while_the_disk_is_busy_are_one_transaction() -> None:
    store = SlowStore()
    writer = Writer(cast(Store, store))

    async def post() -> list[int]:
        first = asyncio.create_task(writer.append(clicks("a")))
        while not store.calls:
            await asyncio.sleep(0.001)
        others = [asyncio.create_task(writer.append(clicks(*"bc"))), asyncio.create_task(writer.append(clicks("d")))]
        await asyncio.sleep(0.01)
        store.go.set()
        return [await task for task in (first, *others)]

    assert asyncio.run(post()) == [1, 2, 1]
    assert store.calls == [["a"], ["b", "c", "d"]]
    writer.close()


def test_a_failure_reaches_all_whose_events_were_not_kept_and_the_next_ones_are_tried() -> None:
    store = SlowStore()
    store.go.set()
    store.fails = True
    writer = Writer(cast(Store, store))

    async def post() -> None:
        for outcome in await asyncio.gather(*(writer.append(clicks("a")) for _ in range(3)), return_exceptions=True):
            assert isinstance(outcome, StoreUnavailable)
        store.fails = False
        assert await writer.append(clicks("b")) == 1

    asyncio.run(post())
    writer.close()


def test_what_waits_is_written_before_the_end() -> None:
    store = SlowStore()
    writer = Writer(cast(Store, store))

    async def post() -> int:
        task = asyncio.create_task(writer.append(clicks("a")))
        while not store.calls:
            await asyncio.sleep(0.001)
        store.go.set()
        await asyncio.to_thread(writer.close)
        return await task

    assert asyncio.run(post()) == 1


class Noting:
    """A service that notes what it was asked together."""

    def __init__(self) -> None:
        self.engine = cast(Engine, "old")
        self.asked: list[tuple[Engine, list[str]]] = []
        self.go = threading.Event()

    def recommend_all(self, engine: Engine, asked: Sequence[Recommend]) -> list[Recommendation | Refusal]:
        self.asked.append((engine, [str(each.user) for each in asked]))
        self.go.wait(10)
        return [Refusal(404, str(each.user)) for each in asked]


def test_requests_are_answered_together_in_order_and_by_the_model_that_they_began_with() -> None:
    service = Noting()
    answering = Answering(cast(Service, service))

    async def ask() -> list[BaseException | Recommendation]:
        tasks = [asyncio.create_task(answering.answer(Recommend(user="0")))]
        while not service.asked:
            await asyncio.sleep(0.001)
        tasks += [asyncio.create_task(answering.answer(Recommend(user=str(n)))) for n in range(1, TOGETHER + 3)]
        await asyncio.sleep(0.01)
        service.engine = cast(Engine, "new")
        tasks.append(asyncio.create_task(answering.answer(Recommend(user="last"))))
        tasks[3].cancel()
        await asyncio.sleep(0.01)
        service.go.set()
        return await asyncio.gather(*tasks, return_exceptions=True)

    outcomes = asyncio.run(ask())
    answering.close()
    waiting = [str(n) for n in range(1, TOGETHER + 3) if n != 3]
    assert service.asked == [
        ("old", ["0"]),
        ("old", waiting[:TOGETHER]),
        ("old", waiting[TOGETHER:]),
        ("new", ["last"]),
    ]
    assert isinstance(outcomes.pop(3), asyncio.CancelledError)
    assert [str(outcome) for outcome in outcomes] == ["0", *waiting, "last"]


def test_one_refused_request_of_several_spoils_no_other() -> None:
    service = in_process.service()
    asked = [Recommend(items=["first1"]), Recommend.model_validate({"filter": {"x": {"equals": "y"}}}), Recommend()]
    found = service.recommend_all(service.engine, asked)
    assert [type(each) for each in found] == [Recommendation, Refusal, Recommendation]


def test_a_batch_is_answered_by_one_model_although_others_get_their_turn() -> None:
    answering = Answering(in_process.service())
    batch = [Recommend(items=["first1"], k=1)] * (3 * TOGETHER)
    found = asyncio.run(answering.answer_all(batch))
    answering.close()
    assert len(found) == len(batch)
    assert {each.model_version for each in found} == {in_process.service().engine.version}
    with pytest.raises(Refusal):
        asyncio.run(Answering(cast(Service, _refusing())).answer_all(batch))


def _refusing() -> Noting:
    service = Noting()
    service.go.set()
    return service


def test_requests_that_are_scored_together_get_what_each_gets_alone() -> None:
    service = in_process.service()
    sessions = (["first1"], ["first2", "second2"], [], ["second0", "a0", "first1"])
    asked = [Recommend(user=user, items=items) for user in (None, "user01", "nobody") for items in sessions]
    together = service.recommend_all(service.engine, asked)
    for request, found in zip(asked, together, strict=True):
        (alone,) = service.recommend_all(service.engine, [request])
        assert isinstance(found, Recommendation)
        assert isinstance(alone, Recommendation)
        assert [each.item for each in found.items] == [each.item for each in alone.items]
        assert [each.score for each in found.items] == pytest.approx([each.score for each in alone.items], abs=1e-4)
        assert (found.warnings, found.user_known) == (alone.warnings, alone.user_known)

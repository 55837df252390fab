"""The one thread that asks the model: lists that wait at the same time are made together, explanations one by one."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from segue.server.answers import Explanation, Recommendation
from segue.server.bodies import Explain, Recommend
from segue.server.engine import Engine
from segue.server.service import Service

TOGETHER = 8
"""Most requests that are answered together: the first of them waits for the last."""
_Outcome: TypeAlias = Recommendation | Explanation | Exception


@dataclass(frozen=True)
class _Waiting:
    """A request, the model that it began with, and who waits for the answer."""

    asked: Recommend | Explain
    engine: Engine
    done: asyncio.Future[Any]
    loop: asyncio.AbstractEventLoop

    def joins(self, first: _Waiting) -> bool:
        """Whether it may be answered together with another one."""
        lists = isinstance(self.asked, Recommend) and isinstance(first.asked, Recommend)
        return lists and self.engine is first.engine and self.loop is first.loop


class Answering:
    """Answers in the order of the requests, off the event loop.

    Two threads would only share one interpreter; and live counts move on with every answer, which one alone may do.
    """

    def __init__(self, service: Service) -> None:
        self._service = service
        self._queue: deque[_Waiting] = deque()
        self._news = threading.Condition()
        self._ended = False
        self._thread = threading.Thread(target=self._work, name="segue-answer", daemon=True)
        self._thread.start()

    async def answer(self, asked: Recommend) -> Recommendation:
        """The answer to one request. Raises Refusal and StoreUnavailable."""
        found: Recommendation = await self._put([asked], self._service.engine)[0]
        return found

    async def explain(self, asked: Explain) -> Explanation:
        """Why some items have their scores. Raises Refusal and StoreUnavailable."""
        found: Explanation = await self._put([asked], self._service.engine)[0]
        return found

    async def answer_all(self, asked: Sequence[Recommend]) -> list[Recommendation]:
        """The answers to several requests, all by one model; in between, others get their turn.

        Raises Refusal and StoreUnavailable.
        """
        engine, found = self._service.engine, list[Recommendation]()
        for start in range(0, len(asked), TOGETHER):
            found += await asyncio.gather(*self._put(asked[start : start + TOGETHER], engine))
        return found

    def close(self) -> None:
        """Answer what is waiting, and end the thread."""
        with self._news:
            self._ended = True
            self._news.notify()
        self._thread.join()

    def _put(self, asked: Sequence[Recommend | Explain], engine: Engine) -> list[asyncio.Future[Any]]:
        loop = asyncio.get_running_loop()
        waiting = [_Waiting(each, engine, loop.create_future(), loop) for each in asked]
        with self._news:
            self._queue.extend(waiting)
            self._news.notify()
        return [each.done for each in waiting]

    def _work(self) -> None:
        while (taken := self._take()) is not None:
            if not taken:
                continue
            outcomes: Sequence[_Outcome]
            try:
                outcomes = self._asked(taken[0].engine, [each.asked for each in taken])
            except Exception as error:
                outcomes = [error] * len(taken)
            taken[0].loop.call_soon_threadsafe(_resolve, taken, outcomes)

    def _asked(self, engine: Engine, asked: Sequence[Recommend | Explain]) -> Sequence[_Outcome]:
        lists = [each for each in asked if isinstance(each, Recommend)]
        if lists:
            return self._service.recommend_all(engine, lists)
        return [self._service.explain(engine, each) for each in asked if isinstance(each, Explain)]

    def _take(self) -> list[_Waiting] | None:
        """The requests to answer next: lists of one model and one loop, or an explanation; None at the end."""
        with self._news:
            self._news.wait_for(lambda: self._queue or self._ended)
            if not self._queue:
                return None
            taken: list[_Waiting] = []
            while self._queue and len(taken) < TOGETHER:
                following = self._queue[0]
                if taken and not following.joins(taken[0]):
                    break
                self._queue.popleft()
                if not following.done.cancelled():  # nobody waits any more for what took too long
                    taken.append(following)
            return taken


def _resolve(taken: Sequence[_Waiting], outcomes: Sequence[_Outcome]) -> None:
    for waiting, outcome in zip(taken, outcomes, strict=True):
        if waiting.done.done():
            continue
        if isinstance(outcome, Exception):
            waiting.done.set_exception(outcome)
        else:
            waiting.done.set_result(outcome)

"""The thread that asks the model: requests that wait at the same time are answered together."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

from segue.server.answers import Recommendation
from segue.server.bodies import Recommend
from segue.server.engine import Engine
from segue.server.service import Service

TOGETHER = 8
"""Most requests that are answered together: the first of them waits for the last."""
_Outcome: TypeAlias = Recommendation | Exception


@dataclass(frozen=True)
class _Waiting:
    """A request, the model that it began with, and who waits for the answer."""

    asked: Recommend
    engine: Engine
    done: asyncio.Future[Recommendation]
    loop: asyncio.AbstractEventLoop


class Answering:
    """Answers in the order of the requests, off the event loop. Two threads would only share one interpreter."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._queue: deque[_Waiting] = deque()
        self._news = threading.Condition()
        self._ended = False
        self._thread = threading.Thread(target=self._work, name="segue-answer", daemon=True)
        self._thread.start()

    async def answer(self, asked: Recommend) -> Recommendation:
        """The answer to one request. Raises Refusal and StoreUnavailable."""
        return await self._put([asked], self._service.engine)[0]

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

    def _put(self, asked: Sequence[Recommend], engine: Engine) -> list[asyncio.Future[Recommendation]]:
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
                outcomes = self._service.recommend_all(taken[0].engine, [each.asked for each in taken])
            except Exception as error:
                outcomes = [error] * len(taken)
            taken[0].loop.call_soon_threadsafe(_resolve, taken, outcomes)

    def _take(self) -> list[_Waiting] | None:
        """The requests to answer next, all of one model and one loop; None at the end."""
        with self._news:
            self._news.wait_for(lambda: self._queue or self._ended)
            if not self._queue:
                return None
            taken: list[_Waiting] = []
            while self._queue and len(taken) < TOGETHER:
                following = self._queue[0]
                if taken and (following.engine is not taken[0].engine or following.loop is not taken[0].loop):
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

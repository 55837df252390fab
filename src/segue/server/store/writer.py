"""Events of many requests that are written together: one sync of the disk acknowledges all that waited for it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from dataclasses import dataclass

from segue.server.store.event import Event, Store, StoreUnavailable

_MOST = 5_000
"""Most events of one transaction."""


@dataclass(frozen=True)
class _Handed:
    """The events of one request, and who waits for them."""

    events: Sequence[Event]
    done: asyncio.Future[int]
    loop: asyncio.AbstractEventLoop


class Writer:
    """A thread that writes what requests hand in, in their order.

    While one transaction is on its way to the disk, the events of the next one gather.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._waiting: list[_Handed] = []
        self._news = threading.Condition()
        self._ended = False
        self._thread = threading.Thread(target=self._work, name="segue-writer", daemon=True)
        self._thread.start()

    async def append(self, events: Sequence[Event]) -> int:
        """Keep events; returns, once they are safe, how many were new. Raises StoreUnavailable."""
        loop = asyncio.get_running_loop()
        done: asyncio.Future[int] = loop.create_future()
        with self._news:
            self._waiting.append(_Handed(events, done, loop))
            self._news.notify()
        return await done

    def close(self) -> None:
        """Write what is waiting, and end the thread."""
        with self._news:
            self._ended = True
            self._news.notify()
        self._thread.join()

    def _work(self) -> None:
        while True:
            with self._news:
                self._news.wait_for(lambda: self._waiting or self._ended)
                if not self._waiting:
                    return
                taken, self._waiting = self._group()
            self._write(taken)

    def _group(self) -> tuple[list[_Handed], list[_Handed]]:
        """The requests of the next transaction, and those left for later."""
        count = 0
        for place, handed in enumerate(self._waiting):
            count += len(handed.events)
            if count > _MOST and place:
                return self._waiting[:place], self._waiting[place:]
        return self._waiting, []

    def _write(self, taken: list[_Handed]) -> None:
        try:
            counts = self._store.append([handed.events for handed in taken])
        except Exception as error:
            failure = error if isinstance(error, StoreUnavailable) else StoreUnavailable(f"writing failed: {error}")
            for handed in taken:
                handed.loop.call_soon_threadsafe(_fail, handed.done, failure)
            return
        for handed, count in zip(taken, counts, strict=True):
            handed.loop.call_soon_threadsafe(_resolve, handed.done, count)


def _resolve(done: asyncio.Future[int], count: int) -> None:
    if not done.done():  # the request may have been given up meanwhile
        done.set_result(count)


def _fail(done: asyncio.Future[int], failure: Exception) -> None:
    if not done.done():
        done.set_exception(failure)

"""The line between a worker and the process that started it: lines of JSON over a pair of sockets.

A new model is taken in two steps, so that all workers take it or none does: every worker loads it beside the old one
and says so; when all have, they are told to swap.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from contextlib import suppress
from socket import socket
from typing import Any

from segue.server.problems import Refusal

Message = dict[str, Any]


class Line:
    """One end of the line."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    @classmethod
    async def over(cls, end: socket) -> Line:
        """The line over one of a pair of connected sockets."""
        return cls(*await asyncio.open_unix_connection(sock=end))

    def send(self, **message: Any) -> None:
        """Send a message; nothing happens where the other end has gone."""
        with suppress(OSError, RuntimeError):
            self._writer.write(json.dumps(message).encode() + b"\n")

    async def receive(self) -> Message | None:
        """The next message; None when the other end has gone."""
        with suppress(OSError):
            received = await self._reader.readline()
            if received.endswith(b"\n"):
                message: Message = json.loads(received)
                return message
        return None

    async def hang_up(self) -> None:
        """End the line, once what was said is sent."""
        with suppress(OSError, RuntimeError):
            self._writer.close()
            await self._writer.wait_closed()


class Control:
    """The worker's end: it asks for a reload, and obeys the two steps of one.

    Args:
        load: loads the model that is in the folder now, off the event loop, and returns its version.
        swap: lets the loaded model answer from now on. drop: forgets it, since another worker could not load it.
        stop: asks this worker to end.
    """

    def __init__(
        self,
        line: Line,
        load: Callable[[], Awaitable[str]],
        swap: Callable[[], None],
        drop: Callable[[], None],
        stop: Callable[[], None],
    ) -> None:
        self._line, self._load, self._swap, self._drop, self._stop = line, load, swap, drop, stop
        self._asked: asyncio.Future[Message] | None = None
        self._loading: asyncio.Task[None] | None = None

    async def reload(self) -> str:
        """Have all workers take the model that is in the folder now; returns its version. Raises Refusal."""
        if self._asked is None:
            self._asked = asyncio.get_running_loop().create_future()
            self._line.send(say="reload")
        message = await asyncio.shield(self._asked)
        if "version" not in message:
            raise Refusal(409, f"the model was not taken, the old one goes on answering: {message['why']}")
        return str(message["version"])

    async def obey(self) -> None:
        """Do what the other end says until it hangs up, which means to stop too."""
        while (message := await self._line.receive()) is not None:
            say = message["say"]
            if say == "load":
                self._loading = asyncio.create_task(self._take())
            elif say == "swap":
                self._swap()
                self._line.send(say="swapped")
            elif say == "drop":
                self._drop()
            elif say == "reloaded" and self._asked is not None:
                self._asked.set_result(message)
                self._asked = None
            elif say == "stop":
                break
        self._stop()

    async def _take(self) -> None:
        try:
            self._line.send(say="loaded", version=await self._load())
        except Exception as error:
            self._line.send(say="refused", why=str(error) or type(error).__name__)

"""A route: what it reads, does and answers; and what all routes work with."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar

from pydantic import BaseModel

from segue.server.answering import Answering
from segue.server.control import Control
from segue.server.service import Service
from segue.server.store.writer import Writer

T = TypeVar("T")


@dataclass(frozen=True)
class Context:
    """What the routes work with.

    Attributes:
        looking_up: the threads for what takes time and does not ask the model.
        tokens: whether guarded routes need a token.
    """

    service: Service
    writer: Writer
    control: Control
    answering: Answering
    looking_up: ThreadPoolExecutor
    tokens: bool = False

    async def look_up(self, work: Callable[..., T], *arguments: Any) -> T:
        """Run what reads or writes, off the event loop."""
        return await asyncio.get_running_loop().run_in_executor(self.looking_up, work, *arguments)


@dataclass(frozen=True)
class Plain:
    """An answer that is no JSON of a declared class."""

    media_type: str
    body: bytes
    headers: Sequence[tuple[bytes, bytes]] = ()


Handler = Callable[[Context, Any, str], Awaitable[BaseModel | Plain]]
"""Takes the context, the body or query as its declared class (None where none is declared), and the id of the path."""


@dataclass(frozen=True)
class Route:
    """One operation.

    Attributes:
        answer: class of the answer, or its media type.
        reads: class of the body (POST) or of the query (GET); None where nothing is read.
        problems: statuses of the problems that it may end with, beside those of every route.
        guarded: whether it needs a token where tokens are set.
        described: whether the description of the API names it; the files of the page are none of the API.
        unhurried: whether it may take longer than the settings allow others.
    """

    method: str
    path: str
    name: str
    summary: str
    handler: Handler
    answer: type[BaseModel] | str
    reads: type[BaseModel] | None = None
    status: int = 200
    problems: Sequence[int] = ()
    guarded: bool = False
    described: bool = True
    unhurried: bool = False

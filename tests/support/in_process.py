"""The application of the server inside the test's own process, asked without a network."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, cast

import httpx
import small_logs

from segue.server.answering import Answering
from segue.server.app import App
from segue.server.control import Control
from segue.server.engine import Engine
from segue.server.problems import Refusal
from segue.server.route import Context
from segue.server.service import Service
from segue.server.settings import ServerSettings
from segue.server.store.sqlite import SqliteStore
from segue.server.store.writer import Writer
from segue.server.tokens import Tokens


class _Alone:
    """The control of a worker that nobody started."""

    async def reload(self) -> str:
        raise Refusal(409, "there are no workers here")


@cache
def _home() -> TemporaryDirectory[str]:
    return TemporaryDirectory(prefix="segue-tests-")


@cache
def service() -> Service:
    """A counting model and an empty state."""
    return Service(
        Engine(small_logs.counting_model("markov", "")),
        SqliteStore(Path(_home().name) / "state"),
        ServerSettings(log_requests=False),
    )


@cache
def app() -> App:
    return app_of(service(), service().settings)


def app_of(asked: Service, settings: ServerSettings) -> App:
    """The application over a service that may be made for one test."""
    control = cast(Control, _Alone())
    context = Context(asked, Writer(service().store), control, Answering(asked), ThreadPoolExecutor(1))
    return App(context, settings, Tokens())


def client(of: App) -> httpx.AsyncClient:
    transport = httpx.ASGITransport(cast("Callable[..., Awaitable[None]]", of))
    return httpx.AsyncClient(transport=transport, base_url="http://segue")


def asked(method: str, path: str, **request: Any) -> httpx.Response:
    """The answer to one request."""

    async def ask() -> httpx.Response:
        async with client(app()) as http:
            return await http.request(method, path, **request)

    return asyncio.run(ask())

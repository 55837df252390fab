"""One worker: a process that loads the model, opens the store and answers requests on a socket it was given.

It is started by :mod:`segue.server.run` as ``python -m segue.server.worker SPECIFICATION``, and hears from it over a
line of its own, see :mod:`segue.server.control`.
"""

from __future__ import annotations

import asyncio
import gc
import signal
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from socket import socket

import uvicorn
import uvloop

from segue.errors import UserMistake
from segue.server import metrics
from segue.server.answering import Answering
from segue.server.app import App
from segue.server.control import Control, Line
from segue.server.engine import Engine
from segue.server.patience import within
from segue.server.route import Context
from segue.server.service import Service, now_ms
from segue.server.settings import ServerSettings
from segue.server.store.event import StoreUnavailable
from segue.server.store.measured import MeasuredStore
from segue.server.store.opening import open_store
from segue.server.store.writer import Writer
from segue.server.tokens import Tokens, read_tokens
from segue.serving.index import IndexSettings
from segue.settings.base import Config
from segue.system import log_lines
from segue.system.exit_codes import Exit

_PRUNE_EVERY = 3600.0
"""Seconds between two removals of old events."""
_FAREWELL = 0.5
"""Seconds in which a server that stops tells the clients that still ask to come no more."""
_KEEP_ALIVE = 75
"""Seconds for which an idle connection is kept: a little longer than proxies keep theirs."""


class Specification(Config):
    """What a worker is told when it is started.

    Attributes:
        number: of the workers, from 0. listening, line: descriptors of the sockets that it inherits.
    """

    model: Path
    state: Path
    store: str
    token_file: Path | None = None
    settings: ServerSettings = ServerSettings()
    live: bool = False
    live_weights: Path | None = None
    live_items: Path | None = None
    number: int = 0
    listening: int
    line: int


@dataclass
class _Models:
    """The model that answers, and the one that was loaded to take its place."""

    given: Specification
    service: Service
    loaded: Engine | None = None

    async def load(self) -> str:
        """Load what is in the folder now, and count what happened since; returns its version."""
        self.loaded = await asyncio.to_thread(self._loaded)
        return self.loaded.version

    def _loaded(self) -> Engine:
        engine = _engine(self.given)
        self.service.begin(engine)
        return engine

    def swap(self) -> None:
        """Let the loaded model answer; requests that have begun end with the model that they began with."""
        if self.loaded is not None:
            metrics.model(self.loaded.version, previous=self.service.engine.version)
            self.service.engine, self.loaded = self.loaded, None

    def drop(self) -> None:
        """Forget the loaded model."""
        self.loaded = None


class _Server(uvicorn.Server):
    """A server that leaves signals to this module."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def main() -> None:
    """Work as the specification in the first argument says."""
    given = Specification.model_validate_json(sys.argv[1])
    log_lines.take_over()
    # A terminal sends its signals to all processes of the command: the one that started this worker answers them.
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    uvloop.run(_work(given))


async def _work(given: Specification) -> None:
    line = await Line.over(socket(fileno=given.line))
    try:
        service, tokens = await asyncio.to_thread(_opened, given)
    except UserMistake as error:
        line.send(say="failed", why=str(error))
        await line.hang_up()
        sys.exit(Exit.MISTAKE)
    models = _Models(given, service)
    ending = asyncio.Event()
    control = Control(line, models.load, models.swap, models.drop, ending.set)
    answering, writer = Answering(service), Writer(service.store)
    looking_up = ThreadPoolExecutor(4, "segue-look-up")
    context = Context(service, writer, control, answering, looking_up, bool(tokens))
    app = App(context, given.settings, tokens)
    server = _Server(_config(app, given.settings))
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ending.set)
    works = (control.obey(), _say_ready(server, line, service.engine.version), _end(ending, app, server))
    tasks = [asyncio.create_task(work) for work in works]
    if given.number == 0:
        tasks.append(asyncio.create_task(_prune(service)))
    try:
        await server.serve(sockets=[socket(fileno=given.listening)])
    finally:
        for task in tasks:
            task.cancel()
        for thread in (answering, writer):
            thread.close()
        looking_up.shutdown(cancel_futures=True)
        service.store.close()
        await line.hang_up()
        gc.unfreeze()  # libraries written in C++ complain of what is left over


def _opened(given: Specification) -> tuple[Service, Tokens]:
    """The model, the store and the tokens. Raises UserMistake."""
    engine = _engine(given)
    store = MeasuredStore(open_store(given.store, given.state, given.settings))
    metrics.model(engine.version)
    gc.collect()
    gc.freeze()  # what was loaded is not looked at again by every collection
    return Service(engine, store, given.settings), read_tokens(given.token_file)


def _engine(given: Specification) -> Engine:
    """The model that is in the folder now. Raises ArtifactError when it is missing or damaged."""
    settings = given.settings
    index = IndexSettings(settings.index_above, settings.index_breadth, settings.index_recall, given.state)
    engine = Engine(
        given.model, live=given.live, live_weights=given.live_weights, live_items=given.live_items, index=index
    )
    facts = engine.recommender.index_facts
    if facts != {"kind": "exact"}:  # of the usual case there is nothing to say
        log_lines.line("info", "index", version=engine.version, **facts)
    return engine


async def _say_ready(server: uvicorn.Server, line: Line, version: str) -> None:
    """Tell the starting process, once connections are accepted."""
    while not server.started:
        await asyncio.sleep(0.01)
    line.send(say="ready", version=version)


async def _end(ending: asyncio.Event, app: App, server: uvicorn.Server) -> None:
    """Let connections in use end with their next answer, and then the server.

    A connection that is closed while a request is on its way to it fails for the client; one that was told to close
    is not used again.
    """
    await ending.wait()
    app.ending = True
    with suppress(TimeoutError):  # idle connections are left: they are closed
        async with asyncio.timeout(_FAREWELL):
            while server.server_state.connections:
                await asyncio.sleep(0.02)
    server.should_exit = True


async def _prune(service: Service) -> None:
    """Remove what is older than it may be, now and every hour."""
    while True:
        try:
            before = service.kept_from(now_ms())
            count = await asyncio.to_thread(service.store.prune, before)
            if count:
                log_lines.line("info", "pruned", events=count)
        except StoreUnavailable as error:
            log_lines.line("error", "store", why=str(error))
        await asyncio.sleep(_PRUNE_EVERY)


def _config(app: App, settings: ServerSettings) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        http=within(settings.body_seconds),
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=_KEEP_ALIVE,
        timeout_graceful_shutdown=max(1, round(settings.stop_seconds)),
    )


if __name__ == "__main__":
    main()

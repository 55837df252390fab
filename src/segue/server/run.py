"""The process that starts the workers, keeps them alive, lets them take a new model, and stops them.

It binds the port, so that no connection is lost when a worker dies, and holds no model itself.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
import tempfile
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from prometheus_client import multiprocess

from segue.errors import ConfigError, UserMistake
from segue.server.control import Line, Message
from segue.server.settings import ServerSettings
from segue.system.limits import asked_for
from segue.system.log_lines import line as log

_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 10.0
"""Seconds before a worker that died is replaced: the first time, and at most."""
_LOADING = 600.0
"""Seconds that workers may take to load a model."""


@dataclass(frozen=True)
class Plan:
    """What is to be served, and how."""

    model: Path
    host: str
    port: int
    workers: int
    state: Path
    store: str
    token_file: Path | None
    settings: ServerSettings
    live: bool = False
    live_weights: Path | None = None
    live_items: Path | None = None


@dataclass
class _Worker:
    """A worker and what it has said."""

    process: asyncio.subprocess.Process
    line: Line
    version: str | None = None
    heard: asyncio.Queue[Message] = field(default_factory=asyncio.Queue)


class Ready(NamedTuple):
    """The server answers: at which address, with which version of the model."""

    address: str
    version: str


def bound(host: str, port: int) -> socket.socket:
    """A socket bound to an address. Raises ConfigError where that is taken or does not exist."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listening = socket.socket(family, kind, protocol)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
        listening.listen(2048)  # here too: two servers may be bound to a port as long as neither listens
    except (OSError, UnicodeError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise ConfigError(f"cannot listen on {host}:{port}: {reason}; choose another --port or --host") from None
    return listening


def serve(plan: Plan, ready: Callable[[Ready], None]) -> None:
    """Serve until a signal says to stop. `ready` is called once all workers answer.

    Raises UserMistake where the port, the model or the state cannot be used.
    """
    with bound(plan.host, plan.port) as listening, tempfile.TemporaryDirectory(prefix="segue-serve-") as figures:
        asyncio.run(_Supervisor(plan, listening, figures).run(ready))


class _Supervisor:
    def __init__(self, plan: Plan, listening: socket.socket, figures: str) -> None:
        self._plan, self._listening, self._figures = plan, listening, figures
        self._workers: dict[int, _Worker] = {}
        self._version = ""
        self._stopping = asyncio.Event()
        self._reloading = asyncio.Lock()
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self, ready: Callable[[Ready], None]) -> None:
        """Start the workers, and stay until the end."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._stopping.set)
        loop.add_signal_handler(signal.SIGHUP, lambda: self._do(self._reload(None)))
        try:
            keeping = [asyncio.create_task(self._keep(number)) for number in range(self._plan.workers)]
            await self._all_ready(keeping)
            if not self._stopping.is_set():
                ready(Ready(self._address(), self._version))
            await self._stopping.wait()
        finally:
            self._stopping.set()
            await self._stop()

    async def _all_ready(self, keeping: list[asyncio.Task[None]]) -> None:
        """Wait until all workers answer; a mistake of one of them is raised."""
        stopping = asyncio.create_task(self._stopping.wait())
        while not self._stopping.is_set():
            up = [worker for worker in self._workers.values() if worker.version is not None]
            if len(up) == self._plan.workers:
                self._version = up[0].version or ""
                break
            done, _ = await asyncio.wait([*keeping, stopping], timeout=0.02, return_when=asyncio.FIRST_EXCEPTION)
            for task in done - {stopping}:
                task.result()
        stopping.cancel()

    async def _keep(self, number: int) -> None:
        """Run worker after worker at one place. Raises UserMistake where the first one cannot begin."""
        pause, once_ready = _FIRST_PAUSE, False
        while not self._stopping.is_set():
            worker = await self._start(number)
            failure = await self._listen(worker)
            await worker.process.wait()
            multiprocess.mark_process_dead(worker.process.pid, self._figures)  # type: ignore[no-untyped-call]
            worker.heard.put_nowait({"say": "refused", "why": "a worker died"})
            self._workers.pop(number, None)
            if self._stopping.is_set():
                return
            once_ready = once_ready or worker.version is not None
            if not once_ready:
                raise UserMistake(failure or f"a worker ended with code {worker.process.returncode} before it answered")
            log("error", "worker", why=failure or "it died", code=worker.process.returncode, next_in=pause)
            await asyncio.sleep(pause)
            pause = _FIRST_PAUSE if worker.version is not None else min(2 * pause, _LONGEST_PAUSE)

    async def _start(self, number: int) -> _Worker:
        from segue.server.worker import Specification

        ours, theirs = socket.socketpair()
        with theirs:
            plan, descriptors = self._plan, (self._listening.fileno(), theirs.fileno())
            given = Specification(
                model=plan.model, state=plan.state, store=plan.store, token_file=plan.token_file,
                settings=plan.settings, live=plan.live, live_weights=plan.live_weights,
                live_items=plan.live_items, number=number, listening=descriptors[0], line=descriptors[1],
            )  # fmt: skip
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "segue.server.worker", given.model_dump_json(),
                pass_fds=descriptors, env=self._environment(), stdin=asyncio.subprocess.DEVNULL,
            )  # fmt: skip
        worker = _Worker(process, await Line.over(ours))
        self._workers[number] = worker
        return worker

    async def _listen(self, worker: _Worker) -> str | None:
        """Hear a worker until it hangs up; returns why it failed, where it said so."""
        failure: str | None = None
        while (message := await worker.line.receive()) is not None:
            say = message["say"]
            if say == "failed":
                failure = str(message["why"])
            elif say == "ready":
                worker.version = str(message["version"])
                if self._version and worker.version != self._version:
                    self._do(self._reload(None))  # the folder was replaced meanwhile: no two versions answer for long
            elif say == "reload":
                self._do(self._reload(worker))
            else:
                worker.heard.put_nowait(message)
        await worker.line.hang_up()
        return failure

    async def _reload(self, asked_by: _Worker | None) -> None:
        """Let all workers take the model that is in the folder now, or none."""
        async with self._reloading:
            workers = [worker for worker in self._workers.values() if worker.version is not None]
            answers = await self._told(workers, "load", "loaded")
            refused = [str(each.get("why", "")) for each in answers if each["say"] != "loaded"]
            versions = {str(each["version"]) for each in answers if each["say"] == "loaded"}
            if refused or len(versions) != 1:
                for worker in workers:
                    worker.line.send(say="drop")
                result = {"why": refused[0] if refused else "the folder changed while it was read; try again"}
            else:
                await self._told(workers, "swap", "swapped")
                self._version = versions.pop()
                for worker in workers:
                    worker.version = self._version
                result = {"version": self._version}
            log("error" if refused else "info", "reload", **result)
            if asked_by is not None:
                asked_by.line.send(say="reloaded", **result)

    async def _told(self, workers: list[_Worker], say: str, answer: str) -> list[Message]:
        """Tell all workers something, and wait for what each answers."""
        for worker in workers:
            while not worker.heard.empty():
                worker.heard.get_nowait()
            worker.line.send(say=say)
        late: Message = {"say": "refused", "why": f"a worker has not {answer} it within {_LOADING:g} seconds"}
        try:
            async with asyncio.timeout(_LOADING):
                return [await worker.heard.get() for worker in workers]
        except TimeoutError:
            return [late]

    async def _stop(self) -> None:
        """Ask all workers to finish what they began; those that do not are killed."""
        for worker in self._workers.values():
            worker.line.send(say="stop")
        ending = [asyncio.create_task(worker.process.wait()) for worker in self._workers.values()]
        if ending:
            await asyncio.wait(ending, timeout=self._plan.settings.stop_seconds + 5)
        for worker in self._workers.values():
            if worker.process.returncode is None:
                worker.process.kill()
                await worker.process.wait()

    def _do(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _environment(self) -> dict[str, str]:
        threads = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"} if self._plan.workers > 1 else {}
        return {**os.environ, **threads, **asked_for(), "PROMETHEUS_MULTIPROC_DIR": self._figures}

    def _address(self) -> str:
        host, port = self._listening.getsockname()[:2]
        return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"

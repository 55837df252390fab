"""Servers as processes of their own, a real Redis among them, and what talks to them."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import small_logs

SERVE = [*small_logs.COMMAND, "serve"]
LEAN = [sys.executable, str(Path(__file__).with_name("serving_program.py"))]
"""The same without the imports of the whole command line, which take as long as all the rest."""
PATIENCE = 60.0


class Server:
    """A running ``segue serve``.

    Attributes:
        url: its address. pid: of the process that started the workers.
    """

    def __init__(self, process: subprocess.Popen[str], home: Path) -> None:
        self.process, self._errors = process, home / "stderr"
        self.url, self.line = "", ""

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def log(self) -> str:
        """What stands on stderr."""
        return self._errors.read_text()

    def lines_with(self, word: str) -> list[str]:
        """The lines on stderr that have this word, once there is one: the server writes after it has answered."""
        until = time.monotonic() + PATIENCE
        while not (found := [line for line in self.log.splitlines() if word in line]):
            assert time.monotonic() < until, self.log
            time.sleep(0.02)
        return found

    def wait_ready(self) -> None:
        """Wait for its one line."""
        assert self.process.stdout is not None
        watch = threading.Timer(PATIENCE, self.process.kill)
        watch.start()
        self.line = self.process.stdout.readline()
        watch.cancel()
        assert " serves " in self.line, self.log
        self.url = self.line.split()[0]

    def workers(self) -> list[int]:
        """Ids of the processes that answer."""
        children = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()
        return [int(child) for child in children]

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Ask it to end; returns its exit code."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        try:
            return self.process.wait(PATIENCE)
        finally:
            self.process.kill()


@contextmanager
def serving(model: Path, *arguments: object, program: list[str] = LEAN) -> Iterator[Server]:
    """A server on a free port, with a state of its own unless the arguments name one."""
    with tempfile.TemporaryDirectory(prefix="segue-tests-") as home:
        state = [] if "--state" in arguments else ["--state", f"{home}/state"]
        command = [*program, str(model), "--port", "0", *state, *map(str, arguments)]
        with (Path(home) / "stderr").open("w") as errors:
            process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True)
        server = Server(process, Path(home))
        try:
            server.wait_ready()
            yield server
        finally:
            server.stop()


def redis_program() -> str | None:
    """The Redis or Valkey server of this machine; None where there is none."""
    return shutil.which("redis-server") or shutil.which("valkey-server")


class Redis:
    """A real server of its own on loopback, which can be killed and started again with what it had kept."""

    def __init__(self, home: Path) -> None:
        self._home = home
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        program = redis_program()
        assert program is not None
        command = [program, "--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self._home)]
        command += ["--save", "", "--appendonly", "yes", "--appendfsync", "always"]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        for _ in range(200):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(0.02)
        raise AssertionError("redis-server does not answer")

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()


@contextmanager
def redis_of_its_own(home: Path) -> Iterator[Redis]:
    """A Redis that keeps its files in a new folder; the test is skipped where no server is installed."""
    if redis_program() is None:
        pytest.skip("there is no redis-server here: apt-get install redis-server")
    home.mkdir()
    running = Redis(home)
    running.start()
    yield running
    running.kill()


def client(url: str, **options: Any) -> httpx.Client:
    """A client that keeps its connections and obeys no proxy of the environment."""
    return httpx.Client(base_url=url, timeout=PATIENCE, trust_env=False, **options)


def killed(pid: int) -> None:
    """Kill a process without a word to it."""
    os.kill(pid, signal.SIGKILL)

"""Killed workers, new models, signals and bad starts: of real processes, under load."""

from __future__ import annotations

import http.client
import importlib.util
import itertools
import os
import shutil
import signal
import socket
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
import servers
import small_logs

import segue
from segue.cli import app as cli
from segue.server.engine import version_of
from segue.server.settings import ServerSettings
from segue.server.store.opening import open_store

CLIENTS = 3
JSON = b"Content-Type: application/json\r\n"


@pytest.fixture(scope="module")
def model() -> Path:
    return small_logs.fitted_model()


@contextmanager
def under_load(work: Callable[[httpx.Client, int], None], url: str) -> Iterator[list[BaseException]]:
    """Do something again and again from several clients while the block runs; yields what went wrong."""
    ended, wrong = threading.Event(), []

    def client(number: int) -> None:
        with servers.client(url) as http:
            while not ended.is_set():
                try:
                    work(http, number)
                except BaseException as error:
                    wrong.append(error)
                    return

    threads = [threading.Thread(target=client, args=(number,)) for number in range(CLIENTS)]
    for thread in threads:
        thread.start()
    try:
        yield wrong
    finally:
        ended.set()
        for thread in threads:
            thread.join()


def until(condition: Callable[[], bool], wrong: Sequence[BaseException] = ()) -> None:
    end = time.monotonic() + servers.PATIENCE
    while not condition():
        assert not wrong
        assert time.monotonic() < end, "it does not come to that"
        time.sleep(0.02)


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


class Posting:
    """Posts events with ids of their own, again where the connection broke, and remembers what was acknowledged."""

    def __init__(self) -> None:
        self.acknowledged: list[str] = []
        self.over = False
        self._numbers = itertools.count()

    def __call__(self, http: httpx.Client, client: int) -> None:
        name = f"{client}-{next(self._numbers)}"
        event = {"id": name, "user": "anna", "session": f"s{client}", "item": "first1"}
        while True:
            try:
                answer = http.post("/v1/events", json=event)
            except httpx.TransportError:
                if self.over:
                    return
                time.sleep(0.01)
                continue
            if answer.status_code == 202:
                self.acknowledged.append(name)
                return
            assert answer.status_code == 503, answer.text
            time.sleep(0.02)


@pytest.mark.parametrize("kind", ["sqlite", "redis"])
def test_killed_workers_lose_no_acknowledged_event(
    kind: str, model: Path, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    redis = request.getfixturevalue("redis") if kind == "redis" else None
    store = redis.url if redis else "sqlite"
    posting, workers = Posting(), 1 if redis else 2
    with servers.serving(model, "--workers", workers, "--state", tmp_path / "state", "--store", store) as server:
        with under_load(posting, server.url) as wrong:
            until(lambda: len(posting.acknowledged) >= 60, wrong)
            before = server.workers()
            servers.killed(before[0])
            until(lambda: len({*server.workers()} - {*before}) == 1)
            enough = len(posting.acknowledged) + 30
            until(lambda: len(posting.acknowledged) >= enough, wrong)
            if redis:
                redis.kill()
                time.sleep(0.3)
                redis.start()
                enough = len(posting.acknowledged) + 30
                until(lambda: len(posting.acknowledged) >= enough, wrong)
            posting.over, left = True, server.workers()
            for pid in (server.pid, *left)[: 1 if redis else None]:  # while events come
                servers.killed(pid)
            until(lambda: not any(is_running(pid) for pid in left), wrong)  # none outlives what started it
        assert not wrong
    opened = open_store(store, tmp_path / "state", ServerSettings())
    kept = [event.id for event in opened.of_user("anna", 1_000_000)]
    opened.close()
    assert len(kept) == len(set(kept))
    assert len(posting.acknowledged) >= 90
    assert not {*posting.acknowledged} - {*kept}


def test_two_replicas_behind_one_redis_agree_and_outlive_it(model: Path, redis: servers.Redis) -> None:
    with (
        servers.serving(model, "--store", redis.url) as one,
        servers.serving(model, "--store", redis.url) as other,
        servers.client(one.url) as first,
        servers.client(other.url) as second,
    ):
        event = {"id": "e", "user": "zoe", "session": "s", "item": "first1"}
        assert first.post("/v1/events", json=event).json()["accepted"] == 1
        assert second.post("/v1/events", json=event).json() == {"accepted": 0, "duplicates": 1}
        lists = [http.post("/v1/recommend", json={"user": "zoe"}).json() for http in (first, second)]
        assert lists[0]["items"] == lists[1]["items"]
        assert lists[0]["items"][0]["item"] == "second1"

        redis.kill()
        for http in (first, second):
            for answer in (
                http.post("/v1/events", json=event),
                http.post("/v1/recommend", json={"user": "zoe"}),
                http.get("/readyz"),
                http.delete("/v1/users/zoe"),
            ):
                assert answer.status_code == 503
                assert answer.json()["detail"].startswith("the store of live events is not available: Redis: ")
                assert answer.headers["retry-after"] == "1"
            assert http.post("/v1/recommend", json={"items": ["first1"]}).status_code == 200
            assert http.get("/healthz").status_code == 200

        redis.start()
        assert second.delete("/v1/users/zoe").json() == {"user": "zoe", "events": 1}
        assert first.get("/v1/users/zoe").json()["known"] is False
        assert first.get("/readyz").status_code == 200


def replaced(folder: Path, new: Path) -> None:
    """Put another model in the place of one."""
    fresh = folder.with_name("fresh")
    shutil.copytree(new, fresh)
    if folder.exists():
        folder.rename(folder.with_name(f"old{time.monotonic_ns()}"))
    fresh.rename(folder)


def test_a_new_model_swaps_in_without_a_failed_or_mixed_answer(model: Path, tmp_path: Path) -> None:
    folder, other = tmp_path / "model", small_logs.counting_model("markov", "")
    expected = {
        version_of(path): [(each.item, each.score) for each in segue.load(path).recommend(None, ["first1"], k=5)]
        for path in (model, other)
    }
    seen: list[str] = []
    due: list[str] = []  # the version of all requests that begin from now on

    def ask(http: httpx.Client, _: int) -> None:
        allowed = due[-1:] or [*expected]
        answer = http.post("/v1/recommend", json={"items": ["first1"], "k": 5})
        assert answer.status_code == 200, answer.text
        found = answer.json()
        items, scores = zip(*expected[found["model_version"]], strict=True)
        assert [each["item"] for each in found["items"]] == [*items]
        # Requests that were scored together have scores that differ in their last digits.
        assert [each["score"] for each in found["items"]] == pytest.approx(scores, rel=1e-5)
        assert found["model_version"] in allowed
        seen.append(found["model_version"])

    first, second = version_of(model), version_of(other)
    replaced(folder, model)
    with servers.serving(folder, "--workers", 2) as server, under_load(ask, server.url) as wrong:
        with servers.client(server.url) as http:
            until(lambda: len(seen) > 50, wrong)
            replaced(folder, other)
            answer = http.post("/v1/model:reload")
            assert answer.json() == {"model_version": second, "previous_version": first}
            due.append(second)
            done = len(seen)
            until(lambda: len(seen) > done + 50, wrong)

            due.clear()
            replaced(folder, model)
            os.kill(server.pid, signal.SIGHUP)
            until(lambda: seen[-1] == first, wrong)

            damaged = tmp_path / "damaged"
            shutil.copytree(other, damaged)
            (damaged / "model.safetensors").write_bytes(b"half")
            replaced(folder, damaged)
            answer = http.post("/v1/model:reload")
            assert answer.status_code == 409
            assert "the old one goes on answering: " in answer.json()["detail"]
            until(lambda: len(seen) > done + 200, wrong)
        assert not wrong
        assert {*seen} == {first, second}
        assert seen[-1] == first


def test_a_stopping_server_finishes_what_it_began(model: Path) -> None:
    with servers.serving(model) as server:
        address = urlsplit(server.url)
        with socket.create_connection((address.hostname, address.port or 80), timeout=servers.PATIENCE) as begun:
            begun.sendall(b"POST /v1/recommend HTTP/1.1\r\nHost: x\r\n" + JSON + b"Content-Length: 8\r\n\r\n{")
            time.sleep(0.3)
            server.process.send_signal(signal.SIGTERM)
            time.sleep(0.3)
            begun.sendall(b'"k": 1}')
            assert begun.recv(65536).startswith(b"HTTP/1.1 200")
        assert server.process.wait(servers.PATIENCE) == 0


def test_clients_of_a_stopping_server_are_told_to_close_before_it_does(model: Path) -> None:
    told: list[bool] = []

    def ask() -> None:
        """Ask on one connection until an answer ends it; a connection that breaks is an error."""
        address = urlsplit(server.url)
        connection = http.client.HTTPConnection(str(address.hostname), address.port, timeout=servers.PATIENCE)
        while True:
            connection.request("GET", "/healthz")
            answer = connection.getresponse()
            assert answer.read()
            assert answer.status == 200
            if answer.getheader("connection") == "close":
                told.append(True)
                break
        connection.close()

    with servers.serving(model) as server, ThreadPoolExecutor(6) as clients:
        asking = [clients.submit(ask) for _ in range(6)]
        time.sleep(0.3)
        server.process.send_signal(signal.SIGTERM)
        for each in asking:
            each.result(servers.PATIENCE)
        assert server.process.wait(servers.PATIENCE) == 0
    assert len(told) == 6


@pytest.fixture
def refused(capfd: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Starts a server that has to refuse; returns its one line."""

    def start(*arguments: object) -> str:
        code = cli.run(["serve", *map(str, arguments)])
        out, err = capfd.readouterr()
        assert (code, out, err.count("\n")) == (2, "", 1), err
        return err

    return start


def test_a_port_that_is_taken_is_one_line(model: Path, refused: Callable[..., str]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        said = f"segue: cannot listen on 127.0.0.1:{port}: Address already in use; choose another --port or --host\n"
        assert refused(model, "--port", port) == said
    said = refused(model, "--port", 0, "--host", "no host at all")
    assert said.startswith("segue: cannot listen on no host at all:0: ")


def test_a_model_or_state_that_cannot_be_used_is_one_line(
    model: Path, tmp_path: Path, refused: Callable[..., str]
) -> None:
    damaged, state = tmp_path / "damaged", tmp_path / "state"
    shutil.copytree(model, damaged)
    (damaged / "items.parquet").write_bytes(b"half")
    assert "items.parquet" in refused(damaged, "--port", 0, "--state", state)
    state.mkdir()
    with sqlite3.connect(state / "events.sqlite") as file:
        file.execute("CREATE TABLE notes (text)")
    assert "is of another program" in refused(model, "--port", 0, "--state", state)


def test_packages_that_are_not_there_are_named_with_what_installs_them(
    model: Path, refused: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "uvicorn" else found(name))
    said = "segue: serving needs more packages (uvicorn): pip install 'segue[serve]'\n"
    assert refused(model) == said


def test_wrong_settings_and_tokens_are_one_line(model: Path, tmp_path: Path, refused: Callable[..., str]) -> None:
    given = tmp_path / "given"
    for option, text, said in (
        ("--token-file", "abc\n", "holds a token of 3 characters"),
        ("--config", "[server]\nretention = 3\n", "unknown setting 'server.retention': did you mean 'retention_days'?"),
        ("--config", "[server]\nsession_gap = '3'\n", "setting 'server.session_gap': expected a duration"),
        ("--config", "[sessions]\ngap = '3h'\n", "'sessions' is no table of the server; write [server]"),
        ("--config", "retention_days = 3\n", "'retention_days' stands outside a section; write it under [server]"),
        ("--config", "server = 3\n", "'server' stands outside a section; write it under [server]"),
        ("--config", "[server", "is not valid TOML"),
    ):
        given.write_text(text)
        assert said in refused(model, option, given)
    assert "cannot read the settings file" in refused(model, "--config", tmp_path / "none")
    assert "--store is sqlite or redis://HOST:PORT/DB, found mysql" in refused(model, "--store", "mysql")

"""Wrong, huge, deep, slow and senseless requests end with a problem that says what to do; nothing ends with 5xx."""

from __future__ import annotations

import json
import socket
import time
from http.client import HTTPConnection
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
import servers
import small_logs

DEEP = "[" * 100_000


def problem(answer: httpx.Response, status: int) -> str:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    body = answer.json()
    assert body["status"] == status
    assert body["title"]
    assert body["request_id"] == answer.headers["x-request-id"]
    assert "\n" not in body["detail"]
    return str(body["detail"])


@pytest.mark.parametrize("path", ["/v1/recommend", "/v1/recommend:batch", "/v1/events"])
@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"{", 400),
        (b"\xff\xfe{}", 400),
        (b'{"user": "\xc3"}', 400),
        (b'{"user": "\\ud800"}', 400),
        (DEEP.encode(), 400),
        (b'{"filter":' * 5_000, 400),
        (b"[]", 422),
        (b"null", 422),
        (b"17", 422),
        (b'{"surprise": 1}', 422),
        (b'"' + b"x" * 4_200_000 + b'"', 413),
    ],
)
def test_bodies_that_are_no_request(http: httpx.Client, path: str, body: bytes, status: int) -> None:
    problem(http.post(path, content=body, headers={"content-type": "application/json"}), status)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"k": 0}, "k: input should be greater than or equal to 1"),
        ({"k": -1}, "k: input should be greater than or equal to 1"),
        ({"k": 1_000_000}, "k: input should be less than or equal to 1000"),
        ({"k": "10"}, "k: input should be a valid integer"),
        ({"k": 1.5}, "k: input should be a valid integer"),
        ({"k": True}, "k: input should be a valid integer"),
        ({"user": 7}, "user: input should be a valid string"),
        ({"user": ""}, "user: string should have at least 1 character"),
        ({"user": "x" * 257}, "user: string should have at most 256 characters"),
        ({"items": "first1"}, "items: input should be a valid array"),
        ({"items": ["x"] * 1001}, "items: list should have at most 1000 items"),
        ({"items": [None]}, "items.0: input should be a valid string"),
        ({"session": "s", "items": []}, "session and items both say what the session is; send one of them"),
        ({"exclude_seen": "all"}, "exclude_seen: input should be 'session' or 'history'"),
        ({"filter": {"c": {}}}, "a condition is empty; write equals, in, not_in, less or greater"),
        ({"filter": {"c": {"less": "3"}}}, "filter.c.less: input should be a valid number"),
        *[
            ({"filter": {"c": {"not_in": ["x"], key: None}}}, f"filter.c.{key}: null is no condition; write a value")
            for key in ("equals", "in", "less", "greater")
        ],
        ({"filter": {"c": {"not_in": None}}}, "filter.c.not_in: null is no condition; write a value"),
        ({"filter": {"c": {"equals": True}}}, "filter.c.equals: input should be a text of at most 256 characters, or"),
        (
            {"filter": {"c": {"equals": 10**400}}},
            "filter.c.equals: input should be a text of at most 256 characters, or",
        ),
        ({"filter": {"c": {"in": ["x", ["x"]]}}}, "filter.c.in.1: input should be a text of at most 256 characters"),
        ({"usr": "anna"}, "usr: extra inputs are not permitted"),
    ],
)
def test_what_does_not_fit_is_named(http: httpx.Client, body: dict[str, Any], said: str) -> None:
    assert said in problem(http.post("/v1/recommend", json=body), 422)


NO_TIME = 'input should be epoch milliseconds as a number, or ISO 8601 such as "2026-11-26T20:15:00Z"'


@pytest.mark.parametrize(
    ("wrong", "where", "what"),
    [
        ({"session": "s"}, "item", "field required"),
        ({"session": "s", "item": 7}, "item", "input should be a valid string"),
        ({"session": "s", "item": "a", "timestamp": "soon"}, "timestamp", NO_TIME),
        ({"session": "s", "item": "a", "timestamp": True}, "timestamp", NO_TIME),
        ({"session": "s", "item": "a", "timestamp": -1}, "timestamp", NO_TIME),
        ({"session": "s", "item": "a", "timestamp": 1.5}, "timestamp", NO_TIME),
        ({"session": "s", "item": "a", "timestamp": 10**400}, "timestamp", NO_TIME),
        ({"session": "s", "item": "a", "timestamp": f"{time.time():.0f}"}, "timestamp", NO_TIME),
        ({"session": "s", "item": "a", "timestamp": f"{time.time() * 1000:.0f}"}, "timestamp", NO_TIME),
        ({"session": "s", "item": "a", "timestamp": f"{time.time():.3f}"}, "timestamp", NO_TIME),
        ({"session": "s", "item": "a", "timestamp": "2026-13-01T00:00:00Z"}, "timestamp",
         "input should be a valid datetime or date, month value is outside expected range of 1-12"),
    ],
)  # fmt: skip
def test_a_mistake_in_an_event_has_its_place_and_plain_words(
    http: httpx.Client, wrong: dict[str, Any], where: str, what: str
) -> None:
    fine = {"session": "s", "item": "a"}
    for body, place in ((wrong, f"event.{where}"), ([fine, wrong], f"events.1.{where}")):
        answer = http.post("/v1/events", json=body)
        assert f"the body does not fit: {place}: {what}" in problem(answer, 422)
        assert answer.json()["mistakes"] == [{"where": place, "what": what}]


def test_what_is_no_event_is_said_once(http: httpx.Client) -> None:
    for body, place in ((17, "event"), ("x", "event"), (["x"], "events.0")):
        answer = http.post("/v1/events", json=body)
        assert problem(answer, 422) == f"the body does not fit: {place}: input should be an object; see /docs"


def test_null_is_as_good_as_nothing(http: httpx.Client) -> None:
    for path, more in (("/v1/recommend", {}), ("/v1/explanations", {"of": ["second1"]})):
        for session in ({"session": None, "items": ["first1"]}, {"session": "s", "items": None}):
            answer = http.post(path, json={**session, **more, "user": None})
            assert answer.status_code == 200, answer.text


def test_what_there_is_not(http: httpx.Client) -> None:
    problem(http.get("/v2/recommend"), 404)
    problem(http.get("/v1/users/"), 404)
    assert "item 'Second1' (did you mean 'second1'?) is unknown" in problem(http.get("/v1/items/Second1"), 404)
    answer = http.get("/v1/recommend")
    problem(answer, 405)
    assert answer.headers["allow"] == "POST"
    answer = http.put("/v1/users/anna")
    problem(answer, 405)
    assert answer.headers["allow"] == "DELETE, GET"


def test_other_kinds_of_bodies(http: httpx.Client) -> None:
    problem(http.post("/v1/recommend", data={"user": "anna"}), 415)
    zipped = {"content-type": "application/json", "content-encoding": "gzip"}
    problem(http.post("/v1/recommend", content=b"{}", headers=zipped), 415)
    problem(http.post("/v1/recommend", content=b"{}"), 415)
    with_charset = {"content-type": "Application/JSON; charset=utf-8"}
    assert http.post("/v1/recommend", content=b"{}", headers=with_charset).status_code == 200


def test_a_page_of_another_site_cannot_have_the_model_reloaded(http: httpx.Client) -> None:
    own = f"http://{http.base_url.netloc.decode()}"
    for origin in ("http://evil.example", "null", f"{own}0", "http://", "::"):
        answer = http.post("/v1/model:reload", headers={"origin": origin})
        assert "comes from a page of another site" in problem(answer, 403)
    for headers in ({}, {"origin": own}, {"content-type": "text/plain"}):
        assert http.post("/v1/model:reload", headers=headers).status_code == 200


def test_queries_that_do_not_fit(http: httpx.Client) -> None:
    for query in (
        "limit=0",
        "limit=101",
        "limit=many",
        "q=a&q=b",
        "p=a",
        f"q={'x' * 300}",
        "&".join("abcdefghijklmnopqrstuvw"),
    ):
        problem(http.get(f"/v1/items?{query}"), 422)
    assert http.get("/v1/items?q=%ff%00&limit=3").status_code == 200


def test_an_id_of_the_request_comes_back_and_a_wild_one_does_not(http: httpx.Client) -> None:
    assert http.get("/healthz", headers={"x-request-id": "shop-17"}).headers["x-request-id"] == "shop-17"
    assert http.get("/healthz", headers={"x-request-id": 'x" y'}).headers["x-request-id"] != 'x" y'


def test_a_body_without_a_length_is_cut_off_where_it_is_too_large(http: httpx.Client) -> None:
    def endless() -> Any:
        for _ in range(90):
            yield b" " * 50_000

    problem(http.post("/v1/recommend", content=endless(), headers={"content-type": "application/json"}), 413)


def test_a_client_that_sends_all_before_it_reads_gets_the_answer_too(server: servers.Server) -> None:
    address = urlsplit(server.url)
    for size in (4_300_000, 20_000_000):
        client = HTTPConnection(address.hostname or "", address.port, timeout=20)
        client.request("POST", "/v1/recommend", b" " * size, {"Content-Type": "application/json"})
        assert client.getresponse().status == 413
        client.close()


def test_a_slow_body_is_given_up(tmp_path_factory: pytest.TempPathFactory) -> None:
    config = tmp_path_factory.mktemp("slow") / "server.toml"
    config.write_text("[server]\nbody_seconds = 0.3\nbody_size = '1KiB'\nsession_gap = '5min'\nlog_requests = false\n")
    model = small_logs.fitted_model()
    with servers.serving(model, "--config", config) as server, servers.client(server.url) as http:
        address = urlsplit(server.url)
        with socket.create_connection((address.hostname, address.port or 80), timeout=10) as slow:
            slow.sendall(b"POST /v1/recommend HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n")
            slow.sendall(b"Content-Length: 100\r\n\r\n{")
            start = time.monotonic()
            received = slow.recv(65536)
            while b"\r\n\r\n" not in received or not received.endswith(b"}"):
                more = slow.recv(65536)
                if not more:
                    break
                received += more
            assert 0.2 < time.monotonic() - start < 5
        assert received.startswith(b"HTTP/1.1 408")
        assert json.loads(received.partition(b"\r\n\r\n")[2])["detail"].startswith("the body did not arrive within 0.3")
        for begun in (b"", b"POST /v1/rec", b"GET /healthz HTTP/1.1\r\nHost: x\r\n"):
            with socket.create_connection((address.hostname, address.port or 80), timeout=10) as slow:
                slow.sendall(begun)
                assert slow.recv(65536) == b""
        with socket.create_connection((address.hostname, address.port or 80), timeout=10) as large:
            large.sendall(b"GET /healthz HTTP/1.1\r\n" + b"x: y\r\n" * 100_000)
            assert large.recv(65536).startswith(b"HTTP/1.1 431")
        problem(http.post("/v1/recommend", json={"items": ["x"] * 400}), 413)
        assert http.get("/v1/model").json()["live"]["gap_ms"] == 5 * 60_000
        assert http.post("/v1/recommend", json={}).json()["items"]
        assert server.log == ""

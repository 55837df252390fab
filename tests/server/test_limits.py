"""What a worker refuses so that it goes on answering: too much at a time, and what takes too long."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Sequence
from typing import cast

import httpx
import in_process
import pytest

from segue.server.answers import Recommendation
from segue.server.bodies import Recommend
from segue.server.engine import Engine
from segue.server.limits import read_body
from segue.server.problems import Refusal
from segue.server.service import Service
from segue.server.settings import ServerSettings

LIST = Recommendation(
    recommendation_id="1", model_version="v", items=[], skipped=[], user_known=False, warnings=[]
)  # fmt: skip


class Slow:
    """A service whose answers come when they are let go; the user "wrong" is a defect."""

    def __init__(self) -> None:
        self.engine = cast(Engine, None)
        self.go = threading.Event()

    def recommend_all(self, engine: Engine, asked: Sequence[Recommend]) -> list[Recommendation | Exception]:
        self.go.wait(10)
        return [ZeroDivisionError("of this test") if each.user == "wrong" else LIST for each in asked]


@pytest.mark.parametrize("length", [{}, {b"content-length": b"9"}])
def test_of_a_body_that_is_too_large_nothing_is_waited_for_behind_its_end(length: dict[bytes, bytes]) -> None:
    messages = iter([(b"12345", True), (b"6789", False)])

    async def receive() -> dict[str, object]:
        body, more = next(messages)  # a further call fails, where a server would wait
        return {"type": "http.request", "body": body, "more_body": more}

    with pytest.raises(Refusal, match="larger than 8 bytes"):
        asyncio.run(read_body({b"content-type": b"application/json", **length}, receive, 8, 10))
    assert not [*messages]


def test_more_requests_than_may_wait_are_told_to_come_back() -> None:
    slow = Slow()
    app = in_process.app_of(cast(Service, slow), ServerSettings(waiting=2, log_requests=False))

    async def ask() -> list[httpx.Response]:
        async with in_process.client(app) as http:
            begun = [asyncio.create_task(http.post("/v1/recommend", json={})) for _ in range(2)]
            await asyncio.sleep(0.05)
            refused = await http.post("/v1/recommend", json={})
            slow.go.set()
            answered = [await task for task in begun]
            return [refused, *answered, await http.post("/v1/recommend", json={})]

    refused, *answered = asyncio.run(ask())
    assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
    assert refused.json()["detail"] == "2 requests are waiting already; try again"
    assert [answer.status_code for answer in answered] == [200, 200, 200]


def test_an_answer_that_takes_too_long_is_given_up_and_the_next_one_comes() -> None:
    slow = Slow()
    app = in_process.app_of(cast(Service, slow), ServerSettings(answer_seconds=0.05, log_requests=False))

    async def ask() -> list[httpx.Response]:
        async with in_process.client(app) as http:
            late = await http.post("/v1/recommend", json={})
            slow.go.set()
            await asyncio.sleep(0.05)
            return [late, await http.post("/v1/recommend", json={})]

    late, next_one = asyncio.run(ask())
    assert (late.status_code, next_one.status_code) == (503, 200)
    assert late.json()["detail"] == "there is no answer after 0.05 seconds; try again"


def test_a_defect_says_nothing_of_its_cause_to_the_client_and_everything_to_the_log(
    capsys: pytest.CaptureFixture[str],
) -> None:
    slow = Slow()
    slow.go.set()
    app = in_process.app_of(cast(Service, slow), ServerSettings(log_requests=False))

    async def ask() -> list[httpx.Response]:
        async with in_process.client(app) as http:
            return await asyncio.gather(*(http.post("/v1/recommend", json={"user": u}) for u in ("wrong", "right")))

    failed, answered = asyncio.run(ask())
    assert (failed.status_code, answered.status_code) == (500, 200)
    assert "ZeroDivisionError" not in failed.text
    (line,) = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert (line["event"], line["request_id"]) == ("defect", failed.headers["x-request-id"])
    assert "ZeroDivisionError: of this test" in line["trace"]

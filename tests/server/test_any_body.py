"""Whatever a body holds, the answer is one that the description of the API declares, and keeps what it promises."""

from __future__ import annotations

import json
from typing import Any

import in_process
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from segue.server.routes import ROUTES

JSON = {"content-type": "application/json"}
NUMBERS = st.integers(-5, 1_000_001) | st.floats(allow_nan=True)
VALUES = st.recursive(
    st.none() | st.booleans() | NUMBERS | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
KEYS = ("user", "session", "items", "k", "exclude", "exclude_seen", "candidates", "filter", "explain", "requests", "id",
        "item", "timestamp", "type", "of")  # fmt: skip
BODIES = st.dictionaries(st.sampled_from(KEYS), VALUES, max_size=5) | VALUES
POSTS = [route for route in ROUTES if route.method == "POST" and route.reads is not None]
ITEMS = st.sampled_from(["first1", "second1", "a1", "b1", "first2", "unknown", "Äpfel\n", "🙂"])
REQUESTS = st.fixed_dictionaries(
    {},
    optional={
        "user": st.sampled_from(["user00", "user01", "nobody", "🙂"]),
        "items": st.lists(ITEMS, max_size=30),
        "k": st.integers(1, 1000),
        "exclude": st.lists(ITEMS, max_size=5),
        "candidates": st.lists(ITEMS, max_size=5),
        "exclude_seen": st.sampled_from(["session", "history"]),
        "filter": st.dictionaries(st.just("c"), st.fixed_dictionaries({"in": st.lists(st.sampled_from("abfs"))})),
        "explain": st.booleans(),
    },
)


@pytest.mark.parametrize("route", POSTS, ids=[route.name for route in POSTS])
@given(body=BODIES)
@settings(max_examples=60)
def test_any_json_is_answered_as_declared(route: Any, body: Any) -> None:
    content = json.dumps(body).encode()
    answer = in_process.asked("POST", route.path, content=content, headers=JSON)
    assert answer.status_code in {route.status, *route.problems}, answer.text
    assert answer.status_code < 500
    if answer.status_code != route.status:
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.json()["detail"]


@given(body=st.binary(max_size=40))
@settings(max_examples=60)
def test_any_bytes_are_answered_as_declared(body: bytes) -> None:
    assert in_process.asked("POST", "/v1/recommend", content=body, headers=JSON).status_code in {200, 400, 422}


@given(request=REQUESTS)
@settings(max_examples=100)
def test_every_sensible_request_is_answered_within_its_bounds(request: dict[str, Any]) -> None:
    answer = in_process.asked("POST", "/v1/recommend", json=request)
    assert answer.status_code == 200, answer.text
    found = answer.json()
    shown = [each["item"] for each in found["items"]]
    assert len(shown) == len(set(shown)) <= request.get("k", 10)
    assert not {*shown} & {*request.get("exclude", ())}
    assert {*shown} <= {*request.get("candidates", shown)}
    if request.get("exclude_seen"):
        assert not {*shown} & {*request.get("items", ())}
    if "c" in request.get("filter", {}):
        assert {item[0] for item in shown} <= {*request["filter"]["c"]["in"]}
    scores = [each["score"] for each in found["items"]]
    assert scores == sorted(scores, reverse=True)
    assert all(("because" in each) == request.get("explain", False) for each in found["items"])
    assert {*found["skipped"]} == {*request.get("items", ())} & {"unknown", "Äpfel\n", "🙂"}


@given(path=st.text(max_size=20), method=st.sampled_from(["GET", "POST", "DELETE", "PATCH", "OPTIONS"]))
@settings(max_examples=60)
def test_any_path_is_answered(path: str, method: str) -> None:
    from urllib.parse import quote

    answer = in_process.asked(method, f"/v1/{quote(path)}")
    assert answer.status_code in {200, 404, 405}


def test_the_exported_description_names_every_route_and_class() -> None:
    api = in_process.asked("GET", "/openapi.json").json()
    for route in filter(lambda route: route.described, ROUTES):
        operation = api["paths"][route.path.replace(":any", "")][route.method.lower()]
        assert operation["operationId"] == route.name
        assert {int(status) for status in operation["responses"]} == {route.status, *route.problems, 503}
    text = json.dumps(api)
    named = {part.split('"')[0] for part in text.split("#/components/schemas/")[1:]}
    assert named <= api["components"]["schemas"].keys()

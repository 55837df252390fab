"""Lists over HTTP are those of the model itself, asked with the session and history that live events make."""

from __future__ import annotations

import itertools
import time
from typing import Any

import httpx
import pytest
import served
from served import KNOWN, OTHER

from segue import PastSession
from segue.serving.answer import Answer

HOUR = 3_600_000
GAP = 8 * HOUR
"""The model's own ``sessions.gap``."""
_fresh = itertools.count()


def fresh(what: str = "user") -> str:
    """An id that no other test uses."""
    return f"{what}-{next(_fresh)}-of-this-test"


def ask(http: httpx.Client, **body: Any) -> dict[str, Any]:
    answer = http.post("/v1/recommend", json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()  # type: ignore[no-any-return]


def post(http: httpx.Client, *events: dict[str, Any]) -> None:
    answer = http.post("/v1/events", json=list(events))
    assert answer.status_code == 202, answer.text


def same(found: dict[str, Any], expected: Answer) -> None:
    assert [(each["item"], each["score"]) for each in found["items"]] == [
        (entry.item, pytest.approx(entry.score, rel=1e-5, abs=1e-4)) for entry in expected
    ]


@pytest.mark.parametrize("user", [None, KNOWN, OTHER, "a stranger"])
@pytest.mark.parametrize("items", [[], ["first1"], ["first1", "second1"], ["nowhere", "first2"]])
def test_a_given_session_is_answered_like_by_the_model(http: httpx.Client, user: str | None, items: list[str]) -> None:
    expected = served.model().recommend(user, items, k=5)
    found = ask(http, **({"user": user} if user else {}), items=items, k=5)
    same(found, expected)
    assert set(found) == {"recommendation_id", "model_version", "items", "skipped", "user_known", "warnings"}
    assert set(found["items"][0]) == {"item", "name", "score"}
    assert found["items"][0]["name"] == served.model().name(expected[0].item)
    assert (found["skipped"], found["user_known"]) == (list(expected.skipped), expected.user_known)
    assert found["warnings"] == list(expected.warnings)


def test_what_a_request_leaves_out_and_allows(http: httpx.Client) -> None:
    model = served.model()
    for how in ({"exclude": ["second1", "a1"]}, {"candidates": ["b3", "a3", "first3"]}, {"exclude_seen": "history"}):
        same(ask(http, user=KNOWN, items=["first1"], **how), model.recommend(KNOWN, ["first1"], **how))  # type: ignore[arg-type]


def test_reasons_come_when_asked_for_and_sum_to_the_score(http: httpx.Client) -> None:
    found = ask(http, user=KNOWN, items=["first1", "second1"], k=3, explain=True)
    for each in found["items"]:
        because = each["because"]
        assert because["text"]
        assert [part["item"] for part in because["session"]] == ["first1", "second1"]
        whole = sum(part["contribution"] for part in because["session"]) + because["user"] + because["base"]
        assert whole == pytest.approx(each["score"], rel=1e-4)


def test_every_answer_has_an_id_of_its_own_and_names_the_version(http: httpx.Client) -> None:
    first, second = ask(http, items=["first1"]), ask(http, items=["first1"])
    assert first["recommendation_id"] != second["recommendation_id"]
    assert first["model_version"] == http.get("/v1/model").json()["model_version"]


@pytest.mark.parametrize("user", [KNOWN, "new"])
def test_the_live_session_is_used_where_a_user_is_named_alone(http: httpx.Client, user: str) -> None:
    user = user if user == KNOWN else fresh()
    session = fresh("session")
    try:
        post(http, *({"user": user, "session": session, "item": item} for item in ("first3", "second3")))
        at = time.time_ns() // 1_000_000
        expected = served.model().recommend(user, ["first3", "second3"], k=4, time=at)
        for how in ({"user": user}, {"user": user, "session": session}, {"user": user, "items": ["first3", "second3"]}):
            found = ask(http, k=4, **how)
            same(found, expected)
            assert found["user_known"]  # from the first event on
        same(ask(http, session=session, k=4), served.model().recommend(None, ["first3", "second3"], k=4, time=at))
    finally:
        http.delete(f"/v1/users/{user}")


def test_ended_live_sessions_extend_the_history(http: httpx.Client) -> None:
    now = time.time_ns() // 1_000_000
    for user in (KNOWN, fresh()):
        past = [("first5", now - 30 * HOUR), ("second5", now - 29 * HOUR), ("b5", now - 15 * HOUR)]
        post(http, *({"user": user, "session": "x", "item": item, "timestamp": at} for item, at in past))
        post(http, {"user": user, "session": "x", "item": "first6"})
        model, times = served.model(), [at for _, at in past]
        since = [PastSession(["first5", "second5"], times[:2]), PastSession(["b5"], times[2])]
        how: dict[str, Any] = {"history": [*model.history_of(user), *since], "time": now}
        same(ask(http, user=user), model.recommend(user, ["first6"], **how))
        same(ask(http, user=user, items=["first1"]), model.recommend(user, ["first1"], **how))
        same(ask(http, user=user, items=[]), model.recommend(user, [], **how))
        hidden = ask(http, user=user, exclude_seen="history")
        same(hidden, model.recommend(user, ["first6"], exclude_seen="history", **how))
        assert not {"b5", "first6"} & {each["item"] for each in hidden["items"]}
        assert http.delete(f"/v1/users/{user}").json() == {"user": user, "events": 4}
        forgotten = ask(http, user=user)
        same(forgotten, model.recommend(user, []))
        assert forgotten["user_known"] == (user == KNOWN)


def test_a_session_that_is_not_live_is_said_and_answered_without_items(http: httpx.Client) -> None:
    name = fresh("session")
    found = ask(http, user=KNOWN, session=name, k=3)
    assert found["warnings"][0] == f"session '{name}' has no live events, or has ended"
    same(found, served.model().recommend(KNOWN, [], k=3))


def test_an_event_counts_once_by_its_id_and_every_time_without(http: httpx.Client) -> None:
    user, name = fresh(), fresh("event")
    event = {"id": name, "user": user, "session": "s", "item": "first1"}
    assert http.post("/v1/events", json=event).json() == {"accepted": 1, "duplicates": 0}
    assert http.post("/v1/events", json=[event, event]).json() == {"accepted": 0, "duplicates": 2}
    del event["id"]
    other = {**event, "item": "a1"}
    assert http.post("/v1/events", json=[other, event, event]).json() == {"accepted": 3, "duplicates": 0}
    live = http.get(f"/v1/users/{user}").json()["live_session"]
    # Every one is kept; of equal ones in a row the session has one, as the sessions of the model's log had.
    assert [item["id"] for item in live["items"]] == ["first1", "a1", "first1"]
    assert http.delete(f"/v1/users/{user}").json()["events"] == 4


def test_times_may_be_numbers_or_text_and_order_the_session(http: httpx.Client) -> None:
    user, now = fresh(), time.time_ns() // 1_000_000
    text = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(now // 1000 - 60))
    post(http, {"user": user, "session": "s", "item": "second1", "timestamp": now})
    post(http, {"user": user, "session": "s", "item": "first1", "timestamp": text})
    live = http.get(f"/v1/users/{user}").json()["live_session"]
    assert [item["id"] for item in live["items"]] == ["first1", "second1"]
    wrong_ones = (
        (now - 100 * 24 * HOUR, "older than the 90 days"),
        (now + 2 * HOUR, "in the future"),
        (now // 1000, "it looks like seconds, and is read as milliseconds"),
    )
    for wrong, why in wrong_ones:
        refused = http.post("/v1/events", json={"user": user, "session": "s", "item": "a1", "timestamp": wrong})
        assert (refused.status_code, why in refused.json()["detail"]) == (422, True)


def test_filters_on_attributes(http: httpx.Client) -> None:
    """Attribute c is the first letter of the item; items of topic 0 have none."""

    def letters(**condition: Any) -> set[str]:
        found = ask(http, items=["first1"], k=50, filter={"c": condition})
        return {each["item"][0] if not each["item"].endswith("0") else "none" for each in found["items"]}

    assert letters(equals="a") == {"a"}
    assert letters(**{"in": ["a", "f"]}) == {"a", "f"}
    assert letters(not_in=["a", "f"]) == {"b", "s", "none"}
    assert letters(**{"in": ["a", "f"], "not_in": ["a"]}) == {"f"}
    assert letters(less=3) == letters(equals=1) == letters(**{"in": []}) == set()
    both = ask(http, items=["first1"], filter={"c": {"equals": "a"}}, candidates=["a1", "b1", "nothing"])
    assert [each["item"] for each in both["items"]] == ["a1"]
    refused = http.post("/v1/recommend", json={"filter": {"color": {"equals": "red"}}})
    assert refused.status_code == 422
    assert refused.json()["detail"] == "filter: the items have no attribute 'color'; attributes are: c"
    for name in ("less", "greater"):
        said = ask(http, items=["first1"], filter={"c": {name: 0}})["warnings"]
        assert said[0] == "filter: 'c' has no number among its values, so no item is less or greater"


def test_a_batch_is_answered_request_by_request(http: httpx.Client) -> None:
    requests: list[dict[str, Any]] = [{"user": KNOWN, "k": 1 + n % 3, "items": [f"first{n % 8}"]} for n in range(20)]
    answer = http.post("/v1/recommend:batch", json={"requests": requests})
    assert answer.status_code == 200
    for request, found in zip(requests, answer.json()["answers"], strict=True):
        same(found, served.model().recommend(KNOWN, request["items"], k=request["k"]))

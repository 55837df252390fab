"""Items, users, the model, health and figures."""

from __future__ import annotations

import json
import re
from collections import Counter
from itertools import pairwise
from pathlib import Path

import httpx
import served
import servers
import small_logs
from served import KNOWN

from segue.server.engine import Engine
from segue.server.evaluations import evaluations_of
from segue.server.service import Service
from segue.server.settings import ServerSettings
from segue.server.store.event import Event
from segue.server.store.sqlite import SqliteStore
from segue.settings.units import DAY


def test_an_item_has_its_name_attributes_and_neighbours(http: httpx.Client) -> None:
    item = http.get("/v1/items/second1").json()
    assert (item["item"], item["name"], item["attributes"]) == ("second1", "The [second1]", {"c": "s"})
    near = {each["relation"]: {n["id"]: n["weight"] for n in each["neighbours"]} for each in item["relations"]}
    history = served.model().artifact.history
    ids = served.model().known_items.ids
    after: Counter[str] = Counter()
    for start, end in zip(history.offsets[:-1], history.offsets[1:], strict=True):
        visit = [ids[number] for number in history.items[start:end]]
        after.update(there for here, there in pairwise(visit) if here == "second1")
    assert near["adjacent_out"] == dict(after)
    assert near["adjacent_in"] == {"first1": after.total()}
    assert "second1" not in near["similar"]
    assert near["similar"]["first1"] == after.total() == item["events"]
    assert set(near["interacted_by"]) <= set(served.model().known_users.ids)


def test_search_finds_by_name_and_id_the_exact_one_first(http: httpx.Client) -> None:
    found = http.get("/v1/items", params={"q": "THE [FIRST"}).json()["results"]
    assert {each["id"] for each in found} == {f"first{topic}" for topic in range(1, 8)}
    found = http.get("/v1/items", params={"q": "a1", "limit": 1}).json()["results"]
    assert found == [{"id": "a1", "name": "The [a1]"}]
    assert len(http.get("/v1/items").json()["results"]) == 20
    assert http.get("/v1/items", params={"q": "no such thing"}).json() == {"results": []}


def test_users_are_found_and_a_new_one_from_the_first_event_on(http: httpx.Client) -> None:
    assert http.get("/v1/users", params={"q": KNOWN}).json()["results"] == [{"id": KNOWN, "name": KNOWN}]
    name = "zoe/of the <b>look-ups</b>?"
    path = "/v1/users/zoe%2Fof%20the%20%3Cb%3Elook-ups%3C%2Fb%3E%3F"
    nobody = {"user": name, "name": name, "known": False, "trained": False, "favourites": [], "sessions": []}
    assert http.get(path).json() == nobody
    http.post("/v1/events", json={"user": name, "session": "s", "item": "first1"})
    assert http.get("/v1/users", params={"q": "ZOE/"}).json()["results"] == [{"id": name, "name": name}]
    found = http.get(path).json()
    assert (found["known"], found["trained"]) == (True, False)
    assert found["favourites"] == [{"id": "first1", "name": "The [first1]", "events": 1}]
    assert found["live_session"]["items"] == [{"id": "first1", "name": "The [first1]"}]
    assert http.delete(path).json() == {"user": name, "events": 1}
    assert http.get(path).json() == nobody


def test_an_id_with_line_breaks_can_be_found_and_forgotten(http: httpx.Client) -> None:
    for name, path in (("line\nbreak", "/v1/users/line%0Abreak"), ("at the end\n", "/v1/users/at%20the%20end%0A")):
        assert http.post("/v1/events", json={"user": name, "session": "s", "item": "first1"}).status_code == 202
        assert http.get(path).json()["known"]
        assert http.delete(path).json() == {"user": name, "events": 1}
        assert not http.get(path).json()["known"]


def test_a_known_user_has_favourites_and_last_sessions(http: httpx.Client) -> None:
    user = http.get(f"/v1/users/{KNOWN}").json()
    assert (user["known"], user["trained"], len(user["sessions"]), len(user["favourites"])) == (True, True, 5, 5)
    ends = [visit["end"] for visit in user["sessions"]]
    assert ends == sorted(ends, reverse=True)
    assert "live_session" not in user


def test_live_sessions_that_an_update_has_learned_of_are_not_counted_again(tmp_path: Path) -> None:
    """Their events stay in the store for its days, and are sessions of the model by then."""
    engine, store = Engine(small_logs.fitted_model()), SqliteStore(tmp_path)
    end = engine.recommender.trained_until
    service = Service(engine, store, ServerSettings(), clock=lambda: end + DAY)
    before = service.user(KNOWN)
    store.append([[Event("old", "first1", end, KNOWN), Event("new", "first2", end + 1, KNOWN)]])
    after = service.user(KNOWN)
    assert [[item.id for item in visit.items] for visit in after.sessions if visit.live] == [["first2"]]
    assert sum(not visit.live for visit in after.sessions) == len(before.sessions) - 1
    store.close()


def test_the_model_says_what_it_is(http: httpx.Client) -> None:
    model = http.get("/v1/model").json()
    artifact = served.model().artifact
    assert model["fingerprint"] == artifact.facts["corpus_fingerprint"]
    assert model["sizes"] == {"items": 32, "users": 12, "sessions": len(artifact.history), "events": 624}
    assert (
        model["metrics"]["test"]["metrics"]["HR@10"]
        == json.loads((small_logs.fitted_model() / "evaluation" / "test.json").read_text())["metrics"]["HR@10"]
    )
    assert model["live"] == {"gap_ms": 8 * 3_600_000, "event_types": None, "retention_days": 90.0, "counts": False}
    assert (model["name"], model["index"]) == ("hg_gnn/segue", {"kind": "exact"})


def test_health_and_the_first_line(server: servers.Server, http: httpx.Client) -> None:
    version = http.get("/v1/model").json()["model_version"]
    assert server.line == f"{server.url} serves {small_logs.fitted_model()}, version {version}, 1 worker\n"
    assert http.get("/healthz").json() == {"status": "ok"}
    assert http.get("/readyz").json() == {"status": "ok", "model_version": version}
    assert http.head("/healthz").status_code == 200


def test_figures_for_prometheus(http: httpx.Client) -> None:
    def figure(name: str) -> float:
        text = http.get("/metrics").text
        found = re.search(rf"^{re.escape(name)} (\S+)$", text, re.MULTILINE)
        return float(found[1]) if found else 0.0

    answered = 'segue_requests_total{method="POST",route="/v1/recommend",status="200"}'
    before, events = figure(answered), figure("segue_events_total")
    http.post("/v1/recommend", json={})
    http.post("/v1/events", json=[{"session": "figures", "item": "a1"}] * 3)
    assert figure(answered) == before + 1
    assert figure("segue_events_total") == events + 3
    assert figure('segue_request_seconds_count{route="/v1/recommend"}') >= before + 1
    assert figure('segue_store_seconds_count{operation="append"}') >= 1
    version = http.get("/v1/model").json()["model_version"]
    assert figure(f'segue_model_info{{version="{version}"}}') == 1


def test_every_request_is_a_line_of_the_log(server: servers.Server, http: httpx.Client) -> None:
    http.post("/v1/recommend", json={"k": 0}, headers={"x-request-id": "look-for-me"})
    (mine,) = map(json.loads, server.lines_with("look-for-me"))
    assert mine["request_id"] == "look-for-me"
    assert (mine["event"], mine["route"], mine["method"], mine["status"]) == ("request", "/v1/recommend", "POST", 422)


def test_the_page_of_the_api_needs_no_network(http: httpx.Client) -> None:
    page = http.get("/docs").text
    assert not re.search(r"(src|href)=\"https?:|@import|url\(", page)
    for path in http.get("/openapi.json").json()["paths"]:
        assert f"</span> {path}</h2>" in page


def test_only_what_was_measured_is_a_metric(tmp_path: Path) -> None:
    """A comparison notes the cost of a fit beside its evaluation, and a file may be damaged."""
    folder = tmp_path / "evaluation"
    folder.mkdir()
    (folder / "test.json").write_text('{"metrics": {"HR@10": 0.5}, "events": 3}')
    (folder / "cost.json").write_text('{"training": 1.0}')
    (folder / "validation.json").write_text('{"metrics": ')
    assert evaluations_of(tmp_path) == {"test": {"metrics": {"HR@10": 0.5}, "events": 3}}

"""Why items have their scores, how the session was read, and the card of the model."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import httpx
import in_process
import pytest
import served
import small_logs
from served import KNOWN

from segue.artifact.names import MANIFEST
from segue.server.card import card_of
from segue.server.engine import Engine
from segue.serving.asking import Request

SESSION = ["first1", "second1"]


def ask(http: httpx.Client, **body: Any) -> dict[str, Any]:
    answer = http.post("/v1/explanations", json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()  # type: ignore[no-any-return]


def test_any_item_is_explained_and_its_parts_sum_to_the_score(http: httpx.Client) -> None:
    found = ask(http, user=KNOWN, items=SESSION, of=["b3", "a1"])
    expected = served.everything(KNOWN, SESSION)
    assert [each["item"] for each in found["items"]] == ["a1", "b3"]
    for each in found["items"]:
        because = each["because"]
        whole = sum(part["contribution"] for part in because["session"]) + because["user"] + because["base"]
        by_term = sum(because["terms"].values()) + because["base"]
        assert whole == pytest.approx(expected[each["item"]], abs=1e-3)
        assert by_term == pytest.approx(whole, abs=1e-3)


@pytest.mark.parametrize("user", [KNOWN, None, "a stranger"])
def test_attention_and_gate_are_those_of_the_model(http: httpx.Client, user: str | None) -> None:
    found = ask(http, **({"user": user} if user else {}), items=SESSION, of=["a1"])
    read = served.model().attention(Request(user, SESSION))
    assert read is not None
    assert read.gate is not None
    assert [(each["id"], each["name"]) for each in found["session"]] == [(i, f"The [{i}]") for i in SESSION]
    for name in ("current", "general"):
        weights = [each[name] for each in found["session"]]
        assert weights == pytest.approx(getattr(read, name))
        assert sum(weights) == pytest.approx(1, abs=1e-5)
    assert found["gate"]["current"] == pytest.approx(sum(read.gate) / len(read.gate))
    assert 0 < found["gate"]["least"] <= found["gate"]["current"] <= found["gate"]["most"] < 1


def test_an_empty_session_is_read_from_the_history_and_nothing_where_there_is_none(http: httpx.Client) -> None:
    known = ask(http, user=KNOWN, items=[], of=["a1"])
    assert len(known["session"]) > 1
    assert "starts from the user's last history items" in known["warnings"][0]
    nobody = ask(http, items=[], of=["a1"])
    assert nobody["session"] == []
    assert "gate" not in nobody


def test_live_events_are_the_session(http: httpx.Client) -> None:
    user = "explained-live"
    http.post("/v1/events", json=[{"user": user, "session": "s", "item": item} for item in SESSION])
    live = ask(http, user=user, of=["a1"])
    assert [each["id"] for each in live["session"]] == SESSION
    assert live["items"] == ask(http, user=user, items=SESSION, of=["a1"])["items"]
    http.delete(f"/v1/users/{user}")


def test_unknown_items_are_left_out_and_said(http: httpx.Client) -> None:
    found = ask(http, items=["nowhere"], of=["nothing", "a1"])
    assert [each["item"] for each in found["items"]] == ["a1"]
    assert found["skipped"] == ["nowhere"]
    assert any("1 of 2 candidates are unknown to the model" in warning for warning in found["warnings"])
    for wrong in ({"of": []}, {}, {"of": ["a1"], "items": [], "session": "s"}):
        assert http.post("/v1/explanations", json=wrong).status_code == 422


def test_a_counting_model_has_no_attention() -> None:
    answer = in_process.asked("POST", "/v1/explanations", json={"items": ["first1"], "of": ["second1"]}).json()
    assert answer["session"] == [{"id": "first1", "name": "The [first1]"}]
    assert "gate" not in answer


def test_the_card_says_what_the_files_beside_the_model_say(http: httpx.Client) -> None:
    card, model = http.get("/v1/model/card").json(), small_logs.fitted_model()
    measured = json.loads((model / "evaluation" / "test.json").read_text())
    assert card["evaluations"]["test"]["slices"] == measured["slices"]
    assert card["epochs"] == [json.loads(line) for line in (model / "metrics.jsonl").read_text().splitlines()]
    facts = served.model().artifact.facts
    assert (card["statistics"], card["trained_on"]) == (facts["statistics"], facts["trained_on"])
    times = served.model().artifact.history.times
    assert card["times"] == [times.min(), times.max()]


def test_the_card_leaves_out_what_is_damaged_or_belongs_to_another_model(tmp_path: Path) -> None:
    model = shutil.copytree(small_logs.fitted_model(), tmp_path / "model")
    engine = Engine(model)
    (model / "evaluation" / "cost.json").write_text('{"seconds": 1}')
    assert card_of(engine).evaluations.keys() == {"test"}
    (model / "evaluation" / "test.json").write_text("{")
    (model / "metrics.jsonl").write_text("[]\n")
    card = card_of(engine)
    assert (card.evaluations, card.epochs) == ({}, [])
    shutil.copytree(small_logs.fitted_model(), model, dirs_exist_ok=True)
    assert card_of(engine).epochs
    (model / MANIFEST).write_text("another model")
    card = card_of(engine)
    assert (card.evaluations, card.epochs) == ({}, [])


def test_the_files_of_the_page(http: httpx.Client) -> None:
    page = http.get("/")
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    files = sorted({part for part in page.text.split('"') if part.startswith("page/")})
    assert [Path(each).name for each in files] == ["app.js", "icon.svg", "style.css"]
    for each in files:
        answer = http.get(f"/{each}")
        assert (answer.status_code, answer.headers["x-content-type-options"]) == (200, "nosniff")
        assert "immutable" in answer.headers["cache-control"]
    script = next(each for each in files if each.endswith("app.js"))
    older = http.get("/page/older/app.js")
    assert older.text == http.get(f"/{script}").text
    assert older.headers["cache-control"] == "no-cache"
    for wrong in ("/page/x/index.html", "/page/x/../files.py", "/page/x/%2e%2e%2ffiles.py", "/page/app.js"):
        assert http.get(wrong).status_code == 404
    assert "/" not in http.get("/openapi.json").json()["paths"]

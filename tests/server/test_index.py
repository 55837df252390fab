"""A server whose settings ask for an index says what it has, and answers as the model does."""

from __future__ import annotations

from pathlib import Path

import servers
import small_logs

import segue
from segue.serving.index import FILE


def test_the_server_makes_an_index_keeps_it_and_says_its_recall(tmp_path: Path) -> None:
    config, state = tmp_path / "server.toml", tmp_path / "state"
    config.write_text("[server]\nindex_above = 31\nindex_breadth = 1.0\nlog_requests = false\n")
    model = small_logs.fitted_model()
    for kept in (False, True):
        with (
            servers.serving(model, "--config", config, "--state", state, program=servers.SERVE) as running,
            servers.client(running.url) as http,
        ):
            facts = http.get("/v1/model").json()["index"]
            assert (facts["kind"], facts["recall_at_20"], facts["kept"]) == ("lists", 1.0, kept)
            assert '"event": "index"' in running.log
            body = {"items": ["first1"], "k": 3}
            items = http.post("/v1/recommend", json=body).json()["items"]
            wanted = segue.load(model).recommend(None, ["first1"], k=3, explain=False)
            assert [each["item"] for each in items] == [entry.item for entry in wanted]
            filtered = http.post("/v1/recommend", json={**body, "candidates": ["b3"]}).json()
            assert [each["item"] for each in filtered["items"]] == ["b3"]
    assert (state / FILE).exists()


def test_a_model_of_few_items_has_no_index_and_says_so(tmp_path: Path) -> None:
    with (
        servers.serving(small_logs.fitted_model(), program=servers.SERVE) as running,
        servers.client(running.url) as http,
    ):
        assert http.get("/v1/model").json()["index"] == {"kind": "exact"}

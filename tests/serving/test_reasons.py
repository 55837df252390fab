"""The reasons of a recommendation add up to its score, and their words say what raises it most."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import runs
import small_logs
from served import KNOWN, OTHER, counting, model

import segue
from segue.artifact.model_folder import load_model
from segue.contract.memory_sources import TABLE

RELATIONS = {"adjacent_in", "adjacent_out", "similar"}


@pytest.mark.parametrize(
    ("user", "session", "history"),
    [
        (KNOWN, ["first3", "second3"], None),
        (OTHER, ["first3"], None),
        (None, ["first3", "first3", "b2"], None),
        ("nobody", ["second1"], ["b1", "b2", "a1"]),
        (KNOWN, [], None),
        (None, [], None),
    ],
)
def test_the_parts_of_a_reason_add_up(user: str | None, session: list[str], history: list[str] | None) -> None:
    counted = [("popularity", "mixed"), ("item_knn", ""), ("markov", ""), ("ease", "history"), ("slist", "history")]
    for recommender in (model(), *(counting(name, preset) for name, preset in counted)):
        for entry in recommender.recommend(user, session, k=32, history=history):
            because = entry.because
            assert list(because) == ["text", "session", "user", "base", "terms", "everybody"]
            by_item = sum(part["contribution"] for part in because["session"])
            assert by_item + because["user"] + because["base"] == pytest.approx(entry.score, abs=1e-4, rel=1e-5)
            assert sum(because["terms"].values()) + because["base"] == pytest.approx(entry.score, abs=1e-4, rel=1e-5)
            popularity = because["base"] - sum(because["everybody"].values())
            assert because["text"]
            assert recommender is not model() or popularity != 0


def test_a_relation_is_named_where_the_graph_has_the_edge() -> None:
    graph = load_model(small_logs.fitted_model()).model.graph  # type: ignore[attr-defined]
    numbers = {item: number for number, item in enumerate(model().artifact.items.column("item_id").to_pylist())}
    seen: set[str | None] = set()
    for entry in model().recommend(KNOWN, ["first3", "second3", "b5", "first0"], k=32):
        for part in entry.because["session"]:
            edges = {
                name for name in RELATIONS if numbers[part["item"]] in _neighbours(graph.csr[name], numbers[entry.item])
            }
            assert part["relation"] in edges if edges else part["relation"] is None
            seen.add(part["relation"])
    assert None in seen
    assert len(seen & RELATIONS) >= 2


def _neighbours(csr: Any, node: int) -> list[int]:
    return list(csr.indices[csr.offsets[node] : csr.offsets[node + 1]].tolist())


def test_adjacent_in_means_right_before() -> None:
    """In every visit second{t} comes right after first{t}."""
    answer = model().recommend(KNOWN, ["first3"], k=32)
    (entry,) = [entry for entry in answer if entry.item == "second3"]
    assert entry.because["session"][0]["relation"] == "adjacent_in"
    assert entry.because["text"] in {f"often comes {when} after The [first3]" for when in ("right", "soon")}


def words_of(speaks_for: str, item: str = "") -> set[str]:
    """What the sources that speak for the session, the user or everybody may say."""
    return {source.words.replace("{item}", item) for source in TABLE.values() if source.speaks_for == speaks_for}


RELATION_WORDS = ("often comes right after", "often comes right before", "often shares sessions with")


@pytest.mark.parametrize("user", [KNOWN, None])
def test_the_text_names_what_speaks_most(user: str | None) -> None:
    """The user where they outweigh every item of the session, and then that item too; else the item alone."""
    seen: set[bool] = set()
    for entry in model().recommend(user, ["first3", "second3", "b5"], k=32):
        because = entry.because
        top = max(because["session"], key=lambda part: part["contribution"])
        everybody = sum(because["everybody"].values())
        earlier = user is not None and because["user"] > max(top["contribution"], everybody, 0)
        first, _, second = because["text"].partition(", and ")
        name = model().name(top["item"])
        near = words_of("session", name) | {f"{words} {name}" for words in ("goes with", *RELATION_WORDS)}
        if earlier:
            assert first in words_of("user") | {"from this user's earlier sessions"}
        elif everybody > max(top["contribution"], 0):
            assert first in words_of("everybody")
        else:
            assert first in (near if top["contribution"] > 0 else {"popular with everybody"})
        assert not second or second in near
        seen.add(earlier)
    assert seen == ({True, False} if user else {False})


def test_a_user_who_speaks_most_leaves_room_for_the_session() -> None:
    (entry,) = counting("popularity", "mixed").recommend(KNOWN, ["a3"], k=1, candidates=["a3"])
    assert entry.because["user"] > entry.because["session"][0]["contribution"] > 0
    assert entry.because["text"] == "from this user's earlier sessions, and goes with The [a3]"
    (other,) = counting("popularity", "mixed").recommend(KNOWN, ["b3"], k=1, candidates=["a3"])
    assert other.because["text"] == "from this user's earlier sessions"


def test_a_model_that_cannot_tell_why_does_not_say_popular(tmp_path: Path) -> None:
    network = small_logs.with_settings(model={"name": "gru4rec", "dim": 8}, training={"max_epochs": 1})
    del network["model"]["dropout"]
    answer = segue.load(runs.train(small_logs.corpus(), tmp_path / "m", network)).recommend(KNOWN, ["first3"])
    assert {entry.because["text"] for entry in answer} == {"suits this session"}


@pytest.mark.parametrize(("name", "fill"), [("markov", "none"), ("markov", "popularity"), ("item_knn", "popularity")])
def test_what_fills_a_list_is_called_so(tmp_path: Path, name: str, fill: str) -> None:
    """Nothing ever followed a0 or b0 in a session of these items but first1."""
    out = runs.train(small_logs.corpus(), tmp_path / "m", {"model": {"name": name, "fill": fill}})
    (entry,) = segue.load(out).recommend(None, ["a0"], candidates=["b5"], k=1)
    words = {"none": "nothing speaks for it, it fills the list", "popularity": "popular with everybody"}
    assert entry.because["text"] == words[fill]

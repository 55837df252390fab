"""An index of a model: when there is one, what it answers, how it is kept, and what is said of it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import indexed
import numpy as np
import pytest
import small_logs
from hypothesis import given
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

import segue
from segue.errors import ConfigError
from segue.lean.hg_gnn import LeanHGGNN
from segue.lean.index import lists
from segue.lean.model import Shortlist
from segue.serving import index
from segue.serving.answer import Answer
from segue.serving.index import IndexSettings
from segue.serving.live import LiveRecommender
from segue.serving.recommender import Recommender
from segue.serving.shortlisting import MOST

EVERYWHERE = IndexSettings(above=0, breadth=1.0)
"""Settings of an index that looks through all of its lists; its sample holds all items."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("model")


@pytest.fixture(scope="module")
def model(folder: Path) -> Recommender:
    return indexed.recommender(folder, EVERYWHERE)


@pytest.fixture(scope="module")
def exact(folder: Path) -> Recommender:
    return indexed.recommender(folder)


def same(found: Answer, wanted: Answer) -> None:
    assert [entry.item for entry in found] == [entry.item for entry in wanted]
    assert [entry.score for entry in found] == pytest.approx([e.score for e in wanted], rel=1e-4, abs=1e-4)
    assert (found.skipped, found.warnings, found.user_known) == (wanted.skipped, wanted.warnings, wanted.user_known)


ids = st.integers(0, indexed.ITEMS + 2).map(lambda number: f"i{number}")
requests = st.fixed_dictionaries(
    {
        "user": st.sampled_from([None, "u0", "u59", "a stranger"]),
        "items": st.lists(ids, max_size=6),
        "k": st.sampled_from([1, 5, 20, MOST, MOST + 1, 1_000]),
        "exclude": st.lists(ids, max_size=20),
        "exclude_seen": st.sampled_from([None, "session", "history"]),
        "explain": st.just(False),
    }
)


@given(asked=requests)
def test_the_answers_are_those_of_all_scores(model: Recommender, exact: Recommender, asked: dict[str, Any]) -> None:
    same(model.recommend(**asked), exact.recommend(**asked))


def test_short_lists_come_from_a_shortlist(model: Recommender, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("all items were scored")

    monkeypatch.setattr(LeanHGGNN, "score", refuse)
    assert len(model.recommend("u1", ["i5"], k=20, explain=False)) == 20
    barred = model.recommend("u1", ["i5", "i7"], k=20, exclude=["i9"], exclude_seen="history", explain=False)
    assert not {"i5", "i7", "i9"} & {entry.item for entry in barred}


def test_a_list_that_a_shortlist_cannot_vouch_for_is_made_of_all_scores(
    exact: Recommender, model: Recommender, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the memory suggests may score low: where too few others are found, one that was not may belong there."""
    monkeypatch.setattr(index.Lists, "search", lambda self, vectors, most: np.full((len(vectors), most), -1))
    same(model.recommend("u1", ["i5"], explain=False), exact.recommend("u1", ["i5"], explain=False))


@pytest.mark.parametrize(
    "how", [{"candidates": ["i3", "i77", "i400"]}, {"explain": True}, {"discover": 0.5}, {"k": MOST + 1}]
)
def test_what_asks_for_all_scores_gets_them(
    model: Recommender, exact: Recommender, how: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("the index was asked")

    monkeypatch.setattr(LeanHGGNN, "shortlists", refuse)
    how = {"explain": False, **how}
    same(model.recommend("u1", ["i5"], **how), exact.recommend("u1", ["i5"], **how))


def test_requests_of_both_kinds_are_answered_in_their_order(model: Recommender, exact: Recommender) -> None:
    asked = [
        {"user": user, "items": items, "k": 3, "explain": explain}
        for user in ("u1", None) for items in ([], ["i1"], ["i2", "i3"]) for explain in (False, True)
    ]  # fmt: skip
    for found, wanted in zip(model.recommend_many(asked), exact.recommend_many(asked), strict=True):
        same(found, wanted)
        assert [bool(entry.because) for entry in found] == [bool(entry.because) for entry in wanted]


def test_what_is_said_of_an_index_and_where_it_is_kept(folder: Path, tmp_path: Path) -> None:
    settings = IndexSettings(above=0, breadth=1.0, folder=tmp_path)
    first, second = (indexed.recommender(folder, settings) for _ in range(2))
    facts = first.index_facts
    assert {**facts, "seconds": 0, "kept": True} == {**second.index_facts, "seconds": 0}
    assert not facts["kept"]
    assert (facts["kind"], facts["library"], facts["breadth"]) == ("lists", "faiss-cpu", facts["lists"])
    assert (facts["recall_at_20"], facts["sessions"]) == (1.0, 240)
    asked: dict[str, Any] = {"user": "u1", "items": ["i5"], "explain": False}
    assert first.recommend(**asked) == second.recommend(**asked)


def test_the_recall_is_the_share_of_the_best_that_is_found() -> None:
    """Sessions whose shortlists lack 0, 1 and 2 of the 4 best; what is tied with the last of them counts."""

    class Found:
        def shortlists(self, requests: Sequence[int]) -> list[Shortlist]:
            return [_SHORT[each] for each in requests]

    best = np.array([[1, 2, 3, 4]] * 4, dtype=np.int32)
    scores = np.array([[9.0, 8.0, 7.0, 6.0]] * 4, dtype=np.float32)
    plan = type("Plan", (), {"best": best, "best_scores": scores})
    recall, error = index._measure(Found(), range(4), plan)  # type: ignore[arg-type]
    assert recall == pytest.approx((4 + 3 + 2 + 4) / 16)
    assert error == pytest.approx(0.5, abs=0.1)


def _short(items: list[int], scores: list[float]) -> Shortlist:
    return Shortlist(np.array(items), np.array(scores, dtype=np.float32), np.ones(len(items), dtype=np.bool_))


_SHORT = [
    _short([1, 2, 3, 4, 5], [9, 8, 7, 6.5, 1]),
    _short([1, 2, 3, 5, 6], [9, 8, 7, 2, 1]),
    _short([1, 4, 7, 8], [9, 6, 5, 4]),
    _short([1, 2, 3, 8], [9, 8, 7, 6.0]),
]


def test_a_search_is_widened_until_it_finds_enough(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recalls = iter([0.5, 0.9, 0.99])
    monkeypatch.setattr(index, "_measure", lambda *_: (next(recalls), 0.0))
    facts = indexed.recommender(folder, IndexSettings(above=0, breadth=0.01)).index_facts
    assert (facts["kind"], facts["breadth"], facts["recall_at_20"]) == ("lists", 4, 0.99)


def test_an_index_that_never_finds_enough_is_left_out(
    folder: Path, exact: Recommender, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(index, "_measure", lambda *_: (0.97, 0.0))
    found = indexed.recommender(folder, IndexSettings(above=0))
    assert found.index is None
    assert (found.index_facts["kind"], found.index_facts["recall_at_20"]) == ("exact", 0.97)
    assert [record.message for record in caplog.records] == [
        "an index finds 0.9700 of the best 20, less than 0.98: every item is scored"
    ]
    same(found.recommend("u1", ["i5"]), exact.recommend("u1", ["i5"]))


def test_without_the_library_every_item_is_scored(
    folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(lists, "available", lambda: False)
    found = indexed.recommender(folder, EVERYWHERE)
    why = "all 600 items are scored for every answer: for an index pip install 'segue[index]'"
    assert (found.index, found.index_facts) == (None, {"kind": "exact", "why": why})
    assert [record.message for record in caplog.records] == [why]


@pytest.mark.parametrize(("name", "preset"), [("markov", ""), ("hg_gnn", "memory")])
def test_models_that_score_by_counts_have_no_index(name: str, preset: str) -> None:
    assert segue.load(small_logs.counting_model(name, preset), index=EVERYWHERE).index_facts == {"kind": "exact"}


def test_few_items_have_no_index(folder: Path) -> None:
    assert indexed.recommender(folder, IndexSettings(above=indexed.ITEMS)).index is None
    assert indexed.recommender(folder, IndexSettings(above=indexed.ITEMS - 1)).index is not None


def test_a_model_is_loaded_with_an_index() -> None:
    plain, found = (segue.load(small_logs.fitted_model(), index=which) for which in (None, EVERYWHERE))
    assert (plain.index, found.index_facts["kind"]) == (None, "lists")
    same(found.recommend(None, ["first1"], k=3, explain=False), plain.recommend(None, ["first1"], k=3, explain=False))


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def _no_tensors(path: Path) -> None:
    path.write_bytes(b"no tensors")


def _of_another_model(path: Path) -> None:
    save_file(load_file(path), path, {"format": "segue-index-1", "of": "0" * 64})


def _beyond_the_lists(path: Path) -> None:
    _changed(path, "list_of", 10_000)


def _unsorted_sample(path: Path) -> None:
    _changed(path, "sampled", 0)


def _changed(path: Path, name: str, value: int) -> None:
    arrays = load_file(path)
    arrays[name][-1] = value
    with safe_open(path, framework="numpy") as file:
        metadata = file.metadata()
    save_file(arrays, path, metadata)


@pytest.mark.parametrize("damage", [_cut, _no_tensors, _of_another_model, _beyond_the_lists, _unsorted_sample])
def test_a_kept_index_that_does_not_fit_is_made_anew(
    damage: Any, folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    settings, kept = IndexSettings(above=0, breadth=1.0, folder=tmp_path), tmp_path / index.FILE
    indexed.recommender(folder, settings)
    whole = load_file(kept)
    damage(kept)
    assert not indexed.recommender(folder, settings).index_facts["kept"]
    assert [record.message.partition(":")[0] for record in caplog.records] == [f"the index in {kept} is made anew"]
    again = load_file(kept)
    assert all(np.array_equal(again[name], array) for name, array in whole.items())
    assert indexed.recommender(folder, settings).index_facts["kept"]


def test_an_index_that_cannot_be_kept_answers_all_the_same(
    folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    place = tmp_path / "file"
    place.write_text("no folder")
    assert indexed.recommender(folder, IndexSettings(above=0, breadth=1.0, folder=place)).index is not None
    assert [record.message.partition(":")[0] for record in caplog.records] == [f"the index cannot be kept in {place}"]
    assert place.read_text() == "no folder"


@pytest.mark.parametrize("wrong", [{"above": -1}, {"breadth": 0.0}, {"breadth": 1.5}, {"recall": 1.1}])
def test_settings_out_of_range_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=f"{next(iter(wrong.values())):g}"):
        IndexSettings(**wrong)


def test_a_live_model_uses_the_index_and_always_scores_what_is_new(model: Recommender) -> None:
    live = LiveRecommender(model)
    assert live.index is not None
    assert live.index_facts == model.index_facts
    number = live.learn("brand new")
    assert number is not None
    for _ in range(3):
        live.add([5, number, 5, number])
    found, alone = live.recommend(None, ["i5"], k=20, explain=False), live
    assert "brand new" in [entry.item for entry in found]
    alone.index = None
    same(found, alone.recommend(None, ["i5"], k=20, explain=False))

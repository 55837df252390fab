"""Places reserved for items new to the user: which items stand in the list, in which order, and what is said."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
import small_logs
from hypothesis import given, settings
from hypothesis import strategies as st
from served import KNOWN, everything, ids, model, scores

from segue.errors import RequestError
from segue.evaluation.reserved import reserved_places
from segue.serving.discovery import with_discoveries

ITEMS = [f"{kind}{topic}" for kind in ("a", "b", "first", "second") for topic in range(small_logs.TOPICS)]
NEW = {item for item in ITEMS if item.startswith("b")}
"""The items that a user of taste a has never seen."""
SESSION = ["first3", "second3"]
some = st.lists(st.sampled_from(ITEMS), max_size=12, unique=True)


@settings(max_examples=150)
@given(st.lists(st.booleans(), min_size=1, max_size=30), st.integers(1, 35), st.floats(0, 1), st.randoms())
def test_the_list_by_its_definition(flags: list[bool], k: int, share: float, random: Any) -> None:
    order = list(range(len(flags)))
    random.shuffle(order)
    found = with_discoveries(np.array(order), np.array(flags), k, share, []).tolist()
    plain, places = order[:k], reserved_places(share, k)
    assert len(found) == len(set(found)) == len(plain)
    assert found == sorted(found, key=order.index), "the order of the scores"
    in_plain, in_found = sum(flags[item] for item in plain), sum(flags[item] for item in found)
    assert in_found == max(in_plain, min(places, sum(flags)))
    if in_plain >= places:
        assert found == plain
    for kind in (True, False):
        of_kind = [item for item in found if flags[item] is kind]
        assert of_kind == [item for item in order if flags[item] is kind][: len(of_kind)], "the best of each kind"


@settings(max_examples=40)
@given(
    exclude=some,
    candidates=st.none() | some,
    seen=st.sampled_from([None, "session", "history"]),
    k=st.integers(1, 40),
    share=st.sampled_from([0.0, 0.2, 0.5, 1.0]),
)
def test_filters_are_obeyed(exclude: list[str], candidates: list[str] | None, seen: Any, k: int, share: float) -> None:
    how: dict[str, Any] = {"exclude": exclude, "candidates": candidates, "exclude_seen": seen}
    plain = everything(KNOWN, SESSION, **how)
    answer = model().recommend(KNOWN, SESSION, k, discover=share, **how)
    assert len(set(ids(answer))) == len(answer) == min(k, len(plain))
    assert {item: plain[item] for item in ids(answer)} == scores(answer)
    assert [entry.score for entry in answer] == sorted(scores(answer).values(), reverse=True)
    assert sum(item in NEW for item in ids(answer)) >= min(reserved_places(share, k), len(NEW & plain.keys()))
    assert [entry.item for entry in answer if entry.discovery] == [i for i in ids(answer) if share and i in NEW]


@pytest.mark.parametrize("k", [1, 10, 100])
def test_a_share_of_nothing_is_the_plain_answer(k: int) -> None:
    assert model().recommend(KNOWN, SESSION, k, discover=0.0) == model().recommend(KNOWN, SESSION, k)


def test_the_lowest_known_items_give_way_to_the_best_new_ones() -> None:
    full = ids(model().recommend(KNOWN, SESSION, k=32))
    known, new = [i for i in full if i not in NEW], [i for i in full if i in NEW]
    answer = model().recommend(KNOWN, SESSION, k=10, discover=0.4)
    assert ids(answer) == sorted([*known[:6], *new[:4]], key=full.index)
    assert answer.warnings == ()
    assert sum(item in NEW for item in full[:10]) < 4


def test_items_of_the_session_and_of_a_given_history_are_not_new() -> None:
    answer = model().recommend(KNOWN, ["b1"], k=10, history=["b2", "a1"], discover=1)
    assert not {"b1", "b2", "a1"} & set(ids(answer))
    assert all(entry.discovery for entry in answer)
    empty = model().recommend(KNOWN, [], k=8, discover=1)
    assert set(ids(empty)) == NEW


def test_too_few_new_items_are_said() -> None:
    answer = model().recommend(KNOWN, SESSION, k=10, discover=0.5, exclude=[f"b{t}" for t in range(2, 8)])
    assert answer.warnings == ("only 2 eligible items are new to the user, 5 places were reserved for them",)
    assert sum(entry.discovery for entry in answer) == 2
    assert len(answer) == 10
    none = model().recommend(KNOWN, SESSION, k=10, discover=0.5, exclude_seen="history")
    assert none.warnings == ("only 8 items are eligible, 10 were asked for",)


@pytest.mark.parametrize("user", [None, "nobody"])
def test_without_a_history_nothing_changes_and_that_is_said(user: str | None) -> None:
    plain, asked = model().recommend(user, SESSION), model().recommend(user, SESSION, discover=0.5)
    assert asked.items == plain.items
    assert asked.warnings == (
        *plain.warnings,
        "the user has no history that the model knows: every item is new to them, and discover changes nothing",
    )


def test_a_share_that_reserves_no_place_is_said() -> None:
    answer = model().recommend(KNOWN, SESSION, k=7, discover=0.05)
    assert ids(answer) == ids(model().recommend(KNOWN, SESSION, k=7))
    assert answer.warnings == ("discover 0.05 of 7 places reserves none; discover 0.14 reserves one",)
    assert all(reserved_places(float(f"{1 / k:.2g}"), k) == 1 for k in range(1, 2000))


def test_the_json_shape_gains_a_key_where_it_is_true() -> None:
    answer = model().recommend(KNOWN, SESSION, k=10, discover=0.3)
    shape = json.loads(json.dumps(answer.as_dict(), allow_nan=False))
    assert list(shape) == ["items", "skipped", "user_known", "warnings"]
    for entry in shape["items"]:
        assert list(entry) == ["item", "score", "because", *(["discovery"] if entry["item"] in NEW else [])]
        assert entry.get("discovery", True) is True


@pytest.mark.parametrize("share", [-0.1, 1.5, 30, float("nan"), float("inf"), "0.3", None, True, [0.3]])
def test_what_is_no_share_is_refused(share: Any) -> None:
    with pytest.raises(RequestError, match=r"discover is a share of the places from 0 to 1, found .*; 0\.2 is one"):
        model().recommend(KNOWN, SESSION, discover=share)

"""Every value of a request is obeyed, or refused in one line."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from served import KNOWN, OTHER, ids, model, scores

from segue.errors import RequestError
from segue.serving.request import count_of, ids_of, seen_of, time_of, user_of

TRAINED_UNTIL = 1_700_000_000_000


@pytest.mark.parametrize("k", [0, -3])
def test_k_below_one_is_a_mistake(k: int) -> None:
    with pytest.raises(RequestError, match=f"k must be at least 1, found {k}"):
        model().recommend(KNOWN, ["first3"], k=k)


@pytest.mark.parametrize("k", ["5", 5.0, True, None, [5], float("nan")])
def test_k_is_a_whole_number(k: Any) -> None:
    with pytest.raises(RequestError, match="k is a whole number, found"):
        model().recommend(KNOWN, ["first3"], k=k)


def test_numpys_whole_numbers_are_whole_numbers() -> None:
    assert count_of(np.int32(3)) == 3
    assert len(model().recommend(KNOWN, ["first3"], k=np.int64(3))) == 3


@pytest.mark.parametrize("item", [None, float("nan"), pd.NA, "", ["first3"], np.array(["first3"]), {"first3": 1}])
def test_what_is_similar_to_no_item_is_a_mistake(item: Any) -> None:
    with pytest.raises(RequestError, match="item is one id, found"):
        model().similar(item)


def test_ids_of_every_kind_are_compared_as_text() -> None:
    assert model().similar(b"first3") == model().similar("first3")  # type: ignore[arg-type]
    with pytest.raises(RequestError, match="item '3' is unknown to the model"):
        model().similar(3)  # type: ignore[arg-type]


@pytest.mark.parametrize("explain", ["no", "False", 0, None, []])
def test_explain_is_true_or_false(explain: Any) -> None:
    with pytest.raises(RequestError, match="explain is True or False, found"):
        model().recommend(KNOWN, ["first3"], explain=explain)
    with pytest.raises(RequestError, match="request 1: explain is True or False, found"):
        list(model().recommend_many([{"explain": explain}]))


@pytest.mark.parametrize("argument", ["items", "history", "exclude", "candidates"])
@pytest.mark.parametrize(
    "value",
    ["first3", 7, {"first3": 1}, pd.DataFrame({"item_id": ["first3"]}), b"first3", np.array("first3"),
     pl.LazyFrame({"item_id": ["first3"]})],
)  # fmt: skip
def test_a_list_of_ids_is_a_list(argument: str, value: Any) -> None:
    with pytest.raises(RequestError, match=f"{argument} are a list of ids, found"):
        model().recommend(KNOWN, **{"items": ["first3"], argument: value})


@pytest.mark.parametrize("argument", ["items", "history", "exclude", "candidates"])
@pytest.mark.parametrize("missing", [None, float("nan"), pd.NaT, pd.NA, ["second3"]])
def test_a_missing_value_is_no_id(argument: str, missing: Any) -> None:
    with pytest.raises(RequestError, match=f"{argument}: entry 2 is no id"):
        model().recommend(KNOWN, **{"items": ["first3"], argument: ["first3", missing]})


def test_what_has_no_order_is_no_session() -> None:
    for argument in ("items", "history"):
        with pytest.raises(RequestError, match=f"{argument} are a list of ids, the oldest first, .*has no order"):
            model().recommend(KNOWN, **{"items": ["first3"], argument: {"first3", "second3"}})  # type: ignore[arg-type]
    answer = model().recommend(KNOWN, ["first3"], k=2, candidates={"a3", "b3"}, exclude={"b3"})
    assert ids(answer) == ["a3"]


@pytest.mark.parametrize("argument", ["items", "exclude"])
def test_no_ids_are_an_empty_list(argument: str) -> None:
    with pytest.raises(RequestError, match=rf"{argument} are a list of ids, found None; write \[\] where"):
        model().recommend(KNOWN, **{"items": ["first3"], argument: None})  # type: ignore[arg-type]


def test_a_message_about_a_long_value_is_short() -> None:
    with pytest.raises(RequestError) as refused:
        ids_of("x" * 10_000, "items")
    assert len(str(refused.value)) < 200


def test_any_list_of_ids_will_do() -> None:
    wanted = model().recommend(KNOWN, ["first3", "second3"])
    for kind in (tuple, iter, np.array, pd.Series):
        assert model().recommend(KNOWN, kind(["first3", "second3"])) == wanted


@pytest.mark.parametrize(
    "users", [[KNOWN, OTHER], (KNOWN,), pl.LazyFrame({"u": [KNOWN]}), np.array([KNOWN, OTHER]), pd.Series([KNOWN])]
)
def test_one_user_at_a_time(users: Any) -> None:
    with pytest.raises(RequestError, match=r"user is one id, found .*ask for each user by itself"):
        model().recommend(users, ["first3"])


@pytest.mark.parametrize("user", [float("nan"), pd.NA, pd.NaT])
def test_a_missing_user_is_not_read_as_an_id(user: Any) -> None:
    with pytest.raises(RequestError, match=r"user is a missing value .*write None for an anonymous session"):
        user_of(user)


@pytest.mark.parametrize("seen", [True, False, "Session", "all", 1, ["session"]])
def test_seen_items_are_named_by_one_of_two_words(seen: Any) -> None:
    with pytest.raises(RequestError, match="exclude_seen is 'session' or 'history', found"):
        model().recommend(KNOWN, ["first3"], exclude_seen=seen)
    assert [seen_of(word) for word in ("session", "history", None)] == ["session", "history", None]


def test_a_time_is_milliseconds_or_a_moment() -> None:
    moment = datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC)
    other_zone = moment.astimezone(timezone(timedelta(hours=5)))
    times: list[Any] = [
        1_700_000_000_000, 1.7e12, np.int64(1_700_000_000_000), moment, other_zone, moment.replace(tzinfo=None),
        pd.Timestamp(moment), np.datetime64("2023-11-14T22:13:20"), np.datetime64(1_700_000_000_000_000_000, "ns"),
    ]  # fmt: skip
    assert {time_of(time, 0) for time in times} == {1_700_000_000_000}
    assert time_of(None, TRAINED_UNTIL) == TRAINED_UNTIL


@given(st.datetimes(datetime(1, 1, 2), datetime(9999, 12, 30)))
def test_a_moment_is_its_milliseconds(moment: datetime) -> None:
    elapsed = (moment - datetime(1970, 1, 1)) // timedelta(milliseconds=1)
    assert time_of(moment, TRAINED_UNTIL) == elapsed
    assert time_of(moment.replace(tzinfo=timezone(timedelta(hours=-1))), TRAINED_UNTIL) == elapsed + 3_600_000


@pytest.mark.parametrize(
    "time",
    [
        10**400,
        10**30,
        1e300,
        -(10**30),
        "2023-11-14",
        "1700000000000",
        float("nan"),
        float("inf"),
        True,
        pd.NaT,
        np.datetime64("NaT"),
        [1],
    ],
)
def test_what_is_no_time_is_refused(time: Any) -> None:
    with pytest.raises(RequestError, match="time is epoch milliseconds"):
        model().recommend(KNOWN, ["first3"], time=time)


def test_seconds_are_not_read_as_milliseconds() -> None:
    with pytest.raises(RequestError, match=r"if it counts seconds, write 1700000000000$"):
        time_of(1_700_000_000, TRAINED_UNTIL)
    assert time_of(1_700_000_000, 5_000) == 1_700_000_000  # a model trained on times that count from an unknown start


def test_a_user_with_a_slip_is_answered_as_anonymous_with_a_word() -> None:
    answer = model().recommend(KNOWN.upper() + " ", ["first3"])
    assert answer.items == model().recommend(None, ["first3"]).items
    assert answer.warnings == (
        f"user '{KNOWN.upper()} ' (did you mean '{KNOWN}'?) is unknown to the model: answered as an anonymous session",
    )
    with_history = model().recommend("nobody", ["first3"], history=["a1"])
    assert with_history.warnings == ("user 'nobody' is unknown to the model: answered from the given history",)


def test_what_excludes_nothing_is_said() -> None:
    best = ids(model().recommend(KNOWN, ["first3"], k=1))[0]
    answer = model().recommend(KNOWN, ["first3"], exclude=[best, " FIRST3", "l2"])
    assert best not in scores(answer)
    assert answer.warnings == (
        "2 of 3 excluded items are unknown to the model and exclude nothing: ' FIRST3' (did you mean 'first3'?), 'l2'",
    )


def test_only_some_of_many_unknown_ids_are_named() -> None:
    answer = model().recommend(KNOWN, ["first3"], exclude=[f"x{number}" for number in range(12)])
    assert answer.warnings[0].endswith("exclude nothing: 'x0', 'x1', 'x2', 'x3', 'x4' and 7 more")


@given(st.lists(st.one_of(st.text(min_size=1), st.integers(), st.floats(allow_nan=False))))
def test_ids_keep_their_number_and_order(values: list[Any]) -> None:
    assert len(ids_of(values, "items")) == len(values)
    assert ids_of(ids_of(values, "items"), "items") == ids_of(values, "items")

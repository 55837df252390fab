"""A history of sessions with times is read as exactly as the trained one."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest
import served
from served import KNOWN

from segue import PastSession
from segue.errors import RequestError
from segue.serving.asking import Request, Running
from segue.settings.units import DAY, HOUR


def scores(history: Any, user: str | None = KNOWN, **how: Any) -> dict[str, float]:
    return served.everything(user, ["first1", "second1"], history=history, **how)


def test_the_trained_history_given_as_sessions_changes_nothing() -> None:
    model = served.model()
    trained = model.history_of(KNOWN)
    assert len(trained) > 5
    assert scores(trained) == pytest.approx(scores(None), rel=1e-4, abs=1e-4)
    as_mappings = [{"items": each.items, "times": each.times} for each in trained]
    assert scores(as_mappings) == scores(trained)
    assert next(model.recommend_many([{"user": KNOWN, "items": ["first1"], "history": as_mappings}]))
    flat = [item for each in trained for item in each.items]
    assert scores(flat) != pytest.approx(scores(trained), rel=1e-4, abs=1e-4)  # as one session it says other things
    assert model.history_of("a stranger") == []


def test_times_and_bounds_of_sessions_count() -> None:
    end = served.model().trained_until
    early = [PastSession(["first3"], end - 40 * DAY), PastSession(["b3"], end - 39 * DAY)]
    late = [PastSession(["first3"], end - 2 * DAY), PastSession(["b3"], end - DAY)]
    together = [PastSession(["first3", "b3"], [end - 2 * DAY, end - DAY])]
    found = [scores(history, None, time=end) for history in (early, late, together)]
    assert found[0] != found[1] != found[2] != found[0]


def test_times_may_be_of_each_item_or_of_all_and_datetimes() -> None:
    end = served.model().trained_until
    moment = datetime.fromtimestamp((end - DAY) // 1000, UTC)
    in_ms = (end - DAY) // 1000 * 1000
    first = scores([PastSession(["a1", "b1"], in_ms)])
    assert scores([PastSession(["a1", "b1"], [in_ms, in_ms])]) == first
    assert scores([PastSession(["a1", "b1"], np.array([in_ms, in_ms]))]) == first
    assert scores([PastSession(["a1", "b1"], moment)]) == first


def test_unknown_items_are_skipped_and_a_session_of_nothing_else_is_none() -> None:
    end = served.model().trained_until
    sessions = [
        PastSession(["nowhere"], end - 3 * DAY),
        PastSession(["a1", "x", "b1"], [end - 2 * DAY, end - 2 * DAY + HOUR, end - 2 * DAY + 2 * HOUR]),
        PastSession([], []),
    ]
    answer = served.model().recommend(None, ["first1"], history=sessions)
    assert answer.skipped == ("nowhere", "x")
    left = [PastSession(["a1", "b1"], [end - 2 * DAY, end - 2 * DAY + 2 * HOUR])]
    assert scores(sessions, None) == scores(left, None)
    assert scores([], None) == scores([PastSession(["nowhere"], end)], None)


@pytest.mark.parametrize(
    ("history", "message"),
    [
        ([PastSession(["a1"], 5), PastSession(["b1"], 4)], "history: session 2 began before the one before it"),
        ([PastSession(["a1", "b1"], [5])], "history: session 1 has 2 items and 1 times; give one of each item"),
        ([PastSession(["a1", "b1"], [5, 4])], "history: the times of session 1 are not in order"),
        ([PastSession(["a1"], None)], "history: session 1 has no times"),  # type: ignore[arg-type]
        ([PastSession(["a1"], "yesterday")], "time is epoch milliseconds or a datetime, found 'yesterday'"),  # type: ignore[arg-type]
        ([PastSession(["a1"], 5), "b1"], "history: entry 2 is no session, others are"),
        (["b1", {"items": ["a1"], "times": 5}], "history: entry 1 is no session, others are"),
        ([{"items": ["a1"], "time": 5}], "history: entry 1 is no session"),
    ],
)
def test_other_histories_are_refused_in_one_line(history: Any, message: str) -> None:
    with pytest.raises(RequestError) as refused:
        served.model().recommend(KNOWN, ["first1"], history=history)
    assert message in str(refused.value)
    assert "\n" not in str(refused.value)


def test_live_sessions_follow_the_trained_ones() -> None:
    model = served.model()
    end = model.trained_until
    since = [PastSession(["first3", "b3"], [end + DAY, end + DAY + HOUR])]
    request = Request(KNOWN, ["first1"], 30, time=end + 2 * DAY)
    found = model.answer(request, Running(finished=since))
    wanted = model.recommend(KNOWN, ["first1"], 30, history=[*model.history_of(KNOWN), *since], time=end + 2 * DAY)
    assert served.scores(found) == served.scores(wanted)


def test_of_the_trained_history_only_what_had_ended_counts() -> None:
    model = served.model()
    trained = model.history_of(KNOWN)
    start = trained[4].times[0]  # type: ignore[index]
    request = Request(KNOWN, ["first1"], 30)
    found = model.answer(request, Running(start=start))
    later = model.answer(request, Running(start=model.trained_until + 1))
    assert served.scores(later) == served.scores(model.recommend(KNOWN, ["first1"], 30))
    assert served.scores(found) != served.scores(later)
    asked = model._reader.understand(request, Running(start=start)).asked
    assert asked is not None
    assert (len(asked.past.offsets) - 1, asked.fresh) == (4, False)  # the vector of the user is still that of training

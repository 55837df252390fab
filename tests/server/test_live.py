"""Events become sessions by the gap of the model."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from segue.server.live import Sessions, current, finished
from segue.server.store.event import Event

GAP = 100
CUT = Sessions(GAP)


def clicks(*events: tuple[str, str, int]) -> list[Event]:
    return [Event(session, item, time) for session, item, time in events]


def test_events_of_one_id_are_one_session_until_the_gap_has_passed() -> None:
    events = clicks(("s", "a", 0), ("s", "b", 100), ("s", "c", 201))
    found = CUT.of(events, now=250)
    assert [(session.items, session.ended) for session in found] == [(("a", "b"), True), (("c",), False)]
    assert [each.items for each in finished(found)] == [("a", "b")]
    going_on = current(found)
    assert going_on is not None
    assert going_on.items == ("c",)


def test_a_session_ends_once_the_gap_has_passed_since_its_last_event() -> None:
    events = clicks(("s", "a", 0))
    assert current(CUT.of(events, now=100)) is not None
    assert current(CUT.of(events, now=101)) is None


def test_of_two_sessions_that_go_on_the_one_with_the_latest_event_is_current() -> None:
    found = CUT.of(clicks(("phone", "a", 0), ("desk", "b", 10), ("phone", "c", 20)), now=30)
    assert [session.items for session in found] == [("b",), ("a", "c")]
    latest, named = current(found), current(found, "desk")
    assert latest is not None
    assert named is not None
    assert (latest.name, named.items) == ("phone", ("b",))
    assert finished(found) == []  # what goes on is no history yet


def test_kinds_of_events_that_the_model_was_not_trained_on_do_not_count() -> None:
    events = [Event("s", "a", 0, type="view"), Event("s", "b", 1, type="buy"), Event("s", "c", 2)]
    (session,) = Sessions(GAP, ("view",)).of(events, now=3)
    assert session.items == ("a", "c")


def test_of_equal_items_in_a_row_one_counts_where_the_model_was_trained_so() -> None:
    events = clicks(("s", "a", 0), ("s", "a", 90), ("s", "b", 180), ("s", "a", 190), ("s", "a", 300))
    (session, later) = Sessions(GAP, drop_repeats=True).of(events, now=310)
    assert (session.items, session.times) == (
        ("a", "b", "a"),
        (0, 180, 190),
    )  # what repeats bridges the gap all the same
    assert later.items == ("a",)
    assert [len(each.items) for each in CUT.of(events, now=310)] == [4, 1]


@given(
    st.lists(st.tuples(st.sampled_from("xyz"), st.sampled_from("abcd"), st.integers(0, 1000)), max_size=30),
    st.integers(0, 1500),
)
def test_every_event_is_in_one_session_and_sessions_keep_the_gap(events: list[tuple[str, str, int]], now: int) -> None:
    ordered = clicks(*sorted(events, key=lambda event: event[2]))
    found = CUT.of(ordered, now)
    assert sorted(item for session in found for item in session.items) == sorted(event.item for event in ordered)
    for name in "xyz":
        own = [session for session in found if session.name == name]
        assert all(later.start - earlier.end > GAP for earlier, later in pairwise(own))
        assert all(session.ended for session in own[:-1])
        assert all(session.ended == (now - session.end > GAP) for session in own[-1:])

"""Which session belongs to which part, what is left of test, and in which order everything is numbered."""

from __future__ import annotations

from typing import Any

import pytest
from hand_made import MINUTE, visits, with_log
from hypothesis import given, settings
from hypothesis import strategies as st

from segue.data.corpus import Part
from segue.data.preparation.filters import apply_filters
from segue.data.preparation.sessions import form_sessions
from segue.data.preparation.split import split
from segue.data.preparation.write import number_users_and_sessions
from segue.errors import CorpusError
from segue.settings import FiltersSettings, SessionsSettings, SplitSettings

TRAIN, VALIDATION, TEST = Part


def parted(rows: list[Any], filters: dict[str, Any] | None = None, **settings: Any) -> tuple[Any, dict[str, Any]]:
    connection = with_log(rows)
    kept = FiltersSettings(**{"min_item_support": 1, "min_user_sessions": 1, **(filters or {})})
    ledger = form_sessions(connection, SessionsSettings(min_length=2), kept)
    apply_filters(connection, ledger, SessionsSettings(min_length=2), kept)
    return connection, split(connection, ledger, SplitSettings(**settings))


def parts_of(connection: Any) -> dict[str | None, list[int]]:
    found: dict[str | None, list[int]] = {}
    for user, part in connection.execute(
        "SELECT user_id, part FROM sessions JOIN user_codes USING (user_key) ORDER BY user_key, first_event"
    ).fetchall():
        found.setdefault(user, []).append(part)
    return found


@pytest.mark.parametrize(
    ("sessions", "test", "validation", "expected"),
    [
        (5, 0.2, 0.1, [TRAIN] * 3 + [VALIDATION, TEST]),
        (1, 0.2, 0.1, [TEST]),
        (2, 0.2, 0.1, [TRAIN, TEST]),
        (3, 0.2, 0.1, [TRAIN, TRAIN, TEST]),
        (4, 0.2, 0.1, [TRAIN, TRAIN, VALIDATION, TEST]),
        (25, 0.2, 0.1, [TRAIN] * 18 + [VALIDATION] * 2 + [TEST] * 5),
        # In floating point (1 - 0.9) * 10 is 0.9999999999999998 and 0.29 * 100 is 28.999999999999996.
        (10, 0.9, 0.1, [TRAIN] + [TEST] * 9),
        (100, 0.71, 0.1, [TRAIN] * 27 + [VALIDATION] * 2 + [TEST] * 71),
    ],
)
def test_user_80_20(sessions: int, test: float, validation: float, expected: list[Part]) -> None:
    rows = visits("u", *["a b"] * sessions) + visits("v", "a b", "b a")
    connection, _ = parted(rows, test=test, validation=validation)
    assert parts_of(connection)["u"] == expected


def test_global_time_orders_sessions_by_their_end() -> None:
    rows = [("long", "a", 0, "l"), ("long", "b", 400, "l"), ("long", "a", 800, "l")]
    rows += [
        (user, item, start + minute, f"{user}{start}")
        for user, start in [("u", 10), ("u", 110), ("u", 210), ("v", 20)]
        for minute, item in enumerate("ab")
    ]
    connection, facts = parted(rows, protocol="global_time", test=0.2, validation=0.25)
    assert parts_of(connection) == {"long": [TEST], "u": [TRAIN, TRAIN, VALIDATION], "v": [TRAIN]}
    assert facts["last_train_end"] == 211 * MINUTE
    assert facts["first_test_end"] == 800 * MINUTE


def test_global_time_leaves_out_rare_users_who_come_after_train() -> None:
    rows = [row for k in range(5) for user in "uv" for row in visits(user, "a b", start=k * 1000 + (user == "v") * 10)]
    rows += visits("early", "a b", start=500) + visits("late", "a b", start=9000)
    filters = {"min_user_sessions": 2, "rare_users": "train"}
    connection, facts = parted(rows, filters, protocol="global_time", test=0.2, validation=0.1)
    found = parts_of(connection)
    assert found["early"] == [TRAIN]
    assert "late" not in found
    assert facts["sessions_after_train"] == 1
    connection, facts = parted(rows, filters)
    assert parts_of(connection)["late"] == [TRAIN]
    assert facts["sessions_after_train"] == 0


def test_test_loses_unknown_items_first_and_then_short_sessions() -> None:
    rows = [
        *visits("u", "a b", "b c", "c a", "a b", "a new b new2 new c"),
        *visits("v", "a b", "b c", "c a", "a b", "a new"),
        *visits("w", "a b", "b c", "c a", "a b", "new a b"),
    ]
    connection, facts = parted(rows)
    assert facts["events_of_unknown_items"] == 5
    assert facts["short_sessions"] == 1
    assert facts["false_adjacencies"] == 2  # a b and b c of u; w lost no event between two others
    left = connection.execute("""
        SELECT user_id, string_agg(item_id, ' ' ORDER BY event)
        FROM events JOIN sessions AS s USING (session_key) JOIN item_codes USING (item_key)
        JOIN user_codes ON s.user_key = user_codes.user_key
        WHERE part = 2 GROUP BY user_id ORDER BY user_id
    """)
    assert left.fetchall() == [("u", "a b c"), ("w", "a b")]
    assert connection.execute("SELECT list(item_id ORDER BY item) FROM vocabulary JOIN item_codes USING (item_key)")
    assert connection.fetchone() == (["a", "b", "c"],)


def test_validation_items_belong_to_the_vocabulary() -> None:
    rows = visits("u", "a b", "b a", "a b", "a fresh", "fresh a") + visits("v", "a b", "b a")
    connection, facts = parted(rows)
    assert facts["events_of_unknown_items"] == 0
    ids = connection.execute("SELECT list(item_id ORDER BY item) FROM vocabulary JOIN item_codes USING (item_key)")
    assert ids.fetchone() == (["a", "b", "fresh"],)


def test_numbers_known_users_by_bytes_then_cold_then_anonymous() -> None:
    rows = [
        *visits("Zoe", "a b", "b a"),
        *visits("adam", "a b", "b a"),
        *visits("cold", "a b"),
        *visits("émile", "b a", "a b"),
        (None, "a", 1, "s2"),
        (None, "b", 2, "s2"),
        (None, "b", 1, "s1"),
        (None, "a", 2, "s1"),
    ]
    connection, _ = parted(rows, {"rare_users": "train"})
    number_users_and_sessions(connection)
    owners = connection.execute('SELECT user_id, known FROM owners ORDER BY "user"').fetchall()
    assert owners == [("Zoe", True), ("adam", True), ("émile", True), ("cold", False), (None, False), (None, False)]
    numbered = connection.execute('SELECT session, "user", part, session_id FROM numbered ORDER BY session').fetchall()
    assert numbered == [
        *((2 * user + k, user, part, None) for user in range(3) for k, part in enumerate((TRAIN, TEST))),
        (6, 3, TEST, None),
        (7, 4, TRAIN, "s1"),
        (8, 5, TRAIN, "s2"),
    ]


def test_a_split_without_train_is_refused() -> None:
    with pytest.raises(
        CorpusError, match=r"no train session: split.protocol=user_80_20 with split.test=0.2 leaves none"
    ):
        parted(visits("u", "a b") + visits("v", "b a"))


USERS = st.lists(st.lists(st.integers(0, 5000), min_size=3, max_size=9, unique=True), min_size=1, max_size=4)


@settings(max_examples=25, deadline=None)
@given(users=USERS, protocol=st.sampled_from(["user_80_20", "global_time"]))
def test_parts_are_disjoint_and_in_order_of_time(users: list[list[int]], protocol: str) -> None:  # T30
    rows = [
        (f"u{user}", item, 10 * start + minute, f"u{user} {start}")
        for user, starts in enumerate(users)
        for start in sorted(starts)
        for minute, item in enumerate("abc"[: 2 + start % 2])
    ]
    connection, facts = parted(rows, protocol=protocol)
    found = connection.execute("SELECT session_key, user_key, part, first_event, finish FROM sessions").fetchall()
    assert len({key for key, *_ in found}) == len(found)
    assert {key for (key,) in connection.execute("SELECT DISTINCT session_key FROM events").fetchall()} == {
        key for key, *_ in found
    }
    if protocol == "global_time":
        assert facts["last_train_end"] <= facts["first_test_end"]
        in_time = sorted(found, key=lambda row: (row[4], row[3]))
        assert [part for _, _, part, *_ in in_time] == sorted(part for _, _, part, *_ in in_time)
        return
    for user in {user for _, user, *_ in found}:
        own = [part for _, owner, part, *_ in sorted(found, key=lambda row: row[3]) if owner == user]
        assert own == sorted(own), "train, then validation, then test"
        assert own.count(TEST) <= len(own) - len(own) * 4 // 5
        assert VALIDATION in own or own.count(TRAIN) < 3


def test_a_test_session_whose_first_event_is_cleaned_away_starts_with_the_next() -> None:
    """Its start, its end and its length are those of the events that are left, and so is its place in the corpus."""
    rows = [*visits("u", "a b", "a b", "a b", "b a", "new a b", apart=1000), *visits("v", "a b", "b a", start=7)]
    connection, facts = parted(rows, validation=0.1)
    assert facts["events_of_unknown_items"] == 1
    (found,) = connection.execute("""
        SELECT first_event, start, finish, length FROM sessions JOIN user_codes USING (user_key)
        WHERE user_id = 'u' AND part = 2
    """).fetchall()
    (kept,) = connection.execute("""
        SELECT min(event), min(time), max(time), count(*) FROM events JOIN user_codes USING (user_key)
        WHERE user_id = 'u' AND time >= 4000 * 60000
    """).fetchall()
    assert found == kept
    assert found[1:] == (4001 * MINUTE, 4002 * MINUTE, 2)

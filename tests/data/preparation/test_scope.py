"""`filters.scope = "train"`: no event of test changes what is made of the other sessions."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, reject, settings
from hypothesis import strategies as st
from small_corpora import START, small

from segue.data.corpus import Part, load
from segue.data.preparation.prepare import prepare
from segue.errors import CorpusError
from segue.settings import Settings

Row = tuple[str | None, str, int, str]
"""User, item, minute, session."""


def log_of(rows: list[Row]) -> pa.Table:
    users, items, minutes, sessions = zip(*rows, strict=True)
    return pa.table(
        {
            "user_id": pa.array(users, pa.string()),
            "item_id": items,
            "timestamp": [START + minute * 60_000 for minute in minutes],
            "session_id": sessions,
        }
    )


def lives(seed: int) -> list[list[Row]]:
    """Sessions of five users and of nobody, in the order of their ends; the last fifth of each life is last of all."""
    draw = random.Random(seed)
    sessions: list[list[Row]] = []
    for place in range(10):
        for user in ("a", "b", "c", "d", "rare", None):
            if user == "rare" and place not in (0, 9):
                continue
            length = draw.randint(1, 6)
            begin = place * 10_000 + len(sessions) * 10
            name = f"{user}-{place}"
            sessions.append([(user, draw.choice("abcdefgh"), begin + k, name) for k in range(length)])
    return sessions


def another_test(sessions: list[list[Row]], seed: int, protocol: str) -> list[list[Row]]:
    """Other items, more and fewer events in the sessions of test, each session where it was.

    They are those of the last two places: eight of ten sessions of a user are not test. By user, nobody has a test.
    """
    draw = random.Random(seed)
    changed = list(sessions)
    for number, session in enumerate(sessions):
        user, _, begin, name = session[0]
        if not name.endswith(("-8", "-9")) or (user is None and protocol == "user_80_20"):
            continue
        length = draw.choice([1, 1, 2, 4, 9])
        changed[number] = [(user, draw.choice("abcdefghxyz"), begin + k, name) for k in range(length)]
    return changed


def wished(scope: str, wish: dict[str, Any]) -> Settings:
    return small(
        filters={"scope": scope, **wish["filters"]},
        split={"protocol": wish["protocol"], "test": 0.2},
        sessions=wish["sessions"],
    )


WISHES = st.fixed_dictionaries(
    {
        "filters": st.fixed_dictionaries(
            {
                "min_item_support": st.integers(1, 12),
                "min_user_sessions": st.integers(1, 6),
                "top_items": st.sampled_from([None, 3, 6]),
                "rare_users": st.sampled_from(["drop", "train"]),
            }
        ),
        "protocol": st.sampled_from(["user_80_20", "global_time"]),
        "sessions": st.fixed_dictionaries(
            {
                "min_length": st.integers(2, 3),
                "keep": st.sampled_from(["last", "first", "drop"]),
                "max_length": st.just(5),
            }
        ),
    }
)


def derived(folder: Path) -> dict[str, Any]:
    """Everything that train is made of, and what is derived from it."""
    corpus = load(folder, (Part.TRAIN, Part.VALIDATION))
    return {
        "train": (folder / "train.parquet").read_bytes(),
        "validation": (folder / "validation.parquet").read_bytes(),
        "items": pq.read_table(folder / "items.parquet").to_pydict(),
        "users": corpus.users.slice(0, corpus.n_users).to_pydict(),
        "support": corpus.item_support.tolist(),
        "repeats": corpus.repeats_in_sessions,
    }


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(wish=WISHES, seed=st.integers(0, 99))
def test_no_event_of_test_changes_train(
    tmp_path_factory: pytest.TempPathFactory, wish: dict[str, Any], seed: int
) -> None:
    folder = tmp_path_factory.mktemp("scope")
    sessions = [each for each in lives(seed) if each[0][0] or wish["filters"]["rare_users"] == "train"]
    asked, protocol = wished("train", wish), wish["protocol"]
    try:
        prepare(log_of([row for each in sessions for row in each]), folder / "one", asked)
        prepare(log_of([row for each in another_test(sessions, seed, protocol) for row in each]), folder / "two", asked)
    except CorpusError:
        reject()  # which is no success: Hypothesis draws another, and fails where most are refused
    assert derived(folder / "one") == derived(folder / "two")


def test_under_all_one_test_event_may_change_train(tmp_path: Path) -> None:
    """What is declared of the paper's filters, and what the other scope is for."""
    found = {}
    for scope in ("all", "train"):
        asked = small(filters={"scope": scope, "min_item_support": 3, "min_user_sessions": 1})
        for last in ("x", "a"):
            lives_ = [["a", "b"], ["b", "x"], ["a", "x"], ["a", "b"], ["b", last]]
            rows = [
                (user, item, 1000 * place + k, f"{user}{place}")
                for user in ("u", "v")
                for place, session in enumerate(lives_ if user == "u" else [["a", "b"]] * 5)
                for k, item in enumerate(session)
            ]
            prepare(log_of(rows), tmp_path / f"{scope}-{last}", asked)
            found[scope, last] = (tmp_path / f"{scope}-{last}" / "train.parquet").read_bytes()
    assert found["all", "x"] != found["all", "a"]
    assert found["train", "x"] == found["train", "a"]


def test_users_of_test_alone_stay_where_one_session_is_enough(tmp_path: Path) -> None:
    rows: list[Row] = [
        (f"u{n}", item, 100 * n + k, f"s{n}") for n in range(10) for k, item in enumerate(("a", "b", "a"))
    ]
    asked = small(filters={"scope": "train", "min_user_sessions": 1}, split={"protocol": "global_time"})
    manifest = prepare(log_of(rows), tmp_path / "corpus", asked)
    assert manifest["sizes"]["test_sessions"] == 2
    assert load(tmp_path / "corpus").n_users == 8


def test_sessions_without_a_user_are_never_test_by_user(tmp_path: Path) -> None:
    rows: list[Row] = [
        (user, item, 100 * place + k, f"{user}{place}")
        for user in ("u", "v", None)
        for place in range(5)
        for k, item in enumerate(("a", "b", "a"))
    ]
    asked = small(filters={"scope": "train", "min_user_sessions": 1, "rare_users": "train"})
    sizes = prepare(log_of(rows), tmp_path / "corpus", asked)["sizes"]
    assert sizes["train_sessions"] + sizes["validation_sessions"] == 4 + 4 + 5
    assert sizes["test_sessions"] == 2


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    clicks=st.lists(
        st.tuples(st.sampled_from("uv"), st.sampled_from("abc"), st.integers(0, 300), st.integers(0, 7)),
        min_size=60,
        max_size=120,
    ),
    protocol=st.sampled_from(["user_80_20", "global_time"]),
    support=st.integers(1, 15),
)
def test_sessions_side_by_side_that_lose_their_first_events_stay_in_order(
    tmp_path_factory: pytest.TempPathFactory, clicks: list[Row], protocol: str, support: int
) -> None:
    folder = tmp_path_factory.mktemp("scope") / "corpus"
    asked = small(
        filters={"scope": "train", "min_user_sessions": 1, "min_item_support": support},
        split={"protocol": protocol, "test": 0.4},
        sessions={"max_length": 3, "keep": "last"},
    )
    try:
        prepare(log_of([(user, item, at, f"{user}{session}") for user, item, at, session in clicks]), folder, asked)
    except CorpusError:
        reject()
    whole = load(folder).with_train(tuple(Part)).train  # as a final model learns from it
    starts = whole.times[whole.offsets[:-1]]
    behind = list(zip(whole.user.tolist(), starts.tolist(), strict=True))
    assert behind == sorted(behind)
    assert (whole.number[1:] > whole.number[:-1]).all()

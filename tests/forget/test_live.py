"""The person leaves the live events too, and nothing of them stays in the files of the store."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import forgettable
import pytest
import servers
from forgettable import OTHER, PERSON

from segue.errors import ArtifactError, ConfigError
from segue.forgetting.forget import How, forget
from segue.forgetting.live import Live
from segue.forgetting.result import NotForgotten
from segue.server.settings import ServerSettings
from segue.server.store.event import Event, Store
from segue.server.store.opening import open_store

NOW = 1_800_000_000_000


def filled(store: Store, *more: Event) -> None:
    """Events of the person, of another, and of nobody, in one session and in others."""
    users = [PERSON, OTHER, None, PERSON]
    events = [Event(f"s{place % 2}", f"first{place}", NOW + place, user) for place, user in enumerate(users)]
    store.append([[*events, *more]])


@pytest.fixture(params=["sqlite", "redis"])
def live(request: pytest.FixtureRequest, tmp_path: Path) -> Live:
    if request.param == "sqlite":
        return Live(tmp_path / "state", "sqlite")
    redis: servers.Redis = request.getfixturevalue("redis")
    return Live(None, redis.url)


@pytest.fixture
def store(live: Live, tmp_path: Path) -> Iterator[Store]:
    opened = open_store(live.store, live.state or tmp_path, ServerSettings())
    filled(opened)
    yield opened
    opened.close()


def test_live_events_of_the_person_go_and_those_of_others_stay(live: Live, store: Store, tmp_path: Path) -> None:
    before = store.position()
    found = forget(forgettable.trained("markov"), [PERSON], tmp_path / "m", How(live=live))
    assert found.live_events == 2
    assert [check.name for check in found.checks][-1] == "live events"
    assert not any("Live events" in sentence for sentence in found.stays)
    assert [event.user for _, event in store.after(0, 9)] == [OTHER, None]
    assert store.position().removals == before.removals + 1  # by which running servers take note


def test_no_byte_of_a_state_folder_names_the_person_and_its_index_goes(tmp_path: Path) -> None:
    state = tmp_path / "state"
    opened = open_store("sqlite", state, ServerSettings())
    filled(opened)
    assert any(PERSON.encode() in path.read_bytes() for path in state.iterdir())
    (state / "index.safetensors").write_bytes(b"sessions of the old model")
    forget(forgettable.trained("markov"), [PERSON], tmp_path / "m", How(live=Live(state, "sqlite")))
    assert not any(PERSON.encode() in path.read_bytes() for path in state.iterdir())
    assert not (state / "index.safetensors").exists()
    opened.close()


def test_a_person_without_live_events_is_no_mistake(live: Live, store: Store, tmp_path: Path) -> None:
    found = forget(forgettable.trained("markov"), ["user05"], tmp_path / "m", How(live=live))
    assert found.live_events == 0
    assert len(store.after(0, 9)) == 4


def test_events_of_nobody_in_a_session_that_names_the_person_are_told_and_no_model_is_written(
    live: Live, store: Store, tmp_path: Path
) -> None:
    store.append([[Event(f"{PERSON}-web", "first1", NOW), Event(f"{PERSON}0-web", "first1", NOW)]])
    with pytest.raises(NotForgotten, match="live events: 1 events of others or of nobody have a session or an id"):
        forget(forgettable.trained("markov"), [PERSON], tmp_path / "m", How(live=live))
    assert not (tmp_path / "m").exists()


def test_a_session_of_another_whose_id_goes_on_with_theirs_names_the_other(
    live: Live, store: Store, tmp_path: Path
) -> None:
    longer = f"{PERSON}-b"
    store.append([[Event(f"{longer}/9", "first1", NOW, longer), Event(f"{longer}/10", "first1", NOW)]])
    assert forget(forgettable.trained("markov"), [PERSON], tmp_path / "m", How(live=live)).live_events == 2


def test_events_that_are_no_longer_in_the_log_of_the_newest_are_read_too(redis: servers.Redis, tmp_path: Path) -> None:
    few = open_store(redis.url, tmp_path, ServerSettings(live_events=100))
    later = [Event("s", "first1", NOW + place) for place in range(1, 101)]
    few.append([[Event(f"visit/{PERSON}/7", "first1", NOW), *later]])
    with pytest.raises(NotForgotten, match=r"1 events of others or of nobody have a session .*; 1 keys of the store"):
        forget(forgettable.trained("markov"), [PERSON], tmp_path / "m", How(live=Live(None, redis.url)))
    few.close()


def test_a_database_of_redis_that_no_server_has_used_is_refused_and_stays_empty(
    redis: servers.Redis, tmp_path: Path
) -> None:
    empty = f"{redis.url.rpartition('/')[0]}/5"
    for _ in range(2):
        with pytest.raises(ArtifactError, match="/5 holds no live events; name the database of the server"):
            forget(forgettable.trained("markov"), [PERSON], tmp_path / "m", How(live=Live(None, empty)))
    assert not (tmp_path / "m").exists()


def test_once_they_are_removed_it_is_proved(tmp_path: Path) -> None:
    state = tmp_path / "state"
    opened = open_store("sqlite", state, ServerSettings())
    filled(opened, Event(f"{PERSON}-web", "first1", NOW))
    opened.close()
    with pytest.raises(NotForgotten, match=r"events\.sqlite: events\.session names the person in 1 texts"):
        forget(forgettable.trained("markov"), [PERSON], tmp_path / "m", How(live=Live(state, "sqlite")))
    with closing(sqlite3.connect(state / "events.sqlite")) as connection, connection:
        connection.execute("PRAGMA secure_delete = ON")
        connection.execute("DELETE FROM events WHERE user IS NULL AND session = ?", (f"{PERSON}-web",))
    assert forget(forgettable.trained("markov"), [PERSON], tmp_path / "m", How(live=Live(state, "sqlite"))).people == 1


def test_where_the_proof_of_the_model_fails_live_events_stay(
    live: Live, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("segue.forgetting.building.own_rows", lambda *_: [b"\x00"])
    with pytest.raises(NotForgotten, match="ids and rows"):
        forget(forgettable.trained("markov"), [PERSON], tmp_path / "m", How(live=live))
    assert len(store.of_user(PERSON, 9)) == 2


@pytest.mark.parametrize(
    ("live", "said"),
    [
        (Live(None, "sqlite"), "name it with --state"),
        (Live(Path("nowhere"), "sqlite"), "nowhere holds no live events"),
        (Live(Path("nowhere"), "redis://127.0.0.1:1/0"), "leave one of them out"),
        (Live(None, "postgres://here"), "--store is sqlite or redis"),
    ],
)
def test_a_store_that_is_none_is_refused_before_all_work(tmp_path: Path, live: Live, said: str) -> None:
    with pytest.raises((ArtifactError, ConfigError), match=re.escape(said)):
        forget(forgettable.trained("markov"), [PERSON], tmp_path / "m", How(live=live))
    assert list(tmp_path.iterdir()) == []


def test_a_state_folder_with_a_strange_file_is_refused(tmp_path: Path) -> None:
    open_store("sqlite", tmp_path / "state", ServerSettings()).close()
    (tmp_path / "state" / "notes.txt").write_text(PERSON)
    with pytest.raises(ArtifactError, match=r"notes\.txt is no file of a server that Segue knows"):
        forget(forgettable.trained("markov"), [PERSON], tmp_path / "m", How(live=Live(tmp_path / "state", "sqlite")))

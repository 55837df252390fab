"""What every store of live events promises, SQLite and a real Redis alike."""

from __future__ import annotations

import os
import shutil
import sqlite3
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random

import pytest
import servers

from segue.errors import ArtifactError, ConfigError, UserMistake
from segue.server.settings import ServerSettings
from segue.server.store.event import Event, ReadableStore, StoreUnavailable
from segue.server.store.opening import check_store, open_store
from segue.settings.units import DAY

Opening = Callable[[], ReadableStore]
NOW = 1_800_000_000_000


@pytest.fixture(params=["sqlite", "redis"])
def opening(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Opening]:
    """Opens the same state as often as it is called."""
    address = request.getfixturevalue("redis").url if request.param == "redis" else "sqlite"
    opened: list[ReadableStore] = []

    def again() -> ReadableStore:
        opened.append(open_store(address, tmp_path / "state", ServerSettings()))
        return opened[-1]

    yield again
    for store in opened:
        store.close()


def click(item: str, time: int = NOW, session: str = "s", user: str | None = "anna", **more: str) -> Event:
    return Event(session, item, time, user, **more)


def items(events: list[Event]) -> list[str]:
    return [event.item for event in events]


def test_events_come_back_in_the_order_of_their_times_and_then_of_their_coming(opening: Opening) -> None:
    store = opening()
    assert store.append([[click("b", NOW + 5), click("a")], [click("c", NOW + 5)]]) == [2, 1]
    assert items(store.of_user("anna", 10)) == ["a", "b", "c"]
    assert items(store.of_session("s", 10)) == ["a", "b", "c"]
    assert items(store.of_user("anna", 2)) == ["b", "c"]
    assert store.of_user("ann", 10) == store.of_session("t", 10) == []


def test_an_event_comes_back_whole_and_another_process_sees_it(opening: Opening) -> None:
    whole = click("it’em\n{}%*[", session="\u0000 'x'", type="view", id='"id"')
    opening().append([[whole]])
    assert opening().of_user("anna", 1) == [whole]
    assert opening().of_session("\u0000 'x'", 1) == [whole]


def test_an_id_counts_once_also_within_one_call_and_over_a_restart(opening: Opening) -> None:
    store = opening()
    assert store.append([[click("a", id="1"), click("b", id="1")], [click("c", id="1"), click("d")]]) == [1, 1]
    store.close()
    assert opening().append([[click("e", id="1", user="other")]]) == [0]
    assert items(opening().of_user("anna", 9)) == ["a", "d"]


def test_a_forgotten_user_leaves_nothing_and_others_stay(opening: Opening) -> None:
    store = opening()
    store.append([[click("a", id="1"), click("b"), click("c", user="berta"), click("d", user=None)]])
    assert store.forget("anna") == 2
    assert store.forget("anna") == 0
    assert store.of_user("anna", 9) == []
    assert items(store.of_session("s", 9)) == ["c", "d"]
    assert store.users("", 9) == ["berta"]
    assert store.append([[click("a", id="1")]]) == [1]  # as if they had never come


def test_users_are_found_by_a_part_of_their_id(opening: Opening) -> None:
    store = opening()
    store.append([[click("a", user=name) for name in ("Anna", "banane", "100%", "x*", "anna")]])
    assert store.users("ANN", 9) == ["Anna", "anna"]
    assert store.users("an", 2) == ["Anna", "anna"]
    assert store.users("%", 9) == ["100%"]
    assert store.users("*", 9) == ["x*"]


def test_users_are_found_whatever_the_case_of_their_letters(opening: Opening) -> None:
    store = opening()
    names = ["Zoë", "ÉVA", "éva", "ΆΝΝΑ", "Straße"]
    store.append([[click("a", user=name) for name in names]])
    assert store.users("Éva", 9) == ["ÉVA", "éva"]
    assert store.users("άννα", 9) == ["ΆΝΝΑ"]
    assert store.users("ZOË", 9) == ["Zoë"]
    assert store.users("STRASSE", 9) == ["Straße"]


def test_a_forgotten_user_stands_in_no_file_while_the_server_runs(tmp_path: Path) -> None:
    store = open_store("sqlite", tmp_path, ServerSettings())
    other = open_store("sqlite", tmp_path, ServerSettings())
    store.append([[click("a", user="SECRETUSER"), click("b", user="berta")]])
    other.append([[click("c", user="SECRETUSER", session="t")]])
    assert any(b"SECRETUSER" in file.read_bytes() for file in tmp_path.iterdir())
    assert other.users("", 9) == ["SECRETUSER", "berta"]
    assert store.forget("SECRETUSER") == 2
    assert not [file.name for file in tmp_path.iterdir() if b"SECRETUSER" in file.read_bytes()]
    assert items(other.of_user("berta", 9)) == ["b"]
    other.append([[click("d", user="berta")]])
    assert items(store.of_user("berta", 9)) == ["b", "d"]
    store.close()
    other.close()


def test_no_copy_of_a_forgotten_user_is_left_where_a_page_of_the_file_was_split(tmp_path: Path) -> None:
    """SQLite overwrites a removed row, and not what it left behind when the row was moved to another page."""
    random, store = Random(1), open_store("sqlite", tmp_path, ServerSettings())
    users = [f"cust-{random.randrange(10**8):08d}@mail.org" for _ in range(600)]
    for batch in range(150):
        some = [random.choice(users) for _ in range(60)]
        events = [click("a", NOW + random.randrange(10**6), f"s{batch}-{user[5:9]}", user) for user in some]
        store.append([events])
    store.prune(NOW - 1)
    store.forget("nobody")  # brings the log into the file
    held = (tmp_path / "events.sqlite").read_bytes()
    # The table and the index of users hold an id once for each event; what is more is a copy that nothing points to.
    more = [user for user in users if held.count(user.encode()) > 2 * len(store.of_user(user, 10**6))]
    assert more
    for user in more:
        store.forget(user)
        assert not [file.name for file in tmp_path.iterdir() if user.encode() in file.read_bytes()]
    assert sum(len(store.of_user(user, 10**6)) for user in users if user not in more) > 8_000
    store.close()


def test_ids_of_events_leave_redis_with_the_events(redis: servers.Redis, tmp_path: Path) -> None:
    store = open_store(redis.url, tmp_path, ServerSettings())
    store.append([[click("a", id="anna-1"), click("b", NOW + 5, id="anna-2"), click("c", NOW + 5, id="anna-3")]])
    store.prune(NOW + 1)
    assert sorted(key for key in store.lookup_keys() if ":id:" in key) == ["segue:id:anna-2", "segue:id:anna-3"]
    kept = int(ServerSettings().retention_days * DAY)
    store.append([[click("d", NOW + 6 + kept, id="anna-4")]])
    assert [key for key in store.lookup_keys() if ":id:" in key] == ["segue:id:anna-4"]
    assert [event.item for event in store.everything()] == ["d"]
    store.close()


def test_all_of_a_store_can_be_read(opening: Opening) -> None:
    store = opening()
    events = [click("a", id="1"), click("b", NOW + 1, "t", None), click("a", NOW + 2, "t", "berta")]
    store.append([events])
    key = Event.__repr__
    assert sorted(store.everything(), key=key) == sorted(events, key=key)


def test_a_file_that_has_gone_takes_no_more_events_until_it_is_back(tmp_path: Path) -> None:
    """Whoever writes on into a removed file acknowledges what nobody will find."""
    store = open_store("sqlite", tmp_path / "state", ServerSettings())
    store.append([[click("a")]])
    (tmp_path / "state").rename(tmp_path / "away")
    for attempt in (store.ping, lambda: store.append([[click("b")]])):
        with pytest.raises(StoreUnavailable, match=r"events\.sqlite cannot be written"):
            attempt()
    other = open_store("sqlite", tmp_path / "state", ServerSettings())
    with pytest.raises(StoreUnavailable, match="another file has taken its place; start the server again"):
        store.append([[click("b")]])
    other.close()
    shutil.rmtree(tmp_path / "state")
    (tmp_path / "away").rename(tmp_path / "state")
    assert store.append([[click("c")]]) == [1]
    assert items(store.of_user("anna", 9)) == ["a", "c"]
    store.close()


def test_the_state_is_for_the_user_of_the_server_alone(tmp_path: Path) -> None:
    before = os.umask(0o022)
    try:
        store = open_store("sqlite", tmp_path, ServerSettings())
        store.append([[click("a")]])
        modes = {file.name: file.stat().st_mode & 0o777 for file in tmp_path.iterdir()}
        store.close()
    finally:
        os.umask(before)
    names = ("events.lock", "events.sqlite", "events.sqlite-shm", "events.sqlite-wal")
    assert modes == dict.fromkeys(names, 0o600)


@pytest.mark.parametrize("end", ["/x", "/0/1", "/0?db=3", "?db=3", "/-1", "/1.5", "/0/", "/0?db="])
def test_a_database_of_redis_is_a_number(end: str) -> None:
    with pytest.raises(ConfigError, match="ends with the number of a database such as /0, found ") as refused:
        check_store(f"redis://user:secret@127.0.0.1:6379{end}")
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize("end", ["", "/", "/0", "/15", "/0?health_check_interval=3"])
def test_addresses_of_redis(end: str) -> None:
    check_store(f"redis://127.0.0.1:6379{end}")
    check_store(f"rediss://user:secret@host{end}")


def test_old_events_are_removed(opening: Opening) -> None:
    store = opening()
    store.append([[click("a"), click("b", NOW + 1), click("c", user="old")]])
    assert store.prune(NOW + 1) == 2
    assert items(store.of_user("anna", 9)) == items(store.of_session("s", 9)) == ["b"]
    assert store.users("", 9) == ["anna"]
    store.ping()


def test_state_of_another_version_or_program_is_refused_in_one_line(tmp_path: Path) -> None:
    open_store("sqlite", tmp_path, ServerSettings()).close()
    with sqlite3.connect(tmp_path / "events.sqlite") as file:
        file.execute("PRAGMA user_version = 7")
    with pytest.raises(ArtifactError, match=r"is state of version 7, this Segue reads version 1; move it away"):
        open_store("sqlite", tmp_path, ServerSettings())
    other = tmp_path / "other"
    other.mkdir()
    with sqlite3.connect(other / "events.sqlite") as file:
        file.execute("CREATE TABLE notes (text)")
    with pytest.raises(ArtifactError, match="is of another program"):
        open_store("sqlite", other, ServerSettings())
    (other / "events.sqlite").write_bytes(b"no database at all" * 100)
    with pytest.raises(ArtifactError, match=r"cannot be read \(file is not a database\); move it away"):
        open_store("sqlite", other, ServerSettings())


def test_redis_state_of_another_version_is_refused(redis: servers.Redis, tmp_path: Path) -> None:
    from redis import Redis

    with Redis.from_url(redis.url) as server:
        server.set("segue:format", "7")
    with pytest.raises(ArtifactError, match="holds state of version '7', this Segue reads version 1"):
        open_store(redis.url, tmp_path, ServerSettings())


def test_a_store_that_is_not_there_is_a_mistake_at_the_start(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"--store redis://127.0.0.1:1/0 cannot be used: .*refused"):
        open_store("redis://user:secret@127.0.0.1:1/0", tmp_path, ServerSettings())
    with pytest.raises(ConfigError, match=r"--store is sqlite or redis://HOST:PORT/DB, found mysql"):
        open_store("mysql", tmp_path, ServerSettings())
    (tmp_path / "file").write_text("")
    with pytest.raises(UserMistake, match=r"the state folder .*file cannot be used: "):
        open_store("sqlite", tmp_path / "file", ServerSettings())


def test_a_missing_client_of_redis_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "redis", None)
    with pytest.raises(ConfigError, match=r"needs one more package: pip install 'segue\[redis\]'"):
        open_store("redis://127.0.0.1/0", tmp_path, ServerSettings())


def test_redis_that_goes_is_unavailable_and_comes_back_with_all_events(redis: servers.Redis, tmp_path: Path) -> None:
    store = open_store(redis.url, tmp_path, ServerSettings())
    store.append([[click("a")]])
    redis.kill()
    for attempt in (store.ping, lambda: store.append([[click("b")]]), lambda: store.of_user("anna", 9)):
        with pytest.raises(StoreUnavailable, match="Redis: "):
            attempt()
    redis.start()
    assert items(store.of_user("anna", 9)) == ["a"]

"""Last.fm-1K in its raw form."""

from __future__ import annotations

from pathlib import Path

import pytest
from raw_files import read

from segue.data import sources
from segue.data.corpus import load
from segue.data.preparation.prepare import prepare
from segue.data.sources import lastfm
from segue.errors import LogError
from segue.settings import compose

FILE = "userid-timestamp-artid-artname-traid-traname.tsv"
# Newest first, a quote that closes nowhere, a listen without an artist id, two listens of one second, a name with tabs.
RAW = (
    "user_000001\t2009-05-04T23:08:57Z\tf1b1cf71\tDeep Dish\t\tFuck Me Im Famous\n"
    'user_000001\t2009-05-04T13:54:10Z\ta7f7df4a\t"坂本龍一\t\tComposition 0919\n'
    "user_000001\t2009-05-04T13:54:10Z\tf1b1cf71\tDeep Dish\tcc\tMove\n"
    "user_000001\t2009-05-04T13:52:04Z\t\tUnknown\t\tUntitled\n"
    "user_000002\t2006-08-13T13:59:20Z\tb0b0\tBj\\örk\tt\ta\tb\tc\n"
)


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    (tmp_path / FILE).write_text(RAW, encoding="utf-8")
    return tmp_path


def test_rows_are_turned_around_and_listens_without_artist_dropped(raw: Path) -> None:
    log, rows = read(sources.open_source("lastfm", raw), raw)
    assert rows == [
        ("user_000002", "b0b0", "2006-08-13T13:59:20Z"),
        ("user_000001", "f1b1cf71", "2009-05-04T13:54:10Z"),
        ("user_000001", "a7f7df4a", "2009-05-04T13:54:10Z"),
        ("user_000001", "f1b1cf71", "2009-05-04T23:08:57Z"),
    ]
    assert log.items is not None
    assert log.items.to_pydict() == {
        "item_id": ["a7f7df4a", "b0b0", "f1b1cf71"],
        "name": ['"坂本龍一', "Bj\\örk", "Deep Dish"],
    }
    assert log.users is None


def test_settings_are_those_of_the_paper_and_lessr() -> None:
    settings = compose(lastfm.SETTINGS)
    assert (settings.sessions.gap, settings.sessions.keep, settings.sessions.max_length) == ("8h", "first", 20)
    assert settings.sessions.drop_repeats
    assert (settings.filters.top_items, settings.filters.min_item_support) == (40_000, 5)
    assert (settings.sessions.min_length, settings.filters.min_user_sessions) == (3, 5)


def test_it_prepares(tmp_path: Path) -> None:
    """Two users, a session a day, listed newest first; one artist twice in a row each time."""
    lines = [
        f"user_00000{user}\t2009-05-{day:02}T12:0{minute}:00Z\tart{artist}\tArtist {artist}\t\tTrack\n"
        for user in (1, 2)
        for day in range(1, 7)
        for minute, artist in enumerate((1, 1, user, 3, 2))
    ]
    (tmp_path / FILE).write_text("".join(reversed(lines)), encoding="utf-8")
    source = sources.open_source("lastfm", tmp_path / FILE)
    manifest = prepare(source, tmp_path / "corpus", compose(source.settings))
    corpus = load(tmp_path / "corpus")
    assert manifest["log"]["source"] == "lastfm"
    assert corpus.items.column("name").to_pylist() == ["Artist 1", "Artist 2", "Artist 3"]
    assert corpus.sessions.lengths.tolist() == [3] * 6 + [4] * 6
    assert corpus.sessions.items[-4:].tolist() == [0, 1, 2, 1]


def test_another_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / FILE).write_text("user,time,artist\nu,2009-05-04T23:08:57Z,a\n")
    with pytest.raises(LogError, match=r"none of its 2 lines is complete \(user_id, timestamp\); is it the right file"):
        read(sources.open_source("lastfm", tmp_path), tmp_path)


def test_a_file_that_is_not_utf_8_is_one_line(tmp_path: Path) -> None:
    (tmp_path / FILE).write_bytes(b"u\t2009-05-04T23:08:57Z\ta\tBj\xf6rk\t\tx\n")
    source = sources.open_source("lastfm", tmp_path)
    with pytest.raises(LogError, match=r"^[^\n]*\.tsv: line 1 is broken \(Invalid unicode[^\n]*$"):
        prepare(source, tmp_path / "corpus", compose(source.settings))
    assert not (tmp_path / "corpus").exists()

"""The whole preparation: the corpus it makes, its ledger, and what a failure leaves behind."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from small_corpora import MINUTE, ROWS, START, log_of, readable, session_ids, small

from segue.data.corpus import Part, load
from segue.data.corpus_folder import read_manifest
from segue.data.preparation import write as writing
from segue.data.preparation.prepare import prepare
from segue.data.sources import RawLog, Source
from segue.errors import ConfigError, CorpusError, LogError, UserMistake
from segue.system import replacing


def test_a_log_becomes_a_corpus(tmp_path: Path) -> None:
    manifest = prepare(log_of(ROWS), tmp_path / "corpus", small())
    corpus = load(tmp_path / "corpus")
    assert corpus.manifest == manifest == read_manifest(tmp_path / "corpus")
    assert corpus.item_ids == ["a", "b", "c"]
    assert corpus.user_ids == ["ann", "bob"]
    assert corpus.n_users == 2
    assert readable(corpus) == [
        ("ann", "a b", Part.TRAIN),
        ("ann", "b a", Part.TEST),
        ("bob", "c a", Part.TRAIN),
        ("bob", "a b", Part.TRAIN),
        ("bob", "b c a", Part.TRAIN),
        ("bob", "a b c", Part.VALIDATION),
        ("bob", "c a", Part.TEST),
    ]
    assert corpus.sessions.number.tolist() == list(range(7))
    assert corpus.sessions.times[:2].tolist() == [START, START + MINUTE]
    assert session_ids(tmp_path / "corpus", Part.TRAIN) == [None] * 4, "sessions were cut, the log names none"
    assert manifest["sizes"] == {
        "items": 3,
        "users": 2,
        "known_users": 2,
        "train_sessions": 4,
        "train_events": 9,
        "validation_sessions": 1,
        "validation_events": 3,
        "test_sessions": 2,
        "test_events": 4,
    }
    assert [(s["step"], s["sessions"], s["events"], s["users"], s["items"]) for s in manifest["steps"]] == [
        ("log", None, 21, 3, 4),
        ("sessions", 8, 21, 3, 4),
        ("sessions.drop_repeats", 8, 20, 3, 4),
        ("sessions.max_length", 8, 20, 3, 4),
        ("filters.min_item_support", 8, 20, 3, 4),
        ("sessions.min_length", 8, 20, 3, 4),
        ("filters.min_user_sessions", 7, 17, 2, 4),
        ("split", 7, 16, 2, 3),
    ]
    assert manifest["split"]["false_adjacencies"] == 1
    assert not manifest["has_names"]
    assert [path.name for path in tmp_path.iterdir()] == ["corpus"]


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        (["item.gener"], "no column 'item.gener': did you mean 'item.genre'"),
        (["item.genre", "user.town", "item.genre"], "'item.genre' is named twice"),
        (["item.name"], "no column 'item.name'"),
    ],
)
def test_a_wrong_attribute_is_refused_by_the_header_alone(tmp_path: Path, asked: list[str], says: str) -> None:
    """Before the log is opened, which is not there, and before a row is read, of which none is whole."""
    (tmp_path / "items.csv").write_text("item_id,genre,name\nc,rock,Cee,what is this\n")
    users = pa.table({"user_id": ["bob"], "town": ["Oslo"]})
    with pytest.raises(ConfigError, match=says):
        prepare(
            tmp_path / "nowhere.csv", tmp_path / "corpus", small(graph={"attributes": asked}),
            items=tmp_path / "items.csv", users=users,
        )  # fmt: skip
    assert [path.name for path in tmp_path.iterdir()] == ["items.csv"]


def test_attributes_without_items_and_users_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="items and users have no such columns"):
        prepare(tmp_path / "nowhere.csv", tmp_path / "corpus", small(graph={"attributes": ["item.genre"]}))


def test_attributes_that_are_there_are_taken(tmp_path: Path) -> None:
    items, users = pa.table({"item_id": ["a"], "genre": ["rock"]}), pa.table({"user_id": ["bob"], "town": ["Oslo"]})
    asked = small(graph={"attributes": ["item.genre", "user.town"]})
    prepare(log_of(ROWS), tmp_path / "corpus", asked, items=items, users=users)
    assert load(tmp_path / "corpus").items.column("genre").to_pylist() == ["rock", None, None]


def test_an_existing_corpus_is_refused_and_replaced_only_when_asked(tmp_path: Path) -> None:
    out = tmp_path / "corpus"
    first = prepare(log_of(ROWS), out, small())
    with pytest.raises(CorpusError, match="exists already"):
        prepare(log_of(ROWS), out, small())
    second = prepare(log_of(ROWS), out, small(split={"protocol": "global_time"}), overwrite=True)
    assert read_manifest(out) == second != first
    assert [path.name for path in tmp_path.iterdir()] == ["corpus"]


def test_a_folder_that_is_no_corpus_is_never_replaced(tmp_path: Path) -> None:
    (tmp_path / "letters").mkdir()
    (tmp_path / "letters" / "dear.txt").write_text("dear")
    with pytest.raises(CorpusError, match="is not a corpus"):
        prepare(log_of(ROWS), tmp_path / "letters", small(), overwrite=True)
    assert (tmp_path / "letters" / "dear.txt").read_text() == "dear"


def test_a_failure_leaves_nothing_and_an_existing_corpus_untouched(tmp_path: Path) -> None:
    out = tmp_path / "corpus"
    before = prepare(log_of(ROWS), out, small())
    with pytest.raises(CorpusError, match=r"nothing is left .* filters.min_item_support took 21 events"):
        prepare(
            log_of(ROWS), out, small(filters={"min_item_support": 99}, sessions={"drop_repeats": False}), overwrite=True
        )
    assert read_manifest(out) == before
    with pytest.raises(CorpusError):
        prepare(log_of(ROWS), tmp_path / "deep" / "er" / "corpus", small(filters={"min_item_support": 99}))
    assert [path.name for path in tmp_path.iterdir()] == ["corpus"]


def test_a_full_disk_while_writing_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    before = prepare(log_of(ROWS), tmp_path / "corpus", small())
    monkeypatch.setattr(writing.pq.ParquetWriter, "write_table", full)
    with pytest.raises(UserMistake, match=r"^the disk is full while preparing the corpus .*$"):
        prepare(log_of(ROWS), tmp_path / "corpus", small(), overwrite=True)
    assert read_manifest(tmp_path / "corpus") == before
    assert [path.name for path in tmp_path.iterdir()] == ["corpus"]


def test_a_corpus_comes_back_when_the_new_one_cannot_take_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "corpus"
    before = prepare(log_of(ROWS), out, small())

    def failing(one: Path, other: Path) -> bool:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(replacing, "exchange", failing)
    with pytest.raises(UserMistake, match="Input/output error"):
        prepare(log_of(ROWS), out, small(), overwrite=True)
    assert read_manifest(out) == before


def test_a_file_in_the_place_of_a_folder_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserMistake, match=r"cannot write to .*/file/corpus: Not a directory"):
        prepare(log_of(ROWS), tmp_path / "file" / "corpus", small())


def test_sessions_of_rare_or_no_users_feed_train(tmp_path: Path) -> None:
    rows = [(user, item, minute, f"{user}{minute // 1000}") for user, item, minute in ROWS]
    rows += [(None, "b", 5, "late"), (None, "a", 3, "late"), (None, "d", 1, "early"), (None, "a", 2, "early")]
    users, items, minutes, ids = zip(*rows, strict=True)
    times = [START + minute * MINUTE for minute in minutes]
    log = pa.table({"user_id": users, "item_id": items, "timestamp": times, "session_id": ids})
    prepare(log, tmp_path / "corpus", small(filters={"rare_users": "train"}))
    corpus = load(tmp_path / "corpus")
    assert corpus.users.column("user_id").to_pylist() == ["ann", "bob", "rare", None, None]
    assert corpus.n_users == 2
    assert readable(corpus)[-3:] == [
        ("rare", "a b c", Part.TRAIN),
        (None, "d a", Part.TRAIN),
        (None, "a b", Part.TRAIN),
    ]
    with pytest.raises(LogError, match="'user_id' is null or empty in 4 of"):
        prepare(log, tmp_path / "strict", small())


@pytest.mark.parametrize("overwrite", [False, True])
def test_what_came_into_the_place_meanwhile_is_never_replaced(tmp_path: Path, overwrite: bool) -> None:
    out = tmp_path / "corpus"

    def read(*_: Any) -> RawLog:
        out.mkdir()
        (out / "diary.txt").write_text("mine")
        return RawLog(log_of(ROWS))

    with pytest.raises(CorpusError):
        prepare(Source("late", {}, read), out, small(), overwrite=overwrite)
    assert [each.name for each in tmp_path.iterdir()] == ["corpus"]
    assert (out / "diary.txt").read_text() == "mine"

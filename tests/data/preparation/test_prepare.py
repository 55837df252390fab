"""The whole preparation: the folder it writes, its account, its fingerprint, and what a failure leaves behind."""

from __future__ import annotations

import errno
import json
import random
from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from segue.data.corpus import Corpus, Part, load, read_manifest
from segue.data.preparation import write as writing
from segue.data.preparation.prepare import prepare
from segue.errors import ConfigError, CorpusError, LogError, UserMistake
from segue.settings import Settings, compose

MINUTE = 60_000
START = 1_600_000_000_000
SMALL = {
    "sessions": {"min_length": 2},
    "filters": {"min_item_support": 1, "min_user_sessions": 2},
    "preparation": {"memory_limit": "256MiB"},
}


def small(**sections: dict[str, Any]) -> Settings:
    return compose(SMALL, sections)


def log_of(rows: list[tuple[str, str, int]]) -> pa.Table:
    """(user, item, minute) as a frame."""
    users, items, minutes = zip(*rows, strict=True)
    return pa.table({"user_id": users, "item_id": items, "timestamp": [START + m * MINUTE for m in minutes]})


def visits(user: str, *sessions: str) -> list[tuple[str, str, int]]:
    return [
        (user, item, 1000 * place + minute)
        for place, session in enumerate(sessions)
        for minute, item in enumerate(session.split())
    ]


ROWS = [
    *visits("bob", "c a", "a b", "b c a", "a b b c", "c x a"),
    *visits("ann", "a b", "b a"),
    *visits("rare", "a b c"),
]


def readable(corpus: Corpus) -> list[tuple[str, str, Part]]:
    """(user id, item ids, part) of each session."""
    sessions = corpus.sessions
    return [
        (
            corpus.user_ids[sessions.user[s]],
            " ".join(corpus.item_ids[i] for i in sessions.items[sessions.offsets[s] : sessions.offsets[s + 1]]),
            Part(corpus.part[s]),
        )
        for s in range(len(sessions))
    ]


def session_ids(folder: Path, part: Part) -> list[str | None]:
    """The log's own ids of the sessions of one part, in their order."""
    return pq.read_table(folder / part.file).sort_by("session").column("session_id").to_pylist()


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


def test_names_and_attributes_follow_the_vocabulary(tmp_path: Path) -> None:
    (tmp_path / "items.csv").write_text("item_id,genre,name\nc,rock,Cee\na,,Ay\nunseen,pop,Un\n")
    (tmp_path / "users.csv").write_text("user_id,town\nbob,Oslo\n")
    log = log_of(ROWS)
    files = {"items": tmp_path / "items.csv", "users": tmp_path / "users.csv"}
    manifest = prepare(log, tmp_path / "corpus", small(), **files)
    corpus = load(tmp_path / "corpus")
    assert corpus.items.to_pydict() == {
        "item_id": ["a", "b", "c"],
        "name": ["Ay", None, "Cee"],
        "genre": [None, None, "rock"],
    }
    assert corpus.users.to_pydict() == {
        "user_id": ["ann", "bob"],
        "known": [True, True],
        "name": [None, None],
        "town": [None, "Oslo"],
    }
    assert manifest["has_names"]
    assert manifest["described"] == {"items": 2, "users": 1}
    assert manifest["fingerprint"] != prepare(log, tmp_path / "bare", small())["fingerprint"]


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


def test_an_attribute_that_the_corpus_writes_itself_is_refused(tmp_path: Path) -> None:
    (tmp_path / "users.csv").write_text("user_id,known\nbob,yes\n")
    with pytest.raises(LogError, match="cannot be called 'known'"):
        prepare(log_of(ROWS), tmp_path / "corpus", small(), users=tmp_path / "users.csv")


def test_given_session_ids_are_kept(tmp_path: Path) -> None:
    log = log_of(ROWS).append_column("session_id", pa.array([f"s{user}{m // 1000}" for user, _, m in ROWS]))
    prepare(log, tmp_path / "corpus", small())
    assert session_ids(tmp_path / "corpus", Part.TEST) == ["sann1", "sbob4"]


def test_many_sessions_pass_through_several_row_groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = log_of([row for k in range(30) for row in visits(f"u{k:02}", *["a b", "b a c", "c b a b"] * 3)])
    whole = prepare(log, tmp_path / "whole", small())
    monkeypatch.setattr(writing, "_ROWS_PER_GROUP", 7)
    monkeypatch.setattr(writing, "_EVENTS_PER_READ", 11)
    prepare(log, tmp_path / "pieces", small())
    assert readable(load(tmp_path / "pieces")) == readable(load(tmp_path / "whole"))
    assert pq.ParquetFile(tmp_path / "pieces" / "train.parquet").num_row_groups > 20
    assert whole["sizes"]["train_events"] == len(load(tmp_path / "whole").train.items)


def test_preparing_again_gives_the_same_bytes(tmp_path: Path) -> None:
    for name in ("one", "two"):
        prepare(log_of(ROWS), tmp_path / name, small())
    names = sorted(path.name for path in (tmp_path / "one").iterdir())
    assert names == sorted(["manifest.json", "items.parquet", "users.parquet", *(part.file for part in Part)])
    for name in names:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


@pytest.mark.parametrize("change", ["item", "user", "time", "part", "session"])
def test_the_fingerprint_covers(change: str, tmp_path: Path) -> None:
    base = prepare(log_of(ROWS), tmp_path / "base", small())["fingerprint"]
    rows, wish = list(ROWS), small()
    if change == "item":
        rows = [(user, item.replace("a", "aa"), minute) for user, item, minute in rows]
    if change == "user":
        rows = [(user.replace("ann", "ana"), item, minute) for user, item, minute in rows]
    if change == "time":
        rows = [(user, item, minute + (minute == 1)) for user, item, minute in rows]
    if change == "part":
        wish = small(split={"protocol": "global_time"})
    if change == "session":
        wish = small(sessions={"keep": "drop", "max_length": 3, "drop_repeats": False})
    assert prepare(log_of(rows), tmp_path / "other", wish)["fingerprint"] != base


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
    out, rename = tmp_path / "corpus", Path.rename
    before = prepare(log_of(ROWS), out, small())

    def failing(self: Path, target: Path) -> Path:
        if target == out and self.name == "corpus":
            raise OSError(errno.EIO, "Input/output error")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", failing)
    with pytest.raises(UserMistake, match="Input/output error"):
        prepare(log_of(ROWS), out, small(), overwrite=True)
    assert read_manifest(out) == before


def test_a_file_in_the_place_of_a_folder_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserMistake, match="preparing the corpus"):
        prepare(log_of(ROWS), tmp_path / "file" / "corpus", small())


def test_one_user_is_not_enough(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match=r"^1 user is left; give a log of two users or more$"):
        prepare(log_of(visits("ann", "a b", "b a")), tmp_path / "corpus", small())
    rows = [*ROWS[-3:], *visits("ann", "a b"), *visits("bob", "a b", "a b", "b a", "a b")]
    took = r"1 user is left of 3; .*min_user_sessions took 5 events and 2 sessions; relax"
    with pytest.raises(CorpusError, match=took):
        prepare(log_of(rows), tmp_path / "corpus", small(filters={"min_user_sessions": 3}))


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


events = st.lists(
    st.tuples(st.sampled_from(["u", "v", "w", "é"]), st.sampled_from("abcdef"), st.integers(0, 20_000)),
    min_size=40,
    max_size=200,
    unique_by=lambda row: (row[0], row[2]),
)
wishes = st.fixed_dictionaries(
    {
        "sessions": st.fixed_dictionaries(
            {"keep": st.sampled_from(["last", "first", "drop"]), "max_length": st.integers(2, 8), "gap": st.just("2h")}
        ),
        "filters": st.fixed_dictionaries(
            {"min_item_support": st.integers(1, 4), "rare_users": st.sampled_from(["drop", "train"])}
        ),
        "split": st.fixed_dictionaries(
            {
                "protocol": st.sampled_from(["user_80_20", "global_time"]),
                "test": st.sampled_from([0.1, 0.2, 0.5]),
                "validation": st.sampled_from([0.1, 0.3]),
            }
        ),
    }
)


@settings(max_examples=12, suppress_health_check=[HealthCheck.too_slow])
@given(rows=events, wish=wishes, seed=st.integers(0, 9))
def test_properties(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, str, int]], wish: dict[str, Any], seed: int
) -> None:
    folder = tmp_path_factory.mktemp("property")
    try:
        manifest = prepare(log_of(rows), folder / "one", small(**wish))
    except CorpusError:
        assert not list(folder.iterdir())
        return
    corpus = load(folder / "one")
    _assert_order_and_parts(corpus, wish["split"]["protocol"])
    _assert_account(manifest, corpus, rows)
    shuffled = random.Random(seed).sample(rows, len(rows))
    again = prepare(log_of(shuffled), folder / "two", small(**wish))
    assert again["fingerprint"] == manifest["fingerprint"]


def _assert_order_and_parts(corpus: Corpus, protocol: str) -> None:
    sessions = corpus.sessions
    starts, ends = sessions.times[sessions.offsets[:-1]], sessions.times[sessions.offsets[1:] - 1]
    assert sessions.number.tolist() == list(range(len(sessions)))
    for s in range(1, len(sessions)):
        same_user = sessions.user[s] == sessions.user[s - 1]
        assert sessions.user[s] >= sessions.user[s - 1]
        assert not same_user or starts[s] > ends[s - 1]
        assert not same_user or corpus.part[s] >= corpus.part[s - 1]
    known = {int(user) for user, part in zip(sessions.user, corpus.part, strict=True) if part != Part.TEST}
    assert set(range(corpus.n_users)) <= known
    if protocol == "global_time":
        assert corpus.manifest["split"]["first_test_end"] is None or (
            corpus.manifest["split"]["last_train_end"] <= corpus.manifest["split"]["first_test_end"]
        )
        assert ends[corpus.part < Part.TEST].max() == corpus.manifest["split"]["last_train_end"]
        assert ends[corpus.part == Part.TRAIN].max() <= ends[corpus.part == Part.VALIDATION].min(initial=2**62)
    fitted = corpus.with_train([Part.TRAIN, Part.VALIDATION]).train
    assert sorted(set(fitted.items.tolist())) == list(range(corpus.n_items))
    assert sorted(corpus.item_ids) == corpus.item_ids
    assert sessions.lengths.min() >= 2


def _assert_account(manifest: dict[str, Any], corpus: Corpus, rows: list[tuple[str, str, int]]) -> None:
    steps = manifest["steps"]
    assert steps[0]["events"] == len(rows)
    assert steps[-1]["events"] == len(corpus.sessions.items)
    assert steps[-1]["sessions"] == len(corpus.sessions)
    assert len(rows) - sum(step["removed_events"] for step in steps) == len(corpus.sessions.items)
    for before, after in pairwise(steps[1:]):
        assert before["sessions"] - after["removed_sessions"] == after["sessions"]
    written = Counter(
        (corpus.user_ids[user], corpus.item_ids[item], int(time))
        for user, item, time in zip(
            corpus.sessions.user.repeat(corpus.sessions.lengths),
            corpus.sessions.items,
            corpus.sessions.times,
            strict=True,
        )
    )
    assert written <= Counter((user, item, START + minute * MINUTE) for user, item, minute in rows)
    assert json.loads(json.dumps(manifest)) == manifest

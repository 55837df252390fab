"""The corpus: flat sessions, and a folder read back, whole or in parts, sound or damaged."""

from __future__ import annotations

import json
import logging
import random
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import runs
import small_logs
import worlds
from worlds import TEST, TRAIN, VALIDATION

from segue.data import corpus as corpora
from segue.data.corpus import Corpus, Part
from segue.errors import CorpusError


@pytest.fixture
def small() -> Corpus:
    users = [[[0, 1, 2], [2, 0], [1, 2]], [[3, 3], [0, 1]]]
    return worlds.corpus_of(users, [[TRAIN, VALIDATION, TEST], [TRAIN, TEST]])


def write(corpus: Corpus, folder: Path) -> Path:
    """The folder that the module's docstring describes."""
    folder.mkdir(exist_ok=True)
    pq.write_table(corpus.items, folder / "items.parquet")
    pq.write_table(corpus.users, folder / "users.parquet")
    for part in Part:
        sessions = corpus.select(part)
        flat = {"items": (sessions.items, pa.int32()), "times": (sessions.times, pa.int64())}
        columns = {
            "session": pa.array(sessions.number, pa.int64()),
            "user": pa.array(sessions.user, pa.int32()),
            "session_id": pa.array([f"s{number}" for number in sessions.number], pa.string()),
            **{
                name: pa.ListArray.from_arrays(pa.array(sessions.offsets, pa.int32()), pa.array(values, kind))
                for name, (values, kind) in flat.items()
            },
        }
        pq.write_table(pa.table(columns), folder / part.file)
    (folder / "manifest.json").write_text(json.dumps(corpus.manifest), encoding="utf-8")
    return folder


def same_sessions(found: corpora.Sessions, wanted: corpora.Sessions) -> None:
    for field in ("items", "times", "offsets", "user", "number"):
        np.testing.assert_array_equal(getattr(found, field), getattr(wanted, field))
        assert getattr(found, field).dtype == getattr(wanted, field).dtype


def test_a_folder_is_read_back_as_it_was(small: Corpus, tmp_path: Path) -> None:
    found = corpora.load(write(small, tmp_path))
    same_sessions(found.sessions, small.sessions)
    np.testing.assert_array_equal(found.part, small.part)
    assert (found.n_items, found.n_users) == (4, 2)
    assert found.item_ids == ["item00000", "item00001", "item00002", "item00003"]
    assert found.user_ids == ["user00000", "user00001"]
    assert found.fingerprint == small.fingerprint


def test_training_opens_no_test_file(small: Corpus, tmp_path: Path) -> None:
    (write(small, tmp_path) / "test.parquet").unlink()
    found = corpora.load(tmp_path, [TRAIN, VALIDATION])
    assert found.sessions.number.tolist() == [0, 1, 3]
    assert found.part.tolist() == [TRAIN, VALIDATION, TRAIN]


def test_an_empty_part_is_no_mistake(tmp_path: Path) -> None:
    corpus = worlds.corpus_of([[[0, 1]]])
    found = corpora.load(write(corpus, tmp_path))
    assert len(found.select(TEST)) == 0
    assert len(corpora.load(tmp_path, [TEST]).sessions) == 0


def test_users_whom_only_test_knows_are_not_counted(tmp_path: Path) -> None:
    corpus = worlds.corpus_of([[[0, 1]], [[1, 0]]], [[TRAIN], [TEST]])
    assert corpora.load(write(corpus, tmp_path)).n_users == 1


def test_a_folder_without_manifest_is_no_corpus(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match=r"is not a corpus \(no manifest\.json\)"):
        corpora.load(tmp_path)


def test_another_format_is_refused(small: Corpus, tmp_path: Path) -> None:
    (write(small, tmp_path) / "manifest.json").write_text('{"format": "segue-corpus-9"}')
    with pytest.raises(CorpusError, match="has format 'segue-corpus-9', this Segue reads 'segue-corpus-1'"):
        corpora.load(tmp_path)


@pytest.mark.parametrize("text", ["{", "[]", "{}", '"x"'])
def test_a_broken_manifest_is_refused(small: Corpus, tmp_path: Path, text: str) -> None:
    (write(small, tmp_path) / "manifest.json").write_text(text)
    with pytest.raises(CorpusError, match="cannot be read"):
        corpora.load(tmp_path)


@pytest.mark.parametrize("name", ["items", "users", "train", "validation", "test"])
def test_a_truncated_or_missing_file_is_refused(small: Corpus, tmp_path: Path, name: str) -> None:
    file = write(small, tmp_path) / f"{name}.parquet"
    file.write_bytes(file.read_bytes()[:-20])
    with pytest.raises(CorpusError, match="is damaged") as cut:
        corpora.load(tmp_path)
    file.unlink()
    with pytest.raises(CorpusError, match="is damaged") as gone:
        corpora.load(tmp_path)
    assert "\n" not in f"{cut.value}{gone.value}"


def test_train_is_all_that_is_counted(small: Corpus) -> None:
    assert small.item_support.tolist() == [1, 1, 1, 2]
    assert small.train.number.tolist() == [0, 3]
    refitted = small.with_train([TRAIN, VALIDATION])
    assert refitted.item_support.tolist() == [2, 1, 2, 2]
    assert refitted.select(TEST).number.tolist() == [2, 4]


def test_repeats_are_those_inside_a_train_session() -> None:
    assert worlds.corpus_of([[[0, 1, 0]]]).repeats_in_sessions
    assert not worlds.corpus_of([[[0, 1], [0, 1]]]).repeats_in_sessions
    assert not worlds.corpus_of([[[0, 1], [1, 1]]], [[TRAIN, TEST]]).repeats_in_sessions


def test_sessions_are_taken_in_the_given_order(small: Corpus) -> None:
    taken = small.sessions.take(np.array([3, 0]))
    assert taken.items.tolist() == [3, 3, 0, 1, 2]
    assert taken.offsets.tolist() == [0, 2, 5]
    assert (taken.user.tolist(), taken.number.tolist()) == ([1, 0], [3, 0])
    assert taken.lengths.tolist() == [2, 3]
    assert len(small.sessions.take(np.zeros(0, dtype=np.int64))) == 0


def test_left_out_events_may_leave_a_session_too_short(small: Corpus) -> None:
    kept = small.sessions.keep_events(small.sessions.items != 0, min_length=2)
    assert kept.items.tolist() == [1, 2, 1, 2, 3, 3]
    assert kept.number.tolist() == [0, 2, 3]
    assert kept.offsets.tolist() == [0, 2, 4, 6]


def _prepared(tmp_path: Path) -> Path:
    return Path(shutil.copytree(small_logs.corpus(), tmp_path / "corpus"))


def test_every_flipped_bit_of_a_corpus_is_noticed(tmp_path: Path) -> None:
    folder = _prepared(tmp_path)
    draw = random.Random(0)
    for path in sorted(folder.iterdir()):
        whole = path.read_bytes()
        for place in [0, len(whole) - 1, *draw.sample(range(len(whole)), 12)]:
            data = bytearray(whole)
            data[place] ^= 1 << draw.randrange(8)
            path.write_bytes(data)
            if path.name != "manifest.json" or _means_another(data, whole):
                with pytest.raises(
                    CorpusError, match=f"the (manifest of )?corpus {folder} (is damaged|cannot be read)"
                ):
                    corpora.load(folder)
        path.write_bytes(whole)
    corpora.load(folder)


def _means_another(data: bytes, whole: bytes) -> bool:
    """Whether a manifest with a flipped bit still says the same: a space may become another blank."""
    try:
        return bool(json.loads(data) != json.loads(whole))
    except ValueError:
        return True


def test_a_corpus_without_checksums_is_read_and_said_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = _prepared(tmp_path)
    manifest = json.loads((folder / "manifest.json").read_text())
    del manifest["sha256"]
    (folder / "manifest.json").write_text(json.dumps(manifest))
    with caplog.at_level(logging.WARNING, "segue"):
        for _ in range(2):
            assert corpora.load(folder).fingerprint == manifest["fingerprint"]
    (said,) = [record.getMessage() for record in caplog.records]
    assert said.startswith(f"the corpus {folder} was prepared before corpora had checksums")


@pytest.mark.parametrize(
    ("name", "change", "reason"),
    [
        ("train", lambda t: t.drop_columns(["times"]), "train.parquet lacks column 'times'"),
        ("train", lambda t: t.slice(1), "speaks of 2 train sessions, there are 1"),
        ("test", lambda t: t.set_column(0, "session", pa.array([0, 4])), "a session is in two parts"),
        ("test", lambda t: t.set_column(0, "session", pa.array([-2, 4])), "a number below 0"),
        ("test", lambda t: t.set_column(1, "user", pa.array([0, 2], pa.int32())), "users reach from 0 to 2"),
        ("test", lambda t: t.set_column(1, "user", pa.array([1, 0], pa.int32())), "order of user and start"),
        ("items", lambda t: t.slice(1), "speaks of 4 items, there are 3"),
        ("users", lambda t: t.slice(1), "speaks of 2 users, there are 1"),
        (
            "validation",
            lambda t: t.set_column(3, "items", pa.array([[0, None]], pa.list_(pa.int32()))),
            "holds 1 nulls",
        ),
        ("validation", lambda t: t.set_column(3, "items", pa.array([[2]], pa.list_(pa.int32()))), "as many times"),
        ("validation", lambda t: t.set_column(3, "items", pa.array([[2, 9]], pa.list_(pa.int32()))), "items reach"),
    ],
)
def test_what_does_not_fit_together_is_named(
    small: Corpus, tmp_path: Path, name: str, change: Callable[[pa.Table], pa.Table], reason: str
) -> None:
    path = write(small, tmp_path) / f"{name}.parquet"
    pq.write_table(change(pq.read_table(path)), path)
    with pytest.raises(CorpusError, match=f"is damaged: .*{reason}.*; prepare it again"):
        corpora.load(tmp_path)


@pytest.mark.parametrize("key", ["fingerprint", "sizes", "settings"])
@pytest.mark.parametrize("value", [None, 3, [], {"items": -1}, {"split": 7}])
def test_a_manifest_means_something(small: Corpus, tmp_path: Path, key: str, value: object) -> None:
    manifest = write(small, tmp_path) / "manifest.json"
    manifest.write_text(json.dumps({**json.loads(manifest.read_text()), key: value}))
    with pytest.raises(CorpusError, match="cannot be read"):
        corpora.load(tmp_path)


def test_a_damaged_corpus_can_be_prepared_again(tmp_path: Path) -> None:
    folder = _prepared(tmp_path)
    (folder / "manifest.json").write_text('{"format": "segue-corpus-9"}')
    runs.prepare(str(small_logs.log()), folder, small_logs.SMALL, overwrite=True)
    corpora.load(folder)

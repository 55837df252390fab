"""The corpus: flat sessions, and a folder read back, whole or in parts, sound or damaged."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
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

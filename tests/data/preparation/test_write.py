"""The files of a corpus: their rows, their order, and the fingerprint over them."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from small_corpora import ROWS, log_of, readable, session_ids, small, visits

from segue.data.corpus import Part, load
from segue.data.preparation import write as writing
from segue.data.preparation.prepare import prepare
from segue.errors import LogError


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

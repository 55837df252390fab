"""A trace is found in every kind of file, and what only looks like one is none."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from safetensors.numpy import save_file

from segue.forgetting.traces import Searched, is_distinctive, search

ID = "user03"
ROW = np.array([0.25, -1.5, 3.25, 7.0], dtype=np.float32)


def looked_for(path: Path, *ids: str, rows: tuple[bytes, ...] = ()) -> Searched:
    return search([path], path.parent, ids or (ID,), rows)


def parquet(home: Path, file: str, metadata: dict[str, str] | None = None, /, **columns: list[str | None]) -> Path:
    table = pa.table({key: pa.array(values, pa.string()) for key, values in columns.items()})
    pq.write_table(table.replace_schema_metadata(metadata), home / file)
    return home / file


def text(home: Path, name: str, written: str) -> Path:
    (home / name).write_text(written)
    return home / name


def tensors(home: Path, array: np.ndarray, metadata: dict[str, str] | None = None) -> Path:
    save_file({"table": array}, home / "model.safetensors", metadata)
    return home / "model.safetensors"


def database(home: Path, *statements: str) -> Path:
    with closing(sqlite3.connect(home / "events.sqlite")) as connection:
        connection.executescript(
            "CREATE TABLE events (user TEXT, session TEXT, item TEXT);" + ";".join(statements) + ";"
        )
    return home / "events.sqlite"


PLANTED: dict[str, Callable[[Path], Path]] = {
    "a user": lambda home: parquet(home, "users.parquet", user_id=["user02", ID]),
    "the user of a rank": lambda home: parquet(home, "test.ranks.parquet", user=[None, ID]),
    "a session that is called after them": lambda home: parquet(home, "train.parquet", session_id=["9", f"{ID}/2"]),
    "what another says of them": lambda home: parquet(
        home, "users.parquet", user_id=["b"], friend=[f"of {ID}, I think"]
    ),
    "metadata": lambda home: parquet(home, "train.parquet", {"note": f"without {ID}"}, session_id=["9"]),
    "a value": lambda home: text(home, "config.json", json.dumps({"a": [{"b": ID}]})),
    "a key": lambda home: text(home, "config.json", json.dumps({"a": {ID: 1}})),
    "an escaped value": lambda home: text(home, "config.json", '{"a": "\\u0075ser03"}'),
    "a line": lambda home: text(home, "metrics.jsonl", '{"a": 1}\n{"a": "user03"}\n'),
    "a header": lambda home: tensors(home, ROW, {"made for": ID}),
    "bytes of a number": lambda home: tensors(home, np.frombuffer(b"xx1234567", dtype=np.uint8)),
    "bytes of numbers": lambda home: tensors(home, np.frombuffer(b"xx" + ID.encode(), dtype=np.uint8)),
    "a live event": lambda home: database(home, "INSERT INTO events VALUES ('user03', 's', 'i')"),
    "a live session": lambda home: database(home, "INSERT INTO events VALUES (NULL, 'user03-1', 'i')"),
    "what SQLite deleted": lambda home: database(
        home, "PRAGMA secure_delete = OFF", "INSERT INTO events VALUES ('user03', 's', 'i')", "DELETE FROM events"
    ),
}
HARMLESS: dict[str, Callable[[Path], Path]] = {
    "another user": lambda home: parquet(home, "users.parquet", user_id=["user030", "an user03", "xuser03"]),
    "a session of another user": lambda home: parquet(home, "train.parquet", session_id=["user031/2", "xuser03"]),
    "an item": lambda home: parquet(home, "items.parquet", item_id=[ID, "i"], name=["after user03", None]),
    "a number": lambda home: text(home, "config.json", json.dumps({"a": 0.1234567})),
    "a session with their number": lambda home: parquet(home, "train.parquet", session_id=["1234567", "v-1234567"]),
    "a number in a header": lambda home: tensors(home, np.zeros(1234567, dtype=np.int8)),
    "other rows": lambda home: tensors(home, np.stack([ROW + 1, ROW[::-1]])),
}


@pytest.mark.parametrize("where", PLANTED)
def test_a_trace_is_found(tmp_path: Path, where: str) -> None:
    found = looked_for(PLANTED[where](tmp_path), ID, "1234567")
    assert found.traces
    assert ID not in "".join(found.traces)


@pytest.mark.parametrize("where", HARMLESS)
def test_what_looks_like_a_trace_is_none(tmp_path: Path, where: str) -> None:
    assert looked_for(HARMLESS[where](tmp_path), ID, "1234567", rows=(ROW.tobytes(),)).traces == ()


def test_the_id_of_another_may_hold_the_id_and_be_half_of_what_stands_in_a_compressed_file(tmp_path: Path) -> None:
    """Compression writes "c-1001-web-de" as "c-1001" and the rest of the id before it."""
    users = ["q-web-de", "c-1001-web-de", *(f"u{number:03d}" for number in range(54))]
    path = parquet(tmp_path, "users.parquet", user_id=users)
    assert path.read_bytes().count(b"c-1001") > path.read_bytes().count(b"c-1001-web-de")
    assert search([path], tmp_path, ["c-1001"], ()).traces == ()
    sessions = parquet(tmp_path, "train.parquet", session_id=[f"{user}/1" for user in users])
    assert search([sessions], tmp_path, ["c-1001"], ()).traces
    assert search([sessions], tmp_path, ["c-1001"], (), users).traces == ()
    own = parquet(tmp_path, "test.parquet", session_id=["c-1001-web-de/1", "c-1001/1"])
    assert search([own], tmp_path, ["c-1001"], (), users).traces


def test_an_item_with_their_name_is_told(tmp_path: Path) -> None:
    assert looked_for(HARMLESS["an item"](tmp_path)).namesakes == 1


@pytest.mark.parametrize("array", [np.stack([ROW + 1, ROW]), np.concatenate([ROW[:1], ROW]), ROW])
def test_a_row_is_found_wherever_it_begins(tmp_path: Path, array: np.ndarray) -> None:
    assert looked_for(tensors(tmp_path, array), rows=(ROW.tobytes(),)).traces


def test_a_short_id_or_a_plain_word_is_compared_with_users_alone(tmp_path: Path) -> None:
    assert [is_distinctive(each) for each in ("7", "user3", "unknown", "1234567", "user03", "a@home")] == [
        False, False, False, False, True, True,
    ]  # fmt: skip
    assert looked_for(parquet(tmp_path, "train.parquet", session_id=["7"]), "7").traces == ()
    assert looked_for(text(tmp_path, "config.json", '{"history": "unknown"}'), "unknown").traces == ()
    assert looked_for(parquet(tmp_path, "users.parquet", user_id=["17", "7"]), "7").traces
    assert looked_for(parquet(tmp_path, "users.parquet", user_id=["unknown"]), "unknown").traces


def test_a_file_of_another_kind_cannot_be_searched(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"notes\.txt is of a kind"):
        looked_for(text(tmp_path, "notes.txt", ""))

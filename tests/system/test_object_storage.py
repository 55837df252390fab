"""Logs and corpora in object storage: an S3-compatible server on loopback."""

from __future__ import annotations

import importlib.util
import socket
import subprocess
import sys
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from small_corpora import ROWS, log_of
from small_logs import COMMAND

from segue.data.corpus import load
from segue.errors import ConfigError, UserMistake
from segue.pipeline.preparing import Wish, prepare_log
from segue.system import object_storage
from segue.system.object_storage import fetch, is_address, refuse_taken, send

NEEDS_S3 = pytest.mark.skipif(
    any(importlib.util.find_spec(name) is None for name in ("moto", "flask", "s3fs")),
    reason="s3fs, or moto's server, is not installed",
)
_NUMBERS = count()
SMALL: dict[str, Any] = {
    "sessions": {"min_length": 2},
    "filters": {"min_item_support": 1, "min_user_sessions": 2},
    "preparation": {"memory_limit": "256MiB"},
}


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The address of an empty bucket of a server on loopback."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    for name, value in {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
    }.items():
        monkeypatch.setenv(name, value)
    import s3fs

    s3fs.S3FileSystem.clear_instance_cache()
    name = f"shop{next(_NUMBERS)}"  # every server of a process serves the same buckets
    s3fs.S3FileSystem().mkdir(name)
    yield f"s3://{name}"
    s3fs.S3FileSystem.clear_instance_cache()
    server.stop()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("s3://shop/clicks", True),
        ("gs://shop/clicks", True),
        ("clicks.csv", False),
        ("complete-journey:", False),
        ("lastfm:s3", False),
        ("FILE.duckdb::TABLE", False),
        ("file:///log.csv", False),
    ],
)
def test_addresses(text: str, expected: bool) -> None:
    assert is_address(text) == expected


@NEEDS_S3
def test_a_log_of_two_files_becomes_a_corpus_there(tmp_path: Path, bucket: str) -> None:
    log = log_of(ROWS)
    (tmp_path / "log" / "day=1").mkdir(parents=True)
    pq.write_table(log.slice(0, 9), tmp_path / "log" / "day=1" / "a.parquet")
    (tmp_path / "log" / "day=2").mkdir()
    pq.write_table(log.slice(9), tmp_path / "log" / "day=2" / "b.parquet")
    send(tmp_path / "log", f"{bucket}/clicks", "none")
    here, _ = prepare_log(str(tmp_path / "log"), str(tmp_path / "here"), SMALL, Wish(with_graph=True))
    there, rows = prepare_log(f"{bucket}/clicks", f"{bucket}/made/corpus", SMALL, Wish(with_graph=True))
    assert there["fingerprint"] == here["fingerprint"]
    assert there["log"]["rows_read"] == len(log)
    assert there["log"]["source"] == f"{bucket}/clicks", "the manifest names the log, not its copy on this machine"
    assert here["log"]["source"] == str(tmp_path / "log")
    copy = fetch(f"{bucket}/made/corpus", tmp_path / "copy")
    assert load(copy).manifest == there
    assert sorted(p.relative_to(copy) for p in copy.rglob("*")) == sorted(
        p.relative_to(tmp_path / "here") for p in (tmp_path / "here").rglob("*")
    )
    assert rows

    with pytest.raises(UserMistake, match=r"made/corpus exists already; choose another --out, or pass"):
        prepare_log(f"{bucket}/clicks", f"{bucket}/made/corpus", SMALL, Wish())
    prepare_log(f"{bucket}/clicks/", f"{bucket}/made/corpus/", SMALL, Wish(overwrite=True))
    assert not (fetch(f"{bucket}/made/corpus", tmp_path / "again") / "graph").exists()
    (tmp_path / "one").mkdir()
    assert pq.read_table(fetch(f"{bucket}/clicks/day=1/a.parquet", tmp_path / "one")).num_rows == 9


@NEEDS_S3
def test_what_is_not_ours_stays(tmp_path: Path, bucket: str) -> None:
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "holiday.jpg").write_bytes(b"1")
    send(tmp_path / "other", f"{bucket}/pictures", "none")
    with pytest.raises(UserMistake, match=r"holds files of others \(no manifest.json\)"):
        refuse_taken(f"{bucket}/pictures", "manifest.json", overwrite=True)
    refuse_taken(f"{bucket}/picture", "manifest.json", overwrite=False)


@NEEDS_S3
@pytest.mark.parametrize("where", ["nothing", "log"])
def test_nothing_there(tmp_path: Path, bucket: str, where: str) -> None:
    with pytest.raises(UserMistake, match=rf"nothing is at {bucket}/{where}; is the address right"):
        fetch(f"{bucket}/{where}", tmp_path)
    with pytest.raises(UserMistake, match="s3://nobody"):
        fetch("s3://nobody/log", tmp_path)


@NEEDS_S3
def test_half_a_file_is_no_file(tmp_path: Path, bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "log").mkdir()
    (tmp_path / "log" / "a.csv").write_text("user_id,item_id,timestamp\n")
    send(tmp_path / "log", f"{bucket}/log", "none")
    storage, key = object_storage._opened(f"{bucket}/log")
    monkeypatch.setattr(storage, "get_file", lambda source, target: Path(target).write_bytes(b"user"))
    monkeypatch.setattr(object_storage, "_opened", lambda address: (storage, key))
    with pytest.raises(UserMistake, match=r"a\.csv has 26 bytes, 4 arrived"):
        fetch(f"{bucket}/log", tmp_path / "copy")


@NEEDS_S3
def test_no_server_answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a process of its own, and one line."""
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{closed.getsockname()[1]}"
    keys = {"AWS_ENDPOINT_URL": address, "AWS_ACCESS_KEY_ID": "k", "AWS_SECRET_ACCESS_KEY": "s"}
    for name, value in {**keys, "AWS_MAX_ATTEMPTS": "1"}.items():
        monkeypatch.setenv(name, value)
    asked = [*COMMAND, "prepare", "s3://shop/clicks", "--out", str(tmp_path / "corpus")]
    done = subprocess.run(asked, capture_output=True, text=True)
    assert done.returncode == 2, done.stderr
    (line,) = done.stderr.splitlines()
    assert "reading s3://shop/clicks" in line


def test_packages_that_are_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match="nosuch://bucket is no address of a storage"):
        fetch("nosuch://bucket", tmp_path)
    monkeypatch.setitem(sys.modules, "fsspec.core", None)
    with pytest.raises(ConfigError, match=r"pip install 'segue\[s3\]'"):
        object_storage.fetch("s3://shop/clicks", tmp_path)

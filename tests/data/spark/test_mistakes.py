"""What goes wrong with Spark is one line that says what to do."""

from __future__ import annotations

import errno
import importlib.util
import subprocess
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import spark_sessions
from small_corpora import ROWS, log_of, small
from small_logs import COMMAND

from segue.data.preparation.prepare import prepare
from segue.data.spark import log as spark_log
from segue.data.spark.engine import SparkTables
from segue.data.spark.session import named, session
from segue.errors import ConfigError, LogError, UserMistake
from segue.settings import PreparationSettings


def opened(master: str, scratch: Path) -> None:
    with session(master, PreparationSettings(), scratch):
        raise AssertionError("it started")


@pytest.fixture
def nothing_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """No session of this process is taken."""
    pyspark = pytest.importorskip("pyspark.sql")
    monkeypatch.setattr(pyspark.SparkSession, "getActiveSession", staticmethod(lambda: None))


def test_pyspark_is_not_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"pip install 'segue\[spark\]'"):
        prepare(log_of(ROWS), tmp_path / "corpus", small(), spark="local")
    assert not list(tmp_path.iterdir())


@pytest.mark.usefixtures("nothing_runs")
def test_no_java(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("JAVA_HOME", raising=False)
    with pytest.raises(ConfigError, match=r"no java was found; install version 17 or newer"):
        opened("local", tmp_path)
    monkeypatch.setenv("JAVA_HOME", str(tmp_path / "gone"))
    with pytest.raises(ConfigError, match=r"JAVA_HOME is .*gone, where no Java is"):
        opened("local", tmp_path)


@spark_sessions.NEEDS_SPARK
@pytest.mark.usefixtures("nothing_runs")
@pytest.mark.parametrize("master", ["spark://127.0.0.1:1", "spark://127.0.0.1:1,127.0.0.1:2", "spark://:x"])
def test_no_master_answers(tmp_path: Path, master: str) -> None:
    with pytest.raises(ConfigError, match=r"no Spark master answers at .*without --master Spark runs on this machine"):
        opened(master, tmp_path)


@spark_sessions.NEEDS_SPARK
def test_no_such_master(tmp_path: Path) -> None:
    """In a process of its own: the Java machine of this one may run already."""
    pq.write_table(log_of(ROWS), tmp_path / "log.parquet")
    asked = [*COMMAND, "prepare", str(tmp_path / "log.parquet"), "--out", str(tmp_path / "corpus")]
    done = subprocess.run([*asked, "--engine", "spark", "--master", "nowhere"], capture_output=True, text=True)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert "Spark does not start on nowhere: " in line
    assert "aster" in line.partition("nowhere: ")[2]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["log.parquet"]


def test_a_master_without_spark(tmp_path: Path) -> None:
    asked = [*COMMAND, "prepare", "log.csv", "--out", str(tmp_path / "corpus"), "--master", "local"]
    done = subprocess.run(asked, capture_output=True, text=True)
    assert done.returncode == 2
    assert "--master is for Spark; add --engine spark, or leave it out" in done.stderr


@spark_sessions.NEEDS_SPARK
@pytest.mark.parametrize(
    ("said", "error", "line"),
    [
        ("java.io.IOException: No space left on device", OSError, "no space left"),
        ("java.lang.OutOfMemoryError: Java heap space", UserMistake, "raise preparation.memory_limit"),
        ("java.io.FileNotFoundException: File file:/log/part-3.parquet does not exist", UserMistake, "part-3"),
    ],
)
def test_what_spark_says_in_a_page(said: str, error: type[Exception], line: str) -> None:
    from pyspark.errors import PySparkException

    with pytest.raises(error, match=line), named():
        raise PySparkException(f"Job aborted due to stage failure: \n\tat org.apache\n{said}\n\tat java.base")


@spark_sessions.NEEDS_SPARK
def test_a_full_disk_in_the_middle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spark_sessions.running()
    write = SparkTables._write

    def full(self: SparkTables, name: str, frame: Any) -> Path:
        if name == "events":
            raise OSError(errno.ENOSPC, "no space left for the tables that Spark writes")
        return write(self, name, frame)

    monkeypatch.setattr(SparkTables, "_write", full)
    with pytest.raises(UserMistake, match="the disk is full while preparing the corpus"):
        prepare(log_of(ROWS), tmp_path / "corpus", small(), spark="local")
    assert not list(tmp_path.iterdir())


@spark_sessions.NEEDS_SPARK
def test_a_shard_goes_missing(tmp_path: Path) -> None:
    spark_sessions.running()
    files = [tmp_path / f"part-{number}.parquet" for number in range(2)]
    for file in files:
        pq.write_table(pa.table({"x": [1, 2]}), file)
    with session("local", PreparationSettings(), tmp_path) as running:
        tables = SparkTables(running, tmp_path)
        tables.view("rows_of_files", files, ["x"])
        files[1].unlink()
        with pytest.raises(UserMistake, match=r"a file went away while Spark read it: .*part-1\.parquet"):
            tables.execute("SELECT count(DISTINCT x) FROM rows_of_files").fetchall()


@spark_sessions.NEEDS_SPARK
def test_every_row_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Were a file read twice, or not at all, its rows would be counted against what it says of itself."""
    spark_sessions.running()
    file = tmp_path / "log.parquet"
    pq.write_table(log_of(ROWS), file)
    read = SparkTables._read
    monkeypatch.setattr(SparkTables, "_read", lambda self, files: read(self, [*files, *files]))
    monkeypatch.setattr(spark_log, "_numbers", lambda tables, files: "CAST(0 AS BIGINT)")
    with pytest.raises(LogError, match="Spark read 42 rows, its files hold 21"):
        prepare(file, tmp_path / "corpus", small(), spark="local")

from __future__ import annotations

import errno
from pathlib import Path

import duckdb
import pytest

from segue.data import engine
from segue.errors import UserMistake
from segue.settings import PreparationSettings
from segue.system import limits


def setting(connection: duckdb.DuckDBPyConnection, name: str) -> str:
    return str(connection.execute("SELECT current_setting(?)", [name]).fetchall()[0][0])


def test_the_engine_keeps_to_its_memory_limit_and_its_folder(tmp_path: Path) -> None:
    connection = engine.connect(PreparationSettings(memory_limit="64MiB"), tmp_path / "scratch")
    assert setting(connection, "memory_limit") == "64.0 MiB"
    assert Path(setting(connection, "temp_directory")).parent == tmp_path / "scratch"
    assert setting(connection, "threads") == str(engine.cores())
    assert setting(connection, "autoinstall_known_extensions") == "False"
    assert setting(connection, "autoload_known_extensions") == "False"


def test_the_limit_is_half_of_what_the_process_may_use(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "memory_limit", lambda: 6 * 2**30)
    assert setting(engine.connect(PreparationSettings(), tmp_path), "memory_limit") == "3.0 GiB"


def test_tables_beyond_the_limit_spill_and_stay_whole(tmp_path: Path) -> None:
    connection = engine.connect(PreparationSettings(memory_limit="48MiB"), tmp_path)
    connection.execute("CREATE TABLE big AS SELECT range AS n, hash(range)::VARCHAR AS text FROM range(3000000)")
    assert any(file.stat().st_size for file in tmp_path.rglob("*") if file.is_file())
    assert connection.execute("SELECT count(*), sum(n) FROM big").fetchall() == [(3000000, 4499998500000)]


def test_a_full_disk_is_one_line(tmp_path: Path) -> None:
    connection = engine.connect(PreparationSettings(memory_limit="48MiB"), tmp_path)
    connection.execute("SET max_temp_directory_size = '1MB'")
    with pytest.raises(UserMistake, match="the disk is full while sorting") as caught, engine.guarded("sorting"):
        connection.execute("CREATE TABLE big AS SELECT hash(range)::VARCHAR AS text FROM range(6000000)")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("raised", "said"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), "the disk is full while counting: .*No space left"),
        (duckdb.IOException("IO Error: write failed: No space left on device"), "the disk is full while counting"),
        (duckdb.OutOfMemoryException("could not allocate block"), "out of memory while counting.*memory_limit"),
        (duckdb.IOException("IO Error: Cannot open file"), "input or output failed while counting: .*Cannot open"),
        (PermissionError(errno.EACCES, "Permission denied", "/x"), "failed while counting: .*Permission denied"),
    ],
)
def test_trouble_outside_the_data_is_the_users_to_mend(raised: Exception, said: str) -> None:
    with pytest.raises(UserMistake, match=said), engine.guarded("counting"):
        raise raised


def test_a_wrong_query_stays_a_defect() -> None:
    with pytest.raises(duckdb.BinderException), engine.guarded("counting"):
        duckdb.connect().execute("SELECT no_such_column")


def test_a_scratch_that_cannot_be_made_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserMistake, match="opening the query engine"):
        engine.connect(PreparationSettings(), tmp_path / "file" / "scratch")

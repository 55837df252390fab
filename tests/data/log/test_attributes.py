from __future__ import annotations

from pathlib import Path

import duckdb
import pyarrow as pa
import pytest

from segue.data import engine
from segue.data.log.attributes import read_attributes
from segue.errors import LogError
from segue.settings import PreparationSettings


@pytest.fixture
def connection(tmp_path: Path) -> duckdb.DuckDBPyConnection:
    return engine.connect(PreparationSettings(memory_limit="256MiB"), tmp_path / "scratch")


def test_id_and_name_come_first_the_rest_is_text_with_nulls(
    connection: duckdb.DuckDBPyConnection, tmp_path: Path
) -> None:
    path = tmp_path / "items.csv"
    path.write_text('brand,item_id,Brand,name\nacme,7,x,"Tea, green"\n,8,,\n')
    table = read_attributes(connection, path, "item_id")
    assert table.to_pydict() == {
        "item_id": ["7", "8"],
        "name": ["Tea, green", None],
        "brand": ["acme", None],
        "Brand": ["x", None],
    }
    assert {field.type for field in table.schema} == {pa.string()}


def test_numbers_become_text_without_a_fraction(connection: duckdb.DuckDBPyConnection) -> None:
    users = pa.table({"user_id": [1, 2, 3], "age": [30.0, None, 12.5], "vip": [True, None, False]})
    table = read_attributes(connection, users, "user_id")
    assert table["user_id"].to_pylist() == ["1", "2", "3"]
    assert table["age"].to_pylist() == ["30", None, "12.5"]
    assert table["vip"].to_pylist() == ["true", None, "false"]


def test_categories_become_text(connection: duckdb.DuckDBPyConnection) -> None:
    colours = pa.array(["red", "blue", None]).dictionary_encode()
    table = read_attributes(connection, pa.table({"item_id": ["a", "b", "c"], "colour": colours}), "item_id")
    assert table["colour"].to_pylist() == ["red", "blue", None]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("id,name\n1,a\n", r"no column 'item_id' \(found: id, name\); did you mean 'id'\?"),
        ("item_id,name\n1,a\n2,b\n1,c\n2,d\n1,e\n", "3 rows repeat an id of column 'item_id', first '1' in row 3"),
        ("item_id,name\n1,a\n,b\n", "'item_id' is null or empty in 1 rows, first in row 2"),
        ("item_id,name\n", "holds no row"),
        ("", "is empty"),
        ("item_id,name\n1,a,b\n", "line 2 has 3 fields, the header 2"),
    ],
)
def test_refusals(connection: duckdb.DuckDBPyConnection, tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "items.csv"
    path.write_text(text)
    with pytest.raises(LogError, match=said) as caught:
        read_attributes(connection, path, "item_id")
    assert "\n" not in str(caught.value)
    assert connection.execute("SHOW TABLES").fetchall() == []


def test_lists_are_refused(connection: duckdb.DuckDBPyConnection) -> None:
    with pytest.raises(LogError, match=r"column 'tags' holds VARCHAR\[\]"):
        read_attributes(connection, pa.table({"item_id": ["a"], "tags": [["x", "y"]]}), "item_id")


def test_a_missing_file_is_refused(connection: duckdb.DuckDBPyConnection, tmp_path: Path) -> None:
    with pytest.raises(LogError, match="no such file"):
        read_attributes(connection, tmp_path / "users.csv", "user_id")

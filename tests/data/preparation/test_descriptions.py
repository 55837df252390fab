"""An items or users file that describes nothing, or little, is said."""

from __future__ import annotations

import shlex
from pathlib import Path

import pyarrow as pa
import pytest
from small_corpora import log_of, small, visits

from segue.data.corpus import load
from segue.data.preparation.prepare import prepare
from segue.settings.overrides import read_overrides

ROWS = [row for user in range(6) for row in visits(f"{user}", *["11 12", "13 14 11", "12 13"] * 2)]


def warnings(tmp_path: Path, ids: list[str], kind: str = "items", **columns: list[str]) -> list[str]:
    """The warnings of a preparation about its items or users file."""
    path = tmp_path / f"{kind}.csv"
    names = [f"{kind[:-1]}_id", *columns]
    lines = [",".join(f'"{field}"' for field in row) for row in zip(ids, *columns.values(), strict=True)]
    path.write_text("\n".join([",".join(names), *lines]) + "\n", encoding="utf-8")
    manifest = prepare(log_of(ROWS), tmp_path / "corpus", small(), overwrite=True, **{kind: path})
    return [each for each in manifest["warnings"] if f"{kind} file" in each]


@pytest.mark.parametrize(
    ("form", "example"),
    [
        ("0000{}", "'11' and '000011'"),
        ("{}.0", "'11' and '11.0'"),
        (" {} ", "'11' and ' 11 '"),
        ("item_{}", "'11' and 'item_11'"),
        ("SKU-000{}", "'11' and 'SKU-00011'"),
    ],
)
def test_ids_in_another_spelling(tmp_path: Path, form: str, example: str) -> None:
    (warning,) = warnings(tmp_path, [form.format(item) for item in (11, 12, 13, 14)])
    assert warning.startswith("the items file describes 0 of 4 items: its ids are written in another way: ")
    assert example in warning


def test_users_in_another_spelling(tmp_path: Path) -> None:
    (warning,) = warnings(tmp_path, [f"user{user}" for user in range(6)], "users")
    assert warning.startswith("the users file describes 0 of 6 users: its ids are written in another way: ")
    assert "'1' and 'user1'" in warning


def test_ids_of_something_else(tmp_path: Path) -> None:
    (warning,) = warnings(tmp_path, ["x", "y"])
    says = "describes 0 of 4 items: the log has ids such as '11', the file 'x'; is it the file of this log?"
    assert says in warning


def test_few_are_said_and_half_are_not(tmp_path: Path) -> None:
    (warning,) = warnings(tmp_path, ["11", "x", "y"])
    assert "describes 1 of 4 items" in warning
    assert warnings(tmp_path, ["11", "12", "x"]) == []
    assert warnings(tmp_path, ["11", "12", "13", "14", *"abcdefgh"]) == []


def test_words_for_nothing_in_a_column(tmp_path: Path) -> None:
    ids, category = ["11", "12", "13", "14"], ["food", "NULL", "NULL", "NaN"]
    (warning,) = warnings(tmp_path, ids, category=category)
    assert warning.startswith("column 'category' of the items file holds 'NULL' in 2 rows, 'NaN' in 1 rows: ")
    _, assignment = shlex.split(warning[warning.index("--set") :])
    settings = small(**read_overrides(assignments=[assignment]))
    prepare(log_of(ROWS), tmp_path / "mended", settings, items=tmp_path / "items.csv")
    assert load(tmp_path / "mended").items.column("category").to_pylist() == ["food", None, None, None]


def test_what_mysql_writes_is_missing_there_too(tmp_path: Path) -> None:
    assert warnings(tmp_path, ["11", "12", "13"], name=["a", r"\N", " "]) == []
    assert load(tmp_path / "corpus").items.column("name").to_pylist() == ["a", None, None, None]


def test_a_frame_of_users_is_judged_too(tmp_path: Path) -> None:
    users = pa.table({"user_id": [0.0, 1.0, 2.0, 3.0, None], "town": [*"abcde"]}).slice(0, 4)
    manifest = prepare(log_of(ROWS), tmp_path / "corpus", small(), users=users)
    assert manifest["described"]["users"] == 4
    assert not any("users file" in each for each in manifest["warnings"])

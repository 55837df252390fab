"""The checks of stored tables, sessions and arrays: what Segue writes passes, each single mistake is named."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
import worlds

from segue.data.checks import LATEST, check_range, check_sessions, check_vocabulary, read_table
from segue.data.corpus import Sessions
from segue.data.stored import Layout, check_arrays, check_rows, forms_alone

SESSIONS = worlds.corpus_of([[[0, 1, 2], [2, 0]], [[1, 1]]]).sessions


def flat(sessions: Sessions = SESSIONS, **changed: Any) -> dict[str, Any]:
    return {name: getattr(sessions, name).copy() for name in ("items", "times", "offsets", "user")} | changed


def with_value(name: str, place: int, value: int) -> dict[str, Any]:
    columns = flat()
    columns[name][place] = value
    return columns


def test_sessions_in_order_pass() -> None:
    check_sessions(**flat(), n_items=3, n_users=2)
    check_sessions(**flat(SESSIONS.take(np.zeros(0, dtype=np.int64))), n_items=3, n_users=2)


@pytest.mark.parametrize(
    ("columns", "reason"),
    [
        (with_value("items", 3, 3), "items reach from 0 to 3, expected 0 to 2"),
        (with_value("items", 3, -1), "items reach from -1"),
        (with_value("user", 2, 2), "users reach from 0 to 2"),
        (with_value("user", 0, 1), "order of user and start, first session 1"),
        (with_value("times", 0, -LATEST - 1), "times reach"),
        (with_value("times", 1, worlds.BEGINNING - 1), "times of a session do not ascend, first at event 1"),
        (flat(times=SESSIONS.times - np.repeat([0, 100 * worlds.DAY, 0], SESSIONS.lengths)), "first session 1"),
        (flat(times=SESSIONS.times[:-1]), "7 items and 6 times"),
        (flat(offsets=SESSIONS.offsets[:-1]), "offsets are 3, expected 4"),
        (with_value("offsets", 0, 1), "do not ascend from 0 to 7"),
        (with_value("offsets", 1, 6), "do not ascend from 0 to 7"),
        (with_value("offsets", 3, 6), "do not ascend from 0 to 7"),
        (with_value("offsets", 1, 0), "session 0 is empty"),
    ],
)
def test_each_mistake_in_sessions_is_named(columns: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        check_sessions(**columns, n_items=3, n_users=2)


def test_vocabularies_are_told_by_their_kind() -> None:
    items = pa.table({"item_id": ["a", "b"], "name": [None, "B"], "known": ["x", None]})
    users = pa.table({"user_id": ["b", "a", None, None], "known": [True, False, False, False]})
    assert check_vocabulary(items, "item") == 2
    assert check_vocabulary(users, "user") == 1
    assert check_vocabulary(items.slice(0, 0), "item") == 0
    for table, kind, reason in (
        (items.drop_columns(["item_id"]), "item", r"items\.parquet lacks column 'item_id'"),
        (pa.table({"item_id": ["a", None]}), "item", "holds 1 nulls"),
        (pa.table({"item_id": ["b", "c", "b"]}), "item", "an id occurs twice"),
        (pa.table({"item_id": [1, 2]}), "item", "'item_id' holds int64, expected string"),
        (items.append_column("c", pa.array([[1], [2]])), "item", "'c' holds list"),
        (users.drop_columns(["known"]), "user", "lacks column 'known'"),
        (pa.table({"user_id": ["a", "b"], "known": [False, True]}), "user", "known users do not come first"),
        (pa.table({"user_id": [None, "b"], "known": [True, True]}), "user", "a known user has no id"),
        (pa.table({"user_id": ["a"], "known": pa.array([None], pa.bool_())}), "user", "holds 1 nulls"),
    ):
        with pytest.raises(ValueError, match=reason):
            check_vocabulary(table, kind)  # type: ignore[arg-type]


def test_a_small_file_that_claims_a_large_table_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "huge.parquet"
    block = pa.table({"a": pa.array([0] * 1_000_000)})
    with pq.ParquetWriter(path, block.schema) as writer:
        for _ in range(20):
            writer.write_table(block)
    with pytest.raises(ValueError, match="claims 20,000,000 values"):
        read_table(path)


def test_many_rows_that_are_all_alike_are_read(tmp_path: Path) -> None:
    """Each session without a user is a user without an id: such a column takes next to nothing on disk."""
    users = pa.table({"user_id": pa.nulls(1_000_000, pa.string()), "known": np.zeros(1_000_000, dtype=bool)})
    pq.write_table(users, tmp_path / "users.parquet")
    assert check_vocabulary(read_table(tmp_path / "users.parquet"), "user") == 0


def test_a_table_that_is_no_file_or_lacks_a_column_is_refused(tmp_path: Path) -> None:
    pq.write_table(pa.table({"a": [1]}), tmp_path / "t.parquet")
    assert read_table(tmp_path / "t.parquet", ["a"]).num_rows == 1
    with pytest.raises(ValueError, match="lacks column 'b'"):
        read_table(tmp_path / "t.parquet", ["b"])
    (tmp_path / "zero.parquet").symlink_to("/dev/zero")
    with pytest.raises(ValueError, match="no regular file"):
        read_table(tmp_path / "zero.parquet")


def test_a_range_holds_no_nan() -> None:
    check_range("x", np.array([0.0, 1.0]), 0, 1)
    check_range("x", np.array([]), 0, 1)
    with pytest.raises(ValueError, match="x reach from nan"):
        check_range("x", np.array([0.0, np.nan]), 0, 1)


LAYOUTS = {
    "offsets": Layout(torch.int64, (3,)),
    "items": Layout(torch.int32, (None,), 0, 4),
    "values": Layout(torch.float32, (None, 2)),
}


def arrays(**changed: torch.Tensor) -> dict[str, torch.Tensor]:
    own = {"offsets": torch.tensor([0, 1, 3]), "items": torch.tensor([0, 4, 2], dtype=torch.int32)}
    return {**own, "values": torch.zeros(3, 2), **changed}


def test_arrays_of_their_layout_pass() -> None:
    check_arrays(arrays(), LAYOUTS)
    check_rows(arrays(), "offsets", "items", "values")


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"more": torch.zeros(1)}, "array 'more' belongs to no part of the model"),
        ({"items": torch.zeros(3)}, r"array 'items' is float32 \[3\], expected int32 \['any'\]"),
        ({"items": torch.zeros(3, 1, dtype=torch.int32)}, r"int32 \[3, 1\], expected"),
        ({"items": torch.tensor([5], dtype=torch.int32)}, "values from 5 to 5, expected 0 to 4"),
        ({"items": torch.tensor([-1], dtype=torch.int32)}, "values from -1"),
        ({"values": torch.tensor([[0.0, float("nan")]])}, "array 'values' holds values"),
        ({"values": torch.tensor([[0.0, -float("inf")]])}, "not finite"),
        ({"offsets": torch.zeros(2, dtype=torch.int64)}, r"int64 \[2\], expected int64 \[3\]"),
    ],
)
def test_each_mistake_in_arrays_is_named(changed: dict[str, torch.Tensor], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        check_arrays(arrays(**changed), LAYOUTS)


def test_an_array_that_is_missing_is_named() -> None:
    with pytest.raises(ValueError, match="array 'items' is missing"):
        check_arrays({name: array for name, array in arrays().items() if name != "items"}, LAYOUTS)


@pytest.mark.parametrize("offsets", [[0, 1, 4], [1, 1, 3], [0, 4, 3], [0, 2]])
def test_rows_end_where_their_entries_end(offsets: list[int]) -> None:
    with pytest.raises(ValueError, match="the numbers in array 'offsets'"):
        check_rows(arrays(offsets=torch.tensor(offsets)), "offsets", "items")


def test_a_form_takes_no_memory() -> None:
    with forms_alone():
        table = torch.nn.Embedding(2**40, 64)
        torch.nn.init.uniform_(table.weight)
    assert Layout.of(table.weight) == Layout(torch.float32, (2**40, 64))
    assert not torch.nn.Embedding(2, 2).weight.is_meta

"""Columns and rows of an open table: ids as text, a row's name in messages, absent columns."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest
from raw_logs import CSV, FRAME, Read, refused, rows, write


@pytest.mark.parametrize("kind", [pa.int8(), pa.int64(), pa.uint64(), pa.float32(), pa.decimal128(9, 2), pa.string()])
def test_whole_numbers_of_any_type_are_the_same_id(read: Read, kind: pa.DataType) -> None:
    items = pa.array(["7", "12", "7"]).cast(kind)
    assert rows(read(pa.table({**FRAME, "item_id": items})), "item_id") == [("7",), ("12",), ("7",)]


def test_a_row_in_a_folder_is_named_with_its_file(read: Read, tmp_path: Path) -> None:
    write(tmp_path / "a.csv", CSV)
    write(tmp_path / "b.csv", CSV + "u9,i9,later\n")
    refused(read, tmp_path, r"row 4 of b.csv \('later'\)")


def test_a_named_column_that_is_absent(read: Read) -> None:
    refused(read, pa.table(FRAME), "no column 'visit'.*columns.session_id", {"session_id": "visit"})

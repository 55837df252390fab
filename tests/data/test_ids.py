"""One definition of the text of an id: what a column gives when it is read, and what a value gives when it is asked."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any
from uuid import UUID

import numpy as np
import pyarrow as pa
import pytest
from engines import engine
from hypothesis import given
from hypothesis import strategies as st

from segue.data.ids import id_text
from segue.data.log.tabular import as_text, column_types


def read(values: list[Any], kind: pa.DataType | None = None) -> list[str | None]:
    """The texts that reading gives a column of these values."""
    connection = engine()
    connection.register("frame", pa.table({"id": pa.array(values, kind)}))
    text = as_text("id", column_types(connection, "frame")["id"])
    return [row for (row,) in connection.execute(f"SELECT {text} FROM frame").fetchall()]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("12", "12"),
        ("12.0", "12.0"),
        (" 12 ", " 12 "),
        (12, "12"),
        (12.0, "12"),
        (-0.0, "0"),
        (12.5, "12.5"),
        (True, "true"),
        (np.int8(12), "12"),
        (np.uint64(2**64 - 1), "18446744073709551615"),
        (np.float32(0.1), "0.1"),
        (np.float32(12), "12"),
        (np.bool_(False), "false"),
        (np.str_("a"), "a"),
        (1e18, "1e+18"),
        (Decimal("12.00"), "12"),
        (Decimal("12.50"), "12.5"),
        (UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        (date(2024, 1, 31), "2024-01-31"),
        (pa.scalar(12.0), "12"),
        ("é".encode(), "é"),
    ],
)
def test_the_text_of_an_id(value: Any, text: str) -> None:
    assert id_text(value) == text


def test_what_is_missing_has_no_text() -> None:
    pandas = pytest.importorskip("pandas")
    missing = [None, "", b"", float("nan"), np.float32("nan"), Decimal("nan"), pa.scalar(None)]
    assert [id_text(value) for value in [*missing, pandas.NA, pandas.NaT]] == [None] * (len(missing) + 2)


@given(st.lists(st.floats(allow_nan=True, allow_infinity=True), min_size=1))
def test_doubles_are_read_as_they_are_asked(values: list[float]) -> None:
    assert read(values, pa.float64()) == [id_text(value) for value in values]


@given(st.lists(st.floats(width=32, allow_nan=True, allow_infinity=True), min_size=1))
def test_floats_are_read_as_they_are_asked(values: list[float]) -> None:
    column = np.array(values, dtype=np.float32)
    assert read(column.tolist(), pa.float32()) == [id_text(value) for value in column]


@given(st.lists(st.decimals(-(10**9), 10**9, places=3), min_size=1))
def test_decimals_are_read_as_they_are_asked(values: list[Decimal]) -> None:
    assert read(values, pa.decimal128(20, 3)) == [id_text(value) for value in values]


@given(st.lists(st.one_of(st.none(), st.integers(-(2**63), 2**63 - 1)), min_size=1))
def test_whole_numbers_are_read_as_they_are_asked(values: list[int | None]) -> None:
    assert read(values, pa.int64()) == [id_text(value) for value in values]


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")), min_size=1))
def test_texts_are_read_as_they_are_asked(values: list[str]) -> None:
    assert read(values, pa.string()) == [id_text(value) for value in values]


def test_uuids_truths_and_days_are_read_as_they_are_asked() -> None:
    for values in ([UUID(int=1), None, UUID(int=2**100)], [True, False, None], [date(2024, 1, 31), None]):
        assert read(values) == [id_text(value) for value in values]

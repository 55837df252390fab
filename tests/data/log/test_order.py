"""`columns.order`: a column orders the events of one time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from checked_logs import warned
from raw_logs import Read, rows

from segue.data.log.check import check_log
from segue.errors import ConfigError, LogError
from segue.settings import ColumnsSettings, compose


def baskets(order: list[Any]) -> pa.Table:
    size = len(order)
    return pa.table(
        {"user_id": ["u"] * size, "item_id": list("abcdef")[:size], "timestamp": ["2024-01-01"] * size, "place": order}
    )


@pytest.mark.parametrize(
    ("order", "items", "kind"),
    [
        (["10", "9", "100"], "bac", "numbers"),
        ([2.5, -1.0, 0.0], "bca", "numbers"),
        (["9007199254740993", "9007199254740992", "1"], "cba", "numbers"),
        (["10", "9", "x"], "abc", "text"),
        ([1, 1, 0], "cab", "numbers"),
    ],
)
def test_the_events_of_one_time_follow_the_column(read: Read, order: list[Any], items: str, kind: str) -> None:
    log = read(baskets(order), {"order": "place"})
    assert "".join(item for (item,) in rows(log, "item_id")) == items
    assert log.facts.order == f"column 'place' as {kind}, then rows of the source"
    assert log.facts.has_order


def test_time_comes_before_the_column(read: Read) -> None:
    table = baskets([3, 2, 1]).set_column(2, "timestamp", pa.array(["2024-01-01", "2024-01-02", "2024-01-02"]))
    log = read(table, {"order": "place"})
    order = log.connection.execute("SELECT item_id FROM log ORDER BY time, event_row").fetchall()
    assert order == [("a",), ("c",), ("b",)]


def test_an_order_that_is_missing_is_refused_or_left_out(read: Read) -> None:
    with pytest.raises(LogError, match="column 'place' is null or empty in 1 of 3 rows, first in row 2"):
        read(baskets([1, None, 2]), {"order": "place"})
    assert read(baskets([1, None, 2]), {"order": "place"}, drop_invalid=True).facts.rows_dropped == 1


def test_a_column_that_is_not_there_is_named(read: Read) -> None:
    with pytest.raises(LogError, match=r"did you mean 'place'\? map it with --set columns.order=place"):
        read(baskets([1, 2]), {"order": "plac"})
    with pytest.raises(ConfigError, match=r"columns\.order"):
        ColumnsSettings.parse({"order": ""}, "columns")


def test_nothing_is_said_against_an_order_that_is_given(tmp_path: Path) -> None:
    report = check_log(baskets([3, 1, 2]), compose({"columns": {"order": "place"}}), tmp_path)
    assert not warned(report, "shuffle")
    assert warned(check_log(baskets([3, 1, 2]), compose({}), tmp_path), "columns.order")

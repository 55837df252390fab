"""The right to print an order: the full model beside popularity."""

from __future__ import annotations

from pathlib import Path

import pytest
from paper_rows import brief, rows_of, with_ranks

from segue.paper import order
from segue.paper import table2 as comparison
from segue.paper.rows import Row

USERS = [f"u{number:02d}" for number in range(20)]
BEHIND = {user: [1 if number == 0 else 11 + number] for number, user in enumerate(USERS)}
LEVEL = {user: [1 if number in (1, 2) else 11 + number] for number, user in enumerate(USERS)}
AHEAD = {user: [1 + number % 9] for number, user in enumerate(USERS)}


@pytest.fixture
def popularity(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Row:
    row = with_ranks(tmp_path / "popularity", BEHIND)
    monkeypatch.setattr(order, "measured", lambda plan, wanted: {order.POPULARITY: row})
    return row


def test_a_model_above_popularity_is_ordered(tmp_path: Path, popularity: Row) -> None:
    found = order.standing(brief(tmp_path), "full", with_ranks(tmp_path / "full", AHEAD))
    assert found.passed
    assert found.caption == []
    rows = rows_of(full=0.4, less=0.3)
    assert list(found.table(rows, "setting").rows) == ["full", "less"]
    assert found.facts()["ordered"] is True


@pytest.mark.parametrize("ranks", [LEVEL, BEHIND])
def test_a_model_level_with_popularity_is_not(tmp_path: Path, popularity: Row, ranks: dict[str, list[int]]) -> None:
    """Two users more than popularity has are no difference."""
    full = with_ranks(tmp_path / "full", ranks)
    found = order.standing(brief(tmp_path), "full", full)
    assert not found.passed
    (said,) = found.caption
    assert said.startswith("Not ordered: the full model has not passed popularity (HR@10 +")
    assert "over 20 users" in said
    assert list(found.table({**rows_of(less=0.9), "full": full}, "setting").rows) == ["full", "popularity"]
    facts = found.facts()
    assert (facts["ordered"], facts["full_model"]) == (False, "full")
    assert facts["difference"]["metric"] == "HR@10"
    assert facts["difference"]["p"] > 0.05


def test_a_model_below_popularity_is_not_ordered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, popularity: Row
) -> None:
    above = with_ranks(tmp_path / "above", AHEAD)
    monkeypatch.setattr(order, "measured", lambda plan, wanted: {order.POPULARITY: above})
    found = order.standing(brief(tmp_path), "full", with_ranks(tmp_path / "full", BEHIND))
    assert found.difference is not None
    assert found.difference.significant
    assert not found.passed


def test_a_model_that_failed_leaves_the_table_as_it_is(tmp_path: Path, popularity: Row) -> None:
    found = order.standing(brief(tmp_path), "full", Row(reason="no graph"))
    assert found.passed
    assert found.facts()["difference"] is None


def test_the_comparison_keeps_its_rows_and_loses_its_marks() -> None:
    rows = {label: Row(reason="missing") for label in comparison.BASELINES} | rows_of(**{"SR-GNN": 0.2, "HG-GNN": 0.1})
    marked = comparison._table(rows, {})
    assert {cell.mark for row in marked.rows.values() for cell in row} == {"", "best"}
    plain = marked.unmarked()
    assert {cell.mark for row in plain.rows.values() for cell in row} == {""}
    assert {label: [cell.text for cell in row] for label, row in plain.rows.items()} == {
        label: [cell.text for cell in row] for label, row in marked.rows.items()
    }

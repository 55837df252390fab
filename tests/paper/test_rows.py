"""The rows of the paper's tables: shared runs, seeds, reasons, identical events."""

from __future__ import annotations

from pathlib import Path

import pytest
from paper_rows import brief, rows_of

from segue.errors import UserMistake
from segue.paper.rows import Row, baseline, hg_gnn, measured, metric_table
from segue.settings import Nested


def test_a_run_that_fails_is_a_row_with_its_reason(tmp_path: Path) -> None:
    wrong: Nested = {"model": {"name": "markov", "order": "\nno"}}
    rows = measured(
        brief(tmp_path), {"none": [baseline("no_such_model")], "wrong": [wrong], "Markov": [baseline("markov")]}
    )
    assert rows["none"].reason.startswith("unknown model 'no_such_model'")
    assert rows["wrong"].reason.startswith("unknown setting 'model.order'")
    table = metric_table(rows)
    assert table.columns[-1] == "not measured because"
    assert [cell.text for cell in table.rows["none"]] == ["–"] * 4 + [rows["none"].reason]
    assert table.rows["Markov"][-1].text == ""
    with pytest.raises(UserMistake, match=r"no model could be measured; none: unknown model"):
        measured(brief(tmp_path), {"none": [baseline("no_such_model")], "wrong": [wrong]})


def test_a_model_whose_needs_are_not_met_says_so(tmp_path: Path) -> None:
    wish = hg_gnn(graph={"attributes": ["item.colour"]})
    rows = measured(brief(tmp_path), {"attributes": [wish], "Markov": [baseline("markov")]})
    assert "colour" in rows["attributes"].reason
    assert rows["Markov"].value("HR@10") is not None


def test_runs_with_other_settings_do_not_share_a_folder(tmp_path: Path) -> None:
    rows = measured(brief(tmp_path), {"a": [hg_gnn()], "b": [hg_gnn(graph={"sample_size": 3})], "c": [hg_gnn()]})
    folders = {label: row.measured.runs[0] for label, row in rows.items() if row.measured}
    assert folders["a"] == folders["c"] != folders["b"]


def test_a_model_without_chance_is_fitted_once(tmp_path: Path) -> None:
    rows = measured(brief(tmp_path, seeds=2), {"Markov": [baseline("markov")], "HG-GNN": [hg_gnn()]})
    assert {label: len(row.as_dict()["seeds"]) for label, row in rows.items()} == {"Markov": 1, "HG-GNN": 2}
    assert "±" in metric_table(rows).rows["HG-GNN"][0].text


def test_the_best_of_a_column_is_marked() -> None:
    table = metric_table({**rows_of(a=0.25, b=0.5), "c": Row(reason="broken")})
    assert [cell.mark for row in table.rows.values() for cell in row[:1]] == ["", "best", ""]
    assert table.rows["b"][0].text == "50.00"


def test_different_events_cannot_share_a_table(tmp_path: Path) -> None:
    wanted = {"a": [baseline("markov")], "b": [baseline("item_knn")]}
    rows = measured(brief(tmp_path), wanted)
    assert rows["a"].measured is not None
    path = rows["a"].measured.runs[0] / "evaluation" / "test.json"
    path.write_text(path.read_text().replace('"event_hash": "', '"event_hash": "0'))
    with pytest.raises(UserMistake, match="different events"):
        measured(brief(tmp_path), wanted)

"""Models trained to their end, beside the rows of an equal budget."""

from __future__ import annotations

from pathlib import Path

import small_logs
from comparisons import compare

import converged
from segue.compare import ComparisonPlan
from segue.settings import Nested

SHORT: Nested = {"training": {"max_epochs": 1, "epoch_steps": 0, "pass_steps": 0, "threads": 1}}


def test_only_the_rate_is_searched_and_nothing_is_repeated(tmp_path: Path) -> None:
    compare(tmp_path / "comparison", ["hg_gnn/paper"], ComparisonPlan(seeds=(0,), overrides=SHORT))
    rows = converged.run(small_logs.corpus(), tmp_path, ["hg_gnn/paper"], SHORT, 1)
    row = rows["hg_gnn/paper"]
    assert set(row.entry.tuned) == {"training.learning_rate"}
    assert row.entry.trials == converged.RATES
    shown = converged.table(rows, converged.equal_budget(tmp_path))
    assert list(shown.rows) == ["hg_gnn/paper", "hg_gnn/paper, equal budget"]
    cells = {label: dict(zip(shown.columns[1:], texts, strict=True)) for label, texts in shown.rows.items()}
    assert cells["hg_gnn/paper"]["learning curve"].text == "not flattened", "one epoch is a limit"
    assert cells["hg_gnn/paper, equal budget"]["learning rate"].text == "–"
    stamp = (row.runs[0] / "manifest.json").stat().st_mtime_ns
    again = converged.run(small_logs.corpus(), tmp_path, ["hg_gnn/paper"], SHORT, 1)
    assert (again["hg_gnn/paper"].runs[0] / "manifest.json").stat().st_mtime_ns == stamp
    assert "| hg_gnn/paper, equal budget |" in converged.page("x", "All users.", "command", shown)


def test_without_a_comparison_the_converged_rows_stand_alone(tmp_path: Path) -> None:
    assert converged.equal_budget(tmp_path) == {}

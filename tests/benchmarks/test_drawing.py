"""What benchmarks share on their command lines."""

from __future__ import annotations

from pathlib import Path

import pytest

import drawing


def test_a_setting_that_a_benchmark_has_no_use_for_is_refused(tmp_path: Path) -> None:
    """It was once left out in silence, and the page named a model that was not measured."""
    asked = ["name", "log.csv", "--out", str(tmp_path), "--set", "model.name=sasrec"]
    with pytest.raises(SystemExit, match="--set model: this benchmark has no use for it; it takes columns, "):
        drawing.draw(drawing.parser_of(None, "name").parse_args(asked), "name")

"""Comparisons on the small log, for tests of the comparison engine and of what shows its results."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import small_logs

from segue import compare as comparison
from segue.compare import ComparisonPlan, Summary, named_models
from segue.settings import Nested

ONE_EPOCH: Nested = {"training": {"max_epochs": 1, "batch_events": 64, "threads": 1}}
UNTUNED = ComparisonPlan(seeds=(0, 1), overrides=ONE_EPOCH)
MODELS = ("gru4rec", "popularity", "markov", "item_knn")


def compare(out: Path, names: Sequence[str], plan: ComparisonPlan = UNTUNED, **how: Any) -> Summary:
    """Compare models, by name or name/preset, on the small corpus."""
    return comparison.compare(small_logs.corpus(), out, named_models(names), plan, **how)


@cache
def _home() -> TemporaryDirectory[str]:
    return TemporaryDirectory(prefix="segue-tests-")


@cache
def finished() -> tuple[Path, Summary]:
    """The folder and the table of a comparison without tuning. Not to be changed by a test."""
    out = Path(_home().name) / "comparison"
    return out, compare(out, MODELS)

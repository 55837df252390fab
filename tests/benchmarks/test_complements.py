"""Blends of a base model with others: what a weight chosen on the other half of the users gains."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import small_logs
import torch

import complements
from segue.data.corpus import Part, load


@pytest.fixture(scope="module")
def ground() -> complements.Ground:
    return complements.Ground(load(small_logs.corpus(), (Part.TRAIN, Part.VALIDATION)))


def _of_targets(ground: complements.Ground, right: np.ndarray) -> torch.Tensor:
    """Scores that put the target first where `right` [events], and last elsewhere."""
    target = torch.from_numpy(ground.events.target)
    scores = torch.zeros(len(target), ground.corpus.n_items)
    sign = torch.from_numpy(np.where(right, 1.0, -1.0)).float()
    return scores.scatter_(1, target[:, None], sign[:, None])


def test_a_model_that_knows_all_is_believed_and_one_that_knows_nothing_is_not(ground: complements.Ground) -> None:
    events = len(ground.events)
    assert set(ground.half) == {0, 1}, "both halves must hold users"
    never, always = np.zeros(events, bool), np.ones(events, bool)
    base = _of_targets(ground, never)
    perfect = complements.blend(ground, base, 2 * _of_targets(ground, always))
    assert (perfect.blended, perfect.gain, perfect.low, perfect.high) == (1.0, 1.0, 1.0, 1.0)
    none = complements.blend(ground, base, _of_targets(ground, never))
    assert (none.gain, none.weights) == (0.0, (0.0, 0.0))


def test_no_user_is_measured_with_a_weight_that_they_chose(ground: complements.Ground) -> None:
    first = ground.half == 0
    base = 0.5 * _of_targets(ground, first)
    found = complements.blend(ground, base, _of_targets(ground, ~first))
    # The first half wants no blend and the second wants a heavy one; each gets what the other half wants.
    assert found.weights[0] > 0.5
    assert found.weights[1] == 0.0
    assert found.blended == 0.0


def test_a_run_trains_once_and_writes_a_row_for_each_model(tmp_path: Path) -> None:
    others = ["markov/first_order", "popularity/personal"]
    alone, blends = complements.run(small_logs.corpus(), tmp_path, "popularity/global", others)
    stamps = {path: path.stat().st_mtime_ns for path in tmp_path.glob("*/manifest.json")}
    assert len(stamps) == 3
    assert complements.run(small_logs.corpus(), tmp_path, "popularity/global", others) == (alone, blends)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.glob("*/manifest.json")} == stamps
    text = complements.page("x", "All users.", "command", "popularity/global", alone, blends)
    assert "| markov/first_order | " in text

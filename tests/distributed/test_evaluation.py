"""Two processes measure what one measures, each half of the events, and both know all of it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from programs_of_ranks import measure, measured_world
from ranks import played

from segue.data.corpus import Part
from segue.distributed.processes import ALONE
from segue.evaluation.full_ranking import evaluation_sessions
from segue.nn.losses import events_per_chunk


def test_the_measurements_are_the_same_bits(tmp_path: Path) -> None:
    (tmp_path / "alone").mkdir()
    measure(ALONE, tmp_path / "alone")
    played("measure", tmp_path)
    first, second = (json.loads((tmp_path / f"{rank}.json").read_text()) for rank in range(2))
    assert first == second == json.loads((tmp_path / "alone" / "0.json").read_text())


def test_the_world_has_more_chunks_than_processes() -> None:
    sessions, _ = evaluation_sessions(measured_world(), Part.TEST)
    assert (sessions.lengths - 1).sum() > 3 * events_per_chunk(measured_world().n_items)


@pytest.mark.parametrize("text", ["", "a", "é€"])
def test_one_process_hears_itself(text: str) -> None:
    assert ALONE.texts(text) == [text]

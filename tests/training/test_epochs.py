"""The record of the epochs that a training leaves."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from training_runs import busy, records, scripted, trainer
from worlds import TRAIN

from segue.training.epochs import EpochRecord, flattened, read_epochs

KEYS = ["epoch", "events", "seconds", "loss", "learning_rate", "validation", "best", "ended"]


METRICS = {"HR@5", "HR@10", "HR@20", "MRR@5", "MRR@10", "MRR@20", "NDCG@5", "NDCG@10", "NDCG@20"}


def test_metrics_have_exactly_the_promised_keys(tmp_path: Path) -> None:
    run = trainer(tmp_path)
    run.run()
    found = records(tmp_path)
    assert [list(record) for record in found] == [KEYS] * 3
    assert [record["epoch"] for record in found] == [1, 2, 3]
    assert all(record["events"] == run.loader.n_events for record in found)
    assert all(set(record["validation"]) == METRICS for record in found)
    assert all(0 <= value <= 1 for record in found for value in record["validation"].values())
    assert all(record["seconds"] > 0 and record["learning_rate"] == 0.01 for record in found)
    assert found[0]["best"] is True


@pytest.mark.parametrize(
    ("limits", "ended", "flat"),
    [
        ({"max_epochs": 9, "patience": 2}, "patience", True),
        ({"max_epochs": 3, "patience": 2}, "patience", True),  # both at once: nothing would have come
        ({"max_epochs": 2, "patience": 2}, "epochs", False),
        ({"max_epochs": 9, "max_minutes": 1e-9}, "minutes", False),
    ],
)
def test_the_last_record_says_what_ended_the_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limits: dict[str, Any], ended: str, flat: bool
) -> None:
    scripted(monkeypatch, [0.5] + [0.1] * 9)
    trainer(tmp_path, **limits).run()
    found = records(tmp_path)
    assert [record["ended"] for record in found] == [""] * (len(found) - 1) + [ended]
    assert flattened(read_epochs(tmp_path)) is flat


def test_whether_a_curve_flattened_may_be_unknown(tmp_path: Path) -> None:
    trainer(tmp_path, busy(TRAIN)).run()
    assert flattened(read_epochs(tmp_path)) is None, "without validation there is no curve"
    assert flattened([]) is None
    earlier = EpochRecord(1, 10, 1.0, 0.5, 0.1, {"HR@10": 0.5}, True)
    assert flattened([earlier]) is None, "records of an earlier Segue do not say what ended them"
    assert flattened([replace(earlier, ended="patience")]) is True

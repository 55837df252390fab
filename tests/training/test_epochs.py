"""The record of the epochs that a training leaves."""

from __future__ import annotations

from pathlib import Path

from training_runs import records, trainer

KEYS = ["epoch", "events", "seconds", "loss", "learning_rate", "validation", "best"]


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

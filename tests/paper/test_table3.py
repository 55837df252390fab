"""Table 3: what is timed."""

from __future__ import annotations

from pathlib import Path

import pytest
import small_logs
from worlds import TEST

from segue.data.corpus import load
from segue.paper import table3 as timing
from segue.paper.plan import Plan


def test_the_timing_is_of_equal_sizes_and_means_over_epochs(tmp_path: Path) -> None:
    sheet = timing.runtime(Plan(small_logs.corpus(), tmp_path, own={"training": {"threads": 1}}))
    facts = sheet.facts["rows"]["HG-GNN"]
    assert facts["settings"]["model"]["dim"] == 128
    assert facts["settings"]["training"]["batch_events"] == 512
    assert facts["epochs"] == len(facts["epoch_records"]) == 10
    mean = sum(record["seconds"] for record in facts["epoch_records"]) / 10
    assert facts["seconds_per_epoch"] + facts["collating"] == pytest.approx(mean)
    assert 0 < facts["collating"] < mean
    assert all(not record["validation"] for record in facts["epoch_records"])
    corpus = load(small_logs.corpus())
    assert facts["test_events"] == int((corpus.select(TEST).lengths - 1).sum())
    assert facts["events_per_epoch"] == int((corpus.train.lengths - 1).sum())
    assert not list((tmp_path / "timing").glob("*.partial"))
    assert timing.runtime(Plan(small_logs.corpus(), tmp_path, own={"training": {"threads": 1}})) == sheet

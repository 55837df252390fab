"""The plan of a preparation: each step as SQL with its rows, exact for a small log, scaled up from a sample."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pytest
from small_corpora import ROWS, log_of, small, visits

from segue.data.preparation.plan import plan
from segue.data.preparation.prepare import prepare
from segue.data.tables import Made
from segue.errors import ConfigError
from segue.pipeline.preparing import Wish, prepare_log


def rows(steps: list[Made], table: str) -> int:
    """The rows of the last version of a table."""
    return next(step.rows for step in reversed(steps) if step.name == table)


def test_the_plan_of_a_small_log_is_exact(tmp_path: Path) -> None:
    steps = plan(log_of(ROWS), small(), tmp_path / "scratch")
    sizes = prepare(log_of(ROWS), tmp_path / "corpus", small())["sizes"]
    assert rows(steps, "vocabulary") == sizes["items"]
    assert rows(steps, "owners") == sizes["users"]
    assert rows(steps, "numbered") == sum(sizes[f"{part}_sessions"] for part in ("train", "validation", "test"))
    assert rows(steps, "events") == sum(sizes[f"{part}_events"] for part in ("train", "validation", "test"))


def test_every_step_is_sql_that_runs(tmp_path: Path) -> None:
    """Run in their order, on the log alone, the steps give the tables that the plan promises."""
    steps = plan(log_of(ROWS), small(), tmp_path)
    with duckdb.connect() as connection:
        log = log_of(ROWS)
        connection.register("frame", log)
        connection.execute(
            "CREATE TABLE log AS SELECT user_id, item_id, timestamp AS time, CAST(NULL AS VARCHAR) AS session_id, "
            "CAST(NULL AS VARCHAR) AS event_type, row_number() OVER () AS event_row FROM frame"
        )
        for step in steps:
            connection.execute(f"CREATE OR REPLACE TABLE {step.name} AS {step.query}")
            assert connection.execute(f"SELECT count(*) FROM {step.name}").fetchall() == [(step.rows,)], step.name


def test_a_sample_is_scaled_up(tmp_path: Path) -> None:
    users = [f"user{number}" for number in range(200)]
    log = log_of([row for user in users for row in visits(user, "a b c", "b c d", "a c d")])
    whole = plan(log, small(), tmp_path / "whole")
    sampled = plan(log, small(), tmp_path / "sampled", sample=len(log) // 4)
    for table in ("user_codes", "events", "numbered", "owners"):
        assert rows(sampled, table) == pytest.approx(rows(whole, table), rel=0.02), table
    assert rows(sampled, "item_codes") == rows(whole, "item_codes") == 4
    assert rows(sampled, "user_codes") != 50, "the sample itself"


def test_a_corpus_needs_a_place(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="is no address of a storage"):
        prepare_log("log.csv", "nosuch://bucket/corpus", {}, Wish())

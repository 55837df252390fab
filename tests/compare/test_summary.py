"""The table of a comparison: means over seeds, costs, tests over users, the best baseline, damaged files."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import small_logs
from comparisons import compare, finished
from scipy import stats

from segue.compare import ComparisonPlan, standing
from segue.compare.summary import _best_baseline
from segue.errors import ArtifactError, UserMistake
from segue.evaluation.metrics import METRICS, averages
from segue.pipeline.measurement import read_evaluation
from segue.training.epochs import read_epochs, training_facts


def test_the_json_shape_is_that_of_the_rows() -> None:
    _, summary = finished()
    written = json.loads(json.dumps(summary.as_dict()))
    counts = read_evaluation(summary.rows["popularity/global"].runs[0])
    row = written["models"]["popularity/global"]
    assert (written["events"], written["users"]) == (counts.events, counts.users)
    assert row["metrics"]["HR@10"] == {"mean": counts.metrics["HR@10"], "sd": None}
    assert counts.coverage is not None
    assert row["coverage"]["coverage@20"]["mean"] == counts.coverage["coverage@20"]
    assert row["settings"]["model"] == {"name": "popularity", "preset": "global"}
    assert set(row) == {
        *("runs", "metrics", "metrics_by_user", "coverage", "seconds", "parameters"),
        *("trained_events", "trials", "tuned", "settings", "validation", "flattened"),
    }
    assert set(written) == {
        *("plan", "split", "protocol", "history", "masked", "events", "sessions", "users", "corpus_fingerprint"),
        *("event_hash", "models", "unfinished", "failed", "subject", "best_baseline", "significance", "verdicts"),
        "slices",
        "passed_popularity",
    }


def test_seeds_spread() -> None:
    _, summary = finished()
    row = summary.rows["gru4rec/full_softmax"]
    values = [read_evaluation(run).metrics_by_user["MRR@10"] for run in row.runs]
    assert values[0] != values[1]
    assert row.metrics_by_user["MRR@10"].mean == pytest.approx(np.mean(values))
    assert row.metrics_by_user["MRR@10"].sd == pytest.approx(np.std(values, ddof=1))


def test_costs_are_told() -> None:
    _, summary = finished()
    trained, counted = summary.rows["gru4rec/full_softmax"], summary.rows["markov/first_order"]
    items = 4 * small_logs.TOPICS
    assert trained.costs[0].parameters == items * 128 + items + 3 * 128 * (128 + 128 + 2)
    assert counted.costs[0].parameters == 0
    assert all(row.seconds[what].mean > 0 for row in (trained, counted) for what in ("training", "inference"))
    assert trained.entry.seconds == 0
    run = trained.runs[0]
    assert trained.trained_events == read_epochs(run, "refit")[0].events > 0
    assert counted.trained_events == 0
    assert trained.entry.validation == training_facts(run).validation["HR@10"]
    assert 0 < counted.entry.validation <= 1


def test_the_tests_are_over_users_and_seeds_are_averaged_first() -> None:
    _, summary = finished()
    assert summary.subject == "gru4rec/full_softmax"
    assert set(summary.significance) == {"popularity/global", "markov/first_order", "item_knn/session"}
    means = {}
    for label, row in summary.rows.items():
        tables = [pq.read_table(run / "evaluation" / "test.ranks.parquet").to_pandas() for run in row.runs]
        by_seed = [
            table.assign(value=METRICS["MRR@10"](table["rank"].to_numpy())).groupby("user")["value"].mean()
            for table in tables
        ]
        means[label] = sum(by_seed) / len(by_seed)
    difference = means["gru4rec/full_softmax"] - means["popularity/global"]
    found = summary.significance["popularity/global"]["MRR@10"]
    assert found.by_user == pytest.approx(difference.mean())
    assert found.t_test == pytest.approx(stats.ttest_1samp(difference, 0).pvalue)
    assert found.t_test_holm > found.t_test


def test_the_best_baseline_is_chosen_on_validation_and_not_on_test() -> None:
    """Test and validation are made to disagree: the choice has to follow validation."""
    _, summary = finished()
    subject = "gru4rec/full_softmax"
    others = [label for label in summary.rows if label != subject]
    for chosen in others:
        rows = {
            label: replace(row, entry=replace(row.entry, validation=0.9 if label == chosen else 0.1))
            for label, row in summary.rows.items()
        }
        assert _best_baseline(subject, rows) == chosen
    validation = {label: summary.rows[label].entry.validation for label in others}
    assert summary.best_baseline == max(others, key=lambda label: validation[label])


def test_another_preset_of_the_same_model_is_no_baseline(tmp_path: Path) -> None:
    own = ["popularity", "popularity/personal", "popularity/session"]
    plan = ComparisonPlan(seeds=(0,))
    assert compare(tmp_path / "all", [*own, "item_knn"], plan).best_baseline == "item_knn/session"
    assert compare(tmp_path / "own", own, plan).best_baseline in {"popularity/personal", "popularity/session"}


def test_another_preset_is_no_baseline_however_good_it_is() -> None:
    _, summary = finished()
    subject, twin = "gru4rec/full_softmax", "gru4rec/official"
    own = summary.rows[subject]
    rows = {**summary.rows, twin: replace(own, entry=replace(own.entry, validation=1.1))}
    assert _best_baseline(subject, rows) == summary.best_baseline
    assert _best_baseline(subject, {subject: own, twin: rows[twin]}) == twin


def test_averages_over_users_are_the_evaluators() -> None:
    _, summary = finished()
    row = summary.rows["markov/first_order"]
    table = pq.read_table(row.runs[0] / "evaluation" / "test.ranks.parquet").to_pandas()
    by_user = averages(table["rank"].to_numpy(), table["user"].astype("category").cat.codes.to_numpy())
    assert row.metrics_by_user["NDCG@5"].mean == pytest.approx(by_user["NDCG@5"])


def test_nobody_takes_the_place_of_the_first_model(tmp_path: Path) -> None:
    out = Path(shutil.copytree(finished()[0], tmp_path / "c"))
    (out / "gru4rec-full-softmax" / "seed-1" / "evaluation" / "cost.json").unlink()
    summary = standing(out)
    assert (summary.subject, summary.verdicts) == ("gru4rec/full_softmax", {})


def test_other_events_do_not_share_a_table(tmp_path: Path) -> None:
    out = Path(shutil.copytree(finished()[0], tmp_path / "c"))
    path = out / "popularity-global" / "seed-0" / "evaluation" / "test.json"
    path.write_text(path.read_text().replace('"event_hash": "', '"event_hash": "0'))
    with pytest.raises(UserMistake, match="different events"):
        standing(out)


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("entry.json", "{"),
        ("entry.json", "[]"),
        ("entry.json", '{"seconds": 1}'),
        ("seed-0/evaluation/cost.json", "{}"),
        ("seed-0/evaluation/cost.json", '{"parameters": 1, "seconds": {}}'),
        ("seed-0/evaluation/test.json", "{}"),
        ("seed-0/evaluation/test.ranks.parquet", "no Parquet"),
        ("seed-0/refit.jsonl", '{"a'),
        ("seed-0/refit.jsonl", '{"a": 1}'),
        ("failed.json", "{}"),
    ],
)
def test_a_damaged_file_is_named(tmp_path: Path, file: str, text: str) -> None:
    out = Path(shutil.copytree(finished()[0], tmp_path / "c"))
    (out / "gru4rec-full-softmax" / file).write_text(text)
    with pytest.raises(ArtifactError, match=f"cannot read .*{file.rpartition('/')[2]}"):
        standing(out)

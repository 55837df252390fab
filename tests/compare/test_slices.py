"""The first model beside the best referee of each slice."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from comparisons import finished

from segue.compare import markdown, standing, write_page
from segue.compare.slices import Standing, by_slice, referees_of
from segue.evaluation.significance import cluster_bootstrap
from segue.evaluation.slices import SLICES

SUBJECT = "gru4rec/full_softmax"
REFEREES = ["popularity/global", "markov/first_order", "item_knn/session"]


def test_referees_are_the_models_that_count() -> None:
    _, summary = finished()
    assert referees_of(SUBJECT, summary.rows) == REFEREES
    assert referees_of("markov/first_order", summary.rows) == ["popularity/global", "item_knn/session"]


def test_every_slice_names_its_best_referee() -> None:
    _, summary = finished()
    frames = {
        label: [pq.read_table(run / "evaluation" / "test.ranks.parquet").to_pandas() for run in row.runs]
        for label, row in summary.rows.items()
    }
    assert list(summary.slices) == list(SLICES)
    for kind, standings in summary.slices.items():
        own = frames[SUBJECT][0][f"slice_{kind}"]
        assert list(standings) == [name for name in SLICES[kind] if (own == name).any()]
        for name, one in standings.items():
            values = {
                label: np.mean([(frame[frame[f"slice_{kind}"] == name]["rank"] <= 10).mean() for frame in seeds])
                for label, seeds in frames.items()
            }
            assert (one.events, one.users) == ((own == name).sum(), frames[SUBJECT][0]["user"][own == name].nunique())
            assert one.value == pytest.approx(values[SUBJECT])
            assert one.referee_value == pytest.approx(max(values[label] for label in REFEREES))
            assert one.referee_value == pytest.approx(values[one.referee])
            assert one.difference == pytest.approx(one.value - one.referee_value)
            assert one.interval[0] <= one.difference + 1e-9
            assert one.difference <= one.interval[1] + 1e-9
    written = json.loads(json.dumps(summary.as_dict()))["slices"]["click"]["later"]
    assert written == {
        **{key: getattr(summary.slices["click"]["later"], key) for key in list(written)[:6]},
        "interval": list(summary.slices["click"]["later"].interval),
        "verdict": summary.slices["click"]["later"].verdict,
    }


def test_the_interval_is_that_of_the_means_of_users() -> None:
    _, summary = finished()
    hits = {}
    for label, row in summary.rows.items():
        seeds = [pq.read_table(run / "evaluation" / "test.ranks.parquet").to_pandas() for run in row.runs]
        later = seeds[0]["slice_click"] == "later"
        hits[label] = np.mean([seed["rank"][later] <= 10 for seed in seeds], axis=0)
        user = seeds[0]["user"][later]
    one = summary.slices["click"]["later"]
    by_user = (pd.Series(hits[SUBJECT] - hits[one.referee], index=user)).groupby(level=0).agg(["mean", "size"])
    expected = cluster_bootstrap(by_user[["mean"]].to_numpy(), by_user["size"].to_numpy())[:, 0]
    assert one.interval == pytest.approx(tuple(expected))
    assert one.interval[0] < one.interval[1]


def test_a_verdict_needs_more_than_noise() -> None:
    level = Standing(10, 6, 0.5, "markov", 0.4, 0.1, (-0.01, 0.2))
    assert level.verdict == "level"
    assert replace(level, interval=(0.01, 0.2)).verdict == "above"
    assert replace(level, interval=(-0.2, -0.01)).verdict == "below"
    assert replace(level, users=5, interval=(-0.2, -0.01)).verdict == "too few users"


def test_tables_show_the_slices(tmp_path: Path) -> None:
    _, summary = finished()
    one = summary.slices["click"]["first of a known user"]
    line = next(line for line in markdown(summary).splitlines() if "first of a known user" in line)
    assert f"| {one.referee} | {100 * one.referee_value:.2f} | {100 * one.difference:+.2f} |" in line.replace("\\", "")
    assert line.endswith(f"| {one.verdict} |")
    write_page(tmp_path / "report.html", summary)
    assert "Beside the best referee" in (tmp_path / "report.html").read_text()


def test_without_a_referee_or_slices_there_is_no_such_table(tmp_path: Path) -> None:
    _, summary = finished()
    assert by_slice(SUBJECT, {SUBJECT: summary.rows[SUBJECT]}) == {}
    out = Path(shutil.copytree(finished()[0], tmp_path / "c"))
    for path in out.glob("*/seed-*/evaluation/test.ranks.parquet"):
        pq.write_table(pq.read_table(path, columns=["user", "session", "position", "target", "rank"]), path)
    older = standing(out)
    assert older.slices == {}
    assert older.verdicts == summary.verdicts
    assert "best referee" not in markdown(older)
    write_page(tmp_path / "report.html", older)
    assert "Beside the best referee" not in (tmp_path / "report.html").read_text()

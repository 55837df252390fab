"""``segue replay`` on the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import small_logs
from mistakes import Refused

from segue.cli import app as cli

Capture = pytest.CaptureFixture[str]


def replay(capsys: Capture, *arguments: object) -> tuple[str, str]:
    assert cli.run(["replay", *map(str, arguments)]) == 0
    return capsys.readouterr()


def test_the_test_part_is_played_where_no_log_is_named(capsys: Capture) -> None:
    model = small_logs.fitted_model()
    found = json.loads(replay(capsys, model, "--json")[0])
    stored = json.loads((model / "evaluation" / "test.json").read_text())
    assert found["metrics"] == stored["metrics"]
    assert found["warnings"] == []
    assert (found["mode"], found["history"], found["measured"]) == ("frozen", "frozen", stored["events"])
    assert set(found) == {
        "model", "mode", "history", "masked", "source", "events", "measured", "unknown", "dropped", "metrics",
        "warnings",
    }  # fmt: skip


def test_a_log_is_read_with_other_columns_and_its_bad_rows_are_said(capsys: Capture, tmp_path: Path) -> None:
    rows = [("first1", "2025-01-01T09:00:00Z", "x"), ("second1", "2025-01-01T09:01:00Z", "x"), ("b1", "soon", "x")]
    log = small_logs.write_csv(tmp_path / "later.csv", rows, ("what", "timestamp", "user_id"))
    out, err = replay(capsys, small_logs.fitted_model(), log, "--live", "--set", "columns.item_id=what")
    assert "1 rows left out: unreadable time" in err
    assert "hg_gnn/segue, live" in out
    assert "rolling" in out


def test_events_from_before_the_end_of_training_are_said(capsys: Capture) -> None:
    out, err = replay(capsys, small_logs.fitted_model(), small_logs.log(), "--json")
    found = json.loads(out)
    assert f" of {found['events']:,} events are not later than the end of training, 20" in found["warnings"][0]
    assert f"warning: {found['warnings'][0]}" in err.replace("\n", " ")


def test_sessions_with_ids_that_the_server_cuts_are_said(capsys: Capture, tmp_path: Path) -> None:
    model = small_logs.fitted_model()
    days = ("01T09:00:00", "01T09:01:00", "02T09:00:00", "02T09:01:00", "05T09:00:00")
    for header, wanted in (("session_id", ["sessions were cut in 2 places, where a session id pauses for"]), ("x", [])):
        rows = [("u", f"first{n}", f"2099-01-{day}Z", "s") for n, day in enumerate(days)]
        log = small_logs.write_csv(tmp_path / f"{header}.csv", rows, ("user_id", "item_id", "timestamp", header))
        told = json.loads(replay(capsys, model, log, "--json")[0])["warnings"]
        assert [warning[: len(wanted[0])] for warning in told] == wanted


def test_mistakes_end_in_one_line(refused: Refused, tmp_path: Path) -> None:
    counting = small_logs.counting_model("markov", "")
    assert "no memory of counts that could be live: leave --live out" in refused("replay", counting, "--live")
    alone = small_logs.write_csv(tmp_path / "a.csv", [("u", "first1", "2025-01-01T09:00:00Z")])
    told = refused("replay", small_logs.fitted_model(), alone, "--json")
    assert told == f"{alone}: no event follows another of its session; there is nothing to measure"


def test_what_is_learned_needs_a_place_before_anything_is_played(
    refused: Refused, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("segue.replay.run.play", None)  # whatever is played fails
    asked = ("replay", small_logs.fitted_model(), "--live", "--learn")
    assert "there is no folder" in refused(*asked, tmp_path / "none" / "weights.json")
    assert "is a folder; name a file" in refused(*asked, tmp_path)

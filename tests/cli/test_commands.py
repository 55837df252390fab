"""The command line as scripts see it: JSON on stdout alone, progress on stderr, exit codes."""

from __future__ import annotations

import html
import io
import json
import logging
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import small_logs
from rich.console import Console

import segue
from segue.cli import app as cli
from segue.cli import console, progress
from segue.data.corpus import load
from segue.evaluation.metrics import METRICS
from segue.pipeline import fit as pipeline
from segue.pipeline import measurement as measuring

COMMANDS = (
    "check", "prepare", "stats", "train", "evaluate", "recommend", "serve", "replay", "audit", "forget", "update",
    "export", "fit", "tune", "compare", "study", "demo", "doctor",
)  # fmt: skip
ROWS = small_logs.rows()
SETTINGS = small_logs.as_arguments(small_logs.LEARNED)
ONE_EPOCH = [*SETTINGS, "--set", "training.max_epochs=1"]
Capture = pytest.CaptureFixture[str]


def run(capsys: Capture, *arguments: object) -> tuple[str, str]:
    """What a command that succeeds says on stdout and on stderr."""
    code = cli.run([str(argument) for argument in arguments])
    said = capsys.readouterr()
    assert code == 0, said.err
    return said.out, said.err


def as_json(capsys: Capture, *arguments: object) -> Any:
    out, _ = run(capsys, *arguments, "--json")
    return json.loads(out, parse_constant=pytest.fail)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_with_an_example(capsys: Capture, command: str) -> None:
    out, err = run(capsys, command, "--help")
    assert re.search(rf"Example: segue {command} \S+", out)
    assert err == ""


@pytest.mark.parametrize("command", [command for command in COMMANDS if command not in ("demo", "doctor", "serve")])
def test_every_command_takes_settings_and_answers_in_json(capsys: Capture, command: str) -> None:
    """The demo is for people alone, a server has settings of its own, the doctor looks at the machine, and what makes a
    model of a model takes that one's settings."""
    out, _ = run(capsys, command, "--help")
    assert "--json" in out
    if command in ("forget", "update"):
        return
    assert "--config" in out
    assert "--set" in out


def test_the_commands_are_these(capsys: Capture) -> None:
    out, _ = run(capsys, "--help")
    commands = cli.application().registered_commands
    assert tuple(command.callback.__name__ for command in commands if command.callback) == COMMANDS
    assert all(f" {command} " in out for command in COMMANDS)
    assert run(capsys)[0] == out


def test_check(capsys: Capture) -> None:
    report = as_json(capsys, "check", small_logs.log())
    assert (report["rows"], report["users"], report["items"]) == (864, small_logs.USERS, 4 * small_logs.TOPICS)
    assert report["timestamp_format"].startswith("ISO 8601 with zone")
    out, _ = run(capsys, "check", small_logs.log(), "--set", "sessions.gap=30min")
    assert "864 rows" in out


def test_check_knows_the_data_sets(capsys: Capture) -> None:
    """They are looked up by name, not opened as files called ``reddit:``."""
    assert cli.run(["check", "reddit:"]) == 2
    assert "reddit:PATH" in capsys.readouterr().err


def test_prepare_and_stats(capsys: Capture, tmp_path: Path) -> None:
    out = tmp_path / "corpus"
    manifest = as_json(capsys, "prepare", small_logs.log(), "--out", out, "--items", small_logs.items_file(), *SETTINGS)
    assert manifest["corpus"] == str(out)
    assert manifest["sizes"]["items"] == 32
    assert manifest["fingerprint"] == load(out).fingerprint
    rows = as_json(capsys, "stats", out)
    assert (rows["No. of users"], rows["No. of items"]) == (small_logs.USERS, 32)
    text, _ = run(capsys, "stats", out)
    assert re.search(r"No\. of items +32\b", text)
    text, _ = run(capsys, "prepare", small_logs.log(), "--out", out, "--overwrite", *SETTINGS)
    assert str(out) in text


def test_drop_invalid(capsys: Capture, tmp_path: Path) -> None:
    rows = [*small_logs.rows(), ("user00", "", "2024-01-01T09:00:00Z")]
    log = small_logs.write_csv(tmp_path / "log.csv", rows)
    manifest = as_json(capsys, "prepare", log, "--out", tmp_path / "c", "--drop-invalid", *SETTINGS)
    assert manifest["log"]["rows_dropped"] == 1


def test_train_and_evaluate(capsys: Capture, tmp_path: Path) -> None:
    out = tmp_path / "model"
    facts = as_json(capsys, "train", small_logs.corpus(), "--out", out, *ONE_EPOCH)
    assert facts["model"] == str(out)
    assert (facts["label"], facts["trained_on"], facts["epochs"]) == ("hg_gnn/segue", ["train"], 1)
    for split in ("test", "validation"):
        result = as_json(capsys, "evaluate", out, "--split", split)
        assert result["split"] == split
        assert result == measuring.read_evaluation(out, split).as_dict()
    rolling = as_json(capsys, "evaluate", out, "--history", "rolling", "--corpus", small_logs.corpus())
    assert rolling["history"] == "rolling"
    same = as_json(capsys, "evaluate", out, "--set", "evaluation.history=rolling", "--set", "training.seed=3")
    assert same == rolling
    text, _ = run(capsys, "evaluate", out)
    assert "HR@10" in text
    assert re.search(r"split +test", text)
    text, _ = run(capsys, "train", small_logs.corpus(), "--out", out, "--overwrite", "--refit", *ONE_EPOCH)
    assert re.search(r"epochs +1", text)


def test_fit(capsys: Capture, tmp_path: Path) -> None:
    out = tmp_path / "model"
    popular = ["--set", "model.name=popularity"]
    result = as_json(capsys, "fit", small_logs.log(), "--out", out, "--refit", "--final", *popular)
    assert result["trained_on"] == ["train", "validation", "test"]
    assert result["evaluation"] == measuring.read_evaluation(out).as_dict()
    text, err = run(capsys, "fit", small_logs.log(), "--out", out, "--overwrite", *popular)
    assert "popularity/global" in text
    assert err.splitlines()[-1] == f"model: {out}   report: {out / 'report.html'}"


OPEN = small_logs.as_arguments(
    {key: small_logs.SMALL[key] for key in ("sessions", "filters", "preparation")}
    | {"training": {"batch_events": 64, "threads": 1, "max_epochs": 1}}
)
"""Settings that leave the model open."""


def test_fit_says_what_it_chooses(
    capsys: Capture, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(logging.getLogger("segue"), "propagate", True)
    caplog.set_level(logging.INFO, logger="segue")
    choices = as_json(capsys, "fit", small_logs.log(), "--out", tmp_path / "m", *OPEN)["choices"]
    assert all(list(choice) == ["setting", "value", "reason"] for choice in choices)
    assert [choice["setting"].rpartition(".")[2] for choice in choices] == [
        "length", "history", "history_half_life", "trend_half_life", "preset"
    ]  # fmt: skip
    for choice in choices:
        assert f"{choice['setting']} = {choice['value']}: {choice['reason']}" in caplog.text


@pytest.mark.parametrize("flags", [["--no-choose"], ["--set", "model.preset=memory"]])
def test_fit_chooses_nothing_where_that_is_switched_off(capsys: Capture, tmp_path: Path, flags: list[str]) -> None:
    result = as_json(capsys, "fit", small_logs.log(), "--out", tmp_path / "m", *OPEN, *flags)
    assert result["choices"] == []
    assert result["label"] == ("hg_gnn/segue" if flags == ["--no-choose"] else "hg_gnn/memory")


def test_a_settings_file_lies_beneath_set(capsys: Capture, tmp_path: Path) -> None:
    file = tmp_path / "shop.toml"
    file.write_text('[model]\nname = "popularity"\npreset = "session"\n[training]\nseed = 4\n')
    out = tmp_path / "model"
    command = ["train", small_logs.corpus(), "--out", out, "--config", file, "--set", "model.preset=personal"]
    assert as_json(capsys, *command)["label"] == "popularity/personal"
    settings = json.loads((out / "config.json").read_text())["settings"]
    assert (settings["model"]["preset"], settings["training"]["seed"]) == ("personal", 4)


def test_recommend(capsys: Capture) -> None:
    model = small_logs.fitted_model()
    found = as_json(capsys, "recommend", model, "--user", "user00", "--items", "first3,x,second3", "-k", "3")
    wanted = segue.load(model).recommend("user00", ["first3", "x", "second3"], k=3).as_dict()
    assert found == json.loads(json.dumps(wanted))
    assert list(found) == ["items", "skipped", "user_known", "warnings"]
    repeated = ["--item", "first3", "--item", "x", "--item", "second3"]
    assert as_json(capsys, "recommend", model, "--user", "user00", *repeated, "-k", 3) == found
    both = ["--items", "first3,x", "--item", "second3"]
    assert as_json(capsys, "recommend", model, "--user", "user00", *both, "-k", 3) == found
    assert len(as_json(capsys, "recommend", model, "--items", "first3")["items"]) == 10


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_recommend_takes_lists_from_files(capsys: Capture, tmp_path: Path, encoding: str) -> None:
    model = small_logs.fitted_model()
    (tmp_path / "candidates").write_text("b3\n\n a3 \nsecond3\n", encoding=encoding)
    (tmp_path / "history").write_text("b1\r\nb2\r\n", encoding=encoding)
    found = as_json(
        capsys, "recommend", model, "--items", "first3", "--history", tmp_path / "history",
        "--candidates", tmp_path / "candidates", "--exclude", "second3,y", "--exclude-seen", "history",
    )  # fmt: skip
    assert sorted(entry["item"] for entry in found["items"]) == ["a3", "b3"]
    assert found["warnings"] == [
        "1 of 2 excluded items are unknown to the model and exclude nothing: 'y'",
        "only 2 items are eligible, 10 were asked for",
    ]
    assert found["skipped"] == []
    assert found["user_known"] is False


def test_an_excluded_item_may_hold_a_comma(capsys: Capture) -> None:
    model = small_logs.fitted_model()
    command = ("recommend", model, "--items", "first3", "--exclude", "a3", "--exclude-item", "b3,", "-k", 40)
    found = as_json(capsys, *command, "--exclude-item", "b3")
    assert not {"a3", "b3"} & {entry["item"] for entry in found["items"]}
    assert found["warnings"][0] == ("1 of 3 excluded items are unknown to the model and exclude nothing: 'b3,'")


def test_header_and_quotes_of_a_candidates_file_are_no_ids(capsys: Capture, tmp_path: Path) -> None:
    (tmp_path / "candidates.csv").write_text('item_id\n"b3"\n"a3"\n')
    command = ("recommend", small_logs.fitted_model(), "--items", "first3", "-k", 2)
    found = as_json(capsys, *command, "--candidates", tmp_path / "candidates.csv")
    assert sorted(entry["item"] for entry in found["items"]) == ["a3", "b3"]
    assert found["warnings"] == []


def test_recommend_for_people(capsys: Capture) -> None:
    command = ("recommend", small_logs.fitted_model(), "--user", "user00", "--items", "first3,x", "-k", "2")
    out, err = run(capsys, *command)
    assert re.fullmatch(
        r"  1 +-?\d+\.\d{3}  The \[second3\]  \(often comes (?:right|soon) after The \[first3\]\)", out.split("\n")[0]
    )
    assert len(out.splitlines()) == 2
    assert err == "unknown to the model, skipped: 'x'\n"
    _, err = run(capsys, "recommend", small_logs.fitted_model())
    assert err == "nothing is known of this session or user: these are the most popular items\n"


def test_recommend_reserves_places_for_discovery(capsys: Capture) -> None:
    model = small_logs.fitted_model()
    command = ("recommend", model, "--user", "user00", "--items", "first3,second3", "--discover", 0.3)
    found = as_json(capsys, *command)
    wanted = segue.load(model).recommend("user00", ["first3", "second3"], discover=0.3).as_dict()
    assert found == json.loads(json.dumps(wanted))
    marked = [entry["item"] for entry in found["items"] if entry.get("discovery")]
    assert len(marked) == 3
    lines = run(capsys, *command)[0].splitlines()
    assert [bool(re.search(r"\)  new to the user$", line)) for line in lines] == [
        "discovery" in entry for entry in found["items"]
    ]
    _, err = run(capsys, "recommend", model, "--items", "first3", "--discover", 0.3)
    assert (
        err == "the user has no history that the model knows: every item is new to them, and discover changes nothing\n"
    )


def test_evaluate_measures_lists_with_discovery(capsys: Capture, tmp_path: Path) -> None:
    model = tmp_path / "model"
    shutil.copytree(small_logs.counting_model("popularity", "global"), model)
    plain = as_json(capsys, "evaluate", model)
    found = as_json(capsys, "evaluate", model, "--discover", 0.5)
    discovery = found.pop("discovery")
    assert found == plain
    assert discovery["places"] == {"5": 3, "10": 5, "20": 10}
    assert list(discovery["metrics"]) == list(METRICS)
    assert {kind: list(slices) for kind, slices in discovery["slices"].items()} == {
        kind: list(slices) for kind, slices in plain["slices"].items()
    }
    assert measuring.read_evaluation(model).as_dict()["discovery"] == discovery
    text, _ = run(capsys, "evaluate", model, "--discover", 0.5)
    assert re.search(r"^\W+--discover 0\.5 +\W \d+\.\d\d", text, re.MULTILINE)


def test_facts_of_a_training_for_people(capsys: Capture, tmp_path: Path) -> None:
    text, _ = run(capsys, "train", small_logs.corpus(), "--out", tmp_path / "m", *ONE_EPOCH)
    assert "{" not in text
    assert "[" not in text
    assert re.search(r"^ *trained on +train *$", text, re.MULTILINE)
    assert re.search(r"^ *nodes item +32 *$", text, re.MULTILINE)
    assert re.search(rf"^\W+hg_gnn/segue( +\W \d+\.\d\d){{{len(METRICS)}}} +\W$", text, re.MULTILINE)
    assert re.search(r"^ *split +validation *$", text, re.MULTILINE)
    assert str(tmp_path / "m") in "".join(line.strip().removeprefix("model").strip() for line in text.splitlines())
    assert "HR@10" in text
    assert len(text.splitlines()) < 25


def test_no_long_number_is_shown_to_people(capsys: Capture) -> None:
    text, _ = run(capsys, "stats", small_logs.corpus())
    assert re.search(r"Avg\. of session length +4\.00 *$", text, re.MULTILINE)
    assert re.search(r"Share of repeats of the user +0\.667 *$", text, re.MULTILINE)
    rows = as_json(capsys, "stats", small_logs.corpus())
    assert rows["Share of repeats of the user"] == pytest.approx(2 / 3, abs=1e-15)


@pytest.mark.parametrize(
    ("fact", "shown"),
    [(1234567, "1,234,567"), (1234.567, "1,234.57"), (0.00012345, "0.000123"), (-2.0, "-2.00"), (0.0, "0"),
     (True, "True"), (None, "None"), ("a,b", "a,b"), (["a", 1.23456], "a, 1.23"), ((), "")],
)  # fmt: skip
def test_facts_as_people_read_them(capsys: Capture, fact: Any, shown: str) -> None:
    console.print_rows({"name": fact, "table": {"of_facts": fact}})
    assert [line.strip() for line in capsys.readouterr().out.splitlines()] == [
        f"name            {shown}".strip(), f"table of facts  {shown}".strip(),
    ]  # fmt: skip


def test_evaluate_names_the_settings_it_does_not_use(capsys: Capture) -> None:
    model = small_logs.counting_model("popularity", "global")
    _, err = run(capsys, "evaluate", model, "--set", "training.seed=3", "--set", "evaluation.history=rolling")
    assert "note: a trained model carries its own settings" in err
    _, err = run(capsys, "evaluate", model, "--set", "evaluation.history=rolling")
    assert "note:" not in err


def test_evaluate_shows_how_far_it_is(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    """To a terminal, on stderr, and nothing of it stays."""
    shown = io.StringIO()
    monkeypatch.setattr(shown, "isatty", lambda: True)
    monkeypatch.setattr(progress, "err", console._Messages(file=shown, force_terminal=True, width=100))
    model = small_logs.counting_model("popularity", "global")
    out, _ = run(capsys, "evaluate", model, "--json")
    events = json.loads(out)["events"]
    assert f"{events}/{events}" in shown.getvalue()


def test_settings_change_nothing_about_what_is_made(capsys: Capture) -> None:
    for command in (["recommend", small_logs.fitted_model(), "-k", "1"], ["stats", small_logs.corpus()]):
        plain, _ = run(capsys, *command, "--json")
        out, err = run(capsys, *command, "--json", "--set", "training.seed=1")
        assert out == plain
        assert "carries its own settings" in err


def test_ids_are_shown_as_they_are(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    strange = {"a": "[red]x[/red] :smile: \\ \u00e9 \t \x1b[31m", "[b]": 1}
    console.print_json(strange)
    assert json.loads(capsys.readouterr().out) == strange
    console.print_rows({"[b]name[/b] :heart:": "[i]"}, title="[t]")
    out = capsys.readouterr().out
    assert "[b]name[/b] :heart:" in out
    assert "[i]" in out
    assert "[t]" in out


def test_interrupting_is_130(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(pipeline, "train", interrupt)
    assert cli.run(["train", str(small_logs.corpus()), "--out", "m"]) == 130
    assert (
        capsys.readouterr().err.splitlines()[-1]
        == "interrupted; nothing is half-written: the same command goes on, a training run with --resume"
    )


def test_a_process_keeps_its_streams_apart(tmp_path: Path) -> None:
    """A whole fit, as a script runs it: JSON alone on stdout, and every step told on stderr."""
    command = [*small_logs.COMMAND, "fit", str(small_logs.log()), "--out", str(tmp_path / "m"), "--json", *ONE_EPOCH]
    done = subprocess.run(command, capture_output=True, timeout=600, env={**os.environ, "OMP_NUM_THREADS": "1"})
    assert done.returncode == 0, done.stderr.decode()
    assert json.loads(done.stdout)["evaluation"]["split"] == "test"
    told = done.stderr.decode()
    for step in ("ISO 8601", "filters.min_item_support", "epoch 1: loss", "train: ", "hg_gnn/segue"):
        assert step in told
    assert "Traceback" not in told
    assert "Warning" not in told


def test_bytes_that_are_no_text_come_back() -> None:
    model = small_logs.counting_model("popularity", "session")
    command = [*small_logs.COMMAND, "recommend", str(model), "--items", b"\xff,first1", "-k", "1", "--json"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONIOENCODING": "utf-8"}
    done = subprocess.run(command, capture_output=True, timeout=600, env=environment)
    assert done.returncode == 0, done.stderr.decode()
    assert json.loads(done.stdout)["skipped"] == ["\udcff"]


def test_json_fits_a_terminal_of_any_encoding(monkeypatch: pytest.MonkeyPatch) -> None:
    raw = io.BytesIO()
    monkeypatch.setattr(console, "out", Console(file=io.TextIOWrapper(raw, encoding="ascii", write_through=True)))
    console.print_json({"item": "caf\u00e9"})
    assert json.loads(raw.getvalue()) == {"item": "caf\u00e9"}


def test_a_log_that_is_hard_to_believe_is_said_by_every_command_that_reads_it(
    capsys: Capture, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    rows = [(user, item, "2038-01-19T03:14:07Z" if n < 4 else time) for n, (user, item, time) in enumerate(ROWS)]
    log = small_logs.write_csv(tmp_path / "log.csv", rows)
    (warning,) = as_json(capsys, "check", log)["warnings"]
    assert warning.startswith("4 events lie in the future, such as that of user 'user00' with item 'first0' at 2038-")
    popular = ["--set", "model.name=popularity"]
    assert as_json(capsys, "prepare", log, "--out", tmp_path / "corpus", *SETTINGS)["warnings"] == [warning]
    fitted = as_json(capsys, "fit", log, "--out", tmp_path / "model", *popular)
    assert fitted["warnings"] == [warning]
    assert caplog.text.count(f"warning: {warning}") == 2
    assert html.escape(warning) in (tmp_path / "model" / "report.html").read_text()

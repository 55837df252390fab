"""The comparison: the same for every model, nothing repeated, nobody hidden, and a table that says what was found."""

from __future__ import annotations

import json
import re
import shutil
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import small_logs
from scipy import stats

from segue import models
from segue.cli import app as cli
from segue.compare import Plan, Told, contest, entrants, markdown, standing, write_page
from segue.compare.summary import Summary
from segue.errors import ArtifactError, ConfigError, CorpusError, UserMistake
from segue.evaluation.metrics import METRICS, averages
from segue.pipeline import fit as pipeline
from segue.pipeline import measurement as measuring
from segue.settings import Nested
from segue.training import epochs as records

ONE_EPOCH: Nested = {"training": {"max_epochs": 1, "batch_events": 64, "threads": 1}}
ASKED = ("gru4rec", "popularity", "markov", "item_knn")
UNTUNED = Plan(seeds=(0, 1), overrides=ONE_EPOCH)


@cache
def _home() -> TemporaryDirectory[str]:
    return TemporaryDirectory(prefix="segue-tests-")


@cache
def finished() -> tuple[Path, Summary]:
    """A comparison without tuning. Not to be changed by a test."""
    out = Path(_home().name) / "comparison"
    return out, contest(small_logs.corpus(), out, entrants(ASKED), UNTUNED)


@pytest.fixture
def trainings(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The folders that anything is trained into."""
    seen: list[str] = []
    real = pipeline.train

    def train(corpus: Path, out: Path, *args: Any) -> Path:
        seen.append(f"{out.parent.name}/{out.name}")
        return real(corpus, out, *args)

    monkeypatch.setattr(pipeline, "train", train)
    return seen


def test_the_entrants_are_what_was_asked_for_under_full_names() -> None:
    assert entrants(["popularity/personal", "markov"]) == {
        "popularity/personal": {"model": {"name": "popularity", "preset": "personal"}},
        "markov/first_order": {"model": {"name": "markov", "preset": "first_order"}},
    }
    everybody = entrants()
    assert next(iter(everybody)) == "hg_gnn/segue"
    assert sorted(own["model"]["name"] for own in everybody.values()) == models.names()
    with pytest.raises(ConfigError, match="unknown model 'popularty': did you mean 'popularity'"):
        entrants(["popularty"])
    with pytest.raises(ConfigError, match="unknown preset 'huge' of model 'popularity'"):
        entrants(["popularity/huge"])


def test_every_model_is_measured_on_the_same_events() -> None:
    _, summary = finished()
    assert list(summary["models"]) == [
        "gru4rec/full_softmax",
        "popularity/global",
        "markov/first_order",
        "item_knn/session",
    ]
    assert (summary["failed"], summary["unfinished"]) == ({}, {})
    counts = measuring.read_evaluation(Path(summary["models"]["popularity/global"]["runs"][0]))
    assert (summary["events"], summary["users"]) == (counts["events"], counts["users"])
    assert summary["models"]["popularity/global"]["metrics"]["HR@10"] == {
        "mean": counts["metrics"]["HR@10"],
        "sd": None,
    }
    assert (
        summary["models"]["popularity/global"]["coverage"]["coverage@20"]["mean"] == counts["coverage"]["coverage@20"]
    )


def test_seeds_spread_and_counting_needs_none() -> None:
    _, summary = finished()
    row = summary["models"]["gru4rec/full_softmax"]
    runs = [Path(run) for run in row["runs"]]
    assert [run.name for run in runs] == ["seed-0", "seed-1"]
    values = [measuring.read_evaluation(run)["metrics_by_user"]["MRR@10"] for run in runs]
    assert values[0] != values[1]
    assert row["metrics_by_user"]["MRR@10"] == pytest.approx({"mean": np.mean(values), "sd": np.std(values, ddof=1)})
    assert len(summary["models"]["item_knn/session"]["runs"]) == 1
    for run in runs:
        config = json.loads((run / "config.json").read_text())
        assert config["trained_on"] == ["train", "validation"]


def test_costs_are_told() -> None:
    _, summary = finished()
    trained, counted = summary["models"]["gru4rec/full_softmax"], summary["models"]["markov/first_order"]
    items = 4 * small_logs.TOPICS
    assert trained["parameters"] == items * 128 + items + 3 * 128 * (128 + 128 + 2)
    assert counted["parameters"] == 0
    assert all(row["seconds"]["training"]["mean"] > 0 for row in (trained, counted))
    assert all(row["seconds"]["inference"]["mean"] > 0 for row in (trained, counted))
    assert trained["seconds"]["tuning"] == 0
    run = Path(trained["runs"][0])
    assert trained["trained_events"] == records.read_epochs(run, "refit")[0]["events"] > 0
    assert counted["trained_events"] == 0
    assert trained["validation"] == records.training_facts(run)["validation"]["HR@10"]
    assert 0 < counted["validation"] <= 1


def test_the_tests_are_over_users_and_seeds_are_averaged_first() -> None:
    out, summary = finished()
    assert summary["subject"] == "gru4rec/full_softmax"
    assert set(summary["significance"]) == {"popularity/global", "markov/first_order", "item_knn/session"}
    means = {}
    for label, row in summary["models"].items():
        tables = [pq.read_table(Path(run) / "evaluation" / "test.ranks.parquet").to_pandas() for run in row["runs"]]
        by_seed = [
            table.assign(value=METRICS["MRR@10"](table["rank"].to_numpy())).groupby("user")["value"].mean()
            for table in tables
        ]
        means[label] = sum(by_seed) / len(by_seed)
    difference = means["gru4rec/full_softmax"] - means["popularity/global"]
    found = summary["significance"]["popularity/global"]["MRR@10"]
    assert found["by_user"] == pytest.approx(difference.mean())
    assert found["t_test"] == pytest.approx(stats.ttest_1samp(difference, 0).pvalue)
    assert found["t_test_holm"] > found["t_test"]
    assert out.exists()


def test_the_best_baseline_is_chosen_on_validation() -> None:
    _, summary = finished()
    others = {label: row["validation"] for label, row in summary["models"].items() if label != summary["subject"]}
    assert summary["best_baseline"] == max(others, key=lambda label: others[label])


def test_another_preset_of_the_same_model_is_no_baseline(tmp_path: Path) -> None:
    asked = entrants(["popularity", "popularity/personal", "popularity/session", "item_knn"])
    summary = contest(small_logs.corpus(), tmp_path, asked, Plan(seeds=(0,)))
    assert summary["best_baseline"] == "item_knn/session"
    own = {label: own for label, own in asked.items() if label.startswith("popularity")}
    assert contest(small_logs.corpus(), tmp_path / "own", own, Plan(seeds=(0,)))["best_baseline"].startswith("popul")


def test_nothing_finished_is_repeated_and_more_may_join(tmp_path: Path, trainings: list[str]) -> None:
    first = contest(
        small_logs.corpus(), tmp_path, entrants(["popularity", "gru4rec"]), Plan(seeds=(0,), overrides=ONE_EPOCH)
    )
    assert trainings == ["popularity-global/seed-0", "gru4rec-full-softmax/seed-0"]
    trainings.clear()
    again = contest(
        small_logs.corpus(), tmp_path, entrants(["popularity", "gru4rec"]), Plan(seeds=(0,), overrides=ONE_EPOCH)
    )
    assert (trainings, again) == ([], first)
    more = contest(small_logs.corpus(), tmp_path, entrants(["popularity", "gru4rec", "markov"]), UNTUNED)
    assert trainings == ["gru4rec-full-softmax/seed-1", "markov-first-order/seed-0"]
    assert list(more["models"]) == ["popularity/global", "gru4rec/full_softmax", "markov/first_order"]
    assert standing(tmp_path) == more


def test_another_plan_is_refused_and_overwritten(tmp_path: Path) -> None:
    contest(small_logs.corpus(), tmp_path, entrants(["popularity"]), UNTUNED)
    rolling = Plan(history="rolling")
    with pytest.raises(ArtifactError, match=r"started differently \(history, overrides\); repeat its command"):
        contest(small_logs.corpus(), tmp_path, entrants(["popularity"]), rolling)
    summary = contest(small_logs.corpus(), tmp_path, entrants(["popularity"]), rolling, overwrite=True)
    assert summary["history"] == "rolling"


def test_an_interrupted_comparison_shows_what_it_has_and_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trainings: list[str]
) -> None:
    real = measuring.evaluate_model

    def interrupted(folder: Path, *args: Any, **how: Any) -> Any:
        if folder.name == "seed-1":
            raise KeyboardInterrupt
        return real(folder, *args, **how)

    monkeypatch.setattr(measuring, "evaluate_model", interrupted)
    asked = entrants(["popularity", "gru4rec", "markov"])
    with pytest.raises(KeyboardInterrupt):
        contest(small_logs.corpus(), tmp_path, asked, UNTUNED)
    partial = standing(tmp_path)
    assert list(partial["models"]) == ["popularity/global", "gru4rec/full_softmax"]
    assert partial["unfinished"] == {
        "gru4rec/full_softmax": {"seeds": 1, "of": 2},
        "markov/first_order": {"seeds": 0, "of": 1},
    }
    assert partial["significance"] == {}, "not all seeds of the second model are there"
    assert "gru4rec/full_softmax: not finished, 1 of 2 seeds" in markdown(partial)
    monkeypatch.setattr(measuring, "evaluate_model", real)
    trainings.clear()
    whole = contest(small_logs.corpus(), tmp_path, asked, UNTUNED)
    assert trainings == ["markov-first-order/seed-0"], "what was trained is only measured"
    assert whole["unfinished"] == {}
    assert set(whole["significance"]) == {"gru4rec/full_softmax", "markov/first_order"}


def test_a_model_that_the_corpus_does_not_suit_leaves_its_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = pipeline.train

    def train(corpus: Path, out: Path, overrides: Nested, *args: Any) -> Path:
        if overrides["model"]["name"] == "markov":
            raise CorpusError("the model needs history:\n no user is known")
        return real(corpus, out, overrides, *args)

    monkeypatch.setattr(pipeline, "train", train)
    tables: list[Summary] = []
    asked = entrants(["markov", "popularity", "item_knn"])
    summary = contest(small_logs.corpus(), tmp_path, asked, UNTUNED, Told(table=tables.append))
    assert summary["failed"] == {"markov/first_order": "the model needs history: no user is known"}
    assert summary["subject"] == "popularity/global"
    assert "- markov/first_order: left out, the model needs history: no user is known" in markdown(summary)
    assert [list(table["models"]) for table in tables] == [
        [],
        ["popularity/global"],
        ["popularity/global", "item_knn/session"],
    ]
    monkeypatch.setattr(pipeline, "train", real)
    assert contest(small_logs.corpus(), tmp_path, asked, UNTUNED)["failed"] == {}


def test_every_model_gets_the_same_budget(tmp_path: Path) -> None:
    plan = Plan(minutes=5, trials=2, seeds=(0,), overrides=ONE_EPOCH)
    summary = contest(small_logs.corpus(), tmp_path, entrants(["gru4rec", "popularity"]), plan)
    row = summary["models"]["gru4rec/full_softmax"]
    study = json.loads((tmp_path / "gru4rec-full-softmax" / "tuning" / "trials.json").read_text())
    assert (row["trials"], study["minutes"], study["trials"][study["best"]]["settings"]) == (2, 5, row["tuned"])
    assert row["validation"] == max(trial["value"] for trial in study["trials"] if trial["value"])
    assert row["seconds"]["tuning"] > 0
    config = json.loads((Path(row["runs"][0]) / "config.json").read_text())["settings"]["training"]
    assert config["learning_rate"] == row["tuned"]["training.learning_rate"]
    assert config["max_minutes"] is None
    assert summary["models"]["popularity/global"]["trials"] == 1
    assert "every model had 5 minutes and 2 trials at most (tpe)" in markdown(summary)


def test_a_tuned_model_is_fitted_for_the_epochs_that_its_search_chose(tmp_path: Path) -> None:
    overrides: Nested = {"training": {"max_epochs": 3, "batch_events": 64, "threads": 1, "patience": 1}}
    plan = Plan(minutes=5, trials=2, seeds=(0, 1), overrides=overrides)
    summary = contest(small_logs.corpus(), tmp_path, entrants(["gru4rec"]), plan)
    searched = records.read_epochs(tmp_path / "gru4rec-full-softmax" / "tuning")
    chosen = [epoch["learning_rate"] for epoch in searched][: max(e["epoch"] for e in searched if e["best"])]
    for run in map(Path, summary["models"]["gru4rec/full_softmax"]["runs"]):
        assert records.read_epochs(run) == [], "nothing is selected again"
        played = records.read_epochs(run, "refit")
        assert [epoch["learning_rate"] for epoch in played] == chosen
        assert all(epoch["events"] > searched[0]["events"] for epoch in played), "validation is learned too"
    write_page(tmp_path / "report.html", summary)
    assert "Learning curves" in (tmp_path / "report.html").read_text()


def test_the_markdown_marks_the_best_and_says_the_verdicts() -> None:
    _, summary = finished()
    text = markdown(summary)
    header = "| model | " + " | ".join([*METRICS, "coverage@10", "coverage@20"]) + " |"
    assert text.count(header) == 1
    rows = {label: row["metrics"]["MRR@10"]["mean"] for label, row in summary["models"].items()}
    best = max(rows, key=lambda label: rows[label])
    line = next(line for line in text.splitlines() if line.startswith(f"| {best} |"))
    assert f"**{100 * rows[best]:.2f}" in line
    assert re.search(r"gru4rec/full_softmax \| [*\d.]+ ± \d", text)
    assert "no model was tuned, then was fitted on train + validation" in text
    for verdict in summary["verdicts"].values():
        assert verdict in text
    same = [
        text
        for label, text in summary["verdicts"].items()
        if not summary["significance"][label]["HR@10"]["significant"]
    ]
    assert same
    assert all(text.startswith("no significant difference") for text in same)


def test_the_page_opens_without_a_network_and_holds_the_table(tmp_path: Path) -> None:
    _, summary = finished()
    write_page(tmp_path / "report.html", summary)
    text = (tmp_path / "report.html").read_text()
    assert not re.search(r'(src|href)="http', text)
    for label, row in summary["models"].items():
        assert label in text
        assert f"{100 * row['metrics']['HR@10']['mean']:.2f}" in text
    for heading in ("Verdicts", "Significance", "Costs and settings", "Learning curves", "HR@10 over events"):
        assert heading in text


def test_a_table_of_nobody_says_so(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="there is no comparison at"):
        standing(tmp_path)
    (tmp_path / "comparison.json").write_text(json.dumps({"plan": {}, "models": entrants(["markov"]), "seeds": [0]}))
    summary = standing(tmp_path)
    assert markdown(summary) == "No model is finished yet.\n\n- markov/first_order: not finished, 0 of 1 seeds\n"
    write_page(tmp_path / "report.html", summary)
    assert "not finished" in (tmp_path / "report.html").read_text()


def test_other_events_do_not_share_a_table(tmp_path: Path) -> None:
    out = Path(shutil.copytree(finished()[0], tmp_path / "c"))
    path = out / "popularity-global" / "seed-0" / "evaluation" / "test.json"
    path.write_text(path.read_text().replace('"event_hash": "', '"event_hash": "0'))
    with pytest.raises(UserMistake, match="different events"):
        standing(out)


def test_averages_over_users_are_the_evaluators(tmp_path: Path) -> None:
    _, summary = finished()
    run = Path(summary["models"]["markov/first_order"]["runs"][0])
    table = pq.read_table(run / "evaluation" / "test.ranks.parquet").to_pandas()
    by_user = averages(table["rank"].to_numpy(), table["user"].astype("category").cat.codes.to_numpy())
    assert summary["models"]["markov/first_order"]["metrics_by_user"]["NDCG@5"]["mean"] == pytest.approx(
        by_user["NDCG@5"]
    )


def test_the_command_writes_its_three_tables(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "c"
    arguments = ["compare", str(small_logs.corpus()), "--out", str(out)]
    asked = [*arguments, "--models", "popularity,markov", "--no-tune", "--seeds", "0,3"]
    assert cli.run([*asked, "--json"]) == 0
    summary = json.loads(capsys.readouterr().out)
    assert json.loads((out / "results.json").read_text()) == summary
    assert list(summary["models"]) == ["popularity/global", "markov/first_order"]
    assert (out / "report.html").exists()
    assert cli.run([*arguments, "--show"]) == 0
    shown = capsys.readouterr().out
    assert shown == (out / "results.md").read_text() == markdown(summary)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--seeds", "0"], "--seeds: expected how many"),
        (["--seeds", "1,1"], "different whole numbers"),
        (["--seeds", "two"], "found 'two'"),
        (["--seeds", "999999999"], r"how many \(1 to 100\)"),
        (["--seeds", f"{2**63},3"], "different whole numbers"),
        (["--minutes", "inf"], "--minutes must be a number of minutes"),
        (["--models", ","], "--models names no model"),
        (["--models", "nobody"], "unknown model 'nobody'"),
        (["--set", "model.dim=8"], r"settings of \[model\] differ from model to model"),
        (["--set", "training.seed=8"], "use --seeds and --history"),
        (["--show"], "there is no comparison at"),
    ],
)
def test_mistakes_leave_nothing(
    arguments: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run(["compare", str(small_logs.corpus()), "--out", str(tmp_path / "c"), *arguments]) == 2
    error = capsys.readouterr().err
    assert re.search(said, error)
    assert error.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_tune_on_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["tune", str(small_logs.corpus()), "--model", "popularity/session", "--out", str(tmp_path / "t")]
    assert cli.run([*arguments, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["model"], len(told["trials"])) == ("popularity/session", 1)
    assert cli.run(arguments) == 0
    said = capsys.readouterr()
    assert "validation HR@10" in said.out
    assert f"settings: {tmp_path / 't' / 'best.toml'}" in said.err
    assert cli.run([*arguments, "--minutes", "0"]) == 2
    assert "--minutes must be a number of minutes above 0" in capsys.readouterr().err


def test_more_models_join_those_that_are_there(tmp_path: Path) -> None:
    contest(small_logs.corpus(), tmp_path, entrants(["popularity", "markov"]), UNTUNED)
    more = contest(small_logs.corpus(), tmp_path, entrants(["item_knn"]), UNTUNED)
    assert list(more["models"]) == ["popularity/global", "markov/first_order", "item_knn/session"]


@pytest.mark.parametrize("foreign", ["thesis.txt", "corpus/manifest.json"])
def test_overwriting_loses_nothing_of_others(tmp_path: Path, foreign: str) -> None:
    runs = entrants(["popularity"])
    contest(small_logs.corpus(), tmp_path, runs, UNTUNED)
    (tmp_path / foreign).parent.mkdir(exist_ok=True)
    (tmp_path / foreign).write_text("years of work")
    with pytest.raises(UserMistake, match=r"is not Segue's"):
        contest(small_logs.corpus(), tmp_path, runs, UNTUNED, overwrite=True)
    assert (tmp_path / foreign).read_text() == "years of work"
    assert (tmp_path / "popularity-global").exists()


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_comparison_does_not_live_in_its_corpus(tmp_path: Path, overwrite: bool) -> None:
    corpus = shutil.copytree(small_logs.corpus(), tmp_path / "corpus")
    before = sorted(path.name for path in corpus.iterdir())
    with pytest.raises(ArtifactError, match="is the corpus itself"):
        contest(corpus, corpus, entrants(["popularity"]), UNTUNED, overwrite=overwrite)
    assert before == sorted(path.name for path in corpus.iterdir())


def test_a_file_is_no_place_for_a_comparison(tmp_path: Path) -> None:
    (tmp_path / "log.csv").write_text("mine")
    with pytest.raises(ArtifactError, match="is a file; choose another"):
        contest(small_logs.corpus(), tmp_path / "log.csv", entrants(["popularity"]), UNTUNED)


def test_settings_that_no_model_takes_are_one_mistake_and_leave_nothing(tmp_path: Path) -> None:
    wrong = Plan(overrides={"training": {"max_epochs": 0}})
    with pytest.raises(ConfigError, match=r"training\.max_epochs"):
        contest(small_logs.corpus(), tmp_path / "c", entrants(["popularity", "markov"]), wrong)
    assert not (tmp_path / "c").exists()


def test_nobody_takes_the_place_of_the_first_model(tmp_path: Path) -> None:
    out = Path(shutil.copytree(finished()[0], tmp_path / "c"))
    (out / "gru4rec-full-softmax" / "seed-1" / "evaluation" / "cost.json").unlink()
    summary = standing(out)
    assert (summary["subject"], summary["verdicts"]) == ("gru4rec/full_softmax", {})


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("entry.json", "[]"),
        ("entry.json", '{"seconds": 1}'),
        ("seed-0/evaluation/cost.json", "{}"),
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
    with pytest.raises(ArtifactError, match=file.rpartition("/")[2]):
        standing(out)


NOTE = '{"plan": {}, "models": {"x": {"model": {"name": "markov"}}}, "seeds": [0]}'


@pytest.mark.parametrize(
    "text",
    [
        "{", "[]", '{"a": 1}', "null", NOTE.replace("[0]", '"ab"'), NOTE.replace("{}", "null"),
        NOTE.replace('{"name": "markov"}', "{}"), NOTE.replace("markov", "nobody"),
    ],
)  # fmt: skip
def test_a_damaged_comparison_is_named(tmp_path: Path, text: str) -> None:
    contest(small_logs.corpus(), tmp_path, entrants(["popularity"]), UNTUNED)
    (tmp_path / "comparison.json").write_text(text)
    with pytest.raises(ArtifactError, match=r"is damaged: comparison\.json"):
        standing(tmp_path)


def test_a_damaged_entry_is_named(tmp_path: Path) -> None:
    contest(small_logs.corpus(), tmp_path, entrants(["popularity"]), UNTUNED)
    (tmp_path / "popularity-global" / "entry.json").write_text("{")
    with pytest.raises(ArtifactError, match=r"cannot read .*entry\.json"):
        standing(tmp_path)


def test_nothing_measured_is_a_mistake(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asked = ["compare", str(small_logs.corpus()), "--out", str(tmp_path / "c"), "--models", "gru4rec", "--no-tune"]
    assert cli.run([*asked, "--seeds", "1", "--set", "training.learning_rate=1e30"]) == 2
    assert re.search(r"no model could be measured \(gru4rec/full_softmax: .*diverged", capsys.readouterr().err)


@pytest.mark.parametrize(("first", "then"), [((7, 0), (3,)), ((3,), (0,))])
def test_seeds_that_join_leave_nobody_unfinished(tmp_path: Path, first: tuple[int, ...], then: tuple[int, ...]) -> None:
    plan = Plan(seeds=first, overrides=ONE_EPOCH)
    contest(small_logs.corpus(), tmp_path, entrants(["popularity"]), plan)
    joined = contest(small_logs.corpus(), tmp_path, entrants(["markov"]), Plan(seeds=then, overrides=ONE_EPOCH))
    assert list(joined["models"]) == ["popularity/global", "markov/first_order"]

"""The comparison: every model is treated alike, nothing is repeated, and nobody is hidden."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import small_logs
from comparisons import ONE_EPOCH, UNTUNED, compare, finished

from segue import compare as comparison
from segue import models
from segue.compare import Callbacks, ComparisonPlan, Summary, markdown, named_models, standing, write_page
from segue.errors import ArtifactError, ConfigError, CorpusError, UserMistake
from segue.pipeline import fit as pipeline
from segue.pipeline import measurement
from segue.settings import Nested, Settings
from segue.training.epochs import read_epochs


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


def test_models_are_named_with_their_presets() -> None:
    assert named_models(["popularity/personal", "markov"]) == {
        "popularity/personal": {"model": {"name": "popularity", "preset": "personal"}},
        "markov/first_order": {"model": {"name": "markov", "preset": "first_order"}},
    }
    everybody = named_models()
    assert next(iter(everybody)) == "hg_gnn/segue"
    assert sorted(own["model"]["name"] for own in everybody.values()) == models.names()
    with pytest.raises(ConfigError, match="unknown model 'popularty': did you mean 'popularity'"):
        named_models(["popularty"])
    with pytest.raises(ConfigError, match="unknown preset 'huge' of model 'popularity'"):
        named_models(["popularity/huge"])


def test_every_model_is_measured_on_the_same_events() -> None:
    _, summary = finished()
    assert list(summary.rows) == ["gru4rec/full_softmax", "popularity/global", "markov/first_order", "item_knn/session"]
    assert (summary.failed, summary.unfinished) == ({}, {})
    assert len({one.event_hash for row in summary.rows.values() for one in row.measurements}) == 1
    counts = measurement.read_evaluation(summary.rows["popularity/global"].runs[0])
    assert summary.any_measurement is not None
    assert (summary.any_measurement.events, summary.any_measurement.users) == (counts.events, counts.users)


def test_seeds_are_fitted_on_train_and_validation_and_counting_needs_one() -> None:
    _, summary = finished()
    runs = summary.rows["gru4rec/full_softmax"].runs
    assert [run.name for run in runs] == ["seed-0", "seed-1"]
    assert len(summary.rows["item_knn/session"].runs) == 1
    for run in runs:
        assert json.loads((run / "config.json").read_text())["trained_on"] == ["train", "validation"]


def test_nothing_finished_is_repeated_and_more_may_join(tmp_path: Path, trainings: list[str]) -> None:
    one_seed = ComparisonPlan(seeds=(0,), overrides=ONE_EPOCH)
    first = compare(tmp_path, ["popularity", "gru4rec"], one_seed)
    assert trainings == ["popularity-global/seed-0", "gru4rec-full-softmax/seed-0"]
    trainings.clear()
    again = compare(tmp_path, ["popularity", "gru4rec"], one_seed)
    assert (trainings, again) == ([], first)
    more = compare(tmp_path, ["popularity", "gru4rec", "markov"])
    assert trainings == ["gru4rec-full-softmax/seed-1", "markov-first-order/seed-0"]
    assert list(more.rows) == ["popularity/global", "gru4rec/full_softmax", "markov/first_order"]
    assert standing(tmp_path) == more


def test_more_models_join_those_that_are_there(tmp_path: Path) -> None:
    compare(tmp_path, ["popularity", "markov"])
    assert list(compare(tmp_path, ["item_knn"]).rows) == ["popularity/global", "markov/first_order", "item_knn/session"]


@pytest.mark.parametrize(("first", "then"), [((7, 0), (3,)), ((3,), (0,))])
def test_seeds_that_join_leave_nobody_unfinished(tmp_path: Path, first: tuple[int, ...], then: tuple[int, ...]) -> None:
    compare(tmp_path, ["popularity"], ComparisonPlan(seeds=first, overrides=ONE_EPOCH))
    joined = compare(tmp_path, ["markov"], ComparisonPlan(seeds=then, overrides=ONE_EPOCH))
    assert list(joined.rows) == ["popularity/global", "markov/first_order"]


def test_a_finished_fit_with_other_settings_is_not_passed_off(tmp_path: Path) -> None:
    compare(tmp_path, ["popularity"])
    other = {"popularity/global": {"model": {"name": "popularity", "preset": "recent"}}}
    with pytest.raises(UserMistake, match="holds a run with other settings"):
        comparison.compare(small_logs.corpus(), tmp_path, other, UNTUNED)


def test_another_plan_is_refused_and_overwritten(tmp_path: Path) -> None:
    compare(tmp_path, ["popularity"])
    rolling = ComparisonPlan(history="rolling")
    with pytest.raises(ArtifactError, match=r"started differently \(history, overrides\); repeat its command"):
        compare(tmp_path, ["popularity"], rolling)
    summary = compare(tmp_path, ["popularity"], rolling, overwrite=True)
    assert summary.rows["popularity/global"].measurements[0].history == "rolling"


def test_an_interrupted_comparison_shows_what_it_has_and_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trainings: list[str]
) -> None:
    real = measurement.evaluate_model

    def interrupted(folder: Path, *args: Any, **how: Any) -> Any:
        if folder.name == "seed-1":
            raise KeyboardInterrupt
        return real(folder, *args, **how)

    monkeypatch.setattr(measurement, "evaluate_model", interrupted)
    names = ["popularity", "gru4rec", "markov"]
    with pytest.raises(KeyboardInterrupt):
        compare(tmp_path, names)
    partial = standing(tmp_path)
    assert list(partial.rows) == ["popularity/global", "gru4rec/full_softmax"]
    assert partial.unfinished == {"gru4rec/full_softmax": (1, 2), "markov/first_order": (0, 1)}
    assert partial.significance == {}, "not all seeds of the second model are there"
    assert "gru4rec/full_softmax: not finished, 1 of 2 seeds" in markdown(partial)
    monkeypatch.setattr(measurement, "evaluate_model", real)
    trainings.clear()
    whole = compare(tmp_path, names)
    assert trainings == ["markov-first-order/seed-0"], "what was trained is only measured"
    assert whole.unfinished == {}
    assert set(whole.significance) == {"gru4rec/full_softmax", "markov/first_order"}


def test_a_model_that_the_corpus_does_not_suit_leaves_its_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = pipeline.train

    def train(corpus: Path, out: Path, settings: Settings, *args: Any) -> Path:
        if settings.model.name == "markov":
            raise CorpusError("the model needs history:\n no user is known")
        return real(corpus, out, settings, *args)

    monkeypatch.setattr(pipeline, "train", train)
    tables: list[Summary] = []
    names = ["markov", "popularity", "item_knn"]
    summary = compare(tmp_path, names, on_change=tables.append)
    assert summary.failed == {"markov/first_order": "the model needs history: no user is known"}
    assert summary.subject == "popularity/global"
    assert "- markov/first_order: left out, the model needs history: no user is known" in markdown(summary)
    assert [list(table.rows) for table in tables] == [
        [],
        ["popularity/global"],
        ["popularity/global", "item_knn/session"],
    ]
    monkeypatch.setattr(pipeline, "train", real)
    assert compare(tmp_path, names).failed == {}


def test_a_model_whose_preset_refuses_the_shared_settings_leaves_its_reason(tmp_path: Path) -> None:
    momentum = ComparisonPlan(seeds=(0,), overrides={"training": {**ONE_EPOCH["training"], "optimizer": "adam"}})
    summary = compare(tmp_path, ["hrnn/official_all", "popularity"], momentum)
    assert list(summary.rows) == ["popularity/global"]
    assert "training.momentum" in summary.failed["hrnn/official_all"]


def test_every_model_gets_the_same_budget(tmp_path: Path) -> None:
    plan = ComparisonPlan(minutes=5, trials=2, seeds=(0,), overrides=ONE_EPOCH)
    steps: list[Any] = []
    trials: list[str] = []
    summary = compare(
        tmp_path, ["gru4rec", "popularity"], plan,
        callbacks=Callbacks(steps.append, lambda label, at: trials.append(label)),
    )  # fmt: skip
    entry = summary.rows["gru4rec/full_softmax"].entry
    study = json.loads((tmp_path / "gru4rec-full-softmax" / "tuning" / "trials.json").read_text())
    assert (entry.trials, study["minutes"], study["trials"][study["best"]]["settings"]) == (2, 5, entry.tuned)
    assert entry.validation == max(trial["value"] for trial in study["trials"] if trial["value"])
    assert entry.seconds > 0
    settings = json.loads((summary.rows["gru4rec/full_softmax"].runs[0] / "config.json").read_text())["settings"]
    assert settings["training"]["learning_rate"] == entry.tuned["training.learning_rate"]
    assert settings["training"]["max_minutes"] is None
    assert summary.rows["popularity/global"].entry.trials == 1
    assert "every model had 5 minutes and 2 trials at most (tpe)" in markdown(summary)
    assert set(trials) == set(summary.rows)
    assert steps


def test_what_a_row_says_of_its_settings_can_be_read_back(tmp_path: Path) -> None:
    plan = ComparisonPlan(minutes=5, trials=2, seeds=(0,), overrides=ONE_EPOCH)
    row = compare(tmp_path, ["gru4rec"], plan).rows["gru4rec/full_softmax"]
    searched = {key.partition(".")[2] for key in row.entry.tuned if key.startswith("training.")}
    assert row.entry.settings["training"].keys() == ONE_EPOCH["training"].keys() | searched
    stored = json.loads((row.runs[0] / "config.json").read_text())["settings"]
    again = comparison.comparison.settings_for_corpus(small_logs.corpus(), row.entry.settings)
    assert again.model_dump(mode="json") == stored


def test_a_tuned_model_is_fitted_for_the_epochs_that_its_search_chose(tmp_path: Path) -> None:
    overrides: Nested = {"training": {"max_epochs": 3, "batch_events": 64, "threads": 1, "patience": 1}}
    plan = ComparisonPlan(minutes=5, trials=2, seeds=(0, 1), overrides=overrides)
    summary = compare(tmp_path, ["gru4rec"], plan)
    searched = read_epochs(tmp_path / "gru4rec-full-softmax" / "tuning")
    chosen = [epoch.learning_rate for epoch in searched][: max(e.epoch for e in searched if e.best)]
    for run in summary.rows["gru4rec/full_softmax"].runs:
        assert read_epochs(run) == [], "nothing is selected again"
        played = read_epochs(run, "refit")
        assert [epoch.learning_rate for epoch in played] == chosen
        assert all(epoch.events > searched[0].events for epoch in played), "validation is learned too"
    write_page(tmp_path / "report.html", summary)
    assert "Learning curves" in (tmp_path / "report.html").read_text()


@pytest.mark.parametrize("foreign", ["thesis.txt", "corpus/manifest.json"])
def test_overwriting_loses_nothing_of_others(tmp_path: Path, foreign: str) -> None:
    compare(tmp_path, ["popularity"])
    (tmp_path / foreign).parent.mkdir(exist_ok=True)
    (tmp_path / foreign).write_text("years of work")
    with pytest.raises(UserMistake, match=r"is not Segue's"):
        compare(tmp_path, ["popularity"], overwrite=True)
    assert (tmp_path / foreign).read_text() == "years of work"
    assert (tmp_path / "popularity-global").exists()


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_comparison_does_not_live_in_its_corpus(tmp_path: Path, overwrite: bool) -> None:
    corpus = shutil.copytree(small_logs.corpus(), tmp_path / "corpus")
    before = sorted(path.name for path in corpus.iterdir())
    with pytest.raises(ArtifactError, match="is the corpus itself"):
        comparison.compare(corpus, corpus, named_models(["popularity"]), UNTUNED, overwrite=overwrite)
    assert before == sorted(path.name for path in corpus.iterdir())


def test_a_file_is_no_place_for_a_comparison(tmp_path: Path) -> None:
    (tmp_path / "log.csv").write_text("mine")
    with pytest.raises(ArtifactError, match="is a file; choose another"):
        compare(tmp_path / "log.csv", ["popularity"])


def test_settings_that_no_model_takes_are_one_mistake_and_leave_nothing(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"training\.max_epochs"):
        compare(tmp_path / "c", ["popularity", "markov"], ComparisonPlan(overrides={"training": {"max_epochs": 0}}))
    assert not (tmp_path / "c").exists()


def test_what_another_command_measured_otherwise_is_measured_again(tmp_path: Path) -> None:
    """``segue evaluate --history rolling`` on a fit of a comparison replaces what the comparison measured."""
    before = compare(tmp_path, ["popularity", "item_knn"])
    run = before.rows["item_knn/session"].runs[0]
    rolling = measurement.evaluate_model(run, small_logs.corpus(), history="rolling")
    measurement.write_evaluation(run, rolling)
    assert standing(tmp_path).unfinished == {"item_knn/session": (0, 1)}
    again = compare(tmp_path, ["popularity", "item_knn"])
    assert again.rows["item_knn/session"].measurements == before.rows["item_knn/session"].measurements
    assert again.rows["item_knn/session"].costs[0].training == before.rows["item_knn/session"].costs[0].training


def test_histories_do_not_share_a_table(tmp_path: Path) -> None:
    before = compare(tmp_path, ["popularity", "item_knn"])
    run = before.rows["item_knn/session"].runs[0]
    rolling = measurement.evaluate_model(run, small_logs.corpus(), history="rolling", coverage=True)
    measurement.write_evaluation(run, rolling)
    with pytest.raises(UserMistake, match="another history or mask"):
        standing(tmp_path)

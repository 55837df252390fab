"""The search: what it costs, what it keeps, and that it goes on where it was stopped."""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
import runs
import small_logs
from optuna.storages.journal import JournalFileBackend

from segue.data.corpus import Corpus
from segue.errors import ArtifactError, ConfigError, CorpusError, UserMistake
from segue.models.gru4rec import GRU4Rec
from segue.models.popularity import Popularity
from segue.pipeline.settings import settings_for_corpus
from segue.pipeline.stages import Options, Selection
from segue.settings import Nested, Settings
from segue.settings.overrides import dotted_keys, read_overrides
from segue.settings.search_space import Choice
from segue.training.epochs import EpochRecord, read_epochs, training_facts
from segue.tuning import Budget, SearchProgress, SearchResult, tune

GRU: Nested = {"model": {"name": "gru4rec"}, "training": {"max_epochs": 1, "batch_events": 64, "threads": 1}}
COUNTS: Nested = {"model": {"name": "popularity"}}
Scripted = Callable[[Settings, Options], dict[str, float]]


def scripted(monkeypatch: pytest.MonkeyPatch, select: Scripted) -> None:
    """Trials that cost nothing."""

    def stand_in(corpus: Corpus, folder: Path, settings: Settings, options: Options) -> Selection:
        return Selection(select(settings, options), [], [])

    monkeypatch.setattr("segue.tuning.search.select", stand_in)


def rate(settings: Settings, options: Options) -> dict[str, float]:
    """A value that depends on the settings alone."""
    return {"HR@10": float(settings.model.options.get("dropout_embed", 0.25))}


def search(out: Path, overrides: Nested = GRU, **budget: Any) -> SearchResult:
    return tuned(small_logs.corpus(), out, overrides, Budget(**budget))


def tuned(corpus: Path, out: Path, overrides: Nested, budget: Budget, **how: Any) -> SearchResult:
    """A search of settings as a user writes them."""
    return tune(corpus, out, settings_for_corpus(corpus, overrides), budget, fixed=dotted_keys(overrides), **how)


def told(out: Path) -> dict[str, Any]:
    return dict(json.loads((out / "trials.json").read_text()))


def test_the_best_trial_can_be_trained_again(tmp_path: Path) -> None:
    found = search(tmp_path / "t", trials=3)
    facts = told(tmp_path / "t")
    values = [trial["value"] for trial in facts["trials"]]
    assert len(values) == 3
    assert found.value == max(values)
    best = facts["trials"][facts["best"]]
    assert (best["value"], best["settings"]) == (found.value, found.point)
    overrides = read_overrides(tmp_path / "t" / "best.toml")
    assert settings_for_corpus(small_logs.corpus(), overrides) == found.settings
    folder = runs.train(small_logs.corpus(), tmp_path / "model", overrides)
    assert training_facts(folder).validation == best["metrics"]
    kept = ["best.toml", "metrics.jsonl", "study.journal", "trials.json"]
    assert sorted(path.name for path in (tmp_path / "t").iterdir()) == kept
    seen = [json.loads(line) for line in (tmp_path / "t" / "metrics.jsonl").read_text().splitlines()]
    again = read_epochs(folder)
    assert [epoch["validation"] for epoch in seen] == [epoch.validation for epoch in again]
    chosen = max(epoch["epoch"] for epoch in seen if epoch["best"])
    assert [epoch.learning_rate for epoch in found.plan] == [epoch["learning_rate"] for epoch in seen[:chosen]]


def test_test_sessions_are_never_opened(tmp_path: Path) -> None:
    corpus = shutil.copytree(small_logs.corpus(), tmp_path / "corpus")
    (corpus / "test.parquet").unlink()
    assert tuned(corpus, tmp_path / "t", GRU, Budget(trials=2)).value > 0
    assert tuned(corpus, tmp_path / "p", COUNTS, Budget(trials=2)).value > 0


def test_the_first_trial_is_the_preset_also_where_the_space_does_not_hold_it(tmp_path: Path) -> None:
    found = search(tmp_path / "t", trials=1)
    assert found.point["model.dropout_embed"] == 0.25
    assert found.point["training.learning_rate"] == 1e-3
    assert "model.dim" not in found.point, "the preset's 128 lies outside"
    assert found.settings.model.options.get("dim", 128) == 128
    assert "model.dim" in search(tmp_path / "t", trials=2).trials[1]["settings"]
    assert search(tmp_path / "p", COUNTS, trials=1).point == {"model.session_weight": 0.0}


def test_the_same_seed_searches_the_same_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scripted(monkeypatch, rate)
    points = [
        [trial["settings"] for trial in search(tmp_path / name, trials=15, seed=seed).trials]
        for name, seed in (("a", 1), ("b", 1), ("c", 2))
    ]
    assert points[0] == points[1]
    assert points[0] != points[2]


def test_the_search_learns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scripted(monkeypatch, rate)
    found = search(tmp_path / "t", trials=30)
    drawn = [trial["settings"]["model.dropout_embed"] for trial in found.trials]
    assert sum(drawn[15:]) / 15 > sum(drawn[1:11]) / 10
    assert found.value > 0.45


@pytest.mark.parametrize("stop", ["ctrl-c", "killed"])
def test_a_stopped_search_ends_as_if_it_never_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stop: str) -> None:
    scripted(monkeypatch, rate)
    whole = search(tmp_path / "whole", trials=14)
    calls = []

    def stopped(settings: Settings, options: Options) -> dict[str, float]:
        calls.append(settings)
        if len(calls) in (3, 12):
            raise KeyboardInterrupt
        return rate(settings, options)

    scripted(monkeypatch, stopped)
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            search(tmp_path / "t", trials=14)
        if stop == "killed":
            with (tmp_path / "t" / "study.journal").open("a") as journal:
                journal.write('{"op_code":4,"worker')
    resumed = search(tmp_path / "t", trials=14)
    assert [(trial["settings"], trial["value"]) for trial in resumed.trials] == [
        (trial["settings"], trial["value"]) for trial in whole.trials
    ]
    assert len(calls) == len(whole.trials) + 2
    assert search(tmp_path / "t", trials=14).point == whole.point
    assert len(calls) == len(whole.trials) + 2, "what is finished is not repeated"
    assert len(search(tmp_path / "t", trials=16).trials) == 16


def test_hopeless_trials_are_pruned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    played: list[int] = []

    def curve(settings: Settings, options: Options) -> dict[str, float]:
        value = 0.5 if len(played) < 6 else 0.1
        played.append(0)
        for epoch in range(1, 5):
            played[-1] = epoch
            assert options.on_epoch is not None
            options.on_epoch(EpochRecord(epoch, 1, 1.0, 1.0, 0.1, {"HR@10": value}, best=True))
        return {"HR@10": value}

    scripted(monkeypatch, curve)
    found = search(tmp_path / "t", trials=8)
    assert played[:6] == [4] * 6
    assert played[6:] == [2, 2], "one epoch says too little; the second is below the median"
    assert [trial["state"] for trial in found.trials[5:]] == ["complete", "pruned", "pruned"]
    assert found.trials[6]["validation"] == [0.1, 0.1]
    assert found.value == 0.5


def test_a_diverging_trial_fails_and_the_search_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(GRU4Rec, "space", {"training.learning_rate": Choice((1e-3, 1e30)), "model.dim": Choice((4,))})
    found = search(tmp_path / "t", trials=5)
    by_rate = {trial["settings"]["training.learning_rate"]: trial for trial in found.trials}
    assert (by_rate[1e-3]["state"], by_rate[1e30]["state"]) == ("complete", "fail")
    assert "lower training.learning_rate" in by_rate[1e30]["reason"] or "score" in by_rate[1e30]["reason"]
    assert found.point["training.learning_rate"] == 1e-3


def test_a_search_without_a_success_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(settings: Settings, options: Options) -> dict[str, float]:
        raise ConfigError("training diverged")

    scripted(monkeypatch, fail)
    with pytest.raises(ConfigError, match=r"no trial of gru4rec/\S+ succeeded, of 3: training diverged"):
        search(tmp_path / "t", trials=3)
    assert not (tmp_path / "t" / "best.toml").exists()
    assert len(told(tmp_path / "t")["trials"]) == 3


def test_what_the_corpus_lacks_ends_the_search(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def lacks(settings: Settings, options: Options) -> dict[str, float]:
        raise CorpusError("the model needs history")

    scripted(monkeypatch, lacks)
    with pytest.raises(CorpusError, match="needs history"):
        search(tmp_path / "t", trials=3)


def test_minutes_are_spent_once(tmp_path: Path) -> None:
    found = search(tmp_path / "t", minutes=1e-5)
    assert [trial["state"] for trial in found.trials] == ["complete"]
    assert found.trials[0]["seconds"] >= found.seconds > 0
    assert found.settings.training.max_minutes is None, "the cut is the search's, not the model's"
    assert len(search(tmp_path / "t", minutes=1e-5).trials) == 1


def test_no_trial_outlasts_the_minutes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    limits = []

    def note(settings: Settings, options: Options) -> dict[str, float]:
        limits.append(settings.training.max_minutes)
        return {"HR@10": 0.5}

    scripted(monkeypatch, note)
    search(tmp_path / "a", trials=2, minutes=3.0)
    assert limits[0] == 3.0
    assert 2.9 < (limits[1] or 0) < 3.0
    search(tmp_path / "b", {**GRU, "training": {**GRU["training"], "max_minutes": 0.5}}, trials=1, minutes=3.0)
    search(tmp_path / "c", trials=1)
    assert limits[2:] == [0.5, None]


def test_a_small_space_is_searched_whole_and_once(tmp_path: Path) -> None:
    seen: list[SearchProgress] = []
    found = tuned(small_logs.corpus(), tmp_path / "t", COUNTS, Budget(trials=40), watch=seen.append)
    weights = [trial["settings"]["model.session_weight"] for trial in found.trials]
    assert weights[0] == 0.0
    assert sorted(weights) == [0.0, 1.0, 2.0]
    assert [(standing.trials, standing.of) for standing in seen] == [(0, 3), (1, 3), (2, 3), (3, 3)]
    assert seen[-1].best == found.value


def test_a_point_that_comes_again_is_not_measured_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []

    def note(settings: Settings, options: Options) -> dict[str, float]:
        calls.append(settings)
        return {"HR@10": 0.5}

    scripted(monkeypatch, note)
    found = search(tmp_path / "t", COUNTS, trials=2)  # fewer than there are points: the sampler draws
    monkeypatch.setattr(Popularity, "space", {"model.session_weight": Choice((0.0, 1.0))})
    assert len(found.trials) == 2
    repeated = [trial for trial in found.trials if "same_as" in trial]
    assert len(calls) == len(found.trials) - len(repeated)


def test_a_second_process_in_the_same_study_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def meanwhile(settings: Settings, options: Options) -> dict[str, float]:
        for overwrite in (False, True):
            with pytest.raises(ArtifactError, match=r"t is in use by process \d+ on .* since "):
                tuned(small_logs.corpus(), tmp_path / "t", GRU, Budget(), overwrite=overwrite)
        return {"HR@10": 0.5}

    scripted(monkeypatch, meanwhile)
    assert len(search(tmp_path / "t", trials=2).trials) == 2


def test_where_nothing_can_be_locked_a_second_process_ends_the_first_with_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second one takes the running trial for one that was interrupted."""

    def meanwhile(settings: Settings, options: Options) -> dict[str, float]:
        scripted(monkeypatch, rate)
        search(tmp_path / "t", trials=2)
        return {"HR@10": 0.5}

    monkeypatch.setattr("segue.tuning.search.held", lambda out, mistake: nullcontext())
    scripted(monkeypatch, meanwhile)
    with pytest.raises(ArtifactError, match="another process works on the study at"):
        search(tmp_path / "t", trials=2)


@pytest.mark.parametrize("place", ["nowhere/study.journal", "study.journal"])
def test_a_lock_that_a_killed_process_left_is_nobody_s(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    """Optuna's own lock is a link to the journal, which dangles where --out was relative."""
    scripted(monkeypatch, rate)
    search(tmp_path / "t", trials=1)
    (tmp_path / "t" / "study.journal.lock").symlink_to(place)
    (tmp_path / "t" / "running").mkdir()
    (tmp_path / "t" / "best.toml.writing").write_text("half")
    monkeypatch.chdir(tmp_path)
    assert len(search(Path("t"), trials=2).trials) == 2
    kept = ["best.toml", "metrics.jsonl", "study.journal", "trials.json"]
    assert sorted(path.name for path in (tmp_path / "t").iterdir()) == kept


@pytest.mark.parametrize("lines", range(1, 8))
def test_killed_between_the_lines_of_the_journal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lines: int) -> None:
    """A trial that had drawn some of its settings draws them again, all of them the same."""
    scripted(monkeypatch, rate)
    whole = search(tmp_path / "whole", trials=8)
    shutil.copytree(tmp_path / "whole", tmp_path / "t")
    journal = tmp_path / "t" / "study.journal"
    kept = journal.read_text().splitlines(keepends=True)[:-lines]
    for _ in range(2):  # killed once more before anything new
        journal.write_text("".join(kept))
        search(tmp_path / "t", trials=7)
    resumed = search(tmp_path / "t", trials=8)
    assert [(trial["settings"], trial["value"]) for trial in resumed.trials] == [
        (trial["settings"], trial["value"]) for trial in whole.trials
    ]


def test_another_question_is_refused_and_overwritten(tmp_path: Path) -> None:
    search(tmp_path / "t", COUNTS, trials=1)
    with pytest.raises(ArtifactError, match=r"started differently \(seed\); repeat its command, or drop it with"):
        search(tmp_path / "t", COUNTS, trials=1, seed=1)
    with pytest.raises(ArtifactError, match=r"\(settings\)"):
        search(tmp_path / "t", GRU, trials=1)
    found = tuned(small_logs.corpus(), tmp_path / "t", COUNTS, Budget(trials=2, seed=1), overwrite=True)
    assert told(tmp_path / "t")["seed"] == 1
    assert len(found.trials) == 2


def test_a_model_without_a_space_is_measured_as_it_is(tmp_path: Path) -> None:
    found = search(tmp_path / "t", {"model": {"name": "popularity", "session_weight": 1.0}})
    assert (len(found.trials), found.point) == (1, {})
    assert found.settings.model.model_dump() == {"name": "popularity", "session_weight": 1.0, "preset": "global"}
    assert read_overrides(tmp_path / "t" / "best.toml")["model"] == found.settings.model.model_dump()


def test_the_paper_grid_is_played_point_by_point(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []

    def note(settings: Settings, options: Options) -> dict[str, float]:
        seen.append(settings)
        return {"HR@10": 0.5}

    scripted(monkeypatch, note)
    small: Nested = {"model": {"name": "hg_gnn", "dim": 8}}
    found = search(tmp_path / "t", small, search="paper-grid", trials=99)
    assert len(found.trials) == len(seen) == 16, "dim is the user's"
    assert all(settings.training.batch_events == 512 for settings in seen)
    assert {settings.model.options["dim"] for settings in seen} == {8}


def test_a_reminder_is_tuned(tmp_path: Path) -> None:
    found = search(tmp_path / "t", {**GRU, "model": {"name": "reminder", "preset": "gru4rec_r"}}, trials=2)
    assert [trial["state"] for trial in found.trials] == ["complete", "complete"]
    assert settings_for_corpus(small_logs.corpus(), read_overrides(tmp_path / "t" / "best.toml")) == found.settings


def test_overwriting_a_study_loses_nothing_of_others(tmp_path: Path) -> None:
    search(tmp_path, COUNTS, trials=1)
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(UserMistake, match=r"thesis.txt is not Segue's"):
        tuned(small_logs.corpus(), tmp_path, COUNTS, Budget(trials=1), overwrite=True)
    assert (tmp_path / "study.journal").exists()


@pytest.mark.parametrize("line", ["garbage\n", '{"op_code": 99}\n'])
def test_a_damaged_journal_is_named(tmp_path: Path, line: str) -> None:
    search(tmp_path, COUNTS, trials=1)
    with (tmp_path / "study.journal").open("a") as journal:
        journal.write(line)
    with pytest.raises(ArtifactError, match=r"is damaged: study\.journal"):
        search(tmp_path, COUNTS, trials=2)


def test_a_full_disk_under_the_journal_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*arguments: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(JournalFileBackend, "append_logs", full)
    settings = settings_for_corpus(small_logs.corpus(), {"model": {"name": "item_knn"}})
    with pytest.raises(ArtifactError, match=r"cannot write to .*study: No space left on device"):
        tune(small_logs.corpus(), tmp_path / "study", settings, Budget(1))

"""From a log to a measured model: the steps in order, what they refuse, the comparison, and the Python API."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import runs
import small_logs
import torch
from duckdb import DuckDBPyConnection

import segue
from segue.artifact.model_folder import load_model, refuse_existing
from segue.data.corpus import Part, load
from segue.errors import ArtifactError, ConfigError, CorpusError, ModelError, UserMistake
from segue.graph import relations
from segue.pipeline import measurement as measuring
from segue.pipeline.stages import Options
from segue.settings import Nested, PreparationSettings
from segue.training.state import Progress

ONE_EPOCH = small_logs.with_settings(training={"max_epochs": 1})
POPULARITY: Nested = {**small_logs.SMALL, "model": {"name": "popularity"}}


@pytest.fixture(scope="module")
def refitted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fit with refit and final. Not to be changed by a test."""
    out = tmp_path_factory.mktemp("final") / "model"
    return runs.fit(str(small_logs.log()), out, ONE_EPOCH, Options(refit=True, final=True))


def test_fit_beats_popularity() -> None:
    fitted = measuring.read_evaluation(small_logs.fitted_model())
    counted = measuring.evaluate_model(small_logs.counting_model("popularity", "global")).measurement()
    assert fitted.event_hash == counted.event_hash
    assert fitted.metrics["MRR@10"] > 0.9
    assert counted.metrics["MRR@10"] < 0.5


def test_fit_leaves_a_whole_model() -> None:
    folder = small_logs.fitted_model()
    assert (folder / "corpus" / "manifest.json").exists()
    assert (folder / "evaluation" / "test.ranks.parquet").exists()
    assert not list(folder.rglob("*.checkpoint"))
    assert not (folder / "run.json").exists()
    page = (folder / "report.html").read_text()
    assert "hg_gnn/segue" in page
    assert "Trained on train; measured on test, user_80_20." in page
    measured = measuring.evaluate_model(folder)
    assert measured.measurement().metrics == measuring.read_evaluation(folder).metrics


def test_names_from_the_items_file_are_kept() -> None:
    items = load_model(small_logs.fitted_model()).items
    names = dict(zip(items.column("item_id").to_pylist(), items.column("name").to_pylist(), strict=True))
    assert (names["a3"], names["a0"]) == ("The [a3]", None)
    assert items.column_names == ["item_id", "name", "c"]


def test_final_trains_on_everything_after_test_is_measured(refitted: Path, tmp_path: Path) -> None:
    facts = load_model(refitted).facts
    assert facts["trained_on"] == ["train", "validation", "test"]
    assert len(load_model(refitted).history) == len(load(refitted / "corpus").sessions)
    without = runs.fit(str(small_logs.log()), tmp_path / "m", ONE_EPOCH, Options(refit=True))
    assert measuring.read_evaluation(refitted) == measuring.read_evaluation(without)
    assert load_model(without).facts["trained_on"] == ["train", "validation"]
    assert "Trained on train + validation; measured on test" in (refitted / "report.html").read_text()
    assert (refitted / "model.safetensors").read_bytes() != (without / "model.safetensors").read_bytes()


@pytest.mark.parametrize("part", [Part.TEST, Part.VALIDATION])
def test_what_was_trained_on_cannot_be_measured(refitted: Path, part: Part) -> None:
    with pytest.raises(ArtifactError, match=f"trained on the {part.name.lower()} part too; it cannot be measured"):
        measuring.evaluate_model(refitted, part=part)


@pytest.mark.parametrize(
    ("overrides", "key"),
    [
        ({"sessions": {"gap": "1h"}}, "sessions.gap"),
        ({"filters": {"top_items": 3}}, "filters.top_items"),
        ({"split": {"test": 0.5}}, "split.test"),
        ({"columns": {"item_id": "article"}}, "columns.item_id"),
    ],
)
def test_what_prepared_the_corpus_cannot_be_changed(tmp_path: Path, overrides: Nested, key: str) -> None:
    with pytest.raises(ConfigError, match=rf"setting '{key}' was fixed when the corpus"):
        runs.train(small_logs.corpus(), tmp_path / "m", overrides)
    assert list(tmp_path.iterdir()) == []


def test_what_prepared_the_corpus_may_be_repeated(tmp_path: Path) -> None:
    overrides = {
        **POPULARITY,
        "sessions": {"min_length": "2"},
        "split": {"test": 0.2},
        "filters": {"event_types": None},
    }
    assert runs.train(small_logs.corpus(), tmp_path / "m", overrides).exists()


def test_unknown_keys_of_the_preparation_are_refused_at_training(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"unknown setting 'sessions\.gapp': did you mean 'gap'"):
        runs.train(small_logs.corpus(), tmp_path / "m", {"sessions": {"gapp": "1h"}})


@pytest.mark.parametrize(
    "overrides", [{"model": {"preset": "papr"}}, {"model": {"dimm": 3}}, {"graph": {"sampel_size": 3}}]
)
def test_mistakes_in_settings_cost_no_preparation(tmp_path: Path, overrides: Nested) -> None:
    with pytest.raises(ConfigError, match="did you mean"):
        runs.fit(str(tmp_path / "nowhere.csv"), tmp_path / "m", overrides)
    assert list(tmp_path.iterdir()) == []


def test_a_log_that_leaves_no_test_session_is_refused_before_training(tmp_path: Path) -> None:
    """The last visit of each user is all new items."""
    rows = [
        (who, f"{item}{visit if visit == 4 else ''}{who if visit == 4 else ''}", 1_700_000_000 + 90_000 * visit + place)
        for who in ("u", "v", "w")
        for visit in range(5)
        for place, item in enumerate("xyz")
    ]
    log = small_logs.write_csv(tmp_path / "log.csv", rows)
    with pytest.raises(CorpusError, match="no test session is left"):
        runs.fit(str(log), tmp_path / "m", POPULARITY)
    assert [path.name for path in tmp_path.iterdir()] == ["log.csv"]


def test_a_fit_that_fails_early_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(UserMistake, match="no such file"):
        runs.fit(str(tmp_path / "nowhere.csv"), tmp_path / "deep" / "er" / "m", ONE_EPOCH)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("error", [RuntimeError("a defect"), ModelError("a defect"), OSError(5, "Input/output error")])
@pytest.mark.parametrize(
    "step", ["segue.pipeline.stages.check_needs", "segue.pipeline.fit.load", "segue.training.trainer.Trainer._step"]
)
def test_a_run_that_fails_before_its_first_checkpoint_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str, error: Exception
) -> None:
    def fail(*_: Any, **__: Any) -> NoReturn:
        raise error

    monkeypatch.setattr(step, fail)
    for run, source in ((runs.train, small_logs.corpus()), (runs.fit, str(small_logs.log()))):
        with pytest.raises(type(error), match=str(error.args[-1])):
            run(source, tmp_path / "deep" / "m", ONE_EPOCH)  # type: ignore[operator]
    assert list(tmp_path.iterdir()) == []


def test_a_run_that_fails_after_a_checkpoint_keeps_it(tmp_path: Path) -> None:
    def fail(at: Any) -> None:
        if at.epoch == 2:
            raise RuntimeError("a defect")

    two_epochs = small_logs.with_settings(training={"max_epochs": 2})
    with pytest.raises(RuntimeError, match="a defect"):
        runs.train(small_logs.corpus(), tmp_path / "m", two_epochs, Options(progress=fail))
    assert (tmp_path / "m.partial" / "metrics.checkpoint").exists()
    runs.train(small_logs.corpus(), tmp_path / "m", two_epochs, Options(resume=True))
    assert [path.name for path in tmp_path.iterdir()] == ["m"]


def test_memory_that_cannot_be_had_is_a_mistake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A petabyte: more than any machine gives, and refused before a byte is touched."""
    monkeypatch.setattr("segue.training.trainer.Trainer._step", lambda *_: torch.empty(2**50, dtype=torch.uint8))
    with pytest.raises(UserMistake, match=r"^out of memory while training hg_gnn/segue \(.*\); lower model\.dim"):
        runs.train(small_logs.corpus(), tmp_path / "m", ONE_EPOCH)
    monkeypatch.setattr("segue.training.trainer.Trainer._step", lambda *_: np.empty(2**50, dtype=np.uint8))
    with pytest.raises(UserMistake, match=r"^out of memory while training"):
        runs.train(small_logs.corpus(), tmp_path / "m", ONE_EPOCH)
    assert list(tmp_path.iterdir()) == []


def test_every_file_of_a_run_is_known_as_ours(refitted: Path, tmp_path: Path) -> None:
    """Else a model could not be replaced by a new one: the run is stopped late, when all of its files are there."""
    out = Path(shutil.copytree(refitted, tmp_path / "m"))
    measuring.write_evaluation(out, measuring.evaluate_model(small_logs.fitted_model(), part=Part.VALIDATION))
    refuse_existing(out, overwrite=True)
    three_stages = Options(refit=True, final=True, progress=_stop_at_the_third_stage())
    with pytest.raises(RuntimeError, match="the third stage"):
        runs.fit(str(small_logs.log()), tmp_path / "n", ONE_EPOCH, three_stages)
    partial = tmp_path / "n.partial"
    assert {"refit.checkpoint", "evaluation", "corpus", "run.json"} <= {path.name for path in partial.iterdir()}
    runs.train(small_logs.corpus(), tmp_path / "n", POPULARITY, Options(overwrite=True))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["m", "n"]


def _stop_at_the_third_stage() -> Callable[[Any], None]:
    stages: list[int] = []

    def advance(at: Any) -> None:
        if at.step == 1:
            stages.append(at.epoch)
        if len(stages) == 3:
            raise RuntimeError("the third stage")

    return advance


def test_what_came_into_the_way_during_a_run_is_not_replaced(tmp_path: Path) -> None:
    out = tmp_path / "m"

    def write_notes(_: Any) -> None:
        out.mkdir(exist_ok=True)
        (out / "notes.txt").write_text("mine")

    with pytest.raises(ArtifactError, match="exists already"):
        runs.train(small_logs.corpus(), out, ONE_EPOCH, Options(progress=write_notes))
    assert [path.name for path in out.iterdir()] == ["notes.txt"]
    out.rename(tmp_path / "notes")
    runs.train(small_logs.corpus(), out, ONE_EPOCH, Options(resume=True))
    assert load_model(out).facts["trained_on"] == ["train"]


def test_a_stopped_fit_resumes(tmp_path: Path) -> None:
    class Stopped(BaseException):
        pass

    def stop(_: Any) -> None:
        raise Stopped

    out, log = tmp_path / "m", str(small_logs.log())
    with pytest.raises(Stopped):
        runs.fit(log, out, small_logs.LEARNED, Options(progress=stop))
    written = (tmp_path / "m.partial" / "corpus" / "manifest.json").stat().st_mtime_ns
    runs.fit(log, out, small_logs.LEARNED, Options(resume=True))
    assert (out / "corpus" / "manifest.json").stat().st_mtime_ns == written
    wanted = small_logs.fitted_model() / "model.safetensors"
    assert (out / "model.safetensors").read_bytes() == wanted.read_bytes()


def test_a_fit_does_not_resume_with_other_items_or_users(tmp_path: Path) -> None:
    """The corpus of the unfinished run describes its items and users by the files it was prepared with."""

    class Stopped(BaseException):
        pass

    def stop(_: Any) -> None:
        raise Stopped

    out, log, items = tmp_path / "m", str(small_logs.log()), small_logs.items_file()
    users = small_logs.write_csv(tmp_path / "users.csv", [(small_logs.user(0), "Bonn")], ("user_id", "town"))
    other = Path(shutil.copy(items, tmp_path / "others.csv"))
    with pytest.raises(Stopped):
        runs.fit(log, out, ONE_EPOCH, Options(progress=stop), items=items, users=users)
    for files, differ in (
        ({"items": other, "users": users}, "items"),
        ({"items": items}, "users"),
        ({}, "items, users"),
    ):
        with pytest.raises(ArtifactError, match=rf"started differently \({differ}\)"):
            runs.fit(log, out, ONE_EPOCH, Options(resume=True), **files)
    runs.fit(log, out, ONE_EPOCH, Options(resume=True), items=items, users=users)
    assert load_model(out).users.column("town").to_pylist() == ["Bonn", *[None] * (small_logs.USERS - 1)]


def test_global_time_with_users_that_only_test_knows(tmp_path: Path) -> None:
    """They are measured, answered as unknown, and in a final fit feed the unknown user's row."""
    late = datetime(2024, 3, 1, tzinfo=UTC).timestamp()
    rows = [(who, item, datetime.fromisoformat(when).timestamp()) for who, item, when in small_logs.rows()]
    rows += [("late", item, late + 90_000 * visit) for visit in range(3) for item in ("first1", "second1", "a1")]
    log = small_logs.write_csv(tmp_path / "log.csv", rows)
    overrides = small_logs.with_settings(split={"protocol": "global_time", "test": 0.1}, training={"max_epochs": 1})
    out = runs.fit(str(log), tmp_path / "m", overrides, Options(refit=True, final=True))
    assert load(out / "corpus").user_ids[-1] == "late"
    assert measuring.read_evaluation(out).protocol == "global_time"
    answer = segue.load(out).recommend("late", ["first1"])
    assert not answer.user_known
    assert len(answer) == 10


def _frames() -> dict[str, Any]:
    columns = dict(zip(small_logs.COLUMNS, zip(*small_logs.rows(), strict=True), strict=True))
    frame = pd.DataFrame(columns)
    return {
        "pandas": frame.assign(timestamp=pd.to_datetime(frame["timestamp"])),
        "polars": pl.DataFrame({name: list(values) for name, values in columns.items()}),
        "arrow": pa.table({name: list(values) for name, values in columns.items()}),
    }


@pytest.mark.parametrize("kind", ["pandas", "polars", "arrow"])
def test_fit_takes_frames(kind: str) -> None:
    model = segue.fit(_frames()[kind], POPULARITY, refit=False)
    counted = segue.load(small_logs.counting_model("popularity", "global"))
    assert model.recommend(None, ["first1"]) == counted.recommend(None, ["first1"])


@pytest.mark.parametrize("kind", [pd.DataFrame, pl.DataFrame, pa.table])
def test_fit_takes_frames_of_items_and_users(kind: Callable[[dict[str, list[str]]], Any]) -> None:
    items = kind({"item_id": ["a3", "b3"], "name": ["Apple", "Bread"]})
    users = kind({"user_id": ["user00"], "town": ["Ulm"]})
    settings: Nested = {**POPULARITY, "graph": {"attributes": ["user.town"]}}
    model = segue.fit(small_logs.log(), settings, items=items, users=users, refit=False)
    assert [model.name(item) for item in ("a3", "b3", "a1")] == ["Apple", "Bread", "a1"]
    assert model.artifact.users.column("town").to_pylist()[:2] == ["Ulm", None]


@pytest.mark.parametrize("argument", ["items", "users"])
@pytest.mark.parametrize("value", [["a3"], 7, pd.DataFrame({"id": [1]}), pd.Series(["a3"]), "", "nowhere.csv"])
def test_what_describes_no_items_and_users_is_refused(argument: str, value: Any, tmp_path: Path) -> None:
    with pytest.raises(UserMistake) as refused:
        segue.fit(small_logs.log(), POPULARITY, out=tmp_path / "m", **{argument: value})
    assert "\n" not in str(refused.value)
    assert not (tmp_path / "m").exists()


def test_fit_takes_a_path_and_a_settings_file(tmp_path: Path) -> None:
    settings = tmp_path / "shop.toml"
    settings.write_text('[model]\nname = "popularity"\n[sessions]\nmin_length = 2\n[filters]\nmin_item_support = 1\n')
    model = segue.fit(small_logs.log(), settings, out=tmp_path / "m", items=small_logs.items_file())
    assert model.artifact.facts["trained_on"] == ["train", "validation"]
    assert segue.load(tmp_path / "m").recommend("user00", ["first1"]) == model.recommend("user00", ["first1"])
    with pytest.raises(ArtifactError, match="exists already"):
        segue.fit(small_logs.log(), settings, out=tmp_path / "m")
    assert segue.fit(small_logs.log(), settings, out=str(tmp_path / "m"), overwrite=True, final=True).artifact.facts[
        "trained_on"
    ] == ["train", "validation", "test"]


def test_a_model_without_a_folder_can_be_saved(tmp_path: Path) -> None:
    model = segue.fit(_frames()["pandas"], POPULARITY)
    temporary = model.artifact.folder
    model.save(tmp_path / "kept")
    answer = model.recommend("user00", ["first1"])
    del model
    assert not temporary.exists()
    assert segue.load(str(tmp_path / "kept")).recommend("user00", ["first1"]) == answer


@pytest.mark.parametrize("settings", [[1], {"training": 3}, {"trainig": {}}, {"training": {"seed": -1}}])
def test_settings_of_another_shape_are_a_mistake(tmp_path: Path, settings: Any) -> None:
    with pytest.raises(ConfigError):
        segue.fit(small_logs.log(), settings, out=tmp_path / "m")
    assert list(tmp_path.iterdir()) == []


def test_a_refit_learns_train_and_validation(tmp_path: Path) -> None:
    corpus_folder = small_logs.fitted_model() / "corpus"
    out = runs.train(corpus_folder, tmp_path / "model", POPULARITY, Options(refit=True))
    corpus = load(corpus_folder)
    both = corpus.with_train([Part.TRAIN, Part.VALIDATION])
    assert len(load_model(out).history) == len(both.train) > len(corpus.train)


def test_the_graph_spills_beside_the_run_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not into the system's temporary folder; what a killed run left there is no part of the model either."""
    real, seen = relations.connect, []

    def connect(preparation: PreparationSettings, scratch: Path) -> DuckDBPyConnection:
        seen.append(scratch)
        assert not (scratch.parent / "left by a killed run").exists()
        (scratch.parent / "spilled").write_text("a block")
        return real(preparation, scratch)

    monkeypatch.setattr(relations, "connect", connect)
    out, overrides = tmp_path / "model", small_logs.with_settings(training={"max_epochs": 1})

    def killed(at: Progress) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        runs.train(small_logs.corpus(), out, overrides, Options(refit=True, progress=killed))
    partial = tmp_path / "model.partial"
    assert not (partial / "scratch").exists()
    (partial / "scratch").mkdir()
    (partial / "scratch" / "left by a killed run").write_text("a block")
    runs.train(small_logs.corpus(), out, overrides, Options(resume=True, refit=True))
    assert {scratch.parent for scratch in seen} == {partial / "scratch"}
    assert not list(tmp_path.rglob("*scratch*"))

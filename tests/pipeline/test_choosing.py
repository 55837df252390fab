"""``segue fit`` chooses on train and validation: what it keeps, how it resumes, and what overrides it."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
import runs
import small_logs

import segue
from segue import models
from segue.artifact.model_folder import load_model, read_facts
from segue.data.corpus import Part
from segue.errors import ArtifactError
from segue.evaluation.full_ranking import Evaluation
from segue.evaluation.full_ranking import evaluate as measured
from segue.pipeline import choosing, stages
from segue.pipeline import fit as pipeline
from segue.pipeline.choosing import read_choices, verdict
from segue.pipeline.settings import left_open, settings_for_log
from segue.pipeline.stages import Options
from segue.settings import Nested
from segue.training.epochs import read_epochs

OPEN: Nested = {
    **{section: small_logs.SMALL[section] for section in ("sessions", "filters", "preparation")},
    "training": {"batch_events": 64, "threads": 1, "patience": 2, "max_epochs": 3, "pass_steps": 0},
}


class Stopped(BaseException):
    """The end of a process."""


def fit(out: Path, overrides: Nested = OPEN, **how: Any) -> Path:
    source, settings = settings_for_log(str(small_logs.log()), overrides)
    return pipeline.fit(source, out, settings, Options(left_open=left_open(source, overrides), **how))


@pytest.fixture(scope="module")
def chosen(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fit that chooses, with refit and final. Not to be changed by a test."""
    return fit(tmp_path_factory.mktemp("chosen") / "m", refit=True, final=True)


def preferring_vectors(_: Evaluation, __: Evaluation) -> tuple[bool, str]:
    return True, "they pay"


def test_counts_are_kept_where_vectors_cannot_help(chosen: Path) -> None:
    """The counts alone foresee both tastes."""
    facts, settings = read_facts(chosen)
    assert models.label(settings) == "hg_gnn/memory"
    assert "dim" not in {choice.setting.removeprefix("model.") for choice in read_choices(chosen)}
    (preset,) = (choice for choice in read_choices(chosen) if choice.setting == "model.preset")
    assert preset.value == "memory"
    assert "% HR@10 on validation" in preset.reason
    assert facts["trained_on"] == ["train", "validation", "test"]


def test_the_model_keeps_what_was_chosen_through_refit_and_final(chosen: Path) -> None:
    options = load_model(chosen).settings.model.options
    found = {choice.setting: choice.value for choice in read_choices(chosen)}
    assert found["model.window.length"] == options["window"]["length"] == 20
    assert found["model.history_half_life"] == options["history_half_life"] == "5d"
    assert found["model.trend_half_life"] == options["trend_half_life"]


def test_a_finished_model_holds_nothing_of_its_candidates(chosen: Path) -> None:
    names = {path.name for path in chosen.iterdir()}
    assert not names & {"memory.jsonl", "segue.jsonl", "choices.json", "memory.checkpoint", "segue.checkpoint"}
    assert any(record.best for record in read_epochs(chosen))
    assert "Chosen: model.preset = memory" in (chosen / "report.html").read_text()


def test_vectors_that_pay_are_trained_as_if_they_had_been_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(choosing, "verdict", preferring_vectors)
    out = fit(tmp_path / "m")
    found = {choice.setting: choice.value for choice in read_choices(out)}
    assert (found["model.preset"], found["model.dim"]) == ("segue", 64)
    options = load_model(out).settings.model.options
    asked: Nested = {**OPEN, "model": {"preset": "segue", **options}}
    literal = runs.fit(str(small_logs.log()), tmp_path / "n", asked)
    assert (out / "model.safetensors").read_bytes() == (literal / "model.safetensors").read_bytes()
    assert read_choices(literal) == []


@pytest.mark.parametrize("epoch", [(1, 2), (2, 1), (3, 1), (4, 1)])
def test_an_interrupted_fit_resumes_with_the_same_choices(chosen: Path, tmp_path: Path, epoch: tuple[int, int]) -> None:
    """Stopped in the counts, in the vectors, in the refit, and in the final fit."""
    stage, number = epoch
    begun = 0

    def stop(at: Any) -> None:
        nonlocal begun
        begun += at.epoch == at.step == 1
        if (begun, at.epoch) == (stage, number):
            raise Stopped

    out = tmp_path / "m"
    overrides = {**OPEN, "training": {**OPEN["training"], "checkpoint_minutes": 0}}
    with pytest.raises(Stopped):
        fit(out, overrides, refit=True, final=True, progress=stop)
    fit(out, overrides, refit=True, final=True, resume=True)
    assert read_choices(out) == read_choices(chosen)
    assert (out / "model.safetensors").read_bytes() == (chosen / "model.safetensors").read_bytes()
    assert [path.name for path in tmp_path.iterdir()] == ["m"]


def test_a_run_that_chooses_is_not_resumed_to_the_letter(tmp_path: Path) -> None:
    def stop(_: Any) -> None:
        raise Stopped

    with pytest.raises(Stopped):
        fit(tmp_path / "m", progress=stop)
    with pytest.raises(ArtifactError, match=r"started differently \(left_open\)"):
        runs.fit(str(small_logs.log()), tmp_path / "m", OPEN, Options(resume=True))


@pytest.mark.parametrize("text", ["{", '{"choices": 3}', '{"choices": [{"setting": "x"}]}'])
def test_damaged_choices_are_refused_in_one_line(tmp_path: Path, text: str) -> None:
    def stop(at: Any) -> None:
        if (tmp_path / "m.partial" / "choices.json").exists():
            raise Stopped

    with pytest.raises(Stopped):
        fit(tmp_path / "m", refit=True, progress=stop)
    (tmp_path / "m.partial" / "choices.json").write_text(text)
    with pytest.raises(ArtifactError, match=r"choices\.json cannot be read .*--overwrite, without --resume$"):
        fit(tmp_path / "m", refit=True, resume=True)


def test_no_test_session_decides_anything(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    parts = []

    def evaluate(model: Any, corpus: Any, part: Part, **how: Any) -> Any:
        parts.append((part, bool((corpus.part == Part.TEST).any())))
        return measured(model, corpus, part, **how)

    monkeypatch.setattr(choosing, "evaluate", evaluate)
    fit(tmp_path / "m")
    assert parts == [(Part.VALIDATION, False)] * 2


def test_a_budget_that_the_counts_use_up_leaves_the_vectors_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(choosing, "_minutes", lambda _: 3.0)
    out = fit(tmp_path / "m", {**OPEN, "training": {**OPEN["training"], "max_minutes": 5}})
    (preset,) = (choice for choice in read_choices(out) if choice.setting == "model.preset")
    assert preset.line == (
        "model.preset = memory: it took more than half of training.max_minutes = 5; the vectors were not tried"
    )


def test_without_validation_the_counts_are_taken_untried(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choosing, "evaluation_sessions", lambda *_: ([], None))
    lines = {choice.setting: choice.line for choice in read_choices(fit(tmp_path / "m"))}
    assert lines["model.preset"] == (
        "model.preset = memory: no session of validation is there to compare it with the vectors on"
    )


def test_attributes_in_the_graph_leave_the_vectors_open(tmp_path: Path) -> None:
    overrides: Nested = {**OPEN, "graph": {"attributes": ["item.c"]}}
    source, settings = settings_for_log(str(small_logs.log()), overrides)
    options = Options(left_open=left_open(source, overrides))
    out = pipeline.fit(source, tmp_path / "m", settings, options, items=small_logs.items_file())
    assert "model.preset" in {choice.setting for choice in read_choices(out)}


def test_python_chooses_too_unless_it_is_told_not_to() -> None:
    model = segue.fit(str(small_logs.log()), OPEN, refit=False)
    assert [choice.setting for choice in read_choices(model.artifact.folder)][-1] == "model.preset"
    literal = segue.fit(str(small_logs.log()), OPEN, refit=False, choose=False)
    assert read_choices(literal.artifact.folder) == []


def test_vectors_get_the_minutes_that_are_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choosing, "_minutes", lambda _: 2.0)
    monkeypatch.setattr(choosing, "verdict", preferring_vectors)
    given = []
    trainer = stages.Trainer

    def trained(*args: Any, **how: Any) -> Any:
        given.append(args[2].max_minutes)
        return trainer(*args, **how)

    monkeypatch.setattr(stages, "Trainer", trained)
    out = fit(tmp_path / "m", {**OPEN, "training": {**OPEN["training"], "max_minutes": 5}})
    assert given == [5, 3]
    assert load_model(out).settings.training.max_minutes == 5


def test_vectors_that_are_asked_for_are_trained_alone(tmp_path: Path) -> None:
    out = fit(tmp_path / "m", {**OPEN, "model": {"dim": 8, "window": {"length": 7}}})
    found = {choice.setting for choice in read_choices(out)}
    assert not found & {"model.preset", "model.dim", "model.window.length"}
    assert "model.history_half_life" in found
    settings = load_model(out).settings
    assert (models.label(settings), settings.model.options["window"]["length"]) == ("hg_gnn/segue", 7)


def evaluation(ranks: np.ndarray[Any, Any], user: np.ndarray[Any, Any]) -> Evaluation:
    return cast(Evaluation, SimpleNamespace(rank=ranks, events=SimpleNamespace(user=user)))


@pytest.mark.parametrize(
    ("users", "gain", "better"), [(50, 0.3, True), (50, 0.0, False), (50, -0.3, False), (5, 0.3, False)]
)
def test_vectors_pay_where_they_are_better_by_more_than_noise(users: int, gain: float, better: bool) -> None:
    draw = np.random.default_rng(3)
    user = np.repeat(np.arange(users), 20)
    counts, whole = (np.where(draw.random(len(user)) < share, 1, 99) for share in (0.4, 0.4 + gain))
    found, reason = verdict(evaluation(counts, user), evaluation(whole, user))
    assert found is better
    here, there = 100 * np.mean(whole <= 10), 100 * np.mean(counts <= 10)
    assert f"{here:.2f} against {there:.2f} % HR@10 on validation" in reason
    assert ("too few users" in reason) is (users < 6)


def test_equal_models_are_no_reason_for_vectors() -> None:
    user = np.repeat(np.arange(20), 5)
    ranks = np.arange(100) % 15 + 1
    assert not verdict(evaluation(ranks, user), evaluation(ranks, user))[0]


def test_choices_of_a_model_that_are_none_are_refused_in_one_line(chosen: Path, tmp_path: Path) -> None:
    facts = json.loads((chosen / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**facts, "choices": [{"setting": 3, "value": 1, "reason": ""}]}))
    with pytest.raises(ArtifactError, match=r"config\.json: setting: .*train it again$"):
        read_choices(tmp_path)

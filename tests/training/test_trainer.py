"""The training loop: what it selects, what it writes, and that a run which was stopped anywhere ends the same."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import runs
import small_logs
import torch
import worlds
from worlds import TEST, TRAIN, VALIDATION

from segue.artifact.checkpoint import load_checkpoint
from segue.contract.model import SessionEncoder
from segue.data.corpus import Corpus
from segue.errors import ArtifactError, ConfigError
from segue.pipeline.fit import Options
from segue.settings import EvaluationSettings, Nested, TrainingSettings
from segue.training import trainer as training
from segue.training.trainer import EpochPlan, Progress, Trainer

KEYS = ["epoch", "events", "seconds", "loss", "learning_rate", "validation", "best"]
METRICS = {"HR@5", "HR@10", "HR@20", "MRR@5", "MRR@10", "MRR@20", "NDCG@5", "NDCG@10", "NDCG@20"}
# With dropout and hidden users the random state matters; a checkpoint is written after every step.
RANDOM = small_logs.with_settings(
    model={"dropout": 0.5, "mask_users": 0.3}, training={"max_epochs": 3, "checkpoint_minutes": 0}
)


class Stopped(BaseException):
    """Stands for anything that ends a process without a warning."""


def busy(*parts: worlds.Part) -> Corpus:
    """The busy world with only these parts."""
    corpus = worlds.busy()
    kept = np.flatnonzero(np.isin(corpus.part, parts))
    return replace(corpus, sessions=corpus.sessions.take(kept), part=corpus.part[kept])


def trainer(folder: Path, corpus: Corpus | None = None, plan: list[EpochPlan] | None = None, **keys: Any) -> Trainer:
    """GRU4Rec on the busy world, several batches an epoch."""
    corpus = corpus or busy(TRAIN, VALIDATION)
    model = worlds.fitted(worlds.small("gru4rec", "full_softmax"), corpus)
    assert isinstance(model, SessionEncoder)
    given = {"batch_events": 16, "max_epochs": 3, "learning_rate": 0.01, **keys}
    return Trainer(model, corpus, TrainingSettings(**given), EvaluationSettings(), folder, plan=plan)


def records(folder: Path, name: str = "metrics") -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / f"{name}.jsonl").read_text().splitlines()]


def without_seconds(folder: Path, name: str = "metrics") -> list[dict[str, Any]]:
    return [{key: value for key, value in record.items() if key != "seconds"} for record in records(folder, name)]


def scripted(
    monkeypatch: pytest.MonkeyPatch, hits: list[float], ranks: list[float] | None = None
) -> list[dict[str, torch.Tensor]]:
    """Validation gives these HR@10 (and MRR@10) one after another; returns the weights each was measured with."""
    real, seen = training.evaluate, []

    def evaluate(model: SessionEncoder, *args: Any, **how: Any) -> Any:
        measured = real(model, *args, **how)
        shown = {
            **measured.as_dict(),
            "metrics": {
                **measured.as_dict()["metrics"],
                "HR@10": hits[len(seen)],
                "MRR@10": ranks[len(seen)] if ranks else 0.1,
            },
        }
        seen.append({name: tensor.clone() for name, tensor in model.state_dict().items()})
        return _Measured(measured.rank, shown)

    monkeypatch.setattr(training, "evaluate", evaluate)
    return seen


class _Measured:
    def __init__(self, rank: Any, shown: dict[str, Any]) -> None:
        self.rank, self._shown = rank, shown

    def as_dict(self) -> dict[str, Any]:
        return self._shown


def test_the_loss_goes_down(tmp_path: Path) -> None:
    trainer(tmp_path, max_epochs=8, patience=8).run()
    losses = [record.loss for record in records(tmp_path)]
    assert losses[-1] < 0.8 * losses[0]


def test_metrics_have_exactly_the_promised_keys(tmp_path: Path) -> None:
    run = trainer(tmp_path)
    run.run()
    found = records(tmp_path)
    assert [list(record) for record in found] == [KEYS] * 3
    assert [record.epoch for record in found] == [1, 2, 3]
    assert all(record.events == run.loader.n_events for record in found)
    assert all(set(record.validation) == METRICS for record in found)
    assert all(0 <= value <= 1 for record in found for value in record.validation.values())
    assert all(record.seconds > 0 and record.learning_rate == 0.01 for record in found)
    assert found[0]["best"] is True


def test_the_weights_of_the_best_epoch_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = scripted(monkeypatch, [0.1, 0.4, 0.4, 0.3])
    run = trainer(tmp_path, max_epochs=4)
    plan = run.run()
    kept = run.model.state_dict()
    assert all(torch.equal(kept[name], seen[1][name]) for name in kept)
    assert not all(torch.equal(kept[name], seen[3][name]) for name in kept)
    assert [record.best for record in records(tmp_path)] == [True, True, False, False]
    assert plan == [EpochPlan(0.01, 1.0)] * 2


def test_equal_hits_are_decided_by_the_reciprocal_rank(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scripted(monkeypatch, [1.0, 1.0, 1.0, 0.9], [0.3, 0.5, 0.4, 0.9])
    trainer(tmp_path, max_epochs=4).run()
    assert [record.best for record in records(tmp_path)] == [True, True, False, False]


def test_a_later_worse_epoch_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    results = []
    for epochs in (1, 2):
        (folder := tmp_path / str(epochs)).mkdir()
        scripted(monkeypatch, [0.5, 0.2])
        run = trainer(folder, max_epochs=epochs)
        run.run()
        monkeypatch.undo()
        results.append(run.model.state_dict())
    assert all(torch.equal(results[0][name], results[1][name]) for name in results[0])


def test_patience_ends_a_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scripted(monkeypatch, [0.1, 0.3, 0.2, 0.3, 0.9])
    assert len(trainer(tmp_path, max_epochs=30, patience=2).run()) == 2
    assert [record.best for record in records(tmp_path)] == [True, True, False, False]


def test_the_rate_falls_by_steps(tmp_path: Path) -> None:
    trainer(tmp_path, max_epochs=5, patience=9, schedule="step", decay=0.1, decay_every=2).run()
    rates = [record.learning_rate for record in records(tmp_path)]
    assert rates == pytest.approx([1e-2, 1e-2, 1e-3, 1e-3, 1e-4])


def test_the_rate_falls_on_a_plateau(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scripted(monkeypatch, [0.1, 0.1, 0.2, 0.1, 0.1])
    trainer(tmp_path, max_epochs=5, patience=9, schedule="plateau", decay=0.5).run()
    rates = [record.learning_rate for record in records(tmp_path)]
    assert rates == pytest.approx([1e-2, 1e-2, 5e-3, 5e-3, 2.5e-3])


def test_the_rate_reaches_the_optimizer(tmp_path: Path) -> None:
    """An epoch at a rate of next to nothing moves next to nothing."""
    run = trainer(tmp_path, plan=[EpochPlan(1e-2, 1.0), EpochPlan(1e-12, 1.0)])
    steps: list[dict[str, torch.Tensor]] = []

    def note(at: Progress) -> None:
        if at.step == at.steps:
            steps.append({name: tensor.clone() for name, tensor in run.model.state_dict().items()})

    run._progress = note
    run.run()
    assert all(torch.allclose(steps[0][name], steps[1][name], rtol=0, atol=1e-8) for name in steps[0])


def test_without_validation_the_last_epoch_stands(tmp_path: Path) -> None:
    run = trainer(tmp_path, busy(TRAIN), schedule="plateau", patience=1, max_epochs=4)
    assert len(run.run()) == 4
    found = records(tmp_path)
    assert [record.validation for record in found] == [{}] * 4
    assert [record.best for record in found] == [False] * 4
    assert [record.learning_rate for record in found] == [0.01] * 4


def test_max_minutes_cuts_an_epoch_short(tmp_path: Path) -> None:
    run = trainer(tmp_path, max_minutes=1e-9)
    plan = run.run()
    (record,) = records(tmp_path)
    assert 0 < record.events < run.loader.n_events
    assert plan == [EpochPlan(0.01, record.events / run.loader.n_events)]
    assert record.validation


def test_validation_counts_towards_max_minutes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run whose steps take no time at all is out of time after its first validation."""
    clock, real = [0.0], training.evaluate

    def evaluate(*args: Any, **how: Any) -> Any:
        clock[0] += 120.0
        return real(*args, **how)

    monkeypatch.setattr(training, "time", SimpleNamespace(monotonic=lambda: clock[0]))
    monkeypatch.setattr(training, "evaluate", evaluate)
    run = trainer(tmp_path, max_minutes=1.0)
    run.run()
    assert len(records(tmp_path)) == 1
    assert run.state.elapsed == 120.0


def test_a_refit_plays_the_share_that_selection_played(tmp_path: Path) -> None:
    run = trainer(tmp_path, plan=[EpochPlan(0.01, 1.0), EpochPlan(0.002, 0.5)])
    run.run()
    first, second = records(tmp_path)
    assert first["events"] == run.loader.n_events
    assert 0.25 < second["events"] / run.loader.n_events < 0.75
    assert (first["learning_rate"], second["learning_rate"]) == (0.01, 0.002)


def test_a_refit_equals_training_on_train_and_validation(tmp_path: Path) -> None:
    both = busy(TRAIN, VALIDATION).with_train([TRAIN, VALIDATION])
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    refit = trainer(tmp_path / "a", both, plan=[EpochPlan(0.01, 1.0)] * 2)
    plain = trainer(tmp_path / "b", both, max_epochs=2)
    refit.run()
    plain.run()
    found, wanted = refit.model.state_dict(), plain.model.state_dict()
    assert all(torch.equal(found[name], wanted[name]) for name in wanted)


def test_test_sessions_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="test sessions"):
        trainer(tmp_path, busy(TRAIN, VALIDATION, TEST))


def test_a_diverging_run_says_what_to_lower(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"the loss is (nan|inf); lower training\.learning_rate, found 1e\+38"):
        trainer(tmp_path, learning_rate=1e38, weight_decay=1e6).run()


@pytest.mark.parametrize("device", ["gpu", "cuda:99", "cuda:x"])
def test_a_device_that_is_not_there_is_a_mistake(tmp_path: Path, device: str) -> None:
    with pytest.raises(ConfigError, match=r"training\.device"):
        runs.train(small_logs.corpus(), tmp_path / "m", small_logs.with_settings(training={"device": device}))
    assert list(tmp_path.iterdir()) == []


def test_training_never_opens_test(tmp_path: Path) -> None:
    corpus = Path(shutil.copytree(small_logs.corpus(), tmp_path / "corpus"))
    (corpus / "test.parquet").unlink()
    found = runs.train(corpus, tmp_path / "without", small_logs.SMALL, Options(refit=True))
    wanted = runs.train(small_logs.corpus(), tmp_path / "with", small_logs.SMALL, Options(refit=True))
    assert (found / "model.safetensors").read_bytes() == (wanted / "model.safetensors").read_bytes()


def test_the_seed_decides(tmp_path: Path) -> None:
    def weights(name: str, seed: int) -> bytes:
        overrides = small_logs.with_settings(model={"dropout": 0.5}, training={"max_epochs": 1, "seed": seed})
        return (runs.train(small_logs.corpus(), tmp_path / name, overrides) / "model.safetensors").read_bytes()

    first = weights("a", 1)
    assert weights("b", 1) == first
    assert weights("c", 2) != first


def test_the_number_of_threads_is_left_as_it_was(tmp_path: Path) -> None:
    torch.set_num_threads(2)
    runs.train(small_logs.corpus(), tmp_path / "m", small_logs.with_settings(training={"max_epochs": 1}))
    assert torch.get_num_threads() == 2


@pytest.mark.parametrize("asked", [1, 3])
def test_the_threads_asked_for_compute(asked: int, tmp_path: Path) -> None:
    seen: list[int] = []
    overrides = small_logs.with_settings(training={"max_epochs": 1, "threads": asked})
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        options = Options(progress=lambda at: seen.append(torch.get_num_threads()))
        runs.train(small_logs.corpus(), tmp_path / "m", overrides, options)
        assert set(seen) == {asked}
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, int]:
    """An uninterrupted run with a refit, and the steps it took."""
    torch.set_num_threads(1)
    steps: list[Progress] = []
    out = tmp_path_factory.mktemp("whole") / "model"
    runs.train(small_logs.corpus(), out, RANDOM, Options(refit=True, progress=steps.append))
    return out, len(steps)


def same_run(found: Path, wanted: Path) -> None:
    """All but the wall time is equal, and nothing is left of the unfinished run."""
    assert (found / "model.safetensors").read_bytes() == (wanted / "model.safetensors").read_bytes()
    for name in ("metrics", "refit"):
        assert without_seconds(found, name) == without_seconds(wanted, name)
    assert {path.name for path in found.iterdir()} == {path.name for path in wanted.iterdir()}
    assert not found.with_name(found.name + ".partial").exists()


def stop_at(step: int, how: Callable[[], None]) -> Callable[[Progress], None]:
    """A listener that stops the run in its step number `step`, counted through all stages."""
    steps = iter(range(1, step + 1))

    def listen(at: Progress) -> None:
        if next(steps, None) == step:
            how()

    return listen


def _stopped() -> None:
    raise Stopped


@pytest.mark.parametrize("share", [0.0, 0.3, 0.55, 0.75, 1.0])
def test_a_stopped_run_ends_as_if_it_never_was(tmp_path: Path, whole: tuple[Path, int], share: float) -> None:
    wanted, steps = whole
    out = tmp_path / "model"
    stop = stop_at(max(1, round(share * steps)), _stopped)
    with pytest.raises(Stopped):
        runs.train(small_logs.corpus(), out, RANDOM, Options(refit=True, progress=stop))
    assert not out.exists()
    runs.train(small_logs.corpus(), out, RANDOM, Options(refit=True, resume=True))
    same_run(out, wanted)


def test_the_best_weights_survive_a_stop(tmp_path: Path) -> None:
    """Stopped after the best epoch, which nothing later reproduces."""
    wanted = runs.train(small_logs.corpus(), tmp_path / "wanted", RANDOM)
    (best,) = [record.epoch for record in records(wanted) if record.best][-1:]
    assert best < 3
    steps = iter(range(10_000))

    def stop(at: Progress) -> None:
        if at.epoch == 3 and next(steps) == 1:
            raise Stopped

    with pytest.raises(Stopped):
        runs.train(small_logs.corpus(), tmp_path / "model", RANDOM, Options(progress=stop))
    found = runs.train(small_logs.corpus(), tmp_path / "model", RANDOM, Options(resume=True))
    assert (found / "model.safetensors").read_bytes() == (wanted / "model.safetensors").read_bytes()


def test_a_resumed_run_that_never_improves_ends_with_its_best(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The best weights come from the checkpoint: nothing after the stop is as good."""
    seen = scripted(monkeypatch, [0.5, 0.3, 0.2, 0.1])

    def stop(at: Progress) -> None:
        if (at.epoch, at.step) == (3, 1):
            raise Stopped

    stopped = trainer(tmp_path, max_epochs=4, patience=4, checkpoint_minutes=0)
    stopped._progress = stop
    with pytest.raises(Stopped):
        stopped.run()
    resumed = trainer(tmp_path, max_epochs=4, patience=4, checkpoint_minutes=0)
    assert len(resumed.run(resume=True)) == 1
    assert len(seen) == 4
    kept = resumed.model.state_dict()
    assert all(torch.equal(kept[name], seen[0][name]) for name in kept)
    assert not all(torch.equal(kept[name], seen[3][name]) for name in kept)


def killed_in_the_second_epoch(out: Path, overrides: Nested) -> None:
    """A run with a refit whose process is killed in the second step of its second epoch."""
    program = f"""
import os, signal
from pathlib import Path
from segue.pipeline import fit as pipeline
from segue.pipeline.fit import Options

def die_in_the_second_epoch(at):
    if at.epoch == 2 and at.step == 2:
        os.kill(os.getpid(), signal.SIGKILL)

options = Options(refit=True, progress=die_in_the_second_epoch)
runs.train(Path({str(small_logs.corpus())!r}), Path({str(out)!r}), {overrides!r}, options)
"""
    killed = subprocess.run([sys.executable, "-c", program], env=one_thread(), capture_output=True, timeout=120)
    assert killed.returncode == -signal.SIGKILL, killed.stderr.decode()


def test_a_killed_process_resumes_bit_for_bit(tmp_path: Path, whole: tuple[Path, int]) -> None:
    out = tmp_path / "model"
    killed_in_the_second_epoch(out, RANDOM)
    _, state = load_checkpoint(tmp_path / "model.partial" / "metrics.checkpoint")
    assert (state["epoch"], state["step"]) == (2, 1)
    runs.train(small_logs.corpus(), out, RANDOM, Options(refit=True, resume=True))
    same_run(out, whole[0])


CARRYING: dict[str, dict[str, Any]] = {
    "gru4rec": {"name": "gru4rec", "preset": "official", "dim": 8, "dropout_hidden": 0.4, "n_sample": 16},
    "hrnn": {"name": "hrnn", "preset": "official", "dim": 8, "dropout_user": 0.4, "n_sample": 16},
}


@pytest.mark.parametrize("name", CARRYING)
def test_a_carried_state_survives_a_kill(tmp_path: Path, name: str) -> None:
    """Mid-epoch, with drawn candidates, dropout, and the optimizer's momentum."""
    overrides = {
        **RANDOM,
        "model": CARRYING[name],
        "training": {**RANDOM["training"], "optimizer": "adagrad", "momentum": 0.3},
    }
    found, wanted = tmp_path / "found", tmp_path / "wanted"
    killed_in_the_second_epoch(found, overrides)
    tensors, state = load_checkpoint(tmp_path / "found.partial" / "metrics.checkpoint")
    assert (state["epoch"], state["step"]) == (2, 1)
    assert tensors["carried"].any()
    for out in (found, wanted):
        runs.train(small_logs.corpus(), out, overrides, Options(refit=True, resume=out == found))
    same_run(found, wanted)


def one_thread() -> dict[str, str]:
    return {**os.environ, "OMP_NUM_THREADS": "1"}


def test_ctrl_c_saves_the_step_it_came_in(tmp_path: Path, whole: tuple[Path, int]) -> None:
    out = tmp_path / "model"
    overrides = {**RANDOM, "training": {**RANDOM["training"], "checkpoint_minutes": 10.0}}
    interrupt = stop_at(3, lambda: signal.raise_signal(signal.SIGINT))
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        runs.train(small_logs.corpus(), out, overrides, Options(refit=True, progress=interrupt))
    assert signal.getsignal(signal.SIGINT) is before
    _, state = load_checkpoint(tmp_path / "model.partial" / "metrics.checkpoint")
    assert (state["epoch"], state["step"]) == (1, 3)
    runs.train(small_logs.corpus(), out, overrides, Options(refit=True, resume=True))
    same_run(out, whole[0])


def test_ctrl_c_during_validation_is_not_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = training.evaluate

    def evaluate(*args: Any, **how: Any) -> Any:
        signal.raise_signal(signal.SIGINT)
        return real(*args, **how)

    monkeypatch.setattr(training, "evaluate", evaluate)
    run = trainer(tmp_path, max_epochs=1)
    with pytest.raises(KeyboardInterrupt):
        run.run()
    assert len(records(tmp_path)) == 1
    assert len(trainer(tmp_path, max_epochs=1).run(resume=True)) == 1


def test_ctrl_c_on_the_command_line_is_130_and_resumes(tmp_path: Path) -> None:
    overrides = small_logs.with_settings(
        training={"max_epochs": 10_000, "patience": 10_000, "max_minutes": 0.03, "checkpoint_minutes": 0}
    )
    out, checkpoint = tmp_path / "model", tmp_path / "model.partial" / "metrics.checkpoint"
    command = [*small_logs.COMMAND, "train", str(small_logs.corpus()), "--out", str(out), "--json"]
    command += small_logs.as_arguments(overrides)
    run = subprocess.Popen(command, env=one_thread(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    waited = time.monotonic()
    while not checkpoint.exists() and run.poll() is None and time.monotonic() - waited < 100:
        time.sleep(0.01)
    run.send_signal(signal.SIGINT)
    said, errors = run.communicate(timeout=60)
    assert run.returncode == 130, errors
    assert said == ""
    assert (
        errors.splitlines()[-1]
        == "interrupted; nothing is half-written: the same command goes on, a training run with --resume"
    )
    assert "Traceback" not in errors
    _, state = load_checkpoint(checkpoint)
    assert not state["finished"]
    runs.train(small_logs.corpus(), out, overrides, Options(resume=True))
    assert records(out)
    assert state["records"] == records(out)[: len(state["records"])]


def test_only_the_same_run_is_resumed(tmp_path: Path) -> None:
    out = tmp_path / "model"
    with pytest.raises(ArtifactError, match="nothing to resume"):
        runs.train(small_logs.corpus(), out, RANDOM, Options(resume=True))
    with pytest.raises(Stopped):
        runs.train(small_logs.corpus(), out, RANDOM, Options(progress=stop_at(2, _stopped)))
    with pytest.raises(ArtifactError, match=r"started differently \(settings\)"):
        runs.train(small_logs.corpus(), out, small_logs.SMALL, Options(resume=True))
    with pytest.raises(ArtifactError, match=r"started differently \(refit\)"):
        runs.train(small_logs.corpus(), out, RANDOM, Options(resume=True, refit=True))
    with pytest.raises(ArtifactError, match="continue it with --resume or drop it with --overwrite"):
        runs.train(small_logs.corpus(), out, RANDOM)
    runs.train(small_logs.corpus(), out, small_logs.SMALL, Options(overwrite=True))
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_a_damaged_checkpoint_is_a_mistake(tmp_path: Path) -> None:
    out = tmp_path / "model"
    with pytest.raises(Stopped):
        runs.train(small_logs.corpus(), out, RANDOM, Options(progress=stop_at(3, _stopped)))
    checkpoint = tmp_path / "model.partial" / "metrics.checkpoint"
    checkpoint.write_bytes(checkpoint.read_bytes()[:-100])
    with pytest.raises(ArtifactError, match=r"checkpoint .* cannot be read .*--overwrite"):
        runs.train(small_logs.corpus(), out, RANDOM, Options(resume=True))


def test_scores_that_run_away_before_the_loss_does_are_divergence(tmp_path: Path) -> None:
    reckless: Nested = {
        "model": {"name": "narm"},
        "training": {"learning_rate": 1e30, "max_epochs": 1, "batch_events": 10**6},
    }
    with pytest.raises(ConfigError, match=r"training diverged: .*lower training\.learning_rate"):
        runs.train(small_logs.corpus(), tmp_path / "m", reckless)
    assert list(tmp_path.iterdir()) == []

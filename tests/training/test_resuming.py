"""A run that was stopped anywhere ends as if it had never been stopped."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import runs
import small_logs
import torch
from training_runs import records, scripted, trainer

from segue.artifact.checkpoint import load_checkpoint
from segue.errors import ArtifactError
from segue.pipeline.stages import Options
from segue.settings import Nested
from segue.training import validation
from segue.training.state import Progress

# With dropout and hidden users the random state matters; a checkpoint is written after every step.
RANDOM = small_logs.with_settings(
    model={"dropout": 0.5, "mask_users": 0.3}, training={"max_epochs": 3, "checkpoint_minutes": 0}
)


class Stopped(BaseException):
    """Stands for anything that ends a process without a warning."""


def without_seconds(folder: Path, name: str = "metrics") -> list[dict[str, Any]]:
    return [{key: value for key, value in record.items() if key != "seconds"} for record in records(folder, name)]


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
    (best,) = [record["epoch"] for record in records(wanted) if record["best"]][-1:]
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


def test_a_record_that_a_killed_process_did_not_write_is_written(tmp_path: Path) -> None:
    """It was killed after the checkpoint of its last epoch, before the record of it."""
    trainer(tmp_path, max_epochs=2, checkpoint_minutes=0).run()
    wanted, (record,) = records(tmp_path), tmp_path.glob("*.jsonl")
    record.unlink()
    trainer(tmp_path, max_epochs=2, checkpoint_minutes=0).run(resume=True)
    assert records(tmp_path) == wanted


def killed_in_the_second_epoch(out: Path, overrides: Nested) -> None:
    """A run with a refit whose process is killed in the second step of its second epoch."""
    program = f"""
import os, signal
from pathlib import Path
import runs
from segue.pipeline.stages import Options

def die_in_the_second_epoch(at):
    if at.epoch == 2 and at.step == 2:
        os.kill(os.getpid(), signal.SIGKILL)

options = Options(refit=True, progress=die_in_the_second_epoch)
runs.train(Path({str(small_logs.corpus())!r}), Path({str(out)!r}), {overrides!r}, options)
"""
    killed = subprocess.run([sys.executable, "-c", program], env=one_thread(), capture_output=True, timeout=600)
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
    """The environment of a process with one thread, which may import what tests share."""
    return {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}


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
    real = validation.evaluate

    def evaluate(*args: Any, **how: Any) -> Any:
        signal.raise_signal(signal.SIGINT)
        return real(*args, **how)

    monkeypatch.setattr(validation, "evaluate", evaluate)
    run = trainer(tmp_path, max_epochs=1)
    with pytest.raises(KeyboardInterrupt):
        run.run()
    assert len(records(tmp_path)) == 1
    assert len(trainer(tmp_path, max_epochs=1).run(resume=True)) == 1


def test_ctrl_c_on_the_command_line_is_130_and_resumes(tmp_path: Path) -> None:
    """A run that does not end by itself, so that the interrupt finds it at work on the slowest machine."""
    overrides = small_logs.with_settings(
        training={"max_epochs": 1_000_000, "patience": 1_000_000, "checkpoint_minutes": 0}
    )
    out, checkpoint = tmp_path / "model", tmp_path / "model.partial" / "metrics.checkpoint"
    command = [*small_logs.COMMAND, "train", str(small_logs.corpus()), "--out", str(out), "--json"]
    command += small_logs.as_arguments(overrides)
    run = subprocess.Popen(command, env=one_thread(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        while not checkpoint.exists():
            assert run.poll() is None, run.communicate()
            time.sleep(0.01)
        run.send_signal(signal.SIGINT)
        said, errors = run.communicate(timeout=600)
    finally:
        run.kill()
    assert run.returncode == 130, errors
    assert said == ""
    assert (
        errors.splitlines()[-1]
        == "interrupted; nothing is half-written: the same command goes on, a training run with --resume"
    )
    assert "Traceback" not in errors
    _, state = load_checkpoint(checkpoint)
    assert not state["finished"]
    seen: list[Progress] = []

    def stop(at: Progress) -> None:
        seen.append(at)
        if at.epoch > state["epoch"]:
            raise Stopped

    with pytest.raises(Stopped):
        runs.train(small_logs.corpus(), out, overrides, Options(resume=True, progress=stop))
    assert (seen[0].epoch, seen[0].step) in {(state["epoch"], state["step"] + 1), (state["epoch"] + 1, 1)}
    assert state["records"] == records(tmp_path / "model.partial")[: len(state["records"])]


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

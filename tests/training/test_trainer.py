"""The training loop: what it selects, what it writes, and what it refuses."""

from __future__ import annotations

import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import runs
import small_logs
import torch
from training_runs import busy, records, scripted, trainer
from worlds import TEST, TRAIN, VALIDATION

from segue.errors import ConfigError
from segue.pipeline.stages import Options
from segue.settings import Nested
from segue.training import trainer as training
from segue.training import validation
from segue.training.state import EpochPlan, Progress
from segue.training.trainer import Trainer


def test_the_loss_goes_down(tmp_path: Path) -> None:
    trainer(tmp_path, max_epochs=8, patience=8).run()
    losses = [record["loss"] for record in records(tmp_path)]
    assert losses[-1] < 0.8 * losses[0]


def test_the_weights_of_the_best_epoch_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = scripted(monkeypatch, [0.1, 0.4, 0.4, 0.3])
    run = trainer(tmp_path, max_epochs=4)
    plan = run.run()
    kept = run.model.state_dict()
    assert all(torch.equal(kept[name], seen[1][name]) for name in kept)
    assert not all(torch.equal(kept[name], seen[3][name]) for name in kept)
    assert [record["best"] for record in records(tmp_path)] == [True, True, False, False]
    assert plan == [EpochPlan(0.01, 1.0)] * 2


def test_weights_of_before_stay_where_no_epoch_is_better(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scripted(monkeypatch, [0.5, 0.3, 0.4])
    run = trainer(tmp_path, trained_before=True, max_epochs=2)
    before = {name: tensor.clone() for name, tensor in run.model.state_dict().items()}
    assert run.run() == []
    assert all(torch.equal(tensor, before[name]) for name, tensor in run.model.state_dict().items())
    again = trainer(tmp_path, plan=[], trained_before=True)
    assert again.run() == []
    assert all(torch.equal(tensor, before[name]) for name, tensor in again.model.state_dict().items())


def test_equal_hits_are_decided_by_the_reciprocal_rank(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scripted(monkeypatch, [1.0, 1.0, 1.0, 0.9], [0.3, 0.5, 0.4, 0.9])
    trainer(tmp_path, max_epochs=4).run()
    assert [record["best"] for record in records(tmp_path)] == [True, True, False, False]


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
    assert [record["best"] for record in records(tmp_path)] == [True, True, False, False]


def test_the_rate_falls_by_steps(tmp_path: Path) -> None:
    trainer(tmp_path, max_epochs=5, patience=9, schedule="step", decay=0.1, decay_every=2).run()
    rates = [record["learning_rate"] for record in records(tmp_path)]
    assert rates == pytest.approx([1e-2, 1e-2, 1e-3, 1e-3, 1e-4])


def test_the_rate_falls_on_a_plateau(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scripted(monkeypatch, [0.1, 0.1, 0.2, 0.1, 0.1])
    trainer(tmp_path, max_epochs=5, patience=9, schedule="plateau", decay=0.5).run()
    rates = [record["learning_rate"] for record in records(tmp_path)]
    assert rates == pytest.approx([1e-2, 1e-2, 5e-3, 5e-3, 2.5e-3])


def in_passes(folder: Path, passes: int, **keys: Any) -> Trainer:
    """A run by schedule "step" whose epoch is so many passes."""
    steps = len(trainer(folder).loader.plan(64))
    return trainer(folder, batch_events=64, epoch_steps=passes * steps, schedule="step", **keys)


def test_short_passes_count_together_as_one_epoch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scripted(monkeypatch, [0.1 + 0.01 * n for n in range(8)])
    run = in_passes(tmp_path, 3, max_epochs=2, decay_every=1)
    plan = run.run()
    assert (run.pace.passes, run.max_epochs) == (3, 6)
    rates = [record["learning_rate"] for record in records(tmp_path)]
    assert rates == pytest.approx([1e-2] * 3 + [1e-3] * 3)
    assert [epoch.learning_rate for epoch in plan] == rates


def test_patience_begins_after_the_first_epoch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The best pass was the second of seven: they are played to the end, then three more in vain."""
    scripted(monkeypatch, [0.1, 0.5] + [0.1] * 30)
    in_passes(tmp_path, 7, patience=3).run()
    assert len(records(tmp_path)) == 7 + 3


def test_a_rate_falls_early_where_a_short_log_is_learned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Three passes are an epoch and three epochs a decay; the fifth pass is the best, the next ones are in vain."""
    scripted(monkeypatch, [0.1, 0.2, 0.3, 0.4, 0.5] + [0.1] * 30)
    in_passes(tmp_path, 3, patience=5, max_epochs=9).run()
    rates = [record["learning_rate"] for record in records(tmp_path)]
    assert rates == pytest.approx([1e-2] * 7 + [1e-3] * 2 + [1e-4])  # both rules are due after the ninth: once


def test_no_rate_falls_early_where_a_pass_is_an_epoch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scripted(monkeypatch, [0.5] + [0.1] * 30)
    in_passes(tmp_path, 1, patience=4, decay_every=9, max_epochs=9).run()
    assert [record["learning_rate"] for record in records(tmp_path)] == [1e-2] * 5


def test_batches_shrink_until_a_pass_has_enough_steps(tmp_path: Path) -> None:
    events = trainer(tmp_path).loader.n_events
    run = trainer(tmp_path, batch_events=10_000, pass_steps=4)
    assert run.pace.batch_events == events // 4 > 16
    assert abs(len(run.loader.plan(run.pace.batch_events)) - 4) <= 1
    assert trainer(tmp_path, batch_events=events // 4 - 1, pass_steps=4).pace.batch_events == events // 4 - 1
    assert trainer(tmp_path, batch_events=10_000).pace.batch_events == 10_000


def test_a_pass_may_read_a_part_of_the_log_another_one_each_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = trainer(tmp_path).loader.n_events
    run = trainer(tmp_path, batch_events=16, pass_events=32, max_epochs=6, patience=6)
    asked: list[tuple[int, Any]] = []
    plan = run.loader.plan
    monkeypatch.setattr(run.loader, "plan", lambda size, seed=None: asked.append((size, seed)) or plan(size, seed))
    run.run()
    found = [record["events"] for record in records(tmp_path)]
    assert all(16 <= events <= 64 < whole for events in found)
    seeds = [seed for _, seed in asked if seed is not None]
    assert seeds == [(0, epoch) for epoch in range(1, 7)], "another order in every pass"
    assert trainer(tmp_path, batch_events=16, pass_events=10**9).pace.passes == 1


def test_a_refit_plays_as_much_of_its_passes_as_was_played_when_they_were_selected(tmp_path: Path) -> None:
    plan = trainer(tmp_path, batch_events=16, pass_events=32, max_epochs=3, patience=3).run()
    assert all(0.5 < epoch.share < 2 for epoch in plan)
    selected = [record["events"] for record in records(tmp_path)][: len(plan)]
    (again := tmp_path / "again").mkdir()
    trainer(again, batch_events=16, pass_events=32, plan=plan).run()
    played = [record["events"] for record in records(again)]
    assert all(abs(events - before) <= 16 for events, before in zip(played, selected, strict=True))


def test_a_model_that_carries_a_state_reads_the_whole_log(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"'training.pass_events'.*set it to 0"):
        runs.train(small_logs.corpus(), tmp_path / "m", {
            "model": {"name": "gru4rec", "preset": "official"}, "training": {"pass_events": 100},
        })  # fmt: skip


def test_an_epoch_is_the_nearest_number_of_passes(tmp_path: Path) -> None:
    steps = len(trainer(tmp_path).loader.plan(16))
    assert steps == 5
    asked = (0, 1, 5, 7, 8, 12, 13)
    passes = {epoch_steps: trainer(tmp_path, epoch_steps=epoch_steps).pace.passes for epoch_steps in asked}
    assert passes == {0: 1, 1: 1, 5: 1, 7: 1, 8: 2, 12: 2, 13: 3}


def test_no_batch_is_made_smaller_than_sixteen(tmp_path: Path) -> None:
    assert trainer(tmp_path, batch_events=64, pass_steps=10**6).pace.batch_events == 16
    assert trainer(tmp_path, batch_events=8, pass_steps=10**6).pace.batch_events == 8


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
    assert [record["validation"] for record in found] == [{}] * 4
    assert [record["best"] for record in found] == [False] * 4
    assert [record["learning_rate"] for record in found] == [0.01] * 4


def test_max_minutes_cuts_an_epoch_short(tmp_path: Path) -> None:
    run = trainer(tmp_path, max_minutes=1e-9)
    plan = run.run()
    (record,) = records(tmp_path)
    assert 0 < record["events"] < run.loader.n_events
    assert plan == [EpochPlan(0.01, record["events"] / run.loader.n_events)]
    assert record["validation"]


def test_validation_counts_towards_max_minutes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run whose steps take no time at all is out of time after its first validation."""
    clock, real = [0.0], validation.evaluate

    def evaluate(*args: Any, **how: Any) -> Any:
        clock[0] += 120.0
        return real(*args, **how)

    monkeypatch.setattr(training, "time", SimpleNamespace(monotonic=lambda: clock[0]))
    monkeypatch.setattr(validation, "evaluate", evaluate)
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


def test_scores_that_run_away_before_the_loss_does_are_divergence(tmp_path: Path) -> None:
    reckless: Nested = {
        "model": {"name": "narm"},
        "training": {"learning_rate": 1e30, "max_epochs": 1, "batch_events": 10**6},
    }
    with pytest.raises(ConfigError, match=r"training diverged: .*lower training\.learning_rate"):
        runs.train(small_logs.corpus(), tmp_path / "m", reckless)
    assert list(tmp_path.iterdir()) == []

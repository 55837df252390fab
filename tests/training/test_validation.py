"""The events that epochs are compared on, and what the best epoch is measured on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from training_runs import busy, records, trainer
from worlds import TRAIN, VALIDATION

from segue.contract.encoder import SessionEncoder
from segue.data.corpus import Part
from segue.evaluation.full_ranking import evaluate, evaluation_sessions
from segue.evaluation.metrics import averages
from segue.evaluation.significance import FEWEST
from segue.training.trainer import Trainer
from segue.training.validation import Validated, judges


def validation_events(users: np.ndarray) -> int:
    """Events of these users in validation."""
    played, _ = evaluation_sessions(busy(TRAIN, VALIDATION), Part.VALIDATION)
    return int((played.lengths - 1)[np.isin(played.user, users)].sum())


def test_whole_users_are_drawn_until_there_are_enough_events() -> None:
    corpus = busy(TRAIN, VALIDATION)
    everybody = np.unique(corpus.select(Part.VALIDATION).user)
    by_user = [validation_events(np.array([user])) for user in everybody]
    for most in (1, max(by_user), sum(by_user) - 1):
        drawn = judges(corpus, most)
        if drawn is None:
            assert most > sum(by_user) - max(by_user), "only the last user drawn was more than asked for"
            continue
        assert 0 < len(drawn) < len(everybody)
        assert most <= validation_events(drawn) < most + max(by_user)
        assert np.array_equal(drawn, judges(corpus, most)), "always the same ones"


def test_everybody_is_measured_where_that_is_no_more_than_asked_for() -> None:
    corpus = busy(TRAIN, VALIDATION)
    every = validation_events(np.unique(corpus.select(Part.VALIDATION).user))
    assert judges(corpus, every) is None
    assert judges(corpus, 0) is None
    assert judges(busy(TRAIN), 1) is None


def test_only_the_best_pass_is_measured_on_all_of_validation(
    tmp_path_factory: pytest.TempPathFactory, caplog: pytest.LogCaptureFixture
) -> None:
    folder, corpus = tmp_path_factory.mktemp("m"), busy(TRAIN, VALIDATION)
    run = trainer(folder, max_epochs=3, validation_events=1)
    with caplog.at_level("INFO", "segue"):
        run.run()
    assert run.validation.judges is not None
    every, sample = len(evaluate(run.model, corpus, Part.VALIDATION).rank), validation_events(run.validation.judges)
    assert 0 < sample < every
    seen, best = records(folder), run.state.best_epoch
    assert [record["validation_events"] for record in seen] == [
        every if record["epoch"] == best else sample for record in seen
    ]
    assert seen[best - 1]["validation"] == evaluate(run.model, corpus, Part.VALIDATION).measurement().metrics
    assert f"on {sample} events" in caplog.text
    assert f"epoch {best} on all of validation" in caplog.text


def test_a_run_stopped_while_its_best_pass_is_measured_ends_as_if_it_had_not_been(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, stopped = tmp_path_factory.mktemp("whole"), tmp_path_factory.mktemp("stopped")
    how = {"max_epochs": 2, "validation_events": 1}
    trainer(whole, **how).run()

    def stop(self: Trainer) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(Trainer, "_measure_best", stop)
        with pytest.raises(KeyboardInterrupt):
            trainer(stopped, **how).run()
    assert len({record["validation_events"] for record in records(stopped)}) == 1
    trainer(stopped, **how).run(resume=True)
    found, wanted = ([{**record, "seconds": 0} for record in records(folder)] for folder in (stopped, whole))
    assert found == wanted


def test_a_refit_asks_no_judges(tmp_path_factory: pytest.TempPathFactory) -> None:
    plan = trainer(tmp_path_factory.mktemp("m"), max_epochs=2, validation_events=1).run()
    again = trainer(tmp_path_factory.mktemp("again"), plan=plan, validation_events=1)
    assert again.validation.judges is None
    again.run()
    assert not any(record["validation"] for record in records(again.folder))


def found(hits: int) -> Validated:
    """One event of each of twelve users; so many of the targets are among ten items."""
    rank = np.where(np.arange(12) < hits, 1, 99).astype(np.int64)
    return Validated(averages(rank), rank, np.arange(12))


def test_better_beyond_chance_is_an_interval_over_users_that_lies_above_zero() -> None:
    assert found(9).clearly_better_than(found(2))
    assert not found(3).clearly_better_than(found(2))
    assert not found(2).clearly_better_than(found(9))
    assert not found(9).clearly_better_than(found(9))
    one_user = Validated(averages(np.ones(50)), np.ones(50, dtype=np.int64), np.zeros(50, dtype=np.int64))
    nothing = Validated(averages(np.full(50, 99)), np.full(50, 99), one_user.user)
    assert not one_user.clearly_better_than(nothing), "fifty events of one user are no verdict"


@pytest.mark.parametrize(("users", "enough"), [(FEWEST - 1, False), (FEWEST, True)])
def test_a_verdict_takes_six_users(users: int, enough: bool) -> None:
    hit, missed = (Validated({}, np.full(users, rank), np.arange(users)) for rank in (1, 99))
    assert hit.clearly_better_than(missed) == enough


def test_weights_of_before_stay_until_a_pass_is_clearly_better(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second pass is better than the weights of before, but not beyond chance; the third is."""
    run, shown = trainer(tmp_path, trained_before=True, max_epochs=4, patience=3), iter((2, 1, 3, 12, 11))
    seen: list[dict[str, Tensor]] = []

    def measure(model: SessionEncoder, *, whole: bool) -> Validated:
        assert not whole
        seen.append({name: tensor.clone() for name, tensor in model.state_dict().items()})
        return found(next(shown))

    monkeypatch.setattr(run.validation, "measure", measure)
    assert len(run.run()) == 3
    assert [record["best"] for record in records(tmp_path)] == [False, False, True, False]
    assert all(torch.equal(tensor, seen[3][name]) for name, tensor in run.model.state_dict().items())


def test_a_training_from_earlier_weights_is_not_resumed(tmp_path: Path) -> None:
    """Its weights of before are in no checkpoint."""
    with pytest.raises(ValueError, match="it is not resumed"):
        trainer(tmp_path, trained_before=True).run(resume=True)


def test_a_training_from_new_weights_takes_what_is_better_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, shown = trainer(tmp_path, max_epochs=3, patience=3), iter((2, 3, 1))
    monkeypatch.setattr(run.validation, "measure", lambda model, *, whole: found(next(shown)))
    run.run()
    assert run.state.best_epoch == 2

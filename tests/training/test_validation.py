"""The events that epochs are compared on, and what the best epoch is measured on."""

from __future__ import annotations

import numpy as np
import pytest
from training_runs import busy, records, trainer
from worlds import TRAIN, VALIDATION

from segue.data.corpus import Part
from segue.evaluation.full_ranking import evaluate, evaluation_sessions
from segue.training.trainer import Trainer
from segue.training.validation import judges


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

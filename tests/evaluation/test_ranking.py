"""One pass over the events: what is refused, and what changes nothing."""

from __future__ import annotations

import pytest
import torch
from evaluated import two_users
from scorers import Network, Scorer, arbitrary, constant, oracle
from torch import Tensor
from worlds import TEST, VALIDATION, busy

from segue.data.batches import Batch
from segue.data.corpus import Part
from segue.errors import ModelError
from segue.evaluation.full_ranking import evaluate


@pytest.mark.parametrize("bad", [torch.nan, torch.inf, -torch.inf])
def test_scores_that_are_not_finite_are_refused(bad: float) -> None:
    corpus = two_users()

    def scores(batch: Batch) -> Tensor:
        scores = torch.zeros(len(batch), 40)
        scores[-1, 17] = bad
        return scores

    with pytest.raises(ModelError, match=r"mine: the score of item 17 is .* at position 0 of session 4"):
        evaluate(Scorer(scores), corpus, TEST, label="mine")


def test_scores_of_the_wrong_shape_are_refused() -> None:
    with pytest.raises(ModelError, match=r"\[4, 40\], found \[4, 39\]"):
        evaluate(constant(39), two_users(), TEST)


@pytest.mark.parametrize("mask_session", [True, False])
@pytest.mark.parametrize("part", [VALIDATION, TEST])
def test_batches_change_nothing(monkeypatch: pytest.MonkeyPatch, part: Part, mask_session: bool) -> None:
    corpus = busy()
    results = []
    for batch_events in (1, 7, 10_000):
        monkeypatch.setattr("segue.evaluation.ranking.events_per_chunk", lambda n_items, size=batch_events: size)
        measured = evaluate(arbitrary(corpus.n_items), corpus, part, mask_session=mask_session)
        results.append((measured.rank.tolist(), measured.as_dict()))
    assert results[0] == results[1] == results[2]


def test_a_network_is_asked_in_evaluation_mode_with_its_snapshot() -> None:
    corpus, model = two_users(), Network(40)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    for training in (True, False):
        model.train(training)
        evaluate(model, corpus, TEST)
        assert model.training is training
    assert set(model.asked) == {(False, True, 1)}
    assert model.snapshots == 0
    assert all(before[name].equal(tensor) for name, tensor in model.state_dict().items())
    bad = Network(40, bad=True)
    with pytest.raises(ModelError):
        evaluate(bad, corpus, TEST)
    assert (bad.training, bad.snapshots) == (True, 0), "left as it was found, even after an error"


def test_progress_counts_events(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("segue.evaluation.ranking.events_per_chunk", lambda n_items: 1)
    calls: list[tuple[int, int]] = []
    evaluate(oracle(40), two_users(), TEST, progress=lambda done, total: calls.append((done, total)))
    assert calls[-1] == (4, 4)
    assert [done for done, _ in calls] == sorted({done for done, _ in calls})

"""The evaluator against scorers whose ranks are known beforehand."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from scorers import Network, Scorer, arbitrary, constant, oracle
from torch import Tensor
from worlds import TEST, TRAIN, VALIDATION, busy, corpus_of

from segue.data.batches import Batch
from segue.data.corpus import Corpus, Part
from segue.data.loader import Loader
from segue.errors import CorpusError, ModelError
from segue.evaluation.full_ranking import evaluate, evaluation_sessions, event_hash
from segue.evaluation.metrics import CUTOFFS, METRICS
from segue.evaluation.slices import events_of, popularity_thirds


def two_users() -> Corpus:
    """User 0 plays (0, 1, 2) and (0, 1), user 1 plays (3, 4) in test. Items repeat inside train sessions."""
    return corpus_of(
        [[[0, 1, 0, 2], [0, 1, 2], [0, 1]], [[3, 4, 3], [3, 4]]], [[TRAIN, TEST, TEST], [TRAIN, TEST]], n_items=40
    )


def test_an_oracle_is_perfect_and_a_constant_finds_nothing(caplog: pytest.LogCaptureFixture) -> None:
    corpus = corpus_of([[[0, 1, 2, 0], [0, 1, 2]]], [[TRAIN, TEST]], n_items=50)
    assert set(evaluate(oracle(50), corpus, TEST).as_dict()["metrics"].values()) == {1.0}
    with caplog.at_level(logging.WARNING, logger="segue"):
        measured = evaluate(constant(50), corpus, TEST)
    assert set(measured.as_dict()["metrics"].values()) == {0.0}
    assert measured.rank.tolist() == [50, 50]
    assert measured.standard_rank.tolist() == [1, 1]
    assert measured.tie_gap() == {"HR@20": 1.0, "MRR@20": 1.0}
    assert "ties hide HR@20 100.000" in caplog.text


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


@pytest.mark.parametrize("length", [1, 3, 20])
def test_every_event_is_played_once_and_in_order(length: int) -> None:
    sessions, _ = evaluation_sessions(busy().with_train([TEST]), TRAIN)
    corpus = busy().with_train([TEST])
    batches = list(Loader(corpus, sessions, length).batches(11))
    events = events_of(sessions)
    assert torch.cat([batch.target for batch in batches]).tolist() == events.target.tolist()
    assert torch.cat([sessions_of(batch, sessions.number) for batch in batches]).tolist() == events.session.tolist()
    assert len(events) == (sessions.lengths - 1).sum()
    assert len({*zip(events.session.tolist(), events.position.tolist(), strict=True)}) == len(events)


def sessions_of(batch: Batch, number: np.ndarray) -> Tensor:
    return torch.from_numpy(number)[batch.session[batch.row]]


def test_averages_over_events_sessions_and_users() -> None:
    corpus = two_users()

    def scores(batch: Batch) -> Tensor:
        """Target 1 comes first, target 2 second, target 4 nowhere near."""
        scores = torch.arange(40).float().repeat(len(batch), 1)
        scores[:, 1], scores[:, 2], scores[:, 4] = 100, 99, -1
        return scores

    result = evaluate(Scorer(scores), corpus, TEST).as_dict()
    assert (result["events"], result["sessions"], result["users"]) == (4, 3, 2)
    assert result["metrics"]["MRR@5"] == pytest.approx((1 + 1 / 2 + 1 + 0) / 4)
    assert result["metrics_by_session"]["MRR@5"] == pytest.approx(((1 + 1 / 2) / 2 + 1 + 0) / 3)
    assert result["metrics_by_user"]["MRR@5"] == pytest.approx(((1 + 1 / 2 + 1) / 3 + 0) / 2)


def test_the_result_has_the_promised_shape() -> None:
    result = json.loads(json.dumps(evaluate(oracle(40), two_users(), TEST, label="hg_gnn/segue").as_dict()))
    promised = ["split", "protocol", "history", "model", "corpus_fingerprint", "events", "sessions", "users"]
    assert list(result)[:12] == [*promised, "metrics", "metrics_by_session", "metrics_by_user", "slices"]
    assert (result["split"], result["history"], result["model"]) == ("test", "frozen", "hg_gnn/segue")
    assert list(result["metrics"]) == list(METRICS)


def test_ranks_file(tmp_path: Path) -> None:
    corpus = two_users()
    evaluate(oracle(40), corpus, TEST).write_ranks(tmp_path / "ranks.parquet")
    assert pq.read_table(tmp_path / "ranks.parquet").to_pydict() == {
        "user": ["user00000", "user00000", "user00000", "user00001"],
        "session": [1, 1, 2, 4],
        "position": [0, 1, 0, 0],
        "target": ["item00001", "item00002", "item00001", "item00004"],
        "rank": [1, 1, 1, 1],
    }


def test_all_models_share_the_event_hash_and_one_changed_event_shows() -> None:
    corpus = busy()
    sessions, _ = evaluation_sessions(corpus, TEST)
    models = [oracle(corpus.n_items), constant(corpus.n_items), arbitrary(corpus.n_items, length=2)]
    assert {evaluate(model, corpus, TEST).as_dict()["event_hash"] for model in models} == {event_hash(sessions)}
    changed = sessions.take(np.arange(len(sessions)))
    changed.items[-1] = (changed.items[-1] + 1) % corpus.n_items
    assert event_hash(changed) != event_hash(sessions)
    assert event_hash(sessions.take(np.arange(len(sessions) - 1))) != event_hash(sessions)


def test_validation_items_unseen_in_train_are_left_out_and_counted() -> None:
    corpus = corpus_of(
        [[[0, 1, 2], [0, 3, 1], [2, 3], [0, 3, 2]], [[1, 2, 0], [1, 2]]],
        [[TRAIN, VALIDATION, VALIDATION, TEST], [TRAIN, VALIDATION]],
    )
    sessions, skipped = evaluation_sessions(corpus, VALIDATION)
    assert (sessions.items.tolist(), sessions.number.tolist()) == ([0, 1, 1, 2], [1, 5])
    assert (skipped.clicks, skipped.sessions) == (2, 1)
    assert evaluate(oracle(4), corpus, VALIDATION).as_dict()["skipped"] == {"clicks": 2, "sessions": 1}
    assert evaluation_sessions(corpus, TEST)[0].items.tolist() == [0, 3, 2], "filtered at preparation, kept here"


def test_a_part_without_sessions_measures_nothing_and_says_so() -> None:
    measured = evaluate(oracle(3), corpus_of([[[0, 1, 2]]]), VALIDATION)
    assert len(measured.rank) == 0
    with pytest.raises(CorpusError, match="the validation part of the corpus holds no session"):
        measured.as_dict()


MISSED = max(CUTOFFS) + 1
"""The rank of a masked target among fewer items than the longest list holds."""


def masking_corpus(train: list[int]) -> Corpus:
    return corpus_of([[train, [5, 6, 7, 8, 5]]], [[TRAIN, TEST]], n_items=10)


def prefers_small_items(length: int = 20) -> Scorer:
    return Scorer(lambda batch: -torch.arange(10).float().expand(len(batch), 10), length)


@pytest.mark.parametrize("length", [1, 20])
def test_masked_items_are_no_candidates_whatever_the_window(length: int) -> None:
    model, corpus = prefers_small_items(length), masking_corpus([0, 1, 2])
    assert evaluate(model, corpus, TEST, mask_session=False).rank.tolist() == [7, 8, 9, 6]
    masked = evaluate(model, corpus, TEST, mask_session=True)
    assert masked.rank.tolist() == [6, 6, 6, MISSED], "the last target is masked itself"
    assert masked.standard_rank.tolist() == [6, 6, 6, MISSED]
    assert evaluate(oracle(10), corpus, TEST, mask_session=True).rank.tolist() == [1, 1, 1, MISSED]


@pytest.mark.parametrize(("n_items", "rank"), [(9, MISSED), (20, MISSED), (21, 21), (30, 30)])
def test_a_masked_target_is_a_miss_on_any_catalogue(n_items: int, rank: int) -> None:
    corpus = corpus_of([[[0, 1, 2], [5, 6, 5]]], [[TRAIN, TEST]], n_items=n_items)
    measured = evaluate(oracle(n_items), corpus, TEST, mask_session=True)
    assert measured.rank.tolist() == measured.standard_rank.tolist() == [1, rank]
    assert measured.as_dict()["metrics"] == dict.fromkeys(METRICS, 0.5)


def test_masking_is_automatic_where_train_sessions_never_repeat() -> None:
    model = prefers_small_items()
    alone, repeats = masking_corpus([0, 1, 2]), masking_corpus([0, 1, 0])
    assert evaluate(model, alone, TEST).as_dict()["masked"] is True
    assert evaluate(model, alone, TEST).rank.tolist() == [6, 6, 6, MISSED]
    assert evaluate(model, repeats, TEST).as_dict()["masked"] is False
    assert evaluate(model, repeats, TEST).rank.tolist() == [7, 8, 9, 6]


def test_masking_equals_taking_the_items_out_of_the_scores() -> None:
    corpus = busy()
    model = arbitrary(corpus.n_items)
    measured = evaluate(model, corpus, TEST, mask_session=True)
    (batch,) = Loader(corpus, corpus.select(TEST), 100).batches(10_000)
    scores, prefixes = model.scores(batch), batch.prefixes()
    for event, target in enumerate(batch.target.tolist()):
        prefix = prefixes.items[event][prefixes.mask[event]]
        own = scores[event, target].item()
        scores[event, prefix] = -1
        expected = MISSED if target in prefix else int((scores[event] >= own).sum())
        assert measured.rank[event] == expected
    assert measured.events.repeated.any()
    assert not measured.events.repeated.all()


def test_slices_by_hand() -> None:
    corpus = corpus_of(
        [[[0, 1, 0], [1, 2, 1, 0, 3, 3]], [[0, 2]] * 6 + [[2, 1]], [[0, 1]]],
        [[TRAIN, TEST], [TRAIN] * 6 + [TEST], [TEST]],
    )
    measured = evaluate(oracle(4), corpus, TEST, mask_session=False)
    # Events: (user, target) = (0, 2) (0, 1) (0, 0) (0, 3) (0, 3) | (1, 1) | (2, 1); train holds 0: 8, 2: 6, 1: 1.
    columns = {name: column.tolist() for name, column in measured.slices.items()}
    assert columns == {
        "prefix_length": [0, 1, 1, 2, 2, 0, 0],
        "target": [2, 0, 1, 2, 0, 2, 2],
        "popularity": [1, 2, 0, 2, 2, 2, 2],
        "history": [1, 1, 1, 1, 1, 2, 0],
    }
    slices = measured.as_dict()["slices"]
    assert slices["target"]["repeat in session"] == {"events": 2, **measured.as_dict()["metrics"]}
    assert {name: sum(s["events"] for s in group.values()) for name, group in slices.items()} == dict.fromkeys(
        columns, 7
    )
    assert "20+" not in slices["history"], "a slice without events is left out"


def test_popularity_thirds_hold_a_third_of_the_events_each() -> None:
    assert popularity_thirds(np.array([1, 2, 4, 1, 0, 1])).tolist() == [2, 1, 0, 2, 2, 2]
    assert popularity_thirds(np.array([5, 5, 5, 5, 5, 5])).tolist() == [0, 0, 1, 1, 2, 2]
    assert popularity_thirds(np.zeros(3, dtype=np.int64)).tolist() == [2, 2, 2]


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


def test_history_is_frozen_or_rolling() -> None:
    corpus, seen = two_users(), []

    def scores(batch: Batch) -> Tensor:
        seen.append(batch.past_sessions[batch.row].tolist())
        return torch.zeros(len(batch), 40)

    for policy in ("frozen", "rolling"):
        assert evaluate(Scorer(scores), corpus, TEST, history=policy).as_dict()["history"] == policy
    assert seen == [[1, 1, 1, 1], [1, 1, 2, 1]]


def test_progress_counts_events(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("segue.evaluation.ranking.events_per_chunk", lambda n_items: 1)
    calls: list[tuple[int, int]] = []
    evaluate(oracle(40), two_users(), TEST, progress=lambda done, total: calls.append((done, total)))
    assert calls[-1] == (4, 4)
    assert [done for done, _ in calls] == sorted({done for done, _ in calls})

"""The evaluator against scorers whose ranks are known beforehand."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from evaluated import two_users
from scorers import Scorer, arbitrary, constant, oracle
from torch import Tensor
from worlds import TEST, TRAIN, VALIDATION, busy, corpus_of

from segue.data.batches import Batch
from segue.data.loader import Loader
from segue.errors import CorpusError
from segue.evaluation.full_ranking import evaluate, evaluation_sessions, event_hash
from segue.evaluation.metrics import METRICS
from segue.evaluation.slices import SLICES, events_of


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
    found = pq.read_table(tmp_path / "ranks.parquet").to_pydict()
    assert list(found)[5:] == [f"slice_{kind}" for kind in SLICES]
    assert found["slice_target"] == ["repeat in history"] * 4
    assert found["slice_click"] == ["first of a known user", "later", *["first of a known user"] * 2]
    assert {name: found[name] for name in list(found)[:5]} == {
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


def test_history_is_frozen_or_rolling() -> None:
    corpus, seen = two_users(), []

    def scores(batch: Batch) -> Tensor:
        seen.append(batch.past_sessions[batch.row].tolist())
        return torch.zeros(len(batch), 40)

    for policy in ("frozen", "rolling"):
        assert evaluate(Scorer(scores), corpus, TEST, history=policy).as_dict()["history"] == policy
    assert seen == [[1, 1, 1, 1], [1, 1, 2, 1]]

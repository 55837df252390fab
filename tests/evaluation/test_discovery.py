"""Lists that reserve places for new items: the places against lists that are made one by one."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scorers import Scorer, arbitrary
from torch import Tensor
from worlds import TEST, TRAIN, busy, corpus_of

from segue.data.batches import Batch, HistoryPolicy
from segue.data.corpus import Corpus
from segue.data.loader import Loader
from segue.evaluation.full_ranking import Evaluation, evaluate
from segue.evaluation.measurement import Measurement
from segue.evaluation.metrics import CUTOFFS, METRICS
from segue.evaluation.reserved import reserved_places

MISSED = max(CUTOFFS) + 1
SHARES = (0.0, 0.1, 0.3, 0.5, 1.0)


def arbitrary_without_ties(n_items: int) -> Scorer:
    """Distinct scores that depend on the event alone; a prime of items makes them a permutation."""

    def scores(batch: Batch) -> Tensor:
        key = batch.session[batch.row] * 31 + batch.position * 17
        return ((key[:, None] + 1) * (torch.arange(n_items) + 1) * 7919 % 10_007).double()

    return Scorer(scores)


def one_list(scores: list[float], target: int, barred: set[int], known: set[int], reserved: int, k: int) -> list[int]:
    """A list of k as the definition has it, the target last among its equals."""
    ranked = sorted(set(range(len(scores))) - barred, key=lambda item: (-scores[item], item == target))
    chosen = ranked[:k]
    waiting = [item for item in ranked[k:] if item not in known]
    while waiting and sum(item not in known for item in chosen) < reserved:
        giving_way = max((item for item in chosen if item in known), key=chosen.index)
        chosen.remove(giving_way)
        chosen.append(waiting.pop(0))
    return chosen


def places_one_by_one(model: Scorer, corpus: Corpus, share: float, masked: bool, history: HistoryPolicy) -> np.ndarray:
    played = corpus.select(TEST)
    (batch,) = Loader(corpus, played, 100, policy=history).batches(10_000)
    scores, prefixes = model.scores(batch).tolist(), batch.prefixes()
    places = np.full((len(CUTOFFS), len(batch)), MISSED)
    for event, target in enumerate(batch.target.tolist()):
        prefix = set(prefixes.items[event][prefixes.mask[event]].tolist())
        start, end = batch.past[batch.row[event]].tolist()
        past = set(batch.store.items[start:end].tolist())
        for row, k in enumerate(CUTOFFS):
            reserved = math.floor(share * k + 0.5) if past else 0
            found = one_list(scores[event], target, prefix if masked else set(), past | prefix, reserved, k)
            if target in found:
                places[row, event] = 1 + found.index(target)
    return places


def measured_places(measured: Evaluation) -> np.ndarray:
    assert measured.discoveries is not None
    return measured.discoveries.places


@pytest.mark.parametrize("share", SHARES)
@pytest.mark.parametrize("masked", [True, False])
@pytest.mark.parametrize("history", ["frozen", "rolling"])
@pytest.mark.parametrize("scores", [arbitrary, arbitrary_without_ties])
def test_the_places_are_those_of_lists_made_one_by_one(
    scores: Any, history: HistoryPolicy, masked: bool, share: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    corpus = busy(n_items=60)
    monkeypatch.setattr("segue.evaluation.ranking.events_per_chunk", lambda n_items: 5)
    measured = evaluate(scores(60), corpus, TEST, mask_session=masked, history=history, discover=share)
    expected = places_one_by_one(scores(60), corpus, share, masked, history)
    np.testing.assert_array_equal(measured_places(measured), expected)


@settings(max_examples=60)
@given(st.data())
def test_any_small_world(data: st.DataObject) -> None:
    n_items = data.draw(st.integers(2, 40), label="items")
    session = st.lists(st.integers(0, n_items - 1), min_size=2, max_size=6)
    sessions = data.draw(st.lists(session, min_size=2, max_size=6), label="sessions")
    corpus = corpus_of([sessions], [[TRAIN] * (len(sessions) - 1) + [TEST]], n_items=n_items)
    share = data.draw(st.sampled_from(SHARES), label="share")
    masked = data.draw(st.booleans(), label="masked")
    measured = evaluate(arbitrary(n_items), corpus, TEST, mask_session=masked, discover=share)
    expected = places_one_by_one(arbitrary(n_items), corpus, share, masked, "frozen")
    np.testing.assert_array_equal(measured_places(measured), expected)


def test_by_hand() -> None:
    """The user knows 0 to 9, the model prefers small items; half of the ten places go to 10 to 14."""
    corpus = corpus_of([[list(range(10)), [20, 14, 4, 5, 15]]], [[TRAIN, TEST]], n_items=40)
    small = Scorer(lambda batch: -torch.arange(40).float().expand(len(batch), 40))
    measured = evaluate(small, corpus, TEST, mask_session=False, discover=0.5)
    ten = measured_places(measured)[CUTOFFS.index(10)].tolist()
    # 14 is the fifth new item. 4 keeps its place, 5 gave way. Once 14 is of the session, 15 is the fifth new item.
    assert measured.rank.tolist() == [15, 5, 6, 16]
    assert ten == [10, 5, MISSED, 10]
    found = measured.as_dict()["discovery"]
    assert (found["share"], found["places"]) == (0.5, {"5": 3, "10": 5, "20": 10})
    assert found["metrics"]["HR@10"] == 0.75
    assert found["metrics"]["MRR@10"] == pytest.approx((0.1 + 0.2 + 0.1) / 4)
    assert found["slices"]["target"]["new"] == {
        "events": 2,
        **{k: found["slices"]["target"]["new"][k] for k in METRICS},
    }
    assert found["slices"]["target"]["new"]["HR@10"] == 1
    assert measured.as_dict()["slices"]["target"]["new"]["HR@10"] == 0


def test_nothing_is_reserved_for_users_without_history() -> None:
    """Both go back to 5, which the model likes best: with a history it gives way to new items, without it does not."""
    corpus = corpus_of([[[0, 1, 2], [5, 6, 5]], [[5, 6, 5]]], [[TRAIN, TEST], [TEST]], n_items=30)
    likes_5 = Scorer(lambda batch: -(torch.arange(30) - 5.0).abs().expand(len(batch), 30))
    measured = evaluate(likes_5, corpus, TEST, mask_session=False, discover=1.0)
    assert measured.rank.tolist() == [3, 1, 3, 1]
    assert measured_places(measured)[1].tolist() == [2, MISSED, 3, 1]


def test_a_share_of_nothing_is_the_plain_list_and_no_rank_changes() -> None:
    corpus = busy(n_items=60)
    plain, asked = evaluate(arbitrary(60), corpus, TEST), evaluate(arbitrary(60), corpus, TEST, discover=0.0)
    half = evaluate(arbitrary(60), corpus, TEST, discover=0.5)
    assert plain.rank.tolist() == half.rank.tolist()
    result = asked.as_dict()
    assert result["discovery"]["metrics"] == result["metrics"]
    assert result["discovery"]["slices"] == result["slices"]
    assert "discovery" not in plain.as_dict()


def test_the_json_shape_is_read_back() -> None:
    measured = evaluate(arbitrary(60), busy(n_items=60), TEST, discover=0.3).measurement()
    assert Measurement.parse(json.loads(json.dumps(measured.as_dict()))) == measured


@pytest.mark.parametrize(
    ("share", "k", "places"),
    [(0, 10, 0), (1, 10, 10), (0.3, 10, 3), (0.5, 5, 3), (0.3, 5, 2), (0.29, 50, 15), (0.1, 4, 0), (0.25, 10, 3)],
)
def test_a_half_is_rounded_up_as_it_is_written(share: float, k: int, places: int) -> None:
    assert reserved_places(share, k) == places


@given(st.floats(0, 1), st.integers(1, 1000))
def test_reserved_places_are_the_nearest_whole_number(share: float, k: int) -> None:
    assert abs(reserved_places(share, k) - share * k) <= 0.5 + 1e-9
    assert 0 <= reserved_places(share, k) <= k


@pytest.mark.parametrize("share", [-0.1, 1.1, math.nan])
def test_a_share_lies_between_nothing_and_everything(share: float) -> None:
    with pytest.raises(ValueError, match="a share lies from 0 to 1"):
        reserved_places(share, 10)

"""Ranks and metrics against documented examples, a numpy sort, and sums done by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from segue.evaluation.metrics import (
    METRICS,
    all_finite,
    averages,
    conservative_rank,
    discounted_gain,
    hit_rate,
    reciprocal_rank,
    standard_rank,
)


def test_ties_give_the_two_documented_ranks() -> None:
    scores = torch.tensor([[5.0, 3.0, 3.0, 3.0, 1.0]])
    target = torch.tensor([2])
    assert standard_rank(scores, target).tolist() == [2]
    assert conservative_rank(scores, target).tolist() == [4]


@given(
    scores=arrays.arrays(
        np.float32,
        st.tuples(st.integers(1, 9), st.integers(1, 30)),
        elements=st.sampled_from([-2.5, -1.0, -0.0, 0.0, 1e-30, 1.0, 3.5]),
    ),
    seed=st.integers(0, 2**16),
    transposed=st.booleans(),
)
def test_ranks_agree_with_a_sort(scores: np.ndarray, seed: int, transposed: bool) -> None:
    target = np.random.default_rng(seed).integers(scores.shape[1], size=len(scores))
    descending = -np.sort(-scores, axis=1)
    at_target = scores[np.arange(len(scores)), target]
    first = [int(np.searchsorted(-row, -own, side="left")) + 1 for row, own in zip(descending, at_target, strict=True)]
    last = [int(np.searchsorted(-row, -own, side="right")) for row, own in zip(descending, at_target, strict=True)]
    given_scores = torch.from_numpy(scores.T.copy()).t() if transposed else torch.from_numpy(scores)
    assert standard_rank(given_scores, torch.from_numpy(target)).tolist() == first
    assert conservative_rank(given_scores, torch.from_numpy(target)).tolist() == last


@pytest.mark.parametrize("layout", ["events first", "items first", "expanded", "strided"])
def test_blocks_and_layouts_change_nothing(layout: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("segue.evaluation.metrics._BLOCK_CELLS", 64)
    scores = torch.randint(50, (37, 101)).float()
    if layout == "items first":
        scores = scores.t().contiguous().t()
    elif layout == "expanded":
        scores = scores[:1].expand(37, -1)
    elif layout == "strided":
        scores = scores[::2, ::3]
    target = torch.randint(scores.shape[1], (len(scores),))
    expected = (scores.double() >= scores.double().gather(1, target[:, None])).sum(1)
    assert conservative_rank(scores, target).equal(expected)
    assert conservative_rank(scores, target).dtype == torch.int64


def test_no_events_have_no_ranks() -> None:
    for scores in (torch.zeros(0, 7), torch.zeros(7, 0).t()):
        assert conservative_rank(scores, torch.zeros(0, dtype=torch.int64)).shape == (0,)


def test_whole_numbers_beyond_single_precision_are_told_apart() -> None:
    scores = torch.tensor([[2.0**24, 2.0**24 + 1]], dtype=torch.float64)
    assert conservative_rank(scores, torch.tensor([0])).tolist() == [2]
    assert conservative_rank(scores, torch.tensor([1])).tolist() == [1]


@pytest.mark.parametrize("layout", ["events first", "items first"])
@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_one_bad_score_among_many_is_found(bad: float, layout: str) -> None:
    scores = torch.randn(20, 300)
    scores[13, 271] = bad
    assert not all_finite(scores.t().contiguous().t() if layout == "items first" else scores)


def test_infinities_of_both_signs_are_found_and_huge_finite_scores_are_not() -> None:
    assert not all_finite(torch.tensor([[math.inf, -math.inf]]))
    assert all_finite(torch.full((4, 4), 3e38)), "their sum overflows, they do not"


def test_metrics_of_single_ranks() -> None:
    rank = np.array([1, 3, 5, 6, 20, 21])
    assert hit_rate(rank, 5).tolist() == [1, 1, 1, 0, 0, 0]
    assert reciprocal_rank(rank, 20).tolist() == pytest.approx([1, 1 / 3, 1 / 5, 1 / 6, 1 / 20, 0])
    assert discounted_gain(rank, 10).tolist() == pytest.approx([1, 0.5, 1 / math.log2(6), 1 / math.log2(7), 0, 0])
    assert list(METRICS) == ["HR@5", "HR@10", "HR@20", "MRR@5", "MRR@10", "MRR@20", "NDCG@5", "NDCG@10", "NDCG@20"]


def test_micro_and_macro_by_hand() -> None:
    rank, user = np.array([1, 2, 30, 30]), np.array([7, 7, 7, 4])
    assert averages(rank)["HR@5"] == pytest.approx(2 / 4)
    assert averages(rank)["MRR@20"] == pytest.approx((1 + 1 / 2) / 4)
    assert averages(rank, user)["HR@5"] == pytest.approx((2 / 3 + 0) / 2)
    assert averages(rank, user)["MRR@20"] == pytest.approx(((1 + 1 / 2) / 3 + 0) / 2)


def test_nothing_to_average_is_no_zero() -> None:
    with pytest.raises(ValueError, match="no event"):
        averages(np.zeros(0, dtype=np.int64))


@pytest.mark.parametrize(("rank_of", "expected"), [(standard_rank, 1.0), (conservative_rank, 0.0)])
def test_only_the_standard_rank_flatters_a_constant_scorer(rank_of, expected: float) -> None:
    rank = rank_of(torch.ones(8, 100), torch.arange(8)).numpy()
    assert averages(rank)["HR@20"] == expected

"""Losses over sampled candidates, against the formulas written out; the sampler, against what it should draw."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from torch import Tensor

from segue.nn.sampled import PopularitySampler, bpr_max, cross_entropy, false_negatives, top1

SUPPORT = torch.tensor([1, 30, 0, 7, 100, 0])


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def random(*shape: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, requires_grad=True)


def sampler_of(support: Tensor, alpha: float) -> PopularitySampler:
    sampler = PopularitySampler(len(support), alpha)
    sampler.count(support)
    return sampler


@pytest.mark.parametrize("alpha", [0.0, 0.5, 1.0])
def test_items_are_drawn_by_their_support_to_the_power_of_alpha(alpha: float) -> None:
    """Trap 3 of GRU4Rec: chi-square; and what no train session holds is never drawn."""
    drawn = sampler_of(SUPPORT, alpha).draw(20_000)
    counts = np.bincount(drawn.numpy(), minlength=len(SUPPORT))
    known = SUPPORT.numpy() > 0
    assert not counts[~known].any()
    weight = SUPPORT.numpy()[known].astype(float) ** alpha
    assert stats.chisquare(counts[known], 20_000 * weight / weight.sum()).pvalue > 1e-3


def test_another_alpha_would_be_noticed() -> None:
    counts = np.bincount(sampler_of(SUPPORT, 0.5).draw(20_000).numpy(), minlength=len(SUPPORT))
    known = SUPPORT.numpy() > 0
    weight = SUPPORT.numpy()[known].astype(float)
    assert stats.chisquare(counts[known], 20_000 * weight / weight.sum()).pvalue < 1e-3


def test_the_random_state_decides_the_draw() -> None:
    sampler = sampler_of(SUPPORT, 0.5)
    state = torch.get_rng_state()
    first, second = sampler.draw(50), sampler.draw(50)
    torch.set_rng_state(state)
    assert torch.equal(sampler.draw(50), first)
    assert not torch.equal(first, second)


def test_how_often_a_candidate_is_one() -> None:
    found = sampler_of(SUPPORT, 0.5).log_weights(torch.tensor([4, 0]), torch.tensor([1]))
    torch.testing.assert_close(found, torch.tensor([100, 1, 30**0.5], dtype=torch.float64).log())


def test_only_further_copies_of_the_target_are_false_negatives() -> None:
    candidates = torch.tensor([5, 3, 5, 5])
    found = false_negatives(candidates, torch.arange(3))
    assert found.tolist() == [
        [False, False, True, True],
        [False, False, False, False],
        [True, False, False, True],
    ]


def test_the_slope_of_cross_entropy_is_p_minus_onehot() -> None:
    """Trap 4 of GRU4Rec: one softmax, of the scores themselves."""
    scores = random(3, 5)
    cross_entropy(scores, torch.arange(3)).backward()
    torch.testing.assert_close(scores.grad, torch.softmax(scores, 1).detach() - torch.eye(3, 5, dtype=torch.float64))


def test_bpr_max_of_two_items_by_hand() -> None:
    """Trap 5 of GRU4Rec: the one negative has all the weight, however large the positive."""
    r, n = 3.0, -0.5
    scores = torch.tensor([[r, n]], dtype=torch.float64)
    found = bpr_max(scores, torch.tensor([0]), penalty=1.5)
    assert float(found) == pytest.approx(-math.log(sigmoid(r - n)) + 1.5 * n * n, abs=1e-12)


@given(st.integers(1, 5), st.integers(1, 6), st.sampled_from([0.0, 0.5]), st.integers(0, 99))
def test_bpr_max_is_its_formula(events: int, more: int, elu: float, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    scores = 3 * torch.randn(events, events + more, dtype=torch.float64, generator=generator)
    wanted = 0.0
    for i, row in enumerate(scores.tolist()):
        r = [x if x > 0 or not elu else elu * (math.exp(x) - 1) for x in row]
        negatives = [x for j, x in enumerate(r) if j != i]
        total = sum(math.exp(x) for x in negatives)
        share = [math.exp(x) / total for x in negatives]
        wanted -= math.log(sum(s * sigmoid(r[i] - x) for s, x in zip(share, negatives, strict=True)))
        wanted += 0.7 * sum(s * x * x for s, x in zip(share, negatives, strict=True))
    assert float(bpr_max(scores, torch.arange(events), elu=elu, penalty=0.7)) == pytest.approx(wanted, rel=1e-9)


def test_top1_of_two_items_by_hand() -> None:
    """The positive takes part in the mean with σ(0), and its own size is taken out again."""
    r, n = math.tanh(0.8), math.tanh(-0.3)
    found = top1(torch.tensor([[0.8, -0.3]], dtype=torch.float64), torch.tensor([0]))
    assert float(found) == pytest.approx((0.5 + sigmoid(n - r) + sigmoid(n * n)) / 2, abs=1e-12)


@pytest.mark.parametrize("loss", [cross_entropy, bpr_max, top1])
def test_a_column_left_out_is_as_if_it_was_not_there(loss: type) -> None:
    scores, positive = random(2, 4), torch.arange(2)
    left_out = torch.zeros(2, 4, dtype=torch.bool)
    left_out[:, 2] = True
    without = loss(scores[:, [0, 1, 3]], positive)
    found = loss(scores, positive, left_out)
    torch.testing.assert_close(found, without)
    found.backward()
    assert not scores.grad[:, 2].any()


@pytest.mark.parametrize("loss", [cross_entropy, bpr_max])
def test_a_positive_without_a_negative_costs_and_moves_nothing(loss: type) -> None:
    scores = random(2, 2)
    found = loss(scores, torch.arange(2), ~torch.eye(2, dtype=torch.bool))
    assert float(found.detach()) == 0
    found.backward()
    assert torch.equal(scores.grad, torch.zeros(2, 2, dtype=torch.float64))


@pytest.mark.parametrize("loss", [cross_entropy, bpr_max, top1])
def test_large_scores_stay_finite(loss: type) -> None:
    scores = torch.tensor([[-80.0, 80.0, 0.0], [80.0, -80.0, 0.0]], requires_grad=True)
    found = loss(scores, torch.arange(2))
    found.backward()
    assert torch.isfinite(found)
    assert torch.isfinite(scores.grad).all()

"""Dropout by bytes of drawn words: share, scale, expectation, reproducibility."""

from __future__ import annotations

import pytest
import torch

from segue.nn.dropout import dropout


@pytest.mark.parametrize(("p", "in_256"), [(0.5, 128), (0.3, 77), (0.1, 26), (0.001, 1), (0.999, 255)])
def test_share_and_scale_are_those_of_p_in_256ths(p: float, in_256: int) -> None:
    x = torch.ones(500_001, dtype=torch.float64)
    dropped = dropout(x, p, training=True)
    share = in_256 / 256
    assert set(dropped.unique().tolist()) == {0.0, 256 / (256 - in_256)}
    deviation = (share * (1 - share) / len(x)) ** 0.5
    assert abs(float((dropped == 0).double().mean()) - share) < 5 * deviation
    assert abs(float(dropped.mean()) - 1) < 5 * deviation / (1 - share), "the expectation stays"


def test_every_place_of_a_word_is_drawn_alike() -> None:
    dropped = dropout(torch.ones(40_000, 8), 0.5, training=True) == 0
    by_place = dropped.double().mean(0)
    assert (by_place - 0.5).abs().max() < 5 * 0.5 / 200
    together = (dropped[:, :-1] & dropped[:, 1:]).double().mean(0)
    assert (together - 0.25).abs().max() < 0.02, "neighbours do not fall together"


@pytest.mark.parametrize("shape", [(0,), (1,), (7,), (8,), (3, 5), (2, 3, 4)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_any_shape_keeps_shape_and_dtype(shape: tuple[int, ...], dtype: torch.dtype) -> None:
    dropped = dropout(torch.ones(shape, dtype=dtype), 0.5, training=True)
    assert (dropped.shape, dropped.dtype) == (shape, dtype)


def test_the_seed_decides_everything() -> None:
    x = torch.randn(101, 13)
    runs = []
    for seed in (5, 5, 6):
        torch.manual_seed(seed)
        runs.append(dropout(x, 0.4, training=True))
    assert torch.equal(runs[0], runs[1])
    assert not torch.equal(runs[0], runs[2])


def test_without_training_or_share_it_is_the_identity_and_draws_nothing() -> None:
    x, state = torch.randn(20), torch.get_rng_state()
    assert dropout(x, 0.5, training=False) is x
    assert dropout(x, 0.0, training=True) is x
    assert torch.equal(torch.get_rng_state(), state)


def test_the_gradient_goes_where_the_entries_went() -> None:
    x = torch.randn(50, dtype=torch.float64, requires_grad=True)
    dropped = dropout(x, 0.3, training=True)
    dropped.sum().backward()
    torch.testing.assert_close(x.grad, (dropped != 0) * (256 / (256 - 77)), check_dtype=False, rtol=0, atol=1e-7)
    torch.testing.assert_close(dropped, x.detach() * x.grad, rtol=0, atol=0)

"""Chunked softmax against the plain formula, in values and gradients, float64."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from random_encodings import (
    EVENTS,
    ITEMS,
    added,
    leaves,
    mixture,
    random,
    reference_loss,
    reference_probabilities,
    reference_scores,
)
from torch import Tensor

from segue.nn import losses
from segue.nn.encoding import Added, Encoding, Mixture
from segue.nn.losses import Form, dense_scores, events_per_chunk, softmax_loss

DIM = 5
KINDS = ("plain", "added", "mixture", "both")


@pytest.fixture(autouse=True, params=["one chunk", "many chunks"])
def _chunks(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "many chunks":
        monkeypatch.setattr(losses, "_SMALLEST_CHUNK", 1)
        monkeypatch.setattr(losses, "_LARGEST_CHUNK", 4)


@pytest.fixture
def target() -> Tensor:
    return torch.randint(ITEMS, (EVENTS,))


def encoding_of(kind: str, target: Tensor) -> Encoding:
    plain = Encoding(random(EVENTS, DIM))
    sources = (added(60), added(15), Added(*(torch.zeros(0, dtype=torch.int64),) * 2, random(0)))
    return {
        "plain": plain,
        "added": replace(plain, added=sources),
        "mixture": replace(plain, mixture=mixture(target)),
        "both": replace(plain, added=sources, mixture=mixture(target)),
    }[kind]


@pytest.mark.parametrize(
    ("kind", "form"),
    [*((kind, "cross_entropy") for kind in KINDS), ("plain", "eq20"), ("added", "eq20")],
)
def test_loss_and_gradients_are_those_of_the_formula(kind: str, form: Form, target: Tensor) -> None:
    encoding, items = encoding_of(kind, target), random(ITEMS, DIM)
    inputs = [items, *leaves(encoding)]
    found = softmax_loss(encoding, items, target, form)
    wanted = reference_loss(encoding, items, target, form)
    torch.testing.assert_close(found, wanted, rtol=1e-12, atol=1e-12)
    gradients = torch.autograd.grad(3 * found, inputs, allow_unused=True)
    for of_loss, of_formula in zip(gradients, torch.autograd.grad(3 * wanted, inputs), strict=True):
        torch.testing.assert_close(of_loss, of_formula, rtol=1e-10, atol=1e-12)


def test_the_slope_of_a_logit_is_p_minus_onehot() -> None:
    """Trap (4) of GRU4Rec: a softmax applied twice would fail here."""
    logits, target = random(EVENTS, ITEMS), torch.randint(ITEMS, (EVENTS,))
    identity = torch.eye(ITEMS, dtype=torch.float64, requires_grad=True)
    softmax_loss(Encoding(logits), identity, target).backward()
    wanted = torch.softmax(logits, 1) - torch.nn.functional.one_hot(target, ITEMS)
    torch.testing.assert_close(logits.grad, wanted.detach() / EVENTS)


def test_two_items_by_hand() -> None:
    """y = (0.8, 0.2): −log 0.8 for cross entropy; −log 0.8 − log(1 − 0.2) for the literal eq. (20)."""
    encoding = Encoding(torch.tensor([[0.8, 0.2]], dtype=torch.float64).log())
    items, target = torch.eye(2, dtype=torch.float64), torch.tensor([0])
    y = torch.tensor(0.8, dtype=torch.float64)
    torch.testing.assert_close(softmax_loss(encoding, items, target), -y.log())
    torch.testing.assert_close(softmax_loss(encoding, items, target, "eq20"), -2 * y.log())


def test_the_literal_form_takes_no_pointer(target: Tensor) -> None:
    with pytest.raises(ValueError, match="not for a pointer mixture"):
        softmax_loss(encoding_of("mixture", target), random(ITEMS, DIM), target, "eq20")


def test_no_event_is_no_loss() -> None:
    nothing = torch.zeros(0, dtype=torch.int64)
    assert softmax_loss(Encoding(torch.zeros(0, DIM)), torch.zeros(ITEMS, DIM), nothing) == 0


def test_large_scores_stay_finite() -> None:
    encoding = Encoding(torch.tensor([[1e4], [-1e4]]))
    items = torch.tensor([[1.0], [-1.0]], requires_grad=True)
    loss = softmax_loss(encoding, items, torch.tensor([0, 0]))
    loss.backward()
    assert loss.item() == pytest.approx(1e4)
    assert torch.isfinite(items.grad).all()


EXTREME = st.sampled_from([0.0, 1.0, -30.0, -85.0, -88.0, -100.0, -104.0, -200.0, 200.0, -1e4, 1e4, -1e30, 1e30])


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    scores=st.tuples(EXTREME, EXTREME, EXTREME), gate=st.tuples(EXTREME, EXTREME), shares=st.tuples(EXTREME, EXTREME)
)
@example(scores=(-100.0, 0.0, 0.0), gate=(0.0, -100.0), shares=(0.0, 0.0))
def test_in_float32_a_pointer_learns_finite_slopes_from_any_logits(
    scores: tuple[float, ...], gate: tuple[float, ...], shares: tuple[float, ...]
) -> None:
    """1 / p overflows where gate and softmax both give the target next to nothing."""
    logits = torch.tensor([scores], requires_grad=True)
    gates, pointers = torch.tensor([gate], requires_grad=True), torch.tensor([shares], requires_grad=True)
    pointed = (torch.softmax(gates, 1)[:, 1:] * torch.softmax(pointers, 1))[0]
    found = Mixture(torch.log_softmax(gates, 1)[:, 0], torch.zeros(2, dtype=torch.int64), torch.tensor([0, 1]), pointed)
    loss = softmax_loss(Encoding(logits, mixture=found), torch.eye(3), torch.tensor([0]))
    loss.backward()
    assert torch.isfinite(loss)
    for leaf in (logits, gates, pointers):
        assert torch.isfinite(leaf.grad).all()
        assert leaf.grad.abs().max() <= 1.01  # p - onehot, and shares of it


@pytest.mark.parametrize("kind", ["plain", "added"])
def test_dense_scores_are_the_logits(kind: str, target: Tensor) -> None:
    encoding, items = encoding_of(kind, target), random(ITEMS, DIM)
    torch.testing.assert_close(dense_scores(encoding, items), reference_scores(encoding, items))


@pytest.mark.parametrize("kind", ["mixture", "both"])
def test_scores_with_a_pointer_order_items_as_the_mixed_probability_does(kind: str, target: Tensor) -> None:
    encoding, items = encoding_of(kind, target), random(ITEMS, DIM)
    with torch.no_grad():
        scores, mixed = dense_scores(encoding, items), reference_probabilities(encoding, items)
    torch.testing.assert_close(torch.softmax(scores, 1), mixed / mixed.sum(1, keepdim=True))
    assert torch.equal(scores.argsort(1), mixed.argsort(1))
    free = torch.ones_like(mixed, dtype=torch.bool)
    free[encoding.mixture.event, encoding.mixture.item] = False
    torch.testing.assert_close(scores[free], reference_scores(encoding, items)[free])


def test_a_chunk_of_logits_stays_within_the_bound(monkeypatch: pytest.MonkeyPatch, target: Tensor) -> None:
    shapes = []
    original = losses._chunk_logits

    def watched(*arguments: object) -> Tensor:
        logits = original(*arguments)
        shapes.append(tuple(logits.shape))
        return logits

    monkeypatch.setattr(losses, "_chunk_logits", watched)
    monkeypatch.setattr(losses, "_SMALLEST_CHUNK", 1)
    monkeypatch.setattr(losses, "_LARGEST_CHUNK", 512)
    monkeypatch.setattr(losses, "CHUNK_BYTES", 8 * ITEMS * 10)
    softmax_loss(encoding_of("added", target), random(ITEMS, DIM), target).backward()
    assert shapes == [(ITEMS, 10), (ITEMS, 10), (ITEMS, 10), (ITEMS, 7)]


def test_the_bound_in_events(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    assert events_per_chunk(60_000) == 512
    assert events_per_chunk(10**6) == 33
    assert events_per_chunk(10**9) == 16


@pytest.mark.parametrize("shift", [-1e4, -100.0, -85.0, 0.0, 85.0, 100.0, 1e4])
def test_the_log_sum_exp_holds_wherever_the_logits_lie(shift: float) -> None:
    logits = torch.randn(1_000, 700) + shift
    found = losses._logsumexp(logits)
    torch.testing.assert_close(found.double(), torch.logsumexp(logits.double(), 0), rtol=2e-6, atol=2e-6)

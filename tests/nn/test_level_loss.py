"""The loss over item vectors of one coordinate against the plain formula, in values and gradients."""

from __future__ import annotations

import pytest
import torch
from random_encodings import EVENTS, ITEMS, added, leaves, mixture, reference_loss
from torch import Tensor

from segue.nn import level_loss, losses
from segue.nn.encoding import Added, Encoding
from segue.nn.losses import softmax_loss

LEVELS = (-6.0, -2.5, -0.5)


@pytest.fixture
def item_vectors() -> Tensor:
    """Many items of few levels."""
    return torch.tensor(LEVELS, dtype=torch.float64)[torch.randint(len(LEVELS), (ITEMS,))][:, None]


def level_encoding(target: Tensor, *, factor: float = 1.0, pointer: bool = True) -> Encoding:
    none = torch.zeros(0, dtype=torch.int64)
    sources = (added(60), Added(none, none, torch.zeros(0, dtype=torch.float64, requires_grad=True)), added(15))
    vectors = (factor * torch.randn(EVENTS, 1, dtype=torch.float64)).requires_grad_()
    return Encoding(vectors, sources, mixture(target) if pointer else None)


@pytest.mark.parametrize("pointer", [True, False])
@pytest.mark.parametrize("factor", [1.0, 30.0])
def test_loss_and_gradients_are_those_of_the_formula(item_vectors: Tensor, factor: float, pointer: bool) -> None:
    target = torch.randint(ITEMS, (EVENTS,))
    given = level_encoding(target, factor=factor, pointer=pointer)
    found = softmax_loss(given, item_vectors, target)
    wanted = reference_loss(given, item_vectors, target, "cross_entropy")
    torch.testing.assert_close(found, wanted, rtol=1e-10, atol=1e-10)
    gradients = torch.autograd.grad(found, leaves(given), allow_unused=True)
    for of_loss, of_formula in zip(gradients, torch.autograd.grad(wanted, leaves(given)), strict=True):
        torch.testing.assert_close(of_loss, of_formula, rtol=1e-8, atol=1e-10)


def test_an_item_that_nothing_is_left_of_takes_nothing() -> None:
    """Nearly all of the sum is of one item, which is then taken out: a small difference of large sums is left."""
    levels = torch.full((ITEMS, 1), -9.0, dtype=torch.float64)
    levels[4] = 0.0
    first = torch.zeros(1, dtype=torch.int64)
    out = Added(first, first + 4, torch.full((1,), -1000.0, dtype=torch.float64))
    given = Encoding(torch.ones(1, 1, dtype=torch.float64), (out,))
    found = softmax_loss(given, levels, first)
    assert found.item() == pytest.approx(torch.tensor(ITEMS - 1.0).log().item())


def test_items_beyond_32_bits_have_cells_of_their_own() -> None:
    sources = (Added(torch.tensor([0, 1, 1]), torch.tensor([3, 2**31 - 1, 3]), torch.ones(3)),)
    cell, place = level_loss._cells(sources, 2**31)
    assert cell.tolist() == [3, 2**31 + 3, 2**32 - 1]
    assert place.tolist() == [0, 2, 1]


def test_vectors_that_are_learned_get_their_gradient(monkeypatch: pytest.MonkeyPatch) -> None:
    """The short way knows no gradient of the item vectors."""
    target = torch.randint(ITEMS, (EVENTS,))
    learned = torch.randn(ITEMS, 1, dtype=torch.float64, requires_grad=True)
    monkeypatch.setattr(losses, "level_softmax_loss", lambda *_: pytest.fail("no gradient there"))
    softmax_loss(level_encoding(target), learned, target).backward()
    assert learned.grad is not None
    assert bool(learned.grad.any())

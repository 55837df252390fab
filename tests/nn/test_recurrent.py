"""The step-by-step GRU against torch's, and against loops over numbers."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from segue.nn.recurrent import ResetBeforeCell, StepGRU, draw_gates, gate_function, gru, gru_cell


def by_numbers(
    model: StepGRU | ResetBeforeCell, x: Tensor, start: list[float], hard: bool = False
) -> list[list[float]]:
    """States of one row with the reset gate before the product, one number at a time."""
    w, u, b = (parameter.tolist() for parameter in model.parameters())
    size, h, states = len(start), list(start), []

    def sigmoid(value: float) -> float:
        return min(max(value / 5 + 0.5, 0.0), 1.0) if hard else 1 / (1 + math.exp(-value))

    def product(matrix: list[list[float]], row: int, vector: list[float]) -> float:
        return sum(a * v for a, v in zip(matrix[row], vector, strict=True))

    for inputs in x.tolist():
        reset = [sigmoid(product(w, i, inputs) + b[i] + product(u, i, h)) for i in range(size)]
        update = [sigmoid(product(w, size + i, inputs) + b[size + i] + product(u, size + i, h)) for i in range(size)]
        kept = [r * v for r, v in zip(reset, h, strict=True)]
        last = 2 * size
        new = [math.tanh(product(w, last + i, inputs) + b[last + i] + product(u, last + i, kept)) for i in range(size)]
        h = [(1 - z) * n + z * v for z, n, v in zip(update, new, h, strict=True)]
        states.append(h)
    return states


@pytest.mark.parametrize("started", [False, True])
def test_reset_after_is_the_gru_of_torch_with_its_gradients(started: bool) -> None:
    wanted = nn.GRU(3, 4, batch_first=True).double()
    found = StepGRU(3, 4, reset="after").double()
    found.load_state_dict(wanted.state_dict())
    x = torch.randn(5, 6, 3, dtype=torch.float64)
    start = torch.randn(1, 5, 4, dtype=torch.float64) if started else None
    for one, other in zip(found(x, start), wanted(x, start), strict=True):
        torch.testing.assert_close(one, other)
    slopes = [
        torch.autograd.grad(model(x, start)[0].square().sum(), list(model.parameters())) for model in (found, wanted)
    ]
    torch.testing.assert_close(*slopes)


@pytest.mark.parametrize("hard", [False, True])
def test_reset_before_equals_a_loop_over_numbers(hard: bool) -> None:
    model = StepGRU(3, 4, reset="before", hard=hard).double()
    x, start = torch.randn(2, 6, 3, dtype=torch.float64) * 3, torch.randn(1, 2, 4, dtype=torch.float64)
    states, last = model(x, start)
    for row in range(2):
        wanted = torch.tensor(by_numbers(model, x[row], start[0, row].tolist(), hard), dtype=torch.float64)
        torch.testing.assert_close(states[row], wanted)
    assert torch.equal(last[0], states[:, -1])


def test_the_cell_is_one_step_of_the_loop() -> None:
    cell = ResetBeforeCell(3, 4).double()
    x, state = torch.randn(2, 3, dtype=torch.float64), torch.randn(2, 4, dtype=torch.float64)
    wanted = [by_numbers(cell, x[row : row + 1], state[row].tolist())[0] for row in range(2)]
    torch.testing.assert_close(cell(x, state), torch.tensor(wanted, dtype=torch.float64))


@pytest.mark.parametrize("reset", ["after", "before"])
def test_padding_on_the_right_changes_no_state_before_it(reset: str) -> None:
    model = StepGRU(3, 4, reset=reset, hard=True)  # type: ignore[arg-type]
    x = torch.randn(2, 6, 3)
    torch.testing.assert_close(model(x)[0][:, :4], model(x[:, :4])[0])
    assert model(x[:, :0])[0].shape == (2, 0, 4)


@pytest.mark.parametrize("reset", ["after", "before"])
def test_a_further_input_of_the_gates_is_as_good_as_further_columns(reset: str) -> None:
    """Quadrana et al.: the user's state reaches both gates and not the candidate."""
    model, wide = (StepGRU(n, 4, reset=reset) for n in (3, 3 + 8))  # type: ignore[arg-type]
    columns = torch.zeros(12, 8)
    columns[:8] = torch.eye(8)
    state = model.state_dict()
    wide.load_state_dict({**state, "weight_ih_l0": torch.cat([state["weight_ih_l0"], columns], 1)})
    x, further = torch.randn(2, 5, 3), torch.randn(2, 8)
    inputs = torch.cat([x, further[:, None].expand(-1, 5, -1)], 2)
    torch.testing.assert_close(model(x, further=further)[0], wide(inputs)[0])


def test_the_hard_sigmoid_is_that_of_theano() -> None:
    x = torch.tensor([-3.0, -2.5, -1.0, 0.0, 1.0, 2.5, 3.0])
    torch.testing.assert_close(gate_function(x, hard=True), torch.tensor([0.0, 0.0, 0.3, 0.5, 0.7, 1.0, 1.0]))
    torch.testing.assert_close(gate_function(x, hard=False), torch.sigmoid(x))


def test_torch_computes_whatever_it_can() -> None:
    assert type(gru(3, 4, reset="after")) is nn.GRU
    assert type(gru_cell(3, 4, reset="after")) is nn.GRUCell
    names = {name for name, _ in gru(3, 4, reset="after").named_parameters()}
    assert {name for name, _ in StepGRU(3, 4, reset="after", hard=True).named_parameters()} == names
    assert {name for name, _ in gru(3, 4, reset="before").named_parameters()} == names - {"bias_hh_l0"}
    assert {name for name, _ in gru_cell(3, 4, reset="before").named_parameters()} == {
        "weight_ih",
        "weight_hh",
        "bias_ih",
    }


@pytest.mark.parametrize("reset", ["after", "before"])
def test_the_initial_values_are_those_of_torch(reset: str) -> None:
    """Uniform up to the inverse root of the size, whatever the number of inputs."""
    wanted = dict(nn.GRU(300, 100).named_parameters())
    for name, found in StepGRU(300, 100, reset=reset).named_parameters():  # type: ignore[arg-type]
        for model in (wanted[name], found):
            assert model.abs().max().item() == pytest.approx(100**-0.5, rel=0.05)
            assert model.std().item() == pytest.approx((100 * 3) ** -0.5, rel=0.15)


def test_each_gate_is_drawn_by_its_own_size() -> None:
    model = nn.GRU(500, 100)
    draw_gates(model)
    assert model.weight_ih_l0.abs().max().item() == pytest.approx((6 / 600) ** 0.5, rel=0.01)
    assert model.weight_hh_l0.abs().max().item() == pytest.approx((6 / 200) ** 0.5, rel=0.01)
    assert not model.bias_ih_l0.any()


def test_a_dropped_coordinate_is_dropped_for_the_next_step_too() -> None:
    model = StepGRU(3, 4, reset="before", dropout=0.5)
    x = torch.randn(1, 1, 3)
    torch.manual_seed(1)
    first, second = model(torch.cat([x, x], 1))[0][0]
    torch.manual_seed(1)
    masks = [model.dropout(torch.ones(1, 4)) for _ in range(2)]
    assert {*masks[0].flatten().tolist(), *masks[1].flatten().tolist()} == {0.0, 2.0}
    model.eval()
    torch.testing.assert_close(model(x)[0][0] * masks[0], first[None])
    torch.testing.assert_close(model(x, first[None, None])[0][0] * masks[1], second[None])

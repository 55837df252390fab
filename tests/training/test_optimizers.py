"""Adagrad row by row, against the update written out in a loop."""

from __future__ import annotations

import pytest
import torch
import worlds
from torch import Tensor

from segue.contract.encoder import SessionEncoder
from segue.settings import TrainingSettings
from segue.training.optimizers import RowAdagrad, optimizer_of

RATE, EPS = 0.1, 1e-6


def by_hand(rows: Tensor, gradients: list[Tensor], momentum: float, decay: float, dense: bool) -> Tensor:
    rows, squares, speed = rows.clone(), torch.zeros_like(rows), torch.zeros_like(rows)
    for gradient in gradients:
        for row in range(len(rows)):
            if not dense and not bool((gradient[row] != 0).any()):
                continue
            g = gradient[row] + decay * rows[row]
            squares[row] += g * g
            speed[row] = momentum * speed[row] - RATE * g / (squares[row] + EPS) ** 0.5
            rows[row] += speed[row]
    return rows


@pytest.mark.parametrize("momentum", [0.0, 0.4])
@pytest.mark.parametrize("decay", [0.0, 0.3])
@pytest.mark.parametrize("shape", [(6, 3), (6,), (6, 2, 2)])
@pytest.mark.parametrize("dense", [False, True])
def test_updates_are_those_of_the_formula(shape: tuple[int, ...], momentum: float, decay: float, dense: bool) -> None:
    parameter = torch.nn.Parameter(torch.randn(shape, dtype=torch.float64))
    gradients = [torch.randn(shape, dtype=torch.float64) for _ in range(4)]
    for step, gradient in enumerate(gradients):
        gradient[step : step + 3] = 0.0
    wanted = by_hand(parameter.detach(), gradients, momentum, decay, dense)
    settings = TrainingSettings(optimizer="adagrad", momentum=momentum, learning_rate=RATE, weight_decay=decay)
    optimizer = optimizer_of([{"params": [parameter], "dense": [0] if dense else []}], settings)
    for gradient in gradients:
        parameter.grad = gradient.clone()
        optimizer.step()
        assert torch.equal(parameter.grad, gradient), "the gradient is not the optimizer's to change"
    torch.testing.assert_close(parameter.detach(), wanted, rtol=1e-12, atol=1e-12)


def test_rows_of_items_stand_still_and_rows_of_gates_go_on() -> None:
    """Hidasi & Karatzoglou's tables are sparse, item biases too; the gates of a step without a state are dense."""
    corpus = worlds.busy()
    for name, preset in (("gru4rec", "official"), ("hrnn", "official_all")):
        model = worlds.fitted({"model": {"name": name, "preset": preset, "dim": 4}}, corpus)
        assert isinstance(model, SessionEncoder)
        (group,) = model.parameter_groups()
        named = {id(parameter): key for key, parameter in model.named_parameters()}
        dense = {named[id(group["params"][place])] for place in group["dense"]}
        tables = {key for key in named.values() if key not in dense}
        assert tables == {"embedding.weight", "bias"} | ({"output"} if name == "hrnn" else set())


def test_the_first_step_of_a_tiny_gradient_is_held_back_by_eps() -> None:
    """From a zero accumulator, eps inside the root: 1e-3 / √(1e-6 + 1e-6), not 1e-3 / (1e-3 + 1e-6)."""
    parameter = torch.nn.Parameter(torch.zeros(1, dtype=torch.float64))
    parameter.grad = torch.full((1,), 1e-3, dtype=torch.float64)
    RowAdagrad([parameter], lr=1.0).step()
    torch.testing.assert_close(parameter.detach(), torch.tensor([-(0.5**0.5)], dtype=torch.float64))


@pytest.mark.parametrize("momentum", [0.0, 0.4])
def test_its_state_is_tensors_that_can_be_put_back(momentum: float) -> None:
    def parameters() -> list[torch.nn.Parameter]:
        torch.manual_seed(1)
        return [torch.nn.Parameter(torch.randn(3, 2))]

    def play(optimizer: torch.optim.Optimizer, steps: int) -> None:
        for _ in range(steps):
            (parameter,) = optimizer.param_groups[0]["params"]
            parameter.grad = parameter.detach().cos()
            optimizer.step()

    (whole,), (first,) = parameters(), parameters()
    play(RowAdagrad([whole], 0.1, momentum), 4)
    before = RowAdagrad([first], 0.1, momentum)
    play(before, 2)
    saved = before.state_dict()
    assert all(isinstance(tensor, Tensor) for tensor in saved["state"][0].values())
    after = RowAdagrad([first], 0.1, momentum)
    after.load_state_dict(saved)
    play(after, 2)
    assert torch.equal(first, whole)

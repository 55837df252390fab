"""The optimizers that the models' authors trained with."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from segue.data.stored import Layout
from segue.settings import TrainingSettings


class RowAdagrad(torch.optim.Optimizer):
    """Adagrad with momentum, row by row (Duchi et al. 2011; as used by Hidasi & Karatzoglou 2018).

    For every row with a gradient g: a += g²; m = momentum · m − lr · g / √(a + eps); row += m. A row of a table whose
    gradient is all zero, such as an item outside the batch, stays as it is, and so do its a and m: a sampled item is
    not moved on by the momentum of the batch that last saw it. The rows of a dense matrix go on by their momentum, as
    in the authors' program. a starts from 0. Weight decay adds weight_decay · row to g.

    A group of parameters says under "dense" which of them, by place, are no tables; without it all are tables.
    """

    def __init__(
        self, params: Any, lr: float, momentum: float = 0.0, weight_decay: float = 0.0, eps: float = 1e-6
    ) -> None:
        super().__init__(params, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay, "eps": eps})

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> None:  # type: ignore[override]
        """One update of every parameter that has a gradient."""
        for group in self.param_groups:
            for place, parameter in enumerate(group["params"]):
                if parameter.grad is not None:
                    dense = place in group.get("dense", ())
                    rows = torch.arange(len(parameter)) if dense else _with_gradient(parameter.grad)
                    self._update(parameter, parameter.grad, rows.to(parameter.device), group)

    def _update(self, parameter: Tensor, gradient: Tensor, rows: Tensor, group: dict[str, Any]) -> None:
        state = self.state[parameter]
        if not state:
            state["squares"] = torch.zeros_like(parameter)
            if group["momentum"]:
                state["momentum"] = torch.zeros_like(parameter)
        slope = gradient.index_select(0, rows)
        if group["weight_decay"]:
            slope = slope.add(parameter.index_select(0, rows), alpha=group["weight_decay"])
        squares = state["squares"].index_select(0, rows).addcmul_(slope, slope)
        state["squares"].index_copy_(0, rows, squares)
        change = slope.div_(squares.add_(group["eps"]).sqrt_()).mul_(-group["lr"])
        if group["momentum"]:
            change.add_(state["momentum"].index_select(0, rows), alpha=group["momentum"])
            state["momentum"].index_copy_(0, rows, change)
        parameter.index_add_(0, rows, change)


def _with_gradient(gradient: Tensor) -> Tensor:
    """Numbers of the rows whose gradient is not all zero."""
    return (gradient if gradient.dim() == 1 else gradient.flatten(1).abs().sum(1)).nonzero().squeeze(1)


def optimizer_of(groups: list[dict[str, Any]], training: TrainingSettings) -> torch.optim.Optimizer:
    """The optimizer that the settings name, over a model's parameter groups.

    "adam" couples weight decay to the gradient, as the papers of this line do; "adamw" does not; "adagrad" is
    :class:`RowAdagrad`.
    """
    rate, decay = training.learning_rate, training.weight_decay
    if training.optimizer == "adagrad":
        return RowAdagrad(groups, rate, training.momentum, decay)
    kind = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[training.optimizer]
    optimizer: torch.optim.Optimizer = kind(groups, lr=rate, weight_decay=decay, fused=True)
    return optimizer


def slot_layouts(training: TrainingSettings, parameter: Tensor) -> dict[str, Layout]:
    """The form of what the optimizer of these settings keeps for a parameter that it has updated, by name."""
    probe = torch.nn.Parameter(torch.zeros(1, 1))
    probe.grad = torch.zeros(1, 1)
    optimizer = optimizer_of([{"params": [probe]}], training)
    optimizer.step()
    kept: dict[str, Tensor] = optimizer.state[probe]
    return {name: Layout.of(parameter if slot.shape == probe.shape else slot) for name, slot in kept.items()}

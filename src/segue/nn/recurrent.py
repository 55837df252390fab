"""Gated recurrent units with the switches by which the authors' programs differ from torch's.

torch applies the reset gate after the recurrent product, with a bias of its own: n = tanh(W x + b + r ⊙ (U h + c)).
Cho et al. (2014), and the authors' programs in Theano and TensorFlow, apply it before, with one bias:
n = tanh(W x + b + U (r ⊙ h)). The two are different families of functions.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

Reset = Literal["after", "before"]


def gate_function(x: Tensor, *, hard: bool) -> Tensor:
    """Sigmoid, or the piecewise linear one of Theano, clip(x / 5 + 1 / 2, 0, 1)."""
    return (0.2 * x + 0.5).clamp(0, 1) if hard else torch.sigmoid(x)


def draw_gates(module: nn.Module) -> None:
    """Draw each gate of a GRU's matrices by itself from Glorot's uniform values, as Hidasi et al. do; biases are 0."""
    for name, parameter in module.named_parameters():
        for gate in parameter.detach().chunk(3):
            nn.init.xavier_uniform_(gate) if name.startswith("weight") else nn.init.zeros_(gate)


class StepGRU(nn.Module):
    """A GRU of one layer that goes step by step; parameters, their names and their initial values are torch's.

    With reset "before" there is no second bias, neither of the gates nor of the candidate. Where no switch is used,
    :func:`gru` gives torch's own module, which is faster.

    Args:
        n_inputs: None: what comes in is W x already, with a matrix that is not this module's.
        hard: whether the gates are Theano's piecewise linear sigmoids.
        dropout: share of each new state that is dropped in training, also for the step after it.
    """

    def __init__(
        self, n_inputs: int | None, size: int, *, reset: Reset, hard: bool = False, dropout: float = 0.0
    ) -> None:
        super().__init__()
        self.hard, self.dropout = hard, nn.Dropout(dropout)
        self.weight_ih_l0 = None if n_inputs is None else nn.Parameter(torch.empty(3 * size, n_inputs))
        self.weight_hh_l0 = nn.Parameter(torch.empty(3 * size, size))
        self.bias_ih_l0 = nn.Parameter(torch.empty(3 * size))
        self.bias_hh_l0 = nn.Parameter(torch.empty(3 * size)) if reset == "after" else None
        for parameter in self.parameters():
            nn.init.uniform_(parameter, -(size**-0.5), size**-0.5)

    def forward(self, x: Tensor, start: Tensor | None = None, further: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """States after each step [rows, length, size], and the last one [1, rows, size].

        Rows of different lengths are padded on the right: a state there means nothing, and the others do not see it.

        Args:
            x: [rows, length, inputs]; [rows, length, 3 size] without a matrix.
            start: [1, rows, size]; unset: zeros.
            further: [rows, 2 size], added to the input of both gates at every step, but not to the candidate's.
        """
        rows, length, _ = x.shape
        whole = self.weight_ih_l0
        fed = x + self.bias_ih_l0 if whole is None else functional.linear(x, whole, self.bias_ih_l0)
        if further is not None:
            fed = fed + functional.pad(further, (0, self.weight_hh_l0.shape[1]))[:, None]
        state = fed.new_zeros(rows, self.weight_hh_l0.shape[1]) if start is None else start[0]
        states = []
        for step in range(length):
            after = next_state(fed[:, step], state, self.weight_hh_l0, self.bias_hh_l0, hard=self.hard)
            state = self.dropout(after)
            states.append(state)
        return torch.stack(states, 1) if states else fed[:, :, : state.shape[1]], state[None]


class ResetBeforeCell(nn.Module):
    """One step of a GRU with the reset gate before the product; parameters as in ``nn.GRUCell``, without bias_hh."""

    def __init__(self, n_inputs: int, size: int) -> None:
        super().__init__()
        self.weight_ih = nn.Parameter(torch.empty(3 * size, n_inputs))
        self.weight_hh = nn.Parameter(torch.empty(3 * size, size))
        self.bias_ih = nn.Parameter(torch.empty(3 * size))
        for parameter in self.parameters():
            nn.init.uniform_(parameter, -(size**-0.5), size**-0.5)

    def forward(self, x: Tensor, state: Tensor) -> Tensor:
        """The next state, from x [rows, inputs] and the state [rows, size]."""
        return next_state(functional.linear(x, self.weight_ih, self.bias_ih), state, self.weight_hh)


def next_state(fed: Tensor, state: Tensor, weight: Tensor, bias: Tensor | None = None, *, hard: bool = False) -> Tensor:
    """One step h' = (1 - z) ⊙ n + z ⊙ h, the gates in the order r, z, n.

    Args:
        fed: W x + b, [rows, 3 size].
        state: h, [rows, size].
        weight: U, [3 size, size].
        bias: c, [3 size]; with it the reset gate acts after the recurrent product, without it before.
    """
    both = 2 * state.shape[1]
    of_gates, candidate = fed[:, :both], fed[:, both:]
    if bias is None:
        recurrent = functional.linear(state, weight[:both])
        reset, update = gate_function(of_gates + recurrent, hard=hard).chunk(2, 1)
        new = torch.tanh(candidate + functional.linear(reset * state, weight[both:]))
    else:
        recurrent = functional.linear(state, weight, bias)
        reset, update = gate_function(of_gates + recurrent[:, :both], hard=hard).chunk(2, 1)
        new = torch.tanh(candidate + reset * recurrent[:, both:])
    return new + update * (state - new)


def gru(n_inputs: int | None, size: int, *, reset: Reset, hard: bool = False, dropout: float = 0.0) -> nn.GRU | StepGRU:
    """A GRU of one layer over rows [rows, length, inputs]: torch's own wherever it computes what is asked for."""
    if n_inputs is not None and reset == "after" and not hard and not dropout:
        return nn.GRU(n_inputs, size, batch_first=True)
    return StepGRU(n_inputs, size, reset=reset, hard=hard, dropout=dropout)


def gru_cell(n_inputs: int, size: int, *, reset: Reset) -> nn.GRUCell | ResetBeforeCell:
    """One step of a GRU: torch's own cell for reset "after"."""
    return nn.GRUCell(n_inputs, size) if reset == "after" else ResetBeforeCell(n_inputs, size)

"""The gradients of the shares of a batch, summed to those of the whole batch."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from segue.distributed.processes import Processes


def joined_gradients(parameters: Sequence[nn.Parameter], loss: Tensor, processes: Processes) -> Tensor:
    """Sum the gradients over all processes, in place, and return the sum of their losses.

    Everything travels in one bucket, so that there is one sum per step, in a fixed order. A parameter that no process
    has reached keeps no gradient: an optimizer leaves it alone, as it does in one process.
    """
    reached = torch.tensor([p.grad is not None for p in parameters], dtype=loss.dtype, device=loss.device)
    slopes = [torch.zeros_like(p) if p.grad is None else p.grad for p in parameters]
    bucket = processes.sum(torch.cat([loss.detach().reshape(1), reached, *[slope.flatten() for slope in slopes]]))
    total, by_any, *summed = torch.split(bucket, [1, len(reached), *[slope.numel() for slope in slopes]])
    for parameter, slope, is_reached in zip(parameters, summed, by_any.tolist(), strict=True):
        parameter.grad = slope.view_as(parameter).to(parameter.dtype) if is_reached else None
    return total[0]


class SumOfAll(torch.autograd.Function):
    """The sum of a tensor over all processes, for something that each of them computes from it.

    The loss is the sum of the losses of all processes, so the slope of a summand is the sum of the slopes that they
    have for the sum.
    """

    @staticmethod
    def forward(ctx: object, tensor: Tensor, processes: Processes) -> Tensor:
        """Sum; the tensor stays as it is."""
        ctx.processes = processes  # type: ignore[attr-defined]
        return processes.sum(tensor.detach().clone())

    @staticmethod
    def backward(ctx: object, *grad_outputs: Tensor) -> tuple[Tensor, None]:
        """Sum the slopes."""
        processes: Processes = ctx.processes  # type: ignore[attr-defined]
        return processes.sum(grad_outputs[0].contiguous().clone()), None


def sum_of_all(tensor: Tensor, processes: Processes) -> Tensor:
    """The sum over all processes, differentiable; every process must take the backward pass, in the same order."""
    total: Tensor = SumOfAll.apply(tensor, processes)  # type: ignore[no-untyped-call]
    return total
